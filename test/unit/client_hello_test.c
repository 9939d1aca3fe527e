/* Whom a client asks for, in ClientHellos that OpenSSL made and in such as nobody should. */
#include "proto/client_hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/codec.h"

#define WIRE_MAX	(8 * CLIENT_HELLO_MAX)

/* "name example.org", "none", "more" or "bad ALERT why". */
static void
describe(const struct client_hello *h, char *out, size_t max)
{
	switch (h->result) {
	case CLIENT_HELLO_MORE:
		snprintf(out, max, "more");
		break;
	case CLIENT_HELLO_NAME:
		snprintf(out, max, "name %s", h->name);
		break;
	case CLIENT_HELLO_NONE:
		snprintf(out, max, "none");
		break;
	case CLIENT_HELLO_BAD:
		snprintf(out, max, "bad %d %s", h->alert, h->why);
		break;
	}
	if (h->result != CLIENT_HELLO_MORE)
		assert_null(h->message.p);
	if (h->result != CLIENT_HELLO_NAME)
		assert_string_equal(h->name, "");
}

/* Fed in a first piece and then in pieces of one size, each in memory of its own size. */
static void
feed(struct span in, size_t first, size_t piece, char *out, size_t max)
{
	struct client_hello h;

	client_hello_init(&h);
	while (in.n > 0) {
		size_t n = in.n < first ? in.n : first;
		char *exact = malloc(n);
		enum client_hello_result now;

		assert_non_null(exact);
		memcpy(exact, in.p, n);
		now = client_hello_step(&h, exact, n);
		assert_int_equal(now, h.result);
		free(exact);
		in = span_from(in, n);
		first = piece;
	}
	describe(&h, out, max);
	client_hello_fini(&h);
}

static void
expect(const char *rule, struct span in, const char *want)
{
	char got[600], part[600];

	feed(in, in.n, in.n, got, sizeof(got));
	if (strncmp(got, want, strlen(want)) != 0)
		fail_msg("%s: %s", rule, got);
	for (size_t cut = 1; cut < in.n && cut < 1500; cut++) {
		feed(in, cut, in.n, part, sizeof(part));
		if (strcmp(part, got) != 0)
			fail_msg("%s, cut at %zu: %s", rule, cut, part);
	}
	for (size_t piece = 1; piece <= in.n && piece < 40; piece++) {
		feed(in, piece, piece, part, sizeof(part));
		if (strcmp(part, got) != 0)
			fail_msg("%s, in pieces of %zu: %s", rule, piece, part);
	}
}

/* -- Real ones. -- */

struct extra {				/* an extension of our own */
	unsigned	 type;
	size_t		 len;
};

static int
add_extra(SSL *s, unsigned type, unsigned context, const unsigned char **out, size_t *n, X509 *x,
    size_t chain, int *alert, void *arg)
{
	static const unsigned char octets[2 * CLIENT_HELLO_MAX];
	const struct extra *e = arg;

	*out = octets;
	*n = e->len;
	return 1;
}

struct hello {
	const char	*rule;
	const char	*name;		/* as the client says it, NULL: not at all */
	int		 newest;	/* version, 0: any */
	size_t		 fragment;	/* octets in a record at most; 0: as OpenSSL does */
	struct extra	 extras[5];
	const char	*want;
};

static size_t
make_hello(const struct hello *t, char *out, size_t max)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	BIO *to = BIO_new(BIO_s_mem()), *from = BIO_new(BIO_s_mem());
	SSL *s;
	int n;

	assert_non_null(ctx);
	for (size_t i = 0; i < 5 && t->extras[i].type != 0; i++)
		assert_int_equal(SSL_CTX_add_custom_ext(ctx, t->extras[i].type,
		    SSL_EXT_CLIENT_HELLO, add_extra, NULL, (void *)&t->extras[i], NULL, NULL), 1);
	if (t->newest != 0)
		assert_int_equal(SSL_CTX_set_max_proto_version(ctx, t->newest), 1);
	if (t->fragment != 0)
		assert_int_equal(SSL_CTX_set_max_send_fragment(ctx, t->fragment), 1);
	s = SSL_new(ctx);
	assert_int_equal(SSL_set_alpn_protos(s, (const unsigned char *)"\4imap\2h2", 8), 0);
	if (t->name != NULL)
		assert_int_equal(SSL_set_tlsext_host_name(s, t->name), 1);
	SSL_set_bio(s, from, to);
	assert_int_equal(SSL_connect(s), -1);
	n = BIO_read(to, out, (int)max);
	assert_true(n > 0);
	SSL_free(s);
	SSL_CTX_free(ctx);
	return (size_t)n;
}

#define GREASE	0x2a2a			/* RFC 8701 */
#define ECH	0xfe0d			/* encrypted_client_hello, opaque to us */

