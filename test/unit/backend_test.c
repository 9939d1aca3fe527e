#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* Whom home shows to a backend, and what the backend then reads first. */
#include "home/backend.h"
#include "home/dialer.h"
#include "kit/loop.h"

static struct tunnel_proc T;
static struct own_addr own_list[] = {
	{ .bits = 24 }, { .bits = 64 }, { .bits = 22 }, { .bits = 0 },
};

/* The only edge there is. */
bool
dialer_has_address(const struct dialer *d, const struct netaddr *a)
{
	struct netaddr edge;

	assert_true(netaddr_parse_ip(SPAN_LIT("203.0.114.5"), &edge));
	return netaddr_same_ip(a, &edge);
}

static struct netaddr
ip(const char *text)
{
	struct netaddr a;

	assert_true(netaddr_parse_ip(span_str(text), &a));
	return a;
}

static int
setup(void **state)
{
	static const char *const have[] = {
		"192.168.7.2", "2a01:4f8:1:2::10", "81.2.3.4", "10.8.0.1",
	};

	loop_begin();
	for (size_t i = 0; i < sizeof(have) / sizeof(have[0]); i++) {
		struct own_addr *o = &own_list[i];

		o->addr = ip(have[i]);
		o->net = netaddr_network(&o->addr, o->bits, o->bits);
	}
	T = (struct tunnel_proc){ .loop = &loop, .own = { own_list, 4, true } };
	T.dialers[3] = (struct dialer *)&T;	/* only asked about by the function above */
	return 0;
}

static int
teardown(void **state)
{
	loop_end();
	return 0;
}

static const struct {
	const char	*client;
	const char	*strict, *lax;		/* a word of the refusal; NULL: taken */
} clients[] = {
	{ "198.51.101.7", NULL, NULL },
	{ "2a02:8071::1", NULL, NULL },
	/* our own, whatever the service allows */
	{ "192.168.7.2", "of this machine", "of this machine" },
	{ "2a01:4f8:1:2::10", "of this machine", "of this machine" },
	{ "81.2.3.4", "of this machine", "of this machine" },
	{ "10.8.0.1", "of this machine", "of this machine" },
	{ "203.0.114.5", "edge's", "edge's" },
	/* our networks: a neighbour is trusted by many a mynetworks */
	{ "2a01:4f8:1:2:dead:beef::1", "network of this machine", NULL },
	{ "2a01:4f8:1:3::1", NULL, NULL },
	{ "81.2.0.77", "network of this machine", NULL },
	{ "81.2.4.1", NULL, NULL },
	{ "192.168.7.3", "private", NULL },
	{ "10.1.2.3", "private", NULL },
	{ "172.16.0.1", "private", NULL },
	{ "172.17.0.1", "private", NULL },
	{ "100.64.0.9", "private", NULL },
	{ "fd12::1", "private", NULL },
	/* nobody's */
	{ "127.0.0.1", "global", "global" },
	{ "127.9.9.9", "global", "global" },
	{ "::1", "global", "global" },
	{ "::", "global", "global" },
	{ "0.0.0.0", "global", "global" },
	{ "fe80::1", "global", "global" },
	{ "169.254.1.1", "global", "global" },
	{ "224.0.0.1", "global", "global" },
	{ "255.255.255.255", "global", "global" },
	{ "192.0.2.1", "global", "global" },
	{ "198.51.100.1", "global", "global" },
	{ "203.0.113.1", "global", "global" },
	{ "2001:db8::1", "global", "global" },
	{ "::ffff:127.0.0.1", "global", "global" },
	{ "::ffff:192.168.7.2", "of this machine", "of this machine" },
};

static void
a_client_is_whom_no_server_would_trust(void **state)
{
	struct conf_home_service s = { .name = "imaps" };

	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++)
		for (int lax = 0; lax < 2; lax++) {
			struct proxy_header h = { 2, PROXY_PROXY, PROXY_TCP4,
				ip(clients[i].client), ip("192.0.2.25") };
			const char *want = lax ? clients[i].lax : clients[i].strict, *got;

			s.allow_private = lax;
			h.family = h.from.v6 ? PROXY_TCP6 : PROXY_TCP4;
			got = backend_refuses(&T, &s, &h);
			if ((want == NULL) != (got == NULL) ||
			    (want != NULL && strstr(got, want) == NULL))
				fail_msg("%s (%s): %s, not %s", clients[i].client,
				    lax ? "allow_private" : "strict", got != NULL ? got : "taken",
				    want != NULL ? want : "taken");
		}
}

