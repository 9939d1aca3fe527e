#include "edge/handover.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"

#define TUNNELS_MAX	8
#define LIST_MAX	64		/* rows asked for at once */
#define PAUSE_LEAST_MS	1000		/* after a 503: home's disk is full, say */
#define PAUSE_MOST_MS	60000
#define ASIDE_MS	300000		/* a row that home will not take waits so long for its next try */
#define ASIDE_MAX	1024		/* such rows remembered; beyond it they are just tried again sooner */
#define VERDICT_GRACE_MS 2000		/* beyond what home was asked to wait, for the line's sake */

/* One PUT. Lives from the row's choice until the row is deleted or given back. */
struct transfer {
	struct transfer	*next;
	struct handover	*ho;
	struct spool_object obj;
	struct h2_stream *stream;
	struct buf	 data;			/* a small object */
	int		 fd;			/* a large one, else -1 */
	uint64_t	 sent;
	unsigned	 status;		/* 0 until answered */
	struct ledger_mark mark;
	struct buf	 answer;		/* a 422's reply */
	struct ask	*ask;			/* a sender waits for this one */
	struct instant	 began;
	bool		 large;
	bool		 verdict;		/* asked for one */
};

struct aside {
	int64_t		row;
	struct instant	until;
};

struct ask {
	struct transfer	*t;
	verdict_fn	*fn;
	void		*arg;
	uv_timer_t	 timer;
};

struct handover {
	struct edge	*edge;
	struct home	*home;
	struct h2	*tunnels[TUNNELS_MAX];
	size_t		 ntunnels;
	size_t		 turn;
	struct transfer	*transfers;
	unsigned	 ntransfers, nlarge;
	struct spool_object *list;		/* chosen next, oldest first */
	size_t		 nlist, at;
	int64_t		 after;			/* the highest row listed */
	bool		 listing;
	bool		 more;			/* rows above `after` may be there */
	bool		 rescan;		/* and below: given back, released, set aside */
	struct aside	*aside;
	size_t		 naside;
	bool		 large_waits;		/* a large row was passed over for want of a place */
	uv_timer_t	*timer;			/* the end of a pause, or the return of a row set aside */
	int64_t		 pause_ms;
	struct instant	 paused_until;
	bool		 stale;			/* home's ledger is older than we have seen */
};

static void step(struct handover *);
static void arm(struct handover *);

static void
free_handle(uv_handle_t *h)
{
	free(h);
}

static void
on_timer(uv_timer_t *timer)
{
	struct handover *ho = timer->data;

	ho->rescan = true;
	arm(ho);
	step(ho);
}

/* The timer stands at the nearest moment at which something may go on. */
static void
arm(struct handover *ho)
{
	int64_t now = instant_now().ns, next = INT64_MAX;

	if (ho->paused_until.ns > now)
		next = ho->paused_until.ns;
	for (size_t i = 0; i < ho->naside; i++)
		if (ho->aside[i].until.ns > now && ho->aside[i].until.ns < next)
			next = ho->aside[i].until.ns;
	if (next == INT64_MAX)
		uv_timer_stop(ho->timer);
	else
		uv_timer_start(ho->timer, on_timer, (uint64_t)((next - now) / 1000000 + 1), 0);
}

static void
pause_for(struct handover *ho, int64_t ms)
{
	ho->paused_until.ns = instant_now().ns + ms * 1000000;
	arm(ho);
}

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
	ho->more = true;
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

unsigned
handover_tunnels(const struct handover *ho)
{
	return (unsigned)ho->ntunnels;
}

bool
handover_busy(const struct handover *ho)
{
	return ho->transfers != NULL;
}

/* --- rows that step aside ---------------------------------------------------------------- */

static void
set_aside(struct handover *ho, int64_t row, int64_t ms)
{
	if (ho->aside == NULL && (ho->aside = calloc(ASIDE_MAX, sizeof(*ho->aside))) == NULL)
		return;
	if (ho->naside == ASIDE_MAX)
		return;
	ho->aside[ho->naside++] = (struct aside){ row, { instant_now().ns + ms * 1000000 } };
	arm(ho);
}

