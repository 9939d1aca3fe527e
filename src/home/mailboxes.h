#ifndef HOME_MAILBOXES_H
#define HOME_MAILBOXES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/why.h"
#include "conf/conf.h"

/*
 * Who is at this home: mailboxes and aliases, of the configuration, the mailbox file and the
 * mailbox command together, sorted for looking up.
 *
 * A mailbox's name is a safe path component (address_mailbox_ok) or it is not taken.  "bob" is
 * a plain name; "bob@example.org" takes that address only, and a domain that has such a
 * mailbox is its own: plain names are not in it.
 */
#define MAILBOXES_MAX		200000		/* with aliases; as POLICY_RECIPIENTS_MAX */
#define MAILBOXES_TEXT_MAX	(10u << 20)	/* octets of a file, and of a command's output */

struct mailboxes_alias {
	uint32_t	from, to;	/* in `text`: "local@domain", "@domain"; its targets */
};

struct mailboxes {
	char	(*names)[CONF_NAME_MAX];
	size_t	 n, cap;
	struct mailboxes_alias *aliases;
	size_t	 naliases, aliases_cap;
	struct buf text;
	/* orders without regard to dots, made when first asked for */
	uint32_t *dotless, *dotless_aliases;
	bool	 sorted;
	/* what follows the "@" in names, found when they are sorted */
	char	 owned[PEER_DOMAINS_MAX][CONF_NAME_MAX];
	size_t	 nowned;
};

void	mailboxes_fini(struct mailboxes *);
/* False: memory is out, too many, or no name for a mailbox. */
bool	mailboxes_add(struct mailboxes *, struct span name);
/*
 * from: "local@domain", or "@domain" for all that is nobody's; to: one target, or several,
 * parted by blanks or commas.  False: memory, too many, no address.
 */
#define MAILBOXES_TARGETS_MAX	CONF_ALIAS_TARGETS
bool	mailboxes_alias(struct mailboxes *, struct span from, struct span to);
/*
 * A file's text or a command's output, a line each: "mailbox", or "address target, ...",
 * where a target is a mailbox or an address (the form of Postfix's virtual tables); empty
 * lines and what begins with "#" aside.  What can be neither is counted in *skipped.  -1: memory is
 * out, there are too many, or an alias leads back to itself: why names the line.
 */
int	mailboxes_read(struct mailboxes *, struct span text, size_t *skipped, struct why *);

/* How names are compared; zero: ASCII case does not matter, dots do. */
struct mailboxes_rule {
	bool	letter_case;
	bool	no_dots;
};
/* In the spelling in which it was added; NULL if there is none.  Good until the next change. */
const char *mailboxes_find(struct mailboxes *, struct span name, struct mailboxes_rule);
/* The targets of "local@domain", for mailboxes_next; NULL: it is no alias. */
const char *mailboxes_target(struct mailboxes *, struct span from, struct mailboxes_rule);
/* The next of such targets, cut off the front of *rest; false: there are no more. */
bool	mailboxes_next(struct span *rest, struct span *target);
/* Whether a mailbox is named with this domain. */
bool	mailboxes_own(struct mailboxes *, const char *domain);

#endif
