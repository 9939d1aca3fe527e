/* Networks in a set: what lies in them, when they end, and the same as a plain list says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/netset.h"
#include "kit/heap.h"

#define MANY	100000

static struct netaddr
at(const char *ip)
{
	struct netaddr a;

	assert_true(netaddr_parse_ip(span_str(ip), &a));
	return a;
}

static bool
add(struct netset *s, const char *ip, unsigned bits, int64_t until_ms)
{
	struct netaddr a = at(ip);

	return netset_add(s, &a, bits, until_ms);
}

static bool
removed(struct netset *s, const char *ip, unsigned bits)
{
	struct netaddr a = at(ip);

	return netset_remove(s, &a, bits);
}

/* "192.0.2.0/24", or "-". */
static const char *
found(const struct netset *s, const char *ip, int64_t now_ms)
{
	static char text[80];
	struct netaddr a = at(ip);
	const struct netset_entry *e = netset_find(s, &a, now_ms);

	if (e == NULL)
		return "-";
	assert_int_equal(e->net.port, 0);
	snprintf(text, sizeof(text), "%s/%u", netaddr_ip(&e->net).s, e->bits);
	return text;
}

static void
what_lies_in_what(void **state)
{
	static const struct {
		const char	*ip, *found;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.0/24" }, { "192.0.2.255", "192.0.2.0/24" },
		{ "192.0.3.0", "-" }, { "192.0.1.255", "-" }, { "::ffff:192.0.2.9",
		    "192.0.2.0/24" },
		{ "203.0.113.7", "203.0.113.7/32" }, { "203.0.113.6", "-" },
		{ "10.1.2.3", "10.0.0.0/8" },			/* the widest */
		{ "2001:db8:1:2::3", "2001:db8:1::/48" }, { "2001:db8:2::", "-" },
		{ "2001:db8::25", "2001:db8::25/128" }, { "::", "-" }, { "0.0.0.0", "-" },
	};
	struct netset *s = netset_new(10);

	assert_string_equal(found(s, "192.0.2.1", 0), "-");
	assert_true(add(s, "192.0.2.77", 24, 0));		/* host bits are cut off */
	assert_true(add(s, "203.0.113.7", 32, 0));
	assert_true(add(s, "10.1.0.0", 16, 0));
	assert_true(add(s, "10.0.0.0", 8, 0));
	assert_true(add(s, "2001:db8:1::", 48, 0));
	assert_true(add(s, "2001:db8::25", 128, 0));
	assert_int_equal(netset_count(s), 6);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(found(s, rows[i].ip, 1), rows[i].found) != 0)
			fail_msg("%s: %s", rows[i].ip, found(s, rows[i].ip, 1));
	netset_free(&s);
	assert_null(s);
	netset_free(&s);
}

static void
everything_of_one_family(void **state)
{
	struct netset *s = netset_new(10);

	assert_true(add(s, "0.0.0.0", 0, 0));
	assert_string_equal(found(s, "192.0.2.1", 1), "0.0.0.0/0");
	assert_string_equal(found(s, "2001:db8::1", 1), "-");
	assert_true(removed(s, "0.0.0.0", 0));
	assert_true(add(s, "::", 0, 0));
	assert_string_equal(found(s, "192.0.2.1", 1), "-");
	assert_string_equal(found(s, "2001:db8::1", 1), "::/0");
	netset_free(&s);
}

static void
each_ends_for_itself(void **state)
{
	struct netset *s = netset_new(10);

	assert_true(add(s, "192.0.2.0", 24, 100));
	assert_true(add(s, "192.0.2.7", 32, 200));
	assert_true(add(s, "192.0.2.8", 32, 300));
	assert_string_equal(found(s, "192.0.2.7", 99), "192.0.2.0/24");
	assert_string_equal(found(s, "192.0.2.7", 100), "192.0.2.7/32");
	assert_string_equal(found(s, "192.0.2.7", 200), "-");
	assert_string_equal(found(s, "192.0.2.9", 100), "-");
	assert_int_equal(netset_expire(s, 99), 0);
	assert_int_equal(netset_expire(s, 200), 2);
	assert_int_equal(netset_count(s), 1);
	assert_string_equal(found(s, "192.0.2.8", 0), "192.0.2.8/32");
	assert_string_equal(found(s, "192.0.2.7", 0), "-");
	/* Said again it ends at the new time, sooner or later. */
	assert_true(add(s, "192.0.2.8", 32, 0));
	assert_int_equal(netset_count(s), 1);
	assert_string_equal(found(s, "192.0.2.8", INT64_MAX), "192.0.2.8/32");
	assert_true(add(s, "192.0.2.8", 32, 50));
	assert_string_equal(found(s, "192.0.2.8", 50), "-");
	netset_free(&s);
}

