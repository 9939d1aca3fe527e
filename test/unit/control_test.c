/*
 * The control socket with a writer that is not there: what is asked is answered
 * by the function below, so that only the socket's own rules are tried.
 */
#include "store/control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/control_answer.h"

#define BIG (5u << 20)

/* Answers with the question; "big" adds octets from a file, "short" more than the file has. */
void
control_answer(struct writer *w, struct span question, struct control_answer *out)
{
	*out = (struct control_answer){ .fd = -1 };
	out->line = json_pack("{s:b, s:s%}", "ok", 1, "asked", question.p, question.n);
	if (span_eq(question, SPAN_LIT("big")) || span_eq(question, SPAN_LIT("short"))) {
		FILE *f = tmpfile();

		assert_non_null(f);
		for (unsigned i = 0; i < BIG; i++)
			putc((int)(i * 7 % 251), f);
		fflush(f);
		out->fd = dup(fileno(f));
		fclose(f);
		lseek(out->fd, 0, SEEK_SET);
		out->noctets = question.p[0] == 'b' ? BIG : BIG + 1;
	} else if (span_eq(question, SPAN_LIT("data"))) {
		buf_init(&out->octets, 100);
		buf_add_str(&out->octets, "0123456789");
		out->noctets = 10;
	}
}

static uv_loop_t loop;
static struct control *control;
static struct sockaddr_un sun = { .sun_family = AF_UNIX };

static int
start(void **state)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "/tmp/control_test.%ld", (long)getpid());
	unlink(sun.sun_path);
	if (fd == -1 || uv_loop_init(&loop) != 0 ||
	    bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1 || listen(fd, 64) == -1)
		return -1;
	control = control_new(&loop, NULL, fd);
	return control != NULL ? 0 : -1;
}

static int
stop(void **state)
{
	control_free(&control);
	uv_run(&loop, UV_RUN_DEFAULT);
	unlink(sun.sun_path);
	return uv_loop_close(&loop);	/* EBUSY where a handle was forgotten */
}

static int
operator_connect(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_not_equal(fd, -1);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

static void
turn(void)
{
	for (int i = 0; i < 4; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
}

/* What has come, until nothing comes; -1: the connection ended. */
static ssize_t
hear(int fd, char *out, size_t max)
{
	size_t got = 0;

	for (int idle = 0; idle < 5;) {
		ssize_t n;

		turn();
		n = recv(fd, out + got, max - got, 0);
		if (n == 0 || (n == -1 && errno == ECONNRESET))
			return got > 0 ? (ssize_t)got : -1;
		if (n > 0) {
			got += (size_t)n;
			idle = 0;
		} else
			idle++;
	}
	return (ssize_t)got;
}

static void
expect(int fd, const char *want)
{
	char got[65536];
	ssize_t n = hear(fd, got, sizeof(got));

	assert_int_equal(n, strlen(want));
	assert_memory_equal(got, want, strlen(want));
}

#define A(q) "{\"ok\":true,\"asked\":\"" q "\"}\n"

static void
questions_in_every_cut(void **state)
{
	static const char two[] = "first\nsecond\ndata\nlast\n";

	for (size_t cut = 1; cut < strlen(two); cut++) {
		int fd = operator_connect();

		assert_int_equal(send(fd, two, cut, 0), cut);
		turn();
		assert_int_equal(send(fd, two + cut, strlen(two) - cut, 0), strlen(two) - cut);
		expect(fd, A("first") A("second") A("data") "0123456789" A("last"));
		close(fd);
		turn();
	}
}

/* What somebody else hears of a question: the answer, or that nobody speaks to him. */
static void
ask_as(uid_t uid, gid_t gid, const gid_t *groups, size_t ngroups, char *out, size_t max)
{
	int ends[2], status, fd;
	ssize_t n;
	pid_t pid;

	assert_int_equal(chmod(sun.sun_path, 0666), 0);	/* so that the credentials alone decide */
	assert_int_equal(pipe(ends), 0);
	assert_int_not_equal(pid = fork(), -1);
	if (pid == 0) {
		if (setgroups(ngroups, groups) == -1 || setresgid(gid, gid, gid) == -1 ||
		    setresuid(uid, uid, uid) == -1)
			_exit(1);
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1 ||
		    write(ends[1], "", 1) != 1)
			_exit(1);
		send(fd, "who\n", 4, MSG_NOSIGNAL);
		n = recv(fd, out, max, 0);
		_exit(n > 0 && write(ends[1], out, (size_t)n) == n ? 0 : n > 0);
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], out, 1), 1);	/* connected */
	while (waitpid(pid, &status, WNOHANG) == 0)
		turn();
	assert_int_equal(status, 0);
	n = read(ends[0], out, max - 1);
	out[n > 0 ? n : 0] = '\0';
	close(ends[0]);
}

static void
who_may_ask(void **state)
{
	const gid_t ours[] = { 4711, getegid() }, others[] = { 4711 };
	char got[256];

	if (geteuid() != 0)
		skip();			/* nobody else can be played */
	ask_as(0, 65534, NULL, 0, got, sizeof(got));
	assert_string_equal(got, A("who"));
	ask_as(65534, getegid(), NULL, 0, got, sizeof(got));
	assert_string_equal(got, A("who"));
	ask_as(65534, 65534, ours, 2, got, sizeof(got));
	assert_string_equal(got, A("who"));
	ask_as(65534, 65534, others, 1, got, sizeof(got));
	assert_string_equal(got, "");
	ask_as(65534, 65534, NULL, 0, got, sizeof(got));
	assert_string_equal(got, "");
}

