#ifndef PRIV_SANDBOX_H
#define PRIV_SANDBOX_H

#include "base/why.h"
#include "priv/proc.h"

/*
 * What a process may do to the world, as one table in sandbox.c: a line of
 * system calls with the reason for each, and the paths it may touch.  Enter
 * before the first thread and before the first hostile byte: no_new_privs, no
 * core dumps, Landlock by the ABI that the kernel has, then seccomp (deny by
 * default: EPERM for the harmless, kill for the rest).  What was reached is
 * written into `level` ("seccomp, landlock 6") and shown in `status`.  A
 * kernel without one of them is said at warn level and goes on; a sanitizer
 * build (POSTHOUSE_SANITIZED) logs instead of refusing.
 */
int	sandbox_enter(const struct proc *, char *level, size_t max, struct why *);

#endif
