#ifndef CTL_STATE_H
#define CTL_STATE_H

#include "base/why.h"
#include "ctl/role.h"
#include "priv/account.h"

/*
 * Working on a role's state from outside: the state directory belongs to the
 * account that the role runs as, which is trusted less than root.
 */

/* Makes the state directory where it is missing, as the role's parent would. */
int	state_make(const struct role *, struct why *);
/*
 * From here to account_leave, root acts as the account if path lies below the
 * state: a link put there is then followed with the account's rights.  Elsewhere
 * it acts as itself.
 */
int	state_enter(struct account *, const struct role *, const char *path, struct why *);

#endif
