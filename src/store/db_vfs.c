#include "store/db_vfs.h"

#include <sqlite3.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct file {
	sqlite3_file	 base;
	sqlite3_file	*real;		/* lies behind us, in the same block */
	char		*gathered;	/* NULL: nothing was written yet */
	size_t		 n;
	sqlite3_int64	 at;		/* of its first octet */
};

static sqlite3_vfs *below;

static struct file *
of(sqlite3_file *f)
{
	return (struct file *)f;
}

/*
 * What fails is kept for the next try: whoever is told need not be who wrote it, as SQLite
 * pads a commit after its sync.  Who undoes what he wrote writes over it, in this order.
 */
static int
write_out(struct file *f)
{
	int rc = f->n == 0 ? SQLITE_OK :
	    f->real->pMethods->xWrite(f->real, f->gathered, (int)f->n, f->at);

	if (rc == SQLITE_OK)
		f->n = 0;
	return rc;
}

static int
on_write(sqlite3_file *base, const void *p, int len, sqlite3_int64 at)
{
	struct file *f = of(base);
	size_t n = (size_t)len;
	int rc;

	if (f->n > 0 && (at != f->at + (sqlite3_int64)f->n || n > DB_GATHER - f->n) &&
	    (rc = write_out(f)) != SQLITE_OK)
		return rc;
	if (f->gathered == NULL)
		f->gathered = malloc(DB_GATHER);
	if (f->gathered == NULL || n > DB_GATHER)
		return f->real->pMethods->xWrite(f->real, p, len, at);
	if (f->n == 0)
		f->at = at;
	memcpy(f->gathered + f->n, p, n);
	f->n += n;
	return SQLITE_OK;
}

static int
on_read(sqlite3_file *base, void *p, int len, sqlite3_int64 at)
{
	struct file *f = of(base);
	int rc;

	if (at < f->at + (sqlite3_int64)f->n && at + len > f->at &&
	    (rc = write_out(f)) != SQLITE_OK)
		return rc;
	return f->real->pMethods->xRead(f->real, p, len, at);
}

static int
on_truncate(sqlite3_file *base, sqlite3_int64 n)
{
	int rc = write_out(of(base));

	return rc != SQLITE_OK ? rc : of(base)->real->pMethods->xTruncate(of(base)->real, n);
}

static int
on_sync(sqlite3_file *base, int flags)
{
	int rc = write_out(of(base));

	return rc != SQLITE_OK ? rc : of(base)->real->pMethods->xSync(of(base)->real, flags);
}

/* Nothing is written: SQLite asks where it does not mind a failure, and a write's matters. */
static int
on_size(sqlite3_file *base, sqlite3_int64 *n)
{
	struct file *f = of(base);
	int rc = f->real->pMethods->xFileSize(f->real, n);

	if (rc == SQLITE_OK && f->n > 0 && *n < f->at + (sqlite3_int64)f->n)
		*n = f->at + (sqlite3_int64)f->n;
	return rc;
}

/* The file is another's to look at: a database before it is in WAL mode. */
static int
on_unlock(sqlite3_file *base, int lock)
{
	int rc = write_out(of(base)), unlocked;

	unlocked = of(base)->real->pMethods->xUnlock(of(base)->real, lock);
	return rc != SQLITE_OK ? rc : unlocked;
}

static int
on_close(sqlite3_file *base)
{
	int rc = write_out(of(base)), closed;

	closed = of(base)->real->pMethods->xClose(of(base)->real);
	free(of(base)->gathered);
	return rc != SQLITE_OK ? rc : closed;
}

/* --- what is not about octets goes through ------------------------------------------------- */

static int
on_lock(sqlite3_file *f, int lock)
{
	return of(f)->real->pMethods->xLock(of(f)->real, lock);
}

static int
on_check_lock(sqlite3_file *f, int *out)
{
	return of(f)->real->pMethods->xCheckReservedLock(of(f)->real, out);
}

static int
on_control(sqlite3_file *f, int op, void *arg)
{
	return of(f)->real->pMethods->xFileControl(of(f)->real, op, arg);
}

static int
on_sector(sqlite3_file *f)
{
	return of(f)->real->pMethods->xSectorSize(of(f)->real);
}

static int
on_device(sqlite3_file *f)
{
	return of(f)->real->pMethods->xDeviceCharacteristics(of(f)->real);
}

static int
on_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
	return of(f)->real->pMethods->xShmMap(of(f)->real, page, size, extend, out);
}

static int
on_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
	return of(f)->real->pMethods->xShmLock(of(f)->real, offset, n, flags);
}

static void
on_shm_barrier(sqlite3_file *f)
{
	of(f)->real->pMethods->xShmBarrier(of(f)->real);
}

static int
on_shm_unmap(sqlite3_file *f, int remove)
{
	return of(f)->real->pMethods->xShmUnmap(of(f)->real, remove);
}

/* Version 2: without the calls of version 3, which map the file into memory past us. */
static const sqlite3_io_methods methods = {
	.iVersion = 2, .xClose = on_close, .xRead = on_read, .xWrite = on_write,
	.xTruncate = on_truncate, .xSync = on_sync, .xFileSize = on_size, .xLock = on_lock,
	.xUnlock = on_unlock, .xCheckReservedLock = on_check_lock, .xFileControl = on_control,
	.xSectorSize = on_sector, .xDeviceCharacteristics = on_device, .xShmMap = on_shm_map,
	.xShmLock = on_shm_lock, .xShmBarrier = on_shm_barrier, .xShmUnmap = on_shm_unmap,
};

static int
on_open(sqlite3_vfs *v, const char *path, sqlite3_file *base, int flags, int *got)
{
	struct file *f = of(base);
	int rc;

	if ((flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) == 0)
		return below->xOpen(below, path, base, flags, got);
	*f = (struct file){ .real = (sqlite3_file *)(f + 1) };
	f->real->pMethods = NULL;
	rc = below->xOpen(below, path, f->real, flags, got);
	/* With methods it is open, and will be closed, whatever was said. */
	if (f->real->pMethods != NULL)
		f->base.pMethods = &methods;
	return rc;
}

const char *
db_vfs(const char *name)
{
	static sqlite3_vfs v;
	sqlite3_vfs *found = sqlite3_vfs_find(name);

	if (found == NULL)
		return NULL;
	sqlite3_vfs_unregister(&v);
	below = found;
	v = *below;
	v.szOsFile = (int)sizeof(struct file) + below->szOsFile;
	v.zName = "posthouse";
	v.xOpen = on_open;
	return sqlite3_vfs_register(&v, 0) == SQLITE_OK ? v.zName : NULL;
}
