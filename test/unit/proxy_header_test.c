#include "proto/proxy_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/codec.h"

#define S	"0d0a0d0a000d0a515549540a"	/* the signature of version 2 */
#define C4	"c0000207cb0071099c400019"	/* 192.0.2.7:40000 to 203.0.113.9:25 */
#define D4	"192.0.2.7:40000>203.0.113.9:25"
#define C6	"20010db8000000000000000000000007" "20010db8000000000000000000000025" "9c400019"
#define D6	"[2001:db8::7]:40000>[2001:db8::25]:25"
#define M6	"00000000000000000000ffffc0000207" "00000000000000000000ffffcb007109" "9c400019"
#define MIXED	"20010db8000000000000000000000007" "00000000000000000000ffffcb007109" "9c400019"
#define U54	"0000000000000000000000000000000000000000000000000000" \
		"0000000000000000000000000000000000000000000000000000" "0000"
#define UNIX	U54 U54 U54 U54			/* 216 octets */
#define V39	"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
#define V1(s)	"PROXY " s "\r\n"

/* What each comes to: "version command family from>to", or a part of why it is refused. */
static const struct header {
	const char	*rule;
	const char	*text, *hex;		/* version 1 or 2 */
	const char	*means, *why;
} headers[] = {
	{ "TCP4", V1("TCP4 192.0.2.7 203.0.113.9 40000 25"), NULL, "1 PROXY TCP4 " D4, NULL },
	{ "TCP6", V1("TCP6 2001:db8::7 2001:db8::25 40000 25"), NULL, "1 PROXY TCP6 " D6, NULL },
	{ "TCP6, every digit, upper case",
	    V1("TCP6 2001:0DB8:0000:0000:0000:0000:0000:0007 2001:DB8:0:0::25 40000 25"), NULL,
	    "1 PROXY TCP6 " D6, NULL },
	{ "a mapped client is IPv4", V1("TCP6 ::ffff:192.0.2.7 ::ffff:203.0.113.9 40000 25"), NULL,
	    "1 PROXY TCP6 " D4, NULL },
	{ "one of two is mapped", V1("TCP6 2001:db8::7 ::ffff:cb00:7109 40000 25"), NULL,
	    "1 PROXY TCP6 [2001:db8::7]:40000>203.0.113.9:25", NULL },
	{ "the longest line of all", V1("UNKNOWN " V39 " " V39 " 65535 65535"), NULL,
	    "1 PROXY UNKNOWN", NULL },
	{ "the longest TCP6", V1("TCP6 " V39 " " V39 " 65535 65535"), NULL,
	    "1 PROXY TCP6 [" V39 "]:65535>[" V39 "]:65535", NULL },
	{ "ports may be 0", V1("TCP4 0.0.0.0 0.0.0.0 0 0"), NULL,
	    "1 PROXY TCP4 0.0.0.0:0>0.0.0.0:0", NULL },
	{ "UNKNOWN", V1("UNKNOWN"), NULL, "1 PROXY UNKNOWN", NULL },
	{ "UNKNOWN and a space", V1("UNKNOWN "), NULL, "1 PROXY UNKNOWN", NULL },
	{ "UNKNOWN, and the rest is ignored", V1("UNKNOWN \x01 rubbish\xff  TCP4"), NULL,
	    "1 PROXY UNKNOWN", NULL },
	{ "UNKNOWN is a word of its own", V1("UNKNOWNS"), NULL, NULL, "neither TCP4" },
	{ "TCP6 with IPv4", V1("TCP6 192.0.2.7 203.0.113.9 40000 25"), NULL, NULL, "source" },
	{ "TCP4 with IPv6", V1("TCP4 2001:db8::7 2001:db8::25 40000 25"), NULL, NULL, "source" },
	{ "TCP4 with a mapped address", V1("TCP4 ::ffff:192.0.2.7 203.0.113.9 40000 25"), NULL,
	    NULL, "source" },
	{ "families that differ", V1("TCP4 192.0.2.7 2001:db8::25 40000 25"), NULL, NULL,
	    "destination" },
	{ "families that differ, the other way", V1("TCP6 2001:db8::7 203.0.113.9 40000 25"), NULL,
	    NULL, "destination" },
	{ "names are no addresses", V1("TCP4 localhost 203.0.113.9 40000 25"), NULL, NULL,
	    "source" },
	{ "leading zeros in an address", V1("TCP4 192.0.02.7 203.0.113.9 40000 25"), NULL, NULL,
	    "source" },
	{ "a zone", V1("TCP6 fe80::1%eth0 2001:db8::25 40000 25"), NULL, NULL, "source" },
	{ "leading zeros in a port", V1("TCP4 192.0.2.7 203.0.113.9 040000 25"), NULL, NULL,
	    "port" },
	{ "a port too large", V1("TCP4 192.0.2.7 203.0.113.9 65536 25"), NULL, NULL, "port" },
	{ "a negative port", V1("TCP4 192.0.2.7 203.0.113.9 40000 -1"), NULL, NULL, "port" },
	{ "one port", V1("TCP4 192.0.2.7 203.0.113.9 40000"), NULL, NULL, "port" },
	{ "three ports", V1("TCP4 192.0.2.7 203.0.113.9 40000 25 26"), NULL, NULL, "port" },
	{ "a space at the end", V1("TCP4 192.0.2.7 203.0.113.9 40000 25 "), NULL, NULL, "port" },
	{ "no addresses", V1("TCP4"), NULL, NULL, "source" },
	{ "two spaces", V1("TCP4  192.0.2.7 203.0.113.9 40000 25"), NULL, NULL, "source" },
	{ "two spaces in front", "PROXY  TCP4 192.0.2.7 203.0.113.9 40000 25\r\n", NULL, NULL,
	    "neither TCP4" },
	{ "a tab", V1("TCP4\t192.0.2.7 203.0.113.9 40000 25"), NULL, NULL, "neither TCP4" },
	{ "UDP", V1("UDP4 192.0.2.7 203.0.113.9 40000 25"), NULL, NULL, "neither TCP4" },
	{ "lower case", V1("tcp4 192.0.2.7 203.0.113.9 40000 25"), NULL, NULL, "neither TCP4" },
	{ "an empty line", "PROXY \r\n", NULL, NULL, "neither TCP4" },
	{ "no space", "PROXY\r\n", NULL, NULL, "something else" },
	{ "a LF ends no line", "PROXY TCP4 192.0.2.7 203.0.113.9 40000 25\n", NULL, NULL,
	    "LF without CR" },
	{ "nor does a CR", "PROXY TCP4 192.0.2.7 203.0.113.9 40000 25\rQ", NULL, NULL,
	    "CR without LF" },
	{ "nor does CR CR LF", "PROXY UNKNOWN\r\r\n", NULL, NULL, "CR without LF" },
	{ "a line too long by one", V1("UNKNOWN " V39 " " V39 " 65535 65535 "), NULL, NULL,
	    "too long" },
	{ "a line without end", "PROXY UNKNOWN " V39 V39 V39, NULL, NULL, "too long" },
	{ "SMTP", "EHLO a\r\n", NULL, NULL, "something else" },
	{ "POST", "POST / HTTP/1.1\r\n", NULL, NULL, "something else" },
	{ "TLS", NULL, "160301", NULL, "something else" },
	{ "empty lines", "\r\n\r\n\r\n", NULL, NULL, "something else" },

	{ "v2 TCP4", NULL, S "2111000c" C4, "2 PROXY TCP4 " D4, NULL },
	{ "v2 TCP6", NULL, S "21210024" C6, "2 PROXY TCP6 " D6, NULL },
	{ "v2 a mapped client is IPv4", NULL, S "21210024" M6, "2 PROXY TCP6 " D4, NULL },
	{ "v2 one of two is mapped", NULL, S "21210024" MIXED,
	    "2 PROXY TCP6 [2001:db8::7]:40000>203.0.113.9:25", NULL },
	{ "v2 LOCAL", NULL, S "20000000", "2 LOCAL UNKNOWN", NULL },
	{ "v2 LOCAL tells no address, though one is there", NULL, S "2011000c" C4,
	    "2 LOCAL UNKNOWN", NULL },
	{ "v2 LOCAL: the family is ignored", NULL, S "20ff0003ffffff", "2 LOCAL UNKNOWN", NULL },
	{ "v2 UNSPEC", NULL, S "21000000", "2 PROXY UNKNOWN", NULL },
	{ "v2 UNSPEC with a block", NULL, S "21000005ffffffffff", "2 PROXY UNKNOWN", NULL },
	{ "v2 UNSPEC family, stream", NULL, S "2101000c" C4, "2 PROXY UNKNOWN", NULL },
	{ "v2 IPv4, UNSPEC transport", NULL, S "2110000c" C4, "2 PROXY UNKNOWN", NULL },
	{ "v2 UDP4", NULL, S "2112000c" C4, "2 PROXY UNKNOWN", NULL },
	{ "v2 UDP6", NULL, S "21220024" C6, "2 PROXY UNKNOWN", NULL },
	{ "v2 UNIX", NULL, S "213100d8" UNIX, "2 PROXY UNIX", NULL },
	{ "v2 UNIX datagrams", NULL, S "213200d8" UNIX, "2 PROXY UNKNOWN", NULL },
	{ "v2 another version", NULL, S "3111000c" C4, NULL, "another version" },
	{ "v2 version 1", NULL, S "1111000c" C4, NULL, "another version" },
	{ "v2 a third command", NULL, S "2211000c" C4, NULL, "another command" },
	{ "v2 a fifth family", NULL, S "2141000c" C4, NULL, "there is not" },
	{ "v2 a fourth transport", NULL, S "2113000c" C4, NULL, "there is not" },
	{ "v2 TCP4 too short", NULL, S "2111000b" C4, NULL, "shorter" },
	{ "v2 TCP6 with the addresses of TCP4", NULL, S "2121000c" C4, NULL, "shorter" },
	{ "v2 UDP4 too short", NULL, S "21120000", NULL, "shorter" },
	{ "v2 UNIX too short", NULL, S "213100d7" UNIX, NULL, "shorter" },
	{ "v2 too long", NULL, S "21110801", NULL, "too long" },
	{ "v2 LOCAL too long", NULL, S "2000ffff", NULL, "too long" },
	{ "v2 the signature, almost", NULL, "0d0a0d0a000d0a515549540d", NULL, "something else" },
	{ "v2 TLVs", NULL, S "21110017" C4 "040000" "0500026162" "e00000", "2 PROXY TCP4 " D4,
	    NULL },
	{ "v2 a TLV of two octets", NULL, S "2111000e" C4 "0400", NULL, "cut short" },
	{ "v2 a TLV longer than the block", NULL, S "21110010" C4 "04000200", NULL, "cut short" },
	{ "v2 a TLV of 65,535 octets", NULL, S "2111000f" C4 "04ffff", NULL, "cut short" },
	{ "v2 a checksum of three octets", NULL, S "21110012" C4 "030003000000", NULL,
	    "not four octets" },
	{ "v2 a wrong checksum", NULL, S "21110013" C4 "03000400000000", NULL,
	    "checksum is wrong" },
	{ "v2 a checksum behind UDP is looked at too", NULL, S "21120013" C4 "03000400000000", NULL,
	    "checksum is wrong" },

	/* As haproxy 2.6.12 sent them. */
	{ "haproxy v1, mapped", V1("TCP6 ::ffff:127.0.0.1 ::ffff:127.0.0.1 42302 21302"), NULL,
	    "1 PROXY TCP6 127.0.0.1:42302>127.0.0.1:21302", NULL },
	{ "haproxy with a checksum and an id", NULL,
	    S "2111001c7f0000017f000001a542533a030004ea653ca40500066162633132336869",
	    "2 PROXY TCP4 127.0.0.1:42306>127.0.0.1:21306", NULL },
	{ "haproxy with a checksum, one bit of the address wrong", NULL,
	    S "2111001c7f0000017f000011a542533a030004ea653ca40500066162633132336869", NULL,
	    "checksum is wrong" },
	{ "haproxy with a checksum, one bit of the id wrong", NULL,
	    S "2111001c7f0000017f000001a542533a030004ea653ca40500066162633132326869", NULL,
	    "checksum is wrong" },
	{ "haproxy TCP6 with a checksum", NULL,
	    S "2121002b0000000000000000000000000000000100000000000000000000000000000001"
	    "a546533e0300042a89acfe", "2 PROXY TCP6 [::1]:42310>[::1]:21310", NULL },
	{ "haproxy TCP6, mapped, with a checksum", NULL,
	    S "2121002b00000000000000000000ffff7f00000100000000000000000000ffff7f000001"
	    "a547533f030004ca4f1799", "2 PROXY TCP6 127.0.0.1:42311>127.0.0.1:21311", NULL },
	{ "the checksum twice", NULL,
	    S "2111001a7f0000017f000001a545533d030004e614dfc5030004e614dfc5", NULL,
	    "two checksums" },
};

