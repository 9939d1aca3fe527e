/* What a crash left behind is finished here, before anybody is answered. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/db_in.h"

_Static_assert(LEDGER_SENDING == 1 && LEDGER_UNCERTAIN == 6, "written out in SQL");

/* The first column of a query of one row. */
static int
number(struct db *db, const char *sql, int64_t *n, struct why *why)
{
	sqlite3_stmt *st;
	int rc;

	*n = 0;
	if (sqlite3_prepare_v2(db->sq, sql, -1, &st, NULL) != SQLITE_OK)
		return db_fail(db, "cannot be read", why);
	rc = db_step(db, st, why);
	if (rc == 1)
		*n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return rc == -1 ? -1 : 0;
}

/* The quotas' arithmetic and the next row are what the objects say. */
static int
arithmetic(struct db *db, struct why *why)
{
	char sql[80];
	int64_t right, top;

	if (number(db, "SELECT (SELECT coalesce(sum(objects), 0) FROM held) ="
	    " (SELECT count(*) FROM object) AND (SELECT coalesce(sum(bytes), 0) FROM held) ="
	    " (SELECT coalesce(sum(size), 0) FROM object)", &right, why) == -1 ||
	    number(db, "SELECT coalesce(max(row), 0) FROM object", &top, why) == -1)
		return -1;
	if (!right) {
		log_warn(NULL, "store.recover what=held why=\"sums were wrong; counted anew\"");
		if (db_exec(db, "DELETE FROM held; DELETE FROM share;"
		    "INSERT INTO held SELECT home, count(*), sum(size) FROM object GROUP BY home;"
		    "INSERT INTO share SELECT home, net, count(*), sum(size) FROM object"
		    " WHERE length(net) > 0 GROUP BY home, net", why) == -1)
			return -1;
	}
	if (db->next_row <= top) {
		db->next_row = top + 1;
		snprintf(sql, sizeof(sql), "UPDATE ledger SET next_row = %" PRId64, db->next_row);
		return db_exec(db, sql, why);
	}
	return 0;
}

/* Whoever was sending is gone: everything may have been sent, and nobody heard the answer. */
static int
in_flight(struct db *db, struct why *why)
{
	char sql[400];
	int64_t n;

	if (number(db, "SELECT count(*) FROM entry WHERE state = 1", &n, why) == -1)
		return -1;
	if (n == 0)
		return 0;
	log_warn(NULL, "store.recover what=sending n=%" PRId64 " now=uncertain", n);
	snprintf(sql, sizeof(sql), "INSERT INTO story(row, at, since, times, what, part, park,"
	    " recipient, mailbox, text) SELECT row, %" PRId64 ", %" PRId64 ", 1, %d, part, 0,"
	    " recipient, mailbox, 'home ended while it was sending' FROM entry WHERE state = 1",
	    wall_ms(), wall_ms(), (int)EVENT_UNCERTAIN);
	if (db_exec(db, sql, why) == -1)
		return -1;
	return db_exec(db, "UPDATE object SET due = 0, state = 6, tries = tries + 1 WHERE row IN"
	    " (SELECT row FROM entry WHERE state = 1);"
	    "UPDATE entry SET state = 6, next = 0 WHERE state = 1", why);
}

