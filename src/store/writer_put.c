/*
 * Puts.  A small object goes into the open transaction at once.  A large one lies in a
 * file, whose fsync may take as long as the disk likes: that runs on a thread, and the
 * put goes on when it is over, so that the file is durable before its row is made and
 * small ones are answered meanwhile.  One batch runs at a time; what comes before its
 * end is the next, so that a crowd of large ones shares the directory's fsync.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/writer_in.h"

#define HIDDEN_MAX	4096	/* rows in verdicts; above it they are simply handed over */

/* What a client asked for, good beyond its message but for octets in body.data. */
struct put {
	struct put	*next;
	struct client	*client;	/* NULL: it went, and nobody was told anything */
	uint64_t	 tag;
	enum wire_type	 type;		/* WM_PUT, WM_ASIDE */
	struct spool_meta meta;
	unsigned char	 mac[OBJECT_MAC_LEN];
	char		 reason[WIRE_REASON_MAX];	/* WM_ASIDE */
	struct db_body	 body;
};

struct puts {			/* a batch of large ones; in the order of their files in sync */
	uv_work_t	 work;
	struct writer	*w;		/* NULL: it went */
	struct db_sync	*sync;
	struct put	*first, **last;
};

/* The road is told by the role: nobody claims to be a road that this machine does not have. */
static bool
meta_ok(const struct writer *w, const struct spool_meta *m)
{
	if (m->signer[0] == '\0')
		return false;
	if (w->conf.role == CONF_EDGE)
		return (m->origin == ORIGIN_RECEPTION || m->origin == ORIGIN_PUSH) &&
		    pairing_name_ok(span_str(m->home));
	/* SUBMISSION is what may reach a relay; no process of today takes any in. */
	return m->origin == ORIGIN_TUNNEL || m->origin == ORIGIN_BUCKET || m->origin == ORIGIN_PUSH;
}

/* False: not a put. */
static bool
get_put(struct client *c, struct chan_msg *m, struct put *p)
{
	struct wire_in in = wire_in(m->body);

	*p = (struct put){ .client = c, .tag = m->tag, .type = (enum wire_type)m->type };
	if (p->type == WM_ASIDE)
		wire_get_text(&in, p->reason, sizeof(p->reason));
	wire_get_meta(&in, &p->meta);
	wire_get_octets(&in, p->mac, OBJECT_MAC_LEN);
	wire_get_text(&in, p->body.file, sizeof(p->body.file));
	if (p->body.file[0] != '\0')
		p->body.size = (uint64_t)wire_get_row(&in);
	else {
		p->body.data = wire_rest(&in);
		p->body.size = p->body.data.n;
	}
	return wire_done(&in) && meta_ok(c->w, &p->meta) && (p->body.file[0] == '\0' ||
	    db_name_ok(p->body.file));
}

static void
keep(const struct put *p)
{
	struct writer *w = p->client->w;
	struct owed *o = writer_owe(p->client, p->tag, p->type, WA_KEPT);
	struct why why = { 0 };
	bool changed;

	o->kept = db_put(w->db, &p->meta, p->mac, &p->body, writer_quota(w, p->meta.home), &o->row,
	    &changed, &why);
	switch (o->kept) {
	case NOT_KEPT:
		writer_failed(w, &why);
		break;
	case KEPT_FULL:
		o->text = strdup(why.text);
		break;
	case KEPT:
		o->hide = w->conf.role == CONF_EDGE && p->meta.verdict && w->hidden.n < HIDDEN_MAX;
		o->came = true;
		break;
	case KEPT_BEFORE:
		break;
	}
}

static void
set_aside(const struct put *p)
{
	struct why why = { 0 };
	bool ok = db_set_aside(p->client->w->db, &p->meta, &p->body, p->reason, &why) == 0;

	if (!ok)
		log_error(uuid_text(p->meta.id).s, "store.aside why=\"%s\"", why.text);
	writer_done(p->client, p->tag, ok, why.text);
}

static void
go_on(const struct put *p)
{
	if (p->type == WM_PUT)
		keep(p);
	else
		set_aside(p);
}

