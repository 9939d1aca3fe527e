/* What is there, for people and for the processes that carry it on. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/db_in.h"

static void
copy_text(sqlite3_stmt *st, int col, char *out, size_t max)
{
	const char *s = (const char *)sqlite3_column_text(st, col);

	(void)span_copy(span_str(s != NULL ? s : ""), out, max);
}

static void
copy_blob(sqlite3_stmt *st, int col, void *out, size_t len)
{
	const void *p = sqlite3_column_blob(st, col);

	if (p != NULL && (size_t)sqlite3_column_bytes(st, col) == len)
		memcpy(out, p, len);
}

void
db_row_read(sqlite3_stmt *st, struct db_row *r, char file[DB_FILE_LEN + 1])
{
	struct spool_object *o = &r->object;

	*r = (struct db_row){ 0 };
	o->row = sqlite3_column_int64(st, 0);
	copy_text(st, 1, o->meta.signer, sizeof(o->meta.signer));
	copy_blob(st, 2, o->meta.id.b, sizeof(o->meta.id.b));
	copy_text(st, 3, o->meta.home, sizeof(o->meta.home));
	o->meta.origin = (enum spool_origin)sqlite3_column_int(st, 4);
	o->meta.received_ms = sqlite3_column_int64(st, 5);
	copy_blob(st, 6, o->meta.client_net.ip, sizeof(o->meta.client_net.ip));
	if (sqlite3_column_bytes(st, 6) > 0)
		o->meta.client_net.v6 = memcmp(o->meta.client_net.ip,
		    "\0\0\0\0\0\0\0\0\0\0\377\377", 12) != 0;
	o->meta.verdict = sqlite3_column_int(st, 7) != 0;
	o->size = (uint64_t)sqlite3_column_int64(st, 8);
	copy_blob(st, 9, o->mac, sizeof(o->mac));
	o->tries = (unsigned)sqlite3_column_int(st, 10);
	copy_text(st, 11, r->reason, sizeof(r->reason));
	r->state = (enum ledger_state)sqlite3_column_int(st, 12);
	r->due_ms = sqlite3_column_type(st, 13) == SQLITE_NULL ? -1 : sqlite3_column_int64(st, 13);
	r->large = sqlite3_column_type(st, 14) != SQLITE_NULL;
	if (file != NULL)
		copy_text(st, 14, file, DB_FILE_LEN + 1);
}

int
db_rows(struct db *db, const struct db_filter *f, db_row_fn *fn, void *arg, struct why *why)
{
	bool indexed = f->by_state && f->state != LEDGER_QUEUED;
	enum db_stmt which = f->home != NULL ? ST_ROWS_HOME : f->park != PARK_NONE ? ST_ROWS_PARK :
	    f->parked ? ST_ROWS_PARKED : indexed ? ST_ROWS_STATE : ST_ROWS;
	sqlite3_stmt *st = db_st(db, which, why);
	struct db_row *r;
	unsigned n = 0;
	int rc = -1;

	if (st == NULL)
		return -1;
	if ((r = malloc(sizeof(*r))) == NULL)
		return why_set(why, "%s: out of memory", db->path);
	sqlite3_bind_int64(st, 1, f->after);
	if (f->home != NULL)
		db_bind_str(st, 2, f->home);
	else if (which == ST_ROWS_STATE)
		sqlite3_bind_int(st, 2, (int)f->state);
	else if (which == ST_ROWS_PARKED)
		sqlite3_bind_int(st, 2, DB_PARK_ROWS);
	if (which == ST_ROWS_PARK) {
		sqlite3_bind_int(st, 2, (int)f->park);
		sqlite3_bind_int(st, 3, DB_PARK_ROWS);
	}
	while ((f->max == 0 || n < f->max) && (rc = db_step(db, st, why)) == 1) {
		rc = 0;
		if (f->by_state && sqlite3_column_int(st, 12) != (int)f->state)
			continue;
		db_row_read(st, r, NULL);
		n++;
		if (!fn(arg, r))
			break;
	}
	sqlite3_reset(st);
	free(r);
	return rc == -1 ? -1 : 0;
}

static int
one(struct db *db, sqlite3_stmt *st, struct db_row *r, char *file, struct why *why)
{
	int rc = db_step(db, st, why);

	if (rc == 1)
		db_row_read(st, r, file);
	else
		*r = (struct db_row){ 0 };
	sqlite3_reset(st);
	return rc;
}

int
db_row_file(struct db *db, int64_t row, struct db_row *r, char file[DB_FILE_LEN + 1],
    struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_ROW, why);

	if (st == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, row);
	return one(db, st, r, file, why);
}

int
db_row_get(struct db *db, int64_t row, struct db_row *r, struct why *why)
{
	return db_row_file(db, row, r, NULL, why);
}

int
db_find(struct db *db, struct uuid id, struct db_row *r, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_BY_ID, why);

	if (st == NULL)
		return -1;
	sqlite3_bind_blob(st, 1, id.b, sizeof(id.b), SQLITE_STATIC);
	return one(db, st, r, NULL, why);
}

int
db_entries(struct db *db, int64_t row, db_entry_fn *fn, void *arg, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_ENTRIES, why);
	struct ledger_entry e;
	int rc;

	if (st == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, row);
	while ((rc = db_step(db, st, why)) == 1) {
		int enhanced = sqlite3_column_int(st, 8);

		e = (struct ledger_entry){ .row = row };
		e.part = (unsigned)sqlite3_column_int(st, 0);
		e.state = (enum ledger_state)sqlite3_column_int(st, 1);
		e.park = (enum park_class)sqlite3_column_int(st, 2);
		copy_text(st, 3, e.recipient, sizeof(e.recipient));
		copy_text(st, 4, e.mailbox, sizeof(e.mailbox));
		copy_text(st, 5, e.name, sizeof(e.name));
		e.next_ms = sqlite3_column_int64(st, 6);
		e.reply.code = (unsigned)sqlite3_column_int(st, 7);
		e.reply.enhanced[0] = (unsigned char)(enhanced >> 16);
		e.reply.enhanced[1] = (unsigned char)(enhanced >> 8);
		e.reply.enhanced[2] = (unsigned char)enhanced;
		copy_text(st, 9, e.reply.text, sizeof(e.reply.text));
		if (!fn(arg, &e)) {
			rc = 0;
			break;
		}
	}
	sqlite3_reset(st);
	return rc;
}

int
db_parked(struct db *db, struct db_parked *p, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_PARKED_CLASSES, why);
	sqlite3_stmt *first = db_st(db, ST_PARKED_FIRST, why);
	int rc;

	*p = (struct db_parked){ 0 };
	if (st == NULL || first == NULL)
		return -1;
	while ((rc = db_step(db, st, why)) == 1) {
		int class = sqlite3_column_int(st, 0);

		if (class >= 0 && class <= PARK_OPERATOR)
			p->objects[class] = (uint64_t)sqlite3_column_int64(st, 1);
	}
	if (rc == 0 && (rc = db_step(db, first, why)) == 1)
		p->first_ms = sqlite3_column_int64(first, 0);
	sqlite3_reset(first);
	return rc == -1 ? -1 : 0;
}

int
db_parked_since(struct db *db, int64_t since_ms, uint64_t *n, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_PARKED_SINCE, why);
	int rc;

	*n = 0;
	if (st == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, since_ms);
	if ((rc = db_step(db, st, why)) == 1)
		*n = (uint64_t)sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	return rc == -1 ? -1 : 0;
}

int
db_waiting(struct db *db, uint64_t *objects, int64_t *oldest_ms, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_WAITING, why);
	int64_t n;
	int rc;

	*objects = 0;
	*oldest_ms = 0;
	if (st == NULL)
		return -1;
	if ((rc = db_step(db, st, why)) == 1) {
		n = sqlite3_column_int64(st, 0);
		*objects = n > 0 ? (uint64_t)n : 0;
		*oldest_ms = sqlite3_column_int64(st, 1);	/* NULL is 0 */
	}
	sqlite3_reset(st);
	return rc == -1 ? -1 : 0;
}

