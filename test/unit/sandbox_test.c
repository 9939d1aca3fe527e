#include "priv/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"

/*
 * Each kind of process in its sandbox: what it must be able to do, and what it
 * must not.  Every attempt is made by a process of its own.
 */

static char dir[64], state[96], maildir[96];

static int
try_open(const char *base, const char *name, int flags)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", base, name);
	return open(path, flags | O_CLOEXEC, 0600);
}

static int
read_etc(void)
{
	return try_open("/etc", "passwd", O_RDONLY);
}

static int
write_state(void)
{
	return try_open(state, "new.db", O_RDWR | O_CREAT);
}

static int
write_large(void)
{
	return try_open(state, "large/new", O_WRONLY | O_CREAT | O_TRUNC);
}

static int
read_large(void)
{
	return try_open(state, "large/old", O_RDONLY);
}

static int
read_key(void)
{
	return try_open(state, "tunnel.pem", O_RDONLY);
}

static int
write_maildir(void)
{
	return try_open(maildir, "alice/tmp/a", O_WRONLY | O_CREAT);
}

static int
deliver(void)
{
	char from[256], to[256];

	if (write_maildir() == -1)
		return -1;
	snprintf(from, sizeof(from), "%s/alice/tmp/a", maildir);
	snprintf(to, sizeof(to), "%s/alice/new/a", maildir);
	return rename(from, to);
}

static int
set_aside(void)
{
	char from[256], to[256];

	snprintf(from, sizeof(from), "%s/large/old", state);
	snprintf(to, sizeof(to), "%s/aside/old", state);
	if (rename(from, to) == -1)
		return -1;
	return rename(to, from);
}