static void
exactly_one_is_removed(void **state)
{
	struct netset *s = netset_new(10);

	assert_true(add(s, "192.0.2.0", 24, 0));
	assert_true(add(s, "192.0.2.0", 25, 0));
	assert_true(add(s, "192.0.2.128", 25, 0));
	assert_false(removed(s, "192.0.2.0", 23));
	assert_false(removed(s, "192.0.2.0", 26));
	assert_false(removed(s, "192.0.3.0", 24));
	assert_true(removed(s, "192.0.2.0", 24));
	assert_false(removed(s, "192.0.2.0", 24));		/* a fork is no entry */
	assert_string_equal(found(s, "192.0.2.1", 1), "192.0.2.0/25");
	assert_true(removed(s, "192.0.2.0", 25));
	assert_string_equal(found(s, "192.0.2.1", 1), "-");
	assert_string_equal(found(s, "192.0.2.129", 1), "192.0.2.128/25");
	assert_int_equal(netset_count(s), 1);
	netset_free(&s);
}

static void
no_more_than_max(void **state)
{
	struct netset *s = netset_new(2);

	assert_true(add(s, "192.0.2.0", 25, 0));
	assert_true(add(s, "192.0.2.128", 25, 5));
	assert_false(add(s, "192.0.2.0", 24, 0));		/* where a fork stands already */
	assert_false(add(s, "203.0.113.0", 24, 0));
	assert_true(add(s, "192.0.2.0", 25, 9));
	assert_int_equal(netset_count(s), 2);
	assert_string_equal(found(s, "203.0.113.1", 1), "-");
	assert_int_equal(netset_expire(s, 5), 1);
	assert_true(add(s, "203.0.113.0", 24, 0));
	netset_free(&s);
}

static void
note(void *arg, const struct netset_entry *e)
{
	char *text = arg;
	size_t n = strlen(text);

	snprintf(text + n, 400 - n, "%s/%u ", netaddr_ip(&e->net).s, e->bits);
}

static void
told_in_order(void **state)
{
	struct netset *s = netset_new(10);
	char text[400] = "";

	assert_true(add(s, "2001:db8::", 32, 0));
	assert_true(add(s, "203.0.113.7", 32, 0));
	assert_true(add(s, "10.0.0.7", 32, 0));
	assert_true(add(s, "203.0.113.0", 24, 1));
	assert_true(add(s, "2001:db8::1", 128, 0));
	netset_each(s, note, text);
	assert_string_equal(text,
	    "10.0.0.7/32 203.0.113.0/24 203.0.113.7/32 2001:db8::/32 2001:db8::1/128 ");
	netset_free(&s);
}

/* The same in a plain list: slow, and beyond doubt. */
static struct netset_entry list[2000];
static size_t nlist;

static bool
list_has(const struct netaddr *a, int64_t now_ms)
{
	for (size_t i = 0; i < nlist; i++)
		if ((list[i].until_ms == 0 || list[i].until_ms > now_ms) &&
		    netaddr_in(a, &list[i].net, list[i].bits))
			return true;
	return false;
}

static struct netset_entry *
list_at(const struct netaddr *net, unsigned bits)
{
	for (size_t i = 0; i < nlist; i++)
		if (list[i].bits == bits && list[i].net.v6 == net->v6 &&
		    netaddr_same_ip(&list[i].net, net))
			return &list[i];
	return NULL;
}

static unsigned
roll(unsigned n)
{
	static uint64_t x = 88172645463325252ULL;	/* xorshift: the same play every time */

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (unsigned)(x >> 33) % n;
}