#define HEADERS	(sizeof(headers) / sizeof(headers[0]))

static size_t
octets(const struct header *t, unsigned char *out, size_t max)
{
	size_t n = strlen(t->text != NULL ? t->text : t->hex);

	assert_true(n <= max);
	if (t->text != NULL) {
		memcpy(out, t->text, n);
		return n;
	}
	assert_true(hex_decode(span_of(t->hex, n), out, n / 2));
	return n / 2;
}

static void
describe(const struct proxy_header *h, char *out, size_t max)
{
	static const char *const families[] = { "UNKNOWN", "TCP4", "TCP6", "UNIX" };
	static const struct netaddr zero;
	bool ip = h->family == PROXY_TCP4 || h->family == PROXY_TCP6;

	snprintf(out, max, "%u %s %s%s%s%s%s", h->version,
	    h->command == PROXY_PROXY ? "PROXY" : "LOCAL", families[h->family],
	    ip ? " " : "", ip ? netaddr_hostport(&h->from).s : "",
	    ip ? ">" : "", ip ? netaddr_hostport(&h->to).s : "");
	if (!ip) {
		assert_memory_equal(&h->from, &zero, sizeof(zero));
		assert_memory_equal(&h->to, &zero, sizeof(zero));
	}
}

/* What comes of so much of it, in words; the stream behind it must not matter. */
static enum proxy_result
outcome(const unsigned char *p, size_t n, char *means, size_t max, size_t *used)
{
	struct proxy_header h;
	struct why why = { "" };
	enum proxy_result r = proxy_header_read(span_of(p, n), &h, used, &why);

	assert_true((r == PROXY_DONE) == (*used > 0) && *used <= n);
	assert_true((r == PROXY_BAD) == (why.text[0] != '\0'));
	if (r == PROXY_DONE)
		describe(&h, means, max);
	else
		snprintf(means, max, "%s", why.text);
	return r;
}

