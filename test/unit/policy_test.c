#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"
#include "proto/policy.h"

#define HEX64	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define AGE	"age12p6w2xc9gtea45r4qf3q2axygppqdeqps7ghyft7del27tg70gqscchzrf"
#define SALT	"\"salt\":\"000102030405060708090a0b0c0d0e0f\""
#define ZEROES	"AAAAAAAAAAAAAAAAAAAAAA=="

#define WHOLE \
	"{\"version\":1,\"epoch\":\"18446744073709551615\",\"counter\":\"902\"," \
	"\"stale_after_ms\":172800000," \
	"\"backend\":{\"smtputf8\":true,\"dsn\":false,\"size\":\"0\"}," \
	"\"domains\":[{\"name\":\"example.org\",\"unknown\":\"refuse\"," \
	"\"fold_case\":true,\"ignore_dots\":false,\"tag\":\"+\"," \
	SALT ",\"learned_ms\":1795232400000,\"digests\":\"" ZEROES "\"}]," \
	"\"services\":[{\"name\":\"imaps\",\"up\":true}]," \
	"\"keys\":{\"pins\":[\"sha256:" HEX64 "\"],\"recipients\":[\"" AGE "\"]}," \
	"\"edge\":{\"pins\":[\"sha256:" HEX64 "\"]}," \
	"\"logins\":[{\"name\":\"worker.example.org\",\"digests\":[\"" HEX64 "\"]}]}"

#define DOMAIN(rest)	"{\"version\":1,\"domains\":[{\"name\":\"example.org\"," rest "}]}"

static void
documents(void **state)
{
	static const struct {
		const char	*json;
		const char	*why;		/* NULL: it is good */
	} cases[] = {
		{ WHOLE, NULL },
		{ "{\"version\":1}", NULL },
		{ "{\"version\":1,\"later\":[{}],\"backend\":{\"x\":1}}", NULL },
		{ DOMAIN("\"unknown\":\"accept\""), NULL },
		{ DOMAIN("\"tag\":\"\""), NULL },
		{ "", "not JSON" },
		{ "nil", "not JSON" },
		{ "[1]", "not a JSON object" },
		{ "{\"version\":1,\"version\":1}", "not JSON" },
		{ "{}", "version" },
		{ "{\"version\":\"1\"}", "version" },
		{ "{\"version\":2}", "update the edge" },
		{ "{\"version\":1,\"epoch\":17}", "epoch" },
		{ "{\"version\":1,\"counter\":\"-1\"}", "counter" },
		{ "{\"version\":1,\"counter\":\"18446744073709551616\"}", "counter" },
		{ "{\"version\":1,\"stale_after_ms\":-1}", "stale_after_ms" },
		{ "{\"version\":1,\"stale_after_ms\":1.5}", "stale_after_ms" },
		{ "{\"version\":1,\"backend\":[]}", "backend" },
		{ "{\"version\":1,\"backend\":{\"dsn\":1}}", "backend" },
		{ "{\"version\":1,\"logins\":{}}", "logins" },
		{ "{\"version\":1,\"logins\":[{\"name\":\"a b\",\"digests\":[]}]}", "name" },
		{ "{\"version\":1,\"logins\":[{\"name\":\"a.test\"}]}", "digests" },
		{ "{\"version\":1,\"logins\":[{\"name\":\"a.test\",\"digests\":[\"" HEX64 "\",\""
		    HEX64 "\",\"" HEX64 "\"]}]}", "digests" },
		{ "{\"version\":1,\"logins\":[{\"name\":\"a.test\",\"digests\":[\"00\"]}]}",
		    "digest" },
		{ "{\"version\":1,\"keys\":[]}", "keys" },
		{ "{\"version\":1,\"keys\":{\"pins\":[\"sha256:00\"]}}", "keys" },
		{ "{\"version\":1,\"keys\":{\"recipients\":\"" AGE "\"}}", "keys" },
		{ "{\"version\":1,\"edge\":[]}", "edge" },
		{ "{\"version\":1,\"edge\":{\"pins\":[\"sha256:00\"]}}", "edge" },
		{ "{\"version\":1,\"edge\":{\"pins\":[1,2,3]}}", "edge" },
		{ "{\"version\":1,\"domains\":{}}", "\"domains\" is not an array" },
		{ "{\"version\":1,\"domains\":[1]}", "\"domains\", entry 1" },
		{ "{\"version\":1,\"domains\":[{\"name\":\"a b\"}]}", "\"name\"" },
		{ DOMAIN("\"unknown\":\"refuse\""), "without a \"salt\"" },
		{ DOMAIN("\"unknown\":true"), "\"unknown\"" },
		{ DOMAIN("\"fold_case\":1"), "fold_case" },
		{ DOMAIN("\"tag\":\"+-\""), "\"tag\"" },
		{ DOMAIN("\"tag\":1"), "\"tag\"" },
		{ DOMAIN("\"salt\":\"00\""), "\"salt\"" },
		{ DOMAIN("\"digests\":[]"), "\"digests\"" },
		{ DOMAIN("\"digests\":\"AAAA\""), "\"digests\"" },
		{ DOMAIN("\"digests\":\"AAAAAAAAAAAAAAAAAAAAAB==\""), "\"digests\"" },
		{ DOMAIN("\"digests\":\"A\""), "\"digests\"" },
		{ "{\"version\":1,\"services\":[{\"up\":true}]}", "\"services\", entry 1" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct why why = { "" };
		struct policy *p = policy_parse(span_str(cases[i].json), &why);

		if ((p != NULL) != (cases[i].why == NULL) ||
		    (p == NULL && strstr(why.text, cases[i].why) == NULL))
			fail_msg("%s: %s", cases[i].json, why.text);
		policy_free(&p);
	}
}

static void
read_as_printed(void **state)
{
	struct why why = { "" };
	struct policy *p = policy_parse(SPAN_LIT(WHOLE), &why);
	struct buf b;

	assert_non_null(p);
	assert_true(p->epoch == UINT64_MAX && p->counter == 902);
	assert_true(p->smtputf8 && !p->dsn);
	assert_int_equal(p->ndomains, 1);
	assert_int_equal(p->domains[0].unknown, POLICY_REFUSE);
	assert_int_equal(p->domains[0].tag, '+');
	assert_int_equal(p->domains[0].ndigests, 1);
	assert_true(p->services[0].up);
	assert_int_equal(p->npins, 1);
	assert_int_equal(p->nrecipients, 1);
	assert_int_equal(p->nedge_pins, 1);
	buf_init(&b, POLICY_OCTETS_MAX);
	assert_true(policy_print(p, &b));
	if (!span_eq(buf_span(&b), SPAN_LIT(WHOLE)))
		fail_msg("%.*s", (int)b.n, b.p);
	buf_fini(&b);
	buf_init(&b, 100);
	assert_false(policy_print(p, &b));
	assert_true(b.failed);
	buf_fini(&b);
	policy_free(&p);
	assert_null(p);
}

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, POLICY_DIGEST_LEN);
}

