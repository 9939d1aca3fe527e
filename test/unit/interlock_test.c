#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* When a mail server is tried, as whom, and what that does to its clients. */
#include "home/dialer.h"
#include "home/interlock_in.h"
#include "home/passage.h"
#include "kit/backend_play.h"
#include "kit/net_keys.h"
#include "net/tls.h"
#include "proto/proxy_header.h"

static struct tunnel_proc T;
static struct proc proc;
static struct scoreboard board;
static struct conf_home conf;
static struct play_backend B, moved_to;
static struct own_addr own[2];
static struct peer paired;
static const char *trusts;		/* the client that it relays for */
static bool silent;			/* it accepts, and says nothing */
static char said[65536];		/* the last report */
static unsigned reports, ends;		/* ends: times that its clients were cut */

static struct {				/* of a guest of B */
	size_t	 used;			/* of what was heard */
	struct netaddr from;		/* port 0 before the header */
	bool	 proper;
	unsigned rcpts;
} guests[PLAY_GUESTS];

void
passages_end(struct tunnel_proc *t, const struct service *only, const char *why)
{
	assert_non_null(only);
	ends++;
}

bool
dialer_has_address(const struct dialer *d, const struct netaddr *a)
{
	return false;
}

size_t
dialer_addresses(const struct dialer *d, struct netaddr *out, size_t max)
{
	return 0;
}

/* --- a mail server behind PROXY, as it should be ------------------------------------------- */

static void
reply(struct play_guest *g, const char *text)
{
	conn_write(g->conn, text, strlen(text));
}

static void
command(struct play_guest *g, size_t i, struct span line)
{
	char text[200];
	const char *ip = netaddr_ip(&guests[i].from).s;

	if (span_starts_nocase(line, SPAN_LIT("EHLO"))) {
		snprintf(text, sizeof(text), "250-mx.home.test Hello [%s]\r\n"
		    "250-8BITMIME\r\n250 PIPELINING\r\n", netaddr_ip(&guests[i].from).s);
		reply(g, text);
	} else if (span_starts_nocase(line, SPAN_LIT("RCPT"))) {
		guests[i].rcpts++;
		if (span_starts_nocase(line, SPAN_LIT("RCPT TO:<postmaster@example.org>")) ||
		    (trusts != NULL && strcmp(trusts, ip) == 0))
			reply(g, "250 2.1.5 Ok\r\n");
		else
			reply(g, "554 5.7.1 Relay access denied\r\n");
	} else if (span_starts_nocase(line, SPAN_LIT("DATA"))) {
		reply(g, "554 5.5.1 No valid recipients\r\n");
	} else if (span_starts_nocase(line, SPAN_LIT("QUIT"))) {
		reply(g, "221 2.0.0 Bye\r\n");
	} else {
		reply(g, "250 2.0.0 Ok\r\n");
	}
}

static void
hears(struct play_guest *g, struct span in)
{
	size_t i = (size_t)(g - B.guest), used;
	struct span rest = span_of(g->heard + guests[i].used, g->nheard - guests[i].used);
	struct proxy_header h;
	struct why why = { "" };
	const char *lf;

	if (silent)
		return;
	if (guests[i].used == 0) {
		switch (proxy_header_read(rest, &h, &used, &why)) {
		case PROXY_MORE:
			return;
		case PROXY_DONE:
			guests[i].from = h.from;
			guests[i].proper = true;
			guests[i].used += used;
			rest = span_from(rest, used);
			reply(g, "220 mx.home.test ESMTP\r\n");
			break;
		default:
			conn_abort(g->conn);
			return;
		}
	}
	while (rest.n > 0 && (lf = memchr(rest.p, '\n', rest.n)) != NULL) {
		size_t n = (size_t)(lf - rest.p) + 1;

		command(g, i, span_of(rest.p, n));
		guests[i].used += n;
		rest = span_from(rest, n);
	}
}

/* --- home ------------------------------------------------------------------------------------ */

static void
on_change(void *arg)
{
}

static void
on_told(void *arg, const char *service, struct span json)
{
	if (json.n > 0)		/* else it is gone */
		assert_string_equal(service, conf.services[0].name);
	assert_true(span_copy(json, said, sizeof(said)));
	reports++;
}

