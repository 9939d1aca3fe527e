#ifndef PRIV_SYSCALLS_H
#define PRIV_SYSCALLS_H

#include "base/why.h"
#include "priv/proc.h"

/*
 * The system calls of each kind of process, in tables with a reason a line
 * (syscalls.c).  1 the filter is in force, 0 this kernel has none, -1 with why.
 */
enum syscalls_courier {
	SYSCALLS_ALONE = 0,		/* any other process, too */
	SYSCALLS_POSTS,			/* it delivers into a mail server */
	SYSCALLS_ASKS,			/* into a Maildir, when it has asked a filter */
};

int	syscalls_enter(enum proc_kind, enum syscalls_courier, struct why *);

#endif
