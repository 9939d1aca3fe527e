/* Bans at home: what may be banned, what is told and kept, and how it ends. */
#include "kit/store_play.h"

#include <stdlib.h>

#include <jansson.h>

#include "base/codec.h"
#include "base/netset.h"
#include "base/clock.h"
#include "store/control_answer.h"
#include "store/writer_in.h"

/* As the tunnel process keeps what it is told. */
static struct {
	struct netset	*set;
	unsigned	 whole;
} heard;

static void
on_bans(void *arg, const struct spool_bans *b)
{
	if (b->anew) {
		netset_free(&heard.set);
		heard.set = netset_new(DB_BANS_MAX);
	}
	assert_non_null(heard.set);
	for (size_t i = 0; i < b->n; i++) {
		const struct netset_entry *e = &b->list[i].on;

		if (b->list[i].lifted)
			assert_true(netset_remove(heard.set, &e->net, e->bits));
		else
			assert_true(netset_add(heard.set, &e->net, e->bits, e->until_ms));
	}
	heard.whole += b->whole;
}

static const struct spool_events events = {
	.work = on_work, .mark = on_mark, .attached = on_attached, .peers_known = on_known,
	.bans = on_bans,
};

static struct play P;
static struct spool *S;

static int
set_up(void **state)
{
	heard.whole = 0;
	play_begin(&P, CONF_HOME);
	S = spool_new(&events, &P, P.large, P.conf.hold->memory, P.conf.hold->threshold);
	play_attach(&P, S);
	play_until(&P, &P.known, 1);
	assert_int_equal(heard.whole, 1);	/* before "that was all" */
	return 0;
}

static int
tear_down(void **state)
{
	spool_free(&S);
	play_end(&P);
	netset_free(&heard.set);
	return 0;
}

/* The answer's line; the caller's to decref. */
static json_t *
ask(const char *question)
{
	struct control_answer a;

	control_answer(P.writer, span_str(question), &a);
	assert_non_null(a.line);
	return a.line;
}

/* What was refused, or "" */
static const char *
asked(const char *question)
{
	static char error[600];
	json_t *a = ask(question);
	const char *e = json_string_value(json_object_get(a, "error"));

	snprintf(error, sizeof(error), "%s", e != NULL ? e : "");
	json_decref(a);
	return error;
}

static bool
banned(const char *ip)
{
	struct netaddr a;

	assert_true(netaddr_parse_ip(span_str(ip), &a));
	play_for(&P, 30);
	return netset_find(heard.set, &a, boot_ms()) != NULL;
}

static size_t
listed(void)
{
	json_t *a = ask("{\"do\":\"bans\"}");
	size_t n = json_array_size(json_object_get(a, "bans"));

	json_decref(a);
	return n;
}

#define BAN(net)	"{\"do\":\"ban\",\"net\":\"" net "\"}"
#define BAN_BY(net, by)	"{\"do\":\"ban\",\"net\":\"" net "\",\"by\":\"" by "\"}"
#define UNBAN(net)	"{\"do\":\"unban\",\"net\":\"" net "\"}"
#define UNBAN_BY(net, by) "{\"do\":\"unban\",\"net\":\"" net "\",\"by\":\"" by "\"}"

static void
what_is_never_banned(void **state)
{
	static struct scoreboard board;
	static const struct {
		const char	*question, *why;
	} rows[] = {
		{ BAN("10.1.2.3"), "10.0.0.0/8 is not public" },
		{ BAN("::ffff:192.168.1.9"), "192.168.0.0/16 is not public" },
		{ BAN("12.0.0.0/7"), "from /8 to /32" },
		{ BAN("2000::/16"), "from /32 to /128" },
		{ BAN("192.0.2.9/24"), "the network is 192.0.2.0/24" },
		{ BAN("example.org"), "not an address" },
		{ BAN("203.0.113.9"), "where edge mx1.example.org is" },
		{ BAN("203.0.113.0/24"), "where edge mx1.example.org is" },
		{ BAN("198.51.100.7"), "where edge mx2.example.org is" },
		{ BAN_BY("192.0.2.9", "two words"), "one word" },
		{ BAN_BY("192.0.2.9", ""), "one word" },
		{ "{\"do\":\"ban\"}", "names no address" },
		{ "{\"do\":\"ban\",\"net\":\"192.0.2.9\",\"for_ms\":-1}", "for some time" },
		{ "{\"do\":\"unban\",\"net\":7}", "names no address" },
	};
	struct writer_conf conf = P.conf;
	struct why why;

	strcpy(board.peer[0].name, "mx1.example.org");
	strcpy(board.peer[0].address, "203.0.113.9:7443");
	strcpy(board.peer[1].name, "mx2.example.org");
	strcpy(board.peer[1].address, "mx2.example.org:7443");
	strcpy(board.peer[1].at, "198.51.100.7:7443");
	conf.board = &board;
	assert_int_equal(writer_reload(P.writer, &conf, &why), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strstr(asked(rows[i].question), rows[i].why) == NULL)
			fail_msg("%s: %s", rows[i].question, asked(rows[i].question));
	assert_int_equal(listed(), 0);
	play_for(&P, 30);
	assert_int_equal(heard.whole, 1);
}

