#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* An edge passes a connection through a real tunnel to a backend, and lies about it. */
#include "home/health.h"
#include "home/passage.h"
#include "kit/ahead.h"
#include "kit/backend_play.h"
#include "kit/origin_play.h"
#include "proto/proxy_header.h"

#define BIG	(3u << 20)

static struct play_backend B;
static struct service *service;

static int
setup(void **state)
{
	struct conf_home_service *s = &conf.services[0];

	origin_setup(state);
	passages_init(&T);
	T.own.known = true;
	memset(&B, 0, sizeof(B));
	B.greeting = "* OK, for a check that waits for nothing\r\n";
	play_backend_begin(&B);
	memset(conf.services, 0, sizeof(conf.services));
	span_copy(SPAN_LIT("imaps"), s->name, sizeof(s->name));
	s->backend = B.at;
	s->streams = 40;
	conf.nservices = 1;
	conf.edge_streams = 50;
	health_configure(T.health, &conf);
	service = health_find(T.health, SPAN_LIT("imaps"));
	RUN_UNTIL(service_up(service) && B.open == 0);
	B.greeting = NULL;
	return 0;
}

static int
teardown(void **state)
{
	passages_end(&T, NULL, "the test is over");
	play_backend_end(&B);
	play_backend_hang_up(&B);
	RUN_UNTIL(T.passages == NULL);
	assert_null(T.unanswered);
	uv_close((uv_handle_t *)&T.answers, NULL);
	origin_teardown(state);
	own_addrs_fini(&T.own);
	return 0;
}

/* --- one passed connection, as its edge sees it ------------------------------------------- */

struct pass {
	struct h2_stream *s;
	struct buf	 out;		/* to be said; the header first */
	size_t		 sent;
	bool		 end;		/* and then no more */
	unsigned	 status;
	char		 ledger[64];
	struct buf	 in;
	bool		 ended, closed, well;
};

static void
on_head(void *arg, const struct h2_head *head)
{
	struct pass *p = arg;

	p->status = head->status;
	span_copy(h2_header_get(head, "posthouse-ledger"), p->ledger, sizeof(p->ledger));
}

static void
on_data(void *arg, struct span s)
{
	struct pass *p = arg;

	assert_true(buf_add_span(&p->in, s));
	h2_consumed(p->s, s.n);
}

static void
on_end(void *arg)
{
	struct pass *p = arg;

	p->ended = true;
}

static void
on_closed(void *arg, const struct why *why)
{
	struct pass *p = arg;

	p->closed = true;
	p->well = why == NULL;
	p->s = NULL;
}

static const struct h2_stream_ops pass_ops = {
	.head = on_head, .data = on_data, .end = on_end, .closed = on_closed,
};

static ssize_t
pull(void *arg, void *out, size_t max, bool *eof)
{
	struct pass *p = arg;
	size_t n = p->out.n - p->sent < max ? p->out.n - p->sent : max;

	if (n > 0)
		memcpy(out, p->out.p + p->sent, n);
	p->sent += n;
	*eof = p->end && p->sent == p->out.n;
	return (ssize_t)n;
}

static void
client(const char *from, struct netaddr *a, struct netaddr *to)
{
	assert_true(netaddr_parse_ip(span_str(from), a));
	a->port = 4711;
	assert_true(netaddr_parse_ip(a->v6 ? SPAN_LIT("2a02:8071::25") : SPAN_LIT("198.51.101.25"),
	    to));
	to->port = 993;
}

/* In one flight: CONNECT, the header for that client ("" none), the first octets. */
static struct pass *
pass(const char *authority, const char *from, const char *first, size_t n)
{
	struct pass *p = calloc(1, sizeof(*p));
	struct h2_head head = { .method = SPAN_LIT("CONNECT"), .authority = span_str(authority) };
	struct netaddr a, to;

	buf_init(&p->out, BIG + PROXY_HEADER_MAX);
	buf_init(&p->in, 2 * BIG);
	if (from[0] != '\0') {
		client(from, &a, &to);
		assert_true(proxy_header_write(2, &a, &to, &p->out));
	}
	assert_true(buf_add(&p->out, first, n));
	p->s = h2_request(edge_h2, &head, pull, p, &pass_ops, p);
	assert_non_null(p->s);
	return p;
}

