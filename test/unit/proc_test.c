#include "kit/proc_stage.h"

#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* A role from its start to its end: what each process is given, and what comes of the dead. */

static void
each_is_given_what_is_its_own(void **state)
{
	struct stage *s = stage_up("mx.test");
	struct stat st;
	char path[128], words[64];

	logged(s, "edge.reception info - puppet.secret name=tls.cert", true);
	logged(s, "edge.reception info - puppet.secret name=tls.key", true);
	logged(s, "edge.reception info - puppet.secret name=tunnel octets", true);
	logged(s, "edge.writer info - puppet.secret", false);
	logged(s, "edge.resolver info - puppet.secret", false);
	logged(s, "edge.reception info - puppet.listen service=smtp listening=1", true);
	logged(s, "edge.reception info - puppet.listen service=tunnel listening=1", true);
	logged(s, "edge.writer info - puppet.listen service=control listening=1", true);
	logged(s, "edge.writer info - puppet.listen service=smtp", false);
	logged(s, "edge.reception info - puppet.dir name=large", true);
	logged(s, "edge.resolver info - puppet.dir", false);
	s->read_to = 0;
	expect(s, "edge.writer info - puppet.hello type=7 body=reception");
	snprintf(path, sizeof(path), "%s/state", s->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	snprintf(path, sizeof(path), "%s/run/edge.sock", s->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	if (geteuid() == 0) {
		const struct passwd *pw = getpwnam("nobody");

		assert_int_equal(st.st_uid, pw->pw_uid);
		snprintf(words, sizeof(words), " uid=%u gid=%u parent=%d", pw->pw_uid, pw->pw_gid,
		    (int)s->pid);
	} else {
		snprintf(words, sizeof(words), " uid=%u gid=%u parent=%d", getuid(), getgid(),
		    (int)s->pid);
	}
	logged(s, words, true);
	logged(s, "uid=0", false);
	logged(s, "kind=writer sandbox=1", true);
	logged(s, "kind=resolver sandbox=1", true);
#ifndef POSTHOUSE_SANITIZED
	/* Its /proc belongs to root: nobody of its own account looks into it. */
	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid_of(s, "edge.reception"));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 0);
#endif
	stage_free(s);
}

static void
the_dead_are_started_again(void **state)
{
	struct stage *s = stage_up("mx.test");
	pid_t writer = pid_of(s, "edge.writer"), reception = pid_of(s, "edge.reception"), again;

	s->read_to = 0;
	expect(s, "role.up");
	assert_int_equal(kill(reception, SIGKILL), 0);
	expect(s, "edge.parent error - proc.end name=reception again_ms=100 signal=KILL");
	again = pid_after(expect(s, "edge.reception info - puppet.start pid="));
	assert_int_not_equal(again, reception);
	expect(s, "proc.up name=reception");
	s->read_to = (size_t)(strstr(s->text, "again_ms=100") - s->text);
	expect(s, "edge.writer info - puppet.hello type=7 body=reception");
	/* The second time it waits longer, and those that stayed get channels to the new one. */
	s->read_to = s->n;
	assert_int_equal(kill(again, SIGKILL), 0);
	expect(s, "proc.end name=reception again_ms=200");
	expect(s, "proc.up name=reception");
	s->read_to = s->n;
	assert_int_equal(kill(writer, SIGKILL), 0);
	expect(s, "proc.end name=writer again_ms=100");
	expect(s, "edge.reception info - puppet.hello type=7 body=writer");
	stage_free(s);
}

static void
who_sleeps_is_started_by_the_first_word(void **state)
{
	struct stage *s = stage_up("shy.test");
	pid_t reception = pid_of(s, "edge.reception");

	/* It is spoken to by one that was started again meanwhile. */
	assert_int_equal(kill(reception, SIGKILL), 0);
	expect(s, "proc.end name=reception again_ms=100");
	expect(s, "proc.up name=reception");
	logged(s, "edge.resolver", false);
	kill(s->pid, SIGHUP);
	expect(s, "edge.resolver info - puppet.hello type=7 body=reception");
	stage_free(s);
}

static void
who_has_nothing_to_do_sleeps_again(void **state)
{
	struct stage *s = stage_up("naps.test");

	for (int i = 0; i < 2; i++) {
		kill(s->pid, SIGHUP);
		expect(s, "edge.resolver info - puppet.hello type=7 body=reception");
		expect(s, "proc.asleep name=resolver");
	}
	logged(s, "again_ms", false);
	stage_free(s);
}

