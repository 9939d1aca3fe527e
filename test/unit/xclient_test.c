/* XCLIENT as a session reads it: whose message it is by a Worker's word. */
#include "proto/xclient.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

/* Read over x as it is before: 2001:db8::7, HELO=before, SMTP. */
static const struct {
	const char	*name, *says;
	const char	*wrong;		/* NULL: right, and this comes of it */
	const char	*addr, *helo;
	bool		 esmtp;
} cases[] = {
	{ "all of it", "ADDR=192.0.2.7 PROTO=ESMTP HELO=client.example", NULL, "192.0.2.7",
	    "client.example", true },
	{ "what is not said stays", "HELO=x", NULL, "2001:db8::7", "x", false },
	{ "in any case and order", "helo=X proto=esmtp addr=192.0.2.7", NULL, "192.0.2.7", "X",
	    true },
	{ "IPv6", "ADDR=IPV6:2001:db8::9", NULL, "2001:db8::9", "before", false },
	{ "not known any more", "ADDR=[UNAVAILABLE] HELO=[TEMPUNAVAIL]", NULL, "", "", false },
	{ "an address literal as a HELO", "HELO=+5B192.0.2.7]", NULL, "2001:db8::7",
	    "[192.0.2.7]", false },
	{ "a plus and an equals sign", "HELO=a+2Bb+3Dc", NULL, "2001:db8::7", "a+b=c", false },

	{ "nothing", "", "no attribute", NULL, NULL, false },
	{ "a name", "NAME=client.example ADDR=192.0.2.7", "not offered", NULL, NULL, false },
	{ "a login", "LOGIN=root", "not offered", NULL, NULL, false },
	{ "no equals sign", "ADDR", "not offered", NULL, NULL, false },
	{ "twice", "ADDR=192.0.2.7 addr=192.0.2.8", "twice", NULL, NULL, false },
	{ "no address", "ADDR=client.example", "no ADDR", NULL, NULL, false },
	{ "IPv6 that does not say so", "ADDR=2001:db8::9", "no ADDR", NULL, NULL, false },
	{ "IPv4 that says it is IPv6", "ADDR=IPV6:192.0.2.7", "no ADDR", NULL, NULL, false },
	{ "a mapped one", "ADDR=IPV6:::ffff:192.0.2.7", "no ADDR", NULL, NULL, false },
	{ "zeros", "ADDR=IPV6:::", "no ADDR", NULL, NULL, false },
	{ "a port in it", "ADDR=192.0.2.7:25", "no ADDR", NULL, NULL, false },
	{ "another protocol", "PROTO=LMTP", "no PROTO", NULL, NULL, false },
	{ "a space in a HELO", "HELO=a+20b", "no HELO", NULL, NULL, false },
	{ "a line end in a HELO", "HELO=a+0D+0AReceived:", "no HELO", NULL, NULL, false },
	{ "a NUL in a HELO", "HELO=a+00b", "no HELO", NULL, NULL, false },
	{ "half an octet", "HELO=a+2", "no HELO", NULL, NULL, false },
	{ "an empty one", "HELO=", "no HELO", NULL, NULL, false },
	{ "what spells unavailable and is not", "HELO=[NOTHING]", "no HELO", NULL, NULL, false },
	{ "one wrong, none taken", "ADDR=192.0.2.7 HELO=a+20b", "no HELO", NULL, NULL, false },
};

static void
what_is_said_is_taken_whole_or_not_at_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct xclient x = { .helo = "before" }, before;
		struct why why = { "" };
		int rc;

		assert_true(netaddr_parse_ip(SPAN_LIT("2001:db8::7"), &x.addr));
		before = x;
		rc = xclient_read(span_str(cases[i].says), &x, &why);
		if (cases[i].wrong != NULL) {
			if (rc != -1 || strstr(why.text, cases[i].wrong) == NULL)
				fail_msg("%s: %d %s", cases[i].name, rc, why.text);
			assert_memory_equal(&x, &before, sizeof(x));
			continue;
		}
		if (rc != 0 || strcmp(x.helo, cases[i].helo) != 0 ||
		    x.esmtp != cases[i].esmtp || xclient_known_ip(&x.addr) !=
		    (cases[i].addr[0] != '\0') || (cases[i].addr[0] != '\0' &&
		    strcmp(netaddr_ip(&x.addr).s, cases[i].addr) != 0))
			fail_msg("%s: %s %s %s %d", cases[i].name, why.text,
			    netaddr_ip(&x.addr).s, x.helo, x.esmtp);
	}
}

static void
a_helo_is_as_long_as_a_domain_may_be(void **state)
{
	char says[300] = "HELO=";
	struct xclient x = { 0 };
	struct why why;

	(void)state;
	memset(says + 5, 'a', 255);
	assert_int_equal(xclient_read(span_str(says), &x, &why), 0);
	assert_int_equal(strlen(x.helo), 255);
	says[5 + 255] = 'a';
	assert_int_equal(xclient_read(span_str(says), &x, &why), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_said_is_taken_whole_or_not_at_all),
		cmocka_unit_test(a_helo_is_as_long_as_a_domain_may_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
