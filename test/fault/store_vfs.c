#include "store_vfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

static enum fault_mode mode;
static unsigned at, calls;
static bool hit;

void
fault_begin(enum fault_mode m, unsigned n)
{
	mode = m;
	at = n;
	calls = 0;
	hit = false;
}

void
fault_end(void)
{
	at = 0;
}

unsigned
fault_calls(void)
{
	return calls;
}

bool
fault_hit(void)
{
	return hit;
}

static bool
fails(void)
{
	calls++;
	if (at == 0 || calls < at || (mode == FAULT_ONCE && calls > at))
		return false;
	hit = true;
	return true;
}

/* --- what is safe on the disk ------------------------------------------------------- */

struct safe {
	char	 name[40];		/* "spool.db", "spool.db-wal" */
	char	*octets;
	size_t	 n;
	bool	 dirty;			/* changed since its last sync */
};
static struct safe safe[4];
static struct {
	char	 name[40];
	bool	 synced, entered;	/* the file; then its directory */
} large[64];
static unsigned nlarge;

static struct safe *
safe_of(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name != NULL ? name + 1 : path;
	for (size_t i = 0; i < 4; i++) {
		if (safe[i].name[0] == '\0')
			snprintf(safe[i].name, sizeof(safe[i].name), "%s", name);
		if (strcmp(safe[i].name, name) == 0)
			return &safe[i];
	}
	abort();
}

static void
keep(const char *path)
{
	struct safe *s = safe_of(path);
	FILE *f = fopen(path, "rb");

	free(s->octets);
	s->octets = NULL;
	s->n = 0;
	if (f == NULL)
		return;
	fseek(f, 0, SEEK_END);
	s->n = (size_t)ftell(f);
	rewind(f);
	s->octets = malloc(s->n + 1);
	if (fread(s->octets, 1, s->n, f) != s->n)
		abort();
	fclose(f);
}

void
fault_large_written(const char *name)
{
	snprintf(large[nlarge].name, sizeof(large[0].name), "%s", name);
	large[nlarge].synced = large[nlarge].entered = false;
	nlarge++;
}

void
fault_power_cut(const char *state)
{
	char path[200];

	for (size_t i = 0; i < 4; i++) {
		FILE *f;

		if (safe[i].name[0] == '\0')
			continue;
		snprintf(path, sizeof(path), "%s/%.39s", state, safe[i].name);
		if (mode == FAULT_CUT && hit && safe[i].octets == NULL)
			unlink(path);
		else if (mode == FAULT_CUT && hit) {
			if ((f = fopen(path, "wb")) == NULL || fwrite(safe[i].octets, 1, safe[i].n,
			    f) != safe[i].n)
				abort();
			fclose(f);
		}
		free(safe[i].octets);
		memset(&safe[i], 0, sizeof(safe[i]));
	}
	for (unsigned i = 0; i < nlarge && mode == FAULT_CUT && hit; i++) {
		snprintf(path, sizeof(path), "%s/large/%.39s", state, large[i].name);
		if (!large[i].entered)
			unlink(path);
		else if (!large[i].synced && truncate(path, 0) == -1 && errno != ENOENT)
			abort();
	}
	nlarge = 0;
	snprintf(path, sizeof(path), "%s/spool.db-shm", state);
	unlink(path);
}

/* --- SQLite's files ------------------------------------------------------------------ */

struct file {
	sqlite3_file	 base;
	char		 path[200];
	bool		 kept;		/* a database or its log */
	sqlite3_file	*real;
};

static sqlite3_vfs *below;

#define REAL(f)	(((struct file *)(f))->real)

static int
f_close(sqlite3_file *f)
{
	int rc = REAL(f)->pMethods->xClose(REAL(f));

	free(REAL(f));
	return rc;
}

static int
f_read(sqlite3_file *f, void *p, int n, sqlite3_int64 o)
{
	return REAL(f)->pMethods->xRead(REAL(f), p, n, o);
}

static int
f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 o)
{
	/* Half of it, as a full disk or a cut does. */
	if (fails()) {
		(void)REAL(f)->pMethods->xWrite(REAL(f), p, n / 2, o);
		return SQLITE_FULL;
	}
	return REAL(f)->pMethods->xWrite(REAL(f), p, n, o);
}

static int
f_truncate(sqlite3_file *f, sqlite3_int64 n)
{
	return fails() ? SQLITE_IOERR_TRUNCATE : REAL(f)->pMethods->xTruncate(REAL(f), n);
}

static int
f_sync(sqlite3_file *f, int flags)
{
	if (fails())
		return SQLITE_IOERR_FSYNC;
	if (((struct file *)f)->kept)
		keep(((struct file *)f)->path);
	return SQLITE_OK;		/* the power here is of paper: no disk need wait */
}

static int
f_size(sqlite3_file *f, sqlite3_int64 *n)
{
	return REAL(f)->pMethods->xFileSize(REAL(f), n);
}

static int
f_lock(sqlite3_file *f, int l)
{
	return REAL(f)->pMethods->xLock(REAL(f), l);
}

static int
f_unlock(sqlite3_file *f, int l)
{
	return REAL(f)->pMethods->xUnlock(REAL(f), l);
}

static int
f_reserved(sqlite3_file *f, int *out)
{
	return REAL(f)->pMethods->xCheckReservedLock(REAL(f), out);
}

static int
f_control(sqlite3_file *f, int op, void *arg)
{
	return REAL(f)->pMethods->xFileControl(REAL(f), op, arg);
}

static int
f_sector(sqlite3_file *f)
{
	return REAL(f)->pMethods->xSectorSize(REAL(f));
}

