#ifndef HOME_ROUTER_H
#define HOME_ROUTER_H

#include <stdbool.h>
#include <stddef.h>

#include "home/edges.h"
#include "home/mailboxes.h"
#include "proto/address.h"
#include "proto/smtp_reply.h"

/*
 * Where a recipient's mail goes.  Pure: the same question has the same answer.
 *
 * The recipient's domain must be one that was granted to the edge that the mail
 * came by; whatever else it names is foreign and no matter of mailboxes.  Then, for the
 * local part as it is, and after that without its tag, the last first where it has several:
 *
 *	1. an alias of that address, which may be one of another;
 *	2. the mailbox that is called as the address;
 *	3. the mailbox that is called as the local part, unless the domain is its own
 *	   (mailboxes.h, or domain { own }), or none of this home's: an alias may name any;
 *
 * and if nobody was found:
 *
 *	4. a role's name (RFC 2142, root, dmarc): the mailbox of the roles, or what an alias
 *	   of that name ends in, where one is configured; for postmaster else the catch-all,
 *	   else the first mailbox;
 *	5. the catch-all, of the domain or of all;
 *	6. whom the mail server has, where it is to be asked (router.callout): it is, by the
 *	   delivery itself, so that no answer of it is ever old;
 *	7. nobody: 550 5.1.1, or 450 4.1.1 while the list may be older than the address.
 *
 * Case and dots count as the domain's section says.  An alias of which any target ends in no
 * mailbox defers: it is a mistake here, not the sender's.  <postmaster> without a domain is this
 * home's whatever was granted (RFC 5321 4.5.1).
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
	const struct conf_home_domain *domains;	/* sections; a domain without one has no rules */
	size_t		 ndomains;
	/* What is granted to any of them is this home's, as what has a section is; NULL: none. */
	const struct edges *edges;
	const char	*catch_all;	/* "" none */
	const char	*roles;		/* "" none */
	bool		 all_roles;	/* roles takes other roles' mail than postmaster's too */
	const char	*first;		/* the first configured user, "" none */
	/* mail goes to a server, which knows its mailboxes: it is asked for all others */
	bool		 callout;
	bool		 stale;		/* the list may lack an address: none is refused for good */
	/* It was never read: whose mail it is, no catch-all, role or server may have instead. */
	bool		 unread;
	/* Each step of the decision, a line for a person; NULL: nobody asks why. */
	void		(*say)(void *arg, const char *line);
	void		*arg;
};

struct route {
	enum route_to	 to;
	char		 mailbox[CONF_NAME_MAX];	/* ROUTE_MAILBOX */
	/* further ones of an alias with several targets; each is named once */
	char		 also[MAILBOXES_TARGETS_MAX][CONF_NAME_MAX];
	size_t		 nalso;
	bool		 claimed;	/* somebody is called so: no role, no catch-all */
	struct smtp_reply reply;			/* the others */
};

void	route_address(const struct router *, const char (*domains)[256], size_t ndomains,
	    const struct address *, struct route *out);

/* What a domain without a section of its own has. */
extern const struct conf_home_domain router_no_rules;
const struct conf_home_domain *router_rules(const struct router *, const char *domain);
/* Cuts a local part's last tag off; false: it has none, or no name would be left. */
bool	router_cut_tag(const struct conf_home_domain *, struct span *local);
/* "" if unknown local parts are refused there. */
const char *router_catch_all(const struct router *, const char *domain);
/* Where that ends: ROUTE_NONE if there is none. */
void	router_to_catch_all(const struct router *, const char *domain, struct route *out);
/* NULL-terminated, lower case. */
extern const char *const router_roles[];
/* Whether the mail server decides there who exists. */
bool	router_calls_out(const struct router *, const char *domain);
/* Whether somebody takes this role's mail there. */
bool	router_takes_role(const struct router *, const char *domain, const char *role);

#endif
