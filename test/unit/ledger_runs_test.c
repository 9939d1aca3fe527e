/* A copy of a ledger, put back by hand, is known for one however far it has counted since. */
#include <fcntl.h>
#include <unistd.h>

#include "kit/store_play.h"
#include "store/db_copy.h"
#include "store/db_in.h"
#include "store/ledger_words.h"

/* --- the words ----------------------------------------------------------------------------- */

static void
what_runs_are_printed_as_and_what_is_none(void **state)
{
	static const struct {
		const char	*text;
		bool		 is;
	} table[] = {
		{ "7.1", true }, { "7.30 9.20 7.1", true },
		{ "4294967295.9223372036854775807", true },
		{ "16.16 15.15 14.14 13.13 12.12 11.11 10.10 9.9 8.8 7.7 6.6 5.5 4.4 3.3 2.2 1.1",
		    true },
		{ "17.17 16.16 15.15 14.14 13.13 12.12 11.11 10.10 9.9 8.8 7.7 6.6 5.5 4.4 3.3 2.2"
		    " 1.1", false },		/* one more than anybody sends */
		{ "", false }, { "7", false }, { ".", false }, { "7.", false }, { ".1", false },
		{ "7.1 ", false }, { " 7.1", false }, { "7.2  9.1", false }, { "7.1,9.1", false },
		{ "0.1", false }, { "7.0", false },
		{ "4294967296.1", false }, { "7.9223372036854775808", false },
		{ "7.1 9.1", false }, { "7.1 9.2", false },	/* they fall */
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct ledger_mark m = { .epoch = 3, .counter = 5, .nruns = 1 };
		char again[LEDGER_RUNS_TEXT];

		assert_int_equal(ledger_runs_parse(span_str(table[i].text), &m), table[i].is);
		ledger_runs_print(&m, again);
		assert_string_equal(again, table[i].is ? table[i].text : "");
		assert_int_equal(m.epoch, 3);
		assert_int_equal(m.counter, 5);
	}
}

static void
what_a_ledger_has_seen_and_what_it_has_not(void **state)
{
	static const struct {
		const char	*runs;		/* of the one that is shown, at counter 50 */
		uint32_t	 run;		/* what was seen */
		uint64_t	 counter;
		bool		 parted;
	} table[] = {
		{ "7.40 6.30 5.20", 7, 40, false }, { "7.40 6.30 5.20", 7, 50, false },
		{ "7.40 6.30 5.20", 7, 51, true },
		{ "7.40 6.30 5.20", 6, 39, false },	/* it ended there */
		{ "7.40 6.30 5.20", 6, 40, true },	/* and went on elsewhere */
		{ "7.40 6.30 5.20", 5, 29, false }, { "7.40 6.30 5.20", 5, 30, true },
		{ "7.40 6.30 5.20", 9, 20, true },	/* it began when ours had */
		{ "7.40 6.30 5.20", 9, 45, true },
		{ "7.40 6.30 5.20", 9, 19, false },	/* forgotten, for all we know */
		{ "7.40 6.30 5.20", 0, 45, false },	/* seen when no runs were told */
		{ "", 0, 45, false },
		{ "", 7, 45, true },			/* of before runs were kept */
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct ledger_mark m = { .epoch = 3, .counter = 50 };

		assert_int_equal(ledger_runs_parse(span_str(table[i].runs), &m),
		    table[i].runs[0] != '\0');
		assert_int_equal(ledger_parted(&m, table[i].run, table[i].counter),
		    table[i].parted);
	}
}

/* --- ledgers, and an edge that sees them --------------------------------------------------- */

static char home[64], copy[64], edge_dir[64];
static struct db *edge;

static struct db *
open_ledger(const char *dir, enum conf_role role)
{
	struct why why = { "" };
	struct db *db = db_open(&sys_real, dir, role, NULL, &why);

	if (db == NULL)
		fail_msg("%s", why.text);
	return db;
}

static void
changes(struct db *db, unsigned n)
{
	struct db_ban ban = { .on = { .net = netaddr_from_octets((unsigned char[]){ 192, 0, 2, 1 },
	    4, 0), .bits = 32 } };
	struct why why = { "" };

	for (ban.made_ms = 1; n-- > 0; ban.made_ms++) {
		assert_int_equal(db_ban(db, &ban, &why), 0);
		assert_int_equal(db_commit(db, &why), 0);
	}
}

