#ifndef STORE_REFILE_H
#define STORE_REFILE_H

#include <stdbool.h>

#include "base/why.h"
#include "proto/delivered.h"

/*
 * Messages out of one mailbox of a folder of Maildirs (store/maildir.h) into another, for a
 * command that may wait for the disk.
 *
 * A message is renamed, never copied, and never over another: it is in one of the two
 * mailboxes, whenever the power goes, and once.  It keeps its name and its place in new/ or
 * cur/, so that it stays unread or read; keywords, which a mailbox counts for itself (lower-case
 * letters behind ":2,", as Dovecot has them), are taken off the name.
 *
 * Symbolic links are never followed: a mailbox belongs to its user.
 */
int	refile_open(const char *maildir, struct why *);		/* the folder, or -1; close() it */

/*
 * Each message in new/ and cur/ of a mailbox that home delivered there; the others, and what
 * was filed in folders, are left out.  `fresh`: it is in new/.  Ends where found returns -1,
 * with its why.  1: there is no such mailbox.
 */
typedef int refile_found_fn(void *arg, const char *name, bool fresh, const struct delivered *,
    struct why *);
int	refile_scan(int folder, const char *user, refile_found_fn *, void *arg, struct why *);

enum refile_done {
	REFILE_PLANNED = 0,
	REFILE_MOVED,
	REFILE_THERE,		/* one of that name is there already: both stay */
	REFILE_GONE,		/* its user moved it meanwhile */
	REFILE_FAILED,
};

struct refile {
	const char	*to;		/* the caller's, for words */
	int		 from_fd[2], to_fd[2];	/* new, cur; -1 */
};

/* Opens both; to's directories are made where they are missing, and on disk. */
int	refile_begin(struct refile *, int folder, const char *from, const char *to, struct why *);
enum refile_done refile_move(struct refile *, const char *name, bool fresh, struct why *);
/* Syncs both ends.  -1: what was moved may be back in its old mailbox after a power cut. */
int	refile_end(struct refile *, struct why *);

#endif
