#ifndef PRIV_ACCOUNT_H
#define PRIV_ACCOUNT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/why.h"
#include "conf/conf.h"

/*
 * Who the processes run as.  Only a parent that was started by root, with a user
 * in its configuration, changes anything; otherwise all stay who they are.
 */
#define ACCOUNT_GROUPS_MAX 32

struct account {
	bool	changes;		/* we are root and shall not stay it */
	uid_t	uid;
	gid_t	gid;
	/* the user's further ones, for the helper's commands */
	gid_t	groups[ACCOUNT_GROUPS_MAX];
	int	ngroups;
};

int	account_find(struct account *, const struct conf_common *, struct why *);
/* For ever: groups, gid, uid, capabilities. In a forked process, before exec.  -1 with errno. */
int	account_drop(const struct account *);
/*
 * For a moment: what is done in directories that the account owns is done as the
 * account, so that a link put there by an intruder is followed with his rights.
 * No-ops unless `changes`.
 */
void	account_enter(const struct account *);
void	account_leave(const struct account *);

#endif
