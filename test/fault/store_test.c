/*
 * Every call on which the store's durability rests fails in turn, once, for good, or
 * with the power; and a writer is killed at any moment.  After each: what was told
 * kept is there, whole; what was not is there whole or not at all; what was told
 * gone is gone; the quotas' sums are the objects'.
 */
#include "kit/store_play.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "store/db_copy.h"
#include "store_vfs.h"

enum { N = 8 };

struct expect {
	bool		asked, kept, delete_asked, gone;
	int64_t		row;
	size_t		size;
};

struct stage {
	char		 dir[64];
	enum conf_role	 role;
	struct db	*db;
	struct expect	 x[N];
	bool		 marked;
	enum ledger_state noted[N];	/* the last that was told durable */
	/* all that were asked: a commit that failed may be on the disk */
	unsigned	noting[N];
};

static void
dir_make(char dir[64])
{
	const char *base = getenv("TMPDIR");

	snprintf(dir, 64, "%s/store-XXXXXX", base != NULL && strlen(base) < 40 ? base : "/tmp");
	assert_non_null(mkdtemp(dir));
}

static struct spool_meta
meta_of(const struct stage *g, unsigned n)
{
	struct play p = { .conf.role = g->role };
	struct spool_meta m = a_meta(&p, n);

	m.client_net.ip[12] = (unsigned char)(1 + n % 2);
	return m;
}

static void
open_db(struct stage *g)
{
	struct why why = { "" };

	for (int tries = 0; g->db == NULL && tries < 2; tries++)
		g->db = db_open(&fault_sys, g->dir, g->role, fault_vfs, &why);
	if (g->db != NULL)
		db_set_limits(g->db, &(struct db_limits){ .quota = 1 << 30, .share = 50,
		    .remember_ms = 1000LL * 3600 * 24 * 60, .parked_keep_ms =
		    1000LL * 3600 * 24 * 30 });
}

/* A file as a client leaves it: written, not synced. */
static void
large_file(const struct stage *g, unsigned n, size_t size, char name[DB_FILE_LEN + 1])
{
	char path[200], *body = malloc(size);
	FILE *f;

	snprintf(name, DB_FILE_LEN + 1, "%032x", n + 1);
	snprintf(path, sizeof(path), "%s/large/%s", g->dir, name);
	a_body(n, 0, body, size);
	assert_non_null(f = fopen(path, "wb"));
	assert_int_equal(fwrite(body, 1, size, f), size);
	fclose(f);
	free(body);
	fault_large_written(name);
}

/* As the writer's thread does: false, the file is not durable and nothing is put. */
static bool
made_durable(struct stage *g, const struct db_body *b)
{
	struct db_sync *s = db_sync_new(g->db);
	struct why why = { "" };
	bool ok = false;

	if (s != NULL && db_sync_add(g->db, s, b, &why) == 0) {
		db_sync_run(s);
		ok = db_sync_error(s, 0) == 0;
	}
	db_sync_free(&s);
	if (!ok)
		db_file_drop(g->db, b);
	return ok;
}

/* False: the batch is lost. */
static bool
put(struct stage *g, unsigned n, size_t size, bool large)
{
	struct spool_meta m = meta_of(g, n);
	unsigned char mac[OBJECT_MAC_LEN] = { (unsigned char)n };
	struct db_body b = { .size = size };
	char *body = malloc(size);
	struct why why = { "" };
	enum kept kept;
	bool changed;

	a_body(n, 0, body, size);
	if (large)
		large_file(g, n, size, b.file);
	else
		b.data = span_of(body, size);
	g->x[n].asked = true;
	g->x[n].size = size;
	if (large && !made_durable(g, &b)) {
		free(body);
		return true;
	}
	kept = db_put(g->db, &m, mac, &b, 1 << 30, &g->x[n].row, &changed, &why);
	free(body);
	return kept == KEPT || kept == KEPT_FULL;
}

static bool
commit(struct stage *g)
{
	struct why why = { "" };

	if (db_commit(g->db, &why) == 0)
		return true;
	db_rollback(g->db);
	return false;
}

