/* Who is told what, and when: the machine behind alarms, with a clock of the test's own. */
#include "proto/alarms.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/notice.h"

#define MIN	(60 * 1000LL)
#define HOUR	(60 * MIN)
#define DAY	(24 * HOUR)

static const struct alarm_times times = { .after_ms = MIN, .repeat_ms = DAY, .old_ms = 15 * MIN };
static struct alarms A;
static int64_t now;

static int
begin(void **state)
{
	A = (struct alarms){ .list = NULL };
	now = 1000 * DAY;
	return 0;
}

static int
end(void **state)
{
	alarms_fini(&A);
	return 0;
}

/* A look that finds the one condition, with those words, or finds nothing. */
static void
look(const char *text)
{
	alarms_look(&A);
	if (text != NULL)
		assert_true(alarms_seen(&A, "disk", text, false, MIN, now));
	alarms_looked(&A, &times, now);
}

/* What the webhook would tell now, and it is told. */
static const char *
told(enum alarm_road r)
{
	enum alarm_event e;
	const struct alarm *a = alarms_due(&A, r, &times, now, &e);

	if (a != NULL)
		alarms_told(&A, r, a->key, e, now);
	return alarm_event_name(e);
}

/*
 * A life in steps: so much later, whether a look finds it, and what the road says then.
 */
static const struct {
	const char	*name;
	struct {
		int64_t	 later;
		bool	 there;
		const char *says;
	} steps[8];
} lives[] = {
	{ "raised once it has lasted, once", {
		{ 0, true, "nothing" }, { MIN / 2, true, "nothing" }, { MIN / 2, true, "raised" },
		{ MIN, true, "nothing" }, { HOUR, true, "nothing" } } },
	{ "repeated each day while it lasts", {
		{ 0, true, "nothing" }, { MIN, true, "raised" }, { DAY - 1, true, "nothing" },
		{ 1, true, "repeated" }, { HOUR, true, "nothing" }, { DAY, true, "repeated" } } },
	{ "cleared once it is gone as long, once", {
		{ 0, true, "nothing" }, { MIN, true, "raised" }, { 10, false, "nothing" },
		{ MIN / 2, false, "nothing" }, { MIN / 2, false, "cleared" },
		{ MIN, false, "nothing" } } },
	{ "what never lasted is never told", {
		{ 0, true, "nothing" }, { MIN / 2, false, "nothing" }, { MIN, false, "nothing" },
		{ HOUR, false, "nothing" } } },
	{ "what comes and goes is one that lasts", {
		{ 0, true, "nothing" }, { MIN / 2, false, "nothing" }, { MIN / 2, true, "raised" },
		{ MIN / 2, false, "nothing" }, { MIN / 4, true, "nothing" },
		{ MIN / 2, false, "nothing" }, { MIN, false, "cleared" } } },
	{ "it comes back after it was cleared: a new one", {
		{ 0, true, "nothing" }, { MIN, true, "raised" }, { 1, false, "nothing" },
		{ MIN, false, "cleared" }, { MIN, false, "nothing" }, { HOUR, true, "nothing" },
		{ MIN, true, "raised" } } },
	{ "a clock that went back repeats nothing early", {
		{ 0, true, "nothing" }, { MIN, true, "raised" }, { -9 * DAY, true, "nothing" },
		{ DAY, true, "nothing" } } },
};

static void
a_condition_is_told_raised_repeated_and_cleared(void **state)
{
	for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
		begin(NULL);
		for (size_t k = 0; k < 8 && lives[i].steps[k].says != NULL; k++) {
			const char *says;
			char text[64];

			now += lives[i].steps[k].later;
			/* Its words are others each time: still the same condition. */
			snprintf(text, sizeof(text), "%zu MB are left", 100 - k);
			look(lives[i].steps[k].there ? text : NULL);
			says = told(ALARM_WEBHOOK);
			if (strcmp(says, lives[i].steps[k].says) != 0)
				fail_msg("%s: step %zu says %s", lives[i].name, k, says);
		}
		alarms_fini(&A);
	}
}

