#ifndef CTL_IDENTITY_H
#define CTL_IDENTITY_H

#include <stddef.h>

#include "base/why.h"
#include "ctl/role.h"
#include "proto/age.h"

/* Home's age identities: those of its key file, the newest first, then retired ones (doc/STORE). */
#define IDENTITIES_USED_MAX	4
#define IDENTITIES_RETIRED_MAX	8
#define IDENTITIES_MAX		(IDENTITIES_USED_MAX + IDENTITIES_RETIRED_MAX)
#define IDENTITY_FILE_MAX	65536
#define IDENTITIES_PATH_MAX	(CONF_PATH_MAX + 32)

struct identities {
	struct age_identity id[IDENTITIES_MAX];
	size_t		n;
};

int	identities_load(struct identities *, const char *path, struct why *);	/* at least one */
/* Behind them those that a rotation retired: STATE/age-retired.key, which may not be there. */
int	identities_add_retired(struct identities *, const struct role *, struct why *);
void	identities_retired_path(const struct role *, char out[IDENTITIES_PATH_MAX]);
void	identities_fini(struct identities *);		/* wipes */

/*
 * Puts text in path's place: a new file beside it, 0600 and synced, renamed over
 * it.  The old or the new is there, never half.  See state_enter for whose it is.
 */
int	replace_secret(const char *path, struct span text, struct why *);
/* The same where nothing is yet: never over what is there. */
int	make_secret(const char *path, struct span text, struct why *);

#endif