/* A run of home that makes so many commits. */
static struct ledger_mark
run(const char *dir, unsigned commits)
{
	struct db *db = open_ledger(dir, CONF_HOME);
	struct ledger_mark m;

	changes(db, commits);
	m = db_ledger_mark(db);
	db_close(&db);
	return m;
}

static void
copy_ledger(const char *from, const char *to)
{
	char cmd[200];

	snprintf(cmd, sizeof(cmd), "cp -a %s/spool.db %s/", from, to);
	assert_int_equal(system(cmd), 0);
}

static enum db_mark
show(struct ledger_mark m)
{
	struct why why = { "" };
	enum db_mark is = db_mark(edge, "alice", m, &why);

	assert_int_not_equal(is, MARK_FAILED);
	assert_int_equal(db_commit(edge, &why), 0);
	/* and it is remembered */
	db_close(&edge);
	edge = open_ledger(edge_dir, CONF_EDGE);
	return is;
}

static int
setup(void **state)
{
	dir_make(home);
	dir_make(copy);
	dir_make(edge_dir);
	edge = open_ledger(edge_dir, CONF_EDGE);
	return 0;
}

static int
teardown(void **state)
{
	db_close(&edge);
	remove_tree(home);
	remove_tree(copy);
	remove_tree(edge_dir);
	return 0;
}

static void
a_run_begins_with_its_first_commit_and_a_start_is_none(void **state)
{
	struct ledger_mark none = run(home, 0), one = run(home, 3), same = run(home, 0),
	    two = run(home, 1);

	assert_int_equal(none.nruns, 0);
	assert_int_equal(one.nruns, 1);
	assert_int_equal(one.runs[0].first, 1);
	assert_int_equal(one.counter, 3);
	assert_memory_equal(&same, &one, sizeof(one));
	assert_int_equal(two.nruns, 2);
	assert_int_equal(two.runs[0].first, 4);
	assert_int_not_equal(two.runs[0].run, one.runs[0].run);
	assert_memory_equal(&two.runs[1], &one.runs[0], sizeof(one.runs[0]));
}

static void
a_copy_that_counted_past_what_was_seen_is_an_old_one(void **state)
{
	struct ledger_mark m = run(home, 10);

	assert_int_equal(show(m), MARK_NEW);
	copy_ledger(home, copy);
	assert_int_equal(show(run(home, 2)), MARK_SAME);	/* the edge saw little more */
	m = run(copy, 2);					/* as far, by itself */
	assert_int_equal(m.counter, 12);
	assert_int_equal(show(m), MARK_STALE);
	assert_int_equal(show(run(copy, 500)), MARK_STALE);
	assert_int_equal(show(run(home, 1)), MARK_STALE);	/* until somebody says which */
}

static void
a_copy_of_a_run_that_went_on_is_an_old_one(void **state)
{
	struct db *db = open_ledger(home, CONF_HOME);
	struct why why = { "" };
	char to[80];

	changes(db, 10);
	snprintf(to, sizeof(to), "%s/spool.db", copy);
	/* of a running one, as a snapshot of its disk */
	{
		struct db_source *s = db_source_open(home, &why);

		assert_non_null(s);
		assert_int_equal(db_source_copy(s, to, &why), 0);
		db_source_close(&s);
	}
	changes(db, 5);
	assert_int_equal(show(db_ledger_mark(db)), MARK_NEW);
	db_close(&db);
	assert_int_equal(show(run(copy, 100)), MARK_STALE);
}

/* Disk and memory are those of then: it goes on in the very run that the edge has seen. */
static void
a_machine_that_was_taken_back_is_known_once_its_clock_is_put_right(void **state)
{
	struct db *db = open_ledger(home, CONF_HOME);
	struct why why = { "" };
	struct ledger_mark m;
	uint32_t run_of_then;

	changes(db, 10);
	run_of_then = db->run;
	db_close(&db);
	copy_ledger(home, copy);
	db = open_ledger(home, CONF_HOME);
	db->run = run_of_then;
	changes(db, 5);
	m = db_ledger_mark(db);
	assert_int_equal(m.nruns, 1);
	assert_int_equal(m.counter, 15);
	assert_int_equal(show(m), MARK_NEW);
	db_close(&db);

	db = open_ledger(copy, CONF_HOME);
	db->run = run_of_then;
	changes(db, 2);
	db_runs_new(db);
	changes(db, 50);
	assert_int_equal(db_ledger_mark(db).counter, 62);
	assert_int_equal(db_mark(edge, "alice", db_ledger_mark(db), &why), MARK_STALE);
	db_close(&db);
}

