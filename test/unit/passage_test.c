#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What is passed through home to a backend, and how it ends. */
#include "home/passage.h"
#include "kit/passed_play.h"

static void
the_backend_hears_who_the_client_is_and_what_he_says(void **state)
{
	static const char *const from[] = { "198.51.101.7", "2a02:8071::1" };

	for (size_t i = 0; i < 2; i++) {
		size_t n = B.nguests;
		struct pass *p = pass("imaps:993", from[i], "hello", 5);
		struct play_guest *g = guest(n);
		struct proxy_header h;

		RUN_UNTIL(heard(g, "hello") && p->status != 0);
		assert_int_equal(p->status, 200);
		assert_string_equal(p->ledger, "5.41");
		assert_int_equal(header_of(g, &h) + 5, g->nheard);
		assert_string_equal(netaddr_ip(&h.from).s, from[i]);
		assert_int_equal(h.from.port, 4711);
		assert_int_equal(h.to.port, 993);
		assert_int_equal(h.family, i == 0 ? PROXY_TCP4 : PROXY_TCP6);
		assert_int_equal(board.service[0].streams, 1);
		conn_write(g->conn, "welcome", 7);
		RUN_UNTIL(p->in.n == 7);
		assert_memory_equal(p->in.p, "welcome", 7);
		/* He says that it was all, and may still be answered. */
		say(p, " bye", true);
		RUN_UNTIL(g->eof && heard(g, "hello bye"));
		RUN_UNTIL(p->closed);
		assert_true(p->ended && p->well);
		RUN_UNTIL(T.passages == NULL);
		assert_int_equal(board.service[0].streams, 0);
		assert_int_equal(tunnel_edge(&T, "mx1.example.org")->streams, 0);
		pass_free(p);
	}
}

