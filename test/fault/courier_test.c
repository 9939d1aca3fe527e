/*
 * The courier is killed at every system call and at every note, before and after the
 * ledger took it, and every call is failed once; whatever happens, in the end each
 * message lies in each of its mailboxes exactly once, though a reader takes mail away
 * all the time.
 */
#include <stdio.h>
#include <string.h>
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

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, courier_setup, courier_teardown)
	const struct CMUnitTest tests[] = {
		TEST(killed_at_every_step),
		TEST(killed_behind_every_note),
		TEST(every_call_fails_once),
	};

	log_init("test", LOG_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
