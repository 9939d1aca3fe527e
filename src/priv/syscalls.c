#include "priv/syscalls.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIT(k)		(1u << (k))
#define LOOPS		(BIT(PROC_WRITER) | BIT(PROC_RECEPTION) | BIT(PROC_TUNNEL) | \
			 BIT(PROC_COURIER) | BIT(PROC_RESOLVER))
#define FILES		(BIT(PROC_WRITER) | BIT(PROC_RECEPTION) | BIT(PROC_TUNNEL) | BIT(PROC_COURIER))
#define ACCEPTORS	(BIT(PROC_WRITER) | BIT(PROC_RECEPTION))

/*
 * What each process may ask of the kernel.  What is in no line ends the process
 * (SIGSYS), but for the harmless ones further down, which fail.  The helper runs
 * whatever the operator configured, so for it the rule is turned round: see
 * helper_denied.
 *
 * A name that this architecture or libseccomp does not know is passed over: arm64
 * has openat and no open, and so on.
 */
static const struct line {
	unsigned	 kinds;
	const char	*calls;
	const char	*reason;
} allowed[] = {
	{ LOOPS, "read write readv writev close", "everything" },
	{ LOOPS, "recvmsg sendmsg recvfrom sendto shutdown", "channels and sockets that we already hold" },
	{ LOOPS, "getsockopt setsockopt getsockname getpeername", "errors, TCP options and peers of the same" },
	{ LOOPS, "epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 poll ppoll", "libuv's loop" },
	{ LOOPS, "eventfd2 pipe2", "libuv wakes its loop from its threads" },
	{ LOOPS, "futex futex_waitv set_robust_list rseq set_tid_address membarrier sched_yield", "threads" },
	{ LOOPS, "sched_getaffinity getrlimit prlimit64 sysinfo uname", "glibc asks how large the machine is" },
	{ LOOPS, "brk munmap mremap madvise", "malloc; mmap and mprotect are below, without PROT_EXEC" },
	{ LOOPS, "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time", "clocks, where there is no vDSO" },
	{ LOOPS, "getrandom", "keys, nonces and ids" },
	{ LOOPS, "getpid getppid gettid getuid geteuid getgid getegid getcwd", "who am I" },
	{ LOOPS, "rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall", "signals" },
	{ LOOPS, "exit exit_group", "the end" },
	{ LOOPS, "fcntl dup dup2 dup3 lseek fstat stat lstat newfstatat statx", "descriptors" },
	{ LOOPS, "openat open access faccessat faccessat2 readlink readlinkat",
	    "files; which ones is Landlock's matter, and without it the account's" },

	{ FILES, "fsync fdatasync ftruncate fallocate pread64 pwrite64 preadv pwritev unlink unlinkat "
	    "fstatfs statfs", "objects in files of their own" },
	{ BIT(PROC_WRITER) | BIT(PROC_COURIER), "mkdir mkdirat rename renameat renameat2 getdents64 "
	    "getdents syncfs link linkat", "peers, what is set aside; Maildir" },
	{ BIT(PROC_WRITER), "fchmod fchmodat fchown rmdir utimensat utimes umask flock", "SQLite and its WAL" },

	{ ACCEPTORS, "accept4 accept", "the control socket; senders and homes" },
	{ BIT(PROC_TUNNEL) | BIT(PROC_RESOLVER), "connect bind",
	    "edges and route changes; questions. socket is below, with its families" },
	{ BIT(PROC_RESOLVER), "socketpair select pselect6 getrusage times", "libunbound" },
};

/* Tried by libraries that go on without; with what they are told. */
static const struct {
	const char	*calls;
	int		 error;
	const char	*reason;
} harmless[] = {
	{ "clone3", ENOSYS, "its flags lie in memory, where no filter can look: glibc falls back to clone" },
	{ "io_uring_setup io_uring_enter io_uring_register", ENOSYS,
	    "would pass by this filter; libuv falls back to epoll and threads" },
	{ "mlock mlock2 munlock mlockall setpriority sched_setscheduler sched_setaffinity sched_setparam "
	    "sched_getparam sched_getscheduler", EPERM, "a wish" },
	{ "setrlimit setsid setpgid ptrace", EPERM, "a wish" },
	{ "chmod fchmodat2 chown lchown fchown fchownat fchmod utimensat utimes umask rmdir", EPERM,
	    "names on disk are made as they shall be" },
	{ "inotify_init1 inotify_add_watch", EPERM, "c-ares and libunbound builds that watch resolv.conf" },
	{ "io_setup", ENOSYS, "asynchronous disk writes" },
};

/* The helper's commands may be anything; these they may not, whatever they are. */
static const struct {
	const char	*calls;
	const char	*reason;
} helper_denied[] = {
	{ "ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd", "other processes of the account" },
	{ "bpf perf_event_open userfaultfd io_uring_setup", "favourite ways into a kernel" },
	{ "init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff", "the machine" },
	{ "mount umount2 pivot_root chroot unshare setns move_mount open_tree fsopen fsmount fsconfig", "namespaces" },
	{ "add_key keyctl request_key", "the kernel's keyrings" },
	{ "settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname", "the clock and the name" },
	{ "listen accept accept4", "a command is a client of this machine at most" },
};

#ifdef POSTHOUSE_SANITIZED
/* A sanitizer asks for much more than we do: say it, and let it be. */
#define REFUSE(e)	SCMP_ACT_LOG
#define KILL		SCMP_ACT_LOG
#else
#define REFUSE(e)	SCMP_ACT_ERRNO(e)
#define KILL		SCMP_ACT_KILL_PROCESS
#endif

