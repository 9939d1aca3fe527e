/*
 * Herald and runner while their writer is another one: each counts its notices from the beginning,
 * so that what one had asked for must not be an answer to the next.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "kit/http_server.h"
#include "kit/loop.h"
#include "net/chan.h"
#include "priv/proc.h"
#include "proto/alarms.h"
#include "proto/notice.h"
#include "store/tell.h"

static struct {
	struct proc	 proc;
	struct conf_edge *conf;
	struct chan	*writer;
	unsigned	 told;
	char		 error[TELL_WHY_MAX];	/* of the last one */
} T;

static void
on_message(void *arg, struct chan_msg *m)
{
	assert_int_equal(m->type, TELL_DONE);
	assert_int_equal(m->tag, 1);
	assert_true(span_copy(m->body, T.error, sizeof(T.error)));
	T.told++;
}

static void
on_close(void *arg, const struct why *why)
{
	fail_msg("%s", why->text);
}

static void
writer_begins(const struct proc_ops *ops)
{
	struct why why = { "" };
	struct chan *end;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv), 0);
	assert_non_null(T.writer = chan_new(&loop, sv[0], &why));
	assert_non_null(end = chan_new(&loop, sv[1], &why));
	chan_start(T.writer, on_message, on_close, NULL);
	ops->peer(&T.proc, PROC_WRITER, end);
}

static void
notice(enum alarm_road road, const char *key)
{
	struct notice n = { .event = ALARM_RAISED, .since_ms = 1, .at_ms = 2 };
	const char number = (char)road;
	struct buf json;

	snprintf(n.key, sizeof(n.key), "%s", key);
	snprintf(n.host, sizeof(n.host), "mx1.example.org");
	snprintf(n.role, sizeof(n.role), "edge");
	buf_init(&json, NOTICE_MAX);
	assert_true(notice_json(&n, &json));
	assert_true(chan_send(T.writer, TELL_NOTICE, 1, (const struct span[]){ { &number, 1 },
	    buf_span(&json) }, 2, -1));
	buf_fini(&json);
}

static int
set_up(void **state)
{
	memset(&T, 0, sizeof(T));
	log_init("test.tellers", LOG_ERROR + 1);
	loop_begin();
	assert_non_null(T.conf = calloc(1, sizeof(*T.conf)));
	T.proc = (struct proc){ .loop = &loop, .role = CONF_EDGE, .edge = T.conf,
		.common = &T.conf->common };
	return 0;
}

static void
the_runner_tells_the_second_writers_own(void **state)
{
	char dir[] = "/tmp/tellers.XXXXXX", path[64], line[200] = "";
	FILE *f;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/keys", dir);
	snprintf(T.conf->common.alarms.command, sizeof(T.conf->common.alarms.command),
	    "sh -c 'echo $POSTHOUSE_KEY >> %s; sleep 0.5'", path);
	writer_begins(&proc_runner);
	proc_runner.run(&T.proc);
	notice(ALARM_COMMAND, "first");
	RUN_UNTIL(access(path, F_OK) == 0);
	chan_free(&T.writer);
	writer_begins(&proc_runner);
	notice(ALARM_COMMAND, "second");
	RUN_UNTIL(T.told == 1);
	assert_string_equal(T.error, "");
	assert_non_null(f = fopen(path, "r"));
	assert_int_equal(fread(line, 1, sizeof(line) - 1, f), strlen("first\nsecond\n"));
	fclose(f);
	assert_string_equal(line, "first\nsecond\n");
	loop_run_ms(100);
	assert_int_equal(T.told, 1);
	chan_free(&T.writer);
	loop_run_ms(20);
	free(T.proc.arg);
	free(T.conf);
	loop_end();
	unlink(path);
	rmdir(dir);
}

static void
webhook_at(unsigned port)
{
	snprintf(T.conf->common.alarms.webhook, sizeof(T.conf->common.alarms.webhook),
	    "http://127.0.0.1:%u/", port);
}

/* The first one's server takes the connection and says nothing, and then goes away. */
static void
the_herald_tells_the_second_writers_own(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(at);
	int silent = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), fd = -1;
	struct why why = { "" };

	assert_int_equal(bind(silent, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(silent, 1), 0);
	assert_int_equal(getsockname(silent, (struct sockaddr *)&at, &len), 0);
	writer_begins(&proc_herald);
	if (proc_herald.start(&T.proc, &why) == -1)
		fail_msg("%s", why.text);
	proc_herald.run(&T.proc);
	webhook_at(ntohs(at.sin_port));
	notice(ALARM_WEBHOOK, "first");
	RUN_UNTIL(fd != -1 || (fd = accept(silent, NULL, NULL)) != -1);
	webhook_at(http_server_begin(NULL).port);
	server.says = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	chan_free(&T.writer);
	writer_begins(&proc_herald);
	notice(ALARM_WEBHOOK, "second");
	loop_run_ms(50);
	assert_int_equal(T.told, 0);
	close(fd);
	close(silent);
	RUN_UNTIL(T.told == 1);
	assert_string_equal(T.error, "");
	assert_int_equal(server.served, 1);
	assert_non_null(memmem(server.heard.p, server.heard.n, "second", 6));
	http_server_end();
	chan_free(&T.writer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_runner_tells_the_second_writers_own, set_up),
		/* It lives as long as its process does: the last one. */
		cmocka_unit_test_setup(the_herald_tells_the_second_writers_own, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
