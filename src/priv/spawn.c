#include "priv/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "priv/kinds.h"

#define FEW_FILES	1024	/* below select(2)'s end */

/*
 * What of our environment goes on.  The rest may hold what the operator's shell
 * had in it, and the helper's commands would see it.
 */
static const char *const passed_on[] = {
	"PATH", "LANG", "LC_ALL", "TZ",
	"JOURNAL_STREAM",			/* base/log.h looks for it */
	"ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "LLVM_PROFILE_FILE",	/* test builds */
};

static void
environment(char *env[static sizeof(passed_on) / sizeof(passed_on[0]) + 1])
{
	size_t n = 0;

	for (char **e = environ; *e != NULL; e++)
		for (size_t i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++) {
			size_t len = strlen(passed_on[i]);

			if (strncmp(*e, passed_on[i], len) == 0 && (*e)[len] == '=' &&
			    n < sizeof(passed_on) / sizeof(passed_on[0]))
				env[n++] = *e;
		}
	env[n] = NULL;
}

static void
limit_files(bool many)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == -1)
		return;
	r.rlim_cur = many || r.rlim_max < FEW_FILES ? r.rlim_max : FEW_FILES;
	setrlimit(RLIMIT_NOFILE, &r);
}

/* What strangers could take over may tell the operator's terminal something, not listen to it. */
static void
only_write(int fd)
{
	char path[sizeof("/dev/fd/") + 10];
	int again;

	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	if (isatty(fd) && (again = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC)) != -1) {
		dup2(again, fd);
		close(again);
	}
}

static int
arrange_files(int fd)
{
	int null;

	only_write(STDOUT_FILENO);
	only_write(STDERR_FILENO);

	/* First of all out of the way of 0 and PROC_FD. */
	if ((fd = fcntl(fd, F_DUPFD_CLOEXEC, PROC_FD + 1)) == -1 ||
	    (null = open("/dev/null", O_RDONLY | O_CLOEXEC)) == -1 ||
	    dup2(null, STDIN_FILENO) == -1 || dup2(fd, PROC_FD) == -1)
		return -1;
	/* All of ours close on exec; this is for what we were started with. */
	if (syscall(SYS_close_range, PROC_FD + 1, ~0U, 0) == -1 && errno != ENOSYS)
		return -1;
	return 0;
}

static _Noreturn void
become(enum conf_role role, enum proc_kind kind, const struct account *a, int fd, pid_t parent)
{
	const char *failed = NULL;
	char *env[sizeof(passed_on) / sizeof(passed_on[0]) + 1];
	char *argv[] = { "posthouse", "worker", (char *)proc_role_name(role),
		(char *)proc_kind_name(kind), NULL };
	sigset_t none;
	mode_t mask = umask(077);

	/*
	 * Ctrl-C and the rest of a terminal's job control are the parent's.  And where the kernel
	 * shares the processors among sessions (autogroup), each of us has a share of its own.
	 */
	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	/*
	 * The operator decides who reads mailboxes (maildir.h).  A reader writes, too: a mask of
	 * 022, which everybody has who said nothing, lets nobody in.
	 */
	if (kind == PROC_COURIER && (mask & 070) == 0)
		umask(007);
	limit_files(kind_many_files(kind));
	environment(env);
	if (arrange_files(fd) == -1)
		failed = "arrange its descriptors";
	else if (account_drop(a) == -1)
		failed = "become the configured user";
	else if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1 || getppid() != parent)
		_exit(1);		/* the parent went meanwhile */
	else
		execve("/proc/self/exe", argv, env);
	dprintf(STDERR_FILENO, "posthouse: %s cannot %s: %s\n", proc_kind_name(kind),
	    failed != NULL ? failed : "run /proc/self/exe", strerror(errno));
	_exit(127);
}

pid_t
spawn(enum conf_role role, enum proc_kind kind, const struct account *a, int fd, struct why *why)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0)
		become(role, kind, a, fd, parent);
	if (pid == -1)
		why_sys(why, "cannot start %s", proc_kind_name(kind));
	close(fd);
	return pid;
}
