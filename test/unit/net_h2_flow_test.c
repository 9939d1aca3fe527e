/* How much is under way in a tunnel at once: enough for a long line, bounded for a stalled one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "kit/tcp_pair.h"
#include "kit/tunnel_ends.h"

static void
a_stalled_stream_stops_no_other(void **state)
{
	static struct stream stalled[3], free_one;
	unsigned i;

	memset(stalled, 0, sizeof(stalled));
	memset(&free_one, 0, sizeof(free_one));
	tunnel.home.serve = serve_put;
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.ready);
	for (i = 0; i < 3; i++)
		assert_true(stream_put(&stalled[i], &tunnel.edge, "/stall", H2_WINDOW_FIRST + 1));
	RUN_UNTIL(tunnel.home.octets == 3 * (size_t)H2_WINDOW_FIRST);	/* and not one octet more */
	assert_true(stream_put(&free_one, &tunnel.edge, "/mail/x", 2 * (size_t)H2_CONN_WINDOW));
	RUN_UNTIL(free_one.closed == 1);
	assert_int_equal(free_one.status, 201);
	for (i = 0; i < 3; i++) {
		assert_int_equal(served[i]->got, H2_WINDOW_FIRST);
		assert_int_equal(stalled[i].closed, 0);
		h2_consumed(served[i]->s, served[i]->got);
		served[i]->stall = false;
	}
	RUN_UNTIL(tunnel.edge.streams_closed == 4);
	for (i = 0; i < 3; i++)
		assert_true(stalled[i].well);
	RUN_UNTIL(tunnel.home.open == 0);
	serve_free();
}

/* Its window has grown; now it is the most that lies with an owner who takes no more. */
static void
a_fast_stream_that_stalls_is_bounded_too(void **state)
{
	struct stream st = { 0 };
	size_t held;

	tunnel.home.serve = serve_put;
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.ready);
	assert_true(stream_put(&st, &tunnel.edge, "/mail/x", 64 * (size_t)H2_WINDOW));
	RUN_UNTIL(tunnel.home.octets > 2 * (size_t)H2_WINDOW);
	served[0]->stall = true;
	loop_run_ms(200);
	held = served[0]->got - served[0]->taken;
	assert_true(held > H2_WINDOW_FIRST && held <= H2_WINDOW);
	h2_consumed(served[0]->s, held);	/* late: the window grows no more */
	served[0]->taken += held;
	loop_run_ms(200);
	assert_true(served[0]->got - served[0]->taken <= held - held / 4);
	h2_reset(st.s);
	RUN_UNTIL(st.closed == 1 && tunnel.home.open == 0);
	serve_free();
}

static void
upload(void **state)
{
	struct stream st = { 0 };
	size_t octets = (size_t)(getenv("NET_BENCH") != NULL ? 2000 : 100) << 20;
	uint64_t from;
	double s;

	tunnel.home.serve = serve_put;
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.ready);
	from = uv_hrtime();
	assert_true(stream_put(&st, &tunnel.edge, "/mail/x", octets));
	RUN_UNTIL(st.closed == 1);
	s = (double)(uv_hrtime() - from) / 1e9;
	print_message("one stream, both ends in one thread: %.2f Gbit/s\n",
	    (double)octets * 8 / s / 1e9);
	assert_int_equal(st.status, 201);
	assert_int_equal(tunnel.home.octets, octets);
	RUN_UNTIL(tunnel.home.open == 0);
	serve_free();
}

#define LINE_MS		50		/* one way */
#define LINE_BUFFER	(64u << 20)

/* One direction of a slow line: what comes in at `from` leaves at `to` LINE_MS later. */
struct way {
	int		 from, to;
	char		*ring;			/* LINE_BUFFER */
	size_t		 in, out;		/* counted from the start of time */
	struct {
		uint64_t due_ms;
		size_t	 upto;
	} mark[65536];
	unsigned	 nmark, mark_at;
};