static void
the_writer_is_drained_last(void **state)
{
	struct stage *s = stage_up("mx.test");
	char path[128];
	const char *reception, *writer, *resolver;

	kill(s->pid, SIGTERM);
	assert_int_equal(stage_wait(s), 0);
	reception = strstr(s->text, "puppet.drain kind=reception");
	resolver = strstr(s->text, "proc.end name=resolver status=0");
	writer = strstr(s->text, "puppet.drain kind=writer");
	assert_non_null(reception);
	assert_non_null(resolver);
	assert_non_null(writer);
	assert_true(reception < writer && resolver < writer);
	logged(s, "proc.end name=writer status=0", true);
	logged(s, "role.stopped status=0", true);
	logged(s, "again_ms", false);
	snprintf(path, sizeof(path), "%s/run/edge.sock", s->dir);
	assert_int_equal(access(path, F_OK), -1);
	stage_free(s);
}

static void
a_second_signal_does_not_wait(void **state)
{
	struct stage *s = stage_up("stays.test");

	kill(s->pid, SIGTERM);
	expect(s, "puppet.drain kind=reception");
	kill(s->pid, SIGINT);
	expect(s, "role.forced by a second signal");
	assert_int_equal(stage_wait(s), 0);
	stage_free(s);
}

static void
one_state_has_one_parent(void **state)
{
	struct stage *s = stage_up("mx.test"), second = stage_beside(s);

	stage_start(&second);
	assert_int_equal(WEXITSTATUS(stage_wait(&second)), 1);
	logged(&second, "another posthouse works on this state already", true);
	close(second.log);
	stage_free(s);
}

static void
the_socket_of_a_dead_parent_is_no_hindrance(void **state)
{
	struct stage *s = stage_up("mx.test");

	kill(s->pid, SIGKILL);
	/* the log ends when the last child has ended, too */
	assert_true(WIFSIGNALED(stage_wait(s)));
	s->read_to = s->n;
	close(s->log);
	stage_start(s);
	expect(s, "role.up");
	stage_free(s);
}

/* One datagram from the parent to its service manager. */
static void
notified(int fd, const char *words)
{
	struct pollfd pfd = { fd, POLLIN, 0 };
	char text[128];
	ssize_t n;

	assert_int_equal(poll(&pfd, 1, 20000), 1);
	n = recv(fd, text, sizeof(text) - 1, 0);
	assert_true(n > 0);
	text[n] = '\0';
	if (strncmp(text, words, strlen(words)) != 0)
		fail_msg("notified %s instead of %s", text, words);
}

static void
the_service_manager_is_told(void **state)
{
	struct stage *s = stage_new("mx.test");
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/notify", s->dir);
	assert_int_equal(bind(fd, (void *)&sun, sizeof(sun)), 0);
	setenv("NOTIFY_SOCKET", sun.sun_path, 1);
	stage_start(s);
	unsetenv("NOTIFY_SOCKET");
	expect(s, "role.up");
	notified(fd, "READY=1");
	kill(s->pid, SIGHUP);
	notified(fd, "RELOADING=1\nMONOTONIC_USEC=");
	notified(fd, "READY=1");
	kill(s->pid, SIGTERM);
	notified(fd, "STOPPING=1");
	assert_int_equal(stage_wait(s), 0);
	close(fd);
	stage_free(s);
}

#ifndef POSTHOUSE_SANITIZED
static void
reception_cannot_leave_its_sandbox(void **state)
{
	struct stage *s = stage_new("tries.test");

	stage_start(s);
	assert_int_equal(WEXITSTATUS(stage_wait(s)), 1);
	logged(s, "puppet.try socket=EACCES", true);
	logged(s, "puppet.try exec_page=EACCES", true);
	logged(s, "puppet.try fork=EPERM", true);
	logged(s, "puppet.try mount now", true);
	logged(s, "puppet.try mount survived", false);
	logged(s, "proc.end name=reception signal=SYS", true);
	if (strstr(s->text, "sandbox.partial") == NULL) {
		logged(s, "puppet.try passwd=EACCES", true);
		logged(s, "puppet.try state=EACCES", true);
		logged(s, "puppet.try large=EACCES", true);	/* reading there as well */
		logged(s, "puppet.try large_write=open", true);
	} else {
		print_message("no Landlock here: paths were not tried\n");
	}
	stage_free(s);
}
#endif

static int
tests(void)
{
	const struct CMUnitTest list[] = {
		cmocka_unit_test(each_is_given_what_is_its_own),
		cmocka_unit_test(the_dead_are_started_again),
		cmocka_unit_test(who_sleeps_is_started_by_the_first_word),
		cmocka_unit_test(who_has_nothing_to_do_sleeps_again),
		cmocka_unit_test(the_writer_is_drained_last),
		cmocka_unit_test(a_second_signal_does_not_wait),
		cmocka_unit_test(one_state_has_one_parent),
		cmocka_unit_test(the_socket_of_a_dead_parent_is_no_hindrance),
		cmocka_unit_test(the_service_manager_is_told),
#ifndef POSTHOUSE_SANITIZED
		cmocka_unit_test(reception_cannot_leave_its_sandbox),
#endif
	};

	return cmocka_run_group_tests(list, NULL, NULL);
}

int
main(int argc, char **argv)
{
	return stage_main(argc, argv, tests);
}
