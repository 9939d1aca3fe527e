#include "store/writer.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/writer_in.h"

#define REMEMBER_MS	(30LL * 24 * 3600 * 1000)	/* beyond max_hold */
#define KEYS_MAX	4000000		/* remembered: about 200 MB */

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

/* --- clients ------------------------------------------------------------------------ */

static void
client_free(struct client *c)
{
	struct client **at;

	for (at = &c->w->clients; *at != c; at = &(*at)->next)
		;
	*at = c->next;
	writer_owed_orphan(c->w, c);
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

/* The end of a turn. */
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
	writer_room(w);
}

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
	w->check.data = w->awake.data = w;
	uv_check_start(&w->check, on_check);
	uv_unref((uv_handle_t *)&w->check);
	w->latest_ms = db_written_ms(w->db);
	clock_watch_init(&w->clock, boot_ms(), wall_ms());
	writer_later_begin(w);
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
	writer_room(w);
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
	writer_owed_forget(w);
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
