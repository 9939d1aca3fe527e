/*
 * On the way into a mail server the courier is killed at every note, before and after the
 * ledger took it, every note is refused once, and the server fails once at every command in
 * each of its ways.  In the end each recipient's server has each message: once, or once more
 * where its end was uncertain and the ledger said so.
 */
#include <string.h>

#include "kit/mail_server.h"

#define OBJECTS	4

static void
load(void)
{
	hold("<alice@example.org>", BODY, FLAWLESS, false);
	hold("<alice@example.org> <bob@example.org>", BODY, FLAWLESS, true);
	hold("<carol@example.org>", BODY, FLAWLESS, false);
	hold("<bob@example.org>", BODY, FLAW_TRUNCATED, false);
}

static const unsigned expected[OBJECTS][3] = { { 1 }, { 1, 1 }, { 0, 0, 1 }, { 0 } };

static void
check(const char *what, unsigned hit_, unsigned at)
{
	for (size_t i = 0; i < OBJECTS; i++) {
		unsigned more = 0;

		for (size_t b = 0; b < 3; b++) {
			if (server.kept[i][b] < expected[i][b])
				fail_msg("%s %u at %u: object %zu is not with %s", what, hit_, at,
				    i, conf.users[b]);
			more += server.kept[i][b] - expected[i][b];
		}
		if (more > ledger[i].unsure)
			fail_msg("%s %u at %u: object %zu came %u times too often, and %u were "
			    "uncertain", what, hit_, at, i, more, ledger[i].unsure);
		for (size_t e = 0; e < ledger[i].n; e++)
			if (ledger[i].entries[e].state != LEDGER_DELIVERED &&
			    ledger[i].entries[e].state != LEDGER_PARKED)
				fail_msg("%s %u at %u: object %zu ends in state %d", what, hit_,
				    at, i, ledger[i].entries[e].state);
	}
}

/* One life that is hit, then as many as it takes.  Whether the hit came. */
static bool
run(enum hit h, enum fault f, unsigned at)
{
	bool came;

	load();
	how = h;
	calls = 0;
	hit_at = h != HIT_NOTHING ? at : 0;
	server.fault = f;
	server.at = f != FAULT_NONE ? at : 0;
	deferred_due = false;
	live();
	came = h != HIT_NOTHING ? calls >= at : server.step >= at;
	how = HIT_NOTHING;
	server.at = 0;
	deferred_due = true;
	live();
	live();
	check(h != HIT_NOTHING ? "hit" : "fault", h != HIT_NOTHING ? h : f, at);
	clean();
	mail_server_again();
	return came;
}

static void
sweep(enum hit h, enum fault f, unsigned least)
{
	for (int lmtp = 0; lmtp < 2; lmtp++) {
		unsigned at = 1;

		mail_server_begin(lmtp != 0);
		while (run(h, f, at))
			at++;
		mail_server_end();
		assert_true(at > least);	/* it did reach the calls */
	}
}

static void
killed_at_every_note(void **state)
{
	sweep(HIT_KILL, FAULT_NONE, 6);
}

static void
killed_behind_every_note(void **state)
{
	sweep(HIT_KILL_AFTER, FAULT_NONE, 6);
}

static void
every_note_is_refused_once(void **state)
{
	sweep(HIT_FAIL, FAULT_NONE, 6);
}

static void
the_server_fails_at_every_command(void **state)
{
	for (enum fault f = FAULT_CUT; f <= FAULT_NONSENSE; f++)
		sweep(HIT_NOTHING, f, 12);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, courier_setup, courier_teardown)
	const struct CMUnitTest tests[] = {
		TEST(killed_at_every_note),
		TEST(killed_behind_every_note),
		TEST(every_note_is_refused_once),
		TEST(the_server_fails_at_every_command),
	};

	log_init("test", LOG_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