static void
who_is_not_named_is_nobody(void **state)
{
	struct conf_home_service s = { .name = "imaps", .allow_private = true };
	struct proxy_header good = { 2, PROXY_PROXY, PROXY_TCP4, ip("198.51.101.7"), ip("::") }, h;

	assert_null(backend_refuses(&T, &s, &good));
	h = good;
	h.command = PROXY_LOCAL;
	assert_non_null(strstr(backend_refuses(&T, &s, &h), "LOCAL"));
	h = good;
	h.family = PROXY_UNKNOWN;
	assert_non_null(strstr(backend_refuses(&T, &s, &h), "names no client"));
	h.family = PROXY_UNIX;
	assert_non_null(strstr(backend_refuses(&T, &s, &h), "names no client"));
	T.own.known = false;		/* in doubt nobody passes */
	assert_non_null(strstr(backend_refuses(&T, &s, &good), "not known"));
}

/* --- opening ------------------------------------------------------------------------------ */

static struct opened {
	struct conn	*conn;
	unsigned	 done, closed;
	char		 why[512];
} got;

static void
on_opened(void *arg, struct conn *c, const struct why *why)
{
	assert_ptr_equal(arg, &got);
	got.done++;
	got.conn = c;
	if (c == NULL)
		memcpy(got.why, why->text, sizeof(got.why));
}

static size_t
on_read(void *arg, struct span s)
{
	return s.n;
}

static void
on_closed(void *arg, const struct why *why)
{
	got.closed++;
	got.conn = NULL;
}

static const struct conn_ops ops = { .read = on_read, .closed = on_closed };

/* A server on loopback of the family; its listening descriptor, and where it is. */
static int
server(int family, struct netaddr *at)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_storage ss;
	struct netaddr a = ip(family == AF_INET ? "127.0.0.1" : "::1");
	socklen_t n = netaddr_to_sockaddr(&a, &ss);

	assert_int_equal(bind(fd, (struct sockaddr *)&ss, n), 0);
	assert_int_equal(listen(fd, 5), 0);
	n = sizeof(ss);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &n), 0);
	assert_true(netaddr_from_sockaddr((struct sockaddr *)&ss, at));
	return fd;
}

/* What the backend reads first, up to where the connection was ended again. */
static size_t
heard(int listener, char *out, size_t max)
{
	int fd = accept(listener, NULL, NULL);
	size_t n = 0;
	ssize_t r;

	assert_true(fd != -1);
	RUN_UNTIL(got.done == 1);
	assert_non_null(got.conn);
	conn_close(got.conn);
	RUN_UNTIL(got.closed == 1);
	while ((r = read(fd, out + n, max - n)) > 0)
		n += (size_t)r;
	close(fd);
	return n;
}

static void
the_backend_hears_of_the_client_first(void **state)
{
	struct proxy_header said = { 2, PROXY_PROXY, PROXY_TCP6, ip("2a02:8071::1"),
		ip("2a02:8071::25") };
	struct conf_home_service s = { .name = "imaps" };
	struct why why = { "" };
	char text[PROXY_HEADER_MAX];

	said.from.port = 4711;
	said.to.port = 993;
	for (int version = 0; version <= 2; version++) {
		int listener = server(AF_INET, &s.backend);
		struct buf want;
		size_t n;

		got = (struct opened){ .done = 0 };
		s.proxy = version == 0 ? CONF_PROXY_NONE
		    : version == 1	 ? CONF_PROXY_V1
					 : CONF_PROXY_V2;
		buf_init(&want, PROXY_HEADER_MAX);
		if (version > 0)
			assert_true(
			    proxy_header_write((unsigned)version, &said.from, &said.to, &want));
		assert_non_null(backend_open_client(&T, &s, &said, &ops, on_opened, &got, &why));
		n = heard(listener, text, sizeof(text));
		assert_int_equal(n, want.n);
		assert_memory_equal(text, want.p != NULL ? want.p : "", n);
		buf_fini(&want);
		close(listener);
	}
}

static void
nobody_who_is_refused_is_dialled_for(void **state)
{
	struct proxy_header said = { 2, PROXY_PROXY, PROXY_TCP4, ip("127.0.0.1"), ip("192.0.2.1") };
	struct conf_home_service s = { .name = "imaps" };
	struct why why = { "" };
	int listener = server(AF_INET, &s.backend);

	got = (struct opened){ .done = 0 };
	assert_null(backend_open_client(&T, &s, &said, &ops, on_opened, &got, &why));
	assert_string_equal(why.text, "it is no global unicast address");
	loop_turns(3);
	assert_int_equal(got.done, 0);
	close(listener);
}

