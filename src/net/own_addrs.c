#include "net/own_addrs.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define LAN_BITS_LEAST(a)	((a)->v6 ? 32u : 8u)

static unsigned
prefix(const struct sockaddr *mask, const struct netaddr *a)
{
	struct sockaddr_storage ss = { 0 };
	struct netaddr m;
	unsigned bits = 0;

	/* A netmask is no address: its family is not always set, and a mapped one means nothing. */
	if (mask == NULL)
		return a->v6 ? 128 : 32;
	memcpy(&ss, mask, a->v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
	ss.ss_family = a->v6 ? AF_INET6 : AF_INET;
	netaddr_from_sockaddr((struct sockaddr *)&ss, &m);
	for (unsigned i = a->v6 ? 0 : 96; i < 128 && (m.ip[i / 8] & (0x80 >> i % 8)) != 0; i++)
		bits++;
	return bits;
}

static bool
link_local(const struct netaddr *a)
{
	return a->v6 ? a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80 :
	    a->ip[12] == 169 && a->ip[13] == 254;
}

int
own_addrs_read(struct own_addrs *own, struct why *why)
{
	struct ifaddrs *all, *i;
	struct own_addr *list;
	size_t n = 0;

	if (getifaddrs(&all) == -1)
		return why_sys(why, "this machine's addresses");
	for (i = all; i != NULL; i = i->ifa_next)
		n++;
	if ((list = calloc(n + 1, sizeof(*list))) == NULL) {
		freeifaddrs(all);
		return why_set(why, "this machine's addresses: memory is out");
	}
	n = 0;
	for (i = all; i != NULL; i = i->ifa_next) {
		struct own_addr o;

		if (i->ifa_addr == NULL || (i->ifa_flags & IFF_LOOPBACK) != 0 ||
		    !netaddr_from_sockaddr(i->ifa_addr, &o.addr) || link_local(&o.addr))
			continue;
		o.addr.port = 0;
		o.bits = prefix(i->ifa_netmask, &o.addr);
		o.net = netaddr_network(&o.addr, o.bits, o.bits);
		list[n++] = o;
	}
	freeifaddrs(all);
	free(own->list);
	*own = (struct own_addrs){ list, n, true };
	return 0;
}

void
own_addrs_fini(struct own_addrs *own)
{
	free(own->list);
	*own = (struct own_addrs){ .list = NULL };
}

bool
own_addrs_has(const struct own_addrs *own, const struct netaddr *a)
{
	for (size_t i = 0; i < own->n; i++)
		if (netaddr_same_ip(&own->list[i].addr, a))
			return true;
	return false;
}

bool
own_addrs_near(const struct own_addrs *own, const struct netaddr *a)
{
	for (size_t i = 0; i < own->n; i++) {
		const struct own_addr *o = &own->list[i];

		if (o->bits >= LAN_BITS_LEAST(&o->net) && netaddr_in(a, &o->net, o->bits))
			return true;
	}
	return false;
}
