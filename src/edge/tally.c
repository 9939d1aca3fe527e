#include "edge/tally.h"

#include <stdlib.h>
#include <string.h>

struct entry {
	struct uuid	 id;
	unsigned char	 net[16];
	uint32_t	 home;		/* its place among the names */
	bool		 seen;
	uint64_t	 size;
};

struct tally {
	struct entry	*list;
	size_t		 n, room;
	/*
	 * While a look goes on, the first so many were there when it began, in the order of their
	 * ids; 0: no look goes on.
	 */
	size_t		 old;
	struct uuid	 last;		/* that the look has found */
	bool		 found;
	char		 (*homes)[PAIRING_NAME_MAX + 1];
	uint32_t	 nhomes;
};

#define NO_HOME		UINT32_MAX

static uint32_t
home_find(const struct tally *t, const char *name)
{
	for (uint32_t i = 0; i < t->nhomes; i++)
		if (strcmp(t->homes[i], name) == 0)
			return i;
	return NO_HOME;
}

/* NO_HOME: memory is out. */
static uint32_t
home_take(struct tally *t, const char *name)
{
	uint32_t i = home_find(t, name);
	char (*more)[PAIRING_NAME_MAX + 1];

	if (i != NO_HOME)
		return i;
	if ((more = reallocarray(t->homes, t->nhomes + 1, sizeof(*more))) == NULL)
		return NO_HOME;
	t->homes = more;
	span_copy(span_str(name), t->homes[t->nhomes], sizeof(t->homes[0]));
	return t->nhomes++;
}

void
tally_add(struct tally *t, const struct spool_meta *m, uint64_t size)
{
	size_t room = t->room == 0 ? 256 : 2 * t->room;
	struct entry *more;
	uint32_t home;

	if (t->n == TALLY_MAX || (home = home_take(t, m->home)) == NO_HOME)
		return;
	if (t->n == t->room) {
		if ((more = reallocarray(t->list, room, sizeof(*more))) == NULL)
			return;
		t->list = more;
		t->room = room;
	}
	t->list[t->n] = (struct entry){ .id = m->id, .home = home, .size = size };
	memcpy(t->list[t->n++].net, m->client_net.ip, sizeof(t->list[0].net));
}

uint64_t
tally_octets(const struct tally *t, const char *home, const struct netaddr *net)
{
	uint32_t h = home_find(t, home);
	uint64_t sum = 0;

	for (size_t i = 0; i < t->n; i++)
		if (t->list[i].home == h && (net == NULL ||
		    memcmp(t->list[i].net, net->ip, sizeof(net->ip)) == 0))
			sum += t->list[i].size;
	return sum;
}

/* --- what is gone --------------------------------------------------------------------------- */

static int
by_id(const void *a, const void *b)
{
	return memcmp(((const struct entry *)a)->id.b, ((const struct entry *)b)->id.b,
	    sizeof(struct uuid));
}

void
tally_look(struct tally *t)
{
	if (t->n > 0)
		qsort(t->list, t->n, sizeof(t->list[0]), by_id);
	for (size_t i = 0; i < t->n; i++)
		t->list[i].seen = false;
	t->old = t->n;
	t->found = false;
}

void
tally_seen(struct tally *t, struct uuid id)
{
	struct entry key = { .id = id }, *e = t->old == 0 ? NULL :
	    bsearch(&key, t->list, t->old, sizeof(key), by_id);

	if (e != NULL)
		e->seen = true;
	if (!t->found || memcmp(id.b, t->last.b, sizeof(id.b)) > 0)
		t->last = id;
	t->found = true;
}

bool
tally_looked(struct tally *t, bool whole)
{
	size_t n = t->n, kept = 0;

	for (size_t i = 0; i < n; i++) {
		const struct entry *e = &t->list[i];
		bool passed = whole || (t->found && memcmp(e->id.b, t->last.b,
		    sizeof(e->id.b)) <= 0);

		if (i >= t->old || e->seen || !passed)
			t->list[kept++] = *e;
	}
	t->n = kept;
	t->old = 0;
	return kept < n;
}

/* --- its life ------------------------------------------------------------------------------- */

struct tally *
tally_new(void)
{
	return calloc(1, sizeof(struct tally));
}

void
tally_free(struct tally **tp)
{
	struct tally *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	free(t->list);
	free(t->homes);
	free(t);
}
