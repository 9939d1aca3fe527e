#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/codec.h"
#include "kit/ahead.h"
#include "kit/loop.h"
#include "net/chan.h"
#include "net/resolve.h"
#include "net/resolve_proto.h"

/*
 * The whole road: questions over a channel, libunbound, and a DNS server of our own
 * on loopback that knows this zone, is silent on everything that begins with "silent",
 * and says all that begins with "large" over TCP alone (RFC 1035 4.2: cut short, by UDP).
 */
static const struct {
	const char	*name;
	int		 type;
	const char	*value;		/* an address, or a name */
} zone[] = {
	{ "mail.posthouse-test.org", 1, "5.6.7.8" },
	{ "mail.posthouse-test.org", 28, "2a00:1::25" },
	{ "v4only.posthouse-test.org", 1, "5.6.7.9" },
	{ "8.7.6.5.in-addr.arpa", 12, "mail.posthouse-test.org" },
	{ "9.7.6.5.in-addr.arpa", 12, "mail.posthouse-test.org" },		/* lies */
	/* Not a host name. */
	{ "10.7.6.5.in-addr.arpa", 12, "no_host name.posthouse-test.org" },
	{ "11.7.6.5.in-addr.arpa", 12, "gone.posthouse-test.org" },
	/* The second of two is the true one. */
	{ "13.7.6.5.in-addr.arpa", 12, "other.posthouse-test.org" },
	{ "13.7.6.5.in-addr.arpa", 12, "two.posthouse-test.org" },
	{ "two.posthouse-test.org", 1, "5.6.7.13" },
	{ "other.posthouse-test.org", 1, "5.6.7.99" },
	{ "large.posthouse-test.org", 1, "5.6.7.20" },
	{ "14.7.6.5.in-addr.arpa", 12, "large-name.posthouse-test.org" },
	{ "large-name.posthouse-test.org", 1, "5.6.7.14" },
	{ "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.a.2.ip6.arpa", 12,
	    "mail.posthouse-test.org" },
};

#define TIMEOUT_MS	1000

static struct {
	uv_poll_t	 dns, dns_tcp;
	int		 dns_fd, dns_tcp_fd;
	unsigned	 asked, asked_tcp;
	char		 dns_at[64];
	struct resolve_server *server;
	struct resolver	*resolver;
	int		 ends[2];
} T;

static size_t
put_name(unsigned char *out, const char *name)
{
	size_t n = 0;

	while (*name != '\0') {
		size_t label = strcspn(name, ".");

		out[n++] = (unsigned char)label;
		memcpy(out + n, name, label);
		n += label;
		name += label + (name[label] == '.');
	}
	out[n++] = 0;
	return n;
}

static size_t
put_record(unsigned char *out, size_t i)
{
	unsigned char *p = out;
	size_t n;

	put_u16(p, 0xc00c);			/* the question's name */
	put_u16(p + 2, (uint16_t)zone[i].type);
	put_u16(p + 4, 1);
	put_u32(p + 6, 60);
	if (zone[i].type == 12)
		n = put_name(p + 12, zone[i].value);
	else {
		assert_int_equal(inet_pton(zone[i].type == 1 ? AF_INET : AF_INET6, zone[i].value,
		    p + 12), 1);
		n = zone[i].type == 1 ? 4 : 16;
	}
	put_u16(p + 10, (uint16_t)n);
	return 12 + n;
}

