#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "base/netaddr.h"
#include "base/scoreboard.h"
#include "base/span.h"
#include "base/uuid.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static void
test_span_u64(void **state)
{
	static const struct {
		const char	*in;
		unsigned long long max;
		bool		 ok;
		unsigned long long v;
	} cases[] = {
		{ "0", 10, true, 0 }, { "10", 10, true, 10 }, { "11", 10, false, 0 },
		{ "", 10, false, 0 }, { "-1", 10, false, 0 }, { "+1", 10, false, 0 },
		{ " 1", 10, false, 0 }, { "1 ", 10, false, 0 }, { "007", 10, true, 7 },
		{ "9", 5, false, 0 }, { "0x1", 100, false, 0 },
		{ "18446744073709551615", UINT64_MAX, true, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, false, 0 },
		{ "99999999999999999999", UINT64_MAX, false, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned long long v;

		if (span_u64(span_str(cases[i].in), cases[i].max, &v) != cases[i].ok ||
		    (cases[i].ok && v != cases[i].v))
			fail_msg("'%s'", cases[i].in);
	}
}

static void
test_span(void **state)
{
	char out[4];

	assert_true(span_copy(SPAN_LIT("abc"), out, sizeof(out)));
	assert_string_equal(out, "abc");
	assert_false(span_copy(SPAN_LIT("abcd"), out, sizeof(out)));
	assert_string_equal(out, "abc");
	assert_false(span_copy(SPAN_LIT("a\0b"), out, sizeof(out)));
	assert_string_equal(out, "a");
	assert_true(span_copy((struct span){ NULL, 0 }, out, sizeof(out)));
	assert_string_equal(out, "");
	assert_false(span_copy(SPAN_LIT("a"), out, 0));
	assert_true(span_eq((struct span){ NULL, 0 }, SPAN_LIT("")));
	assert_false(span_eq(SPAN_LIT("a"), SPAN_LIT("A")));
	assert_true(span_eq_nocase(SPAN_LIT("a"), SPAN_LIT("A")));
	assert_true(span_starts_nocase(SPAN_LIT("From:x"), SPAN_LIT("FROM:")));
	assert_false(span_starts_nocase(SPAN_LIT("Fro"), SPAN_LIT("FROM:")));
	assert_int_equal(span_from(SPAN_LIT("abc"), 1).n, 2);
	assert_int_equal(span_from(SPAN_LIT("abc"), 9).n, 0);
}

static void
test_hex(void **state)
{
	char text[9];
	unsigned char b[4];

	hex_encode("\x00\x9f\xff\x10", 4, text);
	assert_string_equal(text, "009fff10");
	assert_true(hex_decode(SPAN_LIT("009FfF10"), b, 4));
	assert_memory_equal(b, "\x00\x9f\xff\x10", 4);
	assert_false(hex_decode(SPAN_LIT("009fff1"), b, 4));
	assert_false(hex_decode(SPAN_LIT("009fff101"), b, 4));
	assert_false(hex_decode(SPAN_LIT("009fff1g"), b, 4));
}

static void
test_base64(void **state)
{
	static const struct {
		const char	*plain, *padded, *bare;
	} good[] = {				/* RFC 4648 10 */
		{ "", "", "" }, { "f", "Zg==", "Zg" }, { "fo", "Zm8=", "Zm8" },
		{ "foo", "Zm9v", "Zm9v" }, { "foob", "Zm9vYg==", "Zm9vYg" },
		{ "fooba", "Zm9vYmE=", "Zm9vYmE" }, { "foobar", "Zm9vYmFy", "Zm9vYmFy" },
		{ "\xff\xfe\xfd", "//79", "//79" },
	};
	static const struct {
		const char	*in;
		bool		 pad;
	} bad[] = {
		{ "Zg", true }, { "Zg=", true }, { "Zg==", false }, { "Zh==", true },
		{ "Zh", false }, { "Z", false }, { "Zm9=", true }, { "Zm 9v", false },
		{ "Zm9v\n", false }, { "Zm-_", false }, { "====", true }, { "Z===", true },
		{ "Zg==Zg==", true },
	};
	char text[16];
	unsigned char b[16];
	size_t n;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct span plain = span_str(good[i].plain);

		for (int pad = 0; pad <= 1; pad++) {
			const char *want = pad ? good[i].padded : good[i].bare;

			assert_int_equal(base64_encode(plain.p, plain.n, pad, text), strlen(want));
			assert_string_equal(text, want);
			assert_true(base64_decode(span_str(want), pad, b, sizeof(b), &n));
			assert_true(span_eq(span_of(b, n), plain));
			if (plain.n > 0)
				assert_false(base64_decode(span_str(want), pad, b, plain.n - 1,
				    &n));
		}
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (base64_decode(span_str(bad[i].in), bad[i].pad, b, sizeof(b), &n))
			fail_msg("'%s'", bad[i].in);
	assert_false(base64_decode(SPAN_LIT("Zm\0v"), false, b, sizeof(b), &n));
}

static void
test_put_get(void **state)
{
	unsigned char b[8];

	put_u64(b, 0x0123456789abcdefULL);
	assert_memory_equal(b, "\x01\x23\x45\x67\x89\xab\xcd\xef", 8);
	assert_true(get_u64(b) == 0x0123456789abcdefULL);
	assert_int_equal(get_u32(b), 0x01234567);
	assert_int_equal(get_u16(b + 6), 0xcdef);
}

static void
test_netaddr(void **state)
{
	static const struct {
		const char	*in, *out;	/* out NULL: refused */
	} cases[] = {
		{ "192.0.2.1:25", "192.0.2.1:25" }, { "[2001:DB8:0::1]:25", "[2001:db8::1]:25" },
		{ "[::]:0", "[::]:0" }, { "[::ffff:192.0.2.1]:25", "192.0.2.1:25" },
		{ "192.0.2.1", NULL }, { "192.0.2.1:", NULL }, { "192.0.2.1:65536", NULL },
		{ "192.0.2.1:-1", NULL }, { ":25", NULL }, { "2001:db8::1:25", NULL },
		{ "[2001:db8::1]", NULL }, { "[]:25", NULL }, { "host:25", NULL },
		{ "192.0.2.01:25", NULL }, { "192.0.2:25", NULL }, { "", NULL },
		{ "[fe80::1%lo]:25", NULL },
	};
	struct netaddr a, net;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (netaddr_parse(span_str(cases[i].in), &a) != (cases[i].out != NULL))
			fail_msg("'%s'", cases[i].in);
		if (cases[i].out != NULL)
			assert_string_equal(netaddr_hostport(&a).s, cases[i].out);
	}
	assert_false(netaddr_parse_ip(SPAN_LIT("192.0.2.1\0x"), &a));
	assert_true(netaddr_parse_ip(SPAN_LIT("192.0.2.201"), &a));
	a.port = 25;
	net = netaddr_network(&a, 24, 48);
	assert_string_equal(netaddr_hostport(&net).s, "192.0.2.0:0");
	net = netaddr_network(&a, 32, 64);
	assert_true(netaddr_same_ip(&net, &a));
	net = netaddr_network(&a, 27, 64);
	assert_string_equal(netaddr_ip(&net).s, "192.0.2.192");
	assert_string_equal(netaddr_cidr(&net, 27, 48).s, "192.0.2.192/27");
	net = netaddr_network(&a, 0, 0);
	assert_string_equal(netaddr_ip(&net).s, "0.0.0.0");
	assert_true(netaddr_parse_ip(SPAN_LIT("2001:db8:1:2:3::4"), &a));
	net = netaddr_network(&a, 24, 48);
	assert_string_equal(netaddr_ip(&net).s, "2001:db8:1::");
	assert_string_equal(netaddr_cidr(&net, 24, 48).s, "2001:db8:1::/48");
	net = netaddr_network(&a, 24, 128);
	assert_true(netaddr_same_ip(&net, &a));
}

