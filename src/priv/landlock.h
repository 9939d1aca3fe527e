#ifndef PRIV_LANDLOCK_H
#define PRIV_LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/why.h"

/*
 * Landlock (landlock(7)) by its system calls: everything is denied but what the
 * rules allow, as far as this kernel's ABI goes.
 */
enum landlock_use {
	LL_READ = 1 << 0,		/* files and directories below */
	LL_WRITE = 1 << 1,		/* make, change and remove files below */
	LL_RENAME = 1 << 2,		/* between directories; needs ABI 2 */
	LL_EXECUTE = 1 << 3,
};

struct landlock_rule {
	const char	*path;		/* one that is not there is skipped */
	unsigned	 use;
};

/*
 * tcp: whether the process may connect (never bind).  Returns the ABI, 0 where
 * there is none, -1 with why.
 */
int	landlock_enter(const struct landlock_rule *, size_t n, bool tcp, struct why *);

#endif
