/*
 * The courier is killed at every system call and at every note, before and after the
 * ledger took it, and every call is failed once; whatever happens, in the end each
 * message lies in each of its mailboxes exactly once, though a reader takes mail away
 * all the time.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kit/courier_play.h"

static void
load(void)
{
	hold("<alice@example.org>", BODY, FLAWLESS, false);
	hold("<alice@example.org> <bob@example.org> <alice+2@example.org>", BODY, FLAWLESS, false);
	hold("<dave@example.org> <carol@example.org>", BODY, FLAWLESS, true);
	hold("<alice@example.org>", BODY, FLAW_TRUNCATED, false);
	hold("<bob@example.org>", BODY, FLAWLESS, false);
	hold("<carol@example.org>", BODY, FLAWLESS, false);
}

static const unsigned expected[6][3] = { { 1 }, { 1, 1 }, { 0, 0, 1 }, { 0 }, { 0, 1 },
	{ 0, 0, 1 } };

/* One run that is hit at one call, then lives until all is done. Returns whether the hit came. */
static bool
run_hit(enum hit h, unsigned at)
{
	bool came;

	load();
	how = h;
	calls = 0;
	hit_at = at;
	deferred_due = false;
	live();
	read_mail();
	came = calls >= at;
	how = HIT_NOTHING;
	deferred_due = true;
	for (int again = 0; again < 2; again++) {
		live();
		read_mail();
	}
	for (size_t i = 0; i < 6; i++) {
		for (size_t b = 0; b < 3; b++)
			if (got[i][b] != expected[i][b])
				fail_msg("hit %d at call %u: object %zu is %u times in %s", h, at,
				    i, got[i][b], conf.users[b]);
		for (size_t e = 0; e < ledger[i].n; e++)
			if (ledger[i].entries[e].state != LEDGER_DELIVERED &&
			    ledger[i].entries[e].state != LEDGER_PARKED)
				fail_msg("hit %d at call %u: object %zu ends in state %d", h, at, i,
				    ledger[i].entries[e].state);
	}
	clean();
	return came;
}

static void
sweep(enum hit h)
{
	unsigned at = 1;

	while (run_hit(h, at))
		at++;
	assert_true(at > 40);		/* it did reach the calls */
}

static void
killed_at_every_step(void **state)
{
	sweep(HIT_KILL);
}

static void
killed_behind_every_note(void **state)
{
	sweep(HIT_KILL_AFTER);
}

static void
every_call_fails_once(void **state)
{
	sweep(HIT_FAIL);
}

/* --- deliver.maildir is another one after a crash ------------------------------------------ */

enum change {
	CHANGE_FRESH = 0,		/* nothing is there */
	CHANGE_IN_USE,			/* the mailboxes are there already */
	CHANGE_MOVED,			/* the old ones were moved there, with what is in tmp/ */
};

static void
change_folder(enum change change, char before[64])
{
	char from[200], to[200];

	memcpy(before, dir, 64);
	snprintf(dir, 64, "%.50s/elsewhere", before);
	assert_int_equal(mkdir(dir, 0700), 0);
	for (size_t b = 0; b < conf.nusers && change != CHANGE_FRESH; b++) {
		static const char *const inner[] = { "", "/tmp", "/new", "/cur" };

		snprintf(from, sizeof(from), "%s/%s", before, conf.users[b]);
		snprintf(to, sizeof(to), "%s/%s", dir, conf.users[b]);
		if (change == CHANGE_MOVED && rename(from, to) == 0)
			continue;
		for (size_t i = 0; i < sizeof(inner) / sizeof(inner[0]); i++) {
			snprintf(to, sizeof(to), "%s/%s%s", dir, conf.users[b], inner[i]);
			assert_int_equal(mkdir(to, 0700), 0);
		}
	}
}

/* How often the ledger calls the object staged for that mailbox. */
static unsigned
staged(size_t object, const char *box)
{
	unsigned n = 0;

	for (size_t e = 0; e < ledger[object].n; e++)
		n += ledger[object].entries[e].state == LEDGER_STAGED &&
		    strcmp(ledger[object].entries[e].mailbox, box) == 0;
	return n;
}

static bool
run_changed(enum change change, unsigned at, unsigned *restaged)
{
	unsigned most[6][3];
	char before[64];
	bool came;

	load();
	how = HIT_KILL;
	calls = 0;
	hit_at = at;
	deferred_due = false;
	live();
	came = calls >= at;
	how = HIT_NOTHING;
	read_mail();
	/* Renamed, and not noted: the one moment after which a second copy is right. */
	for (size_t i = 0; i < 6; i++)
		for (size_t b = 0; b < 3; b++) {
			most[i][b] = expected[i][b] +
			    (got[i][b] > 0 ? staged(i, conf.users[b]) : 0);
			*restaged += staged(i, conf.users[b]);
		}
	change_folder(change, before);
	deferred_due = true;
	for (int again = 0; again < 2; again++) {
		live();
		read_mail();
	}
	for (size_t i = 0; i < 6; i++)
		for (size_t b = 0; b < 3; b++)
			if (got[i][b] < expected[i][b] || got[i][b] > most[i][b])
				fail_msg("change %d at call %u: object %zu is %u times in %s",
				    change, at, i, got[i][b], conf.users[b]);
	clean();
	memcpy(dir, before, 64);
	clean();
	return came;
}

static void
killed_and_started_with_another_folder(void **state)
{
	for (enum change c = CHANGE_FRESH; c <= CHANGE_MOVED; c++) {
		unsigned at = 1, restaged = 0;

		while (run_changed(c, at, &restaged))
			at++;
		assert_true(at > 40 && restaged > 10);
	}
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, courier_setup, courier_teardown)
	const struct CMUnitTest tests[] = {
		TEST(killed_at_every_step),
		TEST(killed_behind_every_note),
		TEST(every_call_fails_once),
		TEST(killed_and_started_with_another_folder),
	};

	log_init("test", LOG_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