/* The answer's octets; 0: none. */
static size_t
answer(const unsigned char *q, bool tcp, unsigned char *a)
{
	size_t at = 12, o = 0, end, i, count = 0;
	bool known = false;
	char name[256];
	int type;

	while (q[at] != 0) {
		if (o > 0)
			name[o++] = '.';
		memcpy(name + o, q + at + 1, q[at]);
		o += q[at];
		at += 1u + q[at];
	}
	name[o] = '\0';
	type = get_u16(q + at + 1);
	end = at + 5;
	if (strncasecmp(name, "silent", 6) == 0)
		return 0;
	memcpy(a, q, end);
	put_u32(a + 6, 0);
	put_u16(a + 10, 0);
	if (strncasecmp(name, "large", 5) == 0 && !tcp) {
		put_u16(a + 2, 0x8780);		/* cut short */
		return end;
	}
	for (i = 0; i < sizeof(zone) / sizeof(zone[0]); i++)
		if (strcasecmp(name, zone[i].name) == 0) {
			known = true;
			if (zone[i].type == type) {
				end += put_record(a + end, i);
				count++;
			}
		}
	/* An answer, recursion is there; NXDOMAIN. */
	put_u16(a + 2, known ? 0x8580 : 0x8583);
	put_u16(a + 4, 1);
	put_u16(a + 6, (uint16_t)count);
	return end;
}

static void
on_dns(uv_poll_t *poll, int status, int events)
{
	unsigned char q[1500], a[1500];
	struct sockaddr_storage from;
	socklen_t from_n = sizeof(from);
	ssize_t n = recvfrom(T.dns_fd, q, sizeof(q), 0, (struct sockaddr *)&from, &from_n);
	size_t end;

	if (n < 17)
		return;
	T.asked++;
	if ((end = answer(q, false, a)) > 0)
		sendto(T.dns_fd, a, end, 0, (struct sockaddr *)&from, from_n);
}

/* libunbound has a thread of its own, so this may wait for it. */
static void
on_dns_tcp(uv_poll_t *poll, int status, int events)
{
	unsigned char length[2], q[1500], a[1502];
	int fd = accept(T.dns_tcp_fd, NULL, NULL);
	ssize_t n;

	assert_int_equal(recv(fd, length, 2, MSG_WAITALL), 2);
	assert_true(get_u16(length) >= 17 && get_u16(length) <= sizeof(q));
	assert_int_equal(recv(fd, q, get_u16(length), MSG_WAITALL), get_u16(length));
	T.asked_tcp++;
	n = (ssize_t)answer(q, true, a + 2);
	put_u16(a, (uint16_t)n);
	assert_int_equal(send(fd, a, (size_t)n + 2, MSG_NOSIGNAL), n + 2);
	close(fd);
}

static struct chan *
chan_of(int fd)
{
	struct why why;
	struct chan *c = chan_new(&loop, fd, &why);

	assert_non_null(c);
	return c;
}

static void
serve(void)
{
	const char *servers[] = { T.dns_at };
	struct why why;

	T.server = resolve_server_new(&loop, servers, 1, TIMEOUT_MS, &why);
	assert_non_null(T.server);
}

/* A resolver process played by the test: the other end. */
static struct chan *
attach_played(chan_msg_fn *on_msg, void *arg)
{
	struct chan *other;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	other = chan_of(sv[0]);
	chan_start(other, on_msg, NULL, arg);
	resolver_attach(T.resolver, chan_of(sv[1]), TIMEOUT_MS);
	return other;
}

static void
attach(void)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	resolve_server_client(T.server, chan_of(sv[0]));
	resolver_attach(T.resolver, chan_of(sv[1]), TIMEOUT_MS);
}

static int
setup(void **state)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sin);

	memset(&T, 0, sizeof(T));
	loop_begin();
	/* One port for both; another's connection may just have one of them. */
	for (int tries = 0;; tries++) {
		sin.sin_port = 0;
		T.dns_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(T.dns_fd, (struct sockaddr *)&sin, n), 0);
		assert_int_equal(getsockname(T.dns_fd, (struct sockaddr *)&sin, &n), 0);
		T.dns_tcp_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (bind(T.dns_tcp_fd, (struct sockaddr *)&sin, n) == 0 &&
		    listen(T.dns_tcp_fd, 8) == 0)
			break;
		assert_true(tries < 100);
		close(T.dns_fd);
		close(T.dns_tcp_fd);
	}
	uv_poll_init(&loop, &T.dns, T.dns_fd);
	uv_poll_start(&T.dns, UV_READABLE, on_dns);
	uv_poll_init(&loop, &T.dns_tcp, T.dns_tcp_fd);
	uv_poll_start(&T.dns_tcp, UV_READABLE, on_dns_tcp);
	snprintf(T.dns_at, sizeof(T.dns_at), "127.0.0.1:%u", ntohs(sin.sin_port));
	serve();
	T.resolver = resolver_new();
	assert_non_null(T.resolver);
	attach();
	return 0;
}