static void
put_batch(struct stage *g, unsigned a, size_t size_a, bool large_a, unsigned b, size_t size_b)
{
	if (g->db == NULL)
		return;
	if (!put(g, a, size_a, large_a) || !put(g, b, size_b, false)) {
		db_rollback(g->db);
		return;
	}
	/* A large one whose file could not be looked at was answered KEPT_FULL: row 0. */
	if (commit(g)) {
		g->x[a].kept = g->x[a].row != 0;
		g->x[b].kept = g->x[b].row != 0;
	}
}

static void
remove_one_row(struct stage *g, unsigned n)
{
	struct why why = { "" };

	if (g->db == NULL || !g->x[n].kept)
		return;
	g->x[n].delete_asked = true;
	if (db_delete(g->db, g->x[n].row, &why) == -1)
		db_rollback(g->db);
	else
		g->x[n].gone = commit(g);
}

static void
play_edge(struct stage *g)
{
	struct why why = { "" };

	open_db(g);
	put_batch(g, 0, 5000, false, 1, 100);
	put_batch(g, 2, 20000, true, 3, 9000);
	remove_one_row(g, 0);
	if (g->db != NULL) {
		if (db_mark(g->db, "alice", (struct ledger_mark){ 9, 5 }, &why) != MARK_NEW)
			db_rollback(g->db);
		else
			g->marked = commit(g);
	}
	remove_one_row(g, 2);
	put_batch(g, 4, 30000, true, 5, 3000);
	for (int i = 0; i < 5 && g->db != NULL; i++)
		(void)db_idle(g->db, true);
	db_close(&g->db);
}

static void
note_one(struct stage *g, unsigned n, enum ledger_state state)
{
	struct ledger_entry e = { .row = g->x[n].row, .state = state, .next_ms = 1 };
	struct db_noted noted;
	struct why why = { "" };

	if (g->db == NULL || !g->x[n].kept)
		return;
	snprintf(e.recipient, sizeof(e.recipient), "a@example.org");
	g->noting[n] |= 1u << state;
	if (state == LEDGER_DELIVERED)
		g->x[n].delete_asked = true;
	if (db_note(g->db, &e, 1, wall_ms(), &noted, &why) == -1) {
		db_rollback(g->db);
		return;
	}
	if (!commit(g))
		return;
	g->noted[n] = state;
	g->x[n].gone = state == LEDGER_DELIVERED;
}

static void
play_home(struct stage *g)
{
	open_db(g);
	put_batch(g, 0, 5000, false, 1, 100);
	put_batch(g, 2, 20000, true, 3, 9000);
	note_one(g, 0, LEDGER_STAGED);
	note_one(g, 1, LEDGER_SENDING);
	note_one(g, 0, LEDGER_DELIVERED);
	note_one(g, 2, LEDGER_DEFERRED);
	note_one(g, 1, LEDGER_PARKED);
	note_one(g, 2, LEDGER_DELIVERED);
	for (int i = 0; i < 5 && g->db != NULL; i++)
		(void)db_idle(g->db, true);
	db_close(&g->db);
}

/* --- what must be true after it -------------------------------------------------------- */

static int
one_number(void *arg, int n, char **v, char **names)
{
	*(long *)arg = v[0] != NULL ? atol(v[0]) : 0;
	return 0;
}

/* Looked at before our own recovery could mend it. */
static void
sums_are_right(const struct stage *g)
{
	char path[200];
	long right = 1;
	sqlite3 *sq;

	snprintf(path, sizeof(path), "%s/spool.db", g->dir);
	if (access(path, F_OK) == -1)
		return;
	assert_int_equal(sqlite3_open(path, &sq), SQLITE_OK);
	sqlite3_exec(sq, "SELECT (SELECT coalesce(sum(bytes), 0) FROM held) ="
	    " (SELECT coalesce(sum(size), 0) FROM object) AND"
	    " (SELECT coalesce(sum(bytes), 0) FROM share) ="
	    " (SELECT coalesce(sum(size), 0) FROM object) AND"
	    " (SELECT coalesce(sum(objects), 0) FROM held) = (SELECT count(*) FROM object)",
	    one_number, &right, NULL);
	assert_true(right);
	right = 1;
	sqlite3_exec(sq, "SELECT (SELECT count(*) FROM pragma_integrity_check"
	    " WHERE integrity_check <> 'ok') = 0", one_number, &right, NULL);
	assert_true(right);
	sqlite3_close(sq);
}

