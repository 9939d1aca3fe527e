#include "priv/syscalls_in.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

/*
 * The filters of both architectures: written out as the kernel gets them, and asked call by call.
 * On x86-64 only, which has a number for each name that a table has; arm64 has not for all.
 */

static const struct {
	const char	*name;
	enum proc_kind	 kind;
	enum syscalls_courier courier;
} kinds[] = {
	{ "writer", PROC_WRITER, SYSCALLS_ALONE },
	{ "reception", PROC_RECEPTION, SYSCALLS_ALONE },
	{ "tunnel", PROC_TUNNEL, SYSCALLS_ALONE },
	{ "courier", PROC_COURIER, SYSCALLS_ALONE },
	{ "courier that posts", PROC_COURIER, SYSCALLS_POSTS },
	{ "courier that asks", PROC_COURIER, SYSCALLS_ASKS },
	{ "helper", PROC_HELPER, SYSCALLS_ALONE },
	{ "resolver", PROC_RESOLVER, SYSCALLS_ALONE },
	{ "herald", PROC_HERALD, SYSCALLS_ALONE },
	{ "runner", PROC_RUNNER, SYSCALLS_ALONE },
	{ "push", PROC_PUSH, SYSCALLS_ALONE },
	{ "drain", PROC_DRAIN, SYSCALLS_ALONE },
	{ "bucket", PROC_BUCKET, SYSCALLS_ALONE },
};

#define KINDS		(sizeof(kinds) / sizeof(kinds[0]))
#define CALLS_MAX	1024

enum { X86_64 = 0, ARM64, ARCHES };

static const uint32_t arches[ARCHES] = { SCMP_ARCH_X86_64, SCMP_ARCH_AARCH64 };

static struct program {
	struct sock_filter op[8192];
	size_t		 n;
} programs[KINDS][ARCHES];

static int
write_out(void **unused)
{
	for (size_t k = 0; k < KINDS; k++)
		for (int a = 0; a < ARCHES; a++) {
			struct program *p = &programs[k][a];
			struct why why = { 0 };
			scmp_filter_ctx ctx = syscalls_filter(arches[a], kinds[k].kind,
			    kinds[k].courier, &why);
			int fd = memfd_create("filter", MFD_CLOEXEC);
			ssize_t got;

			if (ctx == NULL)
				print_error("%s: %s\n", kinds[k].name, why.text);
			if (ctx == NULL || seccomp_export_bpf(ctx, fd) != 0)
				return -1;
			seccomp_release(ctx);
			got = pread(fd, p->op, sizeof(p->op), 0);
			close(fd);
			if (got <= 0 || (size_t)got == sizeof(p->op))
				return -1;
			p->n = (size_t)got / sizeof(p->op[0]);
		}
	return 0;
}

/* As the kernel runs it (networking/filter): what libseccomp writes, and no more of it. */
static uint32_t
run(const struct program *p, const struct seccomp_data *data)
{
	uint32_t acc = 0;

	for (size_t at = 0; at < p->n; at++) {
		const struct sock_filter *op = &p->op[at];
		bool yes = false;

		switch (op->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			memcpy(&acc, (const char *)data + op->k, sizeof(acc));
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			acc &= op->k;
			continue;
		case BPF_RET | BPF_K:
			return op->k;
		case BPF_JMP | BPF_JA:
			at += op->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			yes = acc == op->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			yes = acc >= op->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			yes = acc > op->k;
			break;
		default:
			fail_msg("operation %#x is not played here", op->code);
		}
		at += yes ? op->jt : op->jf;
	}
	fail_msg("the filter has no end");
	return 0;
}

static uint32_t
judge(size_t kind, int arch, int nr, uint64_t arg)
{
	struct seccomp_data data = { .nr = nr, .arch = arches[arch] };

	for (size_t i = 0; i < 6; i++)
		data.args[i] = arg;
	return run(&programs[kind][arch], &data);
}

static uint32_t
judge_name(size_t kind, int arch, const char *name, uint64_t arg)
{
	int nr = seccomp_syscall_resolve_name_arch(arches[arch], name);

	if (nr < 0)
		fail_msg("%s is no call of architecture %d", name, arch);
	return judge(kind, arch, nr, arg);
}

