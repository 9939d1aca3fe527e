#include <stdlib.h>

#include "store/writer_in.h"

/* Sets of rows: small, short-lived, asked for at each message. */

static struct held_row **
place(struct row_set *s, int64_t row)
{
	struct held_row **at = &s->bucket[(uint64_t)row % ROW_BUCKETS];

	while (*at != NULL && (*at)->row != row)
		at = &(*at)->next;
	return at;
}

bool
rows_add(struct row_set *s, int64_t row, uint64_t tag)
{
	struct held_row *h = malloc(sizeof(*h)), **at = &s->bucket[(uint64_t)row % ROW_BUCKETS];

	if (h == NULL)
		return false;
	*h = (struct held_row){ *at, row, tag };
	*at = h;
	s->n++;
	return true;
}

bool
rows_has(const struct row_set *s, int64_t row)
{
	const struct held_row *h = s->bucket[(uint64_t)row % ROW_BUCKETS];

	while (h != NULL && h->row != row)
		h = h->next;
	return h != NULL;
}

bool
rows_take(struct row_set *s, int64_t row, uint64_t *tag)
{
	struct held_row **at = place(s, row), *h = *at;

	if (h == NULL)
		return false;
	if (tag != NULL)
		*tag = h->tag;
	*at = h->next;
	free(h);
	s->n--;
	return true;
}

void
rows_clear(struct row_set *s)
{
	for (size_t i = 0; i < ROW_BUCKETS; i++)
		while (s->bucket[i] != NULL) {
			struct held_row *h = s->bucket[i];

			s->bucket[i] = h->next;
			free(h);
		}
	s->n = 0;
}
