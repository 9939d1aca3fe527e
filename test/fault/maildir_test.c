/*
 * Maildir delivery under faults.  Every system call fails in turn, and the
 * process dies before every system call in turn; after each, a delivery is whole
 * under its name in new/, or can be recovered by what the ledger knows, once.
 */
#include "store/maildir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BODY	"From: a\r\nTo: b\r\n\r\nline\r\n"
#define WHOLE	"From: a\nTo: b\n\nline\n"
#define DIRTY_MAX 4096

/* What the calls pass through: a fault or a death at the n-th, and a model of what is on disk. */
static struct {
	int		fail_at, die_at;	/* -1: never */
	int		calls;
	int		open, open_most;
	int		fsyncs, syncfss;
	ino_t		dirty[DIRTY_MAX];
	size_t		ndirty;
} sim;

static bool
step(void)
{
	int n = sim.calls++;

	if (n == sim.die_at)
		_exit(0);
	if (n == sim.fail_at) {
		errno = EIO;
		return false;
	}
	return true;
}

static void
dirty(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	for (size_t i = 0; i < sim.ndirty; i++)
		if (sim.dirty[i] == st.st_ino)
			return;
	assert_true(sim.ndirty < DIRTY_MAX);
	sim.dirty[sim.ndirty++] = st.st_ino;
}

static void
clean(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	for (size_t i = 0; i < sim.ndirty; i++)
		if (sim.dirty[i] == st.st_ino)
			sim.dirty[i] = sim.dirty[--sim.ndirty];
}

static int
sim_openat(int dir, const char *path, int flags, mode_t mode)
{
	int fd;

	if (!step() || (fd = sys_real.openat(dir, path, flags, mode)) == -1)
		return -1;
	if (++sim.open > sim.open_most)
		sim.open_most = sim.open;
	if (flags & O_CREAT)
		dirty(dir);
	return fd;
}

static int
sim_close(int fd)
{
	bool ok = step();

	sim.open--;
	if (sys_real.close(fd) == -1)
		fail_msg("a descriptor was closed twice");
	errno = EIO;
	return ok ? 0 : -1;
}

static ssize_t
sim_write(int fd, const void *p, size_t n)
{
	if (!step())
		return -1;
	dirty(fd);
	return sys_real.write(fd, p, n > 7 ? 7 : n);	/* always short */
}

static int
sim_fsync(int fd)
{
	if (!step())
		return -1;
	sim.fsyncs++;
	clean(fd);
	return 0;
}

static int
sim_syncfs(int fd)
{
	if (!step())
		return -1;
	sim.syncfss++;
	sim.ndirty = 0;
	return 0;
}

static int
sim_renameat(int a, const char *from, int b, const char *to)
{
	if (!step() || sys_real.renameat(a, from, b, to) == -1)
		return -1;
	dirty(a);
	dirty(b);
	return 0;
}

static int
sim_unlinkat(int dir, const char *path, int flags)
{
	return step() ? sys_real.unlinkat(dir, path, flags) : -1;
}

static int
sim_mkdirat(int dir, const char *path, mode_t mode)
{
	if (!step() || sys_real.mkdirat(dir, path, mode) == -1)
		return -1;
	dirty(dir);
	return 0;
}

static int
sim_fstatat(int dir, const char *path, struct stat *st, int flags)
{
	return step() ? sys_real.fstatat(dir, path, st, flags) : -1;
}

static const struct sys sys_sim = {
	.openat = sim_openat,
	.close = sim_close,
	.write = sim_write,
	.read = read,
	.fsync = sim_fsync,
	.syncfs = sim_syncfs,
	.renameat = sim_renameat,
	.unlinkat = sim_unlinkat,
	.mkdirat = sim_mkdirat,
	.fstatat = sim_fstatat,
};

static char top[64];

static void
fresh(void)
{
	char cmd[256];

	snprintf(cmd, sizeof(cmd), "rm -rf %s && mkdir %s", top, top);
	assert_int_equal(system(cmd), 0);
	memset(&sim, 0, sizeof(sim));
	sim.fail_at = sim.die_at = -1;
}