static void
what_headers_mean(void **state)
{
	for (size_t i = 0; i < HEADERS; i++) {
		const struct header *t = &headers[i];
		unsigned char in[512];
		char means[512];
		size_t used, n = octets(t, in, sizeof(in));
		enum proxy_result r = outcome(in, n, means, sizeof(means), &used);

		if (t->means != NULL && (r != PROXY_DONE || strcmp(means, t->means) != 0))
			fail_msg("%s: %s", t->rule, means);
		if (t->why != NULL && (r != PROXY_BAD || strstr(means, t->why) == NULL))
			fail_msg("%s: %d %s", t->rule, r, means);
	}
}

/* Every beginning asks for more until one says what the whole says, and then nothing changes it. */
static void
every_cut(void **state)
{
	for (size_t i = 0; i < HEADERS; i++) {
		unsigned char in[512 + 5];
		char whole[512], part[512];
		size_t n = octets(&headers[i], in, 512), whole_used, used;
		enum proxy_result want, got, before = PROXY_MORE;

		want = outcome(in, n, whole, sizeof(whole), &whole_used);
		memcpy(in + n, "EHLO ", 5);
		for (size_t cut = 0; cut <= n + 5; cut++) {
			unsigned char *exact = malloc(cut + 1);	/* what reads beyond is seen */

			assert_non_null(exact);
			memcpy(exact + 1, in, cut);
			got = outcome(exact + 1, cut, part, sizeof(part), &used);
			free(exact);
			if (got == PROXY_MORE && before == PROXY_MORE && cut < n)
				continue;
			if (got != want || strcmp(part, whole) != 0 || used != whole_used)
				fail_msg("%s: cut at %zu: %s", headers[i].rule, cut, part);
			if (got == PROXY_DONE && cut < used)
				fail_msg("%s: done at %zu of %zu", headers[i].rule, cut, used);
			before = got;
		}
	}
}