static void
say(struct pass *p, const char *text, bool end)
{
	buf_add_str(&p->out, text);
	p->end = end;
	h2_stream_resume(p->s);
}

static void
pass_free(struct pass *p)
{
	if (!p->closed && p->s != NULL)
		h2_reset(p->s);
	RUN_UNTIL(p->closed);
	buf_fini(&p->out);
	buf_fini(&p->in);
	free(p);
}

/* The guest that came after n others, and what stood in front of what it heard. */
static struct play_guest *
guest(size_t n)
{
	RUN_UNTIL(B.nguests > n);
	return &B.guest[n];
}

static size_t
header_of(const struct play_guest *g, struct proxy_header *h)
{
	struct why why = { "" };
	size_t used = 0;

	assert_int_equal(proxy_header_read(span_of(g->heard, g->nheard), h, &used, &why),
	    PROXY_DONE);
	return used;
}

static bool
heard(const struct play_guest *g, const char *text)
{
	size_t n = strlen(text);

	return g->nheard >= n && memcmp(g->heard + g->nheard - n, text, n) == 0;
}

/* --- what is passed ----------------------------------------------------------------------- */

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

/* --- what is not -------------------------------------------------------------------------- */

static void
refused(struct pass *p, unsigned status, const char *words)
{
	unsigned guests = (unsigned)B.nguests;

	RUN_UNTIL(p->closed);
	assert_int_equal(p->status, status);
	buf_add(&p->in, "", 1);
	if (strstr(p->in.p, words) == NULL)
		fail_msg("%u says \"%s\", not \"%s\"", status, p->in.p, words);
	loop_turns(3);
	assert_int_equal(B.nguests, guests);
	assert_null(T.passages);
	assert_int_equal(board.service[0].streams, 0);
	pass_free(p);
}

static void
a_lying_edge_is_refused(void **state)
{
	static const struct {
		const char	*from, *words;
	} lies[] = {
		{ "127.0.0.1", "global" }, { "10.1.2.3", "private" }, { "192.168.1.1", "private" },
		{ "172.17.0.1", "private" }, { "192.0.2.1", "global" }, { "2001:db8::1", "global" },
		{ "::1", "global" }, { "fe80::1", "global" }, { "0.0.0.0", "global" },
		{ "81.2.3.4", "of this machine" },
	};
	struct own_addr *own = calloc(1, sizeof(*own));	/* freed with T.own */
	struct netaddr to;

	client("81.2.3.4", &own->addr, &to);
	own->net = own->addr;
	own->net.port = 0;
	own->bits = 32;
	T.own = (struct own_addrs){ own, 1, true };
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		refused(pass("imaps:993", lies[i].from, "GET", 3), 403, lies[i].words);
	assert_int_equal(board_get(&board, BC_PASSED_REFUSED), 10);
	refused(pass("imaps:993", "", "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0hello", 21), 403, "LOCAL");
	refused(pass("imaps:993", "", "PROXY UNKNOWN\r\nhello", 20), 403, "names no client");
}

static void
private_clients_pass_where_the_service_says_so(void **state)
{
	struct pass *p;
	struct play_guest *g;

	conf.services[0].allow_private = true;
	health_configure(T.health, &conf);
	p = pass("imaps:993", "10.1.2.3", "x", 1);
	g = guest(B.nguests);
	RUN_UNTIL(heard(g, "x") && p->status == 200);
	pass_free(p);
	RUN_UNTIL(T.passages == NULL);
	refused(pass("imaps:993", "127.0.0.1", "x", 1), 403, "global");
}

static void
a_bad_header_is_refused(void **state)
{
	static const char *const bad[] = {
		"EHLO me\r\n", "PROXY TCP4 1.2.3.4\r\n", "\r\n\r\n\0\r\nQUIX", "\x16\x03\x01",
		"PROXY TCP4 256.1.1.1 1.2.3.4 1 2\r\n",
	};
	struct pass *p;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(pass("imaps:993", "", bad[i], i == 2 ? 12 : strlen(bad[i])), 400, "");
	p = pass("imaps:993", "", "PROXY ", 6);
	p->end = true;
	refused(p, 400, "ended before");
}

