#include "base/netaddr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

bool
netaddr_from_sockaddr(const struct sockaddr *sa, struct netaddr *a)
{
	*a = (struct netaddr){ 0 };
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		memcpy(a->ip, mapped, 12);
		memcpy(a->ip + 12, &in->sin_addr, 4);
		a->port = ntohs(in->sin_port);
		return true;
	}
	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		memcpy(a->ip, &in6->sin6_addr, 16);
		a->port = ntohs(in6->sin6_port);
		a->v6 = memcmp(a->ip, mapped, 12) != 0;
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

bool
netaddr_same_ip(const struct netaddr *a, const struct netaddr *b)
{
	return memcmp(a->ip, b->ip, 16) == 0;
}
