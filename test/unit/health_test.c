#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* What home knows of its backends, and when it hears of a change. */
#include "home/backend.h"
#include "home/dialer.h"
#include "home/health.h"
#include "kit/backend_play.h"
#include "proto/proxy_header.h"

static struct tunnel_proc T;
static struct proc proc;
static struct scoreboard board;
static struct conf_home conf;
static struct play_backend B;
static unsigned changes;

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

static void
on_change(void *arg)
{
	changes++;
}

static int
setup(void **state)
{
	loop_begin();
	memset(&board, 0, sizeof(board));
	memset(&B, 0, sizeof(B));
	proc = (struct proc){ .loop = &loop, .home = &conf, .board = &board };
	T = (struct tunnel_proc){ .proc = &proc, .loop = &loop };
	T.health = health_new(&T, on_change, NULL);
	changes = 0;
	play_backend_begin(&B);
	return 0;
}

static int
teardown(void **state)
{
	health_free(&T.health);
	play_backend_end(&B);
	play_backend_hang_up(&B);
	loop_end();
	return 0;
}

static struct service *
configure(const char *name, enum conf_proxy proxy)
{
	struct conf_home_service *s = &conf.services[0];

	memset(&conf.services, 0, sizeof(conf.services));
	span_copy(span_str(name), s->name, sizeof(s->name));
	s->backend = B.at;
	s->proxy = proxy;
	s->streams = 2;
	conf.nservices = 1;
	health_configure(T.health, &conf);
	return health_find(T.health, span_str(name));
}

static void
a_backend_that_waits_for_its_client_is_up(void **state)
{
	struct service *s = configure("imaps", CONF_PROXY_V2);
	struct proxy_header h;
	struct why why = { "" };
	size_t used;

	assert_non_null(s);
	assert_false(service_up(s));
	assert_false(service_enter(s, &why));		/* nobody knows what it speaks */
	assert_string_equal(why.text, "not yet tested");
	assert_string_equal(board.service[0].why, "not yet tested");
	RUN_UNTIL(service_up(s));
	assert_null(service_closed(s));
	assert_int_equal(board.service[0].up, 1);
	assert_string_equal(board.service[0].name, "imaps");
	assert_string_equal(board.service[0].backend, netaddr_hostport(&B.at).s);
	assert_string_equal(board.service[0].why, "");
	RUN_UNTIL(B.guest[0].eof && B.open == 0);
	/* It was told who came: home itself. */
	assert_int_equal(proxy_header_read(span_of(B.guest[0].heard, B.guest[0].nheard), &h, &used,
	    &why), PROXY_DONE);
	assert_int_equal(used, B.guest[0].nheard);
	assert_string_equal(netaddr_ip(&h.from).s, "127.0.0.1");
}

static void
a_backend_that_speaks_first_is_up_at_once(void **state)
{
	struct service *s;
	uint64_t began;

	B.greeting = "* OK ready\r\n";
	s = configure("imap", CONF_PROXY_V1);
	began = uv_now(&loop);
	RUN_UNTIL(service_up(s));
	assert_true(uv_now(&loop) - began < HEALTH_GREETING_MS);
	assert_false(s->smtp);
}

/* Under whatever name, at whatever port. */
static void
a_backend_that_greets_with_220_is_a_mail_server_and_stays_one(void **state)
{
	struct service *s;
	struct why why;

	B.greeting = "220 mail.example.org ESMTP\r\n";
	s = configure("game", CONF_PROXY_V2);
	assert_false(s->smtp);
	RUN_UNTIL(s->state == SERVICE_ANSWERS);
	assert_true(s->smtp);
	assert_false(service_up(s));
	assert_false(service_enter(s, &why));
	assert_non_null(strstr(why.text, "not yet tested"));
	assert_non_null(strstr(board.service[0].why, "interlock"));
	RUN_UNTIL(B.open == 0);
	assert_non_null(memmem(B.guest[0].heard, B.guest[0].nheard, "QUIT\r\n", 6));
	/* It greets otherwise for once: that proves nothing. */
	B.greeting = "* OK\r\n";
	service_unreachable(s, "as the test says");
	RUN_UNTIL(s->state == SERVICE_ANSWERS);
	assert_true(s->smtp);
	/* Another backend is another matter. */
	s = configure("game", CONF_PROXY_V1);
	assert_false(s->smtp);
	RUN_UNTIL(service_up(s));
}

/* What the configuration refuses of a mail server that it knows, home refuses of any. */
static void
a_mail_server_known_by_its_greeting_sees_no_private_client(void **state)
{
	struct proxy_header h = { .command = PROXY_PROXY, .family = PROXY_TCP4 };
	struct service *s;

	assert_true(netaddr_parse_ip(SPAN_LIT("10.9.8.7"), &h.from));
	T.own.known = true;
	s = configure("game", CONF_PROXY_V2);
	conf.services[0].allow_private = true;
	health_configure(T.health, &conf);
	assert_null(backend_refuses(&T, &s->conf, &h));
	service_greeted(s);
	assert_non_null(backend_refuses(&T, &s->conf, &h));
	health_configure(T.health, &conf);		/* a reload that still says so */
	assert_non_null(backend_refuses(&T, &s->conf, &h));
}