static int
setup(void **state)
{
	struct conf_home_service *s = &conf.services[0];

	loop_begin();
	memset(&board, 0, sizeof(board));
	memset(&B, 0, sizeof(B));
	memset(guests, 0, sizeof(guests));
	memset(&conf, 0, sizeof(conf));
	trusts = NULL;
	silent = false;
	reports = 0;
	snprintf(conf.common.hostname, sizeof(conf.common.hostname), "home.test");
	proc = (struct proc){ .loop = &loop, .home = &conf, .board = &board };
	T = (struct tunnel_proc){ .proc = &proc, .loop = &loop };
	snprintf(paired.name, sizeof(paired.name), "mx1.example.org");
	snprintf(paired.domains[0], sizeof(paired.domains[0]), "example.org");
	paired.ndomains = 1;
	assert_non_null(edges_paired(&T.intake.edges, &conf, paired.name, &paired));
	assert_true(netaddr_parse_ip(SPAN_LIT("192.168.7.2"), &own[0].addr));
	assert_true(netaddr_parse_ip(SPAN_LIT("127.0.0.1"), &own[1].addr));
	T.own.list = own;
	T.own.n = 2;
	B.hears = hears;
	play_backend_begin(&B);
	snprintf(s->name, sizeof(s->name), "smtp");
	s->backend = B.at;
	s->proxy = CONF_PROXY_V2;
	s->streams = 2;
	conf.nservices = 1;
	T.health = health_new(&T, on_change, NULL);
	T.interlock = interlock_new(&T, on_told, NULL);
	assert_non_null(T.interlock);
	health_configure(T.health, &conf);
	interlock_configure(T.interlock);
	return 0;
}

static int
teardown(void **state)
{
	interlock_free(&T.interlock);
	health_free(&T.health);
	play_backend_end(&B);
	play_backend_hang_up(&B);
	if (moved_to.up) {
		play_backend_end(&moved_to);
		play_backend_hang_up(&moved_to);
	}
	loop_end();
	edges_fini(&T.intake.edges);
	return 0;
}

static struct item *
item(void)
{
	return T.interlock->items[0];
}

static bool
ticked(void)
{
	interlock_tick(T.interlock);
	return item()->run != NULL;
}

/* One run from its beginning to its end. */
static void
run(void)
{
	unsigned before = reports;

	RUN_UNTIL(ticked());
	RUN_UNTIL(item()->run == NULL);
	assert_int_equal(reports, before + 1);
}

static void
ready(void)
{
	T.intake.known = T.own.known = true;
	RUN_UNTIL(item()->service->state == SERVICE_ANSWERS);
}

static void
nothing_is_open_before_it_was_tried(void **state)
{
	RUN_UNTIL(item()->service->state == SERVICE_ANSWERS);
	assert_false(ticked());			/* who must not be trusted is not known yet */
	assert_non_null(interlock_closed(T.interlock, item()->service));
	ready();
	run();
	if (item()->verdict != RELAY_GREEN)
		fail_msg("%s", said);
	assert_null(interlock_closed(T.interlock, item()->service));
	assert_true(service_up(item()->service));
	assert_true(item()->due_ms > uv_now(&loop) + INTERLOCK_HOUR_MS - 10000);
	assert_false(ticked());
}

static void
each_hour_and_after_a_change_it_is_tried_anew(void **state)
{
	ready();
	run();
	item()->due_ms = uv_now(&loop);		/* the hour has come */
	assert_true(ticked());
	assert_null(interlock_closed(T.interlock, item()->service));	/* open meanwhile */
	RUN_UNTIL(item()->run == NULL);
	interlock_configure(T.interlock);	/* a reload that does not touch it */
	assert_null(interlock_closed(T.interlock, item()->service));
	run();
	conf.services[0].proxy = CONF_PROXY_V1;
	health_configure(T.health, &conf);
	interlock_configure(T.interlock);
	assert_non_null(interlock_closed(T.interlock, item()->service));
	ready();
	run();
	assert_null(interlock_closed(T.interlock, item()->service));
	own[0].addr.ip[15] = 9;			/* home has another address now */
	assert_true(ticked());
	assert_non_null(interlock_closed(T.interlock, item()->service));
	RUN_UNTIL(item()->run == NULL);
	assert_null(interlock_closed(T.interlock, item()->service));
}

