#include <limits.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "home/dialer.h"
#include "home/health.h"
#include "kit/ahead.h"
#include "kit/logged.h"
#include "kit/loop.h"
#include "kit/net_keys.h"
#include "net/h2.h"
#include "net/tls.h"

/* A dialer against an edge that is there, is not, shows another key, goes, and comes back. */

static struct net_key home_key, other_key, edge_key, strange_key;
static struct scoreboard board;
static struct proc proc;
static struct conf_home conf;
static struct tunnel_proc T;
static struct home_edge *edge;
static struct dialer *dialer;

/* The edge's side: a listener, and the tunnels that came. */
static struct {
	int		 fd;
	uint16_t	 port;
	uv_poll_t	 poll;
	bool		 polled;
	SSL_CTX		*ctx;
	struct h2	*h2[8];
	unsigned	 came, ready, open;
	struct pin	 seen;
	bool		 refuse;	/* it knows no home any more */
	bool		 mute;		/* it takes connections and says nothing */
	int		 muted[8];
	unsigned	 nmuted;
} E;

static bool
on_pin(void *arg, const struct pin *pin, const char *alpn)
{
	E.seen = *pin;
	return !E.refuse;
}

static void
on_ready(void *arg)
{
	E.ready++;
}

static void
on_closed(void *arg, const struct why *why)
{
	*(struct h2 **)arg = NULL;
	E.open--;
}

static const struct h2_ops edge_ops = { .ready = on_ready, .closed = on_closed };

static void
on_accept(uv_poll_t *p, int status, int events)
{
	int fd = accept4(E.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct why why = { "" };

	if (fd == -1)
		return;
	if (E.mute) {
		assert_in_range(E.nmuted, 0, 7);
		E.muted[E.nmuted++] = fd;
		return;
	}
	for (size_t i = 0; i < 8; i++)
		if (E.h2[i] == NULL) {
			E.h2[i] = h2_new(&loop, fd, E.ctx, true, true, &edge_ops, &E.h2[i], &why);
			assert_non_null(E.h2[i]);
			E.came++;
			E.open++;
			return;
		}
	fail_msg("more tunnels than ought to be");
}

static void
edge_up(const struct net_key *key)
{
	static const char *const alpn[] = { "posthouse/1", "posthouse-pair/1", NULL };
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(E.port) };
	socklen_t n = sizeof(sin);
	struct why why = { "" };
	int one = 1;

	E.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(E.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(E.fd, (struct sockaddr *)&sin, n), 0);
	assert_int_equal(listen(E.fd, 8), 0);
	assert_int_equal(getsockname(E.fd, (struct sockaddr *)&sin, &n), 0);
	E.port = ntohs(sin.sin_port);
	E.ctx = tls_tunnel_new(net_key_span(key), true, alpn, on_pin, NULL, &why);
	assert_non_null(E.ctx);
	uv_poll_init(&loop, &E.poll, E.fd);
	uv_poll_start(&E.poll, UV_READABLE, on_accept);
	E.polled = true;
}

static void
on_poll_closed(uv_handle_t *h)
{
	E.polled = false;
}

static void
edge_down(void)
{
	if (!E.polled)
		return;
	uv_close((uv_handle_t *)&E.poll, on_poll_closed);
	RUN_UNTIL(!E.polled);
	close(E.fd);
	for (size_t i = 0; i < 8; i++)
		if (E.h2[i] != NULL)
			h2_abort(E.h2[i], "the edge goes");
	RUN_UNTIL(E.open == 0);
	SSL_CTX_free(E.ctx);
}

static struct board_peer *
row(void)
{
	return &board.peer[0];
}

static void
learn(const char *address)
{
	struct peer p = { .name = "mx1.example.org", .home = "alice", .npins = 1 };
	struct why why = { "" };

	if (address != NULL)
		snprintf(p.address, sizeof(p.address), "%s", address);
	else
		snprintf(p.address, sizeof(p.address), "127.0.0.1:%u", E.port);
	assert_int_equal(tls_pem_pin(net_key_span(&edge_key), &p.pins[0], &why), 0);
	edge = edges_paired(&T.intake.edges, &conf, p.name, &p);
	assert_non_null(edge);
}

