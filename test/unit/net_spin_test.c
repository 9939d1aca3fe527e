/* When a loop looks again instead of sleeping.  The clock stands but where a scene moves it. */
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "kit/loop.h"
#include "net/spin.h"

static int64_t now_us;
static uv_poll_t quiet;		/* says nothing; a loop must wait for something */
static int fd[2];

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	if (id == CLOCK_REALTIME)
		return (int)syscall(SYS_clock_gettime, id, ts);
	*ts = (struct timespec){ now_us / 1000000, now_us % 1000000 * 1000 };
	return 0;
}

static void
on_word(uv_poll_t *poll, int status, int events)
{
	fail_msg("a word of nobody");
}

static int
set_up(void **state)
{
	now_us = 5000000;
	loop_begin();
	spin_begin(&loop);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	uv_poll_init(&loop, &quiet, fd[0]);
	uv_poll_start(&quiet, UV_READABLE, on_word);
	return 0;
}

static int
tear_down(void **state)
{
	uv_close((uv_handle_t *)&quiet, NULL);
	spin_end(&loop);
	loop_end();
	close(fd[0]);
	close(fd[1]);
	return 0;
}

/* So much later a turn of the loop passes octets, or does not; does it look again? */
static bool
looks_again(int64_t after_us, size_t octets)
{
	now_us += after_us;
	if (octets > 0)
		spin_passed(&loop, octets);
	loop_turns(1);
	return uv_backend_timeout(&loop) == 0;
}

/* All that can be saved is, less one look in vain. */
static void
rested(void)
{
	assert_true(looks_again((int64_t)SPIN_SAVED_US * SPIN_TIME, 100));
	assert_false(looks_again(SPIN_US + 1, 0));
}

/* How often it looked in vain, of so many octets that came so far from each other. */
static unsigned
in_vain(unsigned n, int64_t apart_us)
{
	unsigned vain = 0;

	while (n-- > 0) {
		vain += looks_again(apart_us - 2 * SPIN_US, 100);
		assert_false(looks_again(SPIN_US + 1, 0));
		now_us += SPIN_US - 1;
	}
	return vain;
}

static void
quick_answers_are_looked_for(void **state)
{
	bool looks = false;

	for (int i = 0; i < 5; i++)
		looks = looks_again(SPIN_US / 2, 100);
	assert_true(looks);
	assert_true(looks_again(SPIN_US / 2, 0));
	assert_true(looks_again(SPIN_US / 2, 100));
	assert_true(looks_again(SPIN_US, 0));
	/* They came no more. */
	assert_false(looks_again(1, 0));
	assert_false(looks_again(0, 0));
}

static bool
opens(int64_t after_us)
{
	spin_opens(&loop);
	return looks_again(after_us, 100);
}

/* The first answer is waited for longer, by who can pay for it, and no other is. */
static void
a_first_answer_takes_longer(void **state)
{
	rested();
	assert_true(opens(10000));
	assert_true(looks_again(SPIN_OPEN_US, 0));
	assert_false(looks_again(1, 0));
	rested();
	assert_true(opens(10000));
	assert_true(looks_again(SPIN_OPEN_US, 100));
	assert_true(looks_again(SPIN_US, 0));
	assert_false(looks_again(1, 0));
	in_vain(1000, 1000);		/* nothing is saved any more */
	now_us += SPIN_TIME * SPIN_US;
	assert_true(opens(SPIN_TIME * SPIN_US / 4));
	assert_false(looks_again(SPIN_US + 1, 0));
}

static void
distant_homes_cost_little(void **state)
{
	unsigned vain = 0, minute = 60000000 / SPIN_TIME / SPIN_US;

	for (int i = 0; i < 6000; i++) {	/* a minute */
		vain += opens(10000 - 2 * SPIN_OPEN_US);
		assert_false(looks_again(SPIN_OPEN_US + 1, 0));
		now_us += SPIN_OPEN_US - 1;
	}
	assert_in_range(vain, 1, SPIN_SAVED_US / SPIN_US + minute);
}

/* Each session ends in vain, and its client comes again after a while. */
static void
session_after_session_is_quick(void **state)
{
	rested();
	for (int session = 0; session < 100; session++) {
		assert_true(looks_again(2000, 1));
		assert_false(looks_again(SPIN_US + 1, 0));	/* the server's first words */
		for (int i = 0; i < 5; i++) {
			assert_true(looks_again(40, 20));
			assert_true(looks_again(110, 50));
		}
		assert_false(looks_again(SPIN_US + 1, 0));
	}
}

static void
distant_peers_cost_little(void **state)
{
	unsigned saved = SPIN_SAVED_US / SPIN_US, minute = 60000000 / SPIN_TIME / SPIN_US;

	now_us += 3600000000;		/* a quiet hour saves no more */
	assert_in_range(in_vain(60000, 1000), minute / 2, saved + minute);
	assert_in_range(in_vain(60000, 1000), minute / 2, 1 + minute);
}

static void
one_turn_is_one_answer(void **state)
{
	unsigned n = 0;

	in_vain(1000, 1000);		/* nothing is saved any more */
	for (int i = 0; i < 100; i++) {
		now_us += 2 * SPIN_US;
		/* Two frames that came together. */
		spin_passed(&loop, 10);
		n += looks_again(0, 10);
		looks_again(SPIN_US + 1, 0);
	}
	assert_in_range(n, 0, 10);
}

static void
files_need_no_haste(void **state)
{
	rested();
	assert_true(looks_again(50, SPIN_OCTETS));
	looks_again(50, SPIN_OCTETS + 1);
	for (int i = 0; i < 20; i++) {
		now_us += 20;
		spin_passed(&loop, SPIN_OCTETS / 2);
		assert_false(looks_again(0, SPIN_OCTETS / 2 + 1));
	}
	assert_false(looks_again(20, 100));
	assert_true(looks_again(2 * SPIN_OCTETS, 100));
}

/* Who looks again reads it in small pieces. */
static void
nor_do_files_in_pieces(void **state)
{
	rested();
	assert_true(looks_again(100, 3000));
	for (int i = 0; i < 10; i++)
		looks_again(200, 3000);
	for (int i = 0; i < 100; i++)
		assert_false(looks_again(200, 3000));
}

static void
other_loops_sleep(void **state)
{
	uv_loop_t another = { 0 };

	rested();
	for (int i = 0; i < 3; i++) {
		spin_passed(&another, 100);
		assert_false(looks_again(10, 0));
	}
}

static void
nothing_is_kept_alive(void **state)
{
	rested();
	assert_true(looks_again(10, 100));
	uv_poll_stop(&quiet);
	assert_false(uv_loop_alive(&loop));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(quick_answers_are_looked_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_first_answer_takes_longer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(distant_homes_cost_little, set_up, tear_down),
		cmocka_unit_test_setup_teardown(session_after_session_is_quick, set_up, tear_down),
		cmocka_unit_test_setup_teardown(distant_peers_cost_little, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_turn_is_one_answer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(files_need_no_haste, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nor_do_files_in_pieces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(other_loops_sleep, set_up, tear_down),
		cmocka_unit_test_setup_teardown(nothing_is_kept_alive, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