/* What a run did not try is not cleared by it, and an hourly one does not hide it either. */
static void
an_address_that_turns_up_during_a_run_is_tried_in_the_next(void **state)
{
	ready();
	RUN_UNTIL(ticked());
	interlock_run(T.interlock, 7);		/* the operator asks in its middle */
	item()->run->number = 7;
	own[0].addr.ip[15] = 9;
	RUN_UNTIL(item()->run == NULL);
	assert_non_null(interlock_closed(T.interlock, item()->service));
	assert_int_equal(item()->run_done, 0);
	assert_true(item()->due_ms <= uv_now(&loop));
	run();
	assert_null(interlock_closed(T.interlock, item()->service));
	assert_int_equal(item()->run_done, 7);
	item()->due_ms = uv_now(&loop);
	assert_true(ticked());
	assert_null(interlock_closed(T.interlock, item()->service));
	own[0].addr.ip[15] = 10;
	ends = 0;
	assert_true(ticked());
	assert_non_null(interlock_closed(T.interlock, item()->service));
	RUN_UNTIL(item()->run == NULL);
	assert_non_null(interlock_closed(T.interlock, item()->service));
	run();
	assert_null(interlock_closed(T.interlock, item()->service));
	assert_int_equal(ends, 0);		/* it was well all the time */
}

/* Strangers first, then whoever must not be trusted; loopback never comes from outside. */
static void
few_recipients_a_connection_and_strangers_first(void **state)
{
	size_t first, ours = 0, strangers = 0, rcpts = 0;

	ready();
	first = B.nguests;
	run();
	for (size_t i = first; i < B.nguests; i++) {
		const char *ip = netaddr_ip(&guests[i].from).s;

		assert_in_range(guests[i].rcpts, 0, RELAY_RCPTS_MAX);
		rcpts += guests[i].rcpts;
		if (!guests[i].proper || guests[i].rcpts == 0)
			continue;
		assert_string_not_equal(ip, "127.0.0.1");
		if (strcmp(ip, "192.168.7.2") == 0) {
			ours++;
		} else {
			strangers++;
			if (guests[i].rcpts > 1)	/* not the odd one with a bare LF */
				assert_int_equal(ours, 0);
		}
	}
	assert_true(strangers >= 3 && ours >= 1);
	assert_true(rcpts > 20);
}

/* Whatever the others found: one address that is trusted closes it, and cuts who is there. */
static void
one_address_that_is_trusted_is_enough(void **state)
{
	ready();
	run();
	trusts = "192.168.7.2";
	item()->due_ms = uv_now(&loop);
	run();
	assert_int_equal(item()->verdict, RELAY_TRUSTS);
	assert_non_null(strstr(interlock_closed(T.interlock, item()->service),
	    "trusts the tunnel"));
	assert_non_null(strstr(said, "192.168.7.2"));
	assert_true(item()->due_ms <= uv_now(&loop) + INTERLOCK_AGAIN_MS);
	trusts = NULL;
	item()->due_ms = uv_now(&loop);
	run();
	assert_null(interlock_closed(T.interlock, item()->service));
}

static int
tls_setup(void **state)
{
	setup(state);
	snprintf(conf.services[0].name, sizeof(conf.services[0].name), "game");
	conf.services[0].proxy = CONF_PROXY_NONE;
	B.hears = NULL;
	B.greeting = "not TLS";
	health_configure(T.health, &conf);
	interlock_configure(T.interlock);
	return 0;
}

/* Another server may answer there since, in whose greeting nobody but its clients looks. */
static void
what_is_no_mail_server_is_asked_again_each_hour(void **state)
{
	size_t had;

	ready();
	RUN_UNTIL((interlock_tick(T.interlock), item()->sniffed && item()->report != NULL));
	assert_null(interlock_closed(T.interlock, item()->service));
	had = B.nguests;
	interlock_tick(T.interlock);
	assert_null(item()->sniff);
	item()->sniff_due_ms = uv_now(&loop);	/* the hour has come */
	B.greeting = "220 mx.home.test ESMTP\r\n";
	interlock_tick(T.interlock);
	assert_non_null(item()->sniff);
	assert_null(interlock_closed(T.interlock, item()->service));	/* open meanwhile */
	RUN_UNTIL(item()->sniff == NULL);
	assert_true(B.nguests > had);
	assert_non_null(interlock_closed(T.interlock, item()->service));
	B.greeting = "not TLS";
}

