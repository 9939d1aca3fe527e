#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"
#include "proto/pairing.h"

#define HEX64	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define PIN	"sha256:" HEX64
#define TOKEN	"0123456789abcdef0123456789abcdef"
#define AGE	"age12p6w2xc9gtea45r4qf3q2axygppqdeqps7ghyft7del27tg70gqscchzrf"
#define LINE	"posthouse-pair-1 mx1.example.org:7443 " PIN " alice " TOKEN

static void
pins(void **state)
{
	static const char *const bad[] = {
		"", "sha256:", HEX64, PIN "0", "SHA256:" HEX64, "sha256:" HEX64 " ", "sha1:" HEX64,
	};
	char text[PIN_TEXT_MAX];
	struct pin p, q;

	assert_true(pin_parse(SPAN_LIT(PIN), &p));
	pin_print(&p, text);
	assert_string_equal(text, PIN);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(pin_parse(span_str(bad[i]), &q));
	assert_false(pin_eq(&p, &q));
}

static void
names_are_file_names(void **state)
{
	assert_true(pairing_name_ok(SPAN_LIT("alice")));
	assert_true(pairing_name_ok(SPAN_LIT("home-2")));
	assert_false(pairing_name_ok(SPAN_LIT("")));
	assert_false(pairing_name_ok(SPAN_LIT("-rf")));
	assert_false(pairing_name_ok(SPAN_LIT("../x")));
	assert_false(pairing_name_ok(SPAN_LIT("Alice")));
	assert_false(pairing_name_ok(SPAN_LIT("a.b")));
	assert_false(pairing_name_ok(SPAN_LIT("a\0b")));
	assert_true(pairing_name_ok(SPAN_LIT(
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")));
	assert_false(pairing_name_ok(SPAN_LIT(
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")));
}

static void
lines(void **state)
{
	static const struct {
		const char	*line;
		const char	*why;		/* NULL: it is good */
	} cases[] = {
		{ LINE, NULL },
		{ " \t" LINE " \r\n", NULL },
		{ "posthouse-pair-1  [2001:db8::1]:7443\n" PIN "\talice\n" TOKEN, NULL },
		{ "posthouse-pair-1 192.0.2.1:7443 " PIN " alice " TOKEN, NULL },
		{ "", "it must start with" },
		{ "posthouse-pair-2 mx1.example.org:7443 " PIN " alice " TOKEN,
		    "it must start with" },
		{ "posthouse-pair-1 mx1.example.org:7443 " PIN " alice", "cut short" },
		{ LINE " more", "behind the token" },
		{ "posthouse-pair-1 mx1.example.org " PIN " alice " TOKEN, "host:port" },
		{ "posthouse-pair-1 mx1.example.org:0 " PIN " alice " TOKEN, "host:port" },
		{ "posthouse-pair-1 mx1.example.org:99999 " PIN " alice " TOKEN, "host:port" },
		{ "posthouse-pair-1 2001:db8::1:7443 " PIN " alice " TOKEN, "host:port" },
		{ "posthouse-pair-1 [x]:7443 " PIN " alice " TOKEN, "host:port" },
		{ "posthouse-pair-1 a/b:7443 " PIN " alice " TOKEN, "host:port" },
		{ "posthouse-pair-1 :7443 " PIN " alice " TOKEN, "host:port" },
		{ "posthouse-pair-1 mx1.example.org:7443 sha256:00 alice " TOKEN, "third word" },
		{ "posthouse-pair-1 mx1.example.org:7443 " PIN " ../alice " TOKEN, "fourth word" },
		{ "posthouse-pair-1 mx1.example.org:7443 " PIN " alice " TOKEN "0", "token" },
		{ "posthouse-pair-1 mx1.example.org:7443 " PIN " alice xx", "token" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static const struct pairing_line none;
		struct pairing_line l;
		struct why why = { "" };
		bool ok = pairing_line_parse(span_str(cases[i].line), &l, &why);

		if (ok != (cases[i].why == NULL) || (!ok && strstr(why.text, cases[i].why) == NULL))
			fail_msg("%s: %s", cases[i].line, why.text);
		assert_null(strstr(why.text, TOKEN));
		if (!ok)
			assert_memory_equal(&l, &none, sizeof(l));
	}
}

static void
a_line_is_read_as_printed(void **state)
{
	char text[PAIRING_LINE_MAX];
	struct pairing_line l;
	struct why why;

	assert_true(pairing_line_parse(SPAN_LIT(LINE), &l, &why));
	assert_string_equal(l.address, "mx1.example.org:7443");
	assert_string_equal(l.name, "alice");
	assert_int_equal(l.token[15], 0xef);
	pairing_line_print(&l, text, sizeof(text));
	assert_string_equal(text, LINE);
}

/* The figure is from Python's hmac. */
static void
the_mac_key(void **state)
{
	unsigned char exporter[32], token[PAIRING_TOKEN_LEN];
	struct secret key;
	char hex[65];

	memset(exporter, 7, sizeof(exporter));
	for (size_t i = 0; i < sizeof(token); i++)
		token[i] = (unsigned char)i;
	assert_true(pairing_mac_key(exporter, token, "alice", &key));
	hex_encode(key.b, SECRET_LEN, hex);
	assert_string_equal(hex,
	    "f0ec4026d38a85428aae5c2a524258697f9fe40dfb5262cc84766700c92332da");
}

#define PEER	"{\n  \"name\": \"mx1.example.org\",\n  \"home\": \"alice\"," \
		"\n  \"address\": \"mx1.example.org:7443\"," \
		"\n  \"pins\": [\"" PIN "\", \"" PIN "\"]," \
		"\n  \"our_pins\": [\"" PIN "\"]," \
		"\n  \"mac\": [\"" HEX64 "\"],\n  \"signed_from\": 17," \
		"\n  \"recipients\": [\"" AGE "\"]," \
		"\n  \"domains\": [\"example.org\", \"example.net\"]\n}\n"

static void
peers(void **state)
{
	static const struct {
		const char	*json;
		const char	*why;		/* NULL: it is good */
	} cases[] = {
		{ PEER, NULL },
		{ "{\"name\":\"alice\",\"pins\":[\"" PIN "\"]}", NULL },
		{ "{\"name\":\"alice\",\"pins\":[\"" PIN "\"],\"later\":{\"x\":[1]}}", NULL },
		{ "", "not JSON" },
		{ "{", "not JSON" },
		{ "[]", "not a JSON object" },
		{ "{\"name\":\"a\",\"name\":\"b\"}", "not JSON" },
		{ "{\"pins\":[\"" PIN "\"]}", "name" },
		{ "{\"name\":\"\",\"pins\":[\"" PIN "\"]}", "name" },
		{ "{\"name\":1,\"pins\":[\"" PIN "\"]}", "name" },
		{ "{\"name\":\"alice\"}", NULL },	/* a grant: nobody can come in by it yet */
		{ "{\"name\":\"alice\",\"pins\":[]}", NULL },
		{ "{\"name\":\"alice\",\"pins\":\"" PIN "\"}", "pins" },
		{ "{\"name\":\"alice\",\"pins\":[\"" PIN "\",\"" PIN "\",\"" PIN "\"]}", "pins" },
		{ "{\"name\":\"alice\",\"our_pins\":[\"sha256:\"]}", "our_pins" },
		{ "{\"name\":\"alice\",\"signed_from\":-1}", "signed_from" },
		{ "{\"name\":\"alice\",\"signed_from\":\"1\"}", "signed_from" },
		{ "{\"name\":\"alice\",\"pins\":[\"" PIN "\"],\"home\":\"../x\"}", "home" },
		{ "{\"name\":\"alice\",\"pins\":[\"" PIN "\"],\"address\":\"x\"}", "address" },
		{ "{\"name\":\"alice\",\"pins\":[\"" PIN "\"],\"mac\":[\"00\"]}", "mac" },
		{ "{\"name\":\"alice\",\"pins\":[\"" PIN "\"],\"recipients\":[\"age1\"]}",
		    "recipients" },
		{ "{\"name\":\"alice\",\"pins\":[\"" PIN "\"],\"domains\":[\"a b\"]}", "domains" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static const struct peer none;
		struct peer p;
		struct why why = { "" };
		bool ok = peer_parse(span_str(cases[i].json), &p, &why);

		if (ok != (cases[i].why == NULL) || (!ok && strstr(why.text, cases[i].why) == NULL))
			fail_msg("%s: %s", cases[i].json, why.text);
		if (!ok)
			assert_memory_equal(&p, &none, sizeof(p));
		peer_fini(&p);
	}
}

static void
a_peer_is_read_as_printed(void **state)
{
	struct peer p;
	struct why why;
	struct buf b;

	assert_true(peer_parse(SPAN_LIT(PEER), &p, &why));
	assert_int_equal(p.npins, 2);
	assert_int_equal(p.nours, 1);
	assert_int_equal(p.signed_from, 17);
	assert_int_equal(p.nmac, 1);
	assert_true(p.mac[0].set && !p.mac[1].set);
	assert_int_equal(p.nrecipients, 1);
	assert_int_equal(p.ndomains, 2);
	assert_string_equal(p.domains[1], "example.net");
	buf_init(&b, 1 << 16);
	assert_true(peer_print(&p, &b));
	assert_true(span_eq(buf_span(&b), SPAN_LIT(PEER)));
	buf_wipe(&b);
	peer_fini(&p);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(pins),
		cmocka_unit_test(names_are_file_names),
		cmocka_unit_test(lines),
		cmocka_unit_test(a_line_is_read_as_printed),
		cmocka_unit_test(the_mac_key),
		cmocka_unit_test(peers),
		cmocka_unit_test(a_peer_is_read_as_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
