#include "store/db.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "store/db_in.h"
#include "store/db_vfs.h"

/*
 * Pages of log after which it is copied into the database (8 MB): long enough
 * that a page which many commits touch is copied once, short enough that the copy,
 * during which nothing else is done, takes some tens of milliseconds.
 */
#define WAL_PAGES	2000
#define VACUUM_KEEP	256		/* free pages that stay: they will be wanted soon */
/* somebody looks in with sqlite3: wait so long, then it is a failure */
#define BUSY_MS		1000

/* --- failure ---------------------------------------------------------------- */

/* SQLite makes its log beside spool.db, and may not: the directory is to be mended, not a file. */
static int
not_ours(struct db *db, const char *what, struct why *why)
{
	return why_set(why, "%s: %s: user %u may not make files in this directory, or not open "
	    "those there: chown -R it to that user, and chmod 700 it", db->path, what,
	    (unsigned)geteuid());
}

int
db_fail(struct db *db, const char *what, struct why *why)
{
	int rc = sqlite3_errcode(db->sq), sys = sqlite3_system_errno(db->sq);

	db->full = rc == SQLITE_FULL || (rc == SQLITE_IOERR && (sys == ENOSPC || sys == EDQUOT));
	if (db->full)
		return why_set(why, "%s: %s: the disk is full: free some room there", db->path,
		    what);
	switch (rc) {
	case SQLITE_CANTOPEN:
		if (sys == EACCES || sys == EPERM)
			return not_ours(db, what, why);
		/* FALLTHROUGH */
	case SQLITE_IOERR:
		return why_set(why, "%s: %s: the disk failed (%s, %s): see the kernel's log",
		    db->path,
		    what, sqlite3_errstr(sqlite3_extended_errcode(db->sq)), strerror(sys));
	case SQLITE_READONLY:
		if (sqlite3_extended_errcode(db->sq) == SQLITE_READONLY_DIRECTORY)
			return not_ours(db, what, why);
		return why_set(why, "%s: %s: the file system or spool.db is read-only: mount it "
		    "writable, or give spool.db to our user", db->path, what);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return why_set(why, "%s: %s: another program holds spool.db locked: end it",
		    db->path, what);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		db->damaged = true;
		snprintf(db->alarm, sizeof(db->alarm),
		    "spool.db is damaged: see \"A damaged database\" in STORE.md");
		return why_set(why, "%s: %s: spool.db is damaged (%s): see \"A damaged database\" "
		    "in STORE.md", db->path, what, sqlite3_errmsg(db->sq));
	default:
		return why_set(why, "%s: %s: %s", db->path, what, sqlite3_errmsg(db->sq));
	}
}

bool
db_was_full(const struct db *db)
{
	return db->full;
}

/* --- statements ------------------------------------------------------------- */

sqlite3_stmt *
db_st(struct db *db, enum db_stmt which, struct why *why)
{
	if (db->st[which] == NULL && sqlite3_prepare_v3(db->sq, db_sql[which], -1,
	    SQLITE_PREPARE_PERSISTENT, &db->st[which], NULL) != SQLITE_OK) {
		db_fail(db, "cannot be asked", why);
		return NULL;
	}
	return db->st[which];
}