static int
make_top(void **state)
{
	snprintf(top, sizeof(top), "/tmp/maildir_test.%ld", (long)getpid());
	return 0;
}

static int
remove_top(void **state)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", top);
	return system(cmd);
}

/* What the ledger knows of each delivery, in memory that outlives a killed child. */
#define DELIVERIES 20		/* on both sides of MAILDIR_SYNCFS_FROM with all of them or a few */
struct ledger {
	struct {
		bool	staged, delivered;
		char	name[MAILDIR_NAME_MAX];
	} row[DELIVERIES];
};

static const char *
user_of(int i)
{
	static const char *const users[] = { "alice", "bob", "carol" };

	return users[i % 3];
}

static struct uuid
id_of(int i)
{
	unsigned char rnd[10] = { (unsigned char)i };

	return uuid_v7(1763698920123, rnd);
}

static bool
write_one(struct maildir *m, int i, char *name)
{
	struct why why;
	struct maildir_file *f = maildir_begin(m, user_of(i), id_of(i), 0, name, &why);

	if (f == NULL)
		return false;
	if (maildir_write(f, BODY, strlen(BODY), &why) == -1) {
		maildir_abort(&f);
		return false;
	}
	return maildir_end(&f, &why) == 0;
}

/*
 * One pass of a courier over what is not delivered yet: what it found staged
 * is looked at first, the rest is begun anew.  False: something failed.
 */
static bool
pass(struct maildir *m, struct ledger *l, int n)
{
	bool written[DELIVERIES] = { false }, ok = true;
	char name[DELIVERIES][MAILDIR_NAME_MAX];
	struct why why;

	for (int i = 0; i < n; i++)
		if (!l->row[i].staged) {
			written[i] = write_one(m, i, name[i]);
			ok = ok && written[i];
		}
	if (maildir_sync_tmp(m, &why) == -1)
		return false;
	for (int i = 0; i < n; i++)
		if (written[i]) {
			memcpy(l->row[i].name, name[i], sizeof(name[i]));
			l->row[i].staged = true;
		}
	bool published[DELIVERIES] = { false };
	for (int i = 0; i < n; i++)
		if (l->row[i].staged && !l->row[i].delivered) {
			published[i] = maildir_publish(m, user_of(i), l->row[i].name, &why) == 0;
			ok = ok && published[i];
		}
	if (maildir_sync_new(m, &why) == -1)
		return false;
	for (int i = 0; i < n; i++)
		if (published[i])
			l->row[i].delivered = true;
	return ok;
}

static bool
run(struct ledger *l, int n)
{
	struct why why;
	struct maildir *m = maildir_new(&sys_sim, top, &why);
	bool ok;

	if (m == NULL)
		return false;
	ok = pass(m, l, n);
	maildir_free(&m);
	return ok;
}

/* 0 not there, 1 whole; anything else ends the test. */
static int
whole(int i, const char *sub, const char *name)
{
	char path[512], got[256];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s/%s/%s", top, user_of(i), sub, name);
	if ((f = fopen(path, "r")) == NULL)
		return 0;
	n = fread(got, 1, sizeof(got), f);
	fclose(f);
	assert_int_equal(n, strlen(WHOLE));
	assert_memory_equal(got, WHOLE, n);
	return 1;
}

/* Every invariant that must hold after a fault or a death, whatever it was. */
static void
check_rows(const struct ledger *l, int n)
{
	char cmd[256];
	int readable = 0;

	for (int i = 0; i < n; i++) {
		if (!l->row[i].staged)
			continue;
		int in_tmp = whole(i, "tmp", l->row[i].name),
		    in_new = whole(i, "new", l->row[i].name);
		int in_cur = whole(i, "cur", l->row[i].name);

		assert_int_equal(in_tmp + in_new + in_cur, 1);
		if (l->row[i].delivered)
			assert_int_equal(in_tmp, 0);
		readable += in_new + in_cur;
	}
	/* What is not staged is nowhere that a reader looks. */
	snprintf(cmd, sizeof(cmd),
	    "cd %s && test $(find . -type f -not -path '*/tmp/*' | wc -l) -eq %d", top, readable);
	assert_int_equal(system(cmd), 0);
}

