/* Requests and answers through a tunnel, and what one stream does to another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kit/heap.h"
#include "kit/tunnel_ends.h"

static void
many_streams(void **state)
{
	enum { N = 200 };
	static struct stream st[N];
	unsigned i, well = 0;

	memset(st, 0, sizeof(st));
	tunnel.home.serve = serve_put;
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.ready);
	assert_string_equal(tunnel.edge.alpn, "posthouse/1");
	assert_string_equal(tunnel.home.alpn, "posthouse/1");
	for (i = 0; i < N; i++)
		assert_true(stream_put(&st[i], &tunnel.edge, "/mail/x", i * 997));
	assert_int_equal(tunnel.edge.open, N);
	RUN_UNTIL(tunnel.edge.streams_closed == N && tunnel.home.open == 0);
	for (i = 0; i < N; i++) {
		assert_int_equal(st[i].status, 201);
		assert_memory_equal(st[i].text, "kept", 4);
		well += st[i].well && st[i].ended && served[i]->well;
	}
	assert_int_equal(well, N);
	assert_int_equal(tunnel.home.octets, (size_t)997 * N * (N - 1) / 2);
	RUN_UNTIL(h2_rtt_us(tunnel.edge.h2) > 0);
	serve_free();
}

static void
resets_leave_the_session_alive(void **state)
{
	struct stream st;
	unsigned i;

	tunnel.home.serve = serve_put;
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.ready);
	for (i = 0; i < 3000; i++) {
		memset(&st, 0, sizeof(st));
		assert_true(stream_put(&st, &tunnel.edge, "/mail/x", 100000));
		RUN_UNTIL(tunnel.home.requests == i + 1);
		h2_reset(st.s);
		h2_reset(st.s);
		assert_int_equal(st.closed, 0);		/* never from inside */
		RUN_UNTIL(st.closed == 1);
		assert_false(st.well);
	}
	RUN_UNTIL(tunnel.home.open == 0);
	memset(&st, 0, sizeof(st));
	assert_true(stream_put(&st, &tunnel.edge, "/mail/x", 1000));
	RUN_UNTIL(st.closed == 1);
	assert_int_equal(st.status, 201);
	assert_int_equal(tunnel.home.closed + tunnel.edge.closed, 0);
	RUN_UNTIL(tunnel.home.open == 0);
	serve_free();
}

static void
serve_reset(struct h2_end *e, struct h2_stream *s, const struct h2_head *head, bool has_body)
{
	struct stream *st = calloc(1, sizeof(*st));

	served[nserved++] = st;
	stream_own(st, e, s);
	h2_reset(s);
}

static void
a_server_may_reset_in_its_callback(void **state)
{
	static struct stream st[100];
	unsigned i;

	memset(st, 0, sizeof(st));
	tunnel.home.serve = serve_reset;
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.ready);
	for (i = 0; i < 100; i++)
		assert_true(stream_put(&st[i], &tunnel.edge, "/mail/x", 10));
	RUN_UNTIL(tunnel.edge.streams_closed == 100 && tunnel.home.streams_closed == 100);
	for (i = 0; i < 100; i++)
		assert_false(st[i].well || served[i]->well);
	serve_free();
}

static void
serve_refuse(struct h2_end *e, struct h2_stream *s, const struct h2_head *head, bool has_body)
{
	const struct h2_header retry = { "retry-after", SPAN_LIT("7") };
	struct h2_head answer = { .status = 503, .headers = &retry, .nheaders = 1 };
	struct stream *st = calloc(1, sizeof(*st));

	served[nserved++] = st;
	stream_own(st, e, s);
	assert_true(h2_respond(s, &answer, SPAN_LIT("no room"), NULL, NULL));
}

static void
an_early_answer_calls_the_body_off(void **state)
{
	struct stream st = { 0 };

	tunnel.home.serve = serve_refuse;
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.ready);
	assert_true(stream_put(&st, &tunnel.edge, "/mail/x", (size_t)1 << 30));
	RUN_UNTIL(st.closed == 1 && tunnel.home.open == 0);
	assert_int_equal(st.status, 503);
	assert_memory_equal(st.text, "no room", 7);
	assert_true(st.well && st.ended && served[0]->well);
	assert_true(st.sent < (size_t)1 << 28);
	serve_free();
}

/*
 * CONNECT: lines both ways before either side ends, the first in the
 * same flight; then one side half closes.
 */
