/* Objects come, wait and go. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/db_in.h"
#include "store/ledger_words.h"

#define MARKS_KEPT	16		/* ledgers of one home that are remembered as replaced */
#define DAY_MS		(24 * 3600 * 1000)

static int
signer(struct db *db, const char *name, bool make, int64_t *num, struct why *why)
{
	sqlite3_stmt *st;
	int rc;

	*num = db->signer_num;
	if (name[0] != '\0' && strcmp(name, db->signer) == 0)
		return 1;
	*num = 0;
	if ((st = db_st(db, ST_SIGNER, why)) == NULL)
		return -1;
	db_bind_str(st, 1, name);
	if ((rc = db_step(db, st, why)) == 1)
		*num = sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	if (rc == 0 && make) {
		if ((st = db_st(db, ST_SIGNER_NEW, why)) == NULL)
			return -1;
		db_bind_str(st, 1, name);
		if (db_run(db, st, why) == -1)
			return -1;
		*num = sqlite3_last_insert_rowid(db->sq);
		rc = 1;
	}
	if (rc == 1) {
		(void)span_copy(span_str(name), db->signer, sizeof(db->signer));
		db->signer_num = *num;
	}
	return rc;
}

struct known {
	int64_t		row;		/* 0: remembered as delivered */
	bool		verdict;
	enum ledger_state state;
};

/* 1 known, 0 not, -1 failed. */
static int
key(struct db *db, int64_t num, struct uuid id, struct known *k, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_KEY, why);
	int rc;

	*k = (struct known){ 0 };
	if (st == NULL)
		return -1;
	sqlite3_bind_blob(st, 1, id.b, sizeof(id.b), SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, num);
	if ((rc = db_step(db, st, why)) == 1)
		*k = (struct known){ sqlite3_column_int64(st, 0), sqlite3_column_int(st, 1) != 0,
		    (enum ledger_state)sqlite3_column_int(st, 2) };
	sqlite3_reset(st);
	if (rc != 0 || (st = db_st(db, ST_DONE_KEY, why)) == NULL)
		return rc;
	sqlite3_bind_blob(st, 1, id.b, sizeof(id.b), SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, num);
	rc = db_step(db, st, why);
	sqlite3_reset(st);
	return rc;
}

int
db_key_row(struct db *db, const char *name, struct uuid id, int64_t *row, struct why *why)
{
	struct known k;
	int64_t num;
	int rc;

	*row = 0;
	if ((rc = signer(db, name, false, &num, why)) != 1 || (rc = key(db, num, id, &k, why)) != 1)
		return rc;
	*row = k.row;
	return k.row != 0;
}

/* The column of one row and number, 0 without a row; -1 failed. */
static int
octets(struct db *db, enum db_stmt which, const char *home, const struct netaddr *net, uint64_t *n,
    struct why *why)
{
	sqlite3_stmt *st = db_st(db, which, why);
	int rc;

	*n = 0;
	if (st == NULL)
		return -1;
	db_bind_str(st, 1, home);
	if (net != NULL)
		sqlite3_bind_blob(st, 2, net->ip, sizeof(net->ip), SQLITE_STATIC);
	if ((rc = db_step(db, st, why)) == 1)
		*n = (uint64_t)sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	return rc == -1 ? -1 : 0;
}

int
db_holds_for(struct db *db, const char *home, struct why *why)
{
	uint64_t held = 0;

	return octets(db, ST_HELD, home, NULL, &held, why) == -1 ? -1 : held > 0;
}

static bool
net_known(const struct netaddr *net)
{
	static const struct netaddr none;

	return memcmp(net->ip, none.ip, sizeof(none.ip)) != 0;
}

/* KEPT: there is room. */
static enum kept
judge(struct db *db, const struct spool_meta *m, const struct db_body *b, uint64_t quota,
    struct why *why)
{
	uint64_t held = 0, shared = 0, most;