static bool
whole(struct db *db, int64_t row, unsigned n, size_t size)
{
	struct got got = { .n = n };
	struct db_content c;
	struct why why = { "" };
	int rc = db_content(db, row, &c, &why);

	if (rc == 1)
		check_content(&got, &(struct spool_content){ .ok = true, .data = c.data, .fd =
		    c.fd });
	db_content_end(db);
	return rc == 1 && got.right && got.size == size;
}

static bool
on_entry(void *arg, const struct ledger_entry *e)
{
	*(struct ledger_entry *)arg = *e;
	return true;
}

static void
check(struct stage *g, const char *what, unsigned at)
{
	struct why why = { "" };

	sums_are_right(g);
	if ((g->db = db_open(&sys_real, g->dir, g->role, NULL, &why)) == NULL)
		fail_msg("%s %u: it does not open again: %s", what, at, why.text);
	if (db_alarm(g->db)[0] != '\0')
		fail_msg("%s %u: %s", what, at, db_alarm(g->db));
	for (unsigned n = 0; n < N; n++) {
		const struct expect *x = &g->x[n];
		struct spool_meta m = meta_of(g, n);
		struct db_row r;
		int rc = db_find(g->db, m.id, &r, &why);

		assert_true(rc != -1);
		if (rc == 1 && (!x->asked || !whole(g->db, r.object.row, n, x->size)))
			fail_msg("%s %u: object %u is there and not whole", what, at, n);
		if (rc == 1 && x->gone)
			fail_msg("%s %u: object %u was gone and is there", what, at, n);
		if (rc == 0 && x->kept && !x->delete_asked)
			fail_msg("%s %u: object %u was kept and is lost", what, at, n);
		if (rc == 1 && g->role == CONF_HOME) {
			struct ledger_entry e = { .state = LEDGER_QUEUED };
			enum ledger_state was = g->noted[n] == LEDGER_SENDING ? LEDGER_UNCERTAIN :
			    g->noted[n];
			unsigned may = g->noting[n];

			assert_int_equal(db_entries(g->db, r.object.row, on_entry, &e, &why), 0);
			if (may & 1u << LEDGER_SENDING)
				may |= 1u << LEDGER_UNCERTAIN;
			if (x->kept && e.state != was && (may & 1u << e.state) == 0)
				fail_msg("%s %u: object %u is in state %d, noted was %d", what, at,
				    n, e.state, was);
		}
		if (rc == 0 && x->gone && g->role == CONF_HOME) {	/* and not forgotten */
			unsigned char mac[OBJECT_MAC_LEN] = { 0 };
			struct db_body b = { .data = span_of("x", 1), .size = 1 };
			bool changed;
			int64_t row;

			assert_int_equal(db_put(g->db, &m, mac, &b, 1 << 30, &row, &changed, &why),
			    KEPT_BEFORE);
			assert_int_equal(row, 0);
		}
	}
	if (g->marked)
		assert_int_equal(db_mark(g->db, "alice", (struct ledger_mark){ 9, 4 }, &why),
		    MARK_STALE);
	db_close(&g->db);
}

static void
sweep(enum conf_role role, enum fault_mode mode, const char *what)
{
	unsigned at, faults = 0;

	for (at = 1;; at++) {
		struct stage g = { .role = role };
		bool hit;

		dir_make(g.dir);
		fault_begin(mode, at);
		if (role == CONF_EDGE)
			play_edge(&g);
		else
			play_home(&g);
		hit = fault_hit();
		fault_power_cut(g.dir);
		fault_end();
		check(&g, what, at);
		remove_tree(g.dir);
		if (!hit)
			break;
		faults++;
	}
	print_message("%s: %u calls failed\n", what, faults);
	assert_true(faults > 50);
}

/* --- a restore ------------------------------------------------------------------------------ */

