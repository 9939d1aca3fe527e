#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/writer_in.h"

/*
 * What the writer's clients ask, one table entry each.  A change is applied to
 * the open transaction at once and answered after its commit; a read is done
 * after the commit.  What comes is input: a handler returns false for a message
 * that no sane client sends, and the client is dropped.
 */

static bool
is_home(const struct client *c)
{
	return c->w->conf.role == CONF_HOME;
}

/* --- objects that come ---------------------------------------------------------------------- */

static uint64_t
quota_of(const struct writer_conf *conf, const char *home)
{
	for (size_t i = 0; conf->edge != NULL && i < conf->edge->nhomes; i++)
		if (strcmp(conf->edge->homes[i].name, home) == 0 && conf->edge->homes[i].quota > 0)
			return conf->edge->homes[i].quota;
	return conf->hold->quota;
}

static bool
get_body(struct wire_in *in, struct db_body *b)
{
	memset(b, 0, sizeof(*b));
	wire_get_text(in, b->file, sizeof(b->file));
	if (b->file[0] != '\0') {
		b->size = wire_get_u64(in);
		return wire_done(in);
	}
	b->data = wire_rest(in);
	b->size = b->data.n;
	return !in->bad;
}

static bool
on_put(struct client *c, uint64_t tag, struct wire_in *in)
{
	struct writer *w = c->w;
	struct spool_meta meta;
	unsigned char mac[OBJECT_MAC_LEN];
	struct db_body body;
	struct why why = { "" };
	int64_t row = 0;
	bool changed = false;
	enum kept kept;

	wire_get_meta(in, &meta);
	wire_get_octets(in, mac, sizeof(mac));
	if (!get_body(in, &body))
		return false;
	kept = db_put(w->db, &meta, mac, &body, quota_of(&w->conf, meta.home), &row, &changed, &why);
	if (kept == NOT_KEPT) {
		writer_answer_kept(c, tag, NOT_KEPT, 0, &why);
		writer_undo(w, &why);
		return true;
	}
	/* Where memory is out it goes home early: a verdict less, not a message. */
	if (kept == KEPT && meta.verdict && !is_home(c))
		rows_add(&c->hidden, row, 0);
	if (kept == KEPT && is_home(c))
		w->work = true;
	if (changed)
		writer_settled(w, row);
	writer_answer_kept(c, tag, kept, row, &why);
	return true;
}

static bool
on_aside(struct client *c, uint64_t tag, struct wire_in *in)
{
	struct spool_meta meta;
	unsigned char mac[OBJECT_MAC_LEN];
	char reason[WIRE_REASON_MAX];
	struct db_body body;
	struct why why = { "" };
	int rc;

	wire_get_text(in, reason, sizeof(reason));
	wire_get_meta(in, &meta);
	wire_get_octets(in, mac, sizeof(mac));
	if (!get_body(in, &body))
		return false;
	rc = db_set_aside(c->w->db, &meta, &body, reason, &why);
	log_error(NULL, "spool.aside signer=%s id=%s: %s%s%s", log_safe(span_str(meta.signer)).s,
	    uuid_text(meta.id).s, log_safe(span_str(reason)).s, rc == -1 ? "; not even kept: " : "",
	    rc == -1 ? why.text : "");
	writer_answer_done(c, tag, rc == 0, &why);
	return true;
}

/* --- reading ---------------------------------------------------------------------------------- */

struct listing {
	struct client	*client;
	struct wire_out	*head;
	struct buf	 objects;
	unsigned	 n, max;
};

static bool
is_hidden(const struct writer *w, int64_t row)
{
	for (const struct client *c = w->clients; c != NULL; c = c->next)
		if (rows_has(&c->hidden, row))
			return true;
	return false;
}

static bool
list_row(void *arg, const struct db_row *r)
{
	struct listing *l = arg;
	struct wire_out out = { .n = 0 };

	if (is_hidden(l->client->w, r->object.row))
		return true;
	wire_object(&out, &r->object);
	if (!buf_add_span(&l->objects, wire_span(&out)))
		return false;
	return ++l->n < l->max;
}

static void
read_list(struct client *c, struct answer *a)
{
	const struct db_filter filter = { .home = a->home, .after = a->row };
	struct listing l = { .client = c, .max = a->max };
	struct wire_out head = { .n = 0 };
	struct why why = { "" };
	int rc;

	buf_init(&l.objects, CHAN_BODY_MAX - WIRE_HEAD_MAX);
	rc = db_rows(c->w->db, &filter, list_row, &l, &why);
	if (rc == -1)
		log_error(NULL, "spool.list: %s", why.text);
	wire_u8(&head, rc == 0);
	wire_u32(&head, rc == 0 ? l.n : 0);
	writer_send_head(c, WA_LIST, a->tag, &head, rc == 0 ? buf_span(&l.objects) : span_of(NULL, 0), -1);
	buf_fini(&l.objects);
}