static void
the_largest_block(void **state)
{
	static unsigned char in[PROXY_HEADER_MAX];
	struct proxy_header h;
	struct why why = { "" };
	size_t used;

	assert_true(hex_decode(SPAN_LIT(S "21110800" C4 "0407f1"), in, 31));
	assert_int_equal(proxy_header_read(span_of(in, sizeof(in) - 1), &h, &used, &why),
	    PROXY_MORE);
	assert_int_equal(proxy_header_read(span_of(in, sizeof(in)), &h, &used, &why), PROXY_DONE);
	assert_int_equal(used, PROXY_HEADER_MAX);
	assert_int_equal(used, 2064);
}

/* What is written, and that it is read as itself. */
static const struct written {
	const char	*rule;
	const char	*from, *to;
	const char	*text, *hex;
	const char	*read_to;	/* where it is not `to` */
} writes[] = {
	{ "IPv4", "192.0.2.7:40000", "203.0.113.9:25", V1("TCP4 192.0.2.7 203.0.113.9 40000 25"),
	    S "2111000c" C4, NULL },
	{ "IPv6", "[2001:db8::7]:40000", "[2001:db8::25]:25",
	    V1("TCP6 2001:db8::7 2001:db8::25 40000 25"),
	    S "21210024" C6, NULL },
	{ "a mapped client is written as IPv4", "[::ffff:192.0.2.7]:40000",
	    "[::ffff:203.0.113.9]:25",
	    V1("TCP4 192.0.2.7 203.0.113.9 40000 25"), S "2111000c" C4, NULL },
	{ "an IPv4 client that came to an IPv6 address", "192.0.2.7:40000", "[2001:db8::25]:25",
	    V1("TCP4 192.0.2.7 0.0.0.0 40000 25"), S "2111000c" "c0000207" "00000000" "9c400019",
	    "0.0.0.0:25" },
	{ "an IPv6 client that came to an IPv4 address", "[2001:db8::7]:40000", "203.0.113.9:25",
	    V1("TCP6 2001:db8::7 :: 40000 25"),
	    S "21210024" "20010db8000000000000000000000007"
	    "00000000000000000000000000000000" "9c400019",
	    "[::]:25" },
	{ "the longest", "[" V39 "]:65535", "[" V39 "]:65535",
	    V1("TCP6 " V39 " " V39 " 65535 65535"),
	    S "21210024" "ffffffffffffffffffffffffffffffff"
	    "ffffffffffffffffffffffffffffffff" "ffffffff",
	    NULL },
};