static void
digests(void **state)
{
	static const char *const known[] = { "alice", "bob", "carol" };
	struct policy_domain d = { .name = "example.org", .fold_case = true, .tag = '+' };
	unsigned char list[3][POLICY_DIGEST_LEN], one[POLICY_DIGEST_LEN];
	char hex[2 * POLICY_DIGEST_LEN + 1];

	for (size_t i = 0; i < sizeof(d.salt); i++)
		d.salt[i] = (unsigned char)i;
	/* From Python: sha256(salt + b"alice@example.org")[:16] */
	assert_true(policy_digest(&d, "alice", one));
	hex_encode(one, sizeof(one), hex);
	assert_string_equal(hex, "448595addc5e6660d30efa570ddb24cf");
	assert_false(policy_domain_knows(&d, "alice"));
	for (size_t i = 0; i < 3; i++)
		assert_true(policy_digest(&d, known[i], list[i]));
	qsort(list, 3, POLICY_DIGEST_LEN, compare);
	d.digests = list;
	d.ndigests = 3;
	assert_true(policy_domain_knows(&d, "alice"));
	assert_true(policy_domain_knows(&d, "ALICE"));
	assert_true(policy_domain_knows(&d, "Bob+lists+x"));
	assert_false(policy_domain_knows(&d, "+bob"));
	assert_false(policy_domain_knows(&d, "bobby"));
	assert_false(policy_domain_knows(&d, ""));
	d.fold_case = false;
	d.tag = '\0';
	assert_true(policy_domain_knows(&d, "carol"));
	assert_false(policy_domain_knows(&d, "Carol"));
	assert_false(policy_domain_knows(&d, "carol+x"));
}

