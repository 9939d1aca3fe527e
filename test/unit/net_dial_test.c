/* A connection that we make. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kit/loop.h"
#include "net/conn.h"

static struct {
	unsigned	 times;
	int		 fd;
	char		 why[512];
} dialled;

static void
on_dialled(void *arg, int fd, const struct why *why)
{
	dialled.times++;
	dialled.fd = fd;
	snprintf(dialled.why, sizeof(dialled.why), "%s", why != NULL ? why->text : "");
	assert_true((fd >= 0) == (why == NULL));
}

static void
dial(void **state)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sin);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fill_fds[8], i;
	struct netaddr to;
	struct why why;

	assert_int_equal(bind(l, (struct sockaddr *)&sin, n), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&sin, &n), 0);
	assert_true(netaddr_from_sockaddr((struct sockaddr *)&sin, &to));

	memset(&dialled, 0, sizeof(dialled));		/* nobody listens */
	if (conn_dial(&loop, &to, 5000, on_dialled, NULL, &why) == 0)
		RUN_UNTIL(dialled.times == 1);
	else
		snprintf(dialled.why, sizeof(dialled.why), "%s", why.text);
	assert_non_null(strstr(dialled.why, "refused"));
	assert_non_null(strstr(dialled.why, netaddr_hostport(&to).s));
	assert_int_equal(conn_dial_unix(&loop, "/nonexistent/socket", 5000, on_dialled, NULL, &why),
	    -1);
	assert_non_null(strstr(why.text, "connect to /nonexistent/socket: "));

	assert_int_equal(listen(l, 0), 0);
	memset(&dialled, 0, sizeof(dialled));
	assert_int_equal(conn_dial(&loop, &to, 5000, on_dialled, NULL, &why), 0);
	assert_int_equal(dialled.times, 0);
	RUN_UNTIL(dialled.times == 1);
	assert_true(dialled.fd >= 0);
	close(dialled.fd);

	/* A full backlog answers nothing, like a dead machine. */
	for (i = 0; i < 8; i++) {
		fill_fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)!connect(fill_fds[i], (struct sockaddr *)&sin, sizeof(sin));
	}
	memset(&dialled, 0, sizeof(dialled));
	assert_int_equal(conn_dial(&loop, &to, 200, on_dialled, NULL, &why), 0);
	RUN_UNTIL(dialled.times == 1);
	assert_non_null(strstr(dialled.why, "no answer within 200 ms"));
	for (i = 0; i < 8; i++)
		close(fill_fds[i]);
	close(l);
}

static int
setup(void **state)
{
	loop_begin();
	return 0;
}

static int
teardown(void **state)
{
	loop_end();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(dial, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
