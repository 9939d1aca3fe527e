/* How often a bucket is looked at, and what a month of it costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "home/pace.h"

#define DAY_MS	86400000ll
#define POLL_MS	30000

/* Looks from now on, each with one request and this end; how many until then. */
static unsigned
looks(struct pace *p, int64_t *now_ms, int64_t until_ms, enum pace_found found)
{
	unsigned n = 0;

	while (*now_ms < until_ms) {
		int64_t next;

		pace_spend(p, 1, *now_ms);
		n++;
		next = pace_next(p, found, *now_ms);
		if (next <= *now_ms)
			next = *now_ms + 1;
		*now_ms = next;
	}
	return n;
}

static void
a_quiet_bucket_is_looked_at_every_poll(void **state)
{
	struct pace p = { 0 };
	int64_t now = 1;

	pace_configure(&p, POLL_MS, 1000000);
	assert_int_equal(looks(&p, &now, 1 + DAY_MS, PACE_NOTHING), DAY_MS / POLL_MS);
}

static void
while_mail_comes_it_is_looked_at_at_once_and_then_less_and_less(void **state)
{
	struct pace p = { 0 };
	int64_t now = 1000000, last = 0, wait = 0;

	pace_configure(&p, POLL_MS, 1000000);
	assert_int_equal(pace_next(&p, PACE_MAIL, now), now + PACE_LEAST_MS);
	assert_int_equal(pace_next(&p, PACE_MORE, now), now);
	for (now += PACE_LEAST_MS; wait < POLL_MS; now += wait) {
		wait = pace_next(&p, PACE_NOTHING, now) - now;
		assert_in_range(wait, last > 0 ? last : PACE_LEAST_MS, POLL_MS);
		last = wait;
	}
	/* Some three minutes after the last mail it is as quiet as before. */
	assert_in_range(now, 1000000 + 2 * 60000, 1000000 + 4 * 60000);
}

static void
a_month_costs_no_more_than_was_allowed_whatever_comes(void **state)
{
	struct pace p = { 0 };
	int64_t now = 1;
	const uint64_t allowed = 100000;
	unsigned n;

	pace_configure(&p, POLL_MS, allowed);
	n = looks(&p, &now, 1 + PACE_MONTH_MS, PACE_MAIL);
	assert_in_range(n, allowed - allowed / 100, allowed + allowed / 100);
	pace_configure(&p, 1000, allowed);
	n = looks(&p, &now, 1 + 2 * PACE_MONTH_MS, PACE_FAILED);
	assert_true(n < allowed);
}

static void
starting_again_and_again_saves_up_nothing(void **state)
{
	unsigned n = 0;

	for (int64_t start = 1; start < DAY_MS; start += 60000) {
		struct pace p = { 0 };
		int64_t now = start;

		pace_configure(&p, POLL_MS, 10);
		n += looks(&p, &now, start + 60000, PACE_MORE);
	}
	assert_int_equal(n, DAY_MS / 60000);	/* one each: a start looks once in any case */
}

static void
a_store_that_fails_is_asked_later_and_later_and_soon_after_it_is_well(void **state)
{
	struct pace p = { 0 };
	int64_t wait = 0;

	pace_configure(&p, POLL_MS, 1000000);
	assert_int_equal(pace_next(&p, PACE_FAILED, 1000000), 1000000 + PACE_LEAST_MS);
	for (int i = 0; i < 20; i++)
		wait = pace_next(&p, PACE_FAILED, 1000000) - 1000000;
	assert_int_equal(wait, PACE_FAILED_MS);
	assert_int_equal(pace_next(&p, PACE_NOTHING, 1000000), 1000000 + POLL_MS);
	assert_int_equal(pace_next(&p, PACE_FAILED, 1000000), 1000000 + PACE_LEAST_MS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quiet_bucket_is_looked_at_every_poll),
		cmocka_unit_test(while_mail_comes_it_is_looked_at_at_once_and_then_less_and_less),
		cmocka_unit_test(a_month_costs_no_more_than_was_allowed_whatever_comes),
		cmocka_unit_test(starting_again_and_again_saves_up_nothing),
		cmocka_unit_test(
		    a_store_that_fails_is_asked_later_and_later_and_soon_after_it_is_well),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