int
db_totals(struct db *db, struct db_totals *t, size_t max, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_TOTALS, why), *oldest = db_st(db, ST_OLDEST, why);
	size_t n = 0;
	int rc = 0;

	if (st == NULL || oldest == NULL)
		return -1;
	while (n < max && (rc = db_step(db, st, why)) == 1) {
		t[n] = (struct db_totals){ .objects = (uint64_t)sqlite3_column_int64(st, 1),
		    .bytes = (uint64_t)sqlite3_column_int64(st, 2) };
		copy_text(st, 0, t[n].home, sizeof(t[n].home));
		db_bind_str(oldest, 1, t[n].home);
		if ((rc = db_step(db, oldest, why)) == 1)
			t[n].oldest_ms = sqlite3_column_int64(oldest, 0);
		sqlite3_reset(oldest);
		if (rc == -1)
			break;
		n++;
	}
	sqlite3_reset(st);
	return rc == -1 ? -1 : (int)n;
}

int
db_states(struct db *db, struct db_states *s, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_STATES, why), *done = db_st(db, ST_DONE_COUNT, why);
	uint64_t others = 0;
	int rc;

	*s = (struct db_states){ 0 };
	if (st == NULL || done == NULL)
		return -1;
	while ((rc = db_step(db, st, why)) == 1) {
		int state = sqlite3_column_int(st, 0);

		if (state < 0 || state > LEDGER_REFUSED)
			continue;
		s->objects[state] = (uint64_t)sqlite3_column_int64(st, 1);
		if (state != LEDGER_QUEUED)
			others += s->objects[state];
	}
	s->objects[LEDGER_QUEUED] -= others < s->objects[LEDGER_QUEUED] ? others :
	    s->objects[LEDGER_QUEUED];
	if (rc == 0 && (rc = db_step(db, done, why)) == 1)
		s->delivered = (uint64_t)sqlite3_column_int64(done, 0);
	sqlite3_reset(done);
	return rc == -1 ? -1 : 0;
}

