/* What is held goes home, whatever home, its tunnels and our own disk do meanwhile. */
#include "kit/handover_play.h"

#include <jansson.h>
#include <sqlite3.h>

#include "store/control_answer.h"

static void
oldest_first_and_then_gone(void **state)
{
	hold_many(300, 3000);
	assert_int_equal(rows(), 300);
	R.conf->handover = 1;			/* one after the other, so that their order shows */
	dial(0);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 300);
	assert_int_equal(rows(), 0);
	assert_int_equal(H.nputs, 300);		/* none twice */
	for (unsigned i = 0; i < 300; i++)
		assert_string_equal(H.taken[i], held.id[i]);
	/* and what comes later goes by itself */
	hold(100);
	RUN_UNTIL(held.told == 301);
	handover_work(R.alice->handover);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 301);
	assert_int_equal(H.asked, 0);
}

static void
bounded_and_large_ones_in_half_of_the_places(void **state)
{
	hold_many(30, 300000);
	for (unsigned i = 0; i < 30; i++)
		hold(1000);
	RUN_UNTIL(held.told == 60);
	H.hold = 8;				/* until all places are taken */
	dial(0);
	RUN_UNTIL(H.now == 8);
	loop_run_ms(100);
	assert_int_equal(H.now, 8);
	assert_int_equal(H.large_now, 4);
	H.hold = 0;
	for (struct put *p = H.puts, *next; p != NULL; p = next) {
		next = p->next;
		put_answer(p, 201);
	}
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 60);
	assert_int_equal(H.large_most, 4);
	assert_int_equal(H.most, 8);
	assert_int_equal(H.nputs, 60);
	assert_int_equal(rows(), 0);
}

static unsigned
no_room(const struct put *p)
{
	return 503;
}

static void
home_has_no_room(void **state)
{
	H.judge = no_room;
	H.words = "the disk is full\n";
	hold_many(20, 100);
	dial(0);
	RUN_UNTIL(H.nputs >= 8);
	loop_run_ms(500);
	assert_int_equal(H.nputs, 8);		/* those that were under way, and no more */
	H.judge = take_all;
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 20);	/* a second, not a minute */
	assert_int_equal(rows(), 0);
}

static char refused[2][40];

static unsigned
not_the_first_two(const struct put *p)
{
	return strcmp(p->id, refused[0]) == 0 || strcmp(p->id, refused[1]) == 0 ? 403 : 201;
}

static void
what_home_refuses_does_not_stop_the_others(void **state)
{
	hold_many(100, 100);
	strcpy(refused[0], held.id[0]);
	strcpy(refused[1], held.id[1]);
	H.judge = not_the_first_two;
	dial(0);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 98);
	loop_run_ms(1500);
	assert_int_equal(H.nputs, 100);		/* they wait, and do not go round */
	assert_int_equal(rows(), 2);
	assert_int_equal(board_get(&R.board, BC_HANDOVER_FAILED), 2);
	/* a new tunnel may lead to a home that was mended */
	H.judge = take_all;
	dial(1);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 100);
}

/* The alarm about what home does not take, into out; "" without one. */
static void
alarm_now(char *out, size_t max)
{
	json_t *status = answer_status(R.writer, NULL), *alarm;
	size_t i;

	out[0] = '\0';
	json_array_foreach(json_object_get(status, "alarms"), i, alarm)
		if (strstr(json_string_value(alarm), "does not take") != NULL) {
			assert_string_equal(out, "");
			snprintf(out, max, "%s", json_string_value(alarm));
		}
	json_decref(status);
}

static unsigned declined;

static unsigned
decline(const struct put *p)
{
	return declined;
}

static void
what_home_refuses_before_it_hears_of_a_new_pairing_is_soon_offered_again(void **state)
{
	struct peer peer = R.alice->paired;
	char alarm[600];

	secret_set(&peer.mac[0], (const unsigned char *)"fedcba9876543210fedcba9876543210");
	R.mac = peer.mac[0];
	homes_paired(&R.e.homes, R.conf, "alice", &peer);
	declined = 403;
	H.judge = decline;
	hold_many(2, 100);
	dial(0);
	RUN_UNTIL(board_get(&R.board, BC_HANDOVER_FAILED) == 4);	/* the first are noted */
	alarm_now(alarm, sizeof(alarm));
	assert_string_equal(alarm, "");
	H.judge = take_all;
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 2);	/* seconds, not five minutes */
}