/* Nothing is promised about the disk. */
static int
f_device(sqlite3_file *f)
{
	return 0;
}

static int
f_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
	return REAL(f)->pMethods->xShmMap(REAL(f), page, size, extend, out);
}

static int
f_shm_lock(sqlite3_file *f, int o, int n, int flags)
{
	return REAL(f)->pMethods->xShmLock(REAL(f), o, n, flags);
}

static void
f_shm_barrier(sqlite3_file *f)
{
	REAL(f)->pMethods->xShmBarrier(REAL(f));
}

static int
f_shm_unmap(sqlite3_file *f, int del)
{
	return REAL(f)->pMethods->xShmUnmap(REAL(f), del);
}

static const sqlite3_io_methods methods = {
	2, f_close, f_read, f_write, f_truncate, f_sync, f_size, f_lock, f_unlock, f_reserved,
	    f_control,
	f_sector, f_device, f_shm_map, f_shm_lock, f_shm_barrier, f_shm_unmap, NULL, NULL
};

static int
v_open(sqlite3_vfs *v, const char *path, sqlite3_file *out, int flags, int *got)
{
	struct file *f = (struct file *)out;
	int rc;

	f->base.pMethods = NULL;
	if (fails())
		return SQLITE_CANTOPEN;
	if ((f->real = calloc(1, (size_t)below->szOsFile)) == NULL)
		return SQLITE_NOMEM;
	f->kept = path != NULL && (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) != 0;
	snprintf(f->path, sizeof(f->path), "%s", path != NULL ? path : "");
	if ((rc = below->xOpen(below, path, f->real, flags, got)) != SQLITE_OK) {
		free(f->real);
		return rc;
	}
	f->base.pMethods = &methods;
	return SQLITE_OK;
}

static int
v_delete(sqlite3_vfs *v, const char *path, int sync)
{
	int rc;

	if (fails())
		return SQLITE_IOERR_DELETE;
	rc = below->xDelete(below, path, sync);
	if (rc == SQLITE_OK && strstr(path, "spool.db") != NULL && strstr(path, "-journal") == NULL)
		keep(path);
	return rc;
}

const char *const fault_vfs = "fault";

int
fault_vfs_register(void)
{
	static sqlite3_vfs v;

	below = sqlite3_vfs_find(NULL);
	v = *below;
	v.szOsFile = (int)sizeof(struct file);
	v.zName = fault_vfs;
	v.pNext = NULL;
	v.xOpen = v_open;
	v.xDelete = v_delete;
	return sqlite3_vfs_register(&v, 0);
}

/* --- system calls -------------------------------------------------------------------- */

static struct {
	int	fd, nlarge;
	bool	dir;
} opened[64];

static int
s_openat(int dir, const char *path, int flags, mode_t perm)
{
	int fd;

	if (fails()) {
		errno = EMFILE;
		return -1;
	}
	if ((fd = sys_real.openat(dir, path, flags, perm)) == -1)
		return -1;
	if (fd < 64) {
		opened[fd].fd = fd;
		opened[fd].nlarge = -1;
		opened[fd].dir = strcmp(path, "large") == 0 || strcmp(path, ".") == 0;
		for (unsigned i = 0; i < nlarge; i++)
			if (strcmp(large[i].name, path) == 0)
				opened[fd].nlarge = (int)i;
	}
	return fd;
}

static int
s_close(int fd)
{
	return sys_real.close(fd);
}

static ssize_t
s_write(int fd, const void *p, size_t n)
{
	if (fails()) {
		errno = ENOSPC;
		return -1;
	}
	return sys_real.write(fd, p, n);
}

static ssize_t
s_read(int fd, void *p, size_t n)
{
	return sys_real.read(fd, p, n);
}

static int
s_fsync(int fd)
{
	if (fails()) {
		errno = EIO;
		return -1;
	}
	if (fd >= 0 && fd < 64 && opened[fd].dir)
		for (unsigned i = 0; i < nlarge; i++)
			large[i].entered = true;
	else if (fd >= 0 && fd < 64 && opened[fd].nlarge >= 0 &&
	    (unsigned)opened[fd].nlarge < nlarge)
		large[opened[fd].nlarge].synced = true;
	return 0;
}

static int
s_syncfs(int fd)
{
	if (fails()) {
		errno = EIO;
		return -1;
	}
	for (unsigned i = 0; i < nlarge; i++)
		large[i].synced = large[i].entered = true;
	return 0;
}

static int
s_renameat(int a, const char *from, int b, const char *to)
{
	if (fails()) {
		errno = EIO;
		return -1;
	}
	return sys_real.renameat(a, from, b, to);
}

static int
s_unlinkat(int dir, const char *path, int flags)
{
	if (fails()) {
		errno = EIO;
		return -1;
	}
	return sys_real.unlinkat(dir, path, flags);
}

static int
s_mkdirat(int dir, const char *path, mode_t perm)
{
	if (fails()) {
		errno = ENOSPC;
		return -1;
	}
	return sys_real.mkdirat(dir, path, perm);
}

static int
s_fstatat(int dir, const char *path, struct stat *st, int flags)
{
	if (fails()) {
		errno = EIO;
		return -1;
	}
	return sys_real.fstatat(dir, path, st, flags);
}

const struct sys fault_sys = {
	.openat = s_openat, .close = s_close, .write = s_write, .read = s_read, .fsync = s_fsync,
	.syncfs = s_syncfs, .renameat = s_renameat, .unlinkat = s_unlinkat, .mkdirat = s_mkdirat,
	.fstatat = s_fstatat,
};