static bool
is_aside(struct handover *ho, int64_t row)
{
	struct instant now = instant_now();

	for (size_t i = 0; i < ho->naside; i++) {
		if (ho->aside[i].row != row)
			continue;
		if (ho->aside[i].until.ns > now.ns)
			return true;
		ho->aside[i] = ho->aside[--ho->naside];
		return false;
	}
	return false;
}

/* --- one transfer ------------------------------------------------------------------------ */

static struct transfer *
transfer_new(struct handover *ho, const struct spool_object *obj)
{
	struct transfer *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->ho = ho;
	t->obj = *obj;
	t->fd = -1;
	t->began = instant_now();
	t->large = obj->size > edge_conf(ho->edge)->hold.threshold;
	buf_init(&t->data, obj->size > SIZE_MAX / 2 ? SIZE_MAX / 2 : (size_t)obj->size);
	buf_init(&t->answer, H2_REPLY_MAX);
	t->next = ho->transfers;
	ho->transfers = t;
	ho->ntransfers++;
	ho->nlarge += t->large;
	return t;
}

static void
free_ask(uv_handle_t *timer)
{
	free(timer->data);
}

/* The only end of a question: tells the session, if it is still there. */
static void
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

static void
transfer_free(struct transfer *t)
{
	struct handover *ho = t->ho;

	for (struct transfer **at = &ho->transfers; *at != NULL; at = &(*at)->next)
		if (*at == t) {
			*at = t->next;
			break;
		}
	ho->ntransfers--;
	if (t->large) {
		ho->nlarge--;
		ho->rescan |= ho->large_waits;
		ho->large_waits = false;
	}
	if (t->fd >= 0)
		close(t->fd);
	buf_fini(&t->data);
	buf_fini(&t->answer);
	free(t);
	step(ho);
}

/* The row stays in the spool and comes again. */
static void
give_back(struct transfer *t)
{
	struct handover *ho = t->ho;

	if (t->verdict)
		spool_release(ho->edge->spool, t->obj.row);
	ask_over(t, VERDICT_LATE, NULL);
	ho->rescan = true;
	transfer_free(t);
}

static void
on_deleted(void *arg, bool ok, const struct why *why)
{
	struct transfer *t = arg;

	if (!ok) {
		/* Home has it and so have we: it goes again, and home knows its key. */
		log_warn(NULL, "handover.delete home=%s id=%s: %s", t->ho->home->name,
		    uuid_text(t->obj.meta.id).s, why->text);
		give_back(t);
		return;
	}
	board_add(edge_board(t->ho->edge), BC_HANDED_OVER, 1);
	log_info(NULL, "handover.done home=%s id=%s size=%llu ms=%lld", t->ho->home->name,
	    uuid_text(t->obj.meta.id).s, (unsigned long long)t->obj.size,
	    (long long)instant_ms_since(t->began, instant_now()));
	transfer_free(t);
}

static void
on_marked(void *arg, bool ok, const struct why *why)
{
	struct transfer *t = arg;
	struct handover *ho = t->ho;

	if (!ok) {
		board_add(edge_board(ho->edge), BC_STALE_LEDGER, 1);
		if (!ho->stale)
			log_error(NULL, "handover.stale home=%s id=%s: %s", ho->home->name,
			    uuid_text(t->obj.meta.id).s, why->text);
		ho->stale = true;
		pause_for(ho, PAUSE_MOST_MS);
		give_back(t);
		return;
	}
	ho->stale = false;
	spool_delete(ho->edge->spool, t->obj.row, on_deleted, t);
}

static void
on_refused(struct transfer *t)
{
	struct smtp_reply reply;

	if (t->ask == NULL || t->ask->fn == NULL || !smtp_reply_parse(buf_span(&t->answer), &reply) ||
	    !smtp_reply_permanent(&reply)) {
		/* Nobody was told 5xx: home learns by the next PUT, which does not ask. */
		give_back(t);
		return;
	}
	ask_over(t, VERDICT_REFUSED, &reply);
	transfer_free(t);
}

