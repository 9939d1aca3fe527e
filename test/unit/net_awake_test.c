/* Our own sleep is not the peers' silence: the clocks go ahead between two turns of the loop. */
#include <sys/socket.h>
#include <unistd.h>

#include "kit/ahead.h"
#include "kit/loop.h"
#include "kit/tunnel_ends.h"
#include "net/awake.h"

#define NIGHT_MS (8LL * 3600 * 1000)

static struct {
	uv_timer_t	 timer;
	uv_poll_t	 poll;
	struct instant	 due;
	int		 fd[2];
	bool		 heard;
	unsigned	 judged;
} peer;

static int
set_up(void **state)
{
	loop_begin();
	awake_begin(&loop);
	peer.heard = false;
	peer.judged = 0;
	uv_timer_init(&loop, &peer.timer);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, peer.fd), 0);
	uv_poll_init(&loop, &peer.poll, peer.fd[0]);
	return 0;
}

static int
tear_down(void **state)
{
	uv_close((uv_handle_t *)&peer.timer, NULL);
	uv_close((uv_handle_t *)&peer.poll, NULL);
	awake_end(&loop);
	loop_end();
	close(peer.fd[0]);
	close(peer.fd[1]);
	return 0;
}

static void
on_word(uv_poll_t *poll, int status, int events)
{
	char c;

	assert_int_equal(read(peer.fd[0], &c, 1), 1);
	peer.heard = true;
}

static void
on_silence(uv_timer_t *timer)
{
	if (awake_over(timer, on_silence, peer.due))
		peer.judged++;
}

static void
sleep_is_no_time(void **state)
{
	uv_loop_t another = { 0 };
	struct instant before = awake_now(&loop), all = instant_now();

	/* A loop without a timer sleeps at will. */
	awake_timer(&peer.timer, on_silence, 60000, &peer.due);
	loop_turns(3);
	for (int i = 0; i < 4; i++) {
		ahead_ms += NIGHT_MS;
		/* Before the loop has noticed, and when it has. */
		assert_true(instant_ms_since(before, awake_now(&loop)) < NIGHT_MS);
		assert_true(awake_late(&loop));
		loop_turns(2);
		assert_false(awake_late(&loop));
	}
	assert_true(instant_ms_since(before, awake_now(&loop)) < NIGHT_MS);
	assert_true(instant_ms_since(all, awake_now(&another)) >= 4 * NIGHT_MS);
	assert_false(awake_late(&another));
}

static void
what_is_lived_counts(void **state)
{
	struct instant before = awake_now(&loop), after = before;

	awake_timer(&peer.timer, on_silence, 300, &peer.due);
	RUN_UNTIL(peer.judged == 1);
	after = awake_now(&loop);
	assert_true(instant_ms_since(before, after) >= 299);
	loop_turns(3);
	assert_int_equal(peer.judged, 1);
}

static void
who_spoke_meanwhile_is_heard_first(void **state)
{
	uv_poll_start(&peer.poll, UV_READABLE, on_word);
	awake_timer(&peer.timer, on_silence, 5000, &peer.due);
	loop_turns(2);
	assert_int_equal(write(peer.fd[1], "x", 1), 1);
	ahead_ms += NIGHT_MS;
	loop_turns(1);
	assert_true(peer.heard);
	assert_int_equal(peer.judged, 0);
}

static void
who_is_silent_is_judged_in_the_end(void **state)
{
	awake_timer(&peer.timer, on_silence, 300, &peer.due);
	loop_turns(2);
	ahead_ms += NIGHT_MS;
	loop_turns(1);
	assert_int_equal(peer.judged, 0);
	RUN_UNTIL(peer.judged == 1);
}

static void
on_toil(uv_poll_t *poll, int status, int events)
{
	ahead_ms += 4 * AWAKE_TURN_MS;		/* and it is there again in the next turn */
}

/* Nobody keeps others from being judged by giving us too much to do. */
static void
who_toils_all_the_time_judges_too(void **state)
{
	uv_poll_start(&peer.poll, UV_READABLE, on_toil);
	assert_int_equal(write(peer.fd[1], "x", 1), 1);
	awake_timer(&peer.timer, on_silence, 10 * AWAKE_TURN_MS, &peer.due);
	loop_turns(1);
	assert_int_equal(peer.judged, 0);
	loop_turns(30);
	assert_int_equal(peer.judged, 1);
}

/* The PING is on its way when we fall asleep, and answered when we wake up. */
static void
a_tunnel_outlives_the_night(void **state)
{
	awake_begin(&loop);
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.ready && tunnel.home.ready);
	loop_run_ms(50);
	h2_doubt(tunnel.edge.h2, 0);
	assert_true(h2_doubted(tunnel.edge.h2));
	loop_turns(1);
	ahead_ms += NIGHT_MS;
	loop_turns(5);
	assert_int_equal(tunnel.edge.closed + tunnel.home.closed, 0);
	RUN_UNTIL(!h2_doubted(tunnel.edge.h2));
	assert_int_equal(tunnel.edge.closed + tunnel.home.closed, 0);
	h2_abort(tunnel.edge.h2, "over");
	RUN_UNTIL(tunnel.edge.closed + tunnel.home.closed == 2);
	awake_end(&loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sleep_is_no_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_lived_counts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_spoke_meanwhile_is_heard_first, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(who_is_silent_is_judged_in_the_end, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(who_toils_all_the_time_judges_too, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(a_tunnel_outlives_the_night, tunnel_setup,
		    tunnel_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