static void
check_all_once(const struct ledger *l, int n)
{
	char cmd[256];

	for (int i = 0; i < n; i++)
		assert_true(l->row[i].delivered);
	check_rows(l, n);
	/* And nothing else is there. */
	snprintf(cmd, sizeof(cmd), "test $(find %s -type f | wc -l) -eq %d", top, n);
	assert_int_equal(system(cmd), 0);
}

static void
every_call_fails(void **state)
{
	static const int sizes[] = { 1, 5, DELIVERIES };

	for (size_t s = 0; s < 3; s++) {
		int n = sizes[s];

		for (int at = 0;; at++) {
			struct ledger l = { 0 };
			bool ok;

			fresh();
			sim.fail_at = at;
			ok = run(&l, n);
			assert_int_equal(sim.open, 0);
			check_rows(&l, n);
			if (sim.calls <= at) {
				assert_true(ok);	/* no fault was met: all is done */
				check_all_once(&l, n);
				assert_true(at > 10);
				break;
			}
			sim.fail_at = -1;
			assert_true(run(&l, n));
			check_all_once(&l, n);
		}
	}
}

/* A mail reader: takes all that is in new/. */
static void
reader(void)
{
	char cmd[256];

	snprintf(cmd, sizeof(cmd), "cd %s && for u in *; do [ -d $u/new ] && find $u/new -type f "
	    "-exec mv {} $u/cur/ ';'; done; true", top);
	assert_int_equal(system(cmd), 0);
}

static void
death_before_every_call(void **state)
{
	struct ledger *l =
	    mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int n = 4;

	assert_true(l != MAP_FAILED);
	for (int reads = 0; reads < 2; reads++)
		for (int at = 0;; at++) {
			pid_t pid;
			int status;

			fresh();
			memset(l, 0, sizeof(*l));
			if ((pid = fork()) == 0) {
				sim.die_at = at;
				_exit(run(l, n) ? 7 : 1);
			}
			assert_int_equal(waitpid(pid, &status, 0), pid);
			assert_true(WIFEXITED(status));
			check_rows(l, n);
			if (reads)
				reader();
			if (WEXITSTATUS(status) == 7) {
				check_all_once(l, n);
				break;
			}
			assert_int_equal(WEXITSTATUS(status), 0);
			assert_true(run(l, n));
			check_all_once(l, n);
		}
	munmap(l, sizeof(*l));
}

/* "staged" and "delivered" may only be said of what is on disk with all that leads to it. */
static void
nothing_is_dirty_when_it_counts(void **state)
{
	struct why why;
	struct maildir *m;
	char name[MAILDIR_NAME_MAX];

	for (int n = 1; n <= DELIVERIES; n++) {
		fresh();
		assert_non_null(m = maildir_new(&sys_sim, top, &why));
		for (int round = 0; round < 2; round++) {	/* the second finds its mailboxes */
			for (int i = 0; i < n; i++)
				assert_true(write_one(m, round * n + i, name));
			assert_true(sim.ndirty > 0);
			assert_int_equal(maildir_sync_tmp(m, &why), 0);
			assert_int_equal(sim.ndirty, 0);
			for (int i = 0; i < n; i++) {
				assert_true(write_one(m, round * n + i, name));	/* its name only */
				assert_int_equal(maildir_sync_tmp(m, &why), 0);
				assert_int_equal(maildir_publish(m, user_of(round * n + i), name,
				    &why), 0);
			}
			assert_true(sim.ndirty > 0);
			assert_int_equal(maildir_sync_new(m, &why), 0);
			assert_int_equal(sim.ndirty, 0);
		}
		maildir_free(&m);
	}
}

