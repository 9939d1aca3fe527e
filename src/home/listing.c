#include "home/listing.h"

#include <stdlib.h>
#include <string.h>

#include "proto/s3_listing.h"

#define SHA256_HEX	64

enum listed_form
listed_read(struct span name, struct uuid *id)
{
	struct span stem = name;

	if (s3_held_name(name, id))
		return LISTED_OBJECT;
	if (name.n < 4 || name.n >= LISTING_NAME)
		return LISTED_FOREIGN;
	stem.n -= 4;
	if (stem.n != SHA256_HEX || memcmp(name.p + stem.n, ".eml", 4) != 0)
		return LISTED_FOREIGN;
	for (size_t i = 0; i < stem.n; i++)
		if (strchr("0123456789abcdef", stem.p[i]) == NULL || stem.p[i] == '\0')
			return LISTED_FOREIGN;
	return LISTED_OLD;
}

static int
older(const void *pa, const void *pb)
{
	const struct listed *a = pa, *b = pb;

	if (a->modified_ms != b->modified_ms)
		return a->modified_ms < b->modified_ms ? -1 : 1;
	return strcmp(a->name, b->name);
}

/* A heap with the youngest on top, for that is what an older one replaces. */
static void
sink(struct listing *l, size_t at)
{
	for (size_t child; (child = 2 * at + 1) < l->n; at = child) {
		struct listed x;

		if (child + 1 < l->n && older(&l->list[child], &l->list[child + 1]) < 0)
			child++;
		if (older(&l->list[child], &l->list[at]) <= 0)
			return;
		x = l->list[at];
		l->list[at] = l->list[child];
		l->list[child] = x;
	}
}

bool
listing_add(struct listing *l, const struct listed *one)
{
	l->octets += one->size;
	if (l->n == LISTING_MAX) {
		l->left++;
		if (older(one, &l->list[0]) < 0) {
			l->list[0] = *one;
			sink(l, 0);
		}
		return true;
	}
	if (l->n == l->room) {
		size_t room = l->room == 0 ? 64 : 2 * l->room;
		struct listed *list;

		if (room > LISTING_MAX)
			room = LISTING_MAX;
		if ((list = realloc(l->list, room * sizeof(*list))) == NULL)
			return false;
		l->list = list;
		l->room = room;
	}
	l->list[l->n++] = *one;
	if (l->n == LISTING_MAX)
		for (size_t i = l->n / 2; i-- > 0;)
			sink(l, i);
	return true;
}

void
listing_sort(struct listing *l)
{
	if (l->n > 0)
		qsort(l->list, l->n, sizeof(*l->list), older);
}

void
listing_fini(struct listing *l)
{
	free(l->list);
	*l = (struct listing){ .n = 0 };
}