static void
what_home_does_not_take_is_an_alarm(void **state)
{
	static const struct {
		unsigned status;
		const char *said, *advice;
	} cases[] = {
		{ 400, "400: so it says", "is it as new as this edge?" },
		{ 403, "403: so it says", "look at this disk, which may have damaged them" },
		{ 413, "413: so it says", "raise hold.quota there" },
		{ 422, "422 to what was accepted", "is it as new as this edge?" },
		{ 204, "answered 204", "is it as new as this edge?" },
		{ 302, "302: so it says", "is it as new as this edge?" },
		{ 500, "500: so it says", "is it as new as this edge?" },
		{ 999, "999: so it says", "is it as new as this edge?" },
	};
	char alarm[600];

	H.words = "so it says\n";
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t gone = board_get(&R.board, BC_HANDED_OVER);
		unsigned puts = H.nputs;

		declined = cases[i].status;
		H.judge = decline;
		hold_many(2, 100);
		dial(0);
		RUN_UNTIL(H.nputs >= puts + 2);
		RUN_UNTIL((alarm_now(alarm, sizeof(alarm)),
		    strstr(alarm, "home alice does not take 2 objects, ") != NULL));
		assert_int_equal(rows(), 2);
		assert_non_null(strstr(alarm, ": home answered "));
		assert_non_null(strstr(alarm, cases[i].said));
		assert_non_null(strstr(alarm, cases[i].advice));
		hang_up(0);
		H.judge = take_all;		/* mended: a new tunnel takes them */
		dial(0);
		RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == gone + 2);
		alarm_now(alarm, sizeof(alarm));
		assert_string_equal(alarm, "");
		hang_up(0);
	}
}

static unsigned
reset_the_first(const struct put *p)
{
	return strcmp(p->id, refused[0]) == 0 ? 0 : 201;
}

static void
one_that_breaks_off_does_not_stop_the_others(void **state)
{
	hold_many(50, 100);
	strcpy(refused[0], held.id[0]);
	H.judge = reset_the_first;
	R.conf->handover = 1;
	dial(0);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 49);
	assert_true(H.nputs <= 51);
	H.judge = take_all;
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 50);
}

static void
the_tunnel_is_cut(void **state)
{
	hold_many(40, 100);
	for (unsigned i = 0; i < 4; i++)
		hold(300000);
	RUN_UNTIL(held.told == 44);
	H.hold = 8;
	dial(0);
	RUN_UNTIL(H.now == 8);
	hang_up(0);
	RUN_UNTIL(!handover_busy(R.alice->handover));
	assert_int_equal(rows(), 44);
	H.hold = 0;
	H.nputs = 0;
	dial(0);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 44);
	assert_int_equal(H.nputs, 44);
	assert_int_equal(rows(), 0);
}

/* The list does not have it yet, and goes beyond it. */
static void
a_verdict_is_over_while_a_list_is_on_its_way(void **state)
{
	R.conf->handover = 0;
	dial(0);
	held.hidden = true;
	hold_many(1, 100);
	held.hidden = false;
	hold_many(1, 100);
	assert_int_equal(rows(), 1);
	R.conf->handover = 8;
	handover_work(R.alice->handover);
	handover_release(R.alice->handover, 1);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 2);
}

static void
the_writer_is_killed(void **state)
{
	hold_many(40, 100);
	H.hold = 8;
	dial(0);
	RUN_UNTIL(H.now == 8);
	rig_writer_down();
	H.hold = 0;
	for (struct put *p = H.puts, *next; p != NULL; p = next) {
		next = p->next;
		put_answer(p, 201);		/* which nobody can write down */
	}
	loop_run_ms(200);
	rig_writer_up();
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 40);
	assert_int_equal(rows(), 0);
	assert_int_equal(board_get(&R.board, BC_STALE_LEDGER), 0);
}

static bool
stale_alarm(void)
{
	json_t *status = answer_status(R.writer, NULL), *alarm;
	bool found = false;
	size_t i;

	json_array_foreach(json_object_get(status, "alarms"), i, alarm)
		found = found || strstr(json_string_value(alarm),
		    "home alice: its ledger is an older one") != NULL;
	json_decref(status);
	return found;
}

static void
an_older_ledger(void **state)
{
	hold_many(1, 100);
	dial(0);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 1);
	H.counter = 5;				/* an old copy was restored */
	hold_many(10, 100);
	handover_work(R.alice->handover);
	RUN_UNTIL(board_get(&R.board, BC_STALE_LEDGER) >= 1 && !handover_busy(R.alice->handover));
	loop_run_ms(100);
	assert_int_equal(rows(), 10);
	assert_int_equal(board_get(&R.board, BC_HANDED_OVER), 1);
	assert_true(stale_alarm());
	H.counter = 500;			/* what it commits brings it past the other */
	hang_up(0);
	dial(0);
	loop_run_ms(300);
	assert_int_equal(rows(), 10);
	assert_int_equal(board_get(&R.board, BC_HANDED_OVER), 1);
	H.epoch++;				/* restore --accept */
	hang_up(0);
	dial(0);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 11);
	assert_int_equal(rows(), 0);
	assert_false(stale_alarm());
}

/* What says that it has a message and not which ledger has it is believed in neither. */
static void
a_ledger_without_a_name(void **state)
{
	char alarm[600];

	hold_many(1, 100);
	dial(0);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 1);
	H.epoch = 0;
	hold_many(2, 100);
	handover_work(R.alice->handover);
	RUN_UNTIL(board_get(&R.board, BC_HANDOVER_FAILED) == 2 &&
	    !handover_busy(R.alice->handover));
	RUN_UNTIL((alarm_now(alarm, sizeof(alarm)),
	    strstr(alarm, "home alice does not take 2 objects, ") != NULL));
	assert_non_null(strstr(alarm, "home answered 201 without naming its ledger"));
	assert_int_equal(rows(), 2);
	assert_int_equal(board_get(&R.board, BC_HANDED_OVER), 1);
	H.epoch = 77;				/* the one of before is no old copy by that */
	hang_up(0);
	dial(0);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 3);
	assert_int_equal(rows(), 0);
	assert_false(stale_alarm());
}