/* The number of a call by its name, or negative when there is none here. */
static int
number(const char *name, size_t n)
{
	char text[32];

	snprintf(text, sizeof(text), "%.*s", (int)n, name);
	return seccomp_syscall_resolve_name(text);
}

/* except: names that are left out, or "". */
static int
each(scmp_filter_ctx ctx, uint32_t action, const char *calls, bool (*skip)(int nr, unsigned kinds),
    unsigned kinds)
{
	for (size_t n; *calls != '\0'; calls += n + (calls[n] == ' ')) {
		int nr, rc;

		n = strcspn(calls, " ");
		if ((nr = number(calls, n)) < 0 || (skip != NULL && skip(nr, kinds)))
			continue;
		if ((rc = seccomp_rule_add(ctx, action, nr, 0)) != 0 && rc != -EEXIST)
			return rc;
	}
	return 0;
}

/* Whether a call stands in a line of its own for this kind: then it is allowed, harmless or not. */
static bool
is_allowed(int nr, unsigned kinds)
{
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		const char *c = allowed[i].calls;

		if ((allowed[i].kinds & kinds) == 0)
			continue;
		for (size_t n; *c != '\0'; c += n + (c[n] == ' ')) {
			n = strcspn(c, " ");
			if (number(c, n) == nr)
				return true;
		}
	}
	return false;
}

/* Calls of which only some arguments are fine. */
static int
narrowed(scmp_filter_ctx ctx, enum proc_kind kind)
{
	static const unsigned long requests[] = { FIONBIO, FIONREAD, FIOCLEX, TCGETS, TIOCGWINSZ };
	const int maps[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect) };
	int rc = 0;

	/* Nothing is executable that was not when we started. */
	for (size_t i = 0; i < 2; i++) {
		rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, maps[i], 1,
		    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
		rc |= seccomp_rule_add(ctx, REFUSE(EACCES), maps[i], 1,
		    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC));
	}
	/* Threads, never processes. */
	rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
	    SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	rc |= seccomp_rule_add(ctx, REFUSE(EPERM), SCMP_SYS(clone), 1,
	    SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
		    SCMP_A1(SCMP_CMP_EQ, requests[i]));
	/* abort() */
	rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
	    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
	    SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
	rc |= seccomp_rule_add(ctx, REFUSE(EPERM), SCMP_SYS(prctl), 1,
	    SCMP_A0(SCMP_CMP_NE, PR_SET_NAME));
	if (kind == PROC_TUNNEL || kind == PROC_RESOLVER) {
		rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
		    SCMP_A0(SCMP_CMP_EQ, AF_INET));
		rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
		    SCMP_A0(SCMP_CMP_EQ, AF_INET6));
		/* Link and route changes: the tunnel redials at once.  libc's check for addresses: the resolver. */
		rc |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
		    SCMP_A0(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2(SCMP_CMP_EQ, 0));
		rc |= seccomp_rule_add(ctx, REFUSE(EACCES), SCMP_SYS(socket), 1,
		    SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	} else {
		rc |= seccomp_rule_add(ctx, REFUSE(EACCES), SCMP_SYS(socket), 0);
		rc |= seccomp_rule_add(ctx, REFUSE(EACCES), SCMP_SYS(connect), 0);
	}
	return rc;
}

static int
fill(scmp_filter_ctx ctx, enum proc_kind kind)
{
	unsigned kinds = BIT(kind);
	int rc = 0;

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		if ((allowed[i].kinds & kinds) != 0)
			rc |= each(ctx, SCMP_ACT_ALLOW, allowed[i].calls, NULL, 0);
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		rc |= each(ctx, REFUSE((uint16_t)harmless[i].error), harmless[i].calls, is_allowed, kinds);
	return rc | narrowed(ctx, kind);
}

/*
 * Only unix sockets: `doveadm user` and its like ask a server of this machine
 * through one, and none of them leads out of it.
 */
static int
fill_helper(scmp_filter_ctx ctx)
{
	int rc = seccomp_rule_add(ctx, REFUSE(EAFNOSUPPORT), SCMP_SYS(socket), 1,
	    SCMP_A0(SCMP_CMP_NE, AF_UNIX));

	for (size_t i = 0; i < sizeof(helper_denied) / sizeof(helper_denied[0]); i++)
		rc |= each(ctx, REFUSE(EPERM), helper_denied[i].calls, NULL, 0);
	return rc;
}

int
syscalls_enter(enum proc_kind kind, struct why *why)
{
	bool helper = kind == PROC_HELPER;
	scmp_filter_ctx ctx = seccomp_init(helper ? SCMP_ACT_ALLOW : KILL);
	int rc;

	if (ctx == NULL)
		return why_set(why, "seccomp: memory is out");
	/* A tree instead of a list, and all threads, in case a library has made one. */
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if ((rc = helper ? fill_helper(ctx) : fill(ctx, kind)) != 0) {
		seccomp_release(ctx);
		return why_set(why, "seccomp: the table of %s does not compile (%d)", proc_kind_name(kind), rc);
	}
	rc = seccomp_load(ctx);
	seccomp_release(ctx);
	if (rc == -EINVAL || rc == -ENOSYS || rc == -EOPNOTSUPP)
		return 0;
	if (rc != 0) {
		errno = -rc;
		return why_sys(why, "seccomp");
	}
	return 1;
}