static void
digests_out_of_order_are_put_in_order(void **state)
{
	static const char json[] =
	    DOMAIN("\"digests\":\"/////////////////////wAAAAAAAAAAAAAAAAAAAAA=\"");
	struct why why = { "" };
	struct policy *p = policy_parse(SPAN_LIT(json), &why);

	assert_non_null(p);
	assert_int_equal(p->domains[0].ndigests, 2);
	assert_int_equal(p->domains[0].digests[0][0], 0);
	assert_int_equal(p->domains[0].digests[1][0], 0xff);
	policy_free(&p);
}

/* What may be banned, how it is spelled afterwards, and what is said of the others. */
static void
bans(void **state)
{
	static const struct {
		const char	*text, *net;	/* net: NULL where it is refused */
		unsigned	 bits;
		const char	*why;
	} cases[] = {
		{ "192.0.2.7", "192.0.2.7", 32, "" },
		{ "192.0.2.0/24", "192.0.2.0", 24, "" },
		{ "2001:db8::/32", "2001:db8::", 32, "" },
		{ "2001:db8::7", "2001:db8::7", 128, "" },
		{ "::ffff:192.0.2.7", "192.0.2.7", 32, "" },
		{ "::ffff:192.0.2.0/120", "192.0.2.0", 24, "" },
		{ "::ffff:192.0.2.0/24", NULL, 0, "prefix length is malformed" },
		{ "::ffff:12.0.0.0/102", NULL, 0, "from /8 to /32" },
		{ "12.0.0.0/7", NULL, 0, "from /8 to /32" },
		{ "2001:d00::/31", NULL, 0, "from /32 to /128" },
		{ "192.0.2.7/24", NULL, 0, "the network is 192.0.2.0/24" },
		{ "192.0.2.0/33", NULL, 0, "prefix length is malformed" },
		{ "192.0.2.0/", NULL, 0, "prefix length is malformed" },
		{ "10.1.2.3", NULL, 0, "10.0.0.0/8 is not public" },
		{ "::ffff:10.1.2.3", NULL, 0, "10.0.0.0/8 is not public" },
		{ "127.0.0.1", NULL, 0, "127.0.0.0/8 is not public" },
		{ "100.64.0.0/16", NULL, 0, "100.64.0.0/10 is not public" },
		{ "fe80::1", NULL, 0, "fe80::/10 is not public" },
		{ "::1", NULL, 0, "::/127 is not public" },
		{ "mx.example.org", NULL, 0, "not an address" },
		{ "", NULL, 0, "not an address" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct policy_ban b;
		struct why why = { "" };
		bool ok = policy_ban_parse(span_str(cases[i].text), &b, &why);

		if (ok != (cases[i].net != NULL) || strstr(why.text, cases[i].why) == NULL)
			fail_msg("%s: %d %s", cases[i].text, ok, why.text);
		if (!ok)
			continue;
		assert_string_equal(netaddr_ip(&b.net).s, cases[i].net);
		assert_int_equal(b.bits, cases[i].bits);
	}
}

static void
a_domain_is_found_by_its_name(void **state)
{
	struct why why = { "" };
	struct policy *p = policy_parse(SPAN_LIT(WHOLE), &why);

	assert_non_null(p);
	assert_ptr_equal(policy_domain_find(p, "example.org"), p->domains);
	assert_null(policy_domain_find(p, "example.net"));
	policy_free(&p);
}

static void
a_list_is_as_old_as_it_is_whatever_the_clocks_say(void **state)
{
	static const struct { int64_t learned, said, now, want; } ages[] = {
		{ 1000, 1600, 1600, 1000 },	/* they agree */
		{ 1000, 1600, 901600, 901000 },	/* home is behind */
		{ 901000, 901600, 1600, 1000 },	/* ahead */
		{ 1000, 400, 1600, 1600 },	/* it went back since: not of tomorrow */
		{ 1000, INT64_MAX, 1600, 1 },
		{ 0, 1600, 901600, 0 },		/* never learned */
	};

	for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++) {
		struct policy_domain d = { .learned_ms = ages[i].learned };
		struct policy p = { .domains = &d, .ndomains = 1 };

		policy_by_our_clock(&p, ages[i].said, ages[i].now);
		assert_int_equal(d.learned_ms, ages[i].want);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents),
		cmocka_unit_test(read_as_printed),
		cmocka_unit_test(a_list_is_as_old_as_it_is_whatever_the_clocks_say),
		cmocka_unit_test(digests),
		cmocka_unit_test(digests_out_of_order_are_put_in_order),
		cmocka_unit_test(bans),
		cmocka_unit_test(a_domain_is_found_by_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
