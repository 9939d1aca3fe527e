#ifndef HOME_ROUTER_H
#define HOME_ROUTER_H

#include <stdbool.h>
#include <stddef.h>

#include "home/mailboxes.h"
#include "proto/address.h"
#include "proto/smtp_reply.h"

/*
 * Where a recipient's mail goes.  Pure: the same question has the same answer.
 *
 * The recipient's domain must be one that was granted to the edge that the mail
 * came by; whatever else it names is foreign and no matter of mailboxes.  Then:
 *
 *	1. the mailbox that is called as the local part, without regard to ASCII case;
 *	2. the one called as the local part before its first "+";
 *	3. for postmaster: the mailbox of the roles, else the catch-all, else the first;
 *	4. the catch-all;
 *	5. nobody: 550 5.1.1, or 450 4.1.1 while the list may be older than the address.
 *
 * <postmaster> without a domain is this home's whatever was granted (RFC 5321 4.5.1).
 */
enum route_to {
	ROUTE_NONE = 0,
	ROUTE_MAILBOX,
	ROUTE_REFUSED,		/* for good: reply says so */
	ROUTE_LATER,		/* ask again: reply says why */
	ROUTE_FOREIGN,		/* not granted: parked, never delivered, never relayed */
};

struct router {
	struct mailboxes *boxes;
	const char	*catch_all;	/* "" none */
	const char	*roles;		/* "" none */
	const char	*first;		/* the first configured user, "" none */
	bool		 stale;		/* the list may lack an address: none is refused for good */
};

struct route {
	enum route_to	 to;
	char		 mailbox[CONF_NAME_MAX];	/* ROUTE_MAILBOX */
	struct smtp_reply reply;			/* the others */
};

void	route_address(const struct router *, const char (*domains)[256], size_t ndomains,
	    const struct address *, struct route *out);

#endif