int
db_step(struct db *db, sqlite3_stmt *st, struct why *why)
{
	int rc = sqlite3_step(st);

	if (rc == SQLITE_ROW)
		return 1;
	if (rc != SQLITE_DONE)
		db_fail(db, sqlite3_stmt_readonly(st) ? "cannot be read" : "cannot be written",
		    why);
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

int
db_run(struct db *db, sqlite3_stmt *st, struct why *why)
{
	int rc = db_step(db, st, why);

	sqlite3_reset(st);
	return rc == -1 ? -1 : 0;
}

int
db_run_with(struct db *db, enum db_stmt which, int64_t n, struct why *why)
{
	sqlite3_stmt *st = db_st(db, which, why);

	if (st == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, n);
	return db_run(db, st, why);
}

int
db_exec(struct db *db, const char *sql, struct why *why)
{
	return sqlite3_exec(db->sq, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 :
	    db_fail(db, "cannot be written", why);
}

/* --- transactions ------------------------------------------------------------ */

int
db_counters(struct db *db, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_LEDGER, why), *sum = db_st(db, ST_SUM, why);
	struct ledger_mark mark = { .epoch = 0 };
	int rc;

	if (st == NULL || sum == NULL || (rc = db_step(db, st, why)) == -1)
		return -1;
	if (rc == 0)
		return why_set(why, "%s: spool.db holds no ledger", db->path);
	mark.epoch = (uint64_t)sqlite3_column_int64(st, 1);
	mark.counter = (uint64_t)sqlite3_column_int64(st, 2);
	db->next_row = db->next_row_kept = sqlite3_column_int64(st, 3);
	sqlite3_reset(st);
	if (db_step(db, sum, why) != 1)
		return -1;
	db->total = db->total_kept = (uint64_t)sqlite3_column_int64(sum, 0);
	sqlite3_reset(sum);
	/* All of it or nothing: a counter without the run that made it is no ledger's. */
	if (db_runs_read(db, &mark, why) == -1)
		return -1;
	db->mark = mark;
	db->unsure = false;
	return 0;
}

int
db_begin(struct db *db, struct why *why)
{
	sqlite3_stmt *st;

	if (db->in_txn)
		return 0;
	db->full = false;
	if (db->unsure && db_counters(db, why) == -1)
		return -1;
	if ((st = db_st(db, ST_BEGIN, why)) == NULL || db_run(db, st, why) == -1)
		return -1;
	db->in_txn = true;
	db->changes = sqlite3_total_changes64(db->sq);
	db->room_known = false;
	return 0;
}

bool
db_changed(const struct db *db)
{
	return db->in_txn;
}

/*
 * A commit that fails may have reached the disk all the same: its caller says
 * NOT_KEPT and risks a sender's second copy, which is a nuisance; the other way
 * round would be a loss.
 */
int
db_commit(struct db *db, struct why *why)
{
	sqlite3_stmt *count, *commit;
	bool changed, begins;

	if (!db->in_txn)
		return 0;
	assert(!db->content_open);
	/* One that found nothing to do makes no later ledger: a start alone is none (doc/STORE). */
	changed = sqlite3_total_changes64(db->sq) != db->changes ||
	    db->next_row != db->next_row_kept;
	if ((count = db_st(db, ST_COUNT_COMMIT, why)) == NULL ||
	    (commit = db_st(db, ST_COMMIT, why)) == NULL)
		return -1;
	begins = changed && db_runs_due(db);
	sqlite3_bind_int64(count, 1, db->next_row);
	if ((changed && db_run(db, count, why) == -1) || (begins && db_runs_begin(db, why) == -1) ||
	    db_run(db, commit, why) == -1)
		return -1;
	db->in_txn = false;
	db->mark.counter += changed;
	if (begins)
		db_runs_began(db);
	db->next_row_kept = db->next_row;
	db->total_kept = db->total;
	db_files_remove(db);
	return 0;
}

void
db_rollback(struct db *db)
{
	if (!sqlite3_get_autocommit(db->sq))
		sqlite3_exec(db->sq, "ROLLBACK", NULL, NULL, NULL);
	db->in_txn = false;
	db->unsure = true;
	db->room_known = false;
	db->next_row = db->next_row_kept;
	db->total = db->total_kept;
	memset(db->delivered, 0, sizeof(db->delivered));	/* one of them may be undone */
	db->signer[0] = '\0';					/* and this one */
	db_names_clear(&db->gone);
}

int64_t
db_next_row(const struct db *db)
{
	return db->next_row;
}

struct ledger_mark
db_ledger_mark(const struct db *db)
{
	return db->mark;
}

/* --- room --------------------------------------------------------------------- */

/* What a statement of one row and one number says; 0 where it fails. */
static uint64_t
number(struct db *db, enum db_stmt which)
{
	sqlite3_stmt *st = db_st(db, which, NULL);
	uint64_t n = 0;

	if (st != NULL && db_step(db, st, NULL) == 1)
		n = (uint64_t)sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	return n;
}

uint64_t
db_room(struct db *db)
{
	struct statvfs v;
	uint64_t room;

	if (fstatvfs(db->dir, &v) == -1)
		return 0;
	room = (uint64_t)v.f_bavail * v.f_frsize +
	    number(db, ST_FREELIST) * db->page_size;
	return room > db->limits.reserve ? room - db->limits.reserve : 0;
}

uint64_t
db_disk_free(struct db *db)
{
	return db_room(db);
}

uint64_t
db_room_left(struct db *db)
{
	uint64_t disk = db->room_known ? db->room : db_room(db);
	uint64_t quota = db->limits.quota > db->total ? db->limits.quota - db->total : 0;

	db->room_known = false;
	return disk < quota ? disk : quota;
}

uint64_t
db_share(const struct db *db, uint64_t quota, uint64_t room)
{
	uint64_t most = db->total + room;

	most = most < db->limits.quota ? most : db->limits.quota;
	return (most < quota ? most : quota) / 100 * db->limits.share;
}

void
db_set_limits(struct db *db, const struct db_limits *l)
{
	db->limits = *l;
}

const char *
db_alarm(const struct db *db)
{
	return db->trouble[0] != '\0' ? db->trouble : db->alarm;
}

const char *
db_lost(const struct db *db)
{
	return db->lost;
}

void
db_trouble(struct db *db, const char *text)
{
	(void)span_copy(span_str(text), db->trouble, sizeof(db->trouble));
}

const char *
db_path(const struct db *db)
{
	return db->path;
}

int64_t
db_written_ms(const struct db *db)
{
	return db->written_ms;
}

/* --- opening ------------------------------------------------------------------ */

static int
on_commit(void *arg, sqlite3 *sq, const char *name, int pages)
{
	struct db *db = arg;

	db->wal_pages = pages;
	return SQLITE_OK;
}

/* In a transaction: from schema v to ours. */
static int
make_schema(struct db *db, int v, struct why *why)
{
	for (; v < DB_SCHEMA; v++)
		if (db_exec(db, db_schema[v], why) == -1)
			return -1;
	return 0;
}

/* A database of an earlier posthouse, whole or not at all. */
static int
upgrade(struct db *db, int v, struct why *why)
{
	if (db_exec(db, "BEGIN IMMEDIATE", why) == -1 || make_schema(db, v, why) == -1)
		return -1;
	return db_exec(db, "COMMIT", why);
}

static int
make_tables(struct db *db, struct why *why)
{
	char sql[200];
	uint64_t epoch;

	random_bytes(&epoch, sizeof(epoch));
	epoch = (epoch >> 1) | 1;	/* SQLite's integers have a sign; 0 means none */
	snprintf(sql, sizeof(sql), "INSERT INTO ledger VALUES(1, %d, %" PRIu64 ", 0, 1)",
	    (int)db->role, epoch);
	if (db_exec(db, "BEGIN IMMEDIATE", why) == -1 || make_schema(db, 0, why) == -1 ||
	    db_exec(db, sql, why) == -1 || db_exec(db, "COMMIT", why) == -1)
		return -1;
	if (db->sys->fsync(db->dir) == -1)		/* the name spool.db itself */
		return why_sys(why, "%s: cannot be synced", db->path);
	return 0;
}

static int
version(struct db *db, int *v, struct why *why)
{
	sqlite3_stmt *st;

	if (sqlite3_prepare_v2(db->sq, "PRAGMA user_version", -1, &st, NULL) != SQLITE_OK)
		return db_fail(db, "cannot be read", why);
	if (sqlite3_step(st) != SQLITE_ROW) {
		sqlite3_finalize(st);
		return db_fail(db, "cannot be read", why);
	}
	*v = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return 0;
}

static int
role_fits(struct db *db, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_LEDGER, why);
	int role;

	if (st == NULL || db_step(db, st, why) != 1)
		return -1;
	role = sqlite3_column_int(st, 0);
	sqlite3_reset(st);
	if (role != (int)db->role)
		return why_set(why,
		    "%s: this is the state of %s: give each role a directory of its own",
		    db->path, role == CONF_EDGE ? "an edge" : "a home");
	return 0;
}

