#include "store/writer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/writer_in.h"

#define IDLE_MS		300		/* nothing written for so long: housekeeping */
#define STEP_MS		5		/* between two of its steps */
#define HOUR_MS		(3600 * 1000)
#define LOOK_MS		10000		/* at the clock */
#define PAIRING_MS	10000		/* whether a line has expired is looked at so often */
#define SOON_MS		500		/* after a failure, for what must not be left */
#define DUE_MAX_MS	60000		/* the wall clock may jump: look at it so often */
#define ROOM_MS		1000		/* while there is little: somebody else may make some */
#define OWED_KEEP	256
#define REMEMBER_MS	(30LL * 24 * 3600 * 1000)	/* beyond max_hold */
#define KEYS_MAX	4000000		/* remembered: about 200 MB */

static void client_free(struct client *);
static void on_idle(uv_timer_t *), on_due(uv_timer_t *), on_again(uv_timer_t *),
    on_pairing(uv_timer_t *), on_room(uv_timer_t *);

/* --- sending ---------------------------------------------------------------------- */

bool
writer_send(struct client *c, enum wire_type type, uint64_t tag, const struct wire_out *w,
    struct span rest,
    int fd)
{
	struct span part[2] = { w != NULL ? wire_span(w) : span_of(NULL, 0), rest };

	if (chan_send(c->chan, (uint16_t)type, tag, part, 2, fd))
		return true;
	/*
	 * A client that lacks an answer would wait for ever; one that lost its writer asks again.
	 */
	if (!c->doomed)
		log_error(NULL, "writer.drop why=\"a process does not read, or memory is out\"");
	c->doomed = true;
	writer_awake(c->w);
	return false;
}

void
writer_tell(struct writer *w, enum wire_type type, const struct wire_out *out, struct span rest)
{
	for (struct client *c = w->clients; c != NULL; c = c->next)
		(void)writer_send(c, type, 0, out, rest, -1);
}

void
writer_done(struct client *c, uint64_t tag, bool ok, const char *text)
{
	struct wire_out w = { .n = 0 };

	wire_u8(&w, ok);
	wire_text(&w, text);
	(void)writer_send(c, WA_DONE, tag, &w, span_of(NULL, 0), -1);
}

/* --- the end of a turn -------------------------------------------------------------- */

static void
owed_fini(struct owed *o)
{
	free(o->reply);
	free(o->text);
	o->reply = NULL;
	o->text = NULL;
}

struct owed *
writer_owe_nobody(struct writer *w)
{
	struct owed *o;

	if (w->nowed == w->owed_cap) {
		w->owed_cap = w->owed_cap == 0 ? 64 : 2 * w->owed_cap;
		if ((w->owed = realloc(w->owed, w->owed_cap * sizeof(*w->owed))) == NULL)
			abort();	/* nobody has been told anything that is not so */
	}
	o = &w->owed[w->nowed++];
	*o = (struct owed){ .client = NULL };
	writer_awake(w);
	return o;
}

struct owed *
writer_owe(struct client *c, uint64_t tag, enum wire_type asked, enum wire_type answer)
{
	struct owed *o = writer_owe_nobody(c->w);

	o->client = c;
	o->tag = tag;
	o->type = answer;
	o->asked = asked;
	return o;
}

static void
nothing(uv_idle_t *h)
{
}

void
writer_awake(struct writer *w)
{
	if (!uv_is_active((uv_handle_t *)&w->awake))
		uv_idle_start(&w->awake, nothing);
}