static void
large_batches_share_one_sync(void **state)
{
	struct why why;
	struct maildir *m;
	static char name[256][MAILDIR_NAME_MAX];

	fresh();
	assert_non_null(m = maildir_new(&sys_sim, top, &why));
	for (int i = 0; i < 256; i++)
		assert_true(write_one(m, i, name[i]));
	assert_int_equal(maildir_sync_tmp(m, &why), 0);
	for (int i = 0; i < 256; i++)
		assert_int_equal(maildir_publish(m, user_of(i), name[i], &why), 0);
	assert_int_equal(maildir_sync_new(m, &why), 0);
	assert_int_equal(sim.syncfss, 1);	/* of tmp; new goes by itself, in three mailboxes */
	assert_int_equal(sim.fsyncs, 6);
	maildir_free(&m);
}

static void
descriptors_are_bounded(void **state)
{
	struct why why;
	struct maildir *m;
	char user[16], name[300][MAILDIR_NAME_MAX];
	struct maildir_file *f;

	fresh();
	assert_non_null(m = maildir_new(&sys_sim, top, &why));
	for (int i = 0; i < 300; i++) {
		snprintf(user, sizeof(user), "u%d", i);
		assert_non_null(f = maildir_begin(m, user, id_of(i), 0, name[i], &why));
		assert_int_equal(maildir_write(f, "x", 1, &why), 0);
		assert_int_equal(maildir_end(&f, &why), 0);
	}
	assert_int_equal(maildir_sync_tmp(m, &why), 0);
	assert_int_equal(sim.ndirty, 0);
	for (int i = 0; i < 300; i++) {
		snprintf(user, sizeof(user), "u%d", i);
		assert_int_equal(maildir_publish(m, user, name[i], &why), 0);
	}
	assert_int_equal(maildir_sync_new(m, &why), 0);
	assert_int_equal(sim.ndirty, 0);		/* those too that made room for others */
	assert_true(sim.open_most <= 2 * MAILDIR_DIRS_MAX + MAILDIR_SYNCFS_FROM + 4);
	maildir_free(&m);
	assert_int_equal(sim.open, 0);
}

static void
delivers(const char *says, size_t n, size_t first, size_t piece, const char *want, size_t nwant)
{
	struct why why;
	struct maildir *m = maildir_new(&sys_real, top, &why);
	char name[MAILDIR_NAME_MAX], path[512];
	struct maildir_file *f;
	char *got = malloc(nwant + 1);
	FILE *file;

	assert_non_null(m);
	assert_non_null(got);
	assert_non_null(f = maildir_begin(m, "alice", id_of(0), 3, name, &why));
	for (size_t at = 0; at < n;) {
		size_t k = at == 0 && first > 0 ? first : piece;

		if (k > n - at)
			k = n - at;
		assert_int_equal(maildir_write(f, says + at, k, &why), 0);
		at += k;
	}
	assert_int_equal(maildir_end(&f, &why), 0);
	snprintf(path, sizeof(path), "%s/alice/tmp/%s", top, name);
	assert_non_null(file = fopen(path, "r"));
	assert_int_equal(fread(got, 1, nwant + 1, file), nwant);
	assert_memory_equal(got, want, nwant);
	fclose(file);
	free(got);
	maildir_free(&m);
}

static void
crlf_becomes_lf_in_every_cut(void **state)
{
	static const struct {
		const char *says, *stored;
	} texts[] = {
		{ "", "" },
		{ "\r\n", "\n" },
		{ "a\r\n\r\nb\r\n", "a\n\nb\n" },
		{ "a\rb\nc\r", "a\rb\nc\r" },		/* what is no CRLF stays as it is */
		{ "\r\r\n\n\r\r", "\r\n\n\r\r" },
	};

	fresh();
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		size_t n = strlen(texts[i].says);

		for (size_t first = 0; first <= n; first++)
			for (size_t piece = 1; piece <= n || piece == 1; piece++)
				delivers(texts[i].says, n, first, piece, texts[i].stored,
				    strlen(texts[i].stored));
	}
	/* Round the end of the buffer within. */
	for (size_t lead = 8180; lead < 8200; lead++) {
		char says[8300], want[8300];

		memset(says, 'x', lead);
		memset(want, 'x', lead);
		memcpy(says + lead, "\r\n\r", 3);
		memcpy(want + lead, "\n\r", 2);
		delivers(says, lead + 3, lead + 1, 1, want, lead + 2);
	}
}

