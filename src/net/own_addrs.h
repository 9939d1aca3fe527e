#ifndef NET_OWN_ADDRS_H
#define NET_OWN_ADDRS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/netaddr.h"
#include "base/why.h"

/*
 * The addresses of this machine's interfaces with the networks they lie in, as
 * the kernel has them (getifaddrs(3), a netlink socket for the length of a call).
 * No client from outside has one of them, and servers tend to trust both.
 *
 * The caller owns the struct, zeroed at first, and reads anew when the network
 * changes.  Loopback and link-local addresses are left out: they are no client's
 * whatever the interfaces are.
 */
struct own_addr {
	struct netaddr	 addr;		/* port 0 */
	struct netaddr	 net;
	unsigned	 bits;		/* of net, in its own family */
};

struct own_addrs {
	struct own_addr	*list;
	size_t		 n;
	bool		 known;		/* read once, at least */
};

/* -1 with why: the list is as it was. */
int	own_addrs_read(struct own_addrs *, struct why *);
void	own_addrs_fini(struct own_addrs *);
bool	own_addrs_has(const struct own_addrs *, const struct netaddr *);
/*
 * Whether it lies in the network of an interface.  One wider than /8 (/32 in
 * IPv6) is no LAN but a tunnel that routes the world: only its own address counts.
 */
bool	own_addrs_near(const struct own_addrs *, const struct netaddr *);

#endif