static void
test_sockaddr(void **state)
{
	struct sockaddr_storage ss;
	struct netaddr a, b;

	assert_true(netaddr_parse(SPAN_LIT("192.0.2.1:25"), &a));
	assert_int_equal(netaddr_to_sockaddr(&a, &ss), sizeof(struct sockaddr_in));
	assert_true(netaddr_from_sockaddr((const struct sockaddr *)&ss, &b));
	assert_memory_equal(&a, &b, sizeof(a));
	assert_true(netaddr_parse(SPAN_LIT("[2001:db8::1]:25"), &a));
	assert_int_equal(netaddr_to_sockaddr(&a, &ss), sizeof(struct sockaddr_in6));
	assert_true(netaddr_from_sockaddr((const struct sockaddr *)&ss, &b));
	assert_memory_equal(&a, &b, sizeof(a));

	/* A dual-stack listener shows v4 mapped. */
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(25) };

	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &in6.sin6_addr), 1);
	assert_true(netaddr_from_sockaddr((const struct sockaddr *)&in6, &b));
	assert_false(b.v6);
	assert_string_equal(netaddr_hostport(&b).s, "192.0.2.1:25");
	assert_false(netaddr_from_sockaddr(&(struct sockaddr){ .sa_family = AF_UNIX }, &b));
}