static void
a_client_who_brings_a_header_of_his_own_is_cut(void **state)
{
	static const char v2[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"
	    "\x7f\0\0\x01\x7f\0\0\x01\0\x19\0\x19";
	static const struct {
		const char	*octets;
		size_t		 n;
	} own[] = {
		{ "PROXY TCP4 127.0.0.1 127.0.0.1 25 25\r\nEHLO x\r\n", 47 },
		{ "PROXY\tTCP4 127.0.0.1 127.0.0.1 25 25\r\nEHLO x\r\n", 47 },
		{ "\r PROXY TCP4 127.0.0.1 127.0.0.1 25 25\r\nEHLO x\r\n", 49 },
		{ v2, sizeof(v2) - 1 },
	};

	for (size_t i = 0; i < 2 * sizeof(own) / sizeof(own[0]); i++) {
		size_t n = B.nguests, k = i / 2, first = i % 2 == 0 ? own[k].n : 1;
		struct pass *p = pass("imaps:993", "198.51.101.7", own[k].octets, first);
		struct play_guest *g = guest(n);
		struct proxy_header h;

		for (size_t at = first; at < own[k].n && !p->closed; at++) {
			RUN_UNTIL(p->status == 200 || p->closed);
			if (p->s == NULL)
				break;
			assert_true(buf_add(&p->out, own[k].octets + at, 1));
			h2_stream_resume(p->s);
			loop_turns(3);
		}
		RUN_UNTIL(p->closed && g->conn == NULL);
		assert_false(p->well);
		/* Home's, and nothing after it; the reset may have overtaken that. */
		assert_true(g->nheard == 0 || header_of(g, &h) == g->nheard);
		pass_free(p);
	}
}

static void
what_only_begins_like_a_header_is_passed(void **state)
{
	struct pass *p = pass("imaps:993", "198.51.101.7", "PROX", 4);
	struct play_guest *g = guest(B.nguests);
	struct proxy_header h;

	RUN_UNTIL(p->status == 200);
	loop_turns(5);
	assert_int_equal(header_of(g, &h), g->nheard);
	say(p, "IMITY", false);
	RUN_UNTIL(heard(g, "PROXIMITY"));
	pass_free(p);

	p = pass("imaps:993", "198.51.101.7", "\r\n", 2);
	g = guest(B.nguests);
	RUN_UNTIL(p->status == 200);
	say(p, "", true);			/* that was all */
	RUN_UNTIL(heard(g, "\r\n") && g->eof);
	pass_free(p);
}

static void
a_server_that_has_spoken_wants_no_header(void **state)
{
	struct pass *p;
	struct play_guest *g;

	B.greeting = "* OK";
	p = pass("imaps:993", "198.51.101.7", "PROX", 4);
	g = guest(B.nguests);
	RUN_UNTIL(p->in.n == 4);
	RUN_UNTIL(heard(g, "PROX"));
	say(p, "Y TCP4 is what I say", false);
	RUN_UNTIL(heard(g, "PROXY TCP4 is what I say"));
	pass_free(p);
}

static void
the_answer_goes_with_the_first_words_of_the_server(void **state)
{
	struct pass *p = pass("imaps:993", "198.51.101.7", "", 0);
	struct play_guest *g = guest(B.nguests);

	RUN_UNTIL(T.unanswered != NULL && g->conn != NULL);
	assert_int_equal(p->status, 0);
	uv_timer_stop(&T.answers);		/* the server is slow, and nothing hurries home */
	loop_turns(5);
	assert_int_equal(p->status, 0);
	conn_write(g->conn, "welcome", 7);
	RUN_UNTIL(p->status != 0);
	assert_int_equal(p->status, 200);
	assert_int_equal(p->in.n, 7);
	assert_null(T.unanswered);
	say(p, "hello", true);
	RUN_UNTIL(heard(g, "hello") && g->eof && p->closed);
	pass_free(p);
}

static void
the_answer_waits_for_no_server_that_is_silent(void **state)
{
	struct pass *one = pass("imaps:993", "198.51.101.7", "", 0), *two, *gone;

	RUN_UNTIL(T.unanswered != NULL);
	two = pass("imaps:993", "198.51.101.8", "", 0);
	gone = pass("imaps:993", "198.51.101.9", "", 0);
	RUN_UNTIL(T.passages != NULL && B.nguests > 2);
	h2_reset(gone->s);
	RUN_UNTIL(gone->closed && one->status == 200 && two->status == 200);
	assert_null(T.unanswered);
	assert_int_equal(one->in.n + two->in.n, 0);
	/* Who has spoken himself is answered at once. */
	pass_free(gone);
	gone = pass("imaps:993", "198.51.101.9", "hello", 5);
	RUN_UNTIL(T.passages != NULL && gone->status == 200);
	pass_free(gone);
	pass_free(one);
	pass_free(two);
}

static void
the_header_may_come_in_pieces_and_its_version_is_ours(void **state)
{
	struct netaddr a, to;
	struct proxy_header h;
	struct play_guest *g;
	struct buf whole;
	struct pass *p;
	size_t n;

	conf.services[0].proxy = CONF_PROXY_V1;
	health_configure(T.health, &conf);
	RUN_UNTIL(service_up(service) && B.open == 0);
	n = B.nguests;
	p = pass("imaps:993", "", "", 0);
	client("198.51.101.7", &a, &to);
	buf_init(&whole, PROXY_HEADER_MAX);
	proxy_header_write(2, &a, &to, &whole);
	for (size_t i = 0; i < whole.n; i++) {
		buf_add(&p->out, whole.p + i, 1);
		h2_stream_resume(p->s);
		loop_run_ms(1);
		if (i + 1 < whole.n)
			assert_int_equal(B.nguests, n);
	}
	buf_fini(&whole);
	g = guest(n);
	RUN_UNTIL(g->nheard > 0 && p->status == 200);
	header_of(g, &h);
	assert_int_equal(h.version, 1);
	assert_string_equal(netaddr_ip(&h.from).s, "198.51.101.7");
	pass_free(p);
}

static void
much_goes_both_ways(void **state)
{
	char *text = malloc(BIG);
	struct pass *p;
	struct buf header;
	struct netaddr a, to;

	for (size_t i = 0; i < BIG; i++)
		text[i] = (char)(i * 2654435761u >> 13);
	buf_init(&header, PROXY_HEADER_MAX);
	client("198.51.101.7", &a, &to);
	proxy_header_write(2, &a, &to, &header);
	B.echo = true;
	B.skip = header.n;
	p = pass("imaps:993", "198.51.101.7", text, BIG);
	RUN_UNTIL(p->in.n == BIG);
	assert_memory_equal(p->in.p, text, BIG);
	say(p, "", true);
	RUN_UNTIL(p->closed);
	assert_true(p->well);
	pass_free(p);
	buf_fini(&header);
	free(text);
}

/* Said and ended before the backend was even dialled: none of it is lost. */
static void
a_client_may_have_left_before_the_backend_is_there(void **state)
{
	struct pass *p = pass("imaps:993", "198.51.101.7", "a whole question", 16);
	struct play_guest *g;

	p->end = true;
	g = guest(B.nguests);
	RUN_UNTIL(g->eof);
	assert_true(heard(g, "a whole question"));
	RUN_UNTIL(p->closed);
	assert_true(p->well);
	pass_free(p);
}

static void
a_lost_side_takes_the_other_with_it(void **state)
{
	struct pass *p = pass("imaps:993", "198.51.101.7", "x", 1);
	struct play_guest *g = guest(B.nguests);

	RUN_UNTIL(heard(g, "x") && p->status == 200);
	conn_abort(g->conn);
	RUN_UNTIL(p->closed);
	assert_false(p->well);		/* no good end */
	assert_false(p->ended);
	pass_free(p);
	p = pass("imaps:993", "198.51.101.7", "y", 1);
	g = guest(B.nguests);
	RUN_UNTIL(heard(g, "y") && p->status == 200);
	h2_reset(p->s);
	RUN_UNTIL(g->conn == NULL);
	assert_false(g->eof);
	RUN_UNTIL(T.passages == NULL);
	pass_free(p);
}

int
main(void)
{
#define WITH(fn) cmocka_unit_test_setup_teardown(fn, passed_setup, passed_teardown)
	const struct CMUnitTest tests[] = {
		WITH(the_backend_hears_who_the_client_is_and_what_he_says),
		WITH(a_client_who_brings_a_header_of_his_own_is_cut),
		WITH(what_only_begins_like_a_header_is_passed),
		WITH(a_server_that_has_spoken_wants_no_header),
		WITH(the_answer_goes_with_the_first_words_of_the_server),
		WITH(the_answer_waits_for_no_server_that_is_silent),
		WITH(the_header_may_come_in_pieces_and_its_version_is_ours),
		WITH(much_goes_both_ways),
		WITH(a_client_may_have_left_before_the_backend_is_there),
		WITH(a_lost_side_takes_the_other_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