static void
banned_until_it_is_lifted(void **state)
{
	assert_string_equal(asked(BAN("::ffff:192.0.2.0/120")), "");
	assert_true(banned("192.0.2.200"));
	assert_int_equal(heard.whole, 2);
	assert_non_null(strstr(asked(UNBAN("192.0.2.7")), "lies in 192.0.2.0/24, which is"));
	assert_string_equal(asked(UNBAN("192.0.2.0/24")), "");
	assert_false(banned("192.0.2.200"));
	assert_string_equal(asked(UNBAN("192.0.2.0/24")), "");	/* it is so already */
	assert_int_equal(heard.whole, 3);
}

/* Two jails ban the same attacker: the first to let him go does not speak for the other. */
static void
each_lifts_his_own(void **state)
{
	assert_string_equal(asked(BAN_BY("192.0.2.7", "jail-imap")), "");
	assert_string_equal(asked(BAN_BY("192.0.2.7", "jail-smtp")), "");
	assert_string_equal(asked(BAN("198.51.100.7")), "");
	assert_int_equal(listed(), 3);
	assert_string_equal(asked(UNBAN_BY("192.0.2.7", "jail-imap")), "");
	assert_true(banned("192.0.2.7"));
	assert_string_equal(asked("{\"do\":\"unban\",\"by\":\"jail-smtp\"}"), "");
	assert_false(banned("192.0.2.7"));
	assert_true(banned("198.51.100.7"));
	assert_string_equal(asked(BAN_BY("198.51.100.7", "jail-imap")), "");
	assert_string_equal(asked(UNBAN("198.51.100.7")), "");		/* the operator means all */
	assert_false(banned("198.51.100.7"));
	assert_int_equal(listed(), 0);
}

static void
the_longest_counts(void **state)
{
	assert_string_equal(asked("{\"do\":\"ban\",\"net\":\"192.0.2.7\",\"for_ms\":60,"
	    "\"by\":\"short\"}"), "");
	assert_string_equal(asked("{\"do\":\"ban\",\"net\":\"192.0.2.7\",\"for_ms\":60000,"
	    "\"by\":\"long\"}"), "");
	assert_string_equal(asked("{\"do\":\"ban\",\"net\":\"192.0.2.8\",\"for_ms\":60}"), "");
	play_for(&P, 100);
	assert_true(banned("192.0.2.7"));
	assert_false(banned("192.0.2.8"));
	assert_int_equal(listed(), 1);
	assert_string_equal(asked(BAN("192.0.2.7")), "");
	assert_string_equal(asked(UNBAN_BY("192.0.2.7", "long")), "");
	assert_true(banned("192.0.2.7"));
}

static void
a_writer_that_comes_back_says_them_all_again(void **state)
{
	assert_string_equal(asked(BAN("2001:db8::/32")), "");
	assert_string_equal(asked("{\"do\":\"ban\",\"net\":\"192.0.2.8\",\"for_ms\":60}"), "");
	play_for(&P, 100);
	spool_attach(S, NULL);
	writer_free(&P.writer);
	play_for(&P, 10);
	play_writer(&P);
	play_attach(&P, S);
	play_until(&P, &P.known, 2);
	assert_int_equal(netset_count(heard.set), 1);
	assert_true(banned("2001:db8:1::1"));
}

/* Its rows as they are on disk: made and until of the last one. */
static bool
row_of(void *arg, const struct db_ban *b)
{
	*(struct db_ban *)arg = *b;
	return true;
}

static struct db_ban
on_disk(void)
{
	struct db_ban b = { .num = 0 };
	struct why why = { "" };

	assert_int_equal(db_bans(writer_db(P.writer), 0, INT64_MIN, row_of, &b, &why), 0);
	assert_true(b.num > 0);
	return b;
}

static int64_t
left_ms(const char *ip)
{
	struct netaddr a;
	const struct netset_entry *e;

	assert_true(netaddr_parse_ip(span_str(ip), &a));
	assert_non_null(e = netset_find(heard.set, &a, boot_ms()));
	return e->until_ms - boot_ms();
}

static void
writer_restarts(void)
{
	unsigned known = P.known;

	spool_attach(S, NULL);
	writer_free(&P.writer);
	play_for(&P, 10);
	play_writer(&P);
	play_attach(&P, S);
	play_until(&P, &P.known, known + 1);
}

#define DAYS(n)		((n) * 24LL * 3600 * 1000)
#define TEN_MIN_MS	600000
#define BAN_10M		"{\"do\":\"ban\",\"net\":\"192.0.2.8\",\"for_ms\":600000}"