static void
too_long_a_question_ends_it(void **state)
{
	char text[CONTROL_QUESTION_MAX + 10];
	int fd = operator_connect();

	memset(text, 'x', sizeof(text));
	text[CONTROL_QUESTION_MAX - 1] = '\n';
	send(fd, text, CONTROL_QUESTION_MAX, 0);		/* just fits */
	assert_true(hear(fd, text, sizeof(text)) > 0);
	close(fd);
	fd = operator_connect();
	memset(text, 'x', sizeof(text));
	send(fd, text, sizeof(text), 0);
	assert_int_equal(hear(fd, text, sizeof(text)), -1);
	close(fd);
	turn();
}

/* A reader that stops costs a piece of memory, and the rest comes when it goes on. */
static void
big_content_waits_for_its_reader(void **state)
{
	static char got[BIG + 4096];
	int fd = operator_connect(), other = operator_connect();
	size_t head = strlen(A("big")), tail = strlen(A("next"));
	ssize_t n;

	send(fd, "big\nnext\n", 9, 0);
	for (int i = 0; i < 50; i++)
		turn();
	send(other, "hello\n", 6, 0);				/* nobody waits for it */
	expect(other, A("hello"));
	n = hear(fd, got, sizeof(got));
	assert_int_equal(n, head + BIG + tail);
	assert_memory_equal(got, A("big"), head);
	for (unsigned i = 0; i < BIG; i++)
		if ((unsigned char)got[head + i] != i * 7 % 251)
			fail_msg("octet %u is wrong", i);
	assert_memory_equal(got + head + BIG, A("next"), tail);
	close(fd);
	close(other);
	turn();
}

static void
content_shorter_than_promised_ends_it(void **state)
{
	static char got[BIG + 4096];
	int fd = operator_connect();

	send(fd, "short\nnext\n", 11, 0);
	assert_int_equal(hear(fd, got, sizeof(got)), strlen(A("short")) + BIG);
	assert_int_equal(hear(fd, got, sizeof(got)), -1);
	close(fd);
	turn();
}

static void
clients_are_bounded(void **state)
{
	int fds[CONTROL_CLIENTS_MAX + 1];
	char got[512];

	for (int i = 0; i <= CONTROL_CLIENTS_MAX; i++) {
		fds[i] = operator_connect();
		turn();
	}
	/* One too many is told what is wrong, and what helps, and then closed. */
	got[hear(fds[CONTROL_CLIENTS_MAX], got, sizeof(got) - 1)] = '\0';
	assert_non_null(strstr(got, "{\"ok\":false,\"error\":\"too many control connections"));
	assert_non_null(strstr(got, "ss -xp"));
	assert_int_equal(hear(fds[CONTROL_CLIENTS_MAX], got, sizeof(got)), -1);
	send(fds[0], "a\n", 2, 0);
	expect(fds[0], A("a"));
	close(fds[0]);
	turn();
	fds[0] = operator_connect();			/* its place is free again */
	send(fds[0], "b\n", 2, 0);
	expect(fds[0], A("b"));
	for (int i = 0; i <= CONTROL_CLIENTS_MAX; i++)
		close(fds[i]);
	turn();
}

/* One that hangs up while it is being answered, and one that is there when the socket ends. */
static void
hanging_up_is_harmless(void **state)
{
	int fd = operator_connect();

	send(fd, "big\n", 4, 0);
	turn();
	close(fd);
	turn();
	fd = operator_connect();
	send(fd, "big\n", 4, 0);
	turn();
	assert_int_equal(stop(NULL), 0);
	assert_int_equal(start(NULL), 0);
	close(fd);
}

static void
want_of_room_names_the_key_to_change(void **state)
{
	static const struct {
		uint64_t room, octets, quota;
		const char *key;
	} rows[] = {
		{ 1, 0, 1000, NULL }, { 1, 989, 1000, NULL }, { 1, 990, 1000, "hold.quota" },
		{ 1, 2000, 1000, "hold.quota" }, { 0, 0, 1000, "hold.reserve" },
		{ 1, 1ull << 40, UINT64_MAX, NULL },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int role = CONF_EDGE; role <= CONF_HOME; role++) {
			const char *text = answer_room((enum conf_role)role, rows[i].room,
			    rows[i].octets, rows[i].quota);

			if (rows[i].key == NULL)
				assert_null(text);
			else {
				assert_non_null(text);
				assert_non_null(strstr(text, rows[i].key));
			}
		}
}

static void
a_quota_is_nearly_used_from_eighty_percent(void **state)
{
	static const struct {
		uint64_t octets, quota;
		enum used used;
		int percent;
	} rows[] = {
		{ 0, 1000, USED_LITTLE, 0 }, { 799, 1000, USED_LITTLE, 79 },
		{ 800, 1000, USED_NEARLY, 80 }, { 989, 1000, USED_NEARLY, 98 },
		{ 990, 1000, USED_UP, 99 }, { 5000, 1000, USED_UP, 100 }, { 0, 0, USED_UP, 100 },
	};
	int percent;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum used used = answer_used(rows[i].octets, rows[i].quota, &percent);

		assert_int_equal(used, rows[i].used);
		assert_int_equal(percent, rows[i].percent);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(questions_in_every_cut),
		cmocka_unit_test(who_may_ask),
		cmocka_unit_test(too_long_a_question_ends_it),
		cmocka_unit_test(big_content_waits_for_its_reader),
		cmocka_unit_test(content_shorter_than_promised_ends_it),
		cmocka_unit_test(clients_are_bounded),
		cmocka_unit_test(hanging_up_is_harmless),
		cmocka_unit_test(want_of_room_names_the_key_to_change),
		cmocka_unit_test(a_quota_is_nearly_used_from_eighty_percent),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
