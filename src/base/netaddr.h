#ifndef BASE_NETADDR_H
#define BASE_NETADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/span.h"

/*
 * An IP address and port as mail speaks of them: always 16 bytes, v4 in its
 * mapped form inside, and never shown mapped.
 */
struct netaddr {
	unsigned char	ip[16];
	uint16_t	port;
	bool		v6;		/* false: ip is ::ffff:a.b.c.d */
};

struct netaddr_text {
	char	s[64];
};

bool	netaddr_from_sockaddr(const struct sockaddr *, struct netaddr *);
/* From its octets on a wire, 4 or 16 of them; a mapped one becomes IPv4. */
struct netaddr netaddr_from_octets(const unsigned char *ip, size_t n, uint16_t port);
socklen_t netaddr_to_sockaddr(const struct netaddr *, struct sockaddr_storage *);
/* The address alone, "192.0.2.1" or "2001:db8::1". */
struct netaddr_text netaddr_ip(const struct netaddr *);
/* With its port, "192.0.2.1:25" or "[2001:db8::1]:25". */
struct netaddr_text netaddr_hostport(const struct netaddr *);
/* A literal "192.0.2.1:25", "[::]:25"; false on names and anything else. */
bool	netaddr_parse(struct span, struct netaddr *);
/* An address literal without port. */
bool	netaddr_parse_ip(struct span, struct netaddr *);
/* The network it lies in, host bits and port cleared: /v4bits or /v6bits. */
struct netaddr netaddr_network(const struct netaddr *, unsigned v4bits, unsigned v6bits);
/* Such a network as people write it, "192.0.2.0/24"; in its own family's bits. */
struct netaddr_text netaddr_cidr(const struct netaddr *, unsigned v4bits, unsigned v6bits);
bool	netaddr_same_ip(const struct netaddr *, const struct netaddr *);
/* Whether it lies in net, whose prefix is bits of its own family; host bits of net must be 0. */
bool	netaddr_in(const struct netaddr *, const struct netaddr *net, unsigned bits);

/* A network in a table of constants: its first four octets, of which bits (1 to 32) count. */
struct netaddr_net {
	unsigned char	 head[4];
	unsigned char	 bits;
	bool		 v6;
};
bool	netaddr_in_any(const struct netaddr *, const struct netaddr_net *, size_t n);
bool	netaddr_is_loopback(const struct netaddr *);	/* 127.0.0.0/8 or ::1 */
/*
 * Whether it can be a stranger's on the internet: a global unicast address by the
 * registries of IANA (RFC 6890: IPv4 and IPv6 special-purpose addresses).  In IPv6
 * that is 2000::/3 only, as nothing else has been allocated.  We err to no: also
 * not global are what lies in 192.0.0.0/24 and 2001::/23, where a few services by
 * anycast answer but no client has its address, 6to4 (2002::/16 and its relays in
 * 192.88.99.0/24) and Teredo, whose inner address anybody chooses.
 */
bool	netaddr_is_global(const struct netaddr *);

#endif
