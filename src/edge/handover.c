#include "edge/handover.h"

#include <stdlib.h>
#include <string.h>

#include "edge/handover_in.h"

#define LIST_MAX	64	/* rows asked for at once */
/* After a failure of our own: memory, or the writer is being started again. */
#define RETRY_MS	1000
/* Rows remembered as set aside; all others wait for the next pass. */
#define ASIDE_MAX	1024

static void arm(struct handover *);

/* --- time ---------------------------------------------------------------------------------- */

static void
free_handle(uv_handle_t *h)
{
	free(h);
}

static void
forget_expired(struct handover *ho, int64_t now)
{
	for (size_t i = 0; i < ho->naside;)
		if (ho->aside[i].until.ns <= now)
			ho->aside[i] = ho->aside[--ho->naside];
		else
			i++;
}

static void
on_timer(uv_timer_t *timer)
{
	struct handover *ho = timer->data;
	int64_t now = instant_now().ns;

	forget_expired(ho, now);
	if (ho->again.ns <= now)
		ho->again.ns = 0;
	ho->rescan = true;
	arm(ho);
	handover_step(ho);
}

/* The timer stands at the nearest moment at which something may go on. */
static void
arm(struct handover *ho)
{
	int64_t now = instant_now().ns, next = INT64_MAX;

	if (ho->paused_until.ns > now)
		next = ho->paused_until.ns;
	if (ho->again.ns > 0 && ho->again.ns < next)
		next = ho->again.ns;
	for (size_t i = 0; i < ho->naside; i++)
		if (ho->aside[i].until.ns < next)
			next = ho->aside[i].until.ns;
	if (next == INT64_MAX)
		uv_timer_stop(ho->timer);
	else
		uv_timer_start(ho->timer, on_timer,
		    next <= now ? 1 : (uint64_t)((next - now) / 1000000 + 1), 0);
}

bool
handover_paused(const struct handover *ho)
{
	return ho->paused_until.ns > instant_now().ns;
}

void
handover_pause(struct handover *ho, int64_t ms)
{
	int64_t until = instant_now().ns + ms * 1000000;

	if (until > ho->paused_until.ns)
		ho->paused_until.ns = until;
	arm(ho);
}

/*
 * Where there are more such rows than can be remembered, those beyond it wait for
 * the next pass through all: they must neither stop the others nor go round at the
 * speed of the line.
 */
void
handover_aside(struct handover *ho, int64_t row, int64_t ms)
{
	struct instant now = instant_now(), until = { now.ns + ms * 1000000 };

	if (ms == 0) {
		ho->rescan = true;
		return;
	}
	if (ho->aside == NULL)
		ho->aside = calloc(ASIDE_MAX, sizeof(*ho->aside));
	if (ho->naside == ASIDE_MAX)
		forget_expired(ho, now.ns);
	if (ho->aside != NULL && ho->naside < ASIDE_MAX)
		ho->aside[ho->naside++] = (struct aside){ row, until };
	else if (ho->again.ns == 0 || until.ns < ho->again.ns)
		ho->again = until;
	arm(ho);
}

static bool
is_aside(const struct handover *ho, int64_t row)
{
	int64_t now = instant_now().ns;

	for (size_t i = 0; i < ho->naside; i++)
		if (ho->aside[i].row == row && ho->aside[i].until.ns > now)
			return true;
	return false;
}

/* --- choosing ------------------------------------------------------------------------------ */

static bool
under_way(const struct handover *ho, int64_t row)
{
	for (const struct transfer *t = ho->transfers; t != NULL; t = t->next)
		if (t->obj.row == row)
			return true;
	return false;
}

static void
on_list(void *arg, bool ok, const struct spool_object *obj, size_t n)
{
	struct handover *ho = arg;

	ho->listing = false;
	ho->nlist = ho->at = 0;
	if (ok && ho->list == NULL)
		ho->list = calloc(LIST_MAX, sizeof(*ho->list));
	if (!ok || ho->list == NULL) {
		ho->rescan = true;		/* whatever it was that was asked for */
		handover_pause(ho, RETRY_MS);
		return;
	}
	if (n > LIST_MAX)
		n = LIST_MAX;
	ho->more |= n == LIST_MAX;
	for (size_t i = 0; i < n; i++)
		ho->list[ho->nlist++] = obj[i];
	if (n > 0)
		ho->after = obj[n - 1].row;
	handover_step(ho);
}