static void
write_and_read(const struct written *t, unsigned version)
{
	struct netaddr from, to;
	struct proxy_header h;
	struct why why = { "" };
	struct buf out;
	char hex[512];
	size_t used;

	assert_true(netaddr_parse(span_str(t->from), &from));
	assert_true(netaddr_parse(span_str(t->to), &to));
	buf_init(&out, PROXY_HEADER_MAX);
	assert_true(proxy_header_write(version, &from, &to, &out));
	hex_encode(out.p, out.n, hex);
	if (version == 1 ? !span_eq(buf_span(&out), span_str(t->text)) : strcmp(hex, t->hex) != 0)
		fail_msg("%s, v%u: %.*s %s", t->rule, version, (int)out.n, out.p, hex);
	assert_int_equal(proxy_header_read(buf_span(&out), &h, &used, &why), PROXY_DONE);
	assert_int_equal(used, out.n);
	assert_int_equal(h.version, version);
	assert_int_equal(h.command, PROXY_PROXY);
	assert_string_equal(netaddr_hostport(&h.from).s, netaddr_hostport(&from).s);
	assert_string_equal(netaddr_hostport(&h.to).s,
	    t->read_to != NULL ? t->read_to : netaddr_hostport(&to).s);
	buf_fini(&out);
	buf_init(&out, used - 1);
	assert_false(proxy_header_write(version, &from, &to, &out));
	buf_fini(&out);
}