static void
another_configuration_while_it_is_tried(void **state)
{
	ready();
	RUN_UNTIL(ticked());
	interlock_configure(T.interlock);
	RUN_UNTIL(item()->run == NULL);
	assert_null(interlock_closed(T.interlock, item()->service));
	assert_true(ticked());			/* and not in an hour */
	RUN_UNTIL(item()->run == NULL);
	assert_false(ticked());
}

/* What the clock would do, now. */
static void
time_passes(void)
{
	item()->due = instant_now();
	uv_timer_start(&item()->timer, item()->timer.timer_cb, 0, 0);
}

/* A handshake may take long; that it took its time does not lengthen what comes after it. */
static void
silence_in_tls_is_as_short_as_before_it(void **state)
{
	struct net_key key;
	struct why why;
	SSL_CTX *tls;
	struct play_guest *g;

	net_key_make(&key, "P-256");
	assert_non_null(tls = tls_server_new(net_key_span(&key), net_key_span(&key), &why));
	B.greeting = "";
	ready();
	g = &B.guest[B.nguests];
	interlock_tick(T.interlock);
	RUN_UNTIL(g->conn != NULL && item()->sniff->conn != NULL);
	assert_int_equal(conn_tls(g->conn, tls, true, &why), 0);
	time_passes();
	RUN_UNTIL(item()->sniffs == SNIFF_TLS);
	assert_true(item()->due.ns - instant_now().ns <= INTERLOCK_SILENCE_MS * 1000000LL);
	time_passes();
	RUN_UNTIL(g->nheard == strlen("QUIT\r\n\r\n"));
	assert_int_equal(item()->sniffs, SNIFF_ASKED);
	conn_close(g->conn);
	RUN_UNTIL(item()->sniffed);
	assert_null(interlock_closed(T.interlock, item()->service));
	SSL_CTX_free(tls);
}

/* Nothing was said yet: what comes now is the word of a server that is not the service's now. */
static void
asked_and_not_answered(void)
{
	B.greeting = "";
	ready();
	interlock_tick(T.interlock);
	loop_run_ms(50);
	assert_non_null(item()->sniff);
}

static void
answered_too_late(void)
{
	for (size_t i = 0; i < B.nguests; i++)
		if (B.guest[i].conn != NULL)
			reply(&B.guest[i], "not TLS, and no mail server");
	loop_run_ms(50);
	assert_false(item()->sniffed);
	assert_non_null(interlock_closed(T.interlock, item()->service));
}

static void
a_service_that_moves_while_its_server_is_asked(void **state)
{
	asked_and_not_answered();
	play_backend_begin(&moved_to);
	conf.services[0].backend = moved_to.at;
	health_configure(T.health, &conf);
	interlock_configure(T.interlock);
	answered_too_late();
}

static void
a_server_that_goes_away_while_it_is_asked(void **state)
{
	asked_and_not_answered();
	service_unreachable(item()->service, "as the test says");
	answered_too_late();
}

/*
 * It was away, and what came back in its place relays.  Clients from before are still
 * there: nobody else would tell them.
 */
static void
who_came_before_the_server_was_away_is_cut_when_another_is_back(void **state)
{
	struct why why;

	ready();
	run();
	assert_true(service_enter(item()->service, &why));
	ends = 0;
	service_unreachable(item()->service, "as the test says");
	assert_non_null(interlock_closed(T.interlock, item()->service));
	assert_int_equal(ends, 0);
	ready();
	trusts = "192.168.7.2";
	run();
	assert_int_equal(item()->verdict, RELAY_TRUSTS);
	assert_int_equal(ends, 1);
	service_leave(item()->service);
}