static void
answer(struct owed *o)
{
	static const struct smtp_reply none;
	struct wire_out w = { .n = 0 };

	if (o->client == NULL || o->type == 0)
		return;
	switch (o->type) {
	case WA_KEPT:
		wire_u8(&w, o->kept);
		wire_u64(&w, (uint64_t)o->row);
		wire_text(&w, o->text != NULL ? o->text : "");
		break;
	case WA_MARKED:
		wire_u8(&w, o->marked);
		wire_text(&w, o->text != NULL ? o->text : "");
		break;
	case WA_OUTCOME:
		wire_u8(&w, o->outcome);
		wire_reply(&w, o->reply != NULL ? o->reply : &none);
		break;
	default:
		wire_u8(&w, o->ok);
		wire_text(&w, o->text != NULL ? o->text : "");
		break;
	}
	(void)writer_send(o->client, o->type, o->tag, &w, span_of(NULL, 0), -1);
}

/* What a commit makes true beside the database. */
static void
take_effect(struct writer *w, struct owed *o)
{
	struct rowmap_item gone;

	if (o->hide && o->client != NULL)
		/* else it is handed over: not lost */
		(void)rowmap_add(&w->hidden, o->row, o->client, 0);
	else if (o->came)
		w->work = true;
	if (o->ends_claim)
		while (rowmap_take(&w->claims, o->row, &gone))
			;
	if (o->asked == WM_NOTE || o->asked == WM_PUT)
		writer_settled(w, o);
}

static void
undone(struct writer *w, struct owed *o, const struct why *why)
{
	switch (o->type) {
	case WA_OUTCOME:
		/* "Pending" would be taken for durable: it is asked again instead. */
		if (o->client != NULL && rowmap_add(&w->retry, o->row, o->client, o->tag))
			uv_timer_start(&w->again, on_again, SOON_MS, 0);
		o->type = 0;
		return;
	case WA_KEPT:
		/* so it stays, whatever became of the others */
		if (o->kept == KEPT_FULL)
			return;
		o->kept = db_was_full(w->db) ? KEPT_FULL : NOT_KEPT;
		o->row = 0;
		break;
	case WA_MARKED:
		/* STALE too: what it was measured by may have been undone. */
		o->marked = MARKED_NOT;
		break;
	default:
		o->ok = false;
		break;
	}
	free(o->text);
	o->text = strdup(why->text);
}

static void
tell_ledger(struct writer *w)
{
	struct ledger_mark m = db_ledger_mark(w->db);
	struct wire_out out = { .n = 0 };

	wire_mark(&out, &m);
	writer_tell(w, WE_LEDGER, &out, span_of(NULL, 0));
}

static void
answer_all(struct writer *w)
{
	for (size_t i = 0; i < w->nowed; i++) {
		answer(&w->owed[i]);
		owed_fini(&w->owed[i]);
	}
	w->nowed = 0;
	if (w->owed_cap > OWED_KEEP) {
		free(w->owed);
		w->owed = NULL;
		w->owed_cap = 0;
	}
	if (w->work) {
		w->work = false;
		writer_tell(w, WE_WORK, NULL, span_of(NULL, 0));
	}
}

void
writer_failed(struct writer *w, const struct why *why)
{
	size_t i;

	if (!w->failing)
		log_error(NULL,
		    "store.failing why=\"%s\" note=\"mail is answered 4xx until it works again\"",
		    why->text);
	w->failing = true;
	db_trouble(w->db, why->text);
	for (i = 0; i < w->nowed; i++)
		undone(w, &w->owed[i], why);
	db_rollback(w->db);
	writer_marks_forget(w);
	answer_all(w);
}

static void
arm_due(struct writer *w)
{
	int64_t now = wall_ms(), due, wait;

	w->noted = false;
	w->due_ms = 0;
	if (w->conf.role != CONF_HOME || db_next_due(w->db, now, &due, NULL) == -1)
		return;
	if (due == 0) {
		uv_timer_stop(&w->due);
		return;
	}
	w->due_ms = due;
	wait = due - now < DUE_MAX_MS ? due - now : DUE_MAX_MS;
	uv_timer_start(&w->due, on_due, (uint64_t)(wait > 0 ? wait : 0) + 1, 0);
}

