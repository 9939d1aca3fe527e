#ifndef STORE_PEERS_FILE_H
#define STORE_PEERS_FILE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/why.h"
#include "store/sys.h"

/*
 * Small files that are replaced whole: written as ".NAME.new" beside, 0600,
 * synced, renamed, the directory synced.  A crash leaves the old or the new one.  What is
 * no file, but stands where one should, is waited for by nobody: a pipe is an empty one.
 */
int	file_replace(const struct sys *, int dir, const char *name, struct span text, struct why *);
/* 1 read, 0 not there, -1 failed or longer than out's maximum. */
int	file_read(const struct sys *, int dir, const char *name, struct buf *out, struct why *);
/* 0 also when it is not there */
int	file_remove(const struct sys *, int dir, const char *name, struct why *);

#endif