static int
teardown(void **state)
{
	resolver_free(&T.resolver);
	resolve_server_free(&T.server);
	uv_close((uv_handle_t *)&T.dns, NULL);
	uv_close((uv_handle_t *)&T.dns_tcp, NULL);
	loop_end();
	close(T.dns_fd);
	close(T.dns_tcp_fd);
	return 0;
}

/* --- answers --------------------------------------------------------------------- */

struct got {
	unsigned	 times;
	size_t		 n;
	char		 first[64], second[64], name[256], why[512];
};

static void
got_addrs(void *arg, const struct netaddr *a, size_t n, const struct why *why)
{
	struct got *g = arg;

	g->times++;
	g->n = n;
	assert_true((n == 0) == (why != NULL));
	if (n > 0)
		snprintf(g->first, sizeof(g->first), "%s", netaddr_hostport(&a[0]).s);
	if (n > 1)
		snprintf(g->second, sizeof(g->second), "%s", netaddr_hostport(&a[1]).s);
	if (why != NULL)
		snprintf(g->why, sizeof(g->why), "%s", why->text);
}

static void
got_name(void *arg, const char *name)
{
	struct got *g = arg;

	g->times++;
	snprintf(g->name, sizeof(g->name), "%s", name);
}

static struct netaddr
ip(const char *text)
{
	struct netaddr a;

	assert_true(netaddr_parse_ip(span_str(text), &a));
	return a;
}

