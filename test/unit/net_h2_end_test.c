/* How a tunnel ends, and what becomes of its streams. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "kit/tunnel_ends.h"

static void
goaway_lets_the_last_stream_finish(void **state)
{
	struct stream a = { 0 }, b = { 0 };

	tunnel.home.serve = serve_put;
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.ready);
	assert_true(stream_put(&a, &tunnel.edge, "/stall", H2_WINDOW_FIRST + 1));
	RUN_UNTIL(tunnel.home.octets == H2_WINDOW_FIRST);
	h2_goaway(tunnel.home.h2);
	h2_goaway(tunnel.home.h2);
	/* Refused, once the word is there. */
	RUN_UNTIL(!stream_put(&b, &tunnel.edge, "/mail/x", 1) || b.closed == 1);
	assert_int_equal(a.closed + tunnel.home.closed, 0);
	h2_consumed(served[0]->s, H2_WINDOW_FIRST);
	served[0]->stall = false;
	RUN_UNTIL(tunnel.home.closed == 1 && tunnel.edge.closed == 1);
	assert_true(a.well);
	assert_int_equal(a.status, 201);
	assert_string_equal(tunnel.home.why, "");
	serve_free();
}

static void
abort_closes_streams_first(void **state)
{
	static struct stream st[10];
	unsigned i;

	memset(st, 0, sizeof(st));
	tunnel.home.serve = serve_put;
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.ready);
	for (i = 0; i < 10; i++)
		assert_true(stream_put(&st[i], &tunnel.edge, "/stall", H2_WINDOW_FIRST));
	RUN_UNTIL(tunnel.home.requests == 10);
	h2_abort(tunnel.edge.h2, "enough");
	assert_int_equal(tunnel.edge.closed, 0);		/* never from inside */
	RUN_UNTIL(tunnel.edge.closed == 1 && tunnel.home.closed == 1);
	assert_non_null(strstr(tunnel.edge.why, "enough"));
	assert_true(tunnel.home.why[0] != '\0');
	assert_int_equal(tunnel.edge.streams_closed, 10);
	assert_int_equal(tunnel.home.streams_closed, 10);
	serve_free();
}

/* A peer that falls silent without a word: its machine lost power, or the line. */
static void
silence_is_found(void **state)
{
	struct stream st = { 0 };
	uint64_t from;
	int keep;

	tunnel.home.serve = serve_put;
	tunnel_start(100);
	RUN_UNTIL(tunnel.edge.ready && tunnel.home.ready);
	assert_true(stream_put(&st, &tunnel.edge, "/stall", H2_WINDOW_FIRST + 1));
	RUN_UNTIL(tunnel.home.octets == H2_WINDOW_FIRST);
	/* A while in which pings alone keep it up. */
	from = uv_hrtime();
	RUN_UNTIL(uv_hrtime() - from > 700000000u);
	assert_int_equal(tunnel.edge.closed + tunnel.home.closed, 0);
	/*
	 * Home's end of the line is put to silence: nobody reads or writes it
	 * any more, but it stays open.
	 */
	keep = dup(tunnel.fds[0]);
	assert_true(keep >= 0);
	h2_abort(tunnel.home.h2, "stands for lost power");
	{
		int sink[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sink), 0);
		/* What home closes is not the line. */
		assert_true(dup2(sink[0], tunnel.fds[0]) >= 0);
		close(sink[0]);
		RUN_UNTIL(tunnel.home.closed == 1);
		from = uv_hrtime();
		RUN_UNTIL(tunnel.edge.closed == 1);
		close(sink[1]);
	}
	assert_true(uv_hrtime() - from < 1000000000u);
	assert_non_null(strstr(tunnel.edge.why, "does not answer"));
	assert_int_equal(st.closed, 1);
	close(keep);
	serve_free();
}

int
main(void)
{
#define NET(f) cmocka_unit_test_setup_teardown(f, tunnel_setup, tunnel_teardown)
	const struct CMUnitTest tests[] = {
		NET(goaway_lets_the_last_stream_finish),
		NET(abort_closes_streams_first),
		NET(silence_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
