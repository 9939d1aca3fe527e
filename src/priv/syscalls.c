#include "priv/syscalls_in.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(k)		(1u << (k))
/* Couriers as kinds of their own: see syscalls.h. */
#define POSTING		BIT(PROC_KINDS)
#define ASKING		BIT(PROC_KINDS + 1)
#define LOOPS		(BIT(PROC_WRITER) | BIT(PROC_RECEPTION) | BIT(PROC_TUNNEL) | \
			 BIT(PROC_COURIER) | BIT(PROC_RESOLVER) | BIT(PROC_HERALD) | POSTING | \
			 ASKING | BIT(PROC_PUSH) | BIT(PROC_DRAIN) | BIT(PROC_BUCKET))
#define FILES		(BIT(PROC_WRITER) | BIT(PROC_RECEPTION) | BIT(PROC_TUNNEL) | \
			 BIT(PROC_COURIER) | ASKING | BIT(PROC_PUSH) | BIT(PROC_DRAIN) | \
			 BIT(PROC_BUCKET))
#define ACCEPTORS	(BIT(PROC_WRITER) | BIT(PROC_RECEPTION) | BIT(PROC_PUSH))

/*
 * What each process may ask of the kernel.  What is in no line ends the process
 * (SIGSYS), but for the harmless ones further down, which fail.  Helper and runner run
 * whatever the operator configured, so for them the rule is turned round: see
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
	{ LOOPS, "recvmsg sendmsg recvfrom sendto shutdown",
	    "channels and sockets that we already hold" },
	{ LOOPS, "getsockopt setsockopt getsockname getpeername",
	    "errors, TCP options and peers of the same" },
	{ LOOPS, "epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 poll ppoll",
	    "libuv's loop" },
	{ LOOPS, "eventfd2 pipe2", "libuv wakes its loop from its threads" },
	{ LOOPS, "futex futex_waitv set_robust_list rseq set_tid_address membarrier sched_yield",
	    "threads" },
	{ LOOPS, "sched_getaffinity getrlimit prlimit64 sysinfo uname",
	    "glibc asks how large the machine is" },
	{ LOOPS, "brk munmap mremap madvise",
	    "malloc; mmap and mprotect are below, without PROT_EXEC" },
	{ LOOPS, "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time",
	    "clocks, where there is no vDSO" },
	{ LOOPS, "getrandom", "keys, nonces and ids" },
	{ LOOPS, "getpid getppid gettid getuid geteuid getgid getegid getcwd", "who am I" },
	{ LOOPS, "rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall",
	    "signals" },
	{ LOOPS, "exit exit_group", "the end" },
	{ LOOPS, "fcntl dup dup2 dup3 lseek fstat stat lstat newfstatat statx", "descriptors" },
	{ LOOPS, "openat open access faccessat faccessat2 readlink readlinkat",
	    "files; which ones is Landlock's matter, and without it the account's" },

	{ FILES,
	    "fsync fdatasync ftruncate fallocate pread64 pwrite64 preadv pwritev unlink unlinkat "
	    "fstatfs statfs", "objects in files of their own" },
	{ BIT(PROC_WRITER) | BIT(PROC_COURIER) | ASKING,
	    "mkdir mkdirat rename renameat renameat2 getdents64 "
	    "getdents syncfs link linkat", "peers, what is set aside; Maildir" },
	{ BIT(PROC_WRITER), "fchmod chmod fchmodat fchown utimensat utimes umask flock",
	    "SQLite and its WAL" },

	{ ACCEPTORS, "accept4 accept", "the control socket; senders and homes; Workers" },
	{ POSTING | ASKING, "connect",
	    "the mail server, the filter; their ports are Landlock's matter" },
	{ POSTING, "pread64", "held objects in files of their own" },
	{ BIT(PROC_HERALD), "connect", "webhook and relay" },
	{ BIT(PROC_DRAIN) | BIT(PROC_BUCKET), "connect", "stores" },
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
	{ "clone3", ENOSYS,
	    "its flags lie in memory, where no filter can look: glibc falls back to clone" },
	{ "io_uring_setup io_uring_enter io_uring_register", ENOSYS,
	    "would pass by this filter; libuv falls back to epoll and threads" },
	{ "mlock mlock2 munlock mlockall sched_setaffinity sched_setparam sched_getparam "
	    "sched_setscheduler sched_getscheduler", EPERM, "a wish" },
	{ "setrlimit setsid setpgid ptrace", EPERM, "a wish" },
	{ "chmod fchmodat fchmodat2 chown lchown fchown fchownat fchmod utimensat utimes umask",
	    EPERM,
	    "names on disk are made as they shall be" },
	{ "inotify_init1 inotify_add_watch", EPERM,
	    "c-ares and libunbound builds that watch resolv.conf" },
	{ "io_setup", ENOSYS, "asynchronous disk writes" },
};

/* The commands of helper and runner may be anything; these they may not, whatever they are. */
static const struct {
	const char	*calls;
	const char	*reason;
} helper_denied[] = {
	{ "ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd",
	    "other processes of the account" },
	{ "bpf perf_event_open userfaultfd io_uring_setup", "favourite ways into a kernel" },
	{ "init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff",
	    "the machine" },
	{ "mount umount2 pivot_root chroot unshare setns move_mount open_tree fsopen fsmount "
	    "fsconfig", "namespaces" },
	{ "add_key keyctl request_key", "the kernel's keyrings" },
	{ "settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname",
	    "the clock and the name" },
	{ "listen accept accept4", "a command is a client at most" },
};