static const struct hello hellos[] = {
	{ "TLS 1.3", "imap.example.org", 0, 0, { { 0, 0 } }, "name imap.example.org" },
	{ "TLS 1.2", "imap.example.org", TLS1_2_VERSION, 0, { { 0, 0 } }, "name imap.example.org" },
	{ "no name", NULL, 0, 0, { { 0, 0 } }, "none" },
	{ "lower case", "IMAP.Example.ORG", 0, 0, { { 0, 0 } }, "name imap.example.org" },
	{ "a final dot is dropped", "example.org.", 0, 0, { { 0, 0 } }, "name example.org" },
	{ "an A-label", "xn--bcher-kva.example", 0, 0, { { 0, 0 } }, "name xn--bcher-kva.example" },
	{ "one label", "localhost", 0, 0, { { 0, 0 } }, "name localhost" },
	{ "an IPv4 literal names no host", "192.0.2.1", 0, 0, { { 0, 0 } }, "none" },
	{ "nor an IPv6 literal", "2001:db8::1", 0, 0, { { 0, 0 } }, "none" },
	{ "a space", "exa mple.org", 0, 0, { { 0, 0 } }, "bad 50 the server name is no host name" },
	{ "two dots", "example..org", 0, 0, { { 0, 0 } },
	    "bad 50 the server name is no host name" },
	{ "not ASCII", "b\xc3\xbc" "cher.example", 0, 0, { { 0, 0 } },
	    "bad 50 the server name is not" },
	{ "GREASE and ECH", "public.example", 0, 0, { { GREASE, 1 }, { ECH, 300 }, { 0xfafa, 0 } },
	    "name public.example" },
	{ "many extensions", "example.org", 0, 0,
	    { { GREASE, 0 }, { 0x1234, 900 }, { 0x1235, 0 }, { 0x1236, 77 }, { 0xfafa, 1 } },
	    "name example.org" },
	{ "in records of 512", "example.org", 0, 512, { { ECH, 1400 } }, "name example.org" },
	{ "large", "example.org", 0, 512, { { 0x1234, 15000 } }, "name example.org" },
	{ "larger than a record", "example.org", 0, 0, { { 0x1234, 17000 } },
	    "bad 50 the ClientHello is too long" },
};

static void
made_by_openssl(void **state)
{
	static char wire[WIRE_MAX];

	for (size_t i = 0; i < sizeof(hellos) / sizeof(hellos[0]); i++) {
		size_t n = make_hello(&hellos[i], wire, sizeof(wire));

		expect(hellos[i].rule, span_of(wire, n), hellos[i].want);
	}
}

/* -- Records. -- */

/* A ClientHello of OpenSSL's put into records of one size anew. */
static size_t
repack(const char *wire, size_t n, size_t size, char *out)
{
	size_t o = 0;

	wire += 5;				/* it was one record */
	n -= 5;
	for (size_t at = 0; at < n; at += size) {
		size_t len = n - at < size ? n - at : size;

		memcpy(out + o, "\x16\x03\x01", 3);
		put_u16((unsigned char *)out + o + 3, (uint16_t)len);
		memcpy(out + o + 5, wire + at, len);
		o += 5 + len;
	}
	return o;
}

static void
records_of_every_size(void **state)
{
	static const struct hello hello = { .name = "example.org" };
	static char wire[WIRE_MAX], again[WIRE_MAX];
	size_t n = make_hello(&hello, wire, sizeof(wire)), o;
	char got[600];

	for (size_t size = 1; size < n; size++) {
		o = repack(wire, n, size, again);
		memcpy(again + o, "rest", 4);		/* not looked at */
		feed(span_of(again, o + 4), o + 4, 1, got, sizeof(got));
		assert_string_equal(got, "name example.org");
		feed(span_of(again, o), 1, 1, got, sizeof(got));
		assert_string_equal(got, "name example.org");
		feed(span_of(again, o - 1), 1, 7, got, sizeof(got));
		assert_string_equal(got, "more");
	}
	o = repack(wire, n, 1, again);
	expect("records of one octet", span_of(again, o), "name example.org");
}

