#ifndef NET_RESOLVE_PROTO_H
#define NET_RESOLVE_PROTO_H

#include <stdbool.h>

#include "base/netaddr.h"
#include "base/span.h"

/*
 * What is said over the resolver's channel; the tag names the question.
 *
 *	RM_HOST		body: host name			-> RM_ADDRS
 *	RM_NAME		body: an address		-> RM_HOSTNAME
 *	RM_ADDRS	body: 1 to RESOLVE_ADDRS_MAX addresses; none: 'n' no such name,
 *			't' no answer in time, 'f' failed
 *	RM_HOSTNAME	body: the name, or nothing
 *
 * An address is 17 octets: 4 or 6, then 16 as in struct netaddr.
 */
enum resolve_msg {
	RM_HOST = 1,
	RM_NAME,
	RM_ADDRS,
	RM_HOSTNAME,
};

#define RM_ADDR_LEN	17
#define RM_HOSTNAME_MAX 253	/* RFC 1035 2.3.4, as text without the last dot */

void	rm_put_addr(const struct netaddr *, unsigned char out[RM_ADDR_LEN]);
bool	rm_get_addr(const unsigned char in[RM_ADDR_LEN], struct netaddr *);
/*
 * Letters, digits and hyphens in labels of 1 to 63, no hyphen at an edge, not all
 * digits: RFC 1123 2.1.  A last dot is not part of it.
 */
bool	rm_hostname_ok(struct span);

#endif
