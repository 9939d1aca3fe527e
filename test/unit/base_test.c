#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/codec.h"
#include "base/netaddr.h"
#include "base/span.h"
#include "base/uuid.h"

#include <arpa/inet.h>
#include <netinet/in.h>

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
	net = netaddr_network(&a, 0, 0);
	assert_string_equal(netaddr_ip(&net).s, "0.0.0.0");
	assert_true(netaddr_parse_ip(SPAN_LIT("2001:db8:1:2:3::4"), &a));
	net = netaddr_network(&a, 24, 48);
	assert_string_equal(netaddr_ip(&net).s, "2001:db8:1::");
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_span_u64),
		cmocka_unit_test(test_span),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_put_get),
		cmocka_unit_test(test_netaddr),
		cmocka_unit_test(test_sockaddr),
		cmocka_unit_test(test_uuid),
		cmocka_unit_test(test_buf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