static void
test_netaddr_in(void **state)
{
	static const struct {
		const char	*ip, *net;
		unsigned	 bits;
		bool		 in;
	} cases[] = {
		{ "192.0.2.255", "192.0.2.0", 24, true }, { "192.0.3.0", "192.0.2.0", 24, false },
		{ "192.0.2.1", "192.0.2.1", 32, true }, { "192.0.2.2", "192.0.2.1", 32, false },
		{ "203.0.113.1", "0.0.0.0", 0, true }, { "2001:db8::1", "::", 0, true },
		{ "2001:db8:0:ffff::1", "2001:db8::", 48, true },
		{ "2001:db8:1::", "2001:db8::", 48, false },
		/* Families are kept apart, though one lies in the other's octets. */
		{ "192.0.2.1", "::", 0, false }, { "2001:db8::1", "0.0.0.0", 0, false },
		{ "::ffff:192.0.2.1", "192.0.2.0", 24, true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct netaddr a, net;

		assert_true(netaddr_parse_ip(span_str(cases[i].ip), &a));
		assert_true(netaddr_parse_ip(span_str(cases[i].net), &net));
		if (netaddr_in(&a, &net, cases[i].bits) != cases[i].in)
			fail_msg("%s in %s/%u", cases[i].ip, cases[i].net, cases[i].bits);
	}
}

/*
 * The IPv4 and IPv6 Special-Purpose Address Registries of IANA as of 2024-10-22, whole and
 * in their order.  Where they say "globally reachable" and we say no, the header says why.
 */
static const struct special {
	const char	*net;
	unsigned	 bits;
	bool		 global;
} registries[] = {
	{ "0.0.0.0", 8, false }, { "0.0.0.0", 32, false }, { "10.0.0.0", 8, false },
	{ "100.64.0.0", 10, false }, { "127.0.0.0", 8, false }, { "169.254.0.0", 16, false },
	{ "172.16.0.0", 12, false }, { "192.0.0.0", 24, false }, { "192.0.0.0", 29, false },
	{ "192.0.0.8", 32, false },
	{ "192.0.0.9", 32, false },		/* reachable: port control by anycast */
	{ "192.0.0.10", 32, false },		/* reachable: TURN by anycast */
	{ "192.0.0.170", 32, false }, { "192.0.0.171", 32, false }, { "192.0.2.0", 24, false },
	{ "192.31.196.0", 24, true }, { "192.52.193.0", 24, true }, { "192.88.99.0", 24, false },
	{ "192.88.99.2", 32, false }, { "192.168.0.0", 16, false }, { "192.175.48.0", 24, true },
	{ "198.18.0.0", 15, false }, { "198.51.100.0", 24, false }, { "203.0.113.0", 24, false },
	{ "240.0.0.0", 4, false }, { "255.255.255.255", 32, false },

	{ "::1", 128, false }, { "::", 128, false },
	{ "64:ff9b::", 96, false },		/* reachable: behind NAT64, no source */
	{ "64:ff9b:1::", 48, false }, { "100::", 64, false }, { "100:0:0:1::", 64, false },
	{ "2001::", 23, false }, { "2001::", 32, false },
	{ "2001:1::1", 128, false },		/* reachable: anycast, and the next two */
	{ "2001:1::2", 128, false }, { "2001:1::3", 128, false },
	{ "2001:2::", 48, false },
	{ "2001:3::", 32, false },		/* reachable: AMT */
	{ "2001:4:112::", 48, false },		/* reachable: AS112 */
	{ "2001:10::", 28, false },
	{ "2001:20::", 28, false },		/* reachable: ORCHIDv2 */
	{ "2001:30::", 28, false },		/* reachable: identities of drones */
	{ "2001:db8::", 32, false }, { "2002::", 16, false }, { "2620:4f:8000::", 48, true },
	{ "3fff::", 20, false }, { "5f00::", 16, false }, { "fc00::", 7, false },
	{ "fe80::", 10, false },

	/* Beside them: multicast (RFC 5771, RFC 4291), and what has not been allocated. */
	{ "224.0.0.0", 4, false }, { "ff00::", 8, false }, { "::", 96, false },
	{ "4000::", 3, false }, { "fec0::", 10, false },
};

static void
test_special_purpose_addresses(void **state)
{
	for (size_t i = 0; i < sizeof(registries) / sizeof(registries[0]); i++) {
		const struct special *s = &registries[i];
		struct netaddr first, last;

		assert_true(netaddr_parse_ip(span_str(s->net), &first));
		last = first;
		for (unsigned bit = (first.v6 ? 0 : 96) + s->bits; bit < 128; bit++)
			last.ip[bit / 8] |= (unsigned char)(0x80 >> bit % 8);
		if (netaddr_is_global(&first) != s->global || netaddr_is_global(&last) != s->global)
			fail_msg("%s/%u", s->net, s->bits);
	}
}

static void
test_global_addresses(void **state)
{
	/* The last before and the first behind what is not, and mapped ones for what is in them. */
	static const struct {
		const char	*ip;
		bool		 global;
	} cases[] = {
		{ "1.0.0.0", true }, { "9.255.255.255", true }, { "11.0.0.0", true },
		{ "100.63.255.255", true }, { "100.128.0.0", true }, { "126.255.255.255", true },
		{ "128.0.0.0", true }, { "169.253.255.255", true }, { "169.255.0.0", true },
		{ "172.15.255.255", true }, { "172.32.0.0", true }, { "191.255.255.255", true },
		{ "192.0.1.0", true }, { "192.0.3.0", true }, { "192.88.98.255", true },
		{ "192.88.100.0", true }, { "192.167.255.255", true }, { "192.169.0.0", true },
		{ "198.17.255.255", true }, { "198.20.0.0", true }, { "198.51.99.255", true },
		{ "198.51.101.0", true }, { "203.0.112.255", true }, { "203.0.114.0", true },
		{ "223.255.255.255", true },
		{ "2001:200::", true }, { "2001:db7:ffff::1", true }, { "2001:db9::", true },
		{ "2001:ffff::1", true }, { "2003::", true }, { "2a01:4f8::1", true },
		{ "3ffe::1", true },
		{ "3fff:1000::", true }, { "1fff:ffff::1", false }, { "::ffff:10.0.0.1", false },
		{ "::ffff:8.8.8.8", true }, { "::8.8.8.8", false }, { "2000::", true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct netaddr a;

		assert_true(netaddr_parse_ip(span_str(cases[i].ip), &a));
		if (netaddr_is_global(&a) != cases[i].global)
			fail_msg("%s", cases[i].ip);
	}
}

static void
test_loopback_is_all_of_127_and_one_address_of_ipv6(void **state)
{
	static const struct {
		const char	*ip;
		bool		 is;
	} cases[] = {
		{ "127.0.0.1", true }, { "127.255.255.255", true }, { "::ffff:127.0.0.1", true },
		{ "::1", true }, { "126.255.255.255", false }, { "128.0.0.0", false },
		{ "::", false }, { "::2", false }, { "::127.0.0.1", false }, { "7f00::1", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct netaddr a;

		assert_true(netaddr_parse_ip(span_str(cases[i].ip), &a));
		if (netaddr_is_loopback(&a) != cases[i].is)
			fail_msg("%s", cases[i].ip);
	}
}

static void
test_uuid(void **state)
{
	static const unsigned char rnd[10] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	    0xff };
	struct uuid u = uuid_v7(0x0123456789abLL, rnd), v;

	assert_string_equal(uuid_text(u).s, "01234567-89ab-7fff-bfff-ffffffffffff");
	assert_true(uuid_parse(SPAN_LIT("01234567-89AB-7FFF-bfff-ffffffffffff"), &v));
	assert_true(uuid_eq(u, v));
	v.b[15] ^= 1;
	assert_false(uuid_eq(u, v));
	assert_false(uuid_parse(SPAN_LIT("01234567-89ab-7fff-bfff-fffffffffff"), &v));
	assert_false(uuid_parse(SPAN_LIT("01234567-89ab-7fff-bfff-fffffffffffg"), &v));
	assert_false(uuid_parse(SPAN_LIT("0123456789-ab-7fff-bfff-ffffffffffff"), &v));
	assert_false(uuid_parse(SPAN_LIT("01234567-89ab-7fff-bfff-ffffffffffff0"), &v));
	assert_false(uuid_parse(SPAN_LIT("../../../../../../../../../../../../"), &v));
}

static void
test_buf(void **state)
{
	struct buf b;

	buf_init(&b, 100);
	assert_true(buf_add(&b, NULL, 0));
	assert_true(buf_add_str(&b, "hello "));
	assert_true(buf_addf(&b, "%d", 42));
	assert_true(span_eq(buf_span(&b), SPAN_LIT("hello 42")));
	buf_drop(&b, 6);
	assert_true(span_eq(buf_span(&b), SPAN_LIT("42")));
	for (int i = 0; i < 98; i++)
		assert_true(buf_add(&b, "x", 1));
	assert_false(buf_add(&b, "x", 1));
	assert_int_equal(b.n, 100);
	assert_true(b.failed);
	buf_drop(&b, 50);
	assert_false(buf_add(&b, "x", 1));	/* sticky: a row of additions is checked once */
	buf_clear(&b);
	assert_true(buf_add(&b, "x", 1));
	assert_null(buf_room(&b, 100));
	buf_fini(&b);
	assert_int_equal(b.max, 100);
	assert_non_null(buf_room(&b, 100));
	buf_used(&b, 100);
	assert_int_equal(b.n, 100);
	buf_wipe(&b);
	assert_null(b.p);
}

/* Whether it finds room, makes it or lacks it. */
static void
formatted(size_t max, size_t before, int n)
{
	char want[300];
	struct buf b;

	buf_init(&b, max);
	for (size_t i = 0; i < before; i++)
		assert_true(buf_add(&b, "x", 1));
	memset(want, 'x', before);
	snprintf(want + before, sizeof(want) - before, "%0*d", n, 7);
	if (strlen(want) < max) {
		assert_true(buf_addf(&b, "%0*d", n, 7));
		assert_true(span_eq(buf_span(&b), span_str(want)));
		assert_true(buf_addf(&b, "%s", ""));
	} else {
		assert_false(buf_addf(&b, "%0*d", n, 7));
		assert_int_equal(b.n, before);
		assert_false(buf_addf(&b, "%s", ""));
	}
	buf_fini(&b);
}

static void
test_buf_addf(void **state)
{
	static const size_t most[] = { 1, 50, 64, 65, 200 };

	for (size_t i = 0; i < sizeof(most) / sizeof(most[0]); i++)
		for (size_t before = 0; before < 140 && before <= most[i]; before++)
			for (int n = 0; n < 140; n++)
				formatted(most[i], before, n);
}

/* Each look, by both clocks in minutes since the first; the jump that it finds; what is sure. */
static void
test_clock_watch(void **state)
{
	static const struct {
		const char *name;
		int64_t boot, wall, jump, surely;
	} looks[] = {
		{ "nothing", 10, 10, 0, 10 },
		{ "asleep: both go on", 600, 600, 0, 600 },
		{ "slewed, by less than counts", 601, 605, 0, 605 },
		{ "forward: it may be wrong", 602, 1606, 1000, 606 },
		{ "and goes on", 632, 1636, 0, 636 },
		{ "further", 633, 1737, 100, 637 },
		{ "back, by some of it", 634, 1238, -500, 638 },
		{ "back where it was: no doubt is left", 635, 639, -600, 639 },
		{ "back: what it says is not too much", 636, 540, -100, 540 },
		{ "forward, where it was", 637, 641, 100, 641 },
		{ "forward", 640, 1644, 1000, 644 },
		{ "a day later it stands", 640 + 1440, 1644 + 1440, 0, 1644 + 1440 },
	};
	const int64_t minute = 60 * 1000, boot = 5000, wall = 1795232400000;
	struct clock_watch w;

	clock_watch_init(&w, boot, wall);
	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
		int64_t jump = clock_watch_look(&w, boot + looks[i].boot * minute,
		    wall + looks[i].wall * minute);

		if (jump != looks[i].jump * minute ||
		    clock_surely_ms(&w) != wall + looks[i].surely * minute)
			fail_msg("%s", looks[i].name);
	}
}

static void
a_certificate_ends_by_a_clock_that_was_set(void **state)
{
	static const int64_t day = 24LL * 3600 * 1000;
	struct scoreboard b = { .tls_until_ms = 0 };

	assert_false(board_tls_ends(&b, CLOCK_FIRST_MS, 14 * day));
	b.tls_until_ms = CLOCK_FIRST_MS + 2 * day;
	assert_false(board_tls_ends(&b, CLOCK_FIRST_MS - 1, 14 * day));	/* never set */
	assert_true(board_tls_ends(&b, CLOCK_FIRST_MS, 14 * day));
	assert_true(board_tls_ends(&b, CLOCK_FIRST_MS + 3 * day, 14 * day));
	b.tls_until_ms = CLOCK_FIRST_MS + 14 * day;
	assert_false(board_tls_ends(&b, CLOCK_FIRST_MS, 14 * day));
	assert_true(board_tls_ends(&b, CLOCK_FIRST_MS + 1, 14 * day));
}

static unsigned asked;

static const char *
words(void)
{
	asked++;
	return "of it";
}

static void
a_debug_line_costs_its_words_only_where_it_is_written(void **state)
{
	log_init("base_test", LOG_INFO);
	log_debug(NULL, "words %s", words());
	assert_int_equal(asked, 0);
	log_init("base_test", LOG_DEBUG);
	log_debug(NULL, "words %s", words());
	assert_int_equal(asked, 1);
}

static void
what_comes_often_is_said_at_once_and_then_counted(void **state)
{
	struct log_often o = { .n = 0 };

	assert_int_equal(log_often(&o, 5000), 0);
	o.n++;
	assert_int_equal(log_often(&o, 5000), 1);
	for (unsigned i = 1; i <= 3; i++) {
		o.n++;
		assert_int_equal(log_often(&o, 5000 + LOG_OFTEN_MS - i), 0);
	}
	assert_int_equal(log_often(&o, 5000 + LOG_OFTEN_MS), 3);
	assert_int_equal(log_often(&o, 5000 + 9 * LOG_OFTEN_MS), 0);
	o.n++;						/* the next one is at once again */
	assert_int_equal(log_often(&o, 5000 + 9 * LOG_OFTEN_MS), 1);
	o.n++;
	assert_int_equal(log_often(&o, INT64_MAX), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_often_is_said_at_once_and_then_counted),
		cmocka_unit_test(test_span_u64),
		cmocka_unit_test(test_span),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_put_get),
		cmocka_unit_test(test_netaddr),
		cmocka_unit_test(test_sockaddr),
		cmocka_unit_test(test_netaddr_in),
		cmocka_unit_test(test_special_purpose_addresses),
		cmocka_unit_test(test_global_addresses),
		cmocka_unit_test(test_loopback_is_all_of_127_and_one_address_of_ipv6),
		cmocka_unit_test(test_uuid),
		cmocka_unit_test(test_buf),
		cmocka_unit_test(test_buf_addf),
		cmocka_unit_test(test_clock_watch),
		cmocka_unit_test(a_certificate_ends_by_a_clock_that_was_set),
		cmocka_unit_test(a_debug_line_costs_its_words_only_where_it_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