/* Whatever stands in its arguments: nothing, everything, a thread's flags, an address family. */
static const uint64_t args[] = { 0, ~0ull, CLONE_THREAD, 1, 2, 10, 16 };

static void
a_call_that_both_have_is_judged_alike(void **unused)
{
	size_t judged = 0, wrong = 0;

	for (int nr = 0; nr < CALLS_MAX; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_AARCH64, nr);
		int other = name == NULL ? -1 :
		    seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, name);

		for (size_t k = 0; other >= 0 && k < KINDS; k++)
			for (size_t i = 0; i < sizeof(args) / sizeof(args[0]); i++) {
				judged++;
				if (judge(k, ARM64, nr, args[i]) ==
				    judge(k, X86_64, other, args[i]))
					continue;
				print_error("%s: %s\n", kinds[k].name, name);
				wrong++;
			}
		free(name);
	}
	assert_true(judged > 100 * KINDS);
	assert_int_equal(wrong, 0);
}

/* What the C library calls on arm64, which has only the second of each. */
static const char *const spelled[][2] = {
	{ "open", "openat" }, { "stat", "newfstatat" }, { "lstat", "newfstatat" },
	{ "access", "faccessat" }, { "readlink", "readlinkat" }, { "unlink", "unlinkat" },
	{ "rename", "renameat" }, { "link", "linkat" }, { "mkdir", "mkdirat" },
	{ "chmod", "fchmodat" }, { "chown", "fchownat" }, { "lchown", "fchownat" },
	{ "utimes", "utimensat" }, { "getdents", "getdents64" }, { "dup2", "dup3" },
	{ "poll", "ppoll" }, { "select", "pselect6" }, { "epoll_wait", "epoll_pwait" },
	{ "time", "clock_gettime" },
};
#define SPELLED (sizeof(spelled) / sizeof(spelled[0]))

static void
a_call_is_judged_alike_by_either_name(void **unused)
{
	size_t wrong = 0;

	for (size_t i = 0; i < SPELLED; i++)
		for (size_t k = 0; k < KINDS; k++) {
			uint32_t old = judge_name(k, X86_64, spelled[i][0], 0),
			    now = judge_name(k, ARM64, spelled[i][1], 0);

			assert_true(seccomp_syscall_resolve_name_arch(SCMP_ARCH_AARCH64,
			    spelled[i][0]) < 0);
			if (old == now)
				continue;
			print_error("%s: %s %#x, %s %#x\n", kinds[k].name, spelled[i][0], old,
			    spelled[i][1], now);
			wrong++;
		}
	assert_int_equal(wrong, 0);
}

static bool
is_spelled(const char *name)
{
	for (size_t i = 0; i < SPELLED; i++)
		if (strcmp(spelled[i][0], name) == 0)
			return true;
	return false;
}

/* Or its other name may be in no line. */
static void
what_arm64_has_not_is_known_by_both_names(void **unused)
{
	size_t wrong = 0;

	for (int nr = 0; nr < CALLS_MAX; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, nr);
		bool none = name != NULL &&
		    seccomp_syscall_resolve_name_arch(SCMP_ARCH_AARCH64, name) < 0;

		for (size_t k = 0; none && !is_spelled(name) && k < KINDS; k++)
			if (kinds[k].kind != PROC_HELPER && kinds[k].kind != PROC_RUNNER &&
			    judge(k, X86_64, nr, 0) != SECCOMP_RET_KILL_PROCESS) {
				print_error("%s: %s\n", kinds[k].name, name);
				wrong++;
			}
		free(name);
	}
	assert_int_equal(wrong, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_call_that_both_have_is_judged_alike),
		cmocka_unit_test(a_call_is_judged_alike_by_either_name),
		cmocka_unit_test(what_arm64_has_not_is_known_by_both_names),
	};

#ifdef POSTHOUSE_SANITIZED
	puts("1..0 # SKIP a sanitizer build's sandbox only logs");
	return 77;
#endif
	if (seccomp_arch_native() != SCMP_ARCH_X86_64) {
		puts("1..0 # SKIP this is no x86-64");
		return 77;
	}
	return cmocka_run_group_tests(tests, write_out, NULL);
}