/* The clock is set, weeks ahead and years back: what is left of a ban is left of it. */
static void
a_clock_that_jumps_neither_lifts_nor_keeps_a_ban(void **state)
{
	static const int64_t jumps[] = { DAYS(30), -DAYS(3000), DAYS(1) };
	struct db_ban was, is;

	assert_string_equal(asked(BAN("192.0.2.1")), "");
	assert_string_equal(asked(BAN_10M), "");
	play_for(&P, 50);
	was = on_disk();
	for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		P.writer->clock.wall_ms -= jumps[i];	/* the last look was by a clock before it */
		writer_clock_look(P.writer);
		is = on_disk();
		/* Two clocks are read one after the other: they may differ by a tick. */
		assert_true(llabs(is.on.until_ms - was.on.until_ms - jumps[i]) <= 2);
		assert_int_equal(is.on.until_ms - is.made_ms, TEN_MIN_MS);
		assert_true(banned("192.0.2.8"));
		assert_in_range(left_ms("192.0.2.8"), TEN_MIN_MS - 20000, TEN_MIN_MS);
		was = is;
	}
	P.writer->clock.wall_ms -= 60000;		/* a minute is no jump */
	writer_clock_look(P.writer);
	assert_int_equal(on_disk().on.until_ms, was.on.until_ms);
	/* A ban made after a jump that nobody has looked at yet is not moved by it. */
	P.writer->clock.wall_ms -= DAYS(1);
	assert_string_equal(asked("{\"do\":\"ban\",\"net\":\"192.0.2.9\","
	    "\"for_ms\":600000}"), "");
	is = on_disk();
	assert_int_equal(is.on.until_ms - is.made_ms, TEN_MIN_MS);
	assert_in_range(is.made_ms, wall_ms() - 20000, wall_ms());
}

/* Nobody sees a clock go back over a start: no ban may last longer than it was made for. */
static void
a_ban_of_the_future_begins_at_the_start(void **state)
{
	struct db *db = writer_db(P.writer);
	struct db_ban b = { .on = { .bits = 32 } };
	struct why why = { "" };

	assert_true(netaddr_parse_ip(SPAN_LIT("192.0.2.8"), &b.on.net));
	b.made_ms = wall_ms() + DAYS(20000);
	b.on.until_ms = b.made_ms + TEN_MIN_MS;
	assert_int_equal(db_ban(db, &b, &why), 0);
	assert_int_equal(db_commit(db, &why), 0);
	writer_restarts();
	assert_in_range(left_ms("192.0.2.8"), TEN_MIN_MS - 20000, TEN_MIN_MS);
	assert_in_range(on_disk().made_ms, wall_ms() - 20000, wall_ms());
	P.writer->clock.wall_ms -= DAYS(20000);		/* it is set right: that moves it again */
	writer_clock_look(P.writer);
	assert_in_range(left_ms("192.0.2.8"), TEN_MIN_MS - 20000, TEN_MIN_MS);
	assert_int_equal(on_disk().on.until_ms - on_disk().made_ms, TEN_MIN_MS);
}

/* As many as there may be, without a commit each; then one too many, and what makes room. */
static void
the_most_there_may_be(void **state)
{
	struct db *db = writer_db(P.writer);
	struct db_ban b = { .on = { .bits = 32 }, .by = "many" };
	struct why why = { "" };

	for (unsigned i = 0; i < DB_BANS_MAX; i++) {
		unsigned char ip[4];

		put_u32(ip, 12u << 24 | i);
		b.on.net = netaddr_from_octets(ip, 4, 0);
		b.on.until_ms = i < 5 ? 1 : 0;
		assert_int_equal(db_ban(db, &b, &why), 0);
	}
	assert_int_equal(db_commit(db, &why), 0);
	spool_attach(S, NULL);
	writer_free(&P.writer);
	play_for(&P, 10);
	play_writer(&P);
	assert_string_equal(asked(BAN("192.0.2.7")), "");	/* five were over */
	for (unsigned i = 0; i < 4; i++) {
		char q[80];

		snprintf(q, sizeof(q), BAN("192.0.2.%u"), 100 + i);
		assert_string_equal(asked(q), "");
	}
	assert_non_null(strstr(asked(BAN("192.0.2.8")), "100000 bans are the most"));
	play_attach(&P, S);
	play_until(&P, &P.known, 2);
	assert_int_equal(netset_count(heard.set), DB_BANS_MAX);
	assert_string_equal(asked("{\"do\":\"unban\",\"by\":\"many\"}"), "");
	assert_false(banned("12.0.1.1"));
	assert_true(banned("192.0.2.7"));
	assert_int_equal(netset_count(heard.set), 5);
}

#define TEST(t)	cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_never_banned),
		TEST(banned_until_it_is_lifted),
		TEST(each_lifts_his_own),
		TEST(the_longest_counts),
		TEST(a_writer_that_comes_back_says_them_all_again),
		TEST(a_clock_that_jumps_neither_lifts_nor_keeps_a_ban),
		TEST(a_ban_of_the_future_begins_at_the_start),
		TEST(the_most_there_may_be),
	};

	log_init("test.bans", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