	if (!db->room_known) {
		db->room = db_room(db);
		db->room_known = true;
	}
	/* A large one's file is on the disk already. */
	if (b->file[0] != '\0' ? db->room == 0 : db->room < b->size) {
		why_set(why, "disk: less than the reserve is free in %s", db->path);
		return KEPT_FULL;
	}
	if (db->total + b->size > db->limits.quota) {
		why_set(why, "quota: %" PRIu64 " of %" PRIu64 " octets are held", db->total,
		    db->limits.quota);
		return KEPT_FULL;
	}
	if (db->role != CONF_EDGE)
		return KEPT;
	if (octets(db, ST_HELD, m->home, NULL, &held, why) == -1)
		return NOT_KEPT;
	if (held + b->size > quota) {
		why_set(why, "quota: home %s has %" PRIu64 " of %" PRIu64 " octets", m->home, held,
		    quota);
		return KEPT_FULL;
	}
	if (db->limits.share == 0 || db->limits.share >= 100 || !net_known(&m->client_net))
		return KEPT;
	if (octets(db, ST_SHARE, m->home, &m->client_net, &shared, why) == -1)
		return NOT_KEPT;
	most = db_share(db, quota, db->room);
	/* One message it may have, where a share of a small disk is less than that. */
	if (shared > 0 && shared + b->size > most) {
		why_set(why, "share: network %s has %" PRIu64 " of the %" PRIu64 " octets that one "
		    "network may fill for home %s", netaddr_cidr(&m->client_net, SPOOL_NET_V4,
		    SPOOL_NET_V6).s, shared, most, m->home);
		return KEPT_FULL;
	}
	return KEPT;
}

static int
insert(struct db *db, const struct spool_meta *m, const unsigned char *mac, const struct db_body *b,
    int64_t num, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_PUT, why);
	bool large = b->file[0] != '\0';

	if (st == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, db->next_row);
	sqlite3_bind_int64(st, 2, num);
	sqlite3_bind_blob(st, 3, m->id.b, sizeof(m->id.b), SQLITE_STATIC);
	db_bind_str(st, 4, m->home);
	sqlite3_bind_int(st, 5, m->origin);
	sqlite3_bind_int64(st, 6, m->received_ms);
	sqlite3_bind_blob(st, 7, m->client_net.ip, net_known(&m->client_net) ? 16 : 0,
	    SQLITE_STATIC);
	sqlite3_bind_int(st, 8, db->role == CONF_HOME && m->verdict);
	sqlite3_bind_int64(st, 9, (int64_t)b->size);
	sqlite3_bind_blob(st, 10, mac, OBJECT_MAC_LEN, SQLITE_STATIC);
	if (db->role == CONF_HOME)
		sqlite3_bind_int64(st, 11, 0);
	else
		sqlite3_bind_null(st, 11);
	sqlite3_bind_int(st, 12, large);
	if (large)
		db_bind_str(st, 13, b->file);
	else
		sqlite3_bind_null(st, 13);
	if (db_run(db, st, why) == -1)
		return -1;
	if (large)
		return 0;
	if ((st = db_st(db, ST_PUT_CONTENT, why)) == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, db->next_row);
	sqlite3_bind_blob64(st, 2, b->data.p != NULL ? b->data.p : "", b->data.n, SQLITE_STATIC);
	if (db_run(db, st, why) == -1)
		return -1;
	sqlite3_bind_null(st, 2);		/* the octets are the caller's again */
	return 0;
}

/* Its file is nobody's: no row will name it. */
static void
discard(struct db *db, const struct db_body *b)
{
	if (b->file[0] != '\0')
		(void)db->sys->unlinkat(db->large, b->file, 0);
}

/*
 * A key that is here already.  A put of it without a wait means that its sender was
 * told 250, so a refusal of it is provisional no longer.
 */
static enum kept
before(struct db *db, const struct spool_meta *m, const struct known *k, int64_t *row,
    bool *changed,
    struct why *why)
{
	struct db_noted noted;

	*row = k->row;
	if (k->row == 0 || m->verdict || !k->verdict)
		return KEPT_BEFORE;
	if (db_verdict_over(db, k->row, &noted, why) == -1)
		return NOT_KEPT;
	/* REFUSED stays only where a verdict is over before; here the sender has had its 250. */
	if (noted.outcome == OUTCOME_REFUSED && db_park_refused(db, k->row, why) == -1)
		return NOT_KEPT;
	*changed = true;
	return KEPT_BEFORE;
}