static void
on_declined(struct transfer *t)
{
	struct handover *ho = t->ho;
	char reason[H2_REPLY_MAX + 32];

	board_add(edge_board(ho->edge), BC_HANDOVER_FAILED, 1);
	snprintf(reason, sizeof(reason), "home answered %u: %s", t->status, log_safe(buf_span(&t->answer)).s);
	spool_failed(ho->edge->spool, t->obj.row, reason);
	if (t->status == 503) {
		ho->pause_ms = ho->pause_ms == 0 ? PAUSE_LEAST_MS : ho->pause_ms * 2;
		if (ho->pause_ms > PAUSE_MOST_MS)
			ho->pause_ms = PAUSE_MOST_MS;
		log_warn(NULL, "handover.later home=%s id=%s wait_ms=%lld: %s", ho->home->name,
		    uuid_text(t->obj.meta.id).s, (long long)ho->pause_ms, reason);
		pause_for(ho, ho->pause_ms);
	} else {
		log_error(NULL, "handover.refused home=%s id=%s kept=here: %s", ho->home->name,
		    uuid_text(t->obj.meta.id).s, reason);
		set_aside(ho, t->obj.row, ASIDE_MS);
	}
	give_back(t);
}

static void
on_head(void *arg, const struct h2_head *head)
{
	struct transfer *t = arg;
	struct span mark = h2_header_get(head, "posthouse-ledger");
	const char *dot = mark.n > 0 ? memchr(mark.p, '.', mark.n) : NULL;
	unsigned long long epoch, counter;

	t->status = head->status;
	if (dot != NULL && span_u64(span_of(mark.p, (size_t)(dot - mark.p)), INT64_MAX, &epoch) &&
	    span_u64(span_from(mark, (size_t)(dot - mark.p) + 1), INT64_MAX, &counter))
		t->mark = (struct ledger_mark){ epoch, counter };
}

static void
on_data(void *arg, struct span s)
{
	struct transfer *t = arg;
	size_t room = t->answer.max - t->answer.n;

	h2_consumed(t->stream, s.n);
	buf_add(&t->answer, s.p, s.n < room ? s.n : room);
}

static void
on_closed(void *arg, const struct why *why)
{
	struct transfer *t = arg;

	t->stream = NULL;
	if (t->status == 0) {
		log_debug(NULL, "handover.cut home=%s id=%s: %s", t->ho->home->name,
		    uuid_text(t->obj.meta.id).s, why != NULL ? why->text : "no answer");
		if (t->ho->ntunnels > 0)
			pause_for(t->ho, PAUSE_LEAST_MS);
		give_back(t);
	} else if (t->status == 200 || t->status == 201 || t->status == 202) {
		t->ho->pause_ms = 0;
		ask_over(t, VERDICT_TAKEN, NULL);
		spool_mark(t->ho->edge->spool, t->ho->home->name, t->mark, on_marked, t);
	} else if (t->status == 422) {
		on_refused(t);
	} else {
		on_declined(t);
	}
}

static const struct h2_stream_ops put_ops = { .head = on_head, .data = on_data, .closed = on_closed };

static ssize_t
pull(void *arg, void *out, size_t max, bool *eof)
{
	struct transfer *t = arg;
	uint64_t left = t->obj.size - t->sent;
	ssize_t n = (ssize_t)(left < max ? left : max);

	if (t->fd >= 0) {
		/* The file is our own disk's: a short wait here is the price of needing no thread. */
		if ((n = read(t->fd, out, (size_t)n)) <= 0 && left > 0)
			return -1;
	} else {
		memcpy(out, t->data.p + t->sent, (size_t)n);
	}
	t->sent += (uint64_t)n;
	*eof = t->sent == t->obj.size;
	return n;
}

static struct h2 *
next_tunnel(struct handover *ho)
{
	return ho->ntunnels == 0 ? NULL : ho->tunnels[ho->turn++ % ho->ntunnels];
}