int
writer_commit(struct writer *w, struct why *why)
{
	bool changed = db_changed(w->db);

	if (changed && (writer_marks(w, why) == -1 || db_commit(w->db, why) == -1)) {
		writer_failed(w, why);
		return -1;
	}
	if (changed && w->failing) {
		w->failing = false;
		db_trouble(w->db, "");
		log_info(NULL, "store.works");
	}
	for (size_t i = 0; i < w->nowed; i++)
		take_effect(w, &w->owed[i]);
	if (changed && w->conf.role == CONF_HOME)
		tell_ledger(w);
	answer_all(w);
	if (w->noted)
		arm_due(w);
	if (changed) {
		(void)db_idle(w->db, false);
		uv_timer_start(&w->idle, on_idle, IDLE_MS, 0);
	}
	return 0;
}

/*
 * Who receives mail is told how much may still come, while that is less than two of the
 * largest messages, and when it is enough again: which may be no doing of ours.
 */
static void
tell_room(struct writer *w)
{
	struct wire_out out = { .n = 0 };
	uint64_t room;

	if (w->conf.role != CONF_EDGE)
		return;
	if ((room = db_room_left(w->db)) >= 2 * w->conf.edge->limits.size)
		room = UINT64_MAX;
	if (room == UINT64_MAX)
		uv_timer_stop(&w->room);
	else if (!uv_is_active((uv_handle_t *)&w->room))
		uv_timer_start(&w->room, on_room, ROOM_MS, ROOM_MS);
	if (room == w->room_told)
		return;
	w->room_told = room;
	wire_u64(&out, room);
	writer_tell(w, WE_ROOM, &out, span_of(NULL, 0));
}

static void
on_room(uv_timer_t *t)
{
	tell_room(t->data);
}

static void
on_check(uv_check_t *h)
{
	struct writer *w = h->data;
	struct client *c, *next;
	struct why why = { 0 };

	if (!uv_is_active((uv_handle_t *)&w->awake) && !db_changed(w->db))
		return;
	uv_idle_stop(&w->awake);
	for (c = w->clients; c != NULL; c = next) {
		next = c->next;
		if (c->doomed)
			client_free(c);
	}
	(void)writer_commit(w, &why);
	writer_sync(w);
	tell_room(w);
}

/* --- timers ------------------------------------------------------------------------- */

static void
on_idle(uv_timer_t *t)
{
	struct writer *w = t->data;

	if (db_changed(w->db) || db_idle(w->db, true))
		uv_timer_start(&w->idle, on_idle, STEP_MS, 0);
}

static void
on_due(uv_timer_t *t)
{
	struct writer *w = t->data;

	/* The loop's clock lags behind the wall's by as long as a turn takes. */
	if (w->due_ms <= wall_ms())
		writer_tell(w, WE_WORK, NULL, span_of(NULL, 0));
	arm_due(w);
}

void
writer_work_soon(struct writer *w)
{
	w->due_ms = 0;
	uv_timer_start(&w->due, on_due, STEP_MS, 0);
}

static void
on_hour(uv_timer_t *t)
{
	struct writer *w = t->data;
	struct why why = { 0 };
	int64_t surely;
	int rc;

	writer_clock_look(w);
	surely = writer_surely_ms(w);
	if ((rc = db_expire(w->db, surely < w->latest_ms ? surely : w->latest_ms, &why)) == -1)
		writer_failed(w, &why);
	else
		(void)writer_commit(w, &why);
	if (rc == 0 && w->clock.jumped_ms == 0)
		db_sweep(w->db, false);
	if (rc != 1)
		w->latest_ms = INT64_MAX;
	if (rc == 0)
		writer_parked_look(w);
	uv_timer_start(&w->hour, on_hour, rc == 1 ? 10 * STEP_MS : HOUR_MS, 0);
}

static void
on_look(uv_timer_t *t)
{
	writer_clock_look(t->data);
}

void
writer_pairing(struct writer *w, bool open)
{
	if (open)
		uv_timer_start(&w->pairing, on_pairing, PAIRING_MS, PAIRING_MS);
	else
		uv_timer_stop(&w->pairing);
}

