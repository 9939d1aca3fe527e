#include "base/netaddr.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>

static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

struct netaddr
netaddr_from_octets(const unsigned char *ip, size_t n, uint16_t port)
{
	struct netaddr a = { .port = port };

	assert(n == 4 || n == 16);
	if (n == 4)
		memcpy(a.ip, mapped, 12);
	memcpy(a.ip + 16 - n, ip, n);
	a.v6 = memcmp(a.ip, mapped, 12) != 0;
	return a;
}

bool
netaddr_from_sockaddr(const struct sockaddr *sa, struct netaddr *a)
{
	*a = (struct netaddr){ 0 };
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		*a = netaddr_from_octets((const void *)&in->sin_addr, 4, ntohs(in->sin_port));
		return true;
	}
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		*a = netaddr_from_octets((const void *)&in6->sin6_addr, 16, ntohs(in6->sin6_port));
		return true;
	}
	return false;
}

socklen_t
netaddr_to_sockaddr(const struct netaddr *a, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (!a->v6) {
		struct sockaddr_in *in = (void *)ss;

		in->sin_family = AF_INET;
		in->sin_port = htons(a->port);
		memcpy(&in->sin_addr, a->ip + 12, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (void *)ss;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(a->port);
	memcpy(&in6->sin6_addr, a->ip, 16);
	return sizeof(*in6);
}

struct netaddr_text
netaddr_ip(const struct netaddr *a)
{
	struct netaddr_text t = { "" };

	if (a->v6)
		inet_ntop(AF_INET6, a->ip, t.s, sizeof(t.s));
	else
		inet_ntop(AF_INET, a->ip + 12, t.s, sizeof(t.s));
	return t;
}

struct netaddr_text
netaddr_hostport(const struct netaddr *a)
{
	struct netaddr_text ip = netaddr_ip(a), t;

	snprintf(t.s, sizeof(t.s), a->v6 ? "[%.46s]:%u" : "%.46s:%u", ip.s, (unsigned)a->port);
	return t;
}

bool
netaddr_parse_ip(struct span s, struct netaddr *a)
{
	char text[64];

	*a = (struct netaddr){ 0 };
	if (!span_copy(s, text, sizeof(text)))
		return false;
	if (inet_pton(AF_INET, text, a->ip + 12) == 1) {
		memcpy(a->ip, mapped, 12);
		return true;
	}
	if (inet_pton(AF_INET6, text, a->ip) == 1) {
		a->v6 = memcmp(a->ip, mapped, 12) != 0;
		return true;
	}
	return false;
}

bool
netaddr_parse(struct span s, struct netaddr *a)
{
	unsigned long long port;
	const char *colon = s.n > 0 ? memrchr(s.p, ':', s.n) : NULL;
	struct span host;

	*a = (struct netaddr){ 0 };
	if (colon == NULL)
		return false;
	host = span_of(s.p, (size_t)(colon - s.p));
	if (!span_u64(span_from(s, host.n + 1), 65535, &port))
		return false;
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = span_of(host.p + 1, host.n - 2);
	else if (memchr(host.p, ':', host.n) != NULL)
		return false;			/* 2001:db8::1:25 says nothing certain */
	if (!netaddr_parse_ip(host, a))
		return false;
	a->port = (uint16_t)port;
	return true;
}

struct netaddr
netaddr_network(const struct netaddr *a, unsigned v4bits, unsigned v6bits)
{
	struct netaddr net = *a;
	unsigned keep = a->v6 ? v6bits : 96 + v4bits;

	net.port = 0;
	for (unsigned i = 0; i < 16; i++) {
		unsigned bits = keep > 8 * i ? keep - 8 * i : 0;

		if (bits < 8)
			net.ip[i] &= (unsigned char)(0xff00 >> bits);
	}
	return net;
}

struct netaddr_text
netaddr_cidr(const struct netaddr *net, unsigned v4bits, unsigned v6bits)
{
	struct netaddr_text t = netaddr_ip(net);
	size_t n = strlen(t.s);

	snprintf(t.s + n, sizeof(t.s) - n, "/%u", net->v6 ? v6bits : v4bits);
	return t;
}

bool
netaddr_same_ip(const struct netaddr *a, const struct netaddr *b)
{
	return memcmp(a->ip, b->ip, 16) == 0;
}

bool
netaddr_in(const struct netaddr *a, const struct netaddr *net, unsigned bits)
{
	struct netaddr cut = netaddr_network(a, bits, bits);

	/* What marks IPv4 is never cut off: the families stay apart. */
	return netaddr_same_ip(&cut, net);
}

static uint32_t
head_of(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

bool
netaddr_in_any(const struct netaddr *a, const struct netaddr_net *nets, size_t n)
{
	uint32_t head = head_of(a->v6 ? a->ip : a->ip + 12);

	for (size_t i = 0; i < n; i++)
		if (nets[i].v6 == a->v6 &&
		    (head ^ head_of(nets[i].head)) >> (32 - nets[i].bits) == 0)
			return true;
	return false;
}

bool
netaddr_is_loopback(const struct netaddr *a)
{
	static const unsigned char one[16] = { [15] = 1 };

	return a->v6 ? memcmp(a->ip, one, sizeof(one)) == 0 : a->ip[12] == 127;
}

/* The registries' entries that are not globally reachable, and what the header adds to them. */
static const struct netaddr_net special[] = {
	{ { 0 }, 8, false },			/* "this network" */
	{ { 10 }, 8, false },			/* private, RFC 1918 */
	{ { 100, 64 }, 10, false },		/* shared by a carrier's NAT, RFC 6598 */
	{ { 127 }, 8, false },			/* loopback */
	{ { 169, 254 }, 16, false },		/* link-local, RFC 3927 */
	{ { 172, 16 }, 12, false },		/* private */
	{ { 192, 0, 0 }, 24, false },		/* IETF protocols, RFC 6890 */
	{ { 192, 0, 2 }, 24, false },		/* documentation, RFC 5737 */
	{ { 192, 88, 99 }, 24, false },		/* 6to4 relays, RFC 7526 */
	{ { 192, 168 }, 16, false },		/* private */
	{ { 198, 18 }, 15, false },		/* benchmarking, RFC 2544 */
	{ { 198, 51, 100 }, 24, false },	/* documentation */
	{ { 203, 0, 113 }, 24, false },		/* documentation */
	{ { 224 }, 3, false },			/* multicast, reserved, broadcast */
	{ { 0x20, 0x01 }, 23, true },		/* IETF protocols: Teredo, benchmarking, ORCHID */
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32, true },	/* documentation, RFC 3849 */
	{ { 0x20, 0x02 }, 16, true },		/* 6to4, RFC 3056 */
	{ { 0x3f, 0xff }, 20, true },		/* documentation, RFC 9637 */
};

bool
netaddr_is_global(const struct netaddr *a)
{
	if (a->v6 && a->ip[0] >> 5 != 1)	/* 2000::/3 */
		return false;
	return !netaddr_in_any(a, special, sizeof(special) / sizeof(special[0]));
}
