/*
 * Every call on which the store's durability rests fails in turn, once, for good, or
 * with the power.  After each: what was told kept is there, whole; what was not is there
 * whole or not at all; what was told gone is gone; the quotas' sums are the objects'.
 */
#include "store_stage.h"

#include <sqlite3.h>

#include "store/db_copy.h"
#include "store/ledger_words.h"

static struct ledger_mark
mark_of(uint64_t counter)
{
	return (struct ledger_mark){ .epoch = 9, .counter = counter };
}

static void
put_batch(struct stage *g, unsigned a, size_t size_a, bool large_a, unsigned b, size_t size_b)
{
	if (g->db == NULL)
		return;
	if (!stage_put(g, a, size_a, large_a) || !stage_put(g, b, size_b, false)) {
		db_rollback(g->db);
		return;
	}
	/* A large one whose file could not be looked at was answered KEPT_FULL: row 0. */
	if (stage_commit(g)) {
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
		g->x[n].gone = stage_commit(g);
}

static void
play_edge(struct stage *g)
{
	struct why why = { "" };

	stage_open(g);
	put_batch(g, 0, 5000, false, 1, 100);
	put_batch(g, 2, 20000, true, 3, 9000);
	remove_one_row(g, 0);
	if (g->db != NULL) {
		if (db_mark(g->db, "alice", mark_of(5), &why) != MARK_NEW)
			db_rollback(g->db);
		else
			g->marked = stage_commit(g);
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
	if (!stage_commit(g))
		return;
	g->noted[n] = state;
	g->x[n].gone = state == LEDGER_DELIVERED;
}

static void
play_home(struct stage *g)
{
	stage_open(g);
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
		struct spool_meta m = stage_meta(g, n);
		struct db_row r;
		int rc = db_find(g->db, m.id, &r, &why);

		assert_true(rc != -1);
		if (rc == 1 && (!x->asked || !stage_whole(g->db, r.object.row, n, x->size)))
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
	/* What edges have seen of it is in its past. */
	if (g->shown.epoch != 0) {
		struct ledger_mark now = db_ledger_mark(g->db);

		assert_int_equal(now.epoch, g->shown.epoch);
		assert_true(now.counter >= g->shown.counter);
		assert_true(g->role != CONF_HOME || now.nruns > 0);
		assert_false(ledger_parted(&now, ledger_run(&g->shown), g->shown.counter));
	}
	if (g->marked)
		assert_int_equal(db_mark(g->db, "alice", mark_of(4), &why),
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

	stage_open(next);
	if (next->db == NULL)
		return false;
	ok = db_carry(next->db, here->dir, &why) != -1 && db_restage(next->db, &why) != -1 &&
	    db_new_epoch(next->db, &why) == 0 && db_commit(next->db, &why) == 0;
	next->shown = ok ? db_ledger_mark(next->db) : (struct ledger_mark){ .epoch = 0 };
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
	stage_open(here);
	put_batch(here, 0, 5000, false, 1, 100);
	put_batch(here, 2, 20000, true, 3, 9000);
	note_one(here, 3, LEDGER_PARKED);
	db_close(&here->db);
	stage_open(next);
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
		spool_mark(s, "alice", mark_of(5), on_marked, &t);
		play_until(&p, &t.told, 1);
		if (fault_hit()) {
			assert_int_equal(t.last, MARKED_NOT);
			failed++;
		} else
			assert_int_equal(t.last, MARKED);
		fault_end();
		spool_mark(s, "alice", mark_of(6), on_marked, &t);
		play_until(&p, &t.told, 2);
		assert_int_equal(t.last, MARKED);
		spool_mark(s, "alice", mark_of(4), on_marked, &t);
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
	stage_open(&g);
	fault_begin(FAULT_ONCE, 0);
	for (unsigned n = 0; n < N; n++)
		assert_true(stage_put(&g, n, 200000, false));
	all_are_whole(&g);
	assert_true(stage_commit(&g));
	/* 1.6 MB in pages of 4 KB, each with its head: 800 writes, one by one. */
	assert_in_range(fault_calls(), 2, 100);
	fault_end();
	all_are_whole(&g);
	db_close(&g.db);
	stage_open(&g);
	all_are_whole(&g);
	db_close(&g.db);
	fault_power_cut("/nonexistent");
	remove_tree(g.dir);
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
	};

	log_init("test.store", LOG_ERROR + 1);
	if (fault_vfs_register() != SQLITE_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