static bool
on_list(struct client *c, uint64_t tag, struct wire_in *in)
{
	char home[PAIRING_NAME_MAX + 1];
	int64_t after;
	uint32_t max;
	struct answer *a;

	wire_get_text(in, home, sizeof(home));
	after = wire_get_row(in);
	max = wire_get_u32(in);
	if (!wire_done(in) || max == 0 || max > WIRE_LIST_MAX)
		return false;
	if ((a = writer_answer(c, tag, WA_LIST)) != NULL) {
		a->read = read_list;
		a->row = after;
		a->max = max;
		memcpy(a->home, home, sizeof(a->home));
	}
	return true;
}

static void
read_content(struct client *c, struct answer *a)
{
	struct db_content content = { .fd = -1 };
	struct wire_out head = { .n = 0 };
	struct why why = { "" };
	int rc = db_content(c->w->db, a->row, &content, &why);

	if (rc == 0)
		why_set(&why, "no such object");
	wire_u8(&head, rc == 1);
	wire_text(&head, why.text);
	writer_send_head(c, WA_CONTENT, a->tag, &head, rc == 1 ? content.data : span_of(NULL, 0),
	    rc == 1 ? content.fd : -1);
	db_content_end(c->w->db);
}

static bool
on_get(struct client *c, uint64_t tag, struct wire_in *in)
{
	int64_t row = wire_get_row(in);
	struct answer *a;

	if (!wire_done(in))
		return false;
	if ((a = writer_answer(c, tag, WA_CONTENT)) != NULL) {
		a->read = read_content;
		a->row = row;
	}
	return true;
}

/* --- objects that go ---------------------------------------------------------------------------- */

static void
unhide(struct writer *w, int64_t row)
{
	for (struct client *c = w->clients; c != NULL; c = c->next)
		rows_take(&c->hidden, row, NULL);
}

static bool
on_delete(struct client *c, uint64_t tag, struct wire_in *in)
{
	int64_t row = wire_get_row(in);
	struct why why = { "" };
	int rc;

	if (!wire_done(in))
		return false;
	if ((rc = db_delete(c->w->db, row, &why)) == 0)
		unhide(c->w, row);
	writer_answer_done(c, tag, rc == 0, &why);
	if (rc == -1)
		writer_undo(c->w, &why);
	return true;
}

static bool
on_release(struct client *c, uint64_t tag, struct wire_in *in)
{
	int64_t row = wire_get_row(in);

	if (!wire_done(in))
		return false;
	unhide(c->w, row);
	c->w->work = true;
	return true;
}

static bool
on_failed(struct client *c, uint64_t tag, struct wire_in *in)
{
	char reason[WIRE_REASON_MAX];
	int64_t row = wire_get_row(in);
	struct why why = { "" };

	wire_get_text(in, reason, sizeof(reason));
	if (!wire_done(in))
		return false;
	if (db_failed(c->w->db, row, reason, &why) == -1)
		writer_undo(c->w, &why);
	return true;
}

static bool
on_mark(struct client *c, uint64_t tag, struct wire_in *in)
{
	char home[PAIRING_NAME_MAX + 1];
	struct ledger_mark mark;
	struct why why = { "" };
	enum db_mark rc;

	wire_get_text(in, home, sizeof(home));
	mark.epoch = wire_get_u64(in);
	mark.counter = wire_get_u64(in);
	if (!wire_done(in))
		return false;
	rc = db_mark(c->w->db, home, mark, &why);
	writer_answer_done(c, tag, rc == MARK_SAME || rc == MARK_NEW, &why);
	if (rc == MARK_FAILED)
		writer_undo(c->w, &why);
	return true;
}

/* --- the ledger --------------------------------------------------------------------------------- */

static bool
is_claimed(void *arg, int64_t row)
{
	const struct writer *w = arg;

	for (const struct client *c = w->clients; c != NULL; c = c->next)
		if (rows_has(&c->claimed, row))
			return true;
	return false;
}

struct job {
	struct client	*client;
	uint64_t	 tag;
	struct buf	 entries;
	unsigned	 n;
};

static bool
job_entry(void *arg, const struct ledger_entry *e)
{
	struct job *j = arg;
	struct wire_out out = { .n = 0 };

	wire_entry(&out, e);
	if (j->entries.n + out.n > WIRE_PART) {
		struct wire_out count = { .n = 0 };

		wire_u16(&count, j->n);
		writer_send_head(j->client, WA_JOB_PART, j->tag, &count, buf_span(&j->entries), -1);
		buf_clear(&j->entries);
		j->n = 0;
	}
	j->n++;
	return buf_add_span(&j->entries, wire_span(&out));
}