/* As `posthouse restore --accept` changes the copy: what is here is carried over into it. */
static bool
restore_into(struct stage *next, const struct stage *here)
{
	struct why why = { "" };
	bool ok;

	open_db(next);
	if (next->db == NULL)
		return false;
	ok = db_carry(next->db, here->dir, &why) != -1 && db_restage(next->db, &why) != -1 &&
	    db_new_epoch(next->db, &why) == 0 && db_commit(next->db, &why) == 0;
	db_close(&next->db);
	return ok;
}

static void
drop_large(const struct stage *g)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/large", g->dir);
	remove_tree(path);
}

/* Both as they are without faults: four objects here, two of them in their own state there. */
static void
two_homes(struct stage *here, struct stage *next)
{
	*here = *next = (struct stage){ .role = CONF_HOME };
	dir_make(here->dir);
	dir_make(next->dir);
	open_db(here);
	put_batch(here, 0, 5000, false, 1, 100);
	put_batch(here, 2, 20000, true, 3, 9000);
	note_one(here, 3, LEDGER_PARKED);
	db_close(&here->db);
	open_db(next);
	put_batch(next, 4, 30000, true, 5, 3000);
	note_one(next, 5, LEDGER_STAGED);
	db_close(&next->db);
}

static void
sweep_restore(enum fault_mode mode, const char *what)
{
	unsigned at, told = 0;
	bool hit = true;

	for (at = 1; hit; at++) {
		struct stage here, next;
		bool ok;

		fault_begin(mode, 0);
		two_homes(&here, &next);
		fault_power_cut(here.dir);	/* none: its notes are forgotten */
		fault_begin(mode, at);
		ok = restore_into(&next, &here);
		hit = fault_hit();
		fault_power_cut(next.dir);
		fault_end();
		told += !ok;
		assert_true(ok || hit);
		/* What was told done is there; after a failure the copy is thrown away. */
		for (unsigned n = 0; n < 4; n++) {
			next.x[n] = here.x[n];
			next.noting[n] = here.noting[n];
			next.noted[n] = here.noted[n];
		}
		next.noting[5] = 0;
		next.noted[5] = LEDGER_QUEUED;
		/* A large file that its opening could not look at: parked, with an alarm. */
		next.noting[2] |= 1u << LEDGER_PARKED;
		next.noting[4] |= 1u << LEDGER_PARKED;
		if (ok)
			drop_large(&here);	/* of its two names */
		else
			drop_large(&next);
		check(ok ? &next : &here, what, at);
		remove_tree(next.dir);
		remove_tree(here.dir);
	}
	print_message("%s: %u of %u were told\n", what, told, at - 2);
	assert_true(told > 3);
}

static void
one_call_fails_in_a_restore(void **state)
{
	sweep_restore(FAULT_ONCE, "restore, once");
}

static void
the_disk_goes_bad_in_a_restore(void **state)
{
	sweep_restore(FAULT_STAYS, "restore, from there on");
}

static void
one_call_fails_at_an_edge(void **state)
{
	sweep(CONF_EDGE, FAULT_ONCE, "edge, once");
}

static void
the_disk_goes_bad_at_an_edge(void **state)
{
	sweep(CONF_EDGE, FAULT_STAYS, "edge, for good");
}

static void
the_power_goes_at_an_edge(void **state)
{
	sweep(CONF_EDGE, FAULT_CUT, "edge, power");
}

static void
one_call_fails_at_home(void **state)
{
	sweep(CONF_HOME, FAULT_ONCE, "home, once");
}

static void
the_disk_goes_bad_at_home(void **state)
{
	sweep(CONF_HOME, FAULT_STAYS, "home, for good");
}

static void
the_power_goes_at_home(void **state)
{
	sweep(CONF_HOME, FAULT_CUT, "home, power");
}

/* --- a writer on such a disk -------------------------------------------------------------- */

