/*
 * The process that runs the mailbox command, with a courier of the test's own: what the
 * command may not do, it is ended for, with all that it started.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "home/home.h"
#include "home/mailboxes.h"
#include "kit/ahead.h"
#include "kit/loop.h"
#include "net/chan.h"
#include "priv/proc.h"

static struct {
	struct proc	 proc;
	struct conf_home *conf;
	struct chan	*courier;
	unsigned	 ran, changed;
	size_t		 octets;
	char		 text[64];	/* the beginning of the output */
	char		 why[128];
} H;

static void
on_message(void *arg, struct chan_msg *m)
{
	if (m->type == HM_CHANGED) {
		H.changed++;
		return;
	}
	assert_int_equal(m->tag, 7);
	if (m->type == HM_OUTPUT) {
		if (H.octets == 0)
			(void)span_copy(m->body, H.text, sizeof(H.text));
		H.octets += m->body.n;
		return;
	}
	assert_int_equal(m->type, HM_RAN);
	assert_true(span_copy(m->body, H.why, sizeof(H.why)));
	H.ran++;
}

static void
on_close(void *arg, const struct why *why)
{
	fail_msg("%s", why->text);
}

static void
courier_begins(void)
{
	struct why why = { "" };
	struct chan *end;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
	assert_non_null(H.courier = chan_new(&loop, sv[0], &why));
	assert_non_null(end = chan_new(&loop, sv[1], &why));
	chan_start(H.courier, on_message, on_close, NULL);
	proc_helper.peer(&H.proc, PROC_COURIER, end);
}

static int
set_up(void **state)
{
	struct why why = { "" };

	memset(&H, 0, sizeof(H));
	log_init("test.helper", LOG_ERROR + 1);
	loop_begin();
	H.conf = calloc(1, sizeof(*H.conf));
	snprintf(H.conf->helper_path, sizeof(H.conf->helper_path), "/usr/bin:/bin");
	H.proc = (struct proc){ .loop = &loop, .kind = PROC_HELPER, .role = CONF_HOME,
		.home = H.conf };
	courier_begins();
	assert_int_equal(proc_helper.start(&H.proc, &why), 0);
	proc_helper.run(&H.proc);
	return 0;
}

static void
close_timer(uv_handle_t *handle, void *arg)
{
	if (handle->data == H.proc.arg)
		uv_close(handle, NULL);
}

static int
tear_down(void **state)
{
	chan_free(&H.courier);
	loop_run_ms(20);			/* the helper has seen that it is gone */
	uv_walk(&loop, close_timer, NULL);	/* it lives as long as its process does */
	loop_end();
	free(H.proc.arg);
	free(H.conf);
	return 0;
}

static void
ask(const char *command)
{
	snprintf(H.conf->users_command, sizeof(H.conf->users_command), "%s", command);
	H.octets = 0;
	H.text[0] = H.why[0] = '\0';
	assert_true(chan_send(H.courier, HM_RUN, 7, NULL, 0, -1));
}

static void
run(const char *command)
{
	unsigned ran = H.ran;

	ask(command);
	RUN_UNTIL(H.ran == ran + 1);
}

static void
its_output_comes_whole(void **state)
{
	run("printf 'alice\\nbob\\n'");
	assert_string_equal(H.why, "");
	assert_string_equal(H.text, "alice\nbob\n");
	run("head -c 10485760 /dev/zero");
	assert_string_equal(H.why, "");
	assert_int_equal(H.octets, MAILBOXES_TEXT_MAX);
}

static void
its_end_is_told(void **state)
{
	run("false");
	assert_string_equal(H.why, "it ended with status 1");
	run("sh -c 'kill -9 $$'");
	assert_string_equal(H.why, "it was killed by signal 9");
	run("/nonexistent/command");
	assert_non_null(strstr(H.why, "cannot be run"));
	run("printf fine");			/* and the next one runs */
	assert_string_equal(H.why, "");
}