static void
what_is_written(void **state)
{
	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
		write_and_read(&writes[i], 1);
		write_and_read(&writes[i], 2);
	}
}

/* As far as six octets tell, and no further than they were given. */
static void
how_one_begins(void **state)
{
	assert_true(proxy_header_begins(SPAN_LIT("PROXY ")));
	assert_true(proxy_header_begins(SPAN_LIT("PROXY nonsense\r\n")));
	assert_true(proxy_header_begins(SPAN_LIT("\r\n\r\n\0\r")));
	assert_true(proxy_header_begins(SPAN_LIT("\r\n\r\n\0\r\nQUIT\n\x21")));
	assert_false(proxy_header_begins(span_of(NULL, 0)));
	assert_false(proxy_header_begins(SPAN_LIT("PROXY")));
	assert_false(proxy_header_begins(SPAN_LIT("PROXY\r\n")));
	assert_false(proxy_header_begins(SPAN_LIT("proxy x")));
	assert_false(proxy_header_begins(SPAN_LIT("\r\n\r\nEHLO c\r\n")));
	assert_false(proxy_header_begins(SPAN_LIT("EHLO client.test\r\n")));
}

/* Exim takes any blank for the space; Postfix before 3.5 skips blanks in front. */
static void
what_a_lenient_server_takes_for_one(void **state)
{
	static const struct {
		struct span	in;
		enum proxy_result r;
	} all[] = {
		{ { NULL, 0 }, PROXY_MORE }, { SPAN_LIT("P"), PROXY_MORE },
		{ SPAN_LIT("PROX"), PROXY_MORE }, { SPAN_LIT("PROXY"), PROXY_DONE },
		{ SPAN_LIT("PROXY "), PROXY_DONE }, { SPAN_LIT("PROXY\tTCP4"), PROXY_DONE },
		{ SPAN_LIT(" PROXY TCP4"), PROXY_DONE }, { SPAN_LIT("\rPROXY"), PROXY_DONE },
		{ SPAN_LIT("\r\n\t PROXY"), PROXY_DONE }, { SPAN_LIT("\r\n\t "), PROXY_MORE },
		{ SPAN_LIT(" PRO"), PROXY_MORE }, { SPAN_LIT("\r\n\r\n"), PROXY_MORE },
		{ SPAN_LIT("\r\n\r\n\0"), PROXY_MORE }, { SPAN_LIT("\r\n\r\n\0\r"), PROXY_DONE },
		{ SPAN_LIT("\r\n\r\n\0\r\nQU, "), PROXY_DONE },
		{ SPAN_LIT("\r\n\r\n\0\n"), PROXY_BAD }, { SPAN_LIT(" \r\n\r\n\0"), PROXY_BAD },
		{ SPAN_LIT("PROXIMITY"), PROXY_BAD }, { SPAN_LIT("proxy x"), PROXY_BAD },
		{ SPAN_LIT("\r\nGET / "), PROXY_BAD }, { SPAN_LIT("\0PROXY"), PROXY_BAD },
		{ SPAN_LIT("\x16\x03\x01"), PROXY_BAD }, { SPAN_LIT("EHLO PROXY "), PROXY_BAD },
	};
	char blanks[PROXY_BLANKS_MAX + 1];

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		assert_int_equal(proxy_header_taken(all[i].in), all[i].r);
	memset(blanks, ' ', sizeof(blanks));
	assert_int_equal(proxy_header_taken(span_of(blanks, PROXY_BLANKS_MAX)), PROXY_MORE);
	assert_int_equal(proxy_header_taken(span_of(blanks, sizeof(blanks))), PROXY_DONE);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_headers_mean),
		cmocka_unit_test(every_cut),
		cmocka_unit_test(the_largest_block),
		cmocka_unit_test(what_is_written),
		cmocka_unit_test(how_one_begins),
		cmocka_unit_test(what_a_lenient_server_takes_for_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
