#ifndef BASE_NETSET_H
#define BASE_NETSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/netaddr.h"

/*
 * A set of networks, IPv4 and IPv6, each with a time at which it is over: bans, or
 * addresses that are trusted.  Networks may lie in each other; each is kept, ends and
 * is removed for itself.
 *
 * A binary tree over the prefixes, without nodes that neither are in the set nor
 * branch: a lookup visits as many as there are branches above the address, 20 or so
 * among 100,000 networks and never more than 129, and nobody's choice of addresses
 * makes it worse.  About 130 octets of memory a network.
 */
struct netset;

struct netset_entry {
	struct netaddr	 net;		/* port 0, no bit set behind the prefix */
	unsigned	 bits;		/* prefix length of its own family */
	int64_t		 until_ms;	/* over when this has come; 0: never */
};

struct netset *netset_new(size_t max);	/* NULL: memory is out */
void	netset_free(struct netset **);

/*
 * Adds a network, bits behind the prefix cut off; one that is there takes the new time.
 * False, and nothing changed: max are there (the over ones count until netset_expire), or
 * memory is out.
 */
bool	netset_add(struct netset *, const struct netaddr *, unsigned bits, int64_t until_ms);
/* Exactly this network, not those in it or around it; false if it was not there. */
bool	netset_remove(struct netset *, const struct netaddr *, unsigned bits);
/* The widest network not over that the address lies in, or NULL; good until the set changes. */
const struct netset_entry *netset_find(const struct netset *, const struct netaddr *,
	    int64_t now_ms);
/* Forgets what is over, and returns how many that were.  Visits the whole set. */
size_t	netset_expire(struct netset *, int64_t now_ms);
size_t	netset_count(const struct netset *);

/* Calls fn with each, over or not: IPv4 first, by address, the wider before what lies in it. */
typedef void netset_fn(void *arg, const struct netset_entry *);
void	netset_each(const struct netset *, netset_fn *, void *arg);

#endif
