/* What became of each delivery at home: a few lines for each object, for `posthouse log`. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "store/db_in.h"

_Static_assert(LEDGER_DEFERRED == 4 && LEDGER_UNCERTAIN == 6 && LEDGER_QUEUED == 0 &&
    PARK_OPERATOR == 7, "written out in SQL");

static int
write_told(struct db *db, sqlite3_stmt *st, const struct db_told *t, int64_t row, struct why *why)
{
	if (st == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, row);
	sqlite3_bind_int64(st, 2, t->at_ms);
	sqlite3_bind_int(st, 3, (int)t->what);
	sqlite3_bind_int(st, 4, t->part);
	if (sqlite3_bind_parameter_count(st) > 4) {
		sqlite3_bind_int(st, 5, (int)t->park);
		sqlite3_bind_text(st, 6, t->recipient, -1, SQLITE_STATIC);
		sqlite3_bind_text(st, 7, t->mailbox, -1, SQLITE_STATIC);
		sqlite3_bind_text(st, 8, t->text, -1, SQLITE_STATIC);
	}
	return db_run(db, st, why);
}

/* Whether so much has been told of this object that only its end still matters. */
static int
told_enough(struct db *db, int64_t row, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_STORY_COUNT, why);
	int64_t n;

	if (st == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, row);
	if (db_step(db, st, why) != 1)
		return -1;
	n = sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	return n >= DB_STORY_OBJECT;
}

/* The same again is counted: a mailbox that is full for a week makes one line. */
static int
tell(struct db *db, const struct db_told *t, int64_t row, struct why *why)
{
	bool ends = t->what != EVENT_DEFERRED && t->what != EVENT_UNCERTAIN;
	int enough;

	if (db->role != CONF_HOME)
		return 0;
	if (!ends) {
		if (write_told(db, db_st(db, ST_STORY_AGAIN, why), t, row, why) == -1)
			return -1;
		if (sqlite3_changes(db->sq) > 0)
			return 0;
		if ((enough = told_enough(db, row, why)) != 0)
			return enough == -1 ? -1 : 0;
	}
	return write_told(db, db_st(db, ST_STORY, why), t, row, why);
}

static void
reply_text(const struct smtp_reply *r, char *out, size_t max)
{
	size_t n = 0;

	out[0] = '\0';
	if (r->code == 0)
		return;
	n = (size_t)snprintf(out, max, "%u ", r->code);
	if (r->enhanced[0] != 0)
		n += (size_t)snprintf(out + n, max - n, "%u.%u.%u ", r->enhanced[0],
		    r->enhanced[1], r->enhanced[2]);
	snprintf(out + n, max - n, "%s", r->text);
}

int
db_story_entry(struct db *db, const struct ledger_entry *e, enum ledger_state state,
    enum park_class park, struct why *why)
{
	static const enum db_event events[] = {
		[LEDGER_DEFERRED] = EVENT_DEFERRED,
		[LEDGER_UNCERTAIN] = EVENT_UNCERTAIN,
		[LEDGER_PARKED] = EVENT_PARKED,
		[LEDGER_REFUSED] = EVENT_REFUSED,
		[LEDGER_DELIVERED] = EVENT_DELIVERED,
	};
	struct db_told t = { .at_ms = wall_ms(), .part = (int)e->part };

	if ((size_t)state >= sizeof(events) / sizeof(events[0]) || events[state] == EVENT_NONE)
		return 0;
	t.what = events[state];
	t.park = state == LEDGER_PARKED ? park : PARK_NONE;
	(void)span_copy(span_str(e->recipient), t.recipient, sizeof(t.recipient));
	(void)span_copy(span_str(e->mailbox), t.mailbox, sizeof(t.mailbox));
	reply_text(&e->reply, t.text, sizeof(t.text));
	return tell(db, &t, e->row, why);
}

int
db_story(struct db *db, int64_t row, enum db_event what, const char *text, struct why *why)
{
	struct db_told t = { .at_ms = wall_ms(), .what = what, .part = -1 };

	(void)span_copy(span_str(text), t.text, sizeof(t.text));
	return tell(db, &t, row, why);
}

int
db_story_state(struct db *db, int64_t row, enum db_event what, enum ledger_state state,
    const char *text, struct why *why)
{
	sqlite3_stmt *st;

	if (db->role != CONF_HOME)
		return 0;
	if ((st = db_st(db, ST_STORY_OF_STATE, why)) == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, row);
	sqlite3_bind_int64(st, 2, wall_ms());
	sqlite3_bind_int(st, 3, (int)what);
	sqlite3_bind_text(st, 4, text, -1, SQLITE_STATIC);
	sqlite3_bind_int(st, 5, (int)state);
	return db_run(db, st, why);
}

static void
copy(sqlite3_stmt *st, int col, char *out, size_t max)
{
	const char *s = (const char *)sqlite3_column_text(st, col);

	(void)span_copy(span_str(s != NULL ? s : ""), out, max);
}

int
db_story_read(struct db *db, int64_t row, db_told_fn *fn, void *arg, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_STORY_READ, why);
	struct db_told t;
	int rc;

	if (st == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, row);
	while ((rc = db_step(db, st, why)) == 1) {
		t = (struct db_told){ .at_ms = sqlite3_column_int64(st, 0),
		    .since_ms = sqlite3_column_int64(st, 1),
		    .times = (unsigned)sqlite3_column_int(st, 2),
		    .what = (enum db_event)sqlite3_column_int(st, 3),
		    .part = sqlite3_column_int(st, 4),
		    .park = (enum park_class)sqlite3_column_int(st, 5) };
		copy(st, 6, t.recipient, sizeof(t.recipient));
		copy(st, 7, t.mailbox, sizeof(t.mailbox));
		copy(st, 8, t.text, sizeof(t.text));
		if (!fn(arg, &t)) {
			rc = 0;
			break;
		}
	}
	sqlite3_reset(st);
	return rc;
}

int
db_find_gone(struct db *db, struct uuid id, struct db_gone *g, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_DONE_FIND, why);
	int rc;

	*g = (struct db_gone){ 0 };
	if (st == NULL)
		return -1;
	sqlite3_bind_blob(st, 1, id.b, sizeof(id.b), SQLITE_STATIC);
	if ((rc = db_step(db, st, why)) == 1) {
		g->row = sqlite3_column_int64(st, 0);
		copy(st, 1, g->signer, sizeof(g->signer));
		g->received_ms = sqlite3_column_int64(st, 2);
		g->gone_ms = sqlite3_column_int64(st, 3);
		g->size = (uint64_t)sqlite3_column_int64(st, 4);
	}
	sqlite3_reset(st);
	return rc;
}

int
db_story_expire(struct db *db, int64_t before, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_STORY_LAST, why);
	int64_t last;

	if (st == NULL || db_step(db, st, why) == -1)
		return -1;
	last = sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	if (last == 0)
		return 0;
	if (db_begin(db, why) == -1 || (st = db_st(db, ST_STORY_EXPIRE, why)) == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, before);
	sqlite3_bind_int64(st, 2, last - DB_STORY_MAX);
	return db_run(db, st, why) == -1 ? -1 : sqlite3_changes(db->sq);
}