/* A disk that fails says nothing about home's ledger: that is neither old nor good by it. */
static void
a_failing_disk_is_no_old_ledger(void **state)
{
	struct mark_told t = { 0 };
	struct play p;
	struct spool *s;
	unsigned at, failed = 0;

	for (at = 1; at == 1 || fault_hit(); at++) {
		play_begin(&p, CONF_EDGE);
		writer_free(&p.writer);
		p.conf.sys = &fault_sys;
		p.conf.vfs = fault_vfs;
		play_writer(&p);
		s = play_client(&p);
		play_attach(&p, s);
		play_until(&p, &p.known, 1);
		fault_begin(FAULT_STAYS, at);
		t.told = 0;
		spool_mark(s, "alice", (struct ledger_mark){ 9, 5 }, on_marked, &t);
		play_until(&p, &t.told, 1);
		if (fault_hit()) {
			assert_int_equal(t.last, MARKED_NOT);
			failed++;
		} else
			assert_int_equal(t.last, MARKED);
		fault_end();
		spool_mark(s, "alice", (struct ledger_mark){ 9, 6 }, on_marked, &t);
		play_until(&p, &t.told, 2);
		assert_int_equal(t.last, MARKED);
		spool_mark(s, "alice", (struct ledger_mark){ 9, 4 }, on_marked, &t);
		play_until(&p, &t.told, 3);
		assert_int_equal(t.last, MARKED_STALE);
		spool_free(&s);
		play_end(&p);
		fault_power_cut("/nonexistent");
	}
	assert_true(failed > 1);
}

/* --- writes that are gathered --------------------------------------------------------------- */

static void
all_are_whole(struct stage *g)
{
	static char body[200000];
	struct db_content c;
	struct why why = { "" };

	for (unsigned n = 0; n < N; n++) {
		a_body(n, 0, body, sizeof(body));
		assert_int_equal(db_content(g->db, g->x[n].row, &c, &why), 1);
		assert_true(span_eq(c.data, span_of(body, sizeof(body))));
		db_content_end(g->db);
	}
}

/* More than SQLite's cache holds, so that it writes, and reads back, before the commit. */
static void
what_was_gathered_is_read_back_and_leaves_in_a_few_writes(void **state)
{
	struct stage g = { .role = CONF_EDGE };

	dir_make(g.dir);
	open_db(&g);
	fault_begin(FAULT_ONCE, 0);
	for (unsigned n = 0; n < N; n++)
		assert_true(put(&g, n, 200000, false));
	all_are_whole(&g);
	assert_true(commit(&g));
	/* 1.6 MB in pages of 4 KB, each with its head: 800 writes, one by one. */
	assert_in_range(fault_calls(), 2, 100);
	fault_end();
	all_are_whole(&g);
	db_close(&g.db);
	open_db(&g);
	all_are_whole(&g);
	db_close(&g.db);
	fault_power_cut("/nonexistent");
	remove_tree(g.dir);
}

/* --- damage ---------------------------------------------------------------------------- */

static void
write_file(const char *dir, const char *name, const void *p, size_t n)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_non_null(f = fopen(path, "wb"));
	assert_int_equal(fwrite(p, 1, n, f), n);
	fclose(f);
}

static void
a_damaged_database_is_set_aside_whole(void **state)
{
	struct stage g = { .role = CONF_EDGE };
	struct why why = { "" };
	char junk[8192];

	dir_make(g.dir);
	memset(junk, 'x', sizeof(junk));
	write_file(g.dir, "spool.db", junk, sizeof(junk));
	g.db = db_open(&sys_real, g.dir, g.role, NULL, &why);
	if (g.db == NULL)
		fail_msg("%s", why.text);
	assert_non_null(strstr(db_lost(g.db), "aside/, with 0 large objects"));
	assert_int_equal(db_aside_count(g.db), 1);
	assert_true(put(&g, 0, 100, false) && commit(&g));
	db_close(&g.db);
	remove_tree(g.dir);
}

