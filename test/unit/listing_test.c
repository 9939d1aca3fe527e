/* What a look at a bucket keeps of its listing, and what it need not fetch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "home/listing.h"
#include "home/shunned.h"

#define HEX64	"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void
a_name_says_what_it_is(void **state)
{
	static const struct {
		const char	*name;
		enum listed_form form;
	} names[] = {
		{ "0193e4a0-5c1f-7c62-9a55-3f0d7c8c2a11.age", LISTED_OBJECT },
		{ HEX64 ".eml", LISTED_OLD },
		{ "", LISTED_FOREIGN },
		{ ".age", LISTED_FOREIGN },
		{ "0193e4a0-5c1f-7c62-9a55-3f0d7c8c2a11", LISTED_FOREIGN },
		{ "0193e4a0-5c1f-7c62-9a55-3f0d7c8c2a11.age.age", LISTED_FOREIGN },
		{ "x/0193e4a0-5c1f-7c62-9a55-3f0d7c8c2a11.age", LISTED_FOREIGN },
		{ "0193e4a05c1f7c629a553f0d7c8c2a11.age", LISTED_FOREIGN },
		{ HEX64 ".age", LISTED_FOREIGN },
		{ "A" HEX64 ".eml", LISTED_FOREIGN },
		{ "../../../../etc/passwd", LISTED_FOREIGN },
	};
	struct uuid id;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (listed_read(span_str(names[i].name), &id) != names[i].form)
			fail_msg("%s", names[i].name);
}

static struct listed
named(unsigned n, int64_t ms)
{
	struct listed l = { .modified_ms = ms, .size = 10 };

	snprintf(l.name, sizeof(l.name), "%08u-5c1f-7c62-9a55-3f0d7c8c2a11.age", n);
	return l;
}

static void
the_oldest_are_kept_in_order_however_they_come(void **state)
{
	struct listing l = { 0 };
	const unsigned all = 3 * LISTING_MAX;

	for (unsigned i = 0; i < all; i++) {
		/* 7919 is prime to it: each time comes once, in no order. */
		struct listed one = named(i, (int64_t)i * 7919 % all);

		assert_true(listing_add(&l, &one));
	}
	listing_sort(&l);
	assert_int_equal(l.n, LISTING_MAX);
	assert_int_equal(l.left, all - LISTING_MAX);
	assert_int_equal(l.octets, 10 * all);
	for (size_t i = 0; i < l.n; i++)
		assert_int_equal(l.list[i].modified_ms, i);
	listing_fini(&l);
}

static void
what_lies_aside_is_left_alone_until_keys_change_or_it_is_another(void **state)
{
	struct shunned *s = shunned_new();
	struct listed one = named(1, 5);

	assert_non_null(s);
	assert_int_equal(shunned_is(s, &one, 0), SHUN_NOT);
	shunned_note(s, &one, SHUN_ASIDE, 0);
	assert_int_equal(shunned_is(s, &one, 1000 * SHUNNED_TRY_MOST_MS), SHUN_ASIDE);
	one.modified_ms++;
	assert_int_equal(shunned_is(s, &one, 0), SHUN_NOT);
	one.modified_ms--;
	shunned_note(s, &one, SHUN_TAKEN, 0);
	shunned_again(s);
	assert_int_equal(shunned_is(s, &one, 0), SHUN_TAKEN);
	shunned_note(s, &one, SHUN_ASIDE, 0);
	shunned_again(s);
	assert_int_equal(shunned_is(s, &one, 0), SHUN_NOT);
	shunned_free(&s);
}

static void
what_failed_is_tried_at_once_and_then_less_and_less(void **state)
{
	struct shunned *s = shunned_new();
	struct listed one = named(1, 5);
	int64_t now = 1000, pause = SHUNNED_TRY_MS;

	assert_non_null(s);
	shunned_note(s, &one, SHUN_LATER, now);
	assert_int_equal(shunned_is(s, &one, now), SHUN_NOT);
	for (int i = 0; i < 300; i++) {
		shunned_note(s, &one, SHUN_LATER, now);
		assert_int_equal(shunned_is(s, &one, now + pause - 1), SHUN_LATER);
		now += pause;
		assert_int_equal(shunned_is(s, &one, now), SHUN_NOT);
		pause = 2 * pause < SHUNNED_TRY_MOST_MS ? 2 * pause : SHUNNED_TRY_MOST_MS;
	}
	shunned_note(s, &one, SHUN_NOT, now);
	shunned_note(s, &one, SHUN_LATER, now);
	assert_int_equal(shunned_is(s, &one, now), SHUN_NOT);
	shunned_free(&s);
}

static void
more_than_it_remembers_costs_requests_and_no_memory(void **state)
{
	struct shunned *s = shunned_new();
	struct listed one;
	unsigned n = 0;

	assert_non_null(s);
	for (unsigned i = 0; i < 200000; i++) {
		one = named(i, 5);
		shunned_note(s, &one, SHUN_ASIDE, 0);
		assert_int_equal(shunned_is(s, &one, 0), SHUN_ASIDE);
	}
	for (unsigned i = 0; i < 200000; i++) {
		one = named(i, 5);
		n += shunned_is(s, &one, 0) == SHUN_ASIDE;
	}
	assert_in_range(n, SHUNNED_SETS * SHUNNED_WAYS * 9 / 10, SHUNNED_SETS * SHUNNED_WAYS);
	shunned_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_says_what_it_is),
		cmocka_unit_test(the_oldest_are_kept_in_order_however_they_come),
		cmocka_unit_test(what_lies_aside_is_left_alone_until_keys_change_or_it_is_another),
		cmocka_unit_test(what_failed_is_tried_at_once_and_then_less_and_less),
		cmocka_unit_test(more_than_it_remembers_costs_requests_and_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