/* It was put in place by hand, and had mail to deliver: that counts before we see it. */
static void
an_older_ledger_that_has_counted_past_what_was_seen(void **state)
{
	H.counter = 10;
	H.runs = "7.1";
	hold_many(1, 100);
	dial(0);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 1);
	hang_up(0);
	assert_int_equal(H.counter, 11);
	H.runs = "8.12 7.1";		/* home was started again: nothing is wrong with that */
	hold_many(1, 100);
	dial(0);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 2);
	hang_up(0);
	assert_false(stale_alarm());
	H.counter += 100;
	H.runs = "9.12 7.1";		/* a copy, made before that start */
	dial(0);
	RUN_UNTIL(stale_alarm());		/* with nothing to hand over */
	hold_many(10, 100);
	handover_work(R.alice->handover);
	loop_run_ms(300);
	assert_int_equal(rows(), 10);
	assert_int_equal(board_get(&R.board, BC_HANDED_OVER), 2);
	H.epoch++;
	hang_up(0);
	dial(0);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 12);
	assert_int_equal(rows(), 0);
	assert_false(stale_alarm());
}

/*
 * Home has it and we cannot note that: our own trouble is no older ledger, and what
 * home has must not go round whole at the speed of the line.
 */
static void
our_own_disk_fails(void **state)
{
	char file[100];
	sqlite3 *other;

	hold_many(3, 100);
	snprintf(file, sizeof(file), "%s/spool.db", R.dir);
	assert_int_equal(sqlite3_open(file, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	dial(0);
	RUN_UNTIL(H.ntaken >= 3);
	loop_run_ms(3000);
	assert_true(H.nputs <= 30);		/* with pauses, not over and over */
	assert_int_equal(board_get(&R.board, BC_STALE_LEDGER), 0);
	assert_int_equal(board_get(&R.board, BC_HANDED_OVER), 0);
	sqlite3_close(other);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 3);
	assert_int_equal(rows(), 0);
	assert_int_equal(board_get(&R.board, BC_STALE_LEDGER), 0);
}

/* On two tunnels a later answer may come first: that is no older ledger. */
static void
answers_overtake_each_other(void **state)
{
	hold_many(8, 100);
	H.hold = 8;
	dial(0);
	dial(1);
	RUN_UNTIL(H.now == 8);
	H.counter += 50;
	for (struct put *p = H.puts, *next; p != NULL; p = next) {
		next = p->next;
		H.counter -= 2;
		put_answer(p, 201);
		loop_run_ms(20);			/* each mark is lower than the one before */
	}
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 8);
	assert_int_equal(board_get(&R.board, BC_STALE_LEDGER), 0);
}

/* Two homes of one backup, both here: what the second says was not overtaken by the first. */
static void
two_homes_answer_at_one_time(void **state)
{
	struct put *second;

	H.counter = 10;
	H.runs = "7.1";
	hold_many(2, 100);
	H.hold = 2;
	dial(0);
	dial(1);
	RUN_UNTIL(H.now == 2);
	H.counter = 100;
	second = H.puts->next;
	put_answer(H.puts, 201);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 1);
	H.counter = 50;
	H.runs = "8.11 7.1";
	put_answer(second, 201);
	RUN_UNTIL(stale_alarm());
	loop_run_ms(100);
	assert_int_equal(rows(), 1);
	assert_int_equal(board_get(&R.board, BC_HANDED_OVER), 1);
}

/* One tunnel goes away in good order: the other takes everything, at once. */
static void
one_tunnel_leaves(void **state)
{
	dial(0);
	dial(1);
	h2_goaway(H.end[0].h2);
	loop_run_ms(50);
	hold_many(30, 100);
	handover_work(R.alice->handover);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 30);
	assert_int_equal(H.nputs, 30);
}

int
main(void)
{
#define TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, handover_play_setup, handover_play_teardown)
	const struct CMUnitTest tests[] = {
		TEST(oldest_first_and_then_gone),
		TEST(bounded_and_large_ones_in_half_of_the_places),
		TEST(home_has_no_room),
		TEST(what_home_refuses_does_not_stop_the_others),
		TEST(what_home_refuses_before_it_hears_of_a_new_pairing_is_soon_offered_again),
		TEST(what_home_does_not_take_is_an_alarm),
		TEST(one_that_breaks_off_does_not_stop_the_others),
		TEST(the_tunnel_is_cut),
		TEST(a_verdict_is_over_while_a_list_is_on_its_way),
		TEST(the_writer_is_killed),
		TEST(an_older_ledger),
		TEST(a_ledger_without_a_name),
		TEST(an_older_ledger_that_has_counted_past_what_was_seen),
		TEST(our_own_disk_fails),
		TEST(answers_overtake_each_other),
		TEST(two_homes_answer_at_one_time),
		TEST(one_tunnel_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