/* 0; -1, and then db->damaged says whether setting the file aside would help. */
static int
open_file(struct db *db, const char *vfs, struct why *why)
{
	char file[CONF_PATH_MAX + 16];
	int v = 0, rc;

	db->damaged = false;
	snprintf(file, sizeof(file), "%s/spool.db", db->path);
	rc = sqlite3_open_v2(file, &db->sq,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, db_vfs(vfs));
	if (db->sq == NULL)
		return why_set(why, "%s: out of memory", file);
	sqlite3_extended_result_codes(db->sq, 0);
	if (rc != SQLITE_OK)
		return db_fail(db, "cannot be opened", why);
	sqlite3_busy_timeout(db->sq, BUSY_MS);
	/*
	 * auto_vacuum only counts before the first table; and no checkpoint but our own.  Debian's
	 * SQLite zeroes each page that it frees, which writes a message twice more to take it
	 * away; FAST leaves out pages that need no writing else: sealed mail.
	 */
	if (db_exec(db, "PRAGMA auto_vacuum=INCREMENTAL;", why) == -1 ||
	    db_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
	    "PRAGMA journal_size_limit=16777216; PRAGMA wal_autocheckpoint=0;"
	    "PRAGMA cache_size=-1024; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY;"
	    "PRAGMA secure_delete=FAST;"
	    "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON", why) == -1 ||
	    version(db, &v, why) == -1)
		return -1;
	if (v > DB_SCHEMA)
		return why_set(why,
		    "%s: written by a newer posthouse (schema %d, this one knows %d): "
		    "install that one again", file, v, DB_SCHEMA);
	if ((v == 0 && make_tables(db, why) == -1) || role_fits(db, why) == -1 ||
	    (v > 0 && v < DB_SCHEMA && upgrade(db, v, why) == -1) || db_recover(db, why) == -1)
		return -1;
	db->page_size = number(db, ST_PAGE_SIZE);
	sqlite3_wal_hook(db->sq, on_commit, db);
	return 0;
}

