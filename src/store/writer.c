#include "store/writer.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/writer_in.h"

#define TICK_MS		1000
#define REMEMBER_MS	(30LL * 24 * 3600 * 1000)	/* beyond max_hold: an edge that was off that long */

/* --- the batch --------------------------------------------------------------------------------- */

struct answer *
writer_answer(struct client *c, uint64_t tag, enum wire_type type)
{
	struct answer *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;	/* the question stays open until the channel ends; nothing was promised */
	a->client = c;
	a->tag = tag;
	a->type = type;
	buf_init(&a->body, CHAN_BODY_MAX);
	*c->w->answers_end = a;
	c->w->answers_end = &a->next;
	return a;
}

static void
fill(struct answer *a, const struct wire_out *out)
{
	if (a != NULL)
		buf_add_span(&a->body, wire_span(out));
}

void
writer_answer_kept(struct client *c, uint64_t tag, enum kept kept, int64_t row, const struct why *why)
{
	struct wire_out out = { .n = 0 };

	struct answer *a = writer_answer(c, tag, WA_KEPT);

	wire_u8(&out, kept);
	wire_u64(&out, (uint64_t)row);
	wire_text(&out, why->text);
	fill(a, &out);
	if (a != NULL && kept == KEPT)
		a->row = row;
}

void
writer_answer_done(struct client *c, uint64_t tag, bool ok, const struct why *why)
{
	struct wire_out out = { .n = 0 };

	wire_u8(&out, ok);
	wire_text(&out, ok ? "" : why->text);
	fill(writer_answer(c, tag, WA_DONE), &out);
}

void
writer_answer_outcome(struct client *c, uint64_t tag, enum outcome outcome, const struct smtp_reply *reply)
{
	static const struct smtp_reply nothing;
	struct wire_out out = { .n = 0 };

	wire_u8(&out, outcome);
	wire_reply(&out, reply != NULL ? reply : &nothing);
	fill(writer_answer(c, tag, WA_OUTCOME), &out);
}

void
writer_send_head(struct client *c, enum wire_type type, uint64_t tag, const struct wire_out *head, struct span tail, int fd)
{
	struct span parts[2] = { wire_span(head), tail };

	chan_send(c->chan, (uint16_t)type, tag, parts, 2, fd);
}

/* What an answer says when its batch did not become durable. */
static void
turn_bad(struct answer *a, const struct why *why, bool full)
{
	struct wire_out out = { .n = 0 };

	switch (a->type) {
	case WA_KEPT:
		wire_u8(&out, full ? KEPT_FULL : NOT_KEPT);
		wire_u64(&out, 0);
		wire_text(&out, why->text);
		break;
	case WA_DONE:
		wire_u8(&out, 0);
		wire_text(&out, why->text);
		break;
	case WA_OUTCOME:
		wire_u8(&out, OUTCOME_PENDING);
		wire_reply(&out, &(struct smtp_reply){ .code = 0 });
		break;
	case WA_PAIRED:
		wire_text(&out, why->text);
		break;
	default:
		return;		/* a read: it sees what is there now */
	}
	buf_clear(&a->body);
	fill(a, &out);
}

void
writer_undo(struct writer *w, const struct why *why)
{
	bool full = db_was_full(w->db);

	if (!w->failing)
		log_error(NULL, "spool.failing nothing_lost=1 %s", why->text);
	w->failing = true;
	db_rollback(w->db);
	for (struct answer *a = w->answers; a != NULL; a = a->next) {
		turn_bad(a, why, full);
		/* The row's number goes to another object, which nobody hides. */
		if (a->type == WA_KEPT && a->client != NULL)
			rows_take(&a->client->hidden, a->row, NULL);
	}
}

void
writer_settled(struct writer *w, int64_t row)
{
	struct held_row *h = malloc(sizeof(*h));

	if (h == NULL)
		return;		/* its watchers hear when their time is up */
	*h = (struct held_row){ w->settled, row, 0 };
	w->settled = h;
}

static void
tell_watchers(struct writer *w, int64_t row)
{
	struct db_noted noted = { 0 };
	struct why why = { "" };
	int rc = db_outcome(w->db, row, &noted, &why);

	if (rc == -1 || (rc == 1 && !noted.settled))
		return;
	if (rc == 0)
		noted.outcome = OUTCOME_DELIVERED;
	for (struct client *c = w->clients; c != NULL; c = c->next) {
		uint64_t tag;

		while (rows_take(&c->watched, row, &tag)) {
			struct wire_out out = { .n = 0 };

			wire_u8(&out, noted.outcome);
			wire_reply(&out, &noted.reply);
			writer_send_head(c, WA_OUTCOME, tag, &out, span_of(NULL, 0), -1);
		}
	}
}

static void
tell_all(struct writer *w, enum wire_type type, struct span body)
{
	for (struct client *c = w->clients; c != NULL; c = c->next)
		chan_send(c->chan, (uint16_t)type, 0, &body, 1, -1);
}

