#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The list of bans as an edge reads it, whole and cut everywhere. */
#include "proto/ban_list.h"

#define NOW		1000
#define BAN(net)	"\x1e{\"net\":\"" net "\"}\n"

static const struct {
	const char	*text;
	unsigned	 n;		/* taken before an error, if there is one */
	const char	*why;		/* NULL: all of it is good */
} lists[] = {
	{ "", 0, NULL },
	{ BAN("192.0.2.1") BAN("2001:db8::1/128") BAN("11.0.0.0/8"), 3, NULL },
	{ "\x1e{\"net\":\"192.0.2.1\",\"for_ms\":7,\"later\":[1]}\n", 1, NULL },
	{ "\x1e{\"net\":\"192.0.2.1\",\"lifted\":true}\n", 1, NULL },
	{ BAN("192.0.2.1") "\x1e{\"net\":\"192.0.2.2\"}", 1, "" },
	{ BAN("192.0.2.1") "{\"net\":\"192.0.2.2\"}\n", 1, "JSON text sequence" },
	{ "\x1e\n", 0, "\"net\" is missing" },
	{ "\x1e[]\n", 0, "\"net\" is missing" },
	{ "\x1e{\"net\":7}\n", 0, "\"net\" is missing" },
	{ "\x1e{\"net\":\"192.0.2.1\",\"for_ms\":-1}\n", 0, "for_ms" },
	{ "\x1e{\"net\":\"192.0.2.1\",\"for_ms\":\"1\"}\n", 0, "for_ms" },
	{ "\x1e{\"net\":\"192.0.2.1\",\"lifted\":1}\n", 0, "lifted" },
	{ BAN("192.0.2.1"), 1, NULL },
	{ BAN("2001:db8::1/128"), 1, NULL },
	{ BAN("11.0.0.0/8"), 1, NULL },
	{ BAN("11.0.0.0/7"), 0, "from /8" },
	{ BAN("2000::/31"), 0, "from /32" },
	{ BAN("192.0.2.1/24"), 0, "behind the prefix" },
	{ BAN("192.0.2.0/33"), 0, "prefix length" },
	{ BAN("192.0.2.0/"), 0, "prefix length" },
	{ BAN("mx.example/24"), 0, "not an address" },
	{ BAN("10.1.2.3"), 0, "never banned" },
	{ BAN("127.0.0.1"), 0, "never banned" },
	{ BAN("172.0.0.0/8"), 0, "never banned" },	/* it holds 172.16.0.0/12 */
	{ BAN("192.168.0.0/16"), 0, "never banned" },
	{ BAN("100.64.0.1"), 0, "never banned" },
	{ BAN("239.1.1.1"), 0, "never banned" },
	{ BAN("::1"), 0, "never banned" },
	{ BAN("fd00::/32"), 0, "never banned" },
	{ BAN("fe80::1"), 0, "never banned" },
};

static void
every_list_in_every_cut(void **state)
{
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (size_t piece = 1; piece <= strlen(lists[i].text) + 1; piece++) {
			struct span rest = span_str(lists[i].text);
			struct ban_reader r = { .n = 0 };
			struct why why = { "" };
			struct ban_change c;
			unsigned n = 0;

			while (rest.n > 0) {
				struct span s = span_of(rest.p, rest.n < piece ? rest.n : piece);

				rest = span_from(rest, s.n);
				while (ban_next(&r, &s, NOW, &c, &why) == BAN_ONE)
					n++;
			}
			assert_int_equal(n, lists[i].n);
			assert_int_equal(ban_whole(&r), lists[i].why == NULL);
			if (strstr(why.text, lists[i].why != NULL ? lists[i].why : "") == NULL)
				fail_msg("%s: %s", lists[i].text, why.text);
		}
}

static void
an_entry_without_end_is_refused(void **state)
{
	struct ban_reader r = { .n = 0 };
	struct why why = { "" };
	struct ban_change c;
	char text[BAN_RECORD_MAX + 2];
	struct span s = span_of(text, sizeof(text));

	memset(text, ' ', sizeof(text));
	text[0] = '\x1e';
	assert_int_equal(ban_next(&r, &s, NOW, &c, &why), BAN_BAD);
	assert_non_null(strstr(why.text, "too long"));
	s = SPAN_LIT(BAN("192.0.2.1"));
	assert_int_equal(ban_next(&r, &s, NOW, &c, &why), BAN_BAD);	/* for good */
}

static void
what_is_written_is_read(void **state)
{
	static const char *const nets[] = { "192.0.2.0/24", "2001:db8::7" };
	struct why why = { "" };

	for (unsigned i = 0; i < 2; i++) {
		struct ban_reader r = { .n = 0 };
		struct ban_change c = { .lifted = i == 1 }, d;
		struct buf b;
		struct span s;

		buf_init(&b, BAN_RECORD_MAX);
		assert_true(policy_ban_parse(span_str(nets[i]), &c.on, &why));
		c.on.until_ms = i == 1 ? 0 : INT64_MAX;
		assert_true(ban_print(&c, NOW, &b));
		s = buf_span(&b);
		assert_int_equal(ban_next(&r, &s, NOW, &d, &why), BAN_ONE);
		assert_true(netaddr_same_ip(&c.on.net, &d.on.net));
		assert_int_equal(c.on.bits, d.on.bits);
		assert_int_equal(c.on.until_ms, d.on.until_ms);
		assert_int_equal(c.lifted, d.lifted);
		buf_fini(&b);
	}
}

/* What is left goes over the line, so that two clocks that differ end a ban together. */
static void
a_ban_lasts_as_long_by_another_clock(void **state)
{
	static const struct { int64_t until, sent_at, read_at, ends; } rows[] = {
		{ 5000, 1000, 1000000, 1004000 },
		{ 5000, 1000, 1, 4001 },
		{ 0, 1000, 1000000, 0 },
		{ 5000, 9000, 1000000, 1000001 },	/* over, and not for ever */
		{ INT64_MAX, 1, 1000, INT64_MAX },
	};
	struct why why = { "" };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ban_reader r = { .n = 0 };
		struct ban_change c = { .lifted = false }, d;
		struct buf b;
		struct span s;

		buf_init(&b, BAN_RECORD_MAX);
		assert_true(policy_ban_parse(SPAN_LIT("192.0.2.1"), &c.on, &why));
		c.on.until_ms = rows[i].until;
		assert_true(ban_print(&c, rows[i].sent_at, &b));
		s = buf_span(&b);
		assert_int_equal(ban_next(&r, &s, rows[i].read_at, &d, &why), BAN_ONE);
		assert_int_equal(d.on.until_ms, rows[i].ends);
		buf_fini(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_list_in_every_cut),
		cmocka_unit_test(an_entry_without_end_is_refused),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(a_ban_lasts_as_long_by_another_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