static void
what_cannot_be_told_is_not_delivered(void **state)
{
	struct why why;
	struct maildir *m;
	char name[MAILDIR_NAME_MAX], cmd[256];

	fresh();
	assert_non_null(m = maildir_new(&sys_sim, top, &why));
	/* The folder may be a mount that is missing. */
	assert_int_equal(maildir_staged(m, "alice", "1.x", &why), -1);
	assert_int_equal(maildir_publish(m, "alice", "1.x", &why), -1);
	assert_true(write_one(m, 0, name));
	assert_int_equal(maildir_staged(m, "alice", name, &why), 1);
	assert_int_equal(maildir_staged(m, "alice", "1.x", &why), 0);
	assert_int_equal(maildir_staged(m, "alice", "../cur/x", &why), -1);
	assert_int_equal(maildir_staged(m, "alice", "1.x/../2.x", &why), -1);
	assert_int_equal(maildir_publish(m, "alice", "1.x/../2.x", &why), -1);
	/* A tmp that was removed under us. */
	snprintf(cmd, sizeof(cmd), "rm -rf %s/alice", top);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(maildir_publish(m, "alice", name, &why), -1);
	assert_true(write_one(m, 0, name));		/* and is made again for the next */
	assert_int_equal(maildir_publish(m, "alice", name, &why), 0);
	assert_int_equal(maildir_publish(m, "alice", name, &why), 0);
	/* unstage: there, gone, and never a failure for gone. */
	assert_true(write_one(m, 3, name));
	assert_int_equal(maildir_unstage(m, "alice", name, &why), 0);
	assert_int_equal(maildir_staged(m, "alice", name, &why), 0);
	assert_int_equal(maildir_unstage(m, "alice", name, &why), 0);
	maildir_free(&m);
}

static void
a_mailbox_cannot_lead_elsewhere(void **state)
{
	static const char *const links[] = { "alice", "alice/tmp", "alice/new", "alice/cur" };
	static const char *const bad[] = { "", ".", "..", ".x", "a/b", "../a" };
	struct why why;
	struct maildir *m;
	char cmd[256], name[MAILDIR_NAME_MAX];

	for (size_t i = 0; i < 4; i++) {
		fresh();
		snprintf(cmd, sizeof(cmd),
		    "cd %s && mkdir else && { [ %zu = 0 ] || mkdir alice; } && "
		    "ln -s \"$PWD/else\" %s",
		    top, i, links[i]);
		assert_int_equal(system(cmd), 0);
		assert_non_null(m = maildir_new(&sys_sim, top, &why));
		assert_null(maildir_begin(m, "alice", id_of(0), 0, name, &why));
		assert_non_null(strstr(why.text, "not links"));
		maildir_free(&m);
		assert_int_equal(sim.open, 0);
	}
	fresh();
	assert_non_null(m = maildir_new(&sys_sim, top, &why));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(maildir_begin(m, bad[i], id_of(0), 0, name, &why));
	maildir_free(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_call_fails),
		cmocka_unit_test(death_before_every_call),
		cmocka_unit_test(nothing_is_dirty_when_it_counts),
		cmocka_unit_test(large_batches_share_one_sync),
		cmocka_unit_test(descriptors_are_bounded),
		cmocka_unit_test(crlf_becomes_lf_in_every_cut),
		cmocka_unit_test(what_cannot_be_told_is_not_delivered),
		cmocka_unit_test(a_mailbox_cannot_lead_elsewhere),
	};

	return cmocka_run_group_tests(tests, make_top, remove_top);
}