int
db_share_most(struct db *db, const char *home, struct netaddr *net, uint64_t *bytes,
    struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_SHARE_MOST, why);
	int rc;

	*net = (struct netaddr){ 0 };
	*bytes = 0;
	if (st == NULL)
		return -1;
	db_bind_str(st, 1, home);
	if ((rc = db_step(db, st, why)) == 1) {
		if (sqlite3_column_bytes(st, 0) == sizeof(net->ip))
			memcpy(net->ip, sqlite3_column_blob(st, 0), sizeof(net->ip));
		*bytes = (uint64_t)sqlite3_column_int64(st, 1);
	}
	sqlite3_reset(st);
	return rc;
}

int
db_declined(struct db *db, const char *home, uint64_t *n, char *words, size_t max,
    struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_DECLINED, why);
	int rc;

	if (st == NULL)
		return -1;
	db_bind_str(st, 1, home);
	if ((rc = db_step(db, st, why)) == 1) {
		*n = (uint64_t)sqlite3_column_int64(st, 0);
		copy_text(st, 2, words, max);
	}
	sqlite3_reset(st);
	return rc == 1 ? 0 : -1;
}

/* --- content ------------------------------------------------------------------- */

static int
content_file(struct db *db, const struct db_row *r, const char *file, struct db_content *c,
    struct why *why)
{
	struct why bad = { 0 };
	int rc = db_file_check(db, file, r->object.size, &bad);

	if (rc == 0) {
		c->fd = db->sys->openat(db->large, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
		return c->fd != -1 ? 1 : why_sys(why, "%s/large/%s: cannot be opened", db->path,
		    file);
	}
	why_set(why, "%s", bad.text);
	if (rc == -1)
		(void)db_damaged(db, r, file, bad.text, &bad);
	return -1;
}

int
db_content(struct db *db, int64_t row, struct db_content *c, struct why *why)
{
	char file[DB_FILE_LEN + 1];
	struct db_row *r = malloc(sizeof(*r));
	sqlite3_stmt *st;
	int rc;

	*c = (struct db_content){ .fd = -1 };
	assert(!db->content_open);
	if (r == NULL)
		return why_set(why, "%s: out of memory", db->path);
	rc = db_row_file(db, row, r, file, why);
	if (rc == 1 && r->large) {
		rc = content_file(db, r, file, c, why);
		free(r);
		return rc;
	}
	free(r);
	if (rc != 1 || (st = db_st(db, ST_CONTENT, why)) == NULL)
		return rc == 1 ? -1 : rc;
	sqlite3_bind_int64(st, 1, row);
	rc = db_step(db, st, why);
	if (rc == 1) {
		c->data = span_of(sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0));
		db->content_open = true;
	} else if (rc == 0)
		rc = why_set(why, "%s: row %lld has no content", db->path, (long long)row);
	return rc;
}

void
db_content_end(struct db *db)
{
	if (!db->content_open)
		return;
	sqlite3_reset(db->st[ST_CONTENT]);
	db->content_open = false;
}