static void
close_file(struct db *db)
{
	for (int i = 0; i < ST_COUNT; i++) {
		sqlite3_finalize(db->st[i]);
		db->st[i] = NULL;
	}
	sqlite3_close(db->sq);
	db->sq = NULL;
	db->in_txn = false;
}

static int
open_dir(struct db *db, int at, const char *name, struct why *why)
{
	int fd;

	if (at != AT_FDCWD && db->sys->mkdirat(at, name, 0700) == -1 && errno != EEXIST) {
		why_sys(why, "%s/%s: cannot be made", db->path, name);
		return -1;
	}
	if ((fd = db->sys->openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)) == -1)
		why_sys(why, "%s%s%s: cannot be opened", db->path, at == AT_FDCWD ? "" : "/",
		    at == AT_FDCWD ? "" : name);
	return fd;
}

int
db_restored(const struct sys *sys, int dir, const char *state, struct why *why)
{
	struct stat st;

	if (sys->fstatat(dir, DB_RESTORE_OUT, &st, AT_SYMLINK_NOFOLLOW) == -1 &&
	    sys->fstatat(dir, DB_RESTORE_IN, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return 0;
	return why_set(why, "%s: a restore was cut off here: run `posthouse restore` as before, "
	    "which finishes it", state);
}

struct db *
db_open(const struct sys *sys, const char *state, enum conf_role role, const char *vfs,
    struct why *why)
{
	struct db *db = calloc(1, sizeof(*db));
	struct stat st;

	if (db == NULL) {
		why_set(why, "%s: out of memory", state);
		return NULL;
	}
	db->sys = sys;
	db->role = role;
	db_runs_new(db);
	db->dir = db->large = db->aside = -1;
	db->limits = (struct db_limits){ .quota = UINT64_MAX, .remember_ms = INT64_MAX / 2,
	    .keys = UINT64_MAX, .parked_keep_ms = INT64_MAX / 2 };
	snprintf(db->path, sizeof(db->path), "%s", state);
	if ((db->dir = open_dir(db, AT_FDCWD, state, why)) == -1 ||
	    (db->large = open_dir(db, db->dir, "large", why)) == -1 ||
	    (db->aside = open_dir(db, db->dir, "aside", why)) == -1)
		goto fail;
	if (flock(db->dir, LOCK_EX | LOCK_NB) == -1) {
		why_set(why, "%s: in use by another posthouse: stop that one first", state);
		goto fail;
	}
	if (db_restored(sys, db->dir, state, why) == -1)
		goto fail;
	if (sys->fstatat(db->dir, "spool.db", &st, AT_SYMLINK_NOFOLLOW) == 0)
		db->written_ms = (int64_t)st.st_mtim.tv_sec * 1000;
	if (open_file(db, vfs, why) == -1) {
		if (!db->damaged)
			goto fail;
		log_error(NULL, "store.damaged why=\"%s\"", why->text);
		close_file(db);
		if (db_aside_database(db, why) == -1 || open_file(db, vfs, why) == -1)
			goto fail;
	}
	db_lost_look(db);
	return db;
fail:
	db_close(&db);
	return NULL;
}

void
db_close(struct db **dbp)
{
	struct db *db = *dbp;

	if (db == NULL)
		return;
	*dbp = NULL;
	if (db->sq != NULL) {
		db_rollback(db);
		sqlite3_wal_checkpoint_v2(db->sq, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
		close_file(db);
	}
	if (db->large != -1)
		db->sys->close(db->large);
	if (db->aside != -1)
		db->sys->close(db->aside);
	if (db->dir != -1)
		db->sys->close(db->dir);
	free(db->gone.name);
	free(db);
}

/* --- idle --------------------------------------------------------------------- */

int
db_idle(struct db *db, bool idle)
{
	if (db->in_txn)
		return 1;
	if (db->wal_pages > WAL_PAGES || (idle && db->wal_pages > 0)) {
		/* A failure loses nothing: the log stays as it is, and the next one tries again. */
		if (sqlite3_wal_checkpoint_v2(db->sq, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL,
		    NULL) == SQLITE_OK)
			db->wal_pages = 0;
		else
			db->wal_pages = WAL_PAGES / 2;
		return idle;
	}
	if (!idle || number(db, ST_FREELIST) <= VACUUM_KEEP)
		return 0;
	return sqlite3_exec(db->sq, "PRAGMA incremental_vacuum(64)", NULL, NULL, NULL) == SQLITE_OK;
}