/* One object into the courier's hands, with what was noted of it before. */
static void
send_job(struct client *c, uint64_t tag, int64_t row)
{
	struct writer *w = c->w;
	struct job j = { .client = c, .tag = tag };
	struct wire_out head = { .n = 0 };
	struct db_content content = { .fd = -1 };
	struct db_row r;
	struct why why = { "" };
	int rc;

	buf_init(&j.entries, WIRE_PART);
	if (db_row_get(w->db, row, &r, &why) == 1 && db_entries(w->db, row, job_entry, &j, &why) == 0 &&
	    rows_add(&c->claimed, row, 0)) {
		struct span parts[3];
		struct wire_out count = { .n = 0 };

		rc = db_content(w->db, row, &content, &why);
		if (rc != 1)
			log_error(NULL, "spool.job row=%lld: %s", (long long)row, rc == -1 ? why.text : "its content is gone");
		wire_object(&head, &r.object);
		wire_u8(&head, rc == 1);
		wire_u16(&count, j.n);
		wire_octets(&head, count.b, count.n);
		parts[0] = wire_span(&head);
		parts[1] = buf_span(&j.entries);
		parts[2] = rc == 1 ? content.data : span_of(NULL, 0);
		if (!chan_send(c->chan, WA_JOB, tag, parts, 3, rc == 1 ? content.fd : -1))
			rows_take(&c->claimed, row, NULL);
		db_content_end(w->db);
	} else if (why.text[0] != '\0') {
		log_error(NULL, "spool.job row=%lld: %s", (long long)row, why.text);
	}
	buf_fini(&j.entries);
}

static void
read_claim(struct client *c, struct answer *a)
{
	struct db_claim *claim = calloc(a->max, sizeof(*claim));
	struct why why = { "" };
	int n = claim == NULL ? 0 : db_due(c->w->db, wall_ms(), a->max, a->max / 2 > 0 ? a->max / 2 : 1,
	    is_claimed, c->w, claim, &why);

	if (n == -1)
		log_error(NULL, "spool.claim: %s", why.text);
	for (int i = 0; i < n; i++)
		send_job(c, a->tag, claim[i].row);
	free(claim);
	chan_send(c->chan, WA_JOBS_END, a->tag, NULL, 0, -1);
}

static bool
on_claim(struct client *c, uint64_t tag, struct wire_in *in)
{
	uint32_t max = wire_get_u32(in);
	struct answer *a;

	if (!wire_done(in) || !is_home(c) || max == 0 || max > WIRE_LIST_MAX)
		return false;
	if ((a = writer_answer(c, tag, WA_JOBS_END)) != NULL) {
		a->read = read_claim;
		a->max = max;
	}
	return true;
}

static bool
add_parts(struct client *c, struct wire_in *in)
{
	while (in->n > 0 && !in->bad) {
		struct ledger_entry e, *more;

		wire_get_entry(in, &e);
		if (in->bad || c->nparts == WIRE_ENTRIES_MAX)
			return false;
		if (c->nparts > 0 && c->parts[0].row != e.row)
			return false;
		if ((c->nparts & (c->nparts - 1)) == 0) {	/* at each power of two there is room no more */
			more = realloc(c->parts, (c->nparts == 0 ? 1 : 2 * c->nparts) * sizeof(*more));
			if (more == NULL)
				return false;
			c->parts = more;
		}
		c->parts[c->nparts++] = e;
	}
	return !in->bad;
}

static bool
on_note_part(struct client *c, uint64_t tag, struct wire_in *in)
{
	return is_home(c) && add_parts(c, in);
}

static bool
on_note(struct client *c, uint64_t tag, struct wire_in *in)
{
	struct writer *w = c->w;
	struct db_noted noted;
	struct why why = { "" };
	int64_t row;
	int rc;

	if (!is_home(c) || !add_parts(c, in) || c->nparts == 0)
		return false;
	row = c->parts[0].row;
	rc = db_note(w->db, c->parts, c->nparts, wall_ms(), &noted, &why);
	c->nparts = 0;
	if (rc == 0 && (noted.settled || noted.waits)) {
		rows_take(&c->claimed, row, NULL);
		if (noted.settled)
			writer_settled(w, row);
	}
	writer_answer_done(c, tag, rc == 0, &why);
	if (rc == -1)
		writer_undo(w, &why);
	return true;
}

static bool
on_watch(struct client *c, uint64_t tag, struct wire_in *in)
{
	int64_t row = wire_get_row(in);

	if (!wire_done(in) || !is_home(c) || !rows_add(&c->watched, row, tag))
		return false;
	writer_settled(c->w, row);	/* it may be already */
	return true;
}

