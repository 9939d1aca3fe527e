#include "store/db_copy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/secret.h"
#include "store/db_in.h"

#define BUSY_MS	10000

/* --- a copy ------------------------------------------------------------------------------- */

struct db_source {
	sqlite3		*sq;
	char		 path[CONF_PATH_MAX + 16];
};

static int
failed(sqlite3 *sq, const char *path, const char *what, struct why *why)
{
	int rc = sqlite3_errcode(sq);

	if (rc == SQLITE_FULL || (rc == SQLITE_IOERR &&
	    (sqlite3_system_errno(sq) == ENOSPC || sqlite3_system_errno(sq) == EDQUOT)))
		return why_set(why, "%s: %s: the disk is full: free some room there", path, what);
	return why_set(why, "%s: %s: %s", path, what, sqlite3_errmsg(sq));
}

static int
open_plain(const char *path, sqlite3 **sq, struct why *why)
{
	int rc = sqlite3_open_v2(path, sq, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

	if (*sq == NULL)
		return why_set(why, "%s: out of memory", path);
	sqlite3_busy_timeout(*sq, BUSY_MS);
	if (rc != SQLITE_OK || sqlite3_exec(*sq, "PRAGMA trusted_schema=OFF;"
	    "PRAGMA cell_size_check=ON", NULL, NULL, NULL) != SQLITE_OK)
		return failed(*sq, path, "cannot be opened", why);
	return 0;
}

/* The first row's first columns of a query, at most n.  1, 0 without a row, -1. */
static int
numbers(sqlite3 *sq, const char *path, const char *sql, int64_t bind, int64_t *out, int n,
    struct why *why)
{
	sqlite3_stmt *st;
	int rc;

	if (sqlite3_prepare_v2(sq, sql, -1, &st, NULL) != SQLITE_OK)
		return failed(sq, path, "cannot be read", why);
	if (sqlite3_bind_parameter_count(st) > 0)
		sqlite3_bind_int64(st, 1, bind);
	rc = sqlite3_step(st);
	for (int i = 0; i < n && rc == SQLITE_ROW; i++)
		out[i] = sqlite3_column_int64(st, i);
	sqlite3_finalize(st);
	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : failed(sq, path, "cannot be read", why);
}

struct db_source *
db_source_open(const char *state, struct why *why)
{
	struct db_source *s = calloc(1, sizeof(*s));
	int64_t n;

	if (s == NULL) {
		why_set(why, "out of memory");
		return NULL;
	}
	snprintf(s->path, sizeof(s->path), "%s/spool.db", state);
	if (access(s->path, F_OK) == -1 && errno == ENOENT) {
		why_set(why, "%s: there is no ledger yet: start home once, which makes it",
		    s->path);
		db_source_close(&s);
		return NULL;
	}
	/* The first question opens the log as well. */
	if (open_plain(s->path, &s->sq, why) == -1 ||
	    numbers(s->sq, s->path, "SELECT count(*) FROM ledger", 0, &n, 1, why) == -1)
		db_source_close(&s);
	return s;
}

void
db_source_close(struct db_source **sp)
{
	if (*sp == NULL)
		return;
	sqlite3_close((*sp)->sq);
	free(*sp);
	*sp = NULL;
}

int
db_source_copy(struct db_source *s, const char *to, struct why *why)
{
	sqlite3_stmt *st;
	int rc, fd;

	if (sqlite3_prepare_v2(s->sq, "VACUUM INTO ?1", -1, &st, NULL) != SQLITE_OK)
		return failed(s->sq, s->path, "cannot be copied", why);
	db_bind_str(st, 1, to);
	rc = sqlite3_step(st);
	sqlite3_finalize(st);
	if (rc != SQLITE_DONE)
		return failed(s->sq, to, "the copy cannot be made", why);
	fd = open(to, O_RDONLY | O_CLOEXEC);
	rc = fd != -1 && fchmod(fd, 0600) == 0 && fsync(fd) == 0 ? 0 : why_sys(why, "%s", to);
	if (fd != -1)
		close(fd);
	return rc;
}

int
db_source_has(struct db_source *s, int64_t row, struct why *why)
{
	int64_t n;

	return numbers(s->sq, s->path, "SELECT 1 FROM object WHERE row = ?1", row, &n, 1, why);
}

static int
drop_row(sqlite3 *sq, const char *path, int64_t row, struct why *why)
{
	char sql[160];

	snprintf(sql, sizeof(sql), "DELETE FROM entry WHERE row = %" PRId64 ";"
	    "DELETE FROM object WHERE row = %" PRId64, row, row);
	return sqlite3_exec(sq, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 :
	    failed(sq, path, "cannot be written", why);
}

int
db_copy_large(const char *copy, db_copy_keep_fn *keep, void *arg, struct db_copied *out,
    struct why *why)
{
	sqlite3_stmt *st = NULL;
	int64_t n[3], row = 0;
	sqlite3 *sq = NULL;
	int rc = open_plain(copy, &sq, why);

	*out = (struct db_copied){ .objects = 0 };
	if (rc == 0 && sqlite3_prepare_v2(sq, "SELECT row, file, size FROM object WHERE large AND"
	    " row > ?1 ORDER BY row LIMIT 1", -1, &st, NULL) != SQLITE_OK)
		rc = failed(sq, copy, "cannot be read", why);
	while (rc == 0) {
		char file[DB_FILE_LEN + 1];
		uint64_t size;
		int step;

		sqlite3_bind_int64(st, 1, row);
		if ((step = sqlite3_step(st)) != SQLITE_ROW) {
			rc = step == SQLITE_DONE ? 0 : failed(sq, copy, "cannot be read", why);
			break;
		}
		row = sqlite3_column_int64(st, 0);
		snprintf(file, sizeof(file), "%s", (const char *)sqlite3_column_text(st, 1));
		size = (uint64_t)sqlite3_column_int64(st, 2);
		sqlite3_reset(st);
		if (!db_name_ok(file))
			rc = why_set(why, "%s: row %" PRId64 " names no file of ours", copy, row);
		else if ((rc = keep(arg, row, file, size, why)) == 1)
			out->large++, rc = 0;
		else if (rc == 0)
			rc = drop_row(sq, copy, row, why);
	}
	sqlite3_finalize(st);
	if (rc == 0 && (rc = numbers(sq, copy, "SELECT epoch, counter,"
	    " (SELECT count(*) FROM object) FROM ledger", 0, n, 3, why)) == 1) {
		out->mark = (struct ledger_mark){ .epoch = (uint64_t)n[0],
			.counter = (uint64_t)n[1] };
		out->objects = (uint64_t)n[2];
	}
	sqlite3_close(sq);
	return rc == 1 ? 0 : rc == 0 ? why_set(why, "%s: holds no ledger", copy) : -1;
}

/* --- restoring ---------------------------------------------------------------------------- */

bool
db_unused(struct db *db)
{
	int64_t n[1];

	return numbers(db->sq, db->path, "SELECT (SELECT count(*) FROM object) +"
	    " (SELECT count(*) FROM done)", 0, n, 1, NULL) == 1 && n[0] == 0;
}

int
db_restage(struct db *db, struct why *why)
{
	if (db_begin(db, why) == -1 || db_exec(db, "UPDATE object SET state = 0, due = 0"
	    " WHERE row IN (SELECT row FROM entry WHERE state = 2)", why) == -1 ||
	    db_exec(db, "UPDATE entry SET state = 0, next = 0, name = '' WHERE state = 2",
	    why) == -1)
		return -1;
	return sqlite3_changes(db->sq);
}

int
db_new_epoch(struct db *db, struct why *why)
{
	char sql[80];
	uint64_t epoch;

	random_bytes(&epoch, sizeof(epoch));
	epoch = (epoch >> 1) | 1;
	snprintf(sql, sizeof(sql), "UPDATE ledger SET epoch = %" PRIu64 ", counter = 0", epoch);
	if (db_begin(db, why) == -1 || db_exec(db, sql, why) == -1 ||
	    db_exec(db, "DELETE FROM run", why) == -1)
		return -1;
	db->mark = (struct ledger_mark){ .epoch = epoch };
	return 0;
}

int
db_set_counter(struct db *db, uint64_t counter, struct why *why)
{
	char sql[80];

	snprintf(sql, sizeof(sql), "UPDATE ledger SET counter = %" PRId64, (int64_t)counter - 1);
	if (db_begin(db, why) == -1 || db_exec(db, sql, why) == -1)
		return -1;
	db->mark.counter = counter - 1;
	db->run = 0;
	return 0;
}

/* Rows are numbered anew behind ours; next_row is beyond both, as a row is never used twice. */
static const char carry[] =
    "INSERT OR IGNORE INTO signer(name) SELECT name FROM was.signer;"
    "CREATE TEMP TABLE came AS SELECT o.*, s.num AS signed,"
    "  l.next_row - 1 + row_number() OVER (ORDER BY o.row) AS new"
    " FROM was.object o JOIN was.signer w ON w.num = o.signer JOIN main.signer s ON s.name = w.name"
    " JOIN main.ledger l WHERE"
    " NOT EXISTS (SELECT 1 FROM main.object m WHERE m.id = o.id AND m.signer = s.num) AND"
    " NOT EXISTS (SELECT 1 FROM main.done d WHERE d.id = o.id AND d.signer = s.num);"
    "INSERT INTO main.object(row, signer, id, home, origin, received, net, verdict, size, mac,"
    "  tries, reason, state, due, parked, large, file)"
    " SELECT new, signed, id, home, origin, received, net, verdict, size, mac, tries, reason,"
    "  state, due, parked, large, file FROM came;"
    "INSERT INTO main.content SELECT c.new, o.data FROM came c JOIN was.content o ON o.row = c.row;"
    "INSERT INTO main.entry SELECT c.new, e.part, e.state, e.park, e.recipient, e.mailbox, e.name,"
    "  e.next, e.code, e.enhanced, e.text FROM came c JOIN was.entry e ON e.row = c.row;"
    "INSERT INTO main.story(row, at, since, times, what, part, park, recipient, mailbox, text)"
    " SELECT c.new, t.at, t.since, t.times, t.what, t.part, t.park, t.recipient, t.mailbox, t.text"
    " FROM came c JOIN was.story t ON t.row = c.row ORDER BY t.num;"
    "INSERT OR IGNORE INTO main.done(id, signer, day, received, gone, size)"
    " SELECT d.id, s.num, d.day, d.received, d.gone, d.size FROM was.done d"
    " JOIN was.signer w ON w.num = d.signer JOIN main.signer s ON s.name = w.name WHERE"
    " NOT EXISTS (SELECT 1 FROM main.object m WHERE m.id = d.id AND m.signer = s.num);"
    "UPDATE main.ledger SET next_row = max(next_row, (SELECT next_row FROM was.ledger),"
    "  (SELECT coalesce(max(row), 0) + 1 FROM main.object))";

static int
carry_files(struct db *db, int large, int64_t *n, struct why *why)
{
	sqlite3_stmt *st;
	int rc = 0;

	*n = 0;
	if (sqlite3_prepare_v2(db->sq, "SELECT large, file FROM came", -1, &st, NULL) != SQLITE_OK)
		return db_fail(db, "cannot be read", why);
	while (rc == 0 && sqlite3_step(st) == SQLITE_ROW) {
		const char *file = (const char *)sqlite3_column_text(st, 1);

		++*n;
		if (sqlite3_column_int(st, 0) == 0)
			continue;
		/* One that is missing is found at start, and said. */
		if (file == NULL || !db_name_ok(file) ||
		    (linkat(large, file, db->large, file, 0) == -1 && errno != ENOENT))
			rc = why_sys(why, "%s/large: a large object cannot be linked", db->path);
	}
	sqlite3_finalize(st);
	return rc;
}

int
db_carry(struct db *db, const char *state, struct why *why)
{
	char path[CONF_PATH_MAX + 32], *sql;
	int rc = -1, large;
	int64_t n = 0;

	snprintf(path, sizeof(path), "%s/large", state);
	large = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/spool.db", state);
	sql = sqlite3_mprintf("ATTACH %Q AS was", path);
	if (large == -1)
		why_sys(why, "%s/large", state);
	else if (sql == NULL)
		why_set(why, "out of memory");
	else if (db_commit(db, why) == 0 && db_exec(db, sql, why) == 0 && db_begin(db, why) == 0 &&
	    db_exec(db, carry, why) == 0 && carry_files(db, large, &n, why) == 0 &&
	    db_exec(db, "DROP TABLE temp.came", why) == 0 &&
	    numbers(db->sq, db->path, "SELECT next_row FROM ledger", 0, &db->next_row, 1, why) == 1)
		rc = (int)n;
	sqlite3_free(sql);
	if (large != -1)
		close(large);
	return rc;
}

int
db_lock_dup(const struct db *db)
{
	return dup(db->dir);
}