static bool
put_object(struct transfer *t)
{
	struct handover *ho = t->ho;
	struct h2 *tunnel = next_tunnel(ho);
	char path[64], mac[2 * OBJECT_MAC_LEN + 1], length[24], wait[32];
	struct h2_header headers[3] = {
		{ "posthouse-mac", { mac, 2 * OBJECT_MAC_LEN } },
		{ "content-length", { length, 0 } },
		{ "prefer", { wait, 0 } },
	};
	struct h2_head head = { .method = SPAN_LIT("PUT"), .headers = headers,
		.nheaders = t->ask != NULL ? 3 : 2 };

	if (tunnel == NULL)
		return false;
	hex_encode(t->obj.mac, OBJECT_MAC_LEN, mac);
	headers[1].value.n = (size_t)snprintf(length, sizeof(length), "%llu", (unsigned long long)t->obj.size);
	headers[2].value.n = (size_t)snprintf(wait, sizeof(wait), "wait=%lld",
	    (long long)((edge_conf(ho->edge)->verdict_ms + 999) / 1000));
	snprintf(path, sizeof(path), "/mail/%s", uuid_text(t->obj.meta.id).s);
	head.path = span_str(path);
	head.authority = span_str(ho->home->name);
	t->stream = h2_request(tunnel, &head, pull, t, &put_ops, t);
	return t->stream != NULL;
}

static void
on_content(void *arg, int64_t row, struct spool_content *c, const struct why *why)
{
	struct transfer *t = arg;
	struct handover *ho = t->ho;

	if (!c->ok) {
		log_error(NULL, "handover.read home=%s id=%s row=%lld: %s", ho->home->name,
		    uuid_text(t->obj.meta.id).s, (long long)row, why->text);
		set_aside(ho, row, ASIDE_MS);
		give_back(t);
		return;
	}
	t->fd = c->fd;
	if ((t->fd == -1 && !buf_add_span(&t->data, c->data)) ||
	    (t->fd == -1 && c->data.n != t->obj.size) || !put_object(t)) {
		if (ho->ntunnels > 0)
			pause_for(ho, PAUSE_LEAST_MS);
		give_back(t);
	}
}

/* --- choosing ---------------------------------------------------------------------------- */

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
	if (!ok) {
		pause_for(ho, PAUSE_LEAST_MS);
		return;
	}
	ho->more = n == LIST_MAX;
	if (n > 0 && ho->list == NULL && (ho->list = calloc(LIST_MAX, sizeof(*ho->list))) == NULL) {
		pause_for(ho, PAUSE_LEAST_MS);
		return;
	}
	for (size_t i = 0; i < n && i < LIST_MAX; i++)
		ho->list[ho->nlist++] = obj[i];
	if (n > 0)
		ho->after = obj[n - 1].row;
	step(ho);
}

static void
list_more(struct handover *ho)
{
	if (ho->listing || (!ho->more && !ho->rescan))
		return;
	if (!ho->more) {
		ho->rescan = false;
		ho->after = 0;
	}
	ho->listing = true;
	spool_list(ho->edge->spool, ho->home->name, ho->after, LIST_MAX, on_list, ho);
}

/* Begins as many transfers as there are places; the oldest first, but a large one waits for its half. */
static void
step(struct handover *ho)
{
	unsigned places = edge_conf(ho->edge)->handover;
	unsigned large_places = places / 2 > 0 ? places / 2 : 1;

	if (ho->ntunnels == 0 || ho->edge->draining || ho->paused_until.ns > instant_now().ns)
		return;
	while (ho->ntransfers < places) {
		const struct spool_object *obj;
		struct transfer *t;

		if (ho->at == ho->nlist) {
			list_more(ho);
			return;
		}
		obj = &ho->list[ho->at++];
		if (under_way(ho, obj->row) || is_aside(ho, obj->row))
			continue;
		if (obj->size > edge_conf(ho->edge)->hold.threshold && ho->nlarge >= large_places) {
			ho->large_waits = true;
			continue;
		}
		if ((t = transfer_new(ho, obj)) == NULL) {
			pause_for(ho, PAUSE_LEAST_MS);
			return;
		}
		spool_get(ho->edge->spool, t->obj.row, on_content, t);
	}
}

