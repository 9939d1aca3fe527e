/* Home: bans as they are kept. */
#include "store/db_in.h"

#include <string.h>

static void
bind_net(sqlite3_stmt *st, const struct netset_entry *e)
{
	sqlite3_bind_blob(st, 1, e->net.ip, sizeof(e->net.ip), SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, e->bits);
}

/* The first three columns.  False: no row that we have written. */
static bool
read_net(sqlite3_stmt *st, struct netset_entry *e)
{
	const void *ip = sqlite3_column_blob(st, 0);

	*e = (struct netset_entry){ .bits = (unsigned)sqlite3_column_int(st, 1),
	    .until_ms = sqlite3_column_int64(st, 2) };
	if (ip == NULL || sqlite3_column_bytes(st, 0) != (int)sizeof(e->net.ip))
		return false;
	e->net = netaddr_from_octets(ip, sizeof(e->net.ip), 0);
	return e->bits <= (e->net.v6 ? 128 : 32);
}

int
db_ban(struct db *db, const struct db_ban *b, struct why *why)
{
	sqlite3_stmt *st;

	if (db_begin(db, why) == -1 || (st = db_st(db, ST_BAN, why)) == NULL)
		return -1;
	bind_net(st, &b->on);
	db_bind_str(st, 3, b->by);
	sqlite3_bind_int64(st, 4, b->made_ms);
	sqlite3_bind_int64(st, 5, b->on.until_ms);
	return db_run(db, st, why);
}

static void
bind_by(sqlite3_stmt *st, int at, const char *by)
{
	if (by != NULL)
		db_bind_str(st, at, by);
	else
		sqlite3_bind_null(st, at);
}

int
db_unban(struct db *db, const struct netset_entry *e, const char *by, struct why *why)
{
	sqlite3_stmt *st;

	if (db_begin(db, why) == -1 || (st = db_st(db, ST_UNBAN, why)) == NULL)
		return -1;
	bind_net(st, e);
	bind_by(st, 3, by);
	return db_run(db, st, why) == -1 ? -1 : sqlite3_changes(db->sq);
}

int
db_unban_all(struct db *db, const char *by, struct why *why)
{
	sqlite3_stmt *st;

	if (db_begin(db, why) == -1 || (st = db_st(db, ST_UNBAN_ALL, why)) == NULL)
		return -1;
	bind_by(st, 1, by);
	return db_run(db, st, why) == -1 ? -1 : sqlite3_changes(db->sq);
}

int
db_bans(struct db *db, int64_t after, int64_t now_ms, db_ban_fn *fn, void *arg, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_BANS, why);
	struct db_ban b = { .num = 0 };
	int rc;

	if (st == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, after);
	sqlite3_bind_int64(st, 2, now_ms);
	while ((rc = db_step(db, st, why)) == 1) {
		const char *by = (const char *)sqlite3_column_text(st, 4);

		if (!read_net(st, &b.on))
			continue;
		b.num = sqlite3_column_int64(st, 3);
		(void)span_copy(span_str(by != NULL ? by : ""), b.by, sizeof(b.by));
		b.made_ms = sqlite3_column_int64(st, 5);
		if (!fn(arg, &b))
			break;
	}
	sqlite3_reset(st);
	return rc == -1 ? -1 : 0;
}

int
db_bans_count(struct db *db, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_BANS_COUNT, why);
	int n = -1;

	if (st != NULL && db_step(db, st, why) == 1)
		n = sqlite3_column_int(st, 0);
	if (st != NULL)
		sqlite3_reset(st);
	return n;
}

static int
with_time(struct db *db, enum db_stmt which, int64_t ms, struct why *why)
{
	return db_begin(db, why) == -1 ? -1 : db_run_with(db, which, ms, why);
}

int
db_bans_move(struct db *db, int64_t jump_ms, struct why *why)
{
	return with_time(db, ST_BANS_MOVE, jump_ms, why);
}

int
db_bans_ahead(struct db *db, int64_t now_ms, struct why *why)
{
	return with_time(db, ST_BANS_AHEAD, now_ms, why);
}

int
db_banned(struct db *db, int64_t now_ms, int64_t clock_ms, struct netset *set, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_BANNED, why);
	struct netset_entry e;
	int rc;

	if (st == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, now_ms);
	while ((rc = db_step(db, st, why)) == 1)
		if (read_net(st, &e) && !netset_add(set, &e.net, e.bits,
		    e.until_ms == 0 ? 0 : e.until_ms - now_ms + clock_ms)) {
			rc = why_set(why, "%s: out of memory for the bans", db->path);
			break;
		}
	sqlite3_reset(st);
	return rc;
}

int
db_ban_of(struct db *db, struct netset_entry *e, int64_t now_ms, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_BAN_OF, why);
	struct netset_entry now;
	int rc;

	if (st == NULL)
		return -1;
	bind_net(st, e);
	sqlite3_bind_int64(st, 3, now_ms);
	rc = db_step(db, st, why);
	if (rc == 1 && read_net(st, &now))
		e->until_ms = now.until_ms;
	sqlite3_reset(st);
	return rc;
}

int
db_bans_expire(struct db *db, int64_t now_ms, struct why *why)
{
	int n = db_bans_count(db, why);

	if (n <= 0)
		return n;
	return with_time(db, ST_BANS_OVER, now_ms, why) == -1 ? -1 : sqlite3_changes(db->sq);
}
