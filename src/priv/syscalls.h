#ifndef PRIV_SYSCALLS_H
#define PRIV_SYSCALLS_H

#include "base/why.h"
#include "priv/proc.h"

/*
 * The system calls of each kind of process, in tables with a reason a line
 * (syscalls.c).  posts: it is a courier that delivers into a mail server.  1 the filter is
 * in force, 0 this kernel has none, -1 with why.
 */
int	syscalls_enter(enum proc_kind, bool posts, struct why *);

#endif
