/* What each message asks for: the table is the whole of what a process may say to its writer. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/writer_in.h"

#define LIST_OCTETS	(512u << 10)

/* --- reading ------------------------------------------------------------------------- */

struct page {
	const struct writer *w;
	int64_t		 before;	/* rows from here on are in the open transaction */
	struct buf	 objects;
	uint32_t	 n, max;
};

static bool
page_row(void *arg, const struct db_row *r)
{
	struct page *p = arg;
	struct wire_out w = { .n = 0 };

	if (r->object.row >= p->before || rowmap_find(&p->w->hidden, r->object.row) != NULL)
		return true;
	wire_object(&w, &r->object);
	if (!buf_add_span(&p->objects, wire_span(&w)))
		return false;
	return ++p->n < p->max;
}

/*
 * The first row that is not durable yet, nor hidden if it is to be: whoever lists it now
 * would hand over what waits for its verdict.  Its commit says that there is work.
 */
static int64_t
first_open(const struct writer *w)
{
	for (size_t i = 0; i < w->nowed; i++)
		if (w->owed[i].asked == WM_PUT && w->owed[i].kept == KEPT)
			return w->owed[i].row;
	return INT64_MAX;
}

static bool
serve_list(struct client *c, struct chan_msg *m)
{
	struct wire_in in = wire_in(m->body);
	struct page page = { .w = c->w, .before = first_open(c->w) };
	char home[PAIRING_NAME_MAX + 1];
	struct db_filter f = { 0 };
	struct wire_out w = { .n = 0 };
	struct why why = { 0 };
	bool ok;

	wire_get_text(&in, home, sizeof(home));
	f.home = home[0] != '\0' ? home : NULL;
	f.after = wire_get_row(&in);
	page.max = wire_get_u32(&in);
	if (!wire_done(&in) || page.max > WIRE_LIST_MAX)
		return false;
	buf_init(&page.objects, LIST_OCTETS);
	ok = page.max == 0 || db_rows(c->w->db, &f, page_row, &page, &why) == 0;
	if (!ok)
		log_error(NULL, "store.list why=\"%s\"", why.text);
	wire_u8(&w, ok);
	wire_u32(&w, ok ? page.n : 0);
	(void)writer_send(c, WA_LIST, m->tag, &w, ok ? buf_span(&page.objects) : span_of(NULL, 0),
	    -1);
	buf_fini(&page.objects);
	return true;
}

static bool
serve_get(struct client *c, struct chan_msg *m)
{
	struct wire_in in = wire_in(m->body);
	int64_t row = wire_get_row(&in);
	struct db_content content;
	struct wire_out w = { .n = 0 };
	struct why why = { 0 };
	int rc;

	if (!wire_done(&in))
		return false;
	rc = db_content(c->w->db, row, &content, &why);
	if (rc == 0)
		why_set(&why, "spool: row %" PRId64 " is gone", row);
	wire_u8(&w, rc == 1);
	wire_text(&w, why.text);
	(void)writer_send(c, WA_CONTENT, m->tag, &w, content.data, content.fd);
	db_content_end(c->w->db);
	writer_awake(c->w);		/* a damaged one was marked */
	return true;
}

/* --- edge: the end of a row ---------------------------------------------------------- */

static void
unhide(struct writer *w, int64_t row)
{
	struct rowmap_item it;

	while (rowmap_take(&w->hidden, row, &it))
		w->work = true;
	if (w->work)
		writer_awake(w);
}

static bool
serve_delete(struct client *c, struct chan_msg *m)
{
	struct wire_in in = wire_in(m->body);
	int64_t row = wire_get_row(&in);
	struct why why = { 0 };

	if (!wire_done(&in))
		return false;
	writer_owe(c, m->tag, (enum wire_type)m->type, WA_DONE)->ok = true;
	if (db_delete(c->w->db, row, &why) == -1) {
		writer_failed(c->w, &why);
		return true;
	}
	unhide(c->w, row);
	return true;
}

