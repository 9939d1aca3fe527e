#ifndef PRIV_LANDLOCK_H
#define PRIV_LANDLOCK_H

#include <stdint.h>
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

enum landlock_tcp {
	LL_TCP_NONE = 0,
	LL_TCP_PORTS,			/* connect, to some ports of whatever host; needs ABI 4 */
	LL_TCP_ANY,			/* connect, never bind */
};

#define LANDLOCK_PORTS	2

/*
 * ports: of LL_TCP_PORTS, 0 where there is none.  Where the ABI knows nothing of TCP, it is not
 * restricted.  Returns the ABI, 0 where there is none, -1 with why.
 */
int	landlock_enter(const struct landlock_rule *, size_t n, enum landlock_tcp,
	    const uint16_t ports[LANDLOCK_PORTS], struct why *);

#endif
