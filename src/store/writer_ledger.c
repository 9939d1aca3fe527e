/* Home: claims, notes, and who waits for what becomes of an object. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/writer_in.h"

#define CLAIM_MAX	1024
/* of content in one answer: the rest waits for the next claim */
#define CLAIM_OCTETS	(4u << 20)
#define QUEUE_OCTETS	(8u << 20)	/* a courier that has so much to read gets no more */

/* --- claims ------------------------------------------------------------------------- */

struct entries {
	struct client	*c;
	uint64_t	 tag;
	struct buf	 body;		/* a u16 count, then entries */
	unsigned	 n;
};

static void
entries_reset(struct entries *e)
{
	buf_clear(&e->body);
	(void)buf_add(&e->body, "\0\0", 2);
	e->n = 0;
}

static void
entries_count(struct entries *e)
{
	e->body.p[0] = (char)(e->n >> 8);
	e->body.p[1] = (char)e->n;
}

static bool
add_entry(void *arg, const struct ledger_entry *e)
{
	struct entries *all = arg;
	struct wire_out w = { .n = 0 };

	wire_entry(&w, e);
	if (all->body.n + w.n > WIRE_PART / 2) {
		entries_count(all);
		(void)writer_send(all->c, WA_JOB_PART, all->tag, NULL, buf_span(&all->body), -1);
		entries_reset(all);
	}
	all->n++;
	return buf_add_span(&all->body, wire_span(&w));
}

static bool
claimed(void *arg, int64_t row)
{
	struct writer *w = arg;

	return rowmap_find(&w->claims, row) != NULL;
}

/*
 * 1 the job was sent, 0 there is none (any more), -1 the database failed.  octets: what it weighed.
 */
static int
send_job(struct client *c, uint64_t tag, int64_t row, size_t *octets, struct why *why)
{
	struct writer *w = c->w;
	struct entries e = { .c = c, .tag = tag };
	struct wire_out head = { .n = 0 };
	struct db_content content;
	struct db_row r;
	struct span part[3];
	int rc;

	if ((rc = db_row_get(w->db, row, &r, why)) != 1)
		return rc;
	buf_init(&e.body, WIRE_PART);
	entries_reset(&e);
	/*
	 * The content first: if it is damaged, the row has just been parked and is no job.  If it
	 * cannot be read now it must not be the next that is claimed again.
	 */
	if ((rc = db_content(w->db, row, &content, why)) != 1) {
		struct why unread = *why;

		log_error(uuid_text(r.object.meta.id).s, "ledger.claim why=\"%s\"", unread.text);
		buf_fini(&e.body);
		if (rc == -1 && db_put_off(w->db, row, wall_ms(), unread.text, why) == -1)
			writer_failed(w, why);
		w->noted = true;
		return 0;
	}
	rc = db_entries(w->db, row, add_entry, &e, why) == -1 || e.body.failed ? -1 : 1;
	if (rc == 1) {
		entries_count(&e);
		wire_object(&head, &r.object);
		wire_u8(&head, 1);
		part[0] = wire_span(&head);
		part[1] = buf_span(&e.body);
		part[2] = content.data;
		if (!chan_send(c->chan, WA_JOB, tag, part, 3, content.fd) || !rowmap_add(&w->claims,
		    row, c, 0)) {
			c->doomed = true;
			writer_awake(w);
			rc = 0;
		}
		*octets += content.data.n + e.body.n;
	} else if (content.fd != -1)
		close(content.fd);
	db_content_end(w->db);
	buf_fini(&e.body);
	return rc;
}

bool
serve_claim(struct client *c, struct chan_msg *m)
{
	struct wire_in in = wire_in(m->body);
	unsigned max = wire_get_u32(&in);
	struct writer *w = c->w;
	struct db_claim due[CLAIM_MAX];
	struct why why = { 0 };
	size_t octets = 0;
	int n = 0, i;

	if (!wire_done(&in))
		return false;
	max = max < CLAIM_MAX ? max : CLAIM_MAX;
	if (chan_queued(c->chan) < QUEUE_OCTETS)
		n = db_due(w->db, wall_ms(), max, (max + 1) / 2, claimed, w, due, &why);
	for (i = 0; i < n && octets < CLAIM_OCTETS && !c->doomed; i++)
		if (send_job(c, m->tag, due[i].row, &octets, &why) == -1) {
			n = -1;
			break;
		}
	if (n == -1)
		log_error(NULL, "ledger.claim why=\"%s\"", why.text);
	(void)writer_send(c, WA_JOBS_END, m->tag, NULL, span_of(NULL, 0), -1);
	/* Cut short: there is more, and no event would say so. */
	if (i < n || chan_queued(c->chan) >= QUEUE_OCTETS)
		writer_work_soon(w);
	writer_awake(w);
	return true;
}

