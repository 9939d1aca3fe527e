/* The courier's list of mailboxes, with a helper of the test's own. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "home/home.h"
#include "home/roster.h"
#include "kit/loop.h"

static struct {
	struct roster	*roster;
	struct conf_home conf;
	struct chan	*helper;	/* the helper's end */
	unsigned	 asked;
	uint64_t	 tag;
} R;

static void
on_changed(void *arg)
{
}

static void
on_message(void *arg, struct chan_msg *m)
{
	assert_int_equal(m->type, HM_RUN);
	R.tag = m->tag;
	R.asked++;
}

static void
on_close(void *arg, const struct why *why)
{
	chan_free(&R.helper);
}

static void
configure(const char *command)
{
	snprintf(R.conf.users_command, sizeof(R.conf.users_command), "%s", command);
	roster_configure(R.roster, &R.conf);
}

static void
printed(const char *text, const char *error)
{
	struct span out = span_str(text), end = span_str(error);

	assert_true(chan_send(R.helper, HM_OUTPUT, R.tag, &out, 1, -1));
	assert_true(chan_send(R.helper, HM_RAN, R.tag, &end, 1, -1));
	loop_run_ms(20);
}

static bool
is_listed(const char *name)
{
	static const struct edges none;
	struct router router;

	roster_router(R.roster, &R.conf, &none, &router);
	return mailboxes_find(router.boxes, span_str(name), (struct mailboxes_rule){ 0 }) != NULL;
}

static int
set_up(void **state)
{
	struct why why = { "" };
	struct chan *end;
	int sv[2];

	memset(&R, 0, sizeof(R));
	log_init("test.roster", LOG_ERROR + 1);
	loop_begin();
	R.conf.users_refresh_ms = 3600000;
	snprintf(R.conf.users[R.conf.nusers++], sizeof(R.conf.users[0]), "alice");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
	assert_non_null(R.helper = chan_new(&loop, sv[0], &why));
	assert_non_null(end = chan_new(&loop, sv[1], &why));
	chan_start(R.helper, on_message, on_close, NULL);
	assert_non_null(R.roster = roster_new(&loop, on_changed, NULL));
	configure("list");
	roster_attach(R.roster, end);
	RUN_UNTIL(R.asked == 1);
	return 0;
}

static int
tear_down(void **state)
{
	roster_free(&R.roster);
	RUN_UNTIL(R.helper == NULL);
	loop_end();
	return 0;
}

static void
who_is_printed_is_listed(void **state)
{
	assert_false(roster_known(R.roster));
	printed("bob\n", "");
	assert_true(roster_known(R.roster));
	assert_true(is_listed("alice") && is_listed("bob"));
	assert_string_equal(roster_alarm(R.roster), "");
}

/* A reload took the command away while it ran. */
static void
what_is_no_list_any_more_is_not_heard(void **state)
{
	configure("");
	printed("bob\n", "");
	assert_true(is_listed("alice"));
	assert_false(is_listed("bob"));
	configure("list");
	RUN_UNTIL(R.asked == 2);
	configure("");
	printed("", "it ended with status 1");
	assert_string_equal(roster_alarm(R.roster), "");
	configure("list");
	RUN_UNTIL(R.asked == 3);
	printed("carol\n", "");
	assert_true(is_listed("carol"));
}

static unsigned
count(const char *text, const char *what)
{
	unsigned n = 0;

	for (; (text = strstr(text, what)) != NULL; text += strlen(what))
		n++;
	return n;
}

/* Printed every few minutes, for years: the log has those that say something new. */
static void
the_log_has_a_list_once(void **state)
{
	static const struct {
		const char	*text;
		unsigned	 learned, skipped;	/* lines, with all before */
	} lists[] = {
		{ "bob\n", 1, 0 },
		{ "bob\n", 1, 0 },
		{ "bob\ncarol\n", 2, 0 },
		{ "bob\ncarol\n", 2, 0 },
		{ "bob\ncarol\n/dev/null\n", 3, 1 },
		{ "bob\ncarol\n/dev/null\n", 3, 1 },
		{ "bob\n", 4, 1 },
	};
	int was = dup(STDERR_FILENO), log = memfd_create("log", MFD_CLOEXEC);

	assert_true(was >= 0 && dup2(log, STDERR_FILENO) >= 0);
	log_init("test.roster", LOG_INFO);
	R.conf.users_refresh_ms = 10;
	roster_configure(R.roster, &R.conf);
	printed("bob\n", "");			/* asked before that, which asks again */
	RUN_UNTIL(R.asked == 2);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		unsigned asked = R.asked;
		char text[8192] = "";

		printed(lists[i].text, "");
		RUN_UNTIL(R.asked > asked);
		assert_true(pread(log, text, sizeof(text) - 1, 0) > 0);
		assert_int_equal(count(text, "mailboxes.learned "), lists[i].learned);
		assert_int_equal(count(text, "mailboxes.skipped "), lists[i].skipped);
	}
	log_init("test.roster", LOG_ERROR + 1);
	assert_true(dup2(was, STDERR_FILENO) >= 0);
	close(was);
	close(log);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_is_printed_is_listed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_list_any_more_is_not_heard, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(the_log_has_a_list_once, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