static bool
serve_release(struct client *c, struct chan_msg *m)
{
	struct wire_in in = wire_in(m->body);
	int64_t row = wire_get_row(&in);

	if (!wire_done(&in))
		return false;
	unhide(c->w, row);
	return true;
}

static bool
serve_failed(struct client *c, struct chan_msg *m)
{
	struct wire_in in = wire_in(m->body);
	int64_t row = wire_get_row(&in);
	char reason[WIRE_REASON_MAX];
	struct why why = { 0 };

	wire_get_text(&in, reason, sizeof(reason));
	if (!wire_done(&in))
		return false;
	if (db_failed(c->w->db, row, reason, &why) == -1)
		writer_failed(c->w, &why);
	writer_awake(c->w);
	return true;
}

/* --- edge: marks --------------------------------------------------------------------- */

static struct seen_mark *
seen(struct writer *w, const char *home)
{
	for (size_t i = 0; i < w->nmarks; i++)
		if (strcmp(w->marks[i].home, home) == 0)
			return &w->marks[i];
	return NULL;
}

static void
marked_now(struct client *c, uint64_t tag)
{
	struct wire_out w = { .n = 0 };

	wire_u8(&w, MARKED);
	wire_text(&w, "");
	(void)writer_send(c, WA_MARKED, tag, &w, span_of(NULL, 0), -1);
}

/*
 * A counter goes up with every answer of home; writing each down would double the
 * commits.  What is in memory is written with the first commit that has another
 * reason: before a row is deleted, that is, so a mark lags only behind nothing.
 */
static bool
serve_mark(struct client *c, struct chan_msg *m)
{
	struct wire_in in = wire_in(m->body);
	struct writer *w = c->w;
	char home[PAIRING_NAME_MAX + 1];
	struct ledger_mark mark;
	struct seen_mark *s;
	struct owed *o;
	struct why why = { 0 };

	wire_get_text(&in, home, sizeof(home));
	wire_get_mark(&in, &mark);
	if (!wire_done(&in))
		return false;
	if ((s = seen(w, home)) != NULL && s->mark.epoch == mark.epoch &&
	    mark.counter >= s->mark.counter && ledger_run(&mark) == ledger_run(&s->mark)) {
		s->dirty = s->dirty || mark.counter > s->mark.counter;
		s->mark = mark;
		marked_now(c, m->tag);
		return true;
	}
	o = writer_owe(c, m->tag, (enum wire_type)m->type, WA_MARKED);
	if (writer_marks(w, &why) == -1) {	/* what is not written yet counts too */
		writer_failed(w, &why);
		return true;
	}
	switch (db_mark(w->db, home, mark, &why)) {
	case MARK_FAILED:
		writer_failed(w, &why);
		return true;
	case MARK_STALE:
		o->marked = MARKED_STALE;
		o->text = strdup(why.text);
		if (s != NULL)
			*s = w->marks[--w->nmarks];	/* no counter of its epoch counts now */
		return true;
	case MARK_NEW:
	case MARK_SAME:
		o->marked = MARKED;
		break;
	}
	/* Cached once the commit has told that it is so: the next one finds it in the database. */
	if (s == NULL && w->nmarks < CONF_HOMES_MAX)
		s = &w->marks[w->nmarks++];
	if (s != NULL) {
		*s = (struct seen_mark){ .mark = mark };
		(void)span_copy(span_str(home), s->home, sizeof(s->home));
	}
	return true;
}

int
writer_marks(struct writer *w, struct why *why)
{
	for (size_t i = 0; i < w->nmarks; i++) {
		struct seen_mark *s = &w->marks[i];

		if (!s->dirty)
			continue;
		if (db_mark(w->db, s->home, s->mark, why) == MARK_FAILED)
			return -1;
		s->dirty = false;
	}
	return 0;
}

void
writer_marks_forget(struct writer *w)
{
	w->nmarks = 0;
}

/* --- the table ------------------------------------------------------------------------- */

#define EDGE	(1u << CONF_EDGE)
#define HOME	(1u << CONF_HOME)