static void
home_itself_says_what_is_true(void **state)
{
	struct conf_home_service s = { .name = "imaps" };
	struct why why = { "" };
	int families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < 2; i++) {
		int listener = server(families[i], &s.backend);
		char text[PROXY_HEADER_MAX];
		struct proxy_header h;
		size_t n, used;

		got = (struct opened){ .done = 0 };
		assert_non_null(backend_open_self(&T, &s, &ops, on_opened, &got, &why));
		n = heard(listener, text, sizeof(text));
		assert_int_equal(proxy_header_read(span_of(text, n), &h, &used, &why), PROXY_DONE);
		assert_int_equal(used, n);
		assert_int_equal(h.command, PROXY_PROXY);
		assert_true(netaddr_same_ip(&h.from, &s.backend));	/* both ends are loopback */
		assert_true(netaddr_same_ip(&h.to, &s.backend));
		assert_int_equal(h.to.port, s.backend.port);
		close(listener);
	}
}

static void
the_interlock_claims_what_nobody_may(void **state)
{
	struct conf_home_service s = { .name = "smtp", .proxy = CONF_PROXY_V1 };
	struct netaddr from = ip("192.0.2.1"), to = ip("198.51.100.25");
	struct why why = { "" };
	int listener = server(AF_INET, &s.backend);
	char text[PROXY_HEADER_MAX];
	size_t n;

	from.port = 1;
	to.port = 25;
	got = (struct opened){ .done = 0 };
	assert_non_null(backend_open_probe(&T, &s, &from, &to, &ops, on_opened, &got, &why));
	n = heard(listener, text, sizeof(text));
	text[n] = '\0';
	assert_string_equal(text, "PROXY TCP4 192.0.2.1 198.51.100.25 1 25\r\n");
	close(listener);
}

static void
a_backend_that_is_not_there_is_told_once(void **state)
{
	struct conf_home_service s = { .name = "imaps" };
	struct why why = { "" };
	struct backend_call *c;

	close(server(AF_INET, &s.backend));
	got = (struct opened){ .done = 0 };
	c = backend_open_self(&T, &s, &ops, on_opened, &got, &why);
	if (c != NULL) {		/* else the kernel knew at once */
		RUN_UNTIL(got.done == 1);
		memcpy(why.text, got.why, sizeof(got.why));
	}
	assert_null(got.conn);
	assert_non_null(strstr(why.text, "Connection refused"));
}

static void
who_went_is_not_called(void **state)
{
	struct conf_home_service s = { .name = "imaps" };
	struct why why = { "" };
	int listener = server(AF_INET, &s.backend);
	struct backend_call *c;

	got = (struct opened){ .done = 0 };
	c = backend_open_self(&T, &s, &ops, on_opened, &got, &why);
	assert_non_null(c);
	backend_cancel(&c);
	assert_null(c);
	loop_run_ms(50);
	assert_int_equal(got.done, 0);
	close(listener);
}

/* The kernel's own answer: whatever this machine has, it knows it as its own. */
static void
our_addresses_are_found(void **state)
{
	struct own_addrs own = { .n = 0 };
	struct netaddr loopback = ip("127.0.0.1");
	struct why why = { "" };

	assert_int_equal(own_addrs_read(&own, &why), 0);
	assert_true(own.known);
	assert_false(own_addrs_has(&own, &loopback));
	for (size_t i = 0; i < own.n; i++) {
		struct netaddr a = own.list[i].addr;

		assert_true(own_addrs_has(&own, &a));
		assert_true(netaddr_in(&a, &own.list[i].net, own.list[i].bits));
	}
	own_addrs_fini(&own);
}

int
main(void)
{
#define WITH(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH(a_client_is_whom_no_server_would_trust),
		WITH(who_is_not_named_is_nobody),
		WITH(the_backend_hears_of_the_client_first),
		WITH(nobody_who_is_refused_is_dialled_for),
		WITH(home_itself_says_what_is_true),
		WITH(the_interlock_claims_what_nobody_may),
		WITH(a_backend_that_is_not_there_is_told_once),
		WITH(who_went_is_not_called),
		WITH(our_addresses_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