/* Few addresses, so that networks lie in each other. */
static struct netaddr
any_address(void)
{
	struct netaddr a = roll(2) ? at("192.0.0.0") : at("2001:db8::");

	a.ip[a.v6 ? 4 : 14] = (unsigned char)roll(8);
	a.ip[15] = (unsigned char)roll(256);
	return a;
}

static void
as_a_list_says(void **state)
{
	struct netset *s = netset_new(sizeof(list) / sizeof(list[0]));

	nlist = 0;
	for (int64_t now = 1; now < 20000; now++) {
		struct netaddr a = any_address();
		unsigned bits = (a.v6 ? 96 : 0) + 32 - roll(roll(8) == 0 ? 33 : 10);
		struct netaddr net = netaddr_network(&a, bits, bits);
		struct netset_entry *e = list_at(&net, bits);

		if (roll(3) > 0) {
			int64_t until = roll(4) > 0 ? now + roll(500) : 0;

			assert_true(netset_add(s, &a, bits, until));
			if (e == NULL)
				e = &list[nlist++];
			*e = (struct netset_entry){ net, bits, until };
		} else {
			assert_true(netset_remove(s, &net, bits) == (e != NULL));
			if (e != NULL)
				*e = list[--nlist];
		}
		if (roll(100) == 0) {
			size_t before = nlist;

			for (size_t i = 0; i < nlist;)
				if (list[i].until_ms != 0 && list[i].until_ms <= now)
					list[i] = list[--nlist];
				else
					i++;
			assert_int_equal(netset_expire(s, now), before - nlist);
		}
		assert_int_equal(netset_count(s), nlist);
		for (int i = 0; i < 5; i++) {
			a = any_address();
			assert_true((netset_find(s, &a, now) != NULL) == list_has(&a, now));
		}
	}
	netset_free(&s);
}

static struct netaddr
numbered(uint32_t i)
{
	unsigned char ip[4] = { 0 };
	uint32_t scattered = i * 2654435761u;		/* odd: no two alike */

	memcpy(ip, &scattered, 4);
	return netaddr_from_octets(ip, 4, 0);
}

static void
a_hundred_thousand(void **state)
{
	struct netset *s = netset_new(MANY);

	for (uint32_t i = 0; i < MANY; i++) {
		struct netaddr a = numbered(i);

		assert_true(netset_add(s, &a, 32, i % 2 ? 0 : 10));
	}
	for (uint32_t i = 0; i < 2 * MANY; i++) {
		struct netaddr a = numbered(i);

		assert_true((netset_find(s, &a, 1) != NULL) == (i < MANY));
	}
	assert_int_equal(netset_expire(s, 10), MANY / 2);
	for (uint32_t i = 1; i < MANY; i += 2) {
		struct netaddr a = numbered(i);

		assert_true(netset_remove(s, &a, 32));
	}
	assert_int_equal(netset_count(s), 0);
	netset_free(&s);
}

/* A fork that no longer forks is not kept for the sake of what lies below it. */
static void
what_goes_leaves_nothing(void **state)
{
	struct netset *s = netset_new(10);
	size_t before;

	assert_true(add(s, "192.0.2.0", 32, 0));
	before = heap_in_use();
	for (unsigned bit = 0; bit < 24; bit++) {
		struct netaddr beside = at("192.0.2.0");

		beside.ip[12 + bit / 8] ^= (unsigned char)(0x80 >> bit % 8);
		assert_true(netset_add(s, &beside, 32, bit % 2 ? 0 : 1));
		if (bit % 2)
			assert_true(netset_remove(s, &beside, 32));
		else
			assert_int_equal(netset_expire(s, 1), 1);
	}
	assert_true(heap_in_use() == before);
	netset_free(&s);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_lies_in_what),
		cmocka_unit_test(everything_of_one_family),
		cmocka_unit_test(each_ends_for_itself),
		cmocka_unit_test(exactly_one_is_removed),
		cmocka_unit_test(no_more_than_max),
		cmocka_unit_test(told_in_order),
		cmocka_unit_test(as_a_list_says),
		cmocka_unit_test(a_hundred_thousand),
		cmocka_unit_test(what_goes_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
