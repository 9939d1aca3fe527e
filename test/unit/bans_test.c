/* Bans at home: what may be banned, what is told and kept, and how it ends. */
#include "kit/store_play.h"

#include <jansson.h>

#include "base/codec.h"
#include "base/netset.h"
#include "store/control_answer.h"

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
	return netset_find(heard.set, &a, wall_ms()) != NULL;
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
		TEST(the_most_there_may_be),
	};

	log_init("test.bans", LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