static void
hosts(void **state)
{
	static const struct {
		const char *host, *first, *second, *why;
	} cases[] = {
		{ "mail.posthouse-test.org", "[2a00:1::25]:7443", "5.6.7.8:7443", "" },
		{ "MAIL.posthouse-test.org.", "[2a00:1::25]:7443", "5.6.7.8:7443", "" },
		{ "v4only.posthouse-test.org", "5.6.7.9:7443", "", "" },
		{ "gone.posthouse-test.org", "", "", "no such host" },
		{ "silent.posthouse-test.org", "", "", "no answer in time" },
		{ "192.0.2.1", "192.0.2.1:7443", "", "" },
		{ "2001:db8::1", "[2001:db8::1]:7443", "", "" },
		{ "bad_name.example", "", "", "neither a host name" },
		{ "-x.example", "", "", "neither a host name" },
		{ "", "", "", "neither a host name" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct got g = { 0 };

		resolve_host(T.resolver, cases[i].host, 7443, got_addrs, &g);
		RUN_UNTIL(g.times == 1);
		assert_string_equal(g.first, cases[i].first);
		assert_string_equal(g.second, cases[i].second);
		assert_non_null(strstr(g.why, cases[i].why));
	}
}

static void
client_names(void **state)
{
	static const struct {
		const char *ip, *name;
	} cases[] = {
		{ "5.6.7.8", "mail.posthouse-test.org" },
		{ "2a00:1::25", "mail.posthouse-test.org" },
		{ "5.6.7.9", "" },		/* the name does not lead back */
		{ "5.6.7.10", "" },		/* no host name */
		{ "5.6.7.11", "" },		/* a name that is not there */
		{ "5.6.7.12", "" },		/* no PTR */
		{ "5.6.7.13", "two.posthouse-test.org" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct netaddr a = ip(cases[i].ip);
		struct got g = { 0 };

		assert_non_null(resolve_name(T.resolver, &a, got_name, &g));
		RUN_UNTIL(g.times == 1);
		assert_string_equal(g.name, cases[i].name);
	}
}

static void
it_knows_since_when_nobody_asked(void **state)
{
	struct got g = { 0 };

	ahead_ms += 500000;
	assert_true(resolve_server_idle_ms(T.server) >= 500000);
	resolve_host(T.resolver, "silent.posthouse-test.org", 7443, got_addrs, &g);
	RUN_UNTIL(resolve_server_idle_ms(T.server) == 0);
	assert_int_equal(g.times, 0);
	RUN_UNTIL(g.times == 1);
	assert_true(resolve_server_idle_ms(T.server) < 500000);
	ahead_ms += 500000;
	assert_true(resolve_server_idle_ms(T.server) >= 500000);
}

/* Both the addresses of a host and a client's name, forth and back. */
static void
what_is_cut_short_is_asked_for_by_tcp(void **state)
{
	const struct netaddr client = ip("5.6.7.14");
	struct got host = { 0 }, name = { 0 };

	resolve_host(T.resolver, "large.posthouse-test.org", 7443, got_addrs, &host);
	RUN_UNTIL(host.times == 1);
	assert_int_equal(host.n, 1);
	assert_string_equal(host.first, "5.6.7.20:7443");
	assert_true(T.asked_tcp >= 1);
	resolve_name(T.resolver, &client, got_name, &name);
	RUN_UNTIL(name.times == 1);
	assert_string_equal(name.name, "large-name.posthouse-test.org");
	assert_true(T.asked_tcp >= 2);
}

static void
a_cancelled_question_is_not_answered(void **state)
{
	struct netaddr a = ip("5.6.7.8");
	struct got gone = { 0 }, g = { 0 };
	struct resolve_ask *ask = resolve_name(T.resolver, &a, got_name, &gone);

	resolve_cancel(&ask);
	assert_null(ask);
	resolve_cancel(&ask);
	assert_non_null(resolve_name(T.resolver, &a, got_name, &g));
	RUN_UNTIL(g.times == 1);
	assert_int_equal(gone.times, 0);
}

static void
what_a_resolver_left_unanswered_and_what_came_meanwhile_goes_to_the_next(void **state)
{
	struct got name = { 0 }, host = { 0 }, meanwhile = { 0 };
	struct netaddr a = ip("5.6.7.8");

	resolve_host(T.resolver, "v4only.posthouse-test.org", 1, got_addrs, &host);
	assert_non_null(resolve_name(T.resolver, &a, got_name, &name));
	resolve_server_free(&T.server);
	loop_run_ms(50);
	resolve_host(T.resolver, "mail.posthouse-test.org", 2, got_addrs, &meanwhile);
	loop_run_ms(50);
	assert_int_equal(name.times + host.times + meanwhile.times, 0);

	serve();
	attach();
	RUN_UNTIL(name.times == 1 && host.times == 1 && meanwhile.times == 1);
	assert_string_equal(host.first, "5.6.7.9:1");
	assert_string_equal(name.name, "mail.posthouse-test.org");
	assert_string_equal(meanwhile.second, "5.6.7.8:2");
}

static void
count_msg(void *arg, struct chan_msg *m)
{
	++*(unsigned *)arg;
}

/* The second time the next one's channel is here before the end of the last one's. */
static void
a_question_that_ends_two_resolvers_is_not_asked_of_a_third(void **state)
{
	struct got deadly = { 0 }, later = { 0 };
	unsigned asked[3] = { 0 };
	struct chan *played = attach_played(count_msg, &asked[0]);

	resolve_host(T.resolver, "deadly.posthouse-test.org", 1, got_addrs, &deadly);
	RUN_UNTIL(asked[0] == 1);
	chan_free(&played);
	loop_run_ms(50);
	played = attach_played(count_msg, &asked[1]);
	RUN_UNTIL(asked[1] == 1);
	resolve_host(T.resolver, "later.posthouse-test.org", 1, got_addrs, &later);
	RUN_UNTIL(asked[1] == 2);
	assert_int_equal(deadly.times, 0);
	chan_free(&played);
	played = attach_played(count_msg, &asked[2]);
	RUN_UNTIL(asked[2] == 1);
	loop_run_ms(50);
	assert_int_equal(asked[2], 1);
	assert_int_equal(deadly.times, 1);
	assert_non_null(strstr(deadly.why, "ended twice"));
	assert_int_equal(later.times, 0);
	chan_free(&played);
}

static void
free_resolver(void *arg, const char *name)
{
	resolver_free(&T.resolver);
}

static void
who_hears_of_the_end_of_a_question_may_free_the_resolver(void **state)
{
	struct netaddr a = ip("5.6.7.8");
	struct got next = { 0 };
	unsigned asked = 0;
	struct chan *played = attach_played(count_msg, &asked);

	assert_non_null(resolve_name(T.resolver, &a, free_resolver, NULL));
	assert_non_null(resolve_name(T.resolver, &a, got_name, &next));
	RUN_UNTIL(asked == 2);
	chan_free(&played);
	loop_run_ms(50);
	played = attach_played(count_msg, &asked);
	RUN_UNTIL(asked == 4);
	chan_free(&played);
	RUN_UNTIL(next.times == 1);
	loop_run_ms(50);
	assert_int_equal(next.times, 1);
}

static void
a_resolver_that_hangs_does_not_hold_a_question_for_ever(void **state)
{
	struct got host = { 0 }, name = { 0 }, none = { 0 };
	struct netaddr a = ip("5.6.7.8");
	unsigned asked = 0;
	struct chan *played = attach_played(count_msg, &asked);

	resolve_host(T.resolver, "mail.posthouse-test.org", 1, got_addrs, &host);
	RUN_UNTIL(asked == 1);
	ahead_ms += TIMEOUT_MS;
	assert_non_null(resolve_name(T.resolver, &a, got_name, &name));
	RUN_UNTIL(asked == 2);
	assert_int_equal(host.times, 0);	/* the server is let speak first */
	ahead_ms += 2 * TIMEOUT_MS;
	RUN_UNTIL(host.times == 1);
	assert_non_null(strstr(host.why, "no answer in time"));
	ahead_ms += TIMEOUT_MS;
	RUN_UNTIL(name.times == 1);
	assert_string_equal(name.name, "");

	/* Nor does one that is not started again. */
	chan_free(&played);
	loop_run_ms(50);
	resolve_host(T.resolver, "mail.posthouse-test.org", 1, got_addrs, &none);
	assert_int_equal(none.times, 0);
	ahead_ms += 10000;
	RUN_UNTIL(none.times == 1);
	assert_non_null(strstr(none.why, "not there again"));
}

static void
without_a_resolver_a_question_fails_at_once(void **state)
{
	struct resolver *none = resolver_new();
	struct got host = { 0 }, name = { 0 };
	struct netaddr a = ip("5.6.7.8");

	resolve_host(none, "mail.posthouse-test.org", 1, got_addrs, &host);
	assert_non_null(strstr(host.why, "not running"));
	assert_null(resolve_name(none, &a, got_name, &name));
	assert_int_equal(name.times, 1);
	resolver_free(&none);
}

static void
hosts_of_the_machine_itself_are_known_without_a_server(void **state)
{
	static const char *const servers[] = { "127.0.0.1:9" };
	struct got g = { 0 };
	struct why why;

	resolve_server_free(&T.server);
	T.server = resolve_server_new(&loop, servers, 1, 100, &why);
	assert_non_null(T.server);
	attach();
	/* /etc/hosts, and every resolver */
	resolve_host(T.resolver, "localhost", 25, got_addrs, &g);
	RUN_UNTIL(g.times == 1);
	assert_true(g.n >= 1);
}

static unsigned
answers(const struct got *g, size_t n)
{
	unsigned sum = 0;

	while (n > 0)
		sum += g[--n].times;
	return sum;
}

static void
questions_are_bounded(void **state)
{
	enum { N = RESOLVE_ASKS_MAX + 500 };
	static struct got g[N];
	struct netaddr a = ip("5.6.7.12");
	unsigned i, at_once = 0;

	memset(g, 0, sizeof(g));
	for (i = 0; i < N; i++)
		at_once += resolve_name(T.resolver, &a, got_name, &g[i]) == NULL;
	assert_int_equal(at_once, 500);
	RUN_UNTIL(answers(g, N) == N);
	for (i = 0; i < N; i++)
		assert_int_equal(g[i].times, 1);
	/* And it works again after that. */
	a = ip("5.6.7.8");
	memset(g, 0, sizeof(g[0]));
	assert_non_null(resolve_name(T.resolver, &a, got_name, &g[0]));
	RUN_UNTIL(g[0].times == 1);
	assert_string_equal(g[0].name, "mail.posthouse-test.org");
}

static void
host_names(void **state)
{
	char label[300];
	static const struct {
		const char *name;
		bool ok;
	} cases[] = {
		{ "a.b", true }, { "localhost", true }, { "x-1.example", true },
		{ "1a.example", true }, { "", false }, { ".", false }, { "a..b", false },
		{ ".a", false }, { "a.", false }, { "-a.b", false }, { "a-.b", false },
		{ "a.b-", false }, { "a_b.c", false }, { "a b", false }, { "1.2.3.4", false },
		{ "a\n.b", false }, { "\xc3\xa9.b", false },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (rm_hostname_ok(span_str(cases[i].name)) != cases[i].ok)
			fail_msg("\"%s\"", cases[i].name);
	memset(label, 'a', sizeof(label));
	assert_true(rm_hostname_ok(span_of(label, 63)));
	assert_false(rm_hostname_ok(span_of(label, 64)));
	for (i = 50; i < sizeof(label); i += 50)
		label[i] = '.';
	assert_true(rm_hostname_ok(span_of(label, 253)));
	assert_false(rm_hostname_ok(span_of(label, 254)));
}

/* A resolver that a stranger has taken over says anything. */
static void
its_answers_are_checked(void **state)
{
	static const struct {
		unsigned type;
		struct span body;
	} bad[] = {
		{ RM_HOSTNAME, { "evil\r\nname", 10 } },
		{ RM_HOSTNAME, { "a\0b", 3 } },
		{ RM_ADDRS, { "\x05" "0123456789abcdef", 17 } },
		{ RM_ADDRS, { "\x04" "0123456789abcdef", 17 } },
		{ RM_ADDRS, { "\x04" "0123456789abcde", 16 } },
		{ 99, { "", 0 } },
	};
	struct netaddr a = ip("5.6.7.8");
	int sv[2];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct resolver *r = resolver_new();
		struct got name = { 0 }, host = { 0 };
		struct chan *evil;

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
		resolver_attach(r, chan_of(sv[0]), TIMEOUT_MS);
		evil = chan_of(sv[1]);
		assert_non_null(resolve_name(r, &a, got_name, &name));		/* tag 1 */
		resolve_host(r, "a.example", 25, got_addrs, &host);		/* tag 2 */
		assert_true(chan_send(evil, (uint16_t)bad[i].type, 77, &bad[i].body, 1, -1));
		assert_true(chan_send(evil, (uint16_t)bad[i].type, 1, &bad[i].body, 1, -1));
		assert_true(chan_send(evil, (uint16_t)bad[i].type, 2, &bad[i].body, 1, -1));
		RUN_UNTIL(name.times == 1 && host.times == 1);
		assert_string_equal(name.name, "");
		assert_int_equal(host.n, 0);
		resolver_free(&r);
		chan_free(&evil);
	}
}

int
main(void)
{
#define NET(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_names),
		NET(hosts),
		NET(client_names),
		NET(it_knows_since_when_nobody_asked),
		NET(what_is_cut_short_is_asked_for_by_tcp),
		NET(a_cancelled_question_is_not_answered),
		NET(what_a_resolver_left_unanswered_and_what_came_meanwhile_goes_to_the_next),
		NET(a_question_that_ends_two_resolvers_is_not_asked_of_a_third),
		NET(who_hears_of_the_end_of_a_question_may_free_the_resolver),
		NET(a_resolver_that_hangs_does_not_hold_a_question_for_ever),
		NET(without_a_resolver_a_question_fails_at_once),
		NET(hosts_of_the_machine_itself_are_known_without_a_server),
		NET(questions_are_bounded),
		NET(its_answers_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