/* --- notes --------------------------------------------------------------------------- */

static bool
take_entries(struct client *c, struct wire_in *in)
{
	while (in->n > 0 && !in->bad) {
		if (c->nparts == WIRE_ENTRIES_MAX)
			return false;
		/* 0, 1, 3, 7, ...: room for as many again */
		if ((c->nparts & (c->nparts + 1)) == 0 || c->parts == NULL) {
			size_t room = 2 * c->nparts + 2;

			if ((c->parts = realloc(c->parts, room * sizeof(*c->parts))) == NULL)
				abort();
		}
		wire_get_entry(in, &c->parts[c->nparts]);
		if (c->parts[c->nparts].row != c->parts[0].row)
			return false;
		c->nparts++;
	}
	return !in->bad;
}

bool
serve_note_part(struct client *c, struct chan_msg *m)
{
	struct wire_in in = wire_in(m->body);

	return take_entries(c, &in);
}

static void
noted_owed(struct owed *o, const struct db_noted *n)
{
	o->outcome = n->outcome;
	if (n->outcome == OUTCOME_REFUSED && (o->reply = malloc(sizeof(*o->reply))) != NULL)
		*o->reply = n->reply;
}

bool
serve_note(struct client *c, struct chan_msg *m)
{
	struct wire_in in = wire_in(m->body);
	struct writer *w = c->w;
	struct db_noted noted = { 0 };
	struct why why = { 0 };
	struct owed *o;
	int rc;

	if (!take_entries(c, &in))
		return false;
	o = writer_owe(c, m->tag, (enum wire_type)m->type, WA_DONE);
	o->ok = true;
	o->row = c->nparts > 0 ? c->parts[0].row : 0;
	rc = db_note(w->db, c->parts, c->nparts, wall_ms(), &noted, &why);
	free(c->parts);
	c->parts = NULL;
	c->nparts = 0;
	if (rc == -1) {
		writer_failed(w, &why);
		return true;
	}
	o->ends_claim = noted.settled || noted.waits;
	w->noted = w->noted || noted.waits;
	/* Due again at once, and its claim is over: somebody must come for it. */
	o->came = noted.waits && noted.next_ms <= wall_ms();
	noted_owed(o, &noted);
	return true;
}

/* --- outcomes ------------------------------------------------------------------------- */

void
writer_settled(struct writer *w, const struct owed *o)
{
	static const struct smtp_reply none;
	struct rowmap_item it;

	if (o->outcome == OUTCOME_PENDING)
		return;
	while (rowmap_take(&w->watches, o->row, &it)) {
		struct wire_out out = { .n = 0 };

		wire_u8(&out, o->outcome);
		wire_reply(&out, o->reply != NULL ? o->reply : &none);
		(void)writer_send(it.owner, WA_OUTCOME, it.tag, &out, span_of(NULL, 0), -1);
	}
}

/* The client's tag says which of the two it asked. */
bool
writer_outcome(struct client *c, uint64_t tag, int64_t row)
{
	enum wire_type asked = (enum wire_type)(tag >> 56);
	struct writer *w = c->w;
	struct db_noted noted;
	struct why why = { 0 };
	struct owed *o;
	int rc;

	rc = asked == WM_WATCH ? db_outcome(w->db, row, &noted, &why) :
	    db_verdict_over(w->db, row, &noted, &why);
	if (rc != -1 && asked == WM_WATCH && noted.outcome == OUTCOME_PENDING) {
		if (!rowmap_add(&w->watches, row, c, tag))
			abort();
		return true;
	}
	o = writer_owe(c, tag, asked, WA_OUTCOME);
	o->row = row;
	if (rc == -1) {
		writer_failed(w, &why);
		return false;
	}
	noted_owed(o, &noted);
	return true;
}

bool
serve_outcome(struct client *c, struct chan_msg *m)
{
	struct wire_in in = wire_in(m->body);
	int64_t row = wire_get_row(&in);

	if (!wire_done(&in) || m->tag >> 56 != m->type)
		return false;
	(void)writer_outcome(c, m->tag, row);
	return true;
}

bool
serve_confirm(struct client *c, struct chan_msg *m)
{
	struct wire_in in = wire_in(m->body);
	char signer[256];
	struct why why = { 0 };
	struct uuid id;

	wire_get_text(&in, signer, sizeof(signer));
	wire_get_octets(&in, id.b, sizeof(id.b));
	if (!wire_done(&in))
		return false;
	writer_owe(c, m->tag, (enum wire_type)m->type, WA_DONE)->ok = true;
	if (db_confirm_refused(c->w->db, signer, id, &why) == -1)
		writer_failed(c->w, &why);
	return true;
}