/* Longer and longer ones in records of one octet, until they are too many. */
static void
records_without_end(void **state)
{
	static char wire[WIRE_MAX], again[8 * WIRE_MAX];
	struct client_hello h;

	for (size_t len = 4000; len <= 8000; len += 500) {
		const struct hello hello = { .name = "example.org", .extras = { { 0x1234, len } } };
		size_t n = make_hello(&hello, wire, sizeof(wire)), o = repack(wire, n, 1, again);
		char got[600];

		feed(span_of(again, o), o, o, got, sizeof(got));
		if (o <= CLIENT_HELLO_WIRE_MAX)
			assert_string_equal(got, "name example.org");
		else
			assert_string_equal(got, "bad 50 too many records for one ClientHello");
		feed(span_of(again, o), 1, 1, got, sizeof(got));
		assert_true((got[0] == 'n') == (o <= CLIENT_HELLO_WIRE_MAX));
		feed(span_of(again, o), 1, 999, got, sizeof(got));
		assert_true((got[0] == 'n') == (o <= CLIENT_HELLO_WIRE_MAX));
	}
	/* What is refused takes no more memory, whatever comes. */
	client_hello_init(&h);
	assert_int_equal(client_hello_step(&h, "EHLO a\r\n", 8), CLIENT_HELLO_BAD);
	assert_int_equal(client_hello_step(&h, again, sizeof(again)), CLIENT_HELLO_BAD);
	assert_null(h.message.p);
	client_hello_fini(&h);
}

/* The limit crossed within a record: 5,000 octets one by one, then all the others. */
static void
a_record_across_the_limit(void **state)
{
	static const struct hello hello = { .name = "example.org", .extras = { { 0x1234, 9000 } } };
	static char wire[WIRE_MAX], again[8 * WIRE_MAX];
	size_t n = make_hello(&hello, wire, sizeof(wire)), o = repack(wire, 5 + 5000, 1, again);
	char got[600];

	o += repack(wire + 5000, n - 5000, n, again + o);
	assert_true(o > CLIENT_HELLO_WIRE_MAX);
	expect("across", span_of(again, o), "bad 50 too many records");
	feed(span_of(again, CLIENT_HELLO_WIRE_MAX - 1), 999, 999, got, sizeof(got));
	assert_string_equal(got, "more");
}

/* -- Such as nobody should make. -- */

#define RANDOM	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define START	"0303" RANDOM "00" "00021301" "0100"
#define HOST	"000e" "00000b" "6578616d706c652e6f7267"	/* a list of "example.org" */
#define SNI	"00000010" HOST

static const struct odd {
	const char	*rule;
	const char	*body;		/* the ClientHello behind its head, or */
	const char	*wire;		/* all of it */
	const char	*want;
} odds[] = {
	{ "no extensions at all", START, NULL, "none" },
	{ "an empty block of extensions", START "0000", NULL, "none" },
	{ "a name", START "0014" SNI, NULL, "name example.org" },
	{ "a name behind others", START "001c" "0a0a0000" "000a0000" SNI, NULL,
	    "name example.org" },
	{ "a session id and three ciphers",
	    "0301" RANDOM "03aabbcc" "0006130113021303" "020100" "0014" SNI, NULL,
	    "name example.org" },
	{ "a name of a type to come",
	    START "0014" "00000010" "000e" "07000b" "6578616d706c652e6f7267",
	    NULL, "none" },
	{ "both", START "0018" "00000014" "0012" "07000178" "00000b" "6578616d706c652e6f7267", NULL,
	    "name example.org" },
	{ "two names", START "0014" "00000010" "000e" "00000161" "000007" "6578616d706c65", NULL,
	    "bad 50 two server names" },
	{ "two server name extensions", START "0028" SNI SNI, NULL,
	    "bad 50 two server name extensions" },
	{ "an empty server name extension", START "0004" "00000000", NULL,
	    "bad 50 the server name extension" },
	{ "an empty list", START "0006" "00000002" "0000", NULL,
	    "bad 50 the server name extension" },
	{ "a list longer than its extension",
	    START "0014" "00000010" "000f" "00000b6578616d706c652e6f7267",
	    NULL, "bad 50 the server name extension" },
	{ "a list shorter than its extension",
	    START "0014" "00000010" "000d" "00000b6578616d706c652e6f7267",
	    NULL, "bad 50 the server name extension" },
	{ "a name longer than its list",
	    START "0014" "00000010" "000e" "00000c6578616d706c652e6f7267", NULL,
	    "bad 50 a server name is cut short" },
	{ "a list that ends in a type", START "000d" "00000009" "0007" "00000161" "070000", NULL,
	    "name a" },
	{ "a list that ends in half a length", START "000b" "00000007" "0005" "00000161" "07", NULL,
	    "bad 50 a server name is cut short" },
	{ "an empty name", START "0009" "00000005" "0003" "000000", NULL,
	    "bad 50 the server name is no" },
	{ "a NUL in a name", START "000c" "00000008" "0006" "000003" "610062", NULL,
	    "bad 50 the server name is no" },
	{ "extensions longer than the message", START "0015" SNI, NULL,
	    "bad 50 the extensions do not end" },
	{ "extensions shorter than the message", START "0013" SNI, NULL,
	    "bad 50 the extensions do not end" },
	{ "one octet of a length", START "00", NULL, "bad 50 the extensions do not end" },
	{ "an extension longer than the block", START "0008" "0a0a0005" "00000000", NULL,
	    "bad 50 an extension is cut short" },
	{ "half an extension's head", START "0016" SNI "0a0a", NULL,
	    "bad 50 an extension is cut short" },
	{ "a server name extension longer than the block",
	    START "0013" "00000010" "000e00000b6578616d706c652e6f72",
	    NULL, "bad 50 an extension is cut short" },
	{ "no ciphers", "0303" RANDOM "00" "0000" "0100", NULL,
	    "bad 50 the ClientHello is malformed" },
	{ "half a cipher", "0303" RANDOM "00" "0003130113" "0100", NULL,
	    "bad 50 the ClientHello is malformed" },
	{ "no compression", "0303" RANDOM "00" "00021301" "00", NULL,
	    "bad 50 the ClientHello is malformed" },
	{ "a session id of 33", "0303" RANDOM "21" RANDOM "00" "00021301" "0100", NULL,
	    "bad 50 the ClientHello is malformed" },
	{ "a session id of 32", "0303" RANDOM "20" RANDOM "00021301" "0100", NULL, "none" },
	{ "half a random", "0303" "000102", NULL, "bad 50 the ClientHello is malformed" },
	{ "nothing", "", NULL, "bad 50 the ClientHello is malformed" },

	{ "SMTP", NULL, "45484c4f20610d0a", "bad 0 not TLS" },
	{ "HTTP", NULL, "474554202f", "bad 0 not TLS" },
	{ "an SSLv2 hello", NULL, "802e0100020015", "bad 0 not TLS" },
	{ "an alert", NULL, "15030100020100", "bad 0 not TLS" },
	{ "a handshake of no TLS", NULL, "16040100050100000100", "bad 0 not TLS" },
	{ "an empty record", NULL, "1603010000", "bad 50 a record that is empty" },
	{ "a record too long", NULL, "1603014001", "bad 50 a record that is empty or too long" },
	{ "a ServerHello", NULL, "160301000402000000", "bad 50 another message" },
	{ "a ClientHello too long by one", NULL, "16030100040100" "3ffd",
	    "bad 50 the ClientHello is too long" },
	{ "a ClientHello as long as may be", NULL, "16030100040100" "3ffc", "more" },
	{ "a ClientHello of 16 MiB", NULL, "160301000401ffffff",
	    "bad 50 the ClientHello is too long" },
	{ "an alert in the middle", NULL, "160301000201" "00" "15030100020100",
	    "bad 50 something else in the middle" },
	{ "a record of no TLS in the middle", NULL, "160301000201" "00" "160401",
	    "bad 50 something else in the middle" },
	{ "nothing at all", NULL, "", "more" },
};