/* A program of before runs were kept, put back with its ledger. */
static void
one_that_names_no_run_any_more_is_an_old_one(void **state)
{
	struct ledger_mark m = run(home, 10), old = { .epoch = m.epoch, .counter = 4 };

	assert_int_equal(show(old), MARK_NEW);		/* it was upgraded since */
	assert_int_equal(show(m), MARK_SAME);
	old.counter = m.counter + 100;
	assert_int_equal(show(old), MARK_STALE);
}

static void
an_edge_that_was_away_takes_what_went_on(void **state)
{
	struct ledger_mark m = run(home, 10);

	assert_int_equal(show(m), MARK_NEW);
	for (unsigned i = 0; i < LEDGER_RUNS + 4; i++) {
		m = run(home, 1 + i % 3);
		assert_int_equal(m.nruns, i + 2 < LEDGER_RUNS ? i + 2 : LEDGER_RUNS);
		if (i % 7 == 6)
			assert_int_equal(show(m), MARK_SAME);
	}
	for (unsigned i = 0; i < 3 * LEDGER_RUNS; i++)	/* longer than runs are kept */
		m = run(home, 1);
	assert_int_equal(show(m), MARK_SAME);
	assert_int_equal(show(run(home, 0)), MARK_SAME);
}

static void
each_edge_judges_by_what_it_saw(void **state)
{
	struct why why = { "" };

	assert_int_equal(db_mark(edge, "bob", run(home, 10), &why), MARK_NEW);
	copy_ledger(home, copy);
	assert_int_equal(show(run(home, 1)), MARK_NEW);
	/* one that saw nothing since the copy was made misses nothing by it */
	assert_int_equal(db_mark(edge, "bob", run(copy, 30), &why), MARK_SAME);
	assert_int_equal(show(run(copy, 0)), MARK_STALE);
}

/* As `posthouse restore` changes what it puts back, without --accept and with it. */
static void
a_restored_ledger_is_as_late_as_its_backup(void **state)
{
	struct why why = { "" };
	struct ledger_mark m = run(home, 10);
	struct db *db;

	assert_int_equal(show(m), MARK_NEW);
	copy_ledger(home, copy);
	db = open_ledger(copy, CONF_HOME);
	assert_int_not_equal(db_restage(db, &why), -1);
	assert_int_equal(db_set_counter(db, m.counter, &why), 0);
	assert_int_equal(db_commit(db, &why), 0);
	assert_int_equal(db_ledger_mark(db).counter, m.counter);
	db_close(&db);
	assert_int_equal(show(run(copy, 0)), MARK_SAME);	/* nothing came since */
	assert_int_equal(show(run(copy, 3)), MARK_SAME);
	assert_int_equal(show(run(home, 5)), MARK_STALE);	/* now the other is the old one */

	db = open_ledger(copy, CONF_HOME);
	assert_int_equal(db_new_epoch(db, &why), 0);
	assert_int_equal(db_commit(db, &why), 0);
	m = db_ledger_mark(db);
	assert_int_equal(m.nruns, 1);
	assert_int_equal(m.runs[0].first, 1);
	db_close(&db);
	assert_int_equal(show(m), MARK_NEW);
	assert_int_equal(show(run(copy, 3)), MARK_SAME);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_runs_are_printed_as_and_what_is_none),
		cmocka_unit_test(what_a_ledger_has_seen_and_what_it_has_not),
		TEST(a_run_begins_with_its_first_commit_and_a_start_is_none),
		TEST(a_copy_that_counted_past_what_was_seen_is_an_old_one),
		TEST(a_copy_of_a_run_that_went_on_is_an_old_one),
		TEST(a_machine_that_was_taken_back_is_known_once_its_clock_is_put_right),
		TEST(one_that_names_no_run_any_more_is_an_old_one),
		TEST(an_edge_that_was_away_takes_what_went_on),
		TEST(each_edge_judges_by_what_it_saw),
		TEST(a_restored_ledger_is_as_late_as_its_backup),
	};

	log_init("test.store", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
