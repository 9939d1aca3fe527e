#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "edge/handover_in.h"
#include "net/awake.h"

#define GRACE_MS	2000	/* beyond what home was asked to wait, for the line's sake */

static void
free_ask(uv_handle_t *timer)
{
	free(timer->data);
}

void
ask_over(struct transfer *t, enum verdict v, const struct smtp_reply *reply)
{
	struct ask *a = t->ask;

	if (a == NULL)
		return;
	t->ask = NULL;
	a->t = NULL;
	t->ho->edge->verdicts--;
	uv_close((uv_handle_t *)&a->timer, free_ask);
	if (a->fn != NULL)
		a->fn(a->arg, v, reply);
}

/* The PUT goes on: should home refuse after all, it is told by another that does not ask. */
static void
on_late(uv_timer_t *timer)
{
	struct ask *a = timer->data;
	struct transfer *t = a->t;

	if (!awake_over(timer, on_late, a->due))
		return;
	board_add(edge_board(t->ho->edge), BC_VERDICTS_LATE, 1);
	ask_over(t, VERDICT_LATE, NULL);
}

struct ask *
handover_ask(struct handover *ho, const struct spool_object *obj, verdict_fn *fn, void *arg)
{
	const struct conf_edge *conf = edge_conf(ho->edge);
	struct ask *a;

	if (ho->home->lanes.n == 0 || ho->stale.epoch != 0 || handover_paused(ho) ||
	    ho->edge->draining || ho->edge->verdicts >= conf->verdicts ||
	    (a = calloc(1, sizeof(*a))) == NULL)
		return NULL;
	if ((a->t = transfer_new(ho, obj, true)) == NULL) {
		free(a);
		return NULL;
	}
	a->t->ask = a;
	a->fn = fn;
	a->arg = arg;
	uv_timer_init(ho->edge->loop, &a->timer);
	a->timer.data = a;
	awake_timer(&a->timer, on_late, conf->verdict_ms + GRACE_MS, &a->due);
	ho->edge->verdicts++;
	board_add(edge_board(ho->edge), BC_VERDICTS_ASKED, 1);
	transfer_begin(a->t);
	return a;
}

void
handover_unask(struct ask **ap)
{
	if (*ap != NULL)
		(*ap)->fn = NULL;
	*ap = NULL;
}

void
handover_release(struct handover *ho, int64_t row)
{
	spool_release(ho->edge->spool, row);
	/* It was passed by while it was hidden, or is by a list that is on its way. */
	if (row <= ho->after || ho->listing)
		ho->rescan = true;
	handover_work(ho);
}

/* --- the sender was told 5xx --------------------------------------------------------------- */

/* A DELETE whose loss costs nothing: home keeps a refused message that nobody asks about. */
struct confirm {
	struct handover	*ho;
	int64_t		 row;
	struct uuid	 id;
};

static void
on_confirm_closed(void *arg, const struct why *why)
{
}

static const struct h2_stream_ops confirm_ops = { .closed = on_confirm_closed };

static void
on_deleted(void *arg, bool ok, const struct why *why)
{
	struct confirm *c = arg;
	struct h2_head head = { .method = SPAN_LIT("DELETE") };
	char path[64];

	if (!ok) {
		/*
		 * It is still here, then, and goes home as if 250 had been said:
		 * parked there, not lost.
		 */
		log_warn(NULL, "verdict.delete home=%s id=%s: %s", c->ho->home->name,
		    uuid_text(c->id).s, why->text);
		handover_release(c->ho, c->row);
	} else {
		snprintf(path, sizeof(path), "/mail/%s", uuid_text(c->id).s);
		head.path = span_str(path);
		handover_request(c->ho, &head, NULL, NULL, &confirm_ops, NULL);
	}
	free(c);
}

void
handover_refused(struct handover *ho, int64_t row, struct uuid id)
{
	struct confirm *c = malloc(sizeof(*c));

	if (c == NULL) {
		handover_release(ho, row);
		return;
	}
	*c = (struct confirm){ ho, row, id };
	spool_delete(ho->edge->spool, row, on_deleted, c);
}