static int
socket_inet(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int
socket_unix(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int
run_program(void)
{
	execl("/bin/true", "true", (char *)NULL);
	return -1;
}

static int
start_process(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid == -1 ? -1 : 0;
}

static int
signal_parent(void)
{
	return kill(getppid(), 0);
}

#define FINE	0
#define KILLED	(-SIGSYS)

static const struct attempt {
	const char	*name;
	int		(*try)(void);
	int		 paths;		/* 1: Landlock's matter, cannot be judged without it */
	/* FINE, an errno, or KILLED */
	int		 writer, reception, tunnel, courier, helper, resolver, herald, runner;
} attempts[] = {
	{ "read /etc", read_etc, 1, EACCES, EACCES, EACCES, EACCES, FINE, FINE, EACCES, FINE },
	{ "make a file in the state", write_state, 1, FINE, EACCES, EACCES, EACCES, EACCES,
	    EACCES, EACCES, EACCES },
	{ "make a large object", write_large, 1, FINE, FINE, FINE, EACCES, EACCES, EACCES, EACCES,
	    EACCES },
	{ "read another's large object", read_large, 1, FINE, EACCES, EACCES, EACCES, FINE,
	    EACCES, EACCES, EACCES },
	{ "read a key file", read_key, 1, FINE, EACCES, EACCES, EACCES, FINE, EACCES, EACCES,
	    EACCES },
	{ "make a file in a mailbox", write_maildir, 1, EACCES, EACCES, EACCES, FINE, EACCES,
	    EACCES, EACCES, EACCES },
	{ "deliver: tmp to new", deliver, 1, EACCES, EACCES, EACCES, FINE, EACCES, EACCES, EACCES,
	    EACCES },
	{ "set an object aside", set_aside, 1, FINE, KILLED, KILLED, EACCES, EACCES, KILLED,
	    KILLED, EACCES },
	{ "a socket to the internet", socket_inet, 0, EACCES, EACCES, FINE, EACCES, EAFNOSUPPORT,
	    FINE, FINE, FINE },
	{ "a unix socket", socket_unix, 0, EACCES, EACCES, EACCES, EACCES, FINE, EACCES, EACCES,
	    FINE },
	{ "run a program", run_program, 0, KILLED, KILLED, KILLED, KILLED, FINE, KILLED, KILLED,
	    FINE },
	{ "start a process", start_process, 0, EPERM, EPERM, EPERM, EPERM, FINE, EPERM, EPERM,
	    FINE },
	{ "signal the parent", signal_parent, 0, KILLED, KILLED, KILLED, KILLED, EPERM, KILLED,
	    KILLED, EPERM },
};

static int
wanted(const struct attempt *a, enum proc_kind k)
{
	const int by_kind[PROC_KINDS] = {
		[PROC_WRITER] = a->writer, [PROC_RECEPTION] = a->reception,
		    [PROC_TUNNEL] = a->tunnel,
		[PROC_COURIER] = a->courier, [PROC_HELPER] = a->helper,
		    [PROC_RESOLVER] = a->resolver,
		[PROC_HERALD] = a->herald, [PROC_RUNNER] = a->runner,
		[PROC_PUSH] = a->reception,	/* it does the same: listens, makes objects */
		[PROC_DRAIN] = a->tunnel,	/* it makes objects and dials */
		/* the same, and sends what reception has made */
		[PROC_BUCKET] = a->try == read_large ? FINE : a->tunnel,
	};

	return by_kind[k];
}

/* FINE, errno or KILLED; the level that was reached comes back in it. */
static int
attempt(const struct attempt *a, enum proc_kind k, struct conf_home *home, char level[64])
{
	struct proc p = { .kind = k, .role = CONF_HOME, .home = home, .common = &home->common };
	int pipes[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	if ((pid = fork()) == 0) {
		struct why why;
		char reached[64];

		if (sandbox_enter(&p, reached, sizeof(reached), &why) == -1) {
			fprintf(stderr, "%s\n", why.text);
			_exit(255);
		}
		if (write(pipes[1], reached, sizeof(reached)) == -1)
			_exit(254);
		_exit(a->try() == -1 ? errno : FINE);
	}
	close(pipes[1]);
	n = read(pipes[0], level, 64);
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(n, 64);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void
each_does_its_own_work_and_no_other(void **unused)
{
	struct conf_home *home = calloc(1, sizeof(*home));
	size_t wrong = 0, judged = 0;
	char level[64] = "";

	assert_non_null(home);
	snprintf(home->common.state, sizeof(home->common.state), "%s", state);
	snprintf(home->maildir, sizeof(home->maildir), "%s", maildir);
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++)
		for (enum proc_kind k = PROC_WRITER; k < PROC_KINDS; k++) {
			const struct attempt *a = &attempts[i];
			int got = attempt(a, k, home, level);

			if (strstr(level, "seccomp") == NULL ||
			    (strstr(level, "landlock") == NULL && a->paths) ||
			    (a->try == signal_parent && (k == PROC_HELPER ||
			    k == PROC_RUNNER) && strstr(level,
			    "landlock ") != NULL &&
			    strtol(strstr(level, "landlock ") + 9, NULL, 10) < 6))
				continue;	/* this kernel cannot say */
			judged++;
			if (got != wanted(a, k)) {
				print_error("%s: %s: got %d, want %d (0 fine, %d killed)\n",
				    proc_kind_name(k),
				    a->name, got, wanted(a, k), KILLED);
				wrong++;
			}
		}
	print_message("%zu attempts judged, %s\n", judged, level);
	free(home);
	assert_int_equal(wrong, 0);
}

static uint16_t filter_port;

static int
dial(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket_inet();

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return fd == -1 ? -1 : connect(fd, (struct sockaddr *)&to, sizeof(to));
}

static int
dial_filter(void)
{
	return dial(filter_port);
}

static int
dial_another(void)
{
	return dial(filter_port == 1 ? 2 : 1);
}

/* tcp: what Landlock guards from its ABI 4 on. */
static const struct asking {
	struct attempt	 a;
	bool		 tcp;
} askings[] = {
	{ { .name = "the filter", .try = dial_filter, .courier = FINE }, false },
	{ { .name = "another port", .try = dial_another, .courier = EACCES }, true },
	{ { .name = "deliver", .try = write_maildir, .paths = 1, .courier = FINE }, false },
	{ { .name = "read /etc", .try = read_etc, .paths = 1, .courier = EACCES }, false },
	{ { .name = "run a program", .try = run_program, .courier = KILLED }, false },
};

static void
a_courier_reaches_its_filter_and_nobody_else(void **unused)
{
	struct conf_home *home = calloc(1, sizeof(*home));
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	int listener = socket_inet();
	char level[64] = "";

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(listener, 8), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	filter_port = ntohs(at.sin_port);
	snprintf(home->common.state, sizeof(home->common.state), "%s", state);
	snprintf(home->maildir, sizeof(home->maildir), "%s", maildir);
	snprintf(home->filter.rspamd, sizeof(home->filter.rspamd), "127.0.0.1:%u", filter_port);
	for (size_t i = 0; i < sizeof(askings) / sizeof(askings[0]); i++) {
		int got = attempt(&askings[i].a, PROC_COURIER, home, level);
		const char *landlock = strstr(level, "landlock ");

		if (strstr(level, "seccomp") == NULL || (landlock == NULL && askings[i].a.paths) ||
		    (askings[i].tcp && (landlock == NULL || strtol(landlock + 9, NULL, 10) < 4)))
			continue;	/* this kernel cannot say */
		if (got != askings[i].a.courier)
			fail_msg("%s: got %d, want %d", askings[i].a.name, got,
			    askings[i].a.courier);
	}
	close(listener);
	free(home);
}

/* From here on the kernel answers two calls as one that was built without them. */
static int
lack(uint32_t one, uint32_t other)
{
	struct sock_filter ops[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, one, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, other, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(ops) / sizeof(ops[0]), ops };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ? -1 :
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

#define LANDLOCK_CREATE_RULESET 444	/* as in priv/landlock.c */

static const struct old_kernel {
	uint32_t	 one, other;
	bool		 seccomp, landlock;
} old_kernels[] = {
	{ SYS_seccomp, SYS_seccomp, false, true },
	{ LANDLOCK_CREATE_RULESET, LANDLOCK_CREATE_RULESET, true, false },
	{ SYS_seccomp, LANDLOCK_CREATE_RULESET, false, false },
};

/* 77: this kernel has no filters to play another with. */
static int
enter_on(const struct old_kernel *k, struct conf_home *home)
{
	struct proc p = {
		.kind = PROC_TUNNEL, .role = CONF_HOME, .home = home, .common = &home->common,
	};
	struct why why = { 0 };
	char level[64];

	if (lack(k->one, k->other) == -1)
		return 77;
	if (sandbox_enter(&p, level, sizeof(level), &why) == -1) {
		fprintf(stderr, "%s\n", why.text);
		return 1;
	}
	if ((!k->seccomp && strstr(level, "seccomp") != NULL) ||
	    (k->seccomp && strstr(level, "seccomp") == NULL) ||
	    (!k->landlock && strstr(level, "landlock") != NULL) ||
	    (!k->seccomp && !k->landlock && strcmp(level, "none") != 0)) {
		fprintf(stderr, "level %s\n", level);
		return 1;
	}
	return 0;
}

static void
what_a_kernel_has_not_is_done_without(void **unused)
{
	struct conf_home *home = calloc(1, sizeof(*home));

	assert_non_null(home);
	snprintf(home->common.state, sizeof(home->common.state), "%s", state);
	for (size_t i = 0; i < sizeof(old_kernels) / sizeof(old_kernels[0]); i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0)
			_exit(enter_on(&old_kernels[i], home));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77);
	}
	free(home);
}

static void
put(const char *base, const char *name)
{
	int fd = try_open(base, name, O_WRONLY | O_CREAT);

	assert_true(fd != -1);
	close(fd);
}

static int
make_stage(void **unused)
{
	static const char *const dirs[] = {
		"state", "state/large", "state/aside", "mail", "mail/alice", "mail/alice/tmp",
		    "mail/alice/new",
	};
	char path[160];

	/* Not in /tmp itself, which the helper may write. */
	snprintf(dir, sizeof(dir), "/var/tmp/posthouse-sandbox.XXXXXX");
	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, dirs[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	snprintf(state, sizeof(state), "%s/state", dir);
	snprintf(maildir, sizeof(maildir), "%s/mail", dir);
	put(state, "large/old");
	put(state, "tunnel.pem");
	log_init("test", LOG_ERROR);
	return 0;
}

static int
clear_stage(void **unused)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_does_its_own_work_and_no_other),
		cmocka_unit_test(a_courier_reaches_its_filter_and_nobody_else),
		cmocka_unit_test(what_a_kernel_has_not_is_done_without),
	};

#ifdef POSTHOUSE_SANITIZED
	puts("1..0 # SKIP a sanitizer build's sandbox only logs");
	return 77;
#endif
	return cmocka_run_group_tests(tests, make_stage, clear_stage);
}
