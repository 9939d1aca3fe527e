/* When an edge's reception gives the memory of a crowd back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "edge/crowd.h"

struct moment {
	int64_t	at_s;
	size_t	there;
	bool	gives;
};

static void
play(const struct moment *m, size_t n)
{
	struct crowd c = { 0 };

	for (size_t i = 0; i < n; i++) {
		struct instant now = { (1000 + m[i].at_s) * 1000000000 };

		if (crowd_has_gone(&c, m[i].there, 0, now) != m[i].gives)
			fail_msg("at %lld s with %zu there", (long long)m[i].at_s, m[i].there);
	}
}

#define PLAY(moments) play(moments, sizeof(moments) / sizeof((moments)[0]))

static void
when_most_of_it_has_gone(void **state)
{
	static const struct moment moments[] = {
		{ 0, 0, false }, { 1, 2000, false }, { 2, 1500, false }, { 3, 500, false },
		{ 4, 499, true }, { 5, 0, false }, { 500, 0, true }, { 900, 0, false },
	};

	PLAY(moments);
}

static void
a_few_are_no_crowd(void **state)
{
	static const struct moment moments[] = {
		{ 0, CROWD_LEAST - 1, false }, { 1, 0, false }, { 2, CROWD_LEAST, false },
		{ 3, 0, true },
	};

	PLAY(moments);
}

static void
one_that_comes_and_goes_pays_once_a_minute(void **state)
{
	static const struct moment moments[] = {
		{ 0, 1000, false }, { 1, 0, true }, { 2, 1000, false }, { 3, 0, false },
		{ 60, 0, false }, { 61, 0, true }, { 62, 0, false },
	};

	PLAY(moments);
}

static void
messages_on_their_way_are_one(void **state)
{
	const struct instant now = { 1000000000 };
	struct crowd c = { 0 };

	assert_false(crowd_has_gone(&c, 20, 2 << 20, now));
	assert_false(crowd_has_gone(&c, 20, 0, now));
	assert_false(crowd_has_gone(&c, 20, 4 << 20, now));
	assert_false(crowd_has_gone(&c, 20, 2 << 20, now));
	assert_true(crowd_has_gone(&c, 20, 0, now));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(when_most_of_it_has_gone),
		cmocka_unit_test(a_few_are_no_crowd),
		cmocka_unit_test(one_that_comes_and_goes_pays_once_a_minute),
		cmocka_unit_test(messages_on_their_way_are_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