enum kept
db_put(struct db *db, const struct spool_meta *m, const unsigned char mac[OBJECT_MAC_LEN],
    const struct db_body *b, uint64_t quota, int64_t *row, bool *changed, struct why *why)
{
	struct known known;
	enum kept kept;
	int64_t num;
	int rc;

	*row = 0;
	*changed = false;
	if (db_begin(db, why) == -1 || signer(db, m->signer, true, &num, why) == -1)
		return NOT_KEPT;
	/* Whose file it is comes first: what is discarded below must be this put's own. */
	if (b->file[0] != '\0') {
		if ((rc = db_file_taken(db, b->file, why)) == -1)
			return NOT_KEPT;
		if (rc == 1 || db_file_check(db, b->file, b->size, why) != 0) {
			if (rc == 1)
				why_set(why, "%s/large/%s: is another object's", db->path, b->file);
			return KEPT_FULL;
		}
	}
	if ((rc = key(db, num, m->id, &known, why)) == -1)
		return NOT_KEPT;
	if (rc == 1) {
		if ((kept = before(db, m, &known, row, changed, why)) == KEPT_BEFORE)
			discard(db, b);
		return kept;
	}
	if ((kept = judge(db, m, b, quota, why)) != KEPT) {
		if (kept == KEPT_FULL)
			discard(db, b);
		return kept;
	}
	if (insert(db, m, mac, b, num, why) == -1)
		return NOT_KEPT;
	*row = db->next_row++;
	db->total += b->size;
	if (b->file[0] == '\0')
		db->room -= b->size;
	return KEPT;
}

int
db_set_aside(struct db *db, const struct spool_meta *m, const struct db_body *b, const char *reason,
    struct why *why)
{
	char as[80], when[40], text[700];
	int rc;

	wall_iso(wall_ms(), when, sizeof(when));
	snprintf(as, sizeof(as), "%s.age", uuid_text(m->id).s);
	snprintf(text, sizeof(text), "id %s\nsigner %s\nset aside %s\n%s\n", uuid_text(m->id).s,
	    log_safe(span_str(m->signer)).s, when, reason);
	if (db_room(db) < b->size) {
		discard(db, b);
		return why_set(why, "%s/aside: less than the reserve is free", db->path);
	}
	if (b->file[0] == '\0')
		rc = db_write_aside(db, as, b->data, text, why);
	else if ((rc = db_file_taken(db, b->file, why)) == 1)
		rc = why_set(why, "%s/large/%s: is another object's", db->path, b->file);
	else if (rc == 0 && (rc = db_file_check(db, b->file, b->size, why)) == 0)
		rc = db_file_aside(db, b->file, as, text, why);
	else if (rc == 1)
		rc = -1;
	if (rc == 0) {
		log_error(uuid_text(m->id).s, "store.aside signer=%s size=%" PRIu64 " why=\"%s\"",
		    log_safe(span_str(m->signer)).s, b->size, reason);
		snprintf(db->alarm, sizeof(db->alarm), "an object was set aside: see aside/%s.txt",
		    as);
	}
	return rc;
}

int
db_drop(struct db *db, int64_t row, bool remember, struct why *why)
{
	static const enum db_stmt parts[] = { ST_DELETE_ENTRIES, ST_DELETE_CONTENT, ST_DELETE };
	char file[DB_FILE_LEN + 1];
	struct db_row r;
	sqlite3_stmt *st;
	size_t i;
	int rc;

	if (db_begin(db, why) == -1 || (rc = db_row_file(db, row, &r, file, why)) == -1)
		return -1;
	if (rc == 0)
		return 0;
	if (remember) {
		if ((st = db_st(db, ST_REMEMBER, why)) == NULL)
			return -1;
		sqlite3_bind_int64(st, 1, row);
		sqlite3_bind_int64(st, 2, wall_ms() / DAY_MS);
		sqlite3_bind_int64(st, 3, wall_ms());
		if (db_run(db, st, why) == -1)
			return -1;
	}
	for (i = db->role == CONF_HOME ? 0 : 1; i < 3; i++) {
		if (parts[i] == ST_DELETE_CONTENT && r.large)
			continue;
		if (db_run_with(db, parts[i], row, why) == -1)
			return -1;
	}
	if (r.large && !db_names_add(&db->gone, file))
		return why_set(why, "%s: out of memory", db->path);
	db->total -= r.object.size < db->total ? r.object.size : db->total;
	return 0;
}

int
db_delete(struct db *db, int64_t row, struct why *why)
{
	return db_drop(db, row, false, why);
}