static int
park_damaged(struct db *db, const struct db_row *r, const char *reason, struct why *why)
{
	char text[300];
	sqlite3_stmt *st;

	snprintf(text, sizeof(text), "damaged: %s", reason);
	if (sqlite3_prepare_v2(db->sq,
	    "UPDATE entry SET state = 5, park = ?2, code = 554, enhanced = ?3,"
	    " text = ?4 WHERE row = ?1 AND state <> 3", -1, &st, NULL) != SQLITE_OK)
		return db_fail(db, "cannot be written", why);
	sqlite3_bind_int64(st, 1, r->object.row);
	sqlite3_bind_int(st, 2, PARK_MALFORMED);
	sqlite3_bind_int(st, 3, 5 << 16 | 6 << 8);
	db_bind_str(st, 4, text);
	if (db_run(db, st, why) == -1) {
		sqlite3_finalize(st);
		return -1;
	}
	sqlite3_finalize(st);
	if (sqlite3_changes(db->sq) == 0) {
		if ((st = db_st(db, ST_NOTE, why)) == NULL)
			return -1;
		sqlite3_clear_bindings(st);
		sqlite3_bind_int64(st, 1, r->object.row);
		sqlite3_bind_int(st, 2, 0);
		sqlite3_bind_int(st, 3, LEDGER_PARKED);
		sqlite3_bind_int(st, 4, PARK_MALFORMED);
		db_bind_str(st, 5, "");
		db_bind_str(st, 6, "");
		db_bind_str(st, 7, "");
		sqlite3_bind_int64(st, 8, 0);
		sqlite3_bind_int(st, 9, 554);
		sqlite3_bind_int(st, 10, 5 << 16 | 6 << 8);
		db_bind_str(st, 11, text);
		if (db_run(db, st, why) == -1)
			return -1;
	}
	if ((st = db_st(db, ST_SETTLE, why)) == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, r->object.row);
	sqlite3_bind_int(st, 2, LEDGER_PARKED);
	sqlite3_bind_null(st, 3);
	sqlite3_bind_null(st, 4);
	return db_run(db, st, why);
}

/*
 * A large file is missing or is not what its row says.  Home parks the row, as
 * somebody must be told; an edge sets what is left aside, as a row that can never
 * be handed over would only stand in the way.
 */
int
db_damaged(struct db *db, const struct db_row *r, const char *file, const char *reason,
    struct why *why)
{
	struct uuid_text id = uuid_text(r->object.meta.id);
	char as[80];

	log_error(id.s, "store.damaged row=%" PRId64 " file=%s why=\"%s\"", r->object.row, file,
	    reason);
	snprintf(db->alarm, sizeof(db->alarm), "object %s is damaged: see the log and %s", id.s,
	    db->role == CONF_HOME ? "`posthouse show`" : "aside/");
	if (db_begin(db, why) == -1)
		return -1;
	if (db->role == CONF_HOME)
		return park_damaged(db, r, reason, why);
	snprintf(as, sizeof(as), "%s.damaged", id.s);
	if (db_file_aside(db, file, as, reason, why) == -1 &&
	    db_write_aside(db, as, span_of(NULL, 0), reason, why) == -1)
		return -1;
	return db_drop(db, r->object.row, false, why);
}

/* Each large row's file. */
static int
large_rows(struct db *db, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_LARGE_ROWS, why);
	struct db_row *r = malloc(sizeof(*r));
	char file[DB_FILE_LEN + 1];
	struct why bad;
	int64_t after = 0;
	int rc = st != NULL && r != NULL ? 1 : -1;

	while (rc == 1) {
		sqlite3_bind_int64(st, 1, after);
		while ((rc = db_step(db, st, why)) == 1) {
			db_row_read(st, r, file);
			switch (db_file_check(db, file, r->object.size, &bad)) {
			case 0:
				continue;
			case 1:		/* who wants its octets finds out */
				log_warn(uuid_text(r->object.meta.id).s,
				    "store.unreadable row=%" PRId64 " why=\"%s\"", r->object.row,
				    bad.text);
				continue;
			}
			break;
		}
		if (rc != 1)
			break;
		sqlite3_reset(st);
		after = r->object.row;
		if (db_damaged(db, r, file, bad.text, why) == -1)
			rc = -1;
	}
	free(r);
	return rc;
}

int
db_recover(struct db *db, struct why *why)
{
	if (db_counters(db, why) == -1 || db_begin(db, why) == -1)
		return -1;
	if (arithmetic(db, why) == -1 || in_flight(db, why) == -1 || large_rows(db, why) == -1 ||
	    db_commit(db, why) == -1) {
		db_rollback(db);
		return -1;
	}
	db_sweep(db, true);
	return db_counters(db, why);
}
