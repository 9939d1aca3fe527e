#ifndef CTL_IDENTITY_H
#define CTL_IDENTITY_H

#include <stddef.h>

#include "base/why.h"
#include "proto/age.h"

/* Home's age identities as its key file has them: the newest first (doc/STORE). */
#define IDENTITIES_MAX		4
#define IDENTITY_FILE_MAX	65536

struct identities {
	struct age_identity id[IDENTITIES_MAX];
	size_t		n;
};

int	identities_load(struct identities *, const char *path, struct why *);	/* at least one */
void	identities_fini(struct identities *);		/* wipes */

/*
 * Puts text in path's place: a new file beside it, 0600 and synced, renamed over
 * it.  The old or the new is there, never half.  See state_enter for whose it is.
 */
int	replace_secret(const char *path, struct span text, struct why *);

#endif