/* Root may write anywhere: then as nobody, whose the directory is. */
static void
a_directory_that_may_not_be_written_is_named(void **state)
{
	struct stage g = { .role = CONF_EDGE };
	struct why why = { "" };
	char cmd[300], want[300];
	uid_t user = geteuid() == 0 ? 65534 : geteuid();

	dir_make(g.dir);
	assert_non_null(g.db = db_open(&sys_real, g.dir, CONF_EDGE, NULL, &why));
	db_close(&g.db);
	snprintf(cmd, sizeof(cmd), "chown -R %u %s && chmod 500 %s", (unsigned)user, g.dir, g.dir);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(setresuid(-1, user, -1), 0);
	g.db = db_open(&sys_real, g.dir, CONF_EDGE, NULL, &why);
	assert_int_equal(setresuid(-1, getuid(), -1), 0);
	assert_null(g.db);
	assert_int_equal(strncmp(why.text, g.dir, strlen(g.dir)), 0);
	snprintf(want, sizeof(want), ": user %u may not make files in this directory, or not open "
	    "those there: chown -R it to that user, and chmod 700 it", (unsigned)user);
	assert_non_null(strstr(why.text, want));
	assert_int_equal(chmod(g.dir, 0700), 0);
	remove_tree(g.dir);
}

