#include "store/sys.h"

#include <stdio.h>
#include <unistd.h>

/* openat(2) is variadic; this gives it the one shape that the table needs. */
static int
real_openat(int dir, const char *path, int flags, mode_t mode)
{
	return openat(dir, path, flags, mode);
}

const struct sys sys_real = {
	.openat = real_openat,
	.close = close,
	.write = write,
	.read = read,
	.fsync = fsync,
	.syncfs = syncfs,
	.renameat = renameat,
	.unlinkat = unlinkat,
	.mkdirat = mkdirat,
	.fstatat = fstatat,
};