static void
each_road_tells_for_itself(void **state)
{
	enum alarm_event e;

	look("full");
	now += MIN;
	look("full");
	assert_string_equal(told(ALARM_COMMAND), "raised");
	assert_string_equal(told(ALARM_COMMAND), "nothing");
	/* The webhook does not work: it stays due, and the command is not asked again for it. */
	for (int i = 0; i < 3; i++) {
		now += HOUR;
		look("full");
		assert_non_null(alarms_due(&A, ALARM_WEBHOOK, &times, now, &e));
		assert_int_equal(e, ALARM_RAISED);
		assert_string_equal(told(ALARM_COMMAND), "nothing");
	}
	look(NULL);
	now += MIN;
	look(NULL);
	/* Who never heard of it hears no end of it. */
	assert_string_equal(told(ALARM_WEBHOOK), "nothing");
	assert_string_equal(told(ALARM_COMMAND), "cleared");
	look(NULL);
	assert_int_equal(A.n, 0);
}

static void
a_road_does_not_tell_that_it_does_not_work(void **state)
{
	for (int i = 0; i < 2; i++, now += MIN) {
		alarms_look(&A);
		assert_true(alarms_seen(&A, "alarms/webhook", "it answered 500", false, MIN, now));
		alarms_looked(&A, &times, now);
	}
	assert_string_equal(told(ALARM_WEBHOOK), "nothing");
	assert_string_equal(told(ALARM_MAIL), "raised");
}

static void
a_summary_is_told_once_a_day_and_has_no_end(void **state)
{
	static const char *const says[] = { "nothing", "summary", "nothing", "summary" };
	static const int64_t later[] = { 0, MIN, DAY / 2, DAY };

	for (int i = 0; i < 4; i++) {
		now += later[i];
		alarms_look(&A);
		assert_true(alarms_seen(&A, "junk", "3 messages", true, MIN, now));
		alarms_looked(&A, &times, now);
		assert_string_equal(told(ALARM_MAIL), says[i]);
	}
	for (int i = 0; i < 3; i++, now += MIN) {
		look(NULL);
		assert_string_equal(told(ALARM_MAIL), "nothing");
	}
	assert_int_equal(A.n, 0);
}

static void
restart(void)
{
	struct why why = { "" };
	struct buf text;

	buf_init(&text, ALARMS_FILE_MAX);
	assert_true(alarms_write(&A, &text));
	assert_false(A.changed);
	alarms_fini(&A);
	if (alarms_read(&A, buf_span(&text), &why) == -1)
		fail_msg("%s", why.text);
	buf_fini(&text);
}

static void
a_restart_repeats_nothing_and_forgets_nothing(void **state)
{
	const struct alarm *a;

	look("full");
	now += MIN;
	look("full");
	assert_string_equal(told(ALARM_MAIL), "raised");
	restart();
	/* Nobody has found it yet, which does not say that it is over. */
	look(NULL);
	assert_string_equal(told(ALARM_MAIL), "nothing");
	now += 2 * MIN;
	look(NULL);
	assert_string_equal(told(ALARM_MAIL), "nothing");
	look("full still");
	assert_string_equal(told(ALARM_MAIL), "nothing");
	assert_non_null(a = alarms_find(&A, "disk"));
	assert_true(a->since_ms == 1000 * DAY);
	restart();
	now += DAY;
	look("full still");
	assert_string_equal(told(ALARM_MAIL), "repeated");
	restart();
	/* It ended while nobody ran. */
	look(NULL);
	now += 15 * MIN;
	look(NULL);
	assert_string_equal(told(ALARM_MAIL), "cleared");
	look(NULL);
	restart();
	assert_int_equal(A.n, 0);
}

static const char *const files[] = {
	"", "{}", "[]", "{\"version\":1}", "{\"version\":2,\"told\":[]}",
	"{\"version\":1,\"told\":[{}]}", "{\"version\":1,\"told\":[3]}",
	"{\"version\":1,\"told\":[{\"key\":\"\",\"text\":\"\",\"since_ms\":1,"
	    "\"told_ms\":{\"mail\":1}}]}",
	"{\"version\":1,\"told\":[{\"key\":\"a\",\"text\":\"b\",\"since_ms\":1,\"told_ms\":{}}]}",
	"{\"version\":1,\"told\":[{\"key\":\"a\",\"text\":\"b\",\"since_ms\":1,"
	    "\"told_ms\":{\"mail\":\"x\"}}]}",
	"{\"version\":1,\"told\":[{\"key\":\"a\",\"text\":\"b\",\"since_ms\":-1,"
	    "\"told_ms\":{\"mail\":1}}]}",
};