static void
what_is_not_ours_is_refused_or_set_aside(void **state)
{
	struct stage g = { .role = CONF_EDGE };
	struct why why = { "" };
	char path[200];
	sqlite3 *sq;

	dir_make(g.dir);
	assert_non_null(g.db = db_open(&sys_real, g.dir, CONF_EDGE, NULL, &why));
	assert_null(db_open(&sys_real, g.dir, CONF_EDGE, NULL, &why));	/* one owner */
	assert_non_null(strstr(why.text, "in use"));
	db_close(&g.db);
	assert_null(db_open(&sys_real, g.dir, CONF_HOME, NULL, &why));
	assert_non_null(strstr(why.text, "edge"));
	write_file(g.dir, "large/.profile", "hi", 2);
	/* young: somebody may be writing it */
	write_file(g.dir, "large/00000000000000000000000000000009", "hi", 2);
	assert_non_null(g.db = db_open(&sys_real, g.dir, CONF_EDGE, NULL, &why));
	assert_int_equal(db_aside_count(g.db), 1);
	assert_non_null(strstr(db_alarm(g.db), "foreign"));
	db_close(&g.db);
	snprintf(path, sizeof(path), "%s/large/00000000000000000000000000000009", g.dir);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[2]){ { 1000, 0 }, { 1000, 0 } },
	    0), 0);
	assert_non_null(g.db = db_open(&sys_real, g.dir, CONF_EDGE, NULL, &why));
	db_close(&g.db);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/spool.db", g.dir);
	assert_int_equal(sqlite3_open(path, &sq), SQLITE_OK);
	assert_int_equal(sqlite3_exec(sq, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(sq);
	assert_null(db_open(&sys_real, g.dir, CONF_EDGE, NULL, &why));
	assert_non_null(strstr(why.text, "newer"));
	remove_tree(g.dir);
}

/* What an earlier version kept is there after an upgrade, and what is new works. */
static void
an_earlier_schema_is_brought_up_to_date(void **state)
{
	static const enum conf_role roles[] = { CONF_EDGE, CONF_HOME };

	for (int i = 0; i < 2; i++) {
		struct stage g = { .role = roles[i] };
		struct why why = { "" };
		struct db_row r;
		char path[200];
		sqlite3 *sq;

		dir_make(g.dir);
		assert_non_null(g.db = db_open(&sys_real, g.dir, g.role, NULL, &why));
		assert_true(put(&g, 4, 100, false) && commit(&g));
		db_close(&g.db);
		snprintf(path, sizeof(path), "%s/spool.db", g.dir);
		assert_int_equal(sqlite3_open(path, &sq), SQLITE_OK);
		assert_int_equal(sqlite3_exec(sq, "DROP TABLE ban; DROP INDEX object_failed;"
		    "DROP TABLE story; DROP INDEX object_waits; DROP INDEX entry_parked;"
		    "ALTER TABLE done DROP COLUMN row; ALTER TABLE done DROP COLUMN received;"
		    "ALTER TABLE done DROP COLUMN gone; ALTER TABLE done DROP COLUMN size;"
		    "PRAGMA user_version = 1", NULL, NULL, NULL), SQLITE_OK);
		sqlite3_close(sq);
		for (int again = 0; again < 2; again++) {
			if ((g.db = db_open(&sys_real, g.dir, g.role, NULL, &why)) == NULL)
				fail_msg("%s", why.text);
			assert_int_equal(db_find(g.db, meta_of(&g, 4).id, &r, &why), 1);
			db_close(&g.db);
		}
		assert_int_equal(sqlite3_open(path, &sq), SQLITE_OK);
		assert_int_equal(sqlite3_exec(sq, "SELECT num FROM ban; SELECT row FROM object"
		    " INDEXED BY object_failed WHERE tries > 0", NULL, NULL, NULL), SQLITE_OK);
		sqlite3_close(sq);
		remove_tree(g.dir);
	}
}

static void
a_damaged_large_file_is_reported(void **state)
{
	static const enum conf_role roles[] = { CONF_EDGE, CONF_HOME };

	for (int i = 0; i < 4; i++) {
		struct stage g = { .role = roles[i & 1] };
		struct why why = { "" };
		struct db_row r;
		char path[200];
		int rc;

		dir_make(g.dir);
		assert_non_null(g.db = db_open(&sys_real, g.dir, g.role, NULL, &why));
		assert_true(put(&g, 3, 20000, true) && put(&g, 4, 100, false) && commit(&g));
		db_close(&g.db);
		snprintf(path, sizeof(path), "%s/large/%032x", g.dir, 4);
		assert_int_equal(i < 2 ? truncate(path, 19999) : unlink(path), 0);
		if ((g.db = db_open(&sys_real, g.dir, g.role, NULL, &why)) == NULL)
			fail_msg("%s", why.text);
		assert_non_null(strstr(db_alarm(g.db), "damaged"));
		rc = db_find(g.db, meta_of(&g, 3).id, &r, &why);
		if (g.role == CONF_HOME) {
			assert_int_equal(rc, 1);
			assert_int_equal(r.state, LEDGER_PARKED);
			assert_int_equal(r.due_ms, -1);
		} else {
			assert_int_equal(rc, 0);
			assert_int_equal(db_aside_count(g.db), i < 2 ? 1 : 0);
		}
		assert_int_equal(db_find(g.db, meta_of(&g, 4).id, &r, &why), 1);
		db_close(&g.db);
		remove_tree(g.dir);
	}
	fault_power_cut("/nonexistent");
}

/* --- kill -9 ---------------------------------------------------------------------------- */

enum { KEYS = 4000 };
struct killed {
	struct play	 p;
	struct spool	*s;
	struct put_told	 told[KEYS];
	bool		 gone[KEYS], delete_asked[KEYS];
	size_t		 size[KEYS];
	unsigned	 n, kept_at_all;
};
static struct killed *k;

static void
on_row_gone(void *arg, bool ok, const struct why *why)
{
	k->gone[(size_t)(uintptr_t)arg] = ok;
}

static void
write_until_killed(const struct play *p, int fd)
{
	struct play child = *p;
	struct why why = { "" };

	uv_loop_init(&child.loop);
	if ((child.writer = writer_new(&child.loop, &child.conf, &why)) == NULL) {
		fprintf(stderr, "%s\n", why.text);
		_exit(1);
	}
	writer_client(child.writer, chan_new(&child.loop, fd, &why));
	uv_run(&child.loop, UV_RUN_DEFAULT);
	_exit(0);
}

static unsigned
answered(unsigned from)
{
	unsigned n = 0;

	for (unsigned i = from; i < k->n; i++)
		n += k->told[i].told;
	return n;
}

static void
put_next(unsigned i)
{
	unsigned n = k->n++, back = n - 5;
	struct spool_meta m = a_meta(&k->p, n);

	k->size[n] = i % 20 == 7 ? 300000 : 100 + (n * 37) % 9000;
	put_one(k->s, &m, n, k->size[n], &k->told[n]);
	if (n >= 5 && k->told[back].kept == 1 && n % 3 == 0) {
		k->delete_asked[back] = true;
		spool_delete(k->s, k->told[back].row, on_row_gone, (void *)(uintptr_t)back);
	}
}

/* A writer that is killed when so many puts have been answered, and more are under way. */
static void
one_life(unsigned answers)
{
	struct play *p = &k->p;
	struct why why = { "" };
	unsigned i, from = k->n, waits = 0;
	int sv[2], status;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
	if ((pid = fork()) == 0) {
		close(sv[1]);
		write_until_killed(p, sv[0]);
	}
	close(sv[0]);
	spool_attach(k->s, chan_new(&p->loop, sv[1], &why));
	for (i = 0; i < 200 && answered(from) < answers; i++) {
		put_next(i);
		if (i % 10 == 9)
			play_for(p, 1);
	}
	while (answered(from) < answers && waits++ < 5000)
		play_for(p, 1);
	for (i = 0; i < 20; i++)
		put_next(i);
	play_for(p, 1);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	play_for(p, 30);
	for (i = 0; i < from; i++)	/* what was asked of an earlier one is answered */
		assert_int_equal(k->told[i].told, 1);
}

static void
a_killed_writer_loses_nothing_it_told(void **state)
{
	unsigned round, lost = 0, seed = (unsigned)getpid();

	k = calloc(1, sizeof(*k));
	play_begin(&k->p, CONF_EDGE);
	writer_free(&k->p.writer);
	play_for(&k->p, 5);
	k->s = play_client(&k->p);
	srandom(seed);
	for (round = 0; round < 15; round++) {
		struct why why = { "" };
		struct db *db;

		one_life((unsigned)random() % 200);
		assert_non_null(db = db_open(&sys_real, k->p.dir, CONF_EDGE, NULL, &why));
		assert_string_equal(db_alarm(db), "");
		for (unsigned n = 0; n < k->n; n++) {
			struct db_row r;
			int rc = db_find(db, a_meta(&k->p, n).id, &r, &why);

			if (rc == 1 && !whole(db, r.object.row, n, k->size[n]))
				fail_msg("seed %u: object %u is not whole", seed, n);
			lost += rc == 0 && k->told[n].kept > 0 && !k->delete_asked[n];
			if (rc == 1 && k->gone[n])
				fail_msg("seed %u: object %u was gone", seed, n);
			k->kept_at_all += round == 14 && k->told[n].kept > 0;
		}
		db_close(&db);
	}
	print_message("seed %u: %u puts, %u told kept, %u lost\n", seed, k->n, k->kept_at_all,
	    lost);
	assert_int_equal(lost, 0);
	assert_true(k->kept_at_all > 0);
	play_writer(&k->p);
	play_attach(&k->p, k->s);
	for (unsigned n = 0; n < k->n; n++)
		play_until(&k->p, &k->told[n].told, 1);
	for (unsigned n = 0; n < k->n; n++)
		assert_int_equal(k->told[n].told, 1);
	spool_free(&k->s);
	play_end(&k->p);
	free(k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_call_fails_at_an_edge),
		cmocka_unit_test(the_disk_goes_bad_at_an_edge),
		cmocka_unit_test(the_power_goes_at_an_edge),
		cmocka_unit_test(one_call_fails_at_home),
		cmocka_unit_test(the_disk_goes_bad_at_home),
		cmocka_unit_test(the_power_goes_at_home),
		cmocka_unit_test(one_call_fails_in_a_restore),
		cmocka_unit_test(the_disk_goes_bad_in_a_restore),
		cmocka_unit_test(a_failing_disk_is_no_old_ledger),
		cmocka_unit_test(what_was_gathered_is_read_back_and_leaves_in_a_few_writes),
		cmocka_unit_test(a_damaged_database_is_set_aside_whole),
		cmocka_unit_test(a_directory_that_may_not_be_written_is_named),
		cmocka_unit_test(what_is_not_ours_is_refused_or_set_aside),
		cmocka_unit_test(an_earlier_schema_is_brought_up_to_date),
		cmocka_unit_test(a_damaged_large_file_is_reported),
		cmocka_unit_test(a_killed_writer_loses_nothing_it_told),
	};

	log_init("test.store", LOG_ERROR + 1);
	if (fault_vfs_register() != SQLITE_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
