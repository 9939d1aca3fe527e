#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What home does not pass to a backend, and what it tells the edge instead. */
#include "home/passage.h"
#include "kit/ahead.h"
#include "kit/logged.h"
#include "kit/passed_play.h"

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

static void
an_edge_that_asks_for_no_service_for_ever_does_not_fill_the_log(void **state)
{
	const char *text;

	logged_begin();
	for (unsigned i = 0; i < 500; i++)
		refused(pass(i < 499 ? "smtp:25" : "pop3:110", "198.51.101.7", "x", 1), 404, "");
	ahead_ms += LOG_OFTEN_MS;
	loop_turns(1);
	origin_tick(origin);
	origin_tick(origin);
	text = logged_end();
	assert_int_equal(logged_times(text, "passage.refused"), 2);
	assert_non_null(strstr(text, "authority=smtp:25 status=404 times=1:"));
	assert_non_null(strstr(text, "authority=pop3:110 status=404 times=499:"));
	assert_int_equal(board_get(&board, BC_PASSED_REFUSED), 500);
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
#define WITH(fn) cmocka_unit_test_setup_teardown(fn, passed_setup, passed_teardown)
	const struct CMUnitTest tests[] = {
		WITH(a_lying_edge_is_refused),
		WITH(private_clients_pass_where_the_service_says_so),
		WITH(a_bad_header_is_refused),
		WITH(a_header_that_does_not_come_is_not_waited_for),
		WITH(what_is_no_service_is_not_found),
		WITH(an_edge_that_asks_for_no_service_for_ever_does_not_fill_the_log),
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