int
db_failed(struct db *db, int64_t row, const char *reason, struct why *why)
{
	sqlite3_stmt *st;

	if (db_begin(db, why) == -1 || (st = db_st(db, ST_FAILED, why)) == NULL)
		return -1;
	sqlite3_bind_int64(st, 1, row);
	db_bind_str(st, 2, reason);
	return db_run(db, st, why);
}

/* --- marks ----------------------------------------------------------------------- */

static int
mark_set(struct db *db, const char *home, struct ledger_mark m, int64_t seq, struct why *why)
{
	sqlite3_stmt *st;

	if (db_begin(db, why) == -1 || (st = db_st(db, ST_MARK_SET, why)) == NULL)
		return -1;
	db_bind_str(st, 1, home);
	sqlite3_bind_int64(st, 2, (int64_t)m.epoch);
	sqlite3_bind_int64(st, 3, (int64_t)m.counter);
	sqlite3_bind_int64(st, 4, seq);
	sqlite3_bind_int64(st, 5, ledger_run(&m));
	return db_run(db, st, why);
}

/*
 * A ledger's epoch is random, so epochs have no order of their own: one not seen
 * before is a new ledger, one that another has replaced is an old restore, and so
 * is a smaller counter of the current one, or one whose past is not what was seen.
 * An old copy's counter grows as well and
 * would come to where it counts again: what showed itself as one is replaced, by a
 * mark that no ledger has.
 */
#define MARK_NONE	((uint64_t)INT64_MAX + 1)	/* below 0 in SQLite: no epoch */
enum db_mark
db_mark(struct db *db, const char *home, struct ledger_mark m, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_MARKS, why);
	int64_t newest = 0, counter = 0, seq = 0;
	bool seen = false, parted;
	uint32_t run = 0;
	int rc;

	if (st == NULL)
		return MARK_FAILED;
	db_bind_str(st, 1, home);
	while ((rc = db_step(db, st, why)) == 1) {
		int64_t s = sqlite3_column_int64(st, 2);

		newest = s > newest ? s : newest;
		if ((uint64_t)sqlite3_column_int64(st, 0) == m.epoch) {
			seen = true;
			seq = s;
			counter = sqlite3_column_int64(st, 1);
			run = (uint32_t)sqlite3_column_int64(st, 3);
		}
	}
	sqlite3_reset(st);
	if (rc == -1)
		return MARK_FAILED;
	parted = seen && ledger_parted(&m, run, (uint64_t)counter);
	if (seen && (seq < newest || m.counter < (uint64_t)counter || parted)) {
		if (seq == newest && mark_set(db, home, (struct ledger_mark){ .epoch = MARK_NONE },
		    newest + 1, why) == -1)
			return MARK_FAILED;
		why_set(why, "home %s: its ledger is an older one than was seen (counter %" PRIu64
		    ", seen %" PRId64 "%s): an old copy was restored there; nothing is handed over "
		    "until `posthouse restore --accept` there says that it is meant", home,
		    m.counter, counter, parted ? ", of which it knows nothing" : "");
		return MARK_STALE;
	}
	if (seen) {
		if (m.counter == (uint64_t)counter && ledger_run(&m) == run)
			return MARK_SAME;
		return mark_set(db, home, m, seq, why) == -1 ? MARK_FAILED : MARK_SAME;
	}
	if (mark_set(db, home, m, newest + 1, why) == -1)
		return MARK_FAILED;
	if (newest >= MARKS_KEPT) {
		if ((st = db_st(db, ST_MARK_FORGET, why)) == NULL)
			return MARK_FAILED;
		db_bind_str(st, 1, home);
		sqlite3_bind_int64(st, 2, newest + 1 - MARKS_KEPT);
		if (db_run(db, st, why) == -1)
			return MARK_FAILED;
	}
	return MARK_NEW;
}

int
db_marks_stale(struct db *db, db_home_fn *fn, void *arg, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_MARKS_STALE, why);
	int rc = -1;

	while (st != NULL && (rc = db_step(db, st, why)) == 1)
		fn(arg, (const char *)sqlite3_column_text(st, 0));
	return rc;
}

int
db_mark_forget(struct db *db, const char *home, struct why *why)
{
	sqlite3_stmt *st;

	if (db_begin(db, why) == -1 || (st = db_st(db, ST_MARK_FORGET, why)) == NULL)
		return -1;
	db_bind_str(st, 1, home);
	sqlite3_bind_int64(st, 2, INT64_MAX);
	return db_run(db, st, why);
}