static void
on_pairing(uv_timer_t *t)
{
	struct writer *w = t->data;

	(void)peers_pairing_open(w->peers, wall_ms());	/* tells what it finds over */
}

static void
on_again(uv_timer_t *t)
{
	struct writer *w = t->data;
	struct rowmap all = w->retry;
	struct rowmap_item it;

	w->retry = (struct rowmap){ 0 };
	for (struct client *c = w->clients; c != NULL; c = c->next)
		while (rowmap_take_owned(&all, c, &it))
			if (!writer_outcome(c, it.tag, it.row))
				break;
	rowmap_fini(&all);
}

/* --- clients ------------------------------------------------------------------------ */

static void
client_free(struct client *c)
{
	struct client **at;

	for (at = &c->w->clients; *at != c; at = &(*at)->next)
		;
	*at = c->next;
	for (size_t i = 0; i < c->w->nowed; i++)
		if (c->w->owed[i].client == c)
			c->w->owed[i].client = NULL;
	writer_puts_orphan(c->w, c);
	writer_client_gone(c);
	chan_free(&c->chan);
	free(c->parts);
	buf_fini(&c->said);
	free(c);
}

static void
on_close(void *arg, const struct why *why)
{
	struct client *c = arg;

	log_debug(NULL, "writer.client gone why=\"%s\"", why->text);
	client_free(c);
}

static void
on_msg(void *arg, struct chan_msg *m)
{
	struct client *c = arg;

	if (writer_serve(c, m))
		return;
	log_error(NULL,
	    "writer.drop type=%u why=\"a process said what it may not, or what is no message\"",
	    m->type);
	client_free(c);
}

void
writer_client(struct writer *w, struct chan *chan)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL)
		abort();
	*c = (struct client){ .next = w->clients, .w = w, .chan = chan };
	w->clients = c;
	chan_start(chan, on_msg, on_close, c);
	writer_greet(c);
}

/* --- the whole ---------------------------------------------------------------------- */

static void
set_limits(struct writer *w)
{
	const struct conf_hold *h = w->conf.hold;

	db_set_limits(w->db, &(struct db_limits){
		.quota = h->quota, .reserve = h->reserve, .share = h->share,
		.remember_ms = h->max_hold_ms + REMEMBER_MS, .keys = KEYS_MAX,
		.parked_keep_ms = w->conf.role == CONF_HOME ? w->conf.home->parked_keep_ms :
		    INT64_MAX / 2,
	});
}

struct writer *
writer_new(uv_loop_t *loop, const struct writer_conf *conf, struct why *why)
{
	struct writer *w = calloc(1, sizeof(*w));

	if (w == NULL) {
		why_set(why, "writer: out of memory");
		return NULL;
	}
	w->loop = loop;
	w->conf = *conf;
	if (w->conf.sys == NULL)
		w->conf.sys = &sys_real;
	if ((w->db = db_open(w->conf.sys, conf->common->state, conf->role, conf->vfs,
	    why)) == NULL ||
	    (w->peers = peers_open(w->conf.sys, conf->common->state, conf->role, why)) == NULL) {
		db_close(&w->db);
		free(w);
		return NULL;
	}
	set_limits(w);
	if (writer_bans_open(w, why) == -1) {
		peers_free(&w->peers);
		db_close(&w->db);
		free(w);
		return NULL;
	}
	if ((w->desk = writer_alarms_new(w)) == NULL)
		abort();		/* at start: memory is out */
	peers_listen(w->peers, &writer_peers_events, w);
	uv_check_init(loop, &w->check);
	uv_idle_init(loop, &w->awake);
	uv_timer_init(loop, &w->idle);
	uv_timer_init(loop, &w->due);
	uv_timer_init(loop, &w->hour);
	uv_timer_init(loop, &w->again);
	uv_timer_init(loop, &w->pairing);
	uv_timer_init(loop, &w->room);
	uv_timer_init(loop, &w->look);
	w->check.data = w->awake.data = w->idle.data = w->due.data = w->hour.data = w->again.data =
	    w->pairing.data = w->room.data = w->look.data = w;
	w->room_told = UINT64_MAX;
	tell_room(w);
	uv_check_start(&w->check, on_check);
	uv_unref((uv_handle_t *)&w->check);
	uv_timer_start(&w->idle, on_idle, IDLE_MS, 0);
	uv_timer_start(&w->hour, on_hour, IDLE_MS, 0);
	w->latest_ms = db_written_ms(w->db);
	clock_watch_init(&w->clock, boot_ms(), wall_ms());
	uv_timer_start(&w->look, on_look, 0, LOOK_MS);
	arm_due(w);
	writer_pairing(w, conf->role == CONF_EDGE && peers_pairing_open(w->peers, wall_ms()));
	return w;
}