static void
tell_mark(struct writer *w)
{
	struct ledger_mark mark = db_ledger_mark(w->db);
	struct wire_out out = { .n = 0 };

	if (w->conf.role != CONF_HOME || (mark.epoch == w->told.epoch && mark.counter == w->told.counter))
		return;
	w->told = mark;
	wire_u64(&out, mark.epoch);
	wire_u64(&out, mark.counter);
	tell_all(w, WE_LEDGER, wire_span(&out));
}

static void on_due(uv_timer_t *);

static void
set_due(struct writer *w)
{
	int64_t now = wall_ms(), due = 0, wait;
	struct why why;

	if (w->conf.role != CONF_HOME || db_next_due(w->db, now, &due, &why) == -1 || due == 0)
		return;
	wait = due > now ? due - now : 0;
	uv_timer_start(&w->due, on_due, (uint64_t)(wait < 60000 ? wait : 60000), 0);	/* the clock may jump */
}

/* Only now, with all of it durable, is anybody told. */
static void
tell_batch(struct writer *w)
{
	struct answer *a, *all = w->answers;
	struct held_row *settled = w->settled;
	bool work = w->work;

	w->answers = NULL;
	w->answers_end = &w->answers;
	w->settled = NULL;
	w->work = false;
	tell_mark(w);
	while ((a = all) != NULL) {
		struct span body = buf_span(&a->body);

		all = a->next;
		if (a->client != NULL && a->read != NULL)
			a->read(a->client, a);
		else if (a->client != NULL)
			chan_send(a->client->chan, (uint16_t)a->type, a->tag, &body, 1, -1);
		buf_wipe(&a->body);
		free(a);
	}
	while (settled != NULL) {
		struct held_row *h = settled;

		settled = h->next;
		tell_watchers(w, h->row);
		free(h);
	}
	if (work)
		tell_all(w, WE_WORK, span_of(NULL, 0));
}

int
writer_commit(struct writer *w, struct why *why)
{
	int rc = db_commit(w->db, why);

	if (rc == -1)
		writer_undo(w, why);
	else if (w->answers != NULL)
		w->failing = false;
	tell_batch(w);
	return rc;
}

static void
on_check(uv_check_t *check)
{
	struct writer *w = check->data;
	struct why why = { "" };
	bool noted = db_changed(w->db);

	if (w->answers == NULL && !noted && w->settled == NULL && !w->work)
		return;
	w->busy = true;
	writer_commit(w, &why);
	if (noted)
		set_due(w);
}

/* --- time --------------------------------------------------------------------------------------- */

static void
on_due(uv_timer_t *timer)
{
	struct writer *w = timer->data;
	struct why why = { "" };

	w->work = true;
	writer_commit(w, &why);		/* here: the check may be a long sleep away */
	set_due(w);
}

static void
on_tick(uv_timer_t *timer)
{
	struct writer *w = timer->data;
	struct why why = { "" };

	if (w->conf.role == CONF_EDGE)
		peers_pairing_open(w->peers, wall_ms());	/* ends and tells those whose time is over */
	if (db_expire(w->db, wall_ms(), &why) == -1)
		writer_undo(w, &why);
	else if (db_changed(w->db))
		writer_commit(w, &why);
	db_idle(w->db, !w->busy);
	w->busy = false;
}

/* --- clients ------------------------------------------------------------------------------------- */

static void
client_free(struct client *c)
{
	struct writer *w = c->w;
	struct why why = { "" };

	for (struct client **at = &w->clients; *at != NULL; at = &(*at)->next)
		if (*at == c) {
			*at = c->next;
			break;
		}
	for (struct answer *a = w->answers; a != NULL; a = a->next)
		if (a->client == c)
			a->client = NULL;
	/* Its open verdicts are over: whatever their senders were told, the mail goes home. */
	w->work = w->work || c->hidden.n > 0 || c->claimed.n > 0;
	for (size_t i = 0; i < ROW_BUCKETS; i++)
		for (const struct held_row *h = c->claimed.bucket[i]; h != NULL; h = h->next)
			if (db_claim_lost(w->db, h->row, &why) == -1)
				writer_undo(w, &why);
	rows_clear(&c->hidden);
	rows_clear(&c->claimed);
	rows_clear(&c->watched);
	chan_free(&c->chan);
	free(c->parts);
	free(c);
}

static void
on_message(void *arg, struct chan_msg *m)
{
	struct client *c = arg;

	if (writer_question(c, m))
		return;
	log_error(NULL, "spool.client dropped: its message of type %u is malformed", m->type);
	client_free(c);
}

static void
on_gone(void *arg, const struct why *why)
{
	client_free(arg);
}

static void
send_peer(struct client *c, const struct peer *p)
{
	struct buf json;
	struct span body;

	buf_init(&json, WIRE_PEER_MAX);
	if (peer_print(p, &json)) {
		body = buf_span(&json);
		chan_send(c->chan, WE_PEER, 0, &body, 1, -1);
	}
	buf_wipe(&json);
}