static void
mail_is_known_by_name_and_ports_too(void **state)
{
	struct service *s = configure("submission", CONF_PROXY_V2);

	assert_true(s->smtp);
	s = configure("games", CONF_PROXY_V2);
	assert_false(s->smtp);
	RUN_UNTIL(service_up(s));
	changes = 0;
	service_port(s, 993);
	assert_true(service_up(s));
	assert_int_equal(changes, 0);
	service_port(s, 2525);
	assert_false(service_up(s));
	assert_int_equal(changes, 1);
}

static void
a_backend_that_goes_is_down_and_comes_back_by_itself(void **state)
{
	struct service *s = configure("imaps", CONF_PROXY_V2);
	uint64_t began;

	RUN_UNTIL(service_up(s));
	play_backend_end(&B);
	changes = 0;
	service_unreachable(s, "connect to it: Connection refused");
	assert_int_equal(changes, 1);		/* at once */
	assert_false(service_up(s));
	assert_int_equal(board.service[0].up, 0);
	assert_string_equal(board.service[0].why, "connect to it: Connection refused");
	loop_run_ms(HEALTH_AGAIN_MS + 200);	/* looked at again, and still not there */
	assert_false(service_up(s));
	assert_non_null(strstr(board.service[0].why, "Connection refused"));
	assert_int_equal(changes, 1);		/* nothing new to tell */
	play_backend_begin(&B);
	began = uv_now(&loop);
	RUN_UNTIL(service_up(s));
	assert_true(uv_now(&loop) - began < HEALTH_DOWN_MS + HEALTH_GREETING_MS + 500);
	assert_int_equal(changes, 2);
}

static void
a_backend_that_misunderstands_the_header_is_down_with_words(void **state)
{
	static const struct {
		const char	*says;
		bool		 rude;
		enum conf_proxy	 proxy;
		const char	*words;		/* NULL: up */
	} cases[] = {
		{ "\025\003\003\001\002\002\012", false, CONF_PROXY_V2, "takes the PROXY header" },
		{ "HTTP/1.1 400 Bad Request\r\n", false, CONF_PROXY_V1, "takes the PROXY header" },
		{ "\025\003\003\001\002\002\012", false, CONF_PROXY_NONE, NULL },
		{ NULL, true, CONF_PROXY_V2, "that version of the PROXY header" },
		{ NULL, true, CONF_PROXY_NONE, "closes at once" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char name[] = { 'a', (char)('a' + i), '\0' };
		struct service *s;

		B.greeting = cases[i].says;
		B.rude = cases[i].rude;
		s = configure(name, cases[i].proxy);
		RUN_UNTIL(s->state != SERVICE_UNTESTED);
		assert_int_equal(service_up(s), cases[i].words == NULL);
		if (cases[i].words != NULL)
			assert_non_null(strstr(s->why, cases[i].words));
	}
}

static void
streams_are_counted_and_bounded(void **state)
{
	struct service *s = configure("imaps", CONF_PROXY_V2);
	struct why why = { "" };

	RUN_UNTIL(service_up(s));
	assert_true(service_enter(s, &why));
	assert_true(service_enter(s, &why));
	assert_int_equal(board.service[0].streams, 2);
	assert_false(service_enter(s, &why));
	assert_string_equal(why.text, "its limit of 2 streams is reached");
	service_leave(s);
	assert_int_equal(board.service[0].streams, 1);
	assert_true(service_enter(s, &why));
	/* It leaves the configuration; what is open goes on, and then it is gone. */
	conf.nservices = 0;
	health_configure(T.health, &conf);
	assert_null(health_find(T.health, SPAN_LIT("imaps")));
	assert_string_equal(board.service[0].name, "");
	service_unreachable(s, "nobody asks");
	service_leave(s);
	service_leave(s);
}

static void
a_reload_keeps_what_is_known_of_what_stays(void **state)
{
	struct service *s = configure("imaps", CONF_PROXY_V2), *again;

	RUN_UNTIL(service_up(s));
	conf.services[0].streams = 9;
	conf.services[0].allow_private = true;
	health_configure(T.health, &conf);
	again = health_find(T.health, SPAN_LIT("imaps"));
	assert_ptr_equal(s, again);
	assert_true(service_up(s));
	assert_int_equal(s->conf.streams, 9);
	conf.services[0].proxy = CONF_PROXY_NONE;
	health_configure(T.health, &conf);
	assert_false(service_up(s));
	assert_int_equal(health_count(T.health), 1);
	RUN_UNTIL(service_up(s));
}

int
main(void)
{
#define WITH(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH(a_backend_that_waits_for_its_client_is_up),
		WITH(a_backend_that_speaks_first_is_up_at_once),
		WITH(a_backend_that_greets_with_220_is_a_mail_server_and_stays_one),
		WITH(a_mail_server_known_by_its_greeting_sees_no_private_client),
		WITH(mail_is_known_by_name_and_ports_too),
		WITH(a_backend_that_goes_is_down_and_comes_back_by_itself),
		WITH(a_backend_that_misunderstands_the_header_is_down_with_words),
		WITH(streams_are_counted_and_bounded),
		WITH(a_reload_keeps_what_is_known_of_what_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