static void
a_header_that_does_not_come_is_not_waited_for(void **state)
{
	struct pass *p = pass("imaps:993", "", "PROXY ", 6);

	RUN_UNTIL(T.passages != NULL);
	loop_run_ms(20);
	passages_tick(&T);
	assert_false(p->closed);
	ahead_ms += PASSAGE_HEADER_MS + 1;
	loop_turns(1);
	passages_tick(&T);
	refused(p, 400, "no PROXY header came");
}

static void
what_is_no_service_is_not_found(void **state)
{
	static const char *const names[] = {
		"smtp:25", "imaps", "imaps:", "imaps:0", "imaps:65536", ":993", "IMAPS:993",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		refused(pass(names[i], "198.51.101.7", "x", 1), 404, "no such service");
}

/* Nobody has entered it by then, so that nothing keeps it. */
static void
a_service_may_leave_while_a_header_is_waited_for(void **state)
{
	static const char rest[] = "TCP4 198.51.101.7 198.51.101.25 4711 993\r\nx";
	struct pass *gone, *back;

	gone = pass("imaps:993", "", "PROXY ", 6);
	RUN_UNTIL(T.passages != NULL);
	conf.nservices = 0;
	health_configure(T.health, &conf);
	loop_turns(5);
	say(gone, rest, false);
	refused(gone, 404, "no such service");
	conf.nservices = 1;
	health_configure(T.health, &conf);
	RUN_UNTIL(service_up(health_at(T.health, 0)));
	/* Another of its name is as good. */
	back = pass("imaps:993", "", "PROXY ", 6);
	RUN_UNTIL(T.passages != NULL);
	conf.nservices = 0;
	health_configure(T.health, &conf);
	conf.nservices = 1;
	health_configure(T.health, &conf);
	RUN_UNTIL(service_up(health_at(T.health, 0)));
	say(back, rest, false);
	RUN_UNTIL(back->status == 200);
	pass_free(back);
}

static void
limits_hold(void **state)
{
	struct pass *a, *b;
	struct play_guest *g;

	conf.services[0].streams = 1;
	health_configure(T.health, &conf);
	a = pass("imaps:993", "198.51.101.7", "x", 1);
	g = guest(B.nguests);
	RUN_UNTIL(heard(g, "x") && a->status == 200);
	b = pass("imaps:993", "198.51.101.7", "x", 1);
	RUN_UNTIL(b->closed);
	assert_int_equal(b->status, 503);
	assert_non_null(memmem(b->in.p, b->in.n, "its limit of 1 ", 15));
	pass_free(b);
	conf.services[0].streams = 9;
	conf.edge_streams = 1;
	health_configure(T.health, &conf);
	b = pass("imaps:993", "198.51.101.7", "x", 1);
	RUN_UNTIL(b->closed);
	assert_int_equal(b->status, 503);
	assert_non_null(memmem(b->in.p, b->in.n, "the edge's limit of 1 ", 22));
	pass_free(b);
	pass_free(a);
	RUN_UNTIL(T.passages == NULL);
}

/* --- the backend's state ------------------------------------------------------------------ */

static void
a_backend_that_went_is_a_502_and_edges_hear_of_it_at_once(void **state)
{
	struct ask poll = { .body = NULL };
	struct h2_header h[] = { { "if-none-match", { poll.etag, 0 } },
		{ "prefer", SPAN_LIT("wait=60") } };
	struct pass *p;

	ask(&poll, "GET", "/policy", NULL, 0);
	RUN_UNTIL(poll.closed);
	assert_non_null(memmem(poll.answer, poll.nanswer, "\"services\"", 10));
	assert_non_null(memmem(poll.answer, poll.nanswer, "true", 4));
	h[0].value.n = strlen(poll.etag);
	poll.closed = false;
	poll.nanswer = 0;
	ask(&poll, "GET", "/policy", h, 2);
	loop_run_ms(50);
	assert_false(poll.closed);
	play_backend_end(&B);
	p = pass("imaps:993", "198.51.101.7", "x", 1);
	RUN_UNTIL(p->closed);
	assert_int_equal(p->status, 502);
	RUN_UNTIL(poll.closed);
	assert_int_equal(poll.status, 200);
	assert_non_null(memmem(poll.answer, poll.nanswer, "\"up\":false", 10));
	assert_string_not_equal(board.service[0].why, "");
	pass_free(p);
	/* Back again, it is tried at once whatever the last check said. */
	play_backend_begin(&B);
	p = pass("imaps:993", "198.51.101.7", "x", 1);
	RUN_UNTIL(p->status == 200);
	assert_true(service_up(service));
	pass_free(p);
}

static void
a_service_that_is_not_tested_yet_is_closed(void **state)
{
	struct pass *p;

	conf.services[0].proxy = CONF_PROXY_NONE;
	health_configure(T.health, &conf);
	assert_false(service_up(service));
	p = pass("imaps:993", "198.51.101.7", "x", 1);
	RUN_UNTIL(p->closed);
	assert_int_equal(p->status, 503);
	assert_memory_equal(p->in.p, "not yet tested", p->in.n);
	pass_free(p);
	RUN_UNTIL(service_up(service));
	T.draining = true;
	refused(pass("imaps:993", "198.51.101.7", "x", 1), 503, "stopping");
	T.draining = false;
}

/* Its checks heard nothing, and so did we; to this client it says what it is. */
static void
a_mail_server_that_greets_late_is_cut_before_its_first_word(void **state)
{
	struct pass *p = pass("imaps:993", "198.51.101.7", "x", 1);
	struct play_guest *g = guest(B.nguests);

	RUN_UNTIL(heard(g, "x") && p->status == 200);
	conn_write(g->conn, "2", 1);
	RUN_UNTIL(p->in.n == 1);
	conn_write(g->conn, "20 relay.example.org ESMTP\r\n", 28);
	RUN_UNTIL(p->closed);
	assert_false(p->well);
	assert_int_equal(p->in.n, 1);
	assert_true(service->smtp);
	assert_false(service_up(service));
	pass_free(p);
	RUN_UNTIL(T.passages == NULL && g->conn == NULL);
	refused(pass("imaps:993", "198.51.101.7", "x", 1), 503, "not yet tested by the interlock");
}

/* As when the interlock finds a mail server wrong. */
static void
a_service_that_is_cut_takes_no_other_with_it(void **state)
{
	struct pass *web, *p = pass("imaps:993", "198.51.101.7", "x", 1);
	struct play_guest *g;

	RUN_UNTIL(p->status == 200);
	conf.services[1] = conf.services[0];
	snprintf(conf.services[1].name, sizeof(conf.services[1].name), "web");
	conf.nservices = 2;
	health_configure(T.health, &conf);
	RUN_UNTIL(service_up(health_at(T.health, 1)));
	web = pass("web:443", "198.51.101.8", "y", 1);
	RUN_UNTIL(web->status == 200);
	g = guest(B.nguests - 1);
	RUN_UNTIL(heard(g, "y"));
	passages_end(&T, service, "it was found wrong");
	RUN_UNTIL(p->closed);
	assert_false(p->well);
	say(web, "z", false);
	RUN_UNTIL(heard(g, "z"));
	assert_false(web->closed);
	pass_free(p);
	pass_free(web);
}

static void
a_port_of_mail_makes_a_mail_server(void **state)
{
	refused(pass("imaps:587", "198.51.101.7", "x", 1), 503, "not yet tested by the interlock");
	refused(pass("imaps:993", "198.51.101.7", "x", 1), 503, "not yet tested by the interlock");
}

int
main(void)
{
#define WITH(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
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
		WITH(a_lying_edge_is_refused),
		WITH(private_clients_pass_where_the_service_says_so),
		WITH(a_bad_header_is_refused),
		WITH(a_header_that_does_not_come_is_not_waited_for),
		WITH(what_is_no_service_is_not_found),
		WITH(a_service_may_leave_while_a_header_is_waited_for),
		WITH(limits_hold),
		WITH(a_backend_that_went_is_a_502_and_edges_hear_of_it_at_once),
		WITH(a_service_that_is_not_tested_yet_is_closed),
		WITH(a_mail_server_that_greets_late_is_cut_before_its_first_word),
		WITH(a_service_that_is_cut_takes_no_other_with_it),
		WITH(a_port_of_mail_makes_a_mail_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