/*
 * What was given back is older than what comes next, so it is looked for first.
 * `more` falls when the question is asked: who says meanwhile that there is more
 * is asked about again.
 */
static void
list_more(struct handover *ho)
{
	if (ho->listing || (!ho->more && !ho->rescan))
		return;
	if (ho->rescan)
		ho->after = 0;
	ho->more = ho->rescan = false;
	ho->at = ho->nlist;
	ho->listing = true;
	spool_list(ho->edge->spool, ho->home->name, ho->after, LIST_MAX, on_list, ho);
}

/*
 * Begins as many transfers as there are places; the oldest first, but a
 * large one waits for its half.
 */
void
handover_step(struct handover *ho)
{
	const struct conf_edge *conf = edge_conf(ho->edge);
	/*
	 * With an older ledger at home nothing leaves us: one object at a time
	 * finds out whether it still is.
	 */
	unsigned places = ho->stale.epoch != 0 ? 1 : conf->handover;
	unsigned large_places = places / 2 > 0 ? places / 2 : 1;

	if (ho->home->lanes.n == 0 || ho->edge->draining || handover_paused(ho))
		return;
	if (ho->rescan)
		ho->at = ho->nlist;
	while (ho->nbulk < places) {
		const struct spool_object *obj;
		struct transfer *t;

		if (ho->at == ho->nlist) {
			list_more(ho);
			return;
		}
		obj = &ho->list[ho->at++];
		if (under_way(ho, obj->row) || is_aside(ho, obj->row))
			continue;
		if (obj->size > conf->hold.threshold && ho->nlarge >= large_places) {
			ho->large_waits = true;
			continue;
		}
		if ((t = transfer_new(ho, obj, false)) == NULL) {
			ho->rescan = true;
			handover_pause(ho, RETRY_MS);
			return;
		}
		transfer_begin(t);
	}
}

void
handover_work(struct handover *ho)
{
	ho->more = true;
	handover_step(ho);
}

void
handover_recheck(struct handover *ho)
{
	ho->rescan = true;
	handover_step(ho);
}

void
handover_again(struct handover *ho)
{
	ho->paused_until.ns = ho->again.ns = ho->pause_ms = 0;
	ho->naside = 0;
	arm(ho);
	handover_recheck(ho);
}

/* --- tunnels ------------------------------------------------------------------------------- */

/* A new tunnel is a new chance for whatever failed before: home may have been mended. */
bool
handover_up(struct handover *ho, struct h2 *h2)
{
	if (!lanes_add(&ho->home->lanes, h2))
		return false;
	handover_again(ho);
	return true;
}

void
handover_down(struct handover *ho, struct h2 *h2)
{
	lanes_drop(&ho->home->lanes, h2);
}

struct h2_stream *
handover_request(struct handover *ho, struct h2_head *head, h2_pull_fn *pull, void *pull_arg,
    const struct h2_stream_ops *ops, void *arg)
{
	head->authority = span_str(ho->home->name);
	return lanes_request(&ho->home->lanes, LANE_BULK, head, pull, pull_arg, ops, arg);
}

unsigned
handover_tunnels(const struct handover *ho)
{
	return (unsigned)ho->home->lanes.n;
}

/* --- coming and going ---------------------------------------------------------------------- */

struct handover *
handover_new(struct edge *e, struct home *h)
{
	struct handover *ho = calloc(1, sizeof(*ho));

	if (ho == NULL || (ho->timer = malloc(sizeof(*ho->timer))) == NULL) {
		free(ho);
		return NULL;
	}
	ho->edge = e;
	ho->home = h;
	ho->rescan = true;
	uv_timer_init(e->loop, ho->timer);
	uv_unref((uv_handle_t *)ho->timer);
	ho->timer->data = ho;
	return ho;
}

void
handover_free(struct handover **hop)
{
	struct handover *ho = *hop;

	if (ho == NULL)
		return;
	uv_close((uv_handle_t *)ho->timer, free_handle);
	free(ho->list);
	free(ho->aside);
	free(ho);
	*hop = NULL;
}

bool
handover_busy(const struct handover *ho)
{
	return ho->transfers != NULL;
}

void
handover_sweep(struct handover *ho, struct instant now)
{
	transfers_sweep(ho, now);
}