/* Calls of which only some arguments are fine. error 0: allowed. */
#define IS(arg, v)	{ (arg), SCMP_CMP_EQ, (v), 0 }
#define IS_NOT(arg, v)	{ (arg), SCMP_CMP_NE, (v), 0 }
#define HAS(arg, bit)	{ (arg), SCMP_CMP_MASKED_EQ, (bit), (bit) }
#define LACKS(arg, bit)	{ (arg), SCMP_CMP_MASKED_EQ, (bit), 0 }
#define DIALLERS	(BIT(PROC_TUNNEL) | BIT(PROC_RESOLVER))
#define CLIENTS		(BIT(PROC_HERALD) | BIT(PROC_DRAIN) | BIT(PROC_BUCKET))
#define CONNECTORS	(DIALLERS | POSTING | ASKING | CLIENTS)

static const struct narrow {
	unsigned	 kinds;
	const char	*call;
	struct scmp_arg_cmp when[2];
	unsigned	 n;
	int		 error;
	const char	*reason;
} narrow[] = {
	{ LOOPS, "mmap", { LACKS(2, PROT_EXEC) }, 1, 0, "memory" },
	{ LOOPS, "mmap", { HAS(2, PROT_EXEC) }, 1, EACCES,
	    "nothing is executable that was not at the start" },
	{ LOOPS, "mprotect", { LACKS(2, PROT_EXEC) }, 1, 0, "memory" },
	{ LOOPS, "mprotect", { HAS(2, PROT_EXEC) }, 1, EACCES, "the same" },
	{ LOOPS, "clone", { HAS(0, CLONE_THREAD) }, 1, 0, "threads" },
	{ LOOPS, "clone", { LACKS(0, CLONE_THREAD) }, 1, EPERM, "never processes" },
	{ LOOPS, "ioctl", { IS(1, FIONBIO) }, 1, 0, "libuv" },
	{ LOOPS, "ioctl", { IS(1, FIONREAD) }, 1, 0, "libuv" },
	{ LOOPS, "ioctl", { IS(1, FIOCLEX) }, 1, 0, "libuv" },
	{ LOOPS, "ioctl", { IS(1, TCGETS) }, 1, 0, "isatty()" },
	{ LOOPS, "prctl", { IS(0, PR_SET_NAME) }, 1, 0, "libuv names its threads" },
	{ LOOPS, "prctl", { IS_NOT(0, PR_SET_NAME) }, 1, EPERM, "and nothing else" },
	{ BIT(PROC_RECEPTION), "setpriority", { IS(0, PRIO_PROCESS), IS(1, 0) }, 2, 0,
	    "the thread that makes keys ahead stands back" },
	{ BIT(PROC_RECEPTION), "setpriority", { IS_NOT(1, 0) }, 1, EPERM, "not others" },
	{ LOOPS & ~BIT(PROC_RECEPTION), "setpriority", { { 0 } }, 0, EPERM, "a wish" },
	{ DIALLERS, "socket", { IS(0, AF_INET) }, 1, 0, "edges; name servers" },
	{ DIALLERS, "socket", { IS(0, AF_INET6) }, 1, 0, "the same" },
	{ DIALLERS, "socket", { IS(0, AF_NETLINK), IS(2, NETLINK_ROUTE) }, 2, 0,
	    "route changes: redial at once" },
	{ BIT(PROC_TUNNEL), "socket", { IS(0, AF_NETLINK), IS(2, NETLINK_SOCK_DIAG) }, 2, 0,
	    "whether a backend was started again" },
	{ DIALLERS, "socket", { IS(0, AF_UNIX) }, 1, EACCES,
	    "syslog(3) and the like of libraries" },
	{ POSTING | ASKING, "socket", { IS(0, AF_INET) }, 1, 0, "the mail server, the filter" },
	{ POSTING | ASKING, "socket", { IS(0, AF_INET6) }, 1, 0, "the same" },
	{ POSTING | ASKING, "socket", { IS(0, AF_UNIX) }, 1, 0, "the same" },
	{ CLIENTS, "socket", { IS(0, AF_INET) }, 1, 0, "webhook and relay; stores" },
	{ CLIENTS, "socket", { IS(0, AF_INET6) }, 1, 0, "the same" },
	{ CLIENTS, "socket", { IS(0, AF_UNIX) }, 1, EACCES,
	    "syslog(3) and the like of libraries" },
	{ LOOPS & ~CONNECTORS, "socket", { { 0 } }, 0, EACCES, "sockets come from the parent" },
	{ LOOPS & ~CONNECTORS, "connect", { { 0 } }, 0, EACCES, "the same" },
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

/* One call, under up to two conditions; an action that is the default's needs no rule. */
static int
add(scmp_filter_ctx ctx, uint32_t action, int nr, const struct scmp_arg_cmp *when, unsigned n)
{
	if (nr < 0 || action == KILL)
		return 0;
	return seccomp_rule_add_array(ctx, action, nr, n, when);
}

/* A line's calls, but for those that skip knows better. */
static int
each(scmp_filter_ctx ctx, uint32_t action, const char *calls, bool (*skip)(int nr, unsigned kinds),
    unsigned kinds)
{
	for (size_t n; *calls != '\0'; calls += n + (calls[n] == ' ')) {
		int nr, rc;

		n = strcspn(calls, " ");
		if ((nr = number(calls, n)) < 0 || (skip != NULL && skip(nr, kinds)))
			continue;
		if ((rc = add(ctx, action, nr, NULL, 0)) != 0 && rc != -EEXIST)
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

static int
narrowed(scmp_filter_ctx ctx, unsigned kinds)
{
	int rc = 0;

	for (size_t i = 0; i < sizeof(narrow) / sizeof(narrow[0]); i++) {
		const struct narrow *w = &narrow[i];
		uint32_t action = w->error == 0 ? SCMP_ACT_ALLOW : REFUSE((uint16_t)w->error);

		if ((w->kinds & kinds) != 0)
			rc |= add(ctx, action, number(w->call, strlen(w->call)), w->when, w->n);
	}
	/* abort(), which signals itself. */
	rc |= add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill),
	    &(struct scmp_arg_cmp)IS(0, (scmp_datum_t)getpid()), 1);
	return rc;
}

static int
fill(scmp_filter_ctx ctx, unsigned kinds)
{
	int rc = 0;

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		if ((allowed[i].kinds & kinds) != 0)
			rc |= each(ctx, SCMP_ACT_ALLOW, allowed[i].calls, NULL, 0);
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		rc |= each(ctx, REFUSE((uint16_t)harmless[i].error), harmless[i].calls, is_allowed,
		    kinds);
	return rc | narrowed(ctx, kinds);
}

/*
 * The helper has only unix sockets: `doveadm user` and its like ask a server of this machine
 * through one, and none of them leads out of it.  What the runner's command says is for
 * somebody elsewhere: it may use the network, as a client.
 */
static int
fill_helper(scmp_filter_ctx ctx, bool network)
{
	static const struct scmp_arg_cmp other = IS_NOT(0, AF_UNIX);
	static const struct scmp_arg_cmp above = { 0, SCMP_CMP_GT, AF_NETLINK, 0 };
	int rc = add(ctx, REFUSE(EAFNOSUPPORT), SCMP_SYS(socket), network ? &above : &other, 1);

	for (int af = 0; network && af < AF_NETLINK; af++)
		if (af != AF_UNIX && af != AF_INET && af != AF_INET6)
			rc |= add(ctx, REFUSE(EAFNOSUPPORT), SCMP_SYS(socket),
			    &(struct scmp_arg_cmp)IS(0, (scmp_datum_t)af), 1);

	for (size_t i = 0; i < sizeof(helper_denied) / sizeof(helper_denied[0]); i++)
		rc |= each(ctx, REFUSE(EPERM), helper_denied[i].calls, NULL, 0);
	return rc;
}

/* Rules before an architecture is chosen would be for this machine's. */
static int
choose(scmp_filter_ctx ctx, uint32_t arch)
{
	if (arch == seccomp_arch_native())
		return 0;
	return seccomp_arch_add(ctx, arch) | seccomp_arch_remove(ctx, SCMP_ARCH_NATIVE);
}

scmp_filter_ctx
syscalls_filter(uint32_t arch, enum proc_kind kind, enum syscalls_courier courier, struct why *why)
{
	static const unsigned couriers[] = {
		[SYSCALLS_POSTS] = POSTING, [SYSCALLS_ASKS] = ASKING,
	};
	unsigned kinds = courier != SYSCALLS_ALONE ? couriers[courier] : BIT(kind);
	bool helper = kind == PROC_HELPER || kind == PROC_RUNNER;
	scmp_filter_ctx ctx = seccomp_init(helper ? SCMP_ACT_ALLOW : KILL);
	int rc;

	if (ctx == NULL) {
		why_set(why, "seccomp: memory is out");
		return NULL;
	}
	/* A tree instead of a list, and all threads, in case a library has made one. */
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if ((rc = choose(ctx, arch)) == 0)
		rc = helper ? fill_helper(ctx, kind == PROC_RUNNER) : fill(ctx, kinds);
	if (rc != 0) {
		seccomp_release(ctx);
		why_set(why, "seccomp: the table of %s does not compile (%d)",
		    proc_kind_name(kind), rc);
		return NULL;
	}
	return ctx;
}

/*
 * Whether this kernel has no filters, or none that end a whole process (before Linux 4.14): there
 * libseccomp makes none, and does not say why.
 */
static bool
lacking(void)
{
	const uint32_t action = SECCOMP_RET_KILL_PROCESS;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0L, &action) == -1 &&
	    (errno == ENOSYS || errno == EINVAL || errno == EOPNOTSUPP);
}

int
syscalls_enter(enum proc_kind kind, enum syscalls_courier courier, struct why *why)
{
	scmp_filter_ctx ctx;
	int rc;

	if (lacking())
		return 0;
	if ((ctx = syscalls_filter(seccomp_arch_native(), kind, courier, why)) == NULL)
		return -1;
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
