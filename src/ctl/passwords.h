#ifndef CTL_PASSWORDS_H
#define CTL_PASSWORDS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/secret.h"
#include "base/span.h"
#include "base/why.h"
#include "ctl/role.h"

/*
 * What home's state has for mailboxes' passwords (proto/mailbox_password.h): the key in
 * password.key and the counters in password-counters, both 0600.  A file that others may
 * read or write is refused.  See state_enter for whose they are.
 */
#define PASSWORDS_PATH_MAX	(CONF_PATH_MAX + 32)

struct passwords {
	struct secret	 key;
	struct buf	 counters;
	char		 key_path[PASSWORDS_PATH_MAX], counters_path[PASSWORDS_PATH_MAX];
	int		 lock;		/* the key's file; -1 */
};

/* STATE/password.key: for state_enter. */
void	passwords_key_path(const struct role *, char out[PASSWORDS_PATH_MAX]);
/*
 * make: a key that was never there is made, and *made says so.  Where there are counters, one
 * was there: its loss is said, as a new one would change every password.
 * alone: nobody else changes the counters before passwords_fini.
 * On -1 nothing is held; out is set either way.
 */
int	passwords_open(struct passwords *out, const struct role *, bool make, bool alone,
	    bool *made, struct why *);
/* That user's password now.  -1: a line of the counters is not right, or it is no user's name. */
int	passwords_get(const struct passwords *, struct span user, char *password, struct why *);
/* 1 it is that user's, 0 it is not, -1 cannot tell. */
int	passwords_check(const struct passwords *, struct span user, struct span said, struct why *);
/* From here on the next one.  Opened alone.  On -1 the old one still holds. */
int	passwords_rotate(struct passwords *, struct span user, struct why *);
void	passwords_fini(struct passwords *);		/* wipes */

#endif
