#ifndef CTL_RESTORE_SWAP_H
#define CTL_RESTORE_SWAP_H

#include <stdbool.h>

#include "base/why.h"
#include "store/db.h"

/*
 * STATE changes hands in three steps that each may be cut off, and begun again (doc/STORE):
 *
 *	restore.new	is being filled; worth nothing yet
 *	restore.out	is whole: what it replaces moves to restore.out/was
 *	restore.in	what it has moves into STATE; then was/ goes to aside/
 *
 * No home starts while one of the last two is there.  All of it is done as the account that
 * STATE belongs to, by whoever holds STATE's lock.
 */
#define RESTORE_NEW	"restore.new"
#define RESTORE_WAS	"was"		/* in it: what was replaced */

bool	restore_pending(int state);	/* one was cut off behind its first step */
/* Commits RESTORE_NEW, unless one is pending, and ends it.  aside: where the old went; "". */
int	restore_swap(int state, char *aside, size_t max, struct why *);
/* What a run that was cut off left of RESTORE_NEW. */
int	restore_clear(int state, struct why *);

#endif