static int
setup(void **state)
{
	loop_begin();
	memset(&board, 0, sizeof(board));
	memset(&E, 0, sizeof(E));
	conf.connections = 2;
	proc = (struct proc){ .loop = &loop, .home = &conf, .board = &board };
	T = (struct tunnel_proc){
		.proc = &proc, .loop = &loop, .mark = { .epoch = 5, .counter = 41 },
		.intake.known = true
	};
	T.resolver = resolver_new();
	buf_init(&T.pem, 8192);
	buf_add_span(&T.pem, net_key_span(&home_key));
	return 0;
}

static int
teardown(void **state)
{
	if (dialer != NULL)
		dialer_free(&dialer, "the test is over");
	edge_down();
	loop_end();
	resolver_free(&T.resolver);
	buf_fini(&T.pem);
	edges_fini(&T.intake.edges);
	return 0;
}

static void
start(void)
{
	struct why why = { "" };

	dialer = dialer_new(&T, edge, &why);
	assert_non_null(dialer);
}

static void
all_tunnels_come_up(void **state)
{
	struct why why = { "" };
	struct pin mine;

	edge_up(&edge_key);
	learn(NULL);
	start();
	RUN_UNTIL(row()->connections == 2 && E.ready == 2);
	assert_string_equal(row()->name, "mx1.example.org");
	assert_string_equal(row()->error, "");
	assert_int_equal(tls_pem_pin(net_key_span(&home_key), &mine, &why), 0);
	assert_true(pin_eq(&mine, &E.seen));
}

static void
a_tunnel_that_ends_is_dialled_again(void **state)
{
	struct instant before;

	edge_up(&edge_key);
	learn(NULL);
	start();
	RUN_UNTIL(row()->connections == 2 && E.ready == 2);
	before = instant_now();
	h2_abort(E.h2[0], "cut");
	RUN_UNTIL(E.ready == 3 && row()->connections == 2);
	assert_true(instant_ms_since(before, instant_now()) >=
	    200); /* not at once: half of 0.5 s at least */
}

