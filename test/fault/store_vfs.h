#ifndef TEST_STORE_VFS_H
#define TEST_STORE_VFS_H

#include <stdbool.h>
#include <stddef.h>

#include "store/sys.h"

/*
 * SQLite's files and the store's system calls with faults in them.  Calls that
 * change something are counted through both; from number `at` on one (or
 * all that follow) fails.
 *
 * cut: the power goes with that call.  Everything fails from there, and
 * fault_power_cut makes of the directory what a disk without barriers could have
 * kept at worst: each file as it was at its last sync, and of large/ only files
 * that were synced and whose directory was synced after it.
 */
enum fault_mode {
	FAULT_ONCE = 0,
	FAULT_STAYS,
	FAULT_CUT,
};

void	fault_begin(enum fault_mode, unsigned at);	/* at 0: none */
unsigned fault_calls(void);				/* counted since */
bool	fault_hit(void);
void	fault_end(void);
void	fault_power_cut(const char *state);
void	fault_large_written(const char *name);		/* the test wrote it, unsynced */

/* its name; registered by fault_vfs_register */
extern const char *const fault_vfs;
int	fault_vfs_register(void);
extern const struct sys fault_sys;

#endif
