/* How many connections each network may have: exact, and nothing kept for those that are gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "edge/clients.h"

static struct netaddr
at(const char *ip)
{
	struct netaddr a;

	assert_true(netaddr_parse_ip(span_str(ip), &a));
	return a;
}

static void
counted_by_network(void **state)
{
	static const struct {
		const char	*ip;
		bool		 in;
	} rows[] = {
		{ "192.0.2.1", true }, { "192.0.2.1", true }, { "192.0.2.1", false },
		{ "192.0.2.2", true },				/* IPv4: each address for itself */
		{ "2001:db8::1", true }, { "2001:db8::2", true },
		{ "2001:db8::3", false },			/* IPv6: a /64 is one client */
		{ "2001:db8:0:1::1", true },
		{ "::ffff:192.0.2.1", false },			/* mapped is the same as itself */
	};
	struct clients *c = clients_new();
	struct netaddr a;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		a = at(rows[i].ip);
		print_message("%s\n", rows[i].ip);
		assert_int_equal(clients_enter(c, &a, 2), rows[i].in);
	}
	a = at("192.0.2.1");
	clients_leave(c, &a);
	assert_true(clients_enter(c, &a, 2));
	assert_false(clients_enter(c, &a, 2));
	a = at("198.51.100.1");
	assert_false(clients_enter(c, &a, 0));
	clients_free(&c);
}

static void
many_come_and_go(void **state)
{
	struct clients *c = clients_new();
	struct netaddr a;
	char ip[32];

	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < 20000; i++) {
			snprintf(ip, sizeof(ip), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
			a = at(ip);
			assert_true(clients_enter(c, &a, 1));
			assert_false(clients_enter(c, &a, 1));
		}
		for (int i = 0; i < 20000; i++) {
			snprintf(ip, sizeof(ip), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
			a = at(ip);
			clients_leave(c, &a);
		}
	}
	clients_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counted_by_network),
		cmocka_unit_test(many_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