static void
made_by_nobody(void **state)
{
	for (size_t i = 0; i < sizeof(odds) / sizeof(odds[0]); i++) {
		const struct odd *o = &odds[i];
		const char *hex = o->wire != NULL ? o->wire : o->body;
		size_t n = strlen(hex) / 2, head = o->wire != NULL ? 0 : 9;
		unsigned char wire[512] = { 0x16, 3, 1, 0, 0, 1 };

		assert_true(head + n < sizeof(wire));
		put_u16(wire + 3, (uint16_t)(n + 4));
		put_u16(wire + 7, (uint16_t)n);
		assert_true(hex_decode(span_of(hex, 2 * n), wire + head, n));
		expect(o->rule, span_of(wire, head + n), o->want);
	}
}

static void
an_alert_that_clients_know(void **state)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *s = SSL_new(ctx);
	BIO *from = BIO_new(BIO_s_mem());
	unsigned char record[TLS_ALERT_RECORD_LEN];

	assert_int_equal(tls_alert_record(TLS_ALERT_NONE, record), 0);
	assert_int_equal(tls_alert_record(TLS_ALERT_UNRECOGNIZED_NAME, record), sizeof(record));
	assert_memory_equal(record, "\x15\x03\x03\x00\x02\x02\x70", sizeof(record));
	SSL_set_bio(s, from, BIO_new(BIO_s_mem()));
	assert_int_equal(SSL_connect(s), -1);
	assert_int_equal(BIO_write(from, record, sizeof(record)), sizeof(record));
	assert_int_equal(SSL_connect(s), -1);
	assert_int_equal(ERR_GET_REASON(ERR_peek_last_error()), SSL_R_TLSV1_UNRECOGNIZED_NAME);
	SSL_free(s);
	SSL_CTX_free(ctx);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(made_by_openssl),
		cmocka_unit_test(records_of_every_size),
		cmocka_unit_test(records_without_end),
		cmocka_unit_test(a_record_across_the_limit),
		cmocka_unit_test(made_by_nobody),
		cmocka_unit_test(an_alert_that_clients_know),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
