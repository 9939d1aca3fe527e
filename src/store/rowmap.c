#include "store/rowmap.h"

#include <stdlib.h>

static size_t
place(const struct rowmap *m, int64_t row)
{
	/* rows are counted up: they spread by themselves */
	return (size_t)row & (m->nbuckets - 1);
}

static bool
grow(struct rowmap *m)
{
	struct rowmap bigger = { .nbuckets = m->nbuckets == 0 ? 64 : 2 * m->nbuckets, .n = m->n };

	if ((bigger.bucket = calloc(bigger.nbuckets, sizeof(*bigger.bucket))) == NULL)
		return false;
	for (size_t i = 0; i < m->nbuckets; i++) {
		struct rowmap_item *it;

		while ((it = m->bucket[i]) != NULL) {
			size_t to = place(&bigger, it->row);

			m->bucket[i] = it->next;
			it->next = bigger.bucket[to];
			bigger.bucket[to] = it;
		}
	}
	free(m->bucket);
	*m = bigger;
	return true;
}

bool
rowmap_add(struct rowmap *m, int64_t row, void *owner, uint64_t tag)
{
	struct rowmap_item *it, **at;

	if (m->n >= m->nbuckets && !grow(m))
		return false;
	if ((it = malloc(sizeof(*it))) == NULL)
		return false;
	*it = (struct rowmap_item){ NULL, row, owner, tag };
	for (at = &m->bucket[place(m, row)]; *at != NULL; at = &(*at)->next)
		;
	*at = it;
	m->n++;
	return true;
}

const struct rowmap_item *
rowmap_find(const struct rowmap *m, int64_t row)
{
	const struct rowmap_item *it = NULL;

	if (m->nbuckets > 0)
		for (it = m->bucket[place(m, row)]; it != NULL && it->row != row; it = it->next)
			;
	return it;
}

static void
take(struct rowmap *m, struct rowmap_item **at, struct rowmap_item *out)
{
	struct rowmap_item *it = *at;

	*out = *it;
	*at = it->next;
	m->n--;
	free(it);
}

bool
rowmap_take(struct rowmap *m, int64_t row, struct rowmap_item *out)
{
	struct rowmap_item **at;

	if (m->nbuckets > 0)
		for (at = &m->bucket[place(m, row)]; *at != NULL; at = &(*at)->next)
			if ((*at)->row == row) {
				take(m, at, out);
				return true;
			}
	return false;
}

bool
rowmap_take_owned(struct rowmap *m, void *owner, struct rowmap_item *out)
{
	for (size_t i = 0; m->n > 0 && i < m->nbuckets; i++)
		for (struct rowmap_item **at = &m->bucket[i]; *at != NULL; at = &(*at)->next)
			if ((*at)->owner == owner) {
				take(m, at, out);
				return true;
			}
	return false;
}

void
rowmap_fini(struct rowmap *m)
{
	struct rowmap_item out;

	for (size_t i = 0; i < m->nbuckets; i++)
		while (m->bucket[i] != NULL)
			take(m, &m->bucket[i], &out);
	free(m->bucket);
	*m = (struct rowmap){ 0 };
}
