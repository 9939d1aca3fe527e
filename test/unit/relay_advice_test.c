#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/relay_advice.h"

/* Every verdict but green says what to change; an unknown server's says it for all. */
static void
test_advice(void **state)
{
	struct relay_visit v = { .version = 2 };
	struct buf out;

	assert_true(netaddr_parse_ip(SPAN_LIT("172.17.0.1"), &v.client));
	buf_init(&out, 65536);
	for (int c = RELAY_NO_CAUSE + 1; c < RELAY_CAUSES; c++) {
		struct relay_result r = { .cause = (enum relay_cause)c };

		assert_true(relay_advice(&r, 0, &v, &out));
		assert_true(strlen(relay_cause_words(r.cause)) > 10);
	}
	assert_null(memmem(out.p, out.n, "$A", 2));
	assert_null(memmem(out.p, out.n, "$V", 2));
	for (int s = RELAY_POSTFIX; s < RELAY_SERVERS; s++) {
		struct relay_result r = { .cause = RELAY_ACCEPTED_OURS,
			.server = (enum relay_server)s };

		buf_clear(&out);
		assert_true(relay_advice(&r, 0, &v, &out));
		assert_non_null(memmem(out.p, out.n, "172.17.0.1", 10));
		assert_int_equal(strncmp(out.p, relay_server_name(r.server),
		    strlen(relay_server_name(r.server))), 0);
		assert_false(relay_advice(&r, 1, &v, &out));
	}
	struct relay_result unknown = { .cause = RELAY_ACCEPTED };
	size_t n = 0;

	while (relay_advice(&unknown, n, &v, &out))
		n++;
	assert_int_equal(n, RELAY_SERVERS - 1);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_advice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