/* However long it was away: nobody but the pause says that it is back. */
static void
pauses_double_up_to_ten_seconds_and_for_a_refusal_to_a_minute(void **state)
{
	static const struct {
		unsigned	 failures;
		bool		 turned_away;
		uint64_t	 most;
	} cases[] = {
		{ 0, false, 500 }, { 1, false, 1000 }, { 4, false, 8000 }, { 5, false, 10000 },
		{ 6, false, 10000 }, { UINT_MAX, false, 10000 },
		{ 0, true, 500 }, { 5, true, 16000 }, { 7, true, 60000 }, { UINT_MAX, true, 60000 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (uint32_t rnd = 0; rnd < 100000; rnd += 99) {
			uint64_t most = cases[i].most, pause = dialer_pause(cases[i].failures,
			    cases[i].turned_away, rnd);

			assert_in_range(pause, most / 2 + 1, most);
		}
	assert_int_equal(dialer_pause(0, false, 0), 500);
}

static void
an_edge_that_is_away_is_found_when_it_is_back(void **state)
{
	edge_up(&edge_key);
	learn(NULL);
	edge_down();
	start();
	RUN_UNTIL(row()->error[0] != '\0');
	assert_non_null(strstr(row()->error, "does not answer"));
	assert_int_equal(row()->alarm, 0);
	assert_int_equal(row()->connections, 0);
	edge_up(&edge_key);
	RUN_UNTIL(row()->connections == 2);
	assert_string_equal(row()->error, "");
}

static void
the_network_wakes_those_that_pause(void **state)
{
	struct instant before;

	edge_up(&edge_key);
	learn(NULL);
	edge_down();
	start();
	before = instant_now();
	/* Four failures: the next pause would be 4 s at least. */
	RUN_UNTIL(instant_ms_since(before, instant_now()) > 4500);
	edge_up(&edge_key);
	before = instant_now();
	dialer_wake(dialer);
	RUN_UNTIL(row()->connections == 2);
	assert_true(instant_ms_since(before, instant_now()) < 3000);
}

static void
another_key_is_no_edge_of_ours(void **state)
{
	edge_up(&strange_key);
	learn(NULL);
	start();
	RUN_UNTIL(row()->error[0] != '\0');
	assert_non_null(strstr(row()->error, "shows another key than the paired one"));
	assert_non_null(strstr(row()->error, "; it shows sha256:"));
	assert_int_equal(row()->alarm, 1);
	assert_int_equal(row()->connections, 0);
	assert_int_equal(E.ready, 0);
}

static void
an_edge_that_does_not_know_us_says_so(void **state)
{
	edge_up(&edge_key);
	E.refuse = true;
	learn(NULL);
	start();
	RUN_UNTIL(row()->error[0] != '\0');
	assert_non_null(strstr(row()->error, "does it still know this home"));
	E.refuse = false;
	RUN_UNTIL(row()->connections == 2);
}

/* Nobody ended that handshake: it is as if the edge were away, and no alarm about keys. */
static void
an_edge_that_says_nothing_is_one_that_is_away(void **state)
{
	edge_up(&edge_key);
	E.mute = true;
	learn(NULL);
	start();
	RUN_UNTIL(row()->error[0] != '\0');
	assert_non_null(strstr(row()->error, "did not finish the handshake in time"));
	assert_null(strstr(row()->error, "pair again"));
	assert_int_equal(row()->alarm, 0);
	while (E.nmuted > 0)
		close(E.muted[--E.nmuted]);
	E.mute = false;
	E.refuse = true;
	RUN_UNTIL(strstr(row()->error, "does it still know this home") != NULL);
	assert_int_equal(row()->alarm, 1);
	E.refuse = false;
	RUN_UNTIL(row()->connections == 2);
}

static void
a_name_that_does_not_resolve_says_so(void **state)
{
	E.port = 1;
	learn("edge.invalid:7443");		/* no resolver is attached: it fails at once */
	start();
	RUN_UNTIL(row()->error[0] != '\0');
	assert_non_null(strstr(row()->error, "edge.invalid"));
}

static void
a_changed_address_a_lost_pin_and_fewer_connections_take_effect(void **state)
{
	struct why why = { "" };
	struct peer p;

	edge_up(&edge_key);
	learn("127.0.0.1:1");
	start();
	RUN_UNTIL(row()->error[0] != '\0');
	learn(NULL);
	assert_int_equal(dialer_configure(dialer, false, &why), 0);
	RUN_UNTIL(row()->connections == 2);
	conf.connections = 1;
	assert_int_equal(dialer_configure(dialer, false, &why), 0);
	RUN_UNTIL(row()->connections == 1 && E.open == 1);
	p = edge->paired;
	memset(p.pins[0].b, 1, PIN_LEN);
	edges_paired(&T.intake.edges, &conf, p.name, &p);
	assert_int_equal(dialer_configure(dialer, false, &why), 0);
	RUN_UNTIL(row()->connections == 0 && strstr(row()->error, "another key") != NULL);
}

static void
a_new_key_of_ours_is_shown_by_new_tunnels(void **state)
{
	struct why why = { "" };
	struct pin now;

	edge_up(&edge_key);
	learn(NULL);
	start();
	RUN_UNTIL(row()->connections == 2 && E.ready == 2);
	buf_clear(&T.pem);
	buf_add_span(&T.pem, net_key_span(&other_key));
	assert_int_equal(dialer_configure(dialer, true, &why), 0);
	RUN_UNTIL(E.ready == 4 && row()->connections == 2);
	assert_int_equal(tls_pem_pin(net_key_span(&other_key), &now, &why), 0);
	assert_true(pin_eq(&now, &E.seen));
}

static void
on_service(void *arg)
{
}

static ssize_t
pull_nothing(void *arg, void *out, size_t max, bool *eof)
{
	return 0;
}

static void
on_passed_closed(void *arg, const struct why *why)
{
	*(struct h2_stream **)arg = NULL;
}

/* A passed connection may take days. */
static void
a_new_key_waits_for_nothing_that_is_passed(void **state)
{
	static const struct h2_stream_ops ops = { .closed = on_passed_closed };
	const struct h2_head head = { .method = SPAN_LIT("CONNECT"), .authority = SPAN_LIT("a:1") };
	struct h2_stream *passed[2];
	struct why why = { "" };

	conf.nservices = 1;
	memcpy(conf.services[0].name, "a", 2);
	T.health = health_new(&T, on_service, NULL);
	health_configure(T.health, &conf);
	health_at(T.health, 0)->listened = true;
	edge_up(&edge_key);
	learn(NULL);
	start();
	RUN_UNTIL(row()->connections == 2 && E.ready == 2);
	for (size_t i = 0; i < 2; i++) {
		passed[i] = h2_request(E.h2[i], &head, pull_nothing, NULL, &ops, &passed[i]);
		assert_non_null(passed[i]);
	}
	RUN_UNTIL(T.passages != NULL);
	loop_run_ms(20);
	buf_clear(&T.pem);
	buf_add_span(&T.pem, net_key_span(&other_key));
	assert_int_equal(dialer_configure(dialer, true, &why), 0);
	RUN_UNTIL(E.ready == 4 && row()->connections == 2);
	assert_int_equal(E.open, 4);
	assert_true(passed[0] != NULL && passed[1] != NULL);
	h2_reset(passed[0]);
	RUN_UNTIL(E.open == 3);
	assert_int_equal(row()->connections, 2);
	/* One that stays is cut when its edge is given up. */
	dialer_free(&dialer, "unpaired");
	RUN_UNTIL(E.open == 0 && passed[1] == NULL);
	health_free(&T.health);
	conf.nservices = 0;
}

/* Once a second, on each of them. */
static void
what_hangs_or_is_counted_on_a_tunnel_is_looked_at_by_the_tick(void **state)
{
	static const struct h2_stream_ops ops = { .closed = on_passed_closed };
	const struct h2_head head = { .method = SPAN_LIT("CONNECT"), .authority = SPAN_LIT("a") };
	struct h2_stream *s[2][2];
	const char *text;

	edge_up(&edge_key);
	learn(NULL);
	start();
	RUN_UNTIL(row()->connections == 2 && E.ready == 2);
	log_init("test", LOG_INFO);
	logged_begin();
	for (size_t i = 0; i < 4; i++) {
		s[i / 2][i % 2] = h2_request(E.h2[i / 2], &head, pull_nothing, NULL, &ops,
		    &s[i / 2][i % 2]);
		RUN_UNTIL(s[i / 2][i % 2] == NULL);
	}
	dialer_tick(dialer);
	ahead_ms += LOG_OFTEN_MS;
	loop_turns(1);
	dialer_tick(dialer);
	text = logged_end();
	log_init("test", LOG_ERROR + 1);
	assert_int_equal(logged_times(text, "status=404 times=1:"), 4);
}

static void
draining_ends_all(void **state)
{
	edge_up(&edge_key);
	learn(NULL);
	start();
	RUN_UNTIL(row()->connections == 2 && E.ready == 2);
	T.draining = true;
	dialer_drain(dialer);
	RUN_UNTIL(!dialer_busy(dialer));
	RUN_UNTIL(E.open == 0);
	assert_int_equal(E.came, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_tunnels_come_up),
		TEST(a_tunnel_that_ends_is_dialled_again),
		TEST(pauses_double_up_to_ten_seconds_and_for_a_refusal_to_a_minute),
		TEST(an_edge_that_is_away_is_found_when_it_is_back),
		TEST(the_network_wakes_those_that_pause),
		TEST(another_key_is_no_edge_of_ours),
		TEST(an_edge_that_does_not_know_us_says_so),
		TEST(an_edge_that_says_nothing_is_one_that_is_away),
		TEST(a_name_that_does_not_resolve_says_so),
		TEST(a_changed_address_a_lost_pin_and_fewer_connections_take_effect),
		TEST(a_new_key_of_ours_is_shown_by_new_tunnels),
		TEST(a_new_key_waits_for_nothing_that_is_passed),
		TEST(what_hangs_or_is_counted_on_a_tunnel_is_looked_at_by_the_tick),
		TEST(draining_ends_all),
	};

	net_key_make(&home_key, "ED25519");
	net_key_make(&other_key, "ED25519");
	net_key_make(&edge_key, "ED25519");
	net_key_make(&strange_key, "ED25519");
	log_init("test", LOG_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