static void
a_file_that_is_none_is_refused_whole(void **state)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct why why = { "" };

		if (alarms_read(&A, span_str(files[i]), &why) != -1 || A.n != 0 ||
		    why.text[0] == '\0')
			fail_msg("%s", files[i]);
	}
}

static void
there_is_an_end_of_them(void **state)
{
	char key[32];
	int i;

	alarms_look(&A);
	for (i = 0; i < ALARMS_MAX; i++) {
		snprintf(key, sizeof(key), "edge/%d", i);
		assert_true(alarms_seen(&A, key, "away", false, 0, now));
	}
	assert_false(alarms_seen(&A, "one more", "away", false, 0, now));
	alarms_looked(&A, &times, now);
	for (; i > 0; i--)
		assert_string_equal(told(ALARM_WEBHOOK), "raised");
	assert_string_equal(told(ALARM_WEBHOOK), "nothing");
}

/* --- what is told --------------------------------------------------------------------------- */

static const struct notice notice = { .event = ALARM_RAISED, .key = "edge/mx1.example.org",
	.detail = "edge mx1.example.org is out of reach: it says \"\r\nBcc: <you@example.net>\" "
	"and \xc3\xa9", .host = "home.example", .role = "home", .since_ms = 1700000000000,
	.at_ms = 1700000900000 };

static void
a_notice_survives_its_way(void **state)
{
	struct why why = { "" };
	struct notice n;
	struct buf json;

	buf_init(&json, NOTICE_MAX);
	assert_true(notice_json(&notice, &json));
	assert_int_equal(notice_read(buf_span(&json), &n, &why), 0);
	assert_int_equal(n.event, ALARM_RAISED);
	assert_string_equal(n.key, notice.key);
	assert_string_equal(n.detail, "edge mx1.example.org is out of reach: it says \"??Bcc: "
	    "<you@example.net>\" and ??");
	assert_true(n.since_ms == notice.since_ms && n.at_ms == notice.at_ms);
	for (size_t i = 0; i < json.n; i++)
		assert_int_equal(notice_read(span_of(json.p, i), &n, &why), -1);
	buf_fini(&json);
}

static void
nothing_that_is_quoted_adds_a_line(void **state)
{
	char *env[NOTICE_VARS + 1];
	struct buf text, mail;

	buf_init(&text, NOTICE_MAX);
	assert_int_equal(notice_environment(&(struct notice){ .event = ALARM_CLEARED,
	    .key = "disk", .detail = "fine", .host = "h", .role = "edge", .at_ms = 1 }, &text,
	    env), NOTICE_VARS);
	assert_string_equal(env[0], "POSTHOUSE_EVENT=cleared");
	assert_string_equal(env[2], "POSTHOUSE_TEXT=posthouse edge h: well again: fine");
	assert_string_equal(env[6], "POSTHOUSE_SINCE=");
	assert_null(env[NOTICE_VARS]);
	buf_init(&mail, NOTICE_MAX);
	assert_true(notice_mail(&(struct notice){ .event = ALARM_RAISED, .key = "disk",
	    .detail = "full??Bcc: x", .host = "h", .role = "home", .at_ms = 1 }, "a@b.example",
	    "c@d.example", (struct uuid){ { 1 } }, &mail));
	buf_add(&mail, "", 1);
	assert_non_null(strstr(mail.p, "\r\nSubject: posthouse home h: ALARM: full??Bcc: x\r\n"));
	assert_null(strstr(mail.p, "\nBcc"));
	assert_non_null(strstr(mail.p, "\r\nAuto-Submitted: auto-generated\r\n"));
	assert_int_equal(strspn(mail.p, "\r\n"), 0);
	buf_fini(&text);
	buf_fini(&mail);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_condition_is_told_raised_repeated_and_cleared),
		TEST(each_road_tells_for_itself),
		TEST(a_road_does_not_tell_that_it_does_not_work),
		TEST(a_summary_is_told_once_a_day_and_has_no_end),
		TEST(a_restart_repeats_nothing_and_forgets_nothing),
		TEST(a_file_that_is_none_is_refused_whole),
		TEST(there_is_an_end_of_them),
		TEST(a_notice_survives_its_way),
		TEST(nothing_that_is_quoted_adds_a_line),
	};

	return cmocka_run_group_tests_name("alarms", tests, NULL, NULL);
}