static void
without_end_is_too_much(void **state)
{
	run("yes");
	assert_string_equal(H.why, "it printed more than 10 MiB");
	assert_true(H.octets <= MAILBOXES_TEXT_MAX);
	run("head -c 10485761 /dev/zero");
	assert_string_equal(H.why, "it printed more than 10 MiB");
}

/* Not the patience of RUN_UNTIL, which is not waited with here. */
static void
its_time_is_over(void)
{
	ahead_ms += HELPER_SECONDS * 1000;
	loop_turns(1);
}

/* The pid that a command's own child printed before both fell asleep. */
static void
too_long_ends_it_and_what_it_started(void **state)
{
	pid_t grandchild;

	ask("sh -c 'sleep 600 & echo $!; wait'");
	RUN_UNTIL(H.octets > 0);
	grandchild = (pid_t)strtol(H.text, NULL, 10);
	assert_int_equal(kill(grandchild, 0), 0);
	its_time_is_over();
	RUN_UNTIL(H.ran == 1);
	assert_string_equal(H.why, "it took longer than 30 s");
	for (int i = 0; i < 2000 && kill(grandchild, 0) == 0; i++)
		loop_run_ms(10);
	assert_true(kill(grandchild, 0) == -1 && errno == ESRCH);
}

static void
one_at_a_time(void **state)
{
	ask("sleep 600");
	assert_true(chan_send(H.courier, HM_RUN, 7, NULL, 0, -1));
	RUN_UNTIL(H.ran == 1);
	assert_non_null(strstr(H.why, "still running"));
	its_time_is_over();
	RUN_UNTIL(H.ran == 2);
}

/* Both couriers' questions have the same number. */
static void
what_was_run_for_a_courier_that_died_is_nobodys_answer(void **state)
{
	ask("sh -c 'echo alice; sleep 0.5; echo bob'");
	RUN_UNTIL(H.octets > 0);
	chan_free(&H.courier);
	courier_begins();
	H.octets = 0;
	loop_run_ms(1000);
	assert_int_equal(H.octets, 0);		/* what it would read when it asks */
	assert_int_equal(H.ran, 0);
	ask("sh -c 'echo alice; sleep 600; echo bob'");
	RUN_UNTIL(H.octets > 0);
	chan_free(&H.courier);
	courier_begins();
	run("printf 'alice\\nbob\\ncarol\\n'");
	assert_string_equal(H.why, "");
	assert_string_equal(H.text, "alice\nbob\ncarol\n");
	assert_int_equal(H.octets, 16);
	assert_int_equal(H.ran, 1);
}

/* A question that was asked after the courier's reload and came before ours. */
static void
another_source_is_said_at_a_reload(void **state)
{
	run("printf old");
	proc_helper.reload(&H.proc);		/* of something else */
	snprintf(H.conf->users_command, sizeof(H.conf->users_command), "printf new");
	proc_helper.reload(&H.proc);
	RUN_UNTIL(H.changed > 0);
	assert_int_equal(H.changed, 1);
	run("printf new");
	snprintf(H.conf->helper_path, sizeof(H.conf->helper_path), "/bin");
	proc_helper.reload(&H.proc);
	RUN_UNTIL(H.changed > 1);
}

/* It is no list of nobody: the courier would take that for a whole one. */
static void
before_our_reload_there_is_no_list(void **state)
{
	run("");
	assert_string_equal(H.why, "it is not known to the helper yet");
	assert_int_equal(H.octets, 0);
	snprintf(H.conf->users_command, sizeof(H.conf->users_command), "printf alice");
	proc_helper.reload(&H.proc);
	RUN_UNTIL(H.changed == 1);
	run("printf alice");
	assert_string_equal(H.why, "");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(its_output_comes_whole),
		TEST(its_end_is_told),
		TEST(without_end_is_too_much),
		TEST(too_long_ends_it_and_what_it_started),
		TEST(one_at_a_time),
		TEST(before_our_reload_there_is_no_list),
		TEST(another_source_is_said_at_a_reload),
		TEST(what_was_run_for_a_courier_that_died_is_nobodys_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