/* While it was away the operator wanted to know why; it came back before health looked again. */
static void
what_comes_back_is_tried_at_once(void **state)
{
	struct service *s = item()->service;

	ready();
	play_backend_end(&B);
	play_backend_hang_up(&B);
	service_unreachable(s, "as the test says");
	run();
	assert_int_equal(item()->verdict, RELAY_CANNOT_TELL);
	play_backend_begin(&B);
	service_reached(s);
	assert_true(ticked());
	RUN_UNTIL(item()->run == NULL);
	assert_null(interlock_closed(T.interlock, s));
}

/* Between two looks of health, so that no connection was ever refused. */
static void
what_was_started_again_is_tried_before_anybody_reaches_it(void **state)
{
	struct service *s = item()->service;

	ready();
	run();
	assert_true(service_reached(s));
	play_backend_end(&B);
	play_backend_begin(&B);
	trusts = "192.168.7.2";
	assert_false(service_reached(s));
	assert_non_null(interlock_closed(T.interlock, s));
	assert_int_equal(s->state, SERVICE_ANSWERS);
	run();
	assert_int_equal(item()->verdict, RELAY_TRUSTS);
	/* So it is while it is tried: one half of what that heard is of another server. */
	trusts = NULL;
	item()->due_ms = 0;
	RUN_UNTIL(ticked());
	play_backend_end(&B);
	play_backend_begin(&B);
	assert_false(service_reached(s));
	RUN_UNTIL(item()->run == NULL);
	assert_non_null(interlock_closed(T.interlock, s));
	run();
	assert_null(interlock_closed(T.interlock, s));
	assert_true(service_reached(s));
}

/* A run in which each wait ends by the clock. */
static void
run_in_silence(void)
{
	RUN_UNTIL(ticked());
	for (unsigned i = 0; i < RELAY_VISITS_MAX && item()->run != NULL; i++) {
		size_t had = B.nguests;

		RUN_UNTIL(item()->run == NULL || (item()->run->visit != NULL &&
		    uv_timer_get_due_in(&item()->timer) > 1000));
		if (item()->run != NULL)
			time_passes();
		RUN_UNTIL(item()->run == NULL || B.nguests > had);
	}
	assert_null(item()->run);
}

/* What was not heard; but one that was only busy is not left closed for a minute. */
static void
silence_proves_nothing(void **state)
{
	uint64_t wait = INTERLOCK_SOON_MS;

	ready();
	silent = true;
	for (int i = 0; i < 6; i++) {
		item()->due_ms = 0;
		run_in_silence();
		assert_in_range(item()->due_ms - uv_now(&loop), wait - 1000, wait);
		wait = 2 * wait < INTERLOCK_AGAIN_MS ? 2 * wait : INTERLOCK_AGAIN_MS;
	}
	assert_int_equal(item()->verdict, RELAY_CANNOT_TELL);
	assert_non_null(interlock_closed(T.interlock, item()->service));
	silent = false;
	item()->due_ms = uv_now(&loop);
	run();
	assert_null(interlock_closed(T.interlock, item()->service));
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_open_before_it_was_tried),
		TEST(each_hour_and_after_a_change_it_is_tried_anew),
		TEST(an_address_that_turns_up_during_a_run_is_tried_in_the_next),
		TEST(few_recipients_a_connection_and_strangers_first),
		TEST(one_address_that_is_trusted_is_enough),
		TEST(who_came_before_the_server_was_away_is_cut_when_another_is_back),
		cmocka_unit_test_setup_teardown(what_is_no_mail_server_is_asked_again_each_hour,
		    tls_setup, teardown),
		cmocka_unit_test_setup_teardown(silence_in_tls_is_as_short_as_before_it,
		    tls_setup, teardown),
		cmocka_unit_test_setup_teardown(a_service_that_moves_while_its_server_is_asked,
		    tls_setup, teardown),
		cmocka_unit_test_setup_teardown(a_server_that_goes_away_while_it_is_asked,
		    tls_setup, teardown),
		TEST(what_comes_back_is_tried_at_once),
		TEST(what_was_started_again_is_tried_before_anybody_reaches_it),
		TEST(another_configuration_while_it_is_tried),
		TEST(silence_proves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