static bool
on_verdict_over(struct client *c, uint64_t tag, struct wire_in *in)
{
	int64_t row = wire_get_row(in);
	struct db_noted noted;
	struct why why = { "" };
	int rc;

	if (!wire_done(in) || !is_home(c))
		return false;
	rc = db_verdict_over(c->w->db, row, &noted, &why);
	writer_answer_outcome(c, tag, rc == -1 ? OUTCOME_PENDING : noted.outcome, rc == -1 ? NULL : &noted.reply);
	if (rc == -1)
		writer_undo(c->w, &why);
	return true;
}

static bool
on_confirm(struct client *c, uint64_t tag, struct wire_in *in)
{
	char signer[256];
	struct uuid id;
	struct why why = { "" };
	int rc;

	wire_get_text(in, signer, sizeof(signer));
	wire_get_octets(in, id.b, sizeof(id.b));
	if (!wire_done(in) || !is_home(c))
		return false;
	rc = db_confirm_refused(c->w->db, signer, id, &why);
	writer_answer_done(c, tag, rc == 0, &why);
	if (rc == -1)
		writer_undo(c->w, &why);
	return true;
}

/* --- pairing -------------------------------------------------------------------------------------- */

static void
answer_paired(struct client *c, uint64_t tag, const char *error, const struct peer *p)
{
	struct answer *a = writer_answer(c, tag, WA_PAIRED);
	struct wire_out head = { .n = 0 };
	struct buf json;

	if (a == NULL)
		return;
	buf_init(&json, WIRE_PEER_MAX);
	if (error[0] == '\0' && !peer_print(p, &json))
		error = "the edge could not say what it granted";
	wire_text(&head, error);
	buf_add_span(&a->body, wire_span(&head));
	if (error[0] == '\0')
		buf_add_span(&a->body, buf_span(&json));
	buf_wipe(&json);
}

static bool
on_pair_check(struct client *c, uint64_t tag, struct wire_in *in)
{
	char name[PAIRING_NAME_MAX + 1];
	unsigned char token[PAIRING_TOKEN_LEN];
	struct peer grant;
	struct why why = { "" };

	wire_get_text(in, name, sizeof(name));
	wire_get_octets(in, token, sizeof(token));
	if (!wire_done(in) || is_home(c))
		return false;
	if (peers_pairing_check(c->w->peers, name, token, wall_ms(), &grant, &why) == 0)
		why.text[0] = '\0';
	answer_paired(c, tag, why.text, &grant);
	peer_fini(&grant);
	return true;
}

static bool
on_pair_finish(struct client *c, uint64_t tag, struct wire_in *in)
{
	unsigned char token[PAIRING_TOKEN_LEN];
	struct peer peer;
	struct why why = { "" };

	wire_get_octets(in, token, sizeof(token));
	if (in->bad || is_home(c) || !peer_parse(wire_rest(in), &peer, &why))
		return false;
	if (peers_pairing_finish(c->w->peers, &peer, token, wall_ms(), &why) == 0)
		why.text[0] = '\0';
	/* A home that is paired anew may have begun a new ledger: what the old one showed is over. */
	if (why.text[0] == '\0' && db_mark_forget(c->w->db, peer.name, &why) == -1)
		writer_undo(c->w, &why);
	answer_paired(c, tag, why.text, &peer);
	peer_fini(&peer);
	return true;
}

static bool
on_peer_update(struct client *c, uint64_t tag, struct wire_in *in)
{
	struct peer peer;
	struct why why = { "" };
	int rc;

	if (!peer_parse(wire_rest(in), &peer, &why))
		return false;
	if (peers_find(c->w->peers, peer.name) == NULL)
		rc = why_set(&why, "%s is not paired", peer.name);
	else
		rc = peers_put(c->w->peers, &peer, &why);
	writer_answer_done(c, tag, rc == 0, &why);
	peer_fini(&peer);
	return true;
}

/* The whole of what may be asked. */
static bool (*const asked[])(struct client *, uint64_t, struct wire_in *) = {
	[WM_PUT] = on_put, [WM_ASIDE] = on_aside, [WM_LIST] = on_list, [WM_GET] = on_get,
	[WM_DELETE] = on_delete, [WM_RELEASE] = on_release, [WM_FAILED] = on_failed, [WM_MARK] = on_mark,
	[WM_CLAIM] = on_claim, [WM_NOTE_PART] = on_note_part, [WM_NOTE] = on_note, [WM_WATCH] = on_watch,
	[WM_VERDICT_OVER] = on_verdict_over, [WM_CONFIRM] = on_confirm, [WM_PAIR_CHECK] = on_pair_check,
	[WM_PAIR_FINISH] = on_pair_finish, [WM_PEER_UPDATE] = on_peer_update,
};

bool
writer_question(struct client *c, const struct chan_msg *m)
{
	struct wire_in in = wire_in(m->body);

	if (m->type >= sizeof(asked) / sizeof(asked[0]) || asked[m->type] == NULL || m->fd != -1)
		return false;
	return asked[m->type](c, m->tag, &in);
}