void
handover_work(struct handover *ho)
{
	ho->more = true;
	step(ho);
}

void
handover_up(struct handover *ho, struct h2 *h2)
{
	if (ho->ntunnels == TUNNELS_MAX)
		return;
	ho->tunnels[ho->ntunnels++] = h2;
	ho->rescan = ho->more = true;
	ho->paused_until.ns = 0;
	ho->pause_ms = 0;
	step(ho);
}

void
handover_down(struct handover *ho, struct h2 *h2)
{
	for (size_t i = 0; i < ho->ntunnels; i++)
		if (ho->tunnels[i] == h2) {
			ho->tunnels[i] = ho->tunnels[--ho->ntunnels];
			return;
		}
}

/* --- verdicts ---------------------------------------------------------------------------- */

static void
on_verdict_late(uv_timer_t *timer)
{
	struct ask *a = timer->data;
	struct transfer *t = a->t;

	board_add(edge_board(t->ho->edge), BC_VERDICTS_LATE, 1);
	ask_over(t, VERDICT_LATE, NULL);
}

struct ask *
handover_ask(struct handover *ho, const struct spool_object *obj, verdict_fn *fn, void *arg)
{
	const struct conf_edge *conf = edge_conf(ho->edge);
	struct ask *a;

	if (ho->ntunnels == 0 || ho->stale || ho->edge->verdicts >= conf->verdicts ||
	    (a = calloc(1, sizeof(*a))) == NULL)
		return NULL;
	if ((a->t = transfer_new(ho, obj)) == NULL) {
		free(a);
		return NULL;
	}
	a->t->ask = a;
	a->t->verdict = true;
	a->fn = fn;
	a->arg = arg;
	uv_timer_init(ho->edge->loop, &a->timer);
	a->timer.data = a;
	uv_timer_start(&a->timer, on_verdict_late, (uint64_t)(conf->verdict_ms + VERDICT_GRACE_MS), 0);
	ho->edge->verdicts++;
	board_add(edge_board(ho->edge), BC_VERDICTS_ASKED, 1);
	spool_get(ho->edge->spool, obj->row, on_content, a->t);
	return a;
}

void
handover_unask(struct ask **ap)
{
	if (*ap != NULL)
		(*ap)->fn = NULL;
	*ap = NULL;
}

/* A DELETE whose loss costs nothing: home keeps a refused message that nobody asks about. */
struct confirm {
	struct handover	*ho;
	struct uuid	 id;
};

static void
on_confirm_closed(void *arg, const struct why *why)
{
}

static const struct h2_stream_ops confirm_ops = { .closed = on_confirm_closed };

static void
on_refused_deleted(void *arg, bool ok, const struct why *why)
{
	struct confirm *c = arg;
	struct h2 *tunnel = next_tunnel(c->ho);
	struct h2_head head = { .method = SPAN_LIT("DELETE"), .authority = span_str(c->ho->home->name) };
	char path[64];

	if (!ok) {
		/* It is still here, then, and goes home as if 250 had been said: parked there, not lost. */
		log_warn(NULL, "verdict.delete home=%s id=%s: %s", c->ho->home->name, uuid_text(c->id).s, why->text);
	} else if (tunnel != NULL) {
		snprintf(path, sizeof(path), "/mail/%s", uuid_text(c->id).s);
		head.path = span_str(path);
		h2_request(tunnel, &head, NULL, NULL, &confirm_ops, NULL);
	}
	free(c);
}

void
handover_refused(struct handover *ho, int64_t row, struct uuid id)
{
	struct confirm *c = malloc(sizeof(*c));

	if (c == NULL) {
		spool_release(ho->edge->spool, row);
		return;
	}
	*c = (struct confirm){ ho, id };
	spool_delete(ho->edge->spool, row, on_refused_deleted, c);
}
