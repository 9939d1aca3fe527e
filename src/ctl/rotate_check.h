#ifndef CTL_ROTATE_CHECK_H
#define CTL_ROTATE_CHECK_H

#include "base/span.h"
#include "base/why.h"
#include "ctl/identity.h"
#include "ctl/role.h"

/* Whether old keys may go.  The role must be running.  -1: why names what still needs them. */

/*
 * Home.  ids: the new identity first.  Looks at the header of every object that home holds.
 * What policy refused is only kept until it expires, so it holds nothing up: *refused
 * counts those that need an old identity.
 */
int	rotate_check_age(const struct role *, const struct identities *ids,
	    unsigned long long *refused, struct why *);
/* Edge: every paired home has said that it knows the next key. */
int	rotate_check_homes(const struct role *, struct span next_pem, struct why *);
/* Home: shows the new key to every paired edge, as the tunnel will. */
int	rotate_check_tunnel(const struct role *, struct span next_pem, struct why *);

#endif