void
writer_control(struct writer *w, int listen_fd)
{
	if (w->control != NULL)
		control_free(&w->control);
	if ((w->control = control_new(w->loop, w, listen_fd)) == NULL)
		log_error(NULL, "control.down why=\"out of memory\"");
}

int
writer_reload(struct writer *w, const struct writer_conf *conf, struct why *why)
{
	const struct sys *sys = w->conf.sys;

	if (conf->role != w->conf.role || strcmp(conf->common->state, db_path(w->db)) != 0)
		return why_set(why, "state: the directory cannot change while we run: restart");
	w->conf = *conf;
	w->conf.sys = sys;
	set_limits(w);
	for (struct client *c = w->clients; c != NULL; c = c->next)
		writer_tell_limits(c);
	tell_room(w);
	writer_alarms_reload(w);
	return 0;
}

void
writer_drain(struct writer *w, void (*done)(void *), void *arg)
{
	struct why why = { 0 };

	(void)writer_commit(w, &why);
	writer_sync(w);
	w->drained = done;
	w->drained_arg = arg;
	if (w->syncing != NULL)
		return;			/* its end comes back here */
	while (db_idle(w->db, false))
		;
	done(arg);
}

static void
on_handle_closed(uv_handle_t *h)
{
	struct writer *w = h->data;

	if (--w->handles == 0)
		free(w);
}

void
writer_free(struct writer **wp)
{
	struct writer *w = *wp;
	struct why why = { 0 };

	if (w == NULL)
		return;
	*wp = NULL;
	(void)writer_commit(w, &why);
	writer_puts_forget(w);
	control_free(&w->control);
	writer_alarms_free(&w->desk);
	while (w->clients != NULL)
		client_free(w->clients);
	for (size_t i = 0; i < w->nowed; i++)
		owed_fini(&w->owed[i]);
	free(w->owed);
	rowmap_fini(&w->hidden);
	rowmap_fini(&w->claims);
	rowmap_fini(&w->watches);
	rowmap_fini(&w->retry);
	peers_free(&w->peers);
	writer_interlock_forget(w);
	netset_free(&w->bans);
	db_close(&w->db);
	uv_handle_t *const handles[] = { (uv_handle_t *)&w->check, (uv_handle_t *)&w->awake,
	    (uv_handle_t *)&w->idle, (uv_handle_t *)&w->due, (uv_handle_t *)&w->hour,
	    (uv_handle_t *)&w->again,
	    (uv_handle_t *)&w->pairing, (uv_handle_t *)&w->room, (uv_handle_t *)&w->look };
	w->handles = sizeof(handles) / sizeof(handles[0]);
	for (size_t i = 0; i < sizeof(handles) / sizeof(handles[0]); i++)
		uv_close(handles[i], on_handle_closed);
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

uint64_t
writer_quota(const struct writer *w, const char *home)
{
	return w->conf.edge != NULL ? conf_edge_quota(w->conf.edge, home) : w->conf.hold->quota;
}

const struct writer_conf *
writer_conf(const struct writer *w)
{
	return &w->conf;
}
