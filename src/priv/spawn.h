#ifndef PRIV_SPAWN_H
#define PRIV_SPAWN_H

#include <sys/types.h>

#include "base/why.h"
#include "priv/account.h"
#include "priv/proc.h"

/*
 * Starts `posthouse worker ROLE KIND` from /proc/self/exe, as the account, with fd
 * (taken) as its PROC_FD and nothing else open but /dev/null, stdout and stderr (a terminal: only
 * to write), in a session of its own.  It dies with this process.  -1 with why.
 */
pid_t	spawn(enum conf_role, enum proc_kind, const struct account *, int fd, struct why *);

#endif
