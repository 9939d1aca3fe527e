#ifndef EDGE_RECIPIENT_H
#define EDGE_RECIPIENT_H

#include "conf/conf.h"
#include "edge/homes.h"
#include "proto/address.h"
#include "proto/smtp_reply.h"

/*
 * Whether mail for an address is taken here, and whose it is.  This is all that
 * stands between the edge and an open relay, so it is small: the domain that
 * counts belongs to a home of the listener's, or the address is <postmaster>; and then
 * home's list, where policy has one, knows the address, and home honours what it was sent with.
 */
struct recipient_rules {
	const struct homes	*homes;
	const struct conf_service *service;	/* its homes; none named: all */
	/* The home of bare <postmaster>; "": the first that can hold mail. */
	const char		*postmaster;
	const struct netaddr	*client;
	int64_t			 now_ms;	/* wall clock: how old home's list is */
	const struct home	*txn;	/* of the transaction's first accepted recipient, or NULL */
	uint64_t		 size;	/* octets that the sender announced, 0: none */
	bool			 unread;	/* a pairing's file, and with it its domains */
	bool			 from_utf8;	/* the sender's address is beyond ASCII */
	bool			 report;	/* of success, asked for by NOTIFY */
};

/* NULL with the reply to give, or the home. */
struct home *recipient_home(const struct recipient_rules *, const struct address *,
    struct smtp_reply *);
bool	recipient_serves(const struct conf_service *, const struct home *);

#endif