static const struct {
	enum wire_type	 type;
	unsigned	 roles;
	bool		 (*serve)(struct client *, struct chan_msg *);
} table[] = {
	{ WM_PUT,		EDGE | HOME,	serve_put },
	{ WM_ASIDE,		HOME,		serve_put },
	{ WM_LIST,		EDGE | HOME,	serve_list },
	{ WM_GET,		EDGE | HOME,	serve_get },
	{ WM_DELETE,		EDGE,		serve_delete },
	{ WM_RELEASE,		EDGE,		serve_release },
	{ WM_FAILED,		EDGE,		serve_failed },
	{ WM_MARK,		EDGE,		serve_mark },
	{ WM_CLAIM,		HOME,		serve_claim },
	{ WM_NOTE_PART,		HOME,		serve_note_part },
	{ WM_NOTE,		HOME,		serve_note },
	{ WM_WATCH,		HOME,		serve_outcome },
	{ WM_VERDICT_OVER,	HOME,		serve_outcome },
	{ WM_CONFIRM,		HOME,		serve_confirm },
	{ WM_PAIR_CHECK,	EDGE,		serve_pair_check },
	{ WM_PAIR_FINISH,	EDGE,		serve_pair_finish },
	{ WM_PEER_UPDATE,	EDGE | HOME,	serve_peer_update },
	{ WM_ANSWER,		HOME,		serve_answer },
	{ WM_INTERLOCK,		HOME,		serve_interlock },
	{ WM_SAID,		EDGE,		serve_said },
};

bool
writer_serve(struct client *c, struct chan_msg *m)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].type == m->type)
			return (table[i].roles & 1u << c->w->conf.role) != 0 && m->tag != 0 &&
			    m->fd == -1 &&
			    table[i].serve(c, m);
	return false;
}

/* --- a client comes and goes -------------------------------------------------------------- */

void
writer_tell_limits(struct client *c)
{
	const struct conf_hold *hold = c->w->conf.hold;
	struct wire_out out = { .n = 0 };

	wire_u64(&out, hold->reserve);
	wire_u8(&out, hold->share);
	(void)writer_send(c, WE_LIMITS, 0, &out, span_of(NULL, 0), -1);
}

void
writer_greet(struct client *c)
{
	struct writer *w = c->w;
	struct ledger_mark mark = db_ledger_mark(w->db);
	struct wire_out pairing = { .n = 0 }, ledger = { .n = 0 }, room = { .n = 0 };

	writer_tell_limits(c);
	(void)writer_send(c, WE_HELLO, 0, NULL, span_of(NULL, 0), -1);
	if (w->conf.role == CONF_EDGE) {
		wire_u64(&room, w->room_told);
		(void)writer_send(c, WE_ROOM, 0, &room, span_of(NULL, 0), -1);
	}
	for (size_t i = 0; i < peers_count(w->peers); i++)
		writer_tell_peer(c, peers_at(w->peers, i));
	wire_u8(&pairing, w->conf.role == CONF_EDGE && peers_pairing_open(w->peers, wall_ms()));
	(void)writer_send(c, WE_PAIRING, 0, &pairing, span_of(NULL, 0), -1);
	wire_mark(&ledger, &mark);
	(void)writer_send(c, WE_LEDGER, 0, &ledger, span_of(NULL, 0), -1);
	writer_greet_bans(c);
	writer_greet_said(c);
	(void)writer_send(c, WE_PEERS_KNOWN, 0, NULL, span_of(NULL, 0), -1);
	(void)writer_send(c, WE_WORK, 0, NULL, span_of(NULL, 0), -1);
}

void
writer_client_gone(struct client *c)
{
	struct writer *w = c->w;
	struct rowmap_item it;
	struct why why = { 0 };

	/* Its senders may have been told anything, so these are handed over. */
	while (rowmap_take_owned(&w->hidden, c, &it))
		w->work = true;
	while (rowmap_take_owned(&w->watches, c, &it) || rowmap_take_owned(&w->retry, c, &it))
		;
	while (rowmap_take_owned(&w->claims, c, &it)) {
		w->work = w->noted = true;
		if (db_claim_lost(w->db, it.row, &why) == -1)
			writer_failed(w, &why);
	}
	writer_awake(w);
}
