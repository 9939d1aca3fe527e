#include "net/later.h"

#include <assert.h>
#include <stdlib.h>

/*
 * An idle handle, not a prepare handle: it also runs when something was added by a
 * prepare or check callback, as an active idle handle keeps the loop from sleeping.
 */
struct laters {
	uv_idle_t	 idle;
	uv_loop_t	*loop;
	struct laters	*next;
	struct later	 list;		/* the ring's own link */
	unsigned	 holds;
};

static _Thread_local struct laters *all;		/* one a loop: mostly one */
static _Thread_local char *scratches[SCRATCH_COUNT];	/* kept for the life of the thread */

static void
ring_append(struct later *ring, struct later *l)
{
	l->next = ring;
	l->prev = ring->prev;
	ring->prev->next = l;
	ring->prev = l;
}

void
later_cancel(struct later *l)
{
	if (l->next == NULL)
		return;
	l->prev->next = l->next;
	l->next->prev = l->prev;
	l->next = l->prev = NULL;
}

static void
on_idle(uv_idle_t *idle)
{
	struct laters *ls = idle->data;
	struct later now = { &now, &now, NULL }, *l;

	/* Only what is on the list now: what these add waits, so that I/O is not starved. */
	while ((l = ls->list.next) != &ls->list) {
		later_cancel(l);
		ring_append(&now, l);
	}
	while ((l = now.next) != &now) {
		later_cancel(l);
		l->fn(l);
	}
	if (ls->list.next == &ls->list && ls->holds > 0)
		uv_idle_stop(idle);
}

static void
on_idle_closed(uv_handle_t *h)
{
	free(h->data);
}

struct laters *
laters_hold(uv_loop_t *loop)
{
	struct laters *ls;

	for (ls = all; ls != NULL; ls = ls->next)
		if (ls->loop == loop)
			break;
	if (ls == NULL) {
		if ((ls = calloc(1, sizeof(*ls))) == NULL)
			return NULL;
		ls->loop = loop;
		ls->list.next = ls->list.prev = &ls->list;
		uv_idle_init(loop, &ls->idle);
		ls->idle.data = ls;
		ls->next = all;
		all = ls;
	}
	ls->holds++;
	return ls;
}

void
laters_drop(struct laters *ls)
{
	struct laters **p;

	assert(ls->holds > 0);
	if (--ls->holds > 0)
		return;
	assert(ls->list.next == &ls->list);
	for (p = &all; *p != ls; p = &(*p)->next)
		;
	*p = ls->next;
	uv_close((uv_handle_t *)&ls->idle, on_idle_closed);
}

void
later_add(struct laters *ls, struct later *l)
{
	if (l->next != NULL)
		return;
	ring_append(&ls->list, l);
	if (!uv_is_active((uv_handle_t *)&ls->idle))
		uv_idle_start(&ls->idle, on_idle);
}

char *
scratch(enum scratch which)
{
	if (scratches[which] == NULL)
		scratches[which] = malloc(SCRATCH_SIZE + SCRATCH_MORE);
	return scratches[which];
}
