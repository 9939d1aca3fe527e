/* How much of an edge's own mail lies in a bucket, told by looks at the names alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "edge/tally.h"

static struct tally *t;

static struct uuid
id(unsigned n)
{
	struct uuid u = { .b = { 1, [6] = 0x70, [12] = (unsigned char)(n >> 24),
	    (unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n } };

	return u;
}

static struct netaddr
net(unsigned char n)
{
	struct netaddr a = { .ip = { [10] = 0xff, 0xff, 192, 0, n } };

	return a;
}

static void
put(unsigned n, const char *home, unsigned char from, uint64_t size)
{
	struct spool_meta m = { .id = id(n), .client_net = net(from) };

	snprintf(m.home, sizeof(m.home), "%s", home);
	tally_add(t, &m, size);
}

static uint64_t
of(const char *home)
{
	return tally_octets(t, home, NULL);
}

static uint64_t
share(const char *home, unsigned char from)
{
	struct netaddr a = net(from);

	return tally_octets(t, home, &a);
}

static int
setup(void **state)
{
	assert_non_null(t = tally_new());
	return 0;
}

static int
teardown(void **state)
{
	tally_free(&t);
	return 0;
}

static void
what_is_put_counts_for_its_home_and_its_network(void **state)
{
	put(1, "alice", 1, 100);
	put(2, "alice", 2, 20);
	put(3, "bob", 1, 3);
	assert_int_equal(of("alice"), 120);
	assert_int_equal(of("bob"), 3);
	assert_int_equal(of("nobody"), 0);
	assert_int_equal(share("alice", 1), 100);
	assert_int_equal(share("bob", 2), 0);
}

static void
what_a_look_does_not_find_home_has_taken(void **state)
{
	for (unsigned n = 5; n > 0; n--)	/* ids are no order */
		put(n, "alice", 1, 1);
	tally_look(t);
	tally_seen(t, id(2));
	tally_seen(t, id(4));
	tally_seen(t, id(77));			/* another edge's */
	assert_true(tally_looked(t, true));
	assert_int_equal(of("alice"), 2);
	tally_look(t);
	assert_true(tally_looked(t, true));
	assert_int_equal(of("alice"), 0);
}

static void
what_comes_while_a_look_goes_on_is_not_judged_by_it(void **state)
{
	put(2, "alice", 1, 1);
	put(5, "alice", 1, 10);
	tally_look(t);
	put(3, "alice", 1, 100);
	assert_true(tally_looked(t, true));
	assert_int_equal(of("alice"), 100);
	tally_look(t);
	tally_seen(t, id(3));
	assert_false(tally_looked(t, true));
}

static void
beyond_the_last_name_of_half_a_look_nothing_is_known(void **state)
{
	for (unsigned n = 1; n <= 6; n++)
		put(n, "alice", 1, 1);
	tally_look(t);
	tally_seen(t, id(2));
	tally_seen(t, id(4));
	tally_looked(t, false);
	assert_int_equal(of("alice"), 4);	/* 2, 4, and 5 and 6 */
	tally_look(t);
	assert_false(tally_looked(t, false));	/* it failed at once */
	assert_int_equal(of("alice"), 4);
}

/* A new look where the one before was broken off. */
static void
a_look_begins_anew(void **state)
{
	put(1, "alice", 1, 1);
	tally_look(t);
	tally_seen(t, id(1));
	tally_look(t);
	tally_looked(t, true);
	assert_int_equal(of("alice"), 0);
}

static void
there_is_an_end_to_counting_and_then_mail_is_taken(void **state)
{
	for (unsigned n = 0; n < TALLY_MAX + 10; n++)
		put(n, "alice", 1, 1);
	assert_int_equal(of("alice"), TALLY_MAX);
	tally_look(t);
	for (unsigned n = 0; n < TALLY_MAX; n += 2)
		tally_seen(t, id(n));
	tally_looked(t, true);
	assert_int_equal(of("alice"), TALLY_MAX / 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(what_is_put_counts_for_its_home_and_its_network),
		T(what_a_look_does_not_find_home_has_taken),
		T(what_comes_while_a_look_goes_on_is_not_judged_by_it),
		T(beyond_the_last_name_of_half_a_look_nothing_is_known),
		T(a_look_begins_anew),
		T(there_is_an_end_to_counting_and_then_mail_is_taken),
	};

	return cmocka_run_group_tests_name("tally", tests, NULL, NULL);
}
