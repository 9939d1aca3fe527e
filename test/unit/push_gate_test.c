#include "home/push_gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "proto/prefer.h"

#define A	"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define B	"ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void
whose_token_it_is(void **state)
{
	static const struct {
		const char *name, *said, *whose;
	} cases[] = {
		{ "its token", "Bearer " A, "a.example.org" },
		{ "schemes have no case (RFC 9110 11.1)", "bearer " A, "a.example.org" },
		{ "the one before", "Bearer " B, "b.example.org" },
		{ "nothing", "", NULL },
		{ "another scheme", "Basic " A, NULL },
		{ "a digit short", "Bearer 0011", NULL },
		{ "a digit more", "Bearer " A "0", NULL },
		{ "the last digit differs", "Bearer 00112233445566778899aabbccddeeff"
		    "00112233445566778899aabbccddeefe", NULL },
		{ "zeroes are the token of nobody", "Bearer 00000000000000000000000000000000"
		    "00000000000000000000000000000000", NULL },
	};
	struct push_gate g = { 0 };

	push_gate_token(&g, "a.example.org", span_str(A "\n"));
	push_gate_token(&g, "b.example.org", span_str(
	    "11112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n" B "\n"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct push_worker *w = push_gate_find(&g, span_str(cases[i].said));

		if ((w == NULL) != (cases[i].whose == NULL) ||
		    (w != NULL && strcmp(w->name, cases[i].whose) != 0))
			fail_msg("%s", cases[i].name);
	}
	/* Taken from the configuration: its token is no more, and its place is another's. */
	push_gate_token(&g, "a.example.org", span_of(NULL, 0));
	assert_null(push_gate_find(&g, SPAN_LIT("Bearer " A)));
	for (char name[] = "0.test"; name[0] < '0' + CONF_WORKERS_MAX; name[0]++)
		push_gate_token(&g, name, span_str(A));
	assert_non_null(push_gate_find(&g, SPAN_LIT("Bearer " A)));
	push_gate_fini(&g);
	assert_null(push_gate_find(&g, SPAN_LIT("Bearer " A)));
}

static void
an_allowance_comes_back_evenly(void **state)
{
	struct allowance a = { 0 };

	/* 600 in a minute: ten a second, however often is asked. */
	assert_int_equal(allowance_used(&a, 600, PUSH_MINUTE_MS, 5000), 0);
	a.used = 600;
	assert_int_equal(allowance_used(&a, 600, PUSH_MINUTE_MS, 5050), 600);
	assert_int_equal(allowance_used(&a, 600, PUSH_MINUTE_MS, 5100), 599);
	assert_int_equal(allowance_used(&a, 600, PUSH_MINUTE_MS, 35100), 299);
	assert_int_equal(allowance_used(&a, 600, PUSH_MINUTE_MS, 95100), 0);
	/* A pause does not save up more than all of it. */
	a.used = 600;
	assert_int_equal(allowance_used(&a, 600, PUSH_MINUTE_MS, 95200), 599);
	/* The largest of all, by the longest of all. */
	a = (struct allowance){ UINT64_C(1) << 50, 0 };
	assert_int_equal(allowance_used(&a, UINT64_C(1) << 50, PUSH_HOUR_MS, PUSH_HOUR_MS / 2),
	    UINT64_C(1) << 49);
}

static void
beyond_rate_or_bytes_it_waits(void **state)
{
	const struct conf_home_service s = { .rate = 3, .bytes = 1000 };
	struct push_worker w = { 0 };
	int64_t now = 1000;

	for (int i = 0; i < 3; i++)
		assert_true(push_gate_pass(&w, &s, now));
	assert_false(push_gate_pass(&w, &s, now));
	assert_true(push_gate_pass(&w, &s, now + PUSH_MINUTE_MS / 3));
	assert_false(push_gate_pass(&w, &s, now + PUSH_MINUTE_MS / 3));
	now += 10 * PUSH_MINUTE_MS;
	push_gate_octets(&w, 999);
	assert_true(push_gate_pass(&w, &s, now));
	push_gate_octets(&w, 500);
	assert_false(push_gate_pass(&w, &s, now));
	assert_true(push_gate_pass(&w, &s, now + PUSH_HOUR_MS));
}

static void
how_long_a_verdict_may_take(void **state)
{
	static const struct {
		const char *value;
		int wait;
	} cases[] = {
		{ "", -1 }, { "wait=7", 7 }, { "WAIT=7", 7 }, { "respond-async, wait=7; x=1", 7 },
		{ "  wait=7  ,x", 7 }, { "wait=31", 30 }, { "wait=99999999999", -1 },
		{ "wait=", -1 }, { "wait=-1", -1 }, { "wait", -1 }, { "await=3", -1 },
		{ ";", -1 }, { ",,", -1 }, { "wait=x, wait=2", 2 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (prefer_wait(span_str(cases[i].value), 30) != cases[i].wait)
			fail_msg("%s: %d", cases[i].value,
			    prefer_wait(span_str(cases[i].value), 30));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whose_token_it_is),
		cmocka_unit_test(an_allowance_comes_back_evenly),
		cmocka_unit_test(beyond_rate_or_bytes_it_waits),
		cmocka_unit_test(how_long_a_verdict_may_take),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