static void
way_move(struct way *w, uint64_t now)
{
	size_t ready = w->out;
	ssize_t n;

	for (;;) {
		size_t at = w->in % LINE_BUFFER, room = LINE_BUFFER - at;

		if (room > LINE_BUFFER - (w->in - w->out))
			room = LINE_BUFFER - (w->in - w->out);
		if (room == 0 || (n = recv(w->from, w->ring + at, room, MSG_DONTWAIT)) <= 0)
			break;
		w->in += (size_t)n;
		w->mark[w->nmark % 65536].due_ms = now + LINE_MS;
		w->mark[w->nmark++ % 65536].upto = w->in;
	}
	for (; w->mark_at < w->nmark && w->mark[w->mark_at % 65536].due_ms <= now; w->mark_at++)
		ready = w->mark[w->mark_at % 65536].upto;
	while (w->out < ready) {
		size_t at = w->out % LINE_BUFFER, some = LINE_BUFFER - at;

		if (some > ready - w->out)
			some = ready - w->out;
		if ((n = send(w->to, w->ring + at, some, MSG_DONTWAIT | MSG_NOSIGNAL)) <= 0)
			break;
		w->out += (size_t)n;
	}
	if (w->out < ready)		/* the rest at the next tick */
		w->mark[--w->mark_at % 65536].upto = ready;
}

static struct way *ways;
/* The line's own time: a machine that stalls, or is slow at sealing, takes none of it. */
static uint64_t ticks;

static void
on_tick(uv_timer_t *t)
{
	ticks++;
	way_move(&ways[0], ticks);
	way_move(&ways[1], ticks);
}

static void
one_stream_fills_a_long_line(void **state)
{
	struct stream st = { 0 };
	size_t octets = (size_t)48 << 20;
	int near[2] = { tunnel.fds[0], tunnel.fds[1] }, far[2];
	uint64_t from;
	uv_timer_t tick;
	double s;

	tcp_pair(far);
	ways = calloc(2, sizeof(*ways));
	ways[0].ring = malloc(LINE_BUFFER);
	ways[1].ring = malloc(LINE_BUFFER);
	ways[0].from = ways[1].to = near[1];
	ways[1].from = ways[0].to = far[0];
	tunnel.fds[1] = far[1];
	uv_timer_init(&loop, &tick);
	uv_timer_start(&tick, on_tick, 1, 1);
	tunnel.home.serve = serve_put;
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.ready && h2_rtt_us(tunnel.edge.h2) > 0);
	/* A tick is a millisecond of a clock that knows no less: the first may be short. */
	assert_true(h2_rtt_us(tunnel.edge.h2) >= 2 * (LINE_MS - 1) * 1000);
	from = ticks;
	assert_true(stream_put(&st, &tunnel.edge, "/mail/x", octets));
	RUN_UNTIL(st.closed == 1);
	s = (double)(ticks - from) / 1e3;
	print_message("one stream, 100 ms round trip: %.0f Mbit/s\n", (double)octets * 8 / s / 1e6);
	assert_int_equal(st.status, 201);
	assert_true((double)octets * 8 / s > 100e6);
	h2_abort(tunnel.edge.h2, "the test is over");
	h2_abort(tunnel.home.h2, "the test is over");
	RUN_UNTIL(tunnel.home.closed == 1 && tunnel.edge.closed == 1);
	uv_close((uv_handle_t *)&tick, NULL);
	loop_turns(1);
	close(near[1]);
	close(far[0]);
	free(ways[0].ring);
	free(ways[1].ring);
	free(ways);
	serve_free();
}

int
main(void)
{
#define NET(f) cmocka_unit_test_setup_teardown(f, tunnel_setup, tunnel_teardown)
	const struct CMUnitTest tests[] = {
		NET(a_stalled_stream_stops_no_other),
		NET(a_fast_stream_that_stalls_is_bounded_too),
		NET(upload),
		NET(one_stream_fills_a_long_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
