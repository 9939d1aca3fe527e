#ifndef STORE_MAILDIR_DIRS_H
#define STORE_MAILDIR_DIRS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/why.h"
#include "proto/address.h"
#include "store/maildir.h"
#include "store/sys.h"

/*
 * The mailboxes' directories that a Maildir keeps open, and what of them is not
 * on disk yet.  At most MAILDIR_DIRS_MAX; the one used longest ago makes room.
 * One that goes while it is dirty turns the next sync into a syncfs of the
 * folder, which reaches it all the same.
 */
struct maildir_dir {
	char		user[ADDRESS_MAILBOX_MAX + 1];	/* "": free */
	int		tmp, new_;
	bool		own_fs;			/* on another file system than the folder */
	bool		dirty_tmp, dirty_new;
	uint64_t	used;			/* when last, in calls */
};

struct maildir_dirs;

struct maildir_dirs *maildir_dirs_new(const struct sys *, const char *path, struct why *);
void	maildir_dirs_free(struct maildir_dirs **);
/* Good until the next call of this.  make: directories that are missing are made. */
struct maildir_dir *maildir_dirs_get(struct maildir_dirs *, const char *user, bool make,
    struct why *);
void	maildir_dirs_forget(struct maildir_dirs *, struct maildir_dir *);

void	maildir_dirs_need_syncfs(struct maildir_dirs *);	/* the next sync of tmp */
bool	maildir_dirs_syncfs_needed(const struct maildir_dirs *);
/* why may be NULL.  Nothing is dirty afterwards, whatever came of it. */
int	maildir_dirs_sync_tmp(struct maildir_dirs *, struct why *);
/* What failed stays dirty. */
int	maildir_dirs_sync_new(struct maildir_dirs *, struct why *);

#endif