void
writer_client(struct writer *w, struct chan *chan)
{
	struct client *c = calloc(1, sizeof(*c));
	struct wire_out hello = { .n = 0 }, pairing = { .n = 0 }, mark = { .n = 0 };

	if (c == NULL) {
		chan_free(&chan);
		return;
	}
	c->w = w;
	c->chan = chan;
	c->next = w->clients;
	w->clients = c;
	chan_start(chan, on_message, on_gone, c);
	wire_u64(&hello, w->conf.hold->reserve);
	writer_send_head(c, WE_HELLO, 0, &hello, span_of(NULL, 0), -1);
	if (w->conf.role == CONF_HOME) {
		w->told = db_ledger_mark(w->db);
		wire_u64(&mark, w->told.epoch);
		wire_u64(&mark, w->told.counter);
		writer_send_head(c, WE_LEDGER, 0, &mark, span_of(NULL, 0), -1);
	}
	for (size_t i = 0; i < peers_count(w->peers); i++)
		send_peer(c, peers_at(w->peers, i));
	chan_send(chan, WE_PEERS_KNOWN, 0, NULL, 0, -1);
	wire_u8(&pairing, w->conf.role == CONF_EDGE && peers_pairing_open(w->peers, wall_ms()));
	writer_send_head(c, WE_PAIRING, 0, &pairing, span_of(NULL, 0), -1);
	chan_send(chan, WE_WORK, 0, NULL, 0, -1);
}

static void
on_peer(void *arg, const struct peer *p)
{
	struct writer *w = arg;

	for (struct client *c = w->clients; c != NULL; c = c->next)
		send_peer(c, p);
}

static void
on_peer_gone(void *arg, const char *name)
{
	struct wire_out out = { .n = 0 };

	wire_text(&out, name);
	tell_all(arg, WE_PEER_GONE, wire_span(&out));
}

static void
on_pending(void *arg, bool any)
{
	struct wire_out out = { .n = 0 };

	wire_u8(&out, any);
	tell_all(arg, WE_PAIRING, wire_span(&out));
}

static const struct peers_events peers_events = { on_peer, on_peer_gone, on_pending };

/* --- from open to close ---------------------------------------------------------------------------- */

static void
set_limits(struct writer *w)
{
	const struct conf_hold *h = w->conf.hold;
	const struct db_limits limits = {
		.quota = h->quota, .reserve = h->reserve,
		.share = w->conf.role == CONF_EDGE ? h->share : 0,
		.remember_ms = h->max_hold_ms + REMEMBER_MS,
		.parked_keep_ms = w->conf.home != NULL ? w->conf.home->parked_keep_ms : 0,
	};

	db_set_limits(w->db, &limits);
}

struct writer *
writer_new(uv_loop_t *loop, const struct writer_conf *conf, struct why *why)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (w == NULL) {
		why_set(why, "memory is out");
		return NULL;
	}
	w->loop = loop;
	w->conf = *conf;
	w->answers_end = &w->answers;
	w->db = db_open(&sys_real, conf->common->state, conf->role, NULL, why);
	if (w->db != NULL)
		w->peers = peers_open(&sys_real, conf->common->state, conf->role, why);
	if (w->peers == NULL) {
		db_close(&w->db);
		free(w);
		return NULL;
	}
	set_limits(w);
	peers_listen(w->peers, &peers_events, w);
	uv_check_init(loop, &w->check);
	uv_timer_init(loop, &w->tick);
	uv_timer_init(loop, &w->due);
	w->check.data = w->tick.data = w->due.data = w;
	uv_check_start(&w->check, on_check);
	uv_timer_start(&w->tick, on_tick, TICK_MS, TICK_MS);
	set_due(w);
	return w;
}

void
writer_control(struct writer *w, int listen_fd)
{
	if ((w->control = control_new(w->loop, w, listen_fd)) == NULL)
		log_error(NULL, "control.failed: memory is out; status and queue do not answer");
}

int
writer_reload(struct writer *w, const struct writer_conf *conf, struct why *why)
{
	w->conf = *conf;
	set_limits(w);
	return 0;
}

void
writer_drain(struct writer *w, void (*done)(void *), void *arg)
{
	struct why why = { "" };

	if (writer_commit(w, &why) == -1)
		log_error(NULL, "spool.drain: %s", why.text);
	done(arg);
}

static void
free_writer(uv_handle_t *last)
{
	free(last->data);
}

static void
closed(uv_handle_t *h)
{
}

void
writer_free(struct writer **wp)
{
	struct writer *w = *wp;
	struct answer *a;

	if (w == NULL)
		return;
	control_free(&w->control);
	while (w->clients != NULL)
		client_free(w->clients);
	while ((a = w->answers) != NULL) {
		w->answers = a->next;
		buf_wipe(&a->body);
		free(a);
	}
	while (w->settled != NULL) {
		struct held_row *h = w->settled;

		w->settled = h->next;
		free(h);
	}
	peers_free(&w->peers);
	db_close(&w->db);
	uv_close((uv_handle_t *)&w->check, closed);
	uv_close((uv_handle_t *)&w->tick, closed);
	uv_close((uv_handle_t *)&w->due, free_writer);
	*wp = NULL;
}

struct db *
writer_db(struct writer *w)
{
	return w->db;
}

struct peers *
writer_peers(struct writer *w)
{
	return w->peers;
}

const struct writer_conf *
writer_conf(const struct writer *w)
{
	return &w->conf;
}