/* Its file is not durable, and so there is nothing; the others of its turn are not concerned. */
static void
fail(const struct put *p, bool full, const struct why *why)
{
	struct owed *o;

	log_error(uuid_text(p->meta.id).s, "store.unsynced file=%s size=%llu why=\"%s\"",
	    p->body.file, (unsigned long long)p->body.size, why->text);
	db_file_drop(p->client->w->db, &p->body);
	if (p->type == WM_ASIDE) {
		writer_done(p->client, p->tag, false, why->text);
		return;
	}
	o = writer_owe(p->client, p->tag, p->type, WA_KEPT);
	o->kept = full ? KEPT_FULL : NOT_KEPT;
	o->text = strdup(why->text);
}

/* --- large ones ------------------------------------------------------------------------ */

static void
puts_free(struct puts *b)
{
	struct put *p;

	while ((p = b->first) != NULL) {
		b->first = p->next;
		free(p);
	}
	db_sync_free(&b->sync);
	free(b);
}

/* On a thread of libuv's. */
static void
run(uv_work_t *work)
{
	db_sync_run(((struct puts *)work->data)->sync);
}

static void
on_synced(uv_work_t *work, int status)
{
	struct puts *b = work->data;
	struct writer *w = b->w;
	size_t n = 0;

	for (struct put *p = b->first; w != NULL && p != NULL; p = p->next) {
		int error = db_sync_error(b->sync, n++);
		struct why why = { 0 };

		if (p->client == NULL)
			db_file_drop(w->db, &p->body);
		else if (error == 0)
			go_on(p);
		else {
			errno = error;
			why_sys(&why, "%s/large/%s: cannot be made durable", db_path(w->db),
			    p->body.file);
			fail(p, error == ENOSPC || error == EDQUOT, &why);
		}
	}
	puts_free(b);
	if (w == NULL)
		return;
	w->syncing = NULL;
	if (w->to_sync != NULL)
		writer_awake(w);
	else if (w->drained != NULL)
		writer_drain(w, w->drained, w->drained_arg);
}

void
writer_sync(struct writer *w)
{
	if (w->syncing != NULL || w->to_sync == NULL)
		return;
	w->syncing = w->to_sync;
	w->to_sync = NULL;
	if (uv_queue_work(w->loop, &w->syncing->work, run, on_synced) != 0)
		abort();		/* it only fails where there is no function to run */
}

static struct puts *
collecting(struct writer *w)
{
	struct puts *b = w->to_sync;

	if (b != NULL)
		return b;
	if ((b = calloc(1, sizeof(*b))) == NULL)
		return NULL;
	if ((b->sync = db_sync_new(w->db)) == NULL) {
		free(b);
		return NULL;
	}
	b->work.data = b;
	b->w = w;
	b->last = &b->first;
	return w->to_sync = b;
}

static void
large(const struct put *put)
{
	struct writer *w = put->client->w;
	struct puts *b = collecting(w);
	struct put *p = b != NULL ? malloc(sizeof(*p)) : NULL;
	struct why why = { 0 };

	if (p == NULL) {
		why_set(&why, "spool: memory or descriptors are out");
		fail(put, false, &why);
		return;
	}
	*p = *put;
	if (db_sync_add(w->db, b->sync, &p->body, &why) == -1) {
		fail(p, true, &why);
		free(p);
	} else {
		*b->last = p;
		b->last = &p->next;
	}
	writer_awake(w);
}

bool
serve_put(struct client *c, struct chan_msg *m)
{
	struct put p;

	if (!get_put(c, m, &p))
		return false;
	if (p.body.file[0] != '\0')
		large(&p);
	else
		go_on(&p);
	return true;
}

void
writer_puts_orphan(struct writer *w, const struct client *c)
{
	struct puts *const batches[] = { w->syncing, w->to_sync };

	for (int i = 0; i < 2; i++)
		for (struct put *p = batches[i] != NULL ? batches[i]->first : NULL; p != NULL;
		    p = p->next)
			if (p->client == c)
				p->client = NULL;
}

void
writer_puts_forget(struct writer *w)
{
	if (w->syncing != NULL)
		w->syncing->w = NULL;	/* frees itself when the disk has answered */
	w->syncing = NULL;
	if (w->to_sync != NULL)
		puts_free(w->to_sync);
	w->to_sync = NULL;
}