static void
serve_connect(struct h2_end *e, struct h2_stream *s, const struct h2_head *head, bool has_body)
{
	struct h2_head answer = { .status = 200 };
	struct stream *st = calloc(1, sizeof(*st));

	assert_true(span_eq(head->method, SPAN_LIT("CONNECT")));
	assert_true(span_eq(head->authority, SPAN_LIT("smtp:25")));
	assert_int_equal(head->path.n, 0);
	assert_true(has_body);
	served[nserved++] = st;
	stream_own(st, e, s);
	assert_true(h2_respond(s, &answer, SPAN_LIT(""), stream_pull_text, st));
}

static void
connect_talks_both_ways(void **state)
{
	struct h2_head head = { .method = SPAN_LIT("CONNECT"), .authority = SPAN_LIT("smtp:25") };
	struct stream st = { .end = &tunnel.edge, .out = "PROXY", .out_n = 5 };

	tunnel.home.serve = serve_connect;
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.ready);
	st.s = h2_request(tunnel.edge.h2, &head, stream_pull_text, &st, &stream_ops, &st);
	assert_non_null(st.s);
	tunnel.edge.open++;
	RUN_UNTIL(tunnel.home.octets == 5);
	stream_say(served[0], "220 ready", false);
	RUN_UNTIL(st.got == 9);
	assert_int_equal(st.status, 200);
	stream_say(&st, " EHLO", false);
	RUN_UNTIL(tunnel.home.octets == 10);
	assert_memory_equal(served[0]->text, "PROXY EHLO", 10);
	stream_say(served[0], " 221 bye", true);		/* home's side ends first */
	RUN_UNTIL(st.ended);
	assert_memory_equal(st.text, "220 ready 221 bye", 17);
	assert_int_equal(st.closed, 0);
	stream_say(&st, " QUIT", true);
	RUN_UNTIL(st.closed == 1 && tunnel.home.open == 0);
	assert_true(st.well && served[0]->well);
	assert_int_equal(tunnel.home.octets, 15);
	serve_free();
}

/* What a refused CONNECT was to bring is called off like any other body. */
static void
a_refused_connect_is_done(void **state)
{
	struct h2_head head = { .method = SPAN_LIT("CONNECT"), .authority = SPAN_LIT("smtp:25") };
	struct stream st = { .end = &tunnel.edge, .out = "PROXY", .out_n = 5 };

	tunnel.home.serve = serve_refuse;
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.ready);
	st.s = h2_request(tunnel.edge.h2, &head, stream_pull_text, &st, &stream_ops, &st);
	assert_non_null(st.s);
	tunnel.edge.open++;
	RUN_UNTIL(st.closed == 1 && tunnel.home.open == 0);
	assert_int_equal(st.status, 503);
	assert_true(st.well && served[0]->well);
	serve_free();
}

/* A line that broke must not look like an end, to neither side. */
static void
a_connect_that_one_side_ended_is_not_done(void **state)
{
	struct h2_head head = { .method = SPAN_LIT("CONNECT"), .authority = SPAN_LIT("smtp:25") };
	struct stream st = { .end = &tunnel.edge, .out = "PROXY", .out_n = 5 };

	tunnel.home.serve = serve_connect;
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.ready);
	st.s = h2_request(tunnel.edge.h2, &head, stream_pull_text, &st, &stream_ops, &st);
	assert_non_null(st.s);
	tunnel.edge.open++;
	RUN_UNTIL(tunnel.home.octets == 5);
	stream_say(served[0], "bye", true);
	RUN_UNTIL(st.ended);
	h2_reset(served[0]->s);
	RUN_UNTIL(st.closed == 1 && tunnel.home.open == 0);
	assert_false(st.well || served[0]->well);
	serve_free();
}

static void
streams_leave_nothing_behind(void **state)
{
	struct stream st;
	size_t before = 0, after;
	unsigned i;

	tunnel.home.serve = serve_put;
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.ready);
	if (heap_in_use() == 0)
		skip();
	for (i = 0; i < 3000; i++) {
		memset(&st, 0, sizeof(st));
		assert_true(stream_put(&st, &tunnel.edge, "/mail/x", 10));
		RUN_UNTIL(st.closed == 1 && tunnel.home.open == 0);
		serve_free();
		if (i == 500)
			before = heap_in_use();
	}
	after = heap_in_use();
	assert_true(after < before + 20000);
}

int
main(void)
{
#define NET(f) cmocka_unit_test_setup_teardown(f, tunnel_setup, tunnel_teardown)
	const struct CMUnitTest tests[] = {
		NET(many_streams),
		NET(resets_leave_the_session_alive),
		NET(a_server_may_reset_in_its_callback),
		NET(an_early_answer_calls_the_body_off),
		NET(connect_talks_both_ways),
		NET(a_refused_connect_is_done),
		NET(a_connect_that_one_side_ended_is_not_done),
		NET(streams_leave_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
