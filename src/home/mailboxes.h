#ifndef HOME_MAILBOXES_H
#define HOME_MAILBOXES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"
#include "conf/conf.h"

/*
 * The mailboxes of this home: those of the configuration and those that the
 * mailbox command printed, sorted for looking up without regard to ASCII case.
 * A name is a safe path component (address_mailbox_ok) or it is not taken.
 */
#define MAILBOXES_MAX		200000		/* lines of the command; as POLICY_RECIPIENTS_MAX */
#define MAILBOXES_TEXT_MAX	(10u << 20)	/* octets of its output */

struct mailboxes {
	char	(*names)[CONF_NAME_MAX];
	size_t	 n;
	size_t	 cap;
	bool	 sorted;
};

void	mailboxes_fini(struct mailboxes *);
/* False: memory is out, too many, or no name for a mailbox. */
bool	mailboxes_add(struct mailboxes *, struct span name);
/*
 * A command's output: one local part a line, surrounding white space and empty
 * lines aside.  What cannot be a mailbox (an "@" or "/" in it, too long) is
 * counted in *skipped.  False: memory is out or there are too many.
 */
bool	mailboxes_read(struct mailboxes *, struct span text, size_t *skipped);
/* In the spelling in which it was added; NULL if there is none.  Good until the next change. */
const char *mailboxes_find(struct mailboxes *, struct span local);

#endif
