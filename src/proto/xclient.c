#include "proto/xclient.h"

#include <string.h>

static bool
add_xtext(struct buf *out, const char *s)
{
	for (const char *p = s; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x21 || c > 0x7e || c == '+' || c == '=' || (c == '[' && p == s))
			buf_addf(out, "+%02X", c);
		else
			buf_add(out, p, 1);
	}
	return !out->failed;
}

bool
xclient_add_text(struct buf *out, const char *attribute, const char *value)
{
	buf_addf(out, " %s=", attribute);
	return value[0] == '\0' ? buf_add_str(out, XCLIENT_UNAVAILABLE) : add_xtext(out, value);
}

bool
xclient_known_ip(const struct netaddr *a)
{
	static const unsigned char zero[sizeof(a->ip)];

	return memcmp(a->ip, zero, sizeof(zero)) != 0;
}

bool
xclient_add_addr(struct buf *out, const char *attribute, const struct netaddr *a)
{
	if (!xclient_known_ip(a))
		return buf_addf(out, " %s=" XCLIENT_UNAVAILABLE, attribute);
	return buf_addf(out, " %s=%s%s", attribute, a->v6 ? "IPV6:" : "", netaddr_ip(a).s);
}

bool
xclient_add_port(struct buf *out, const char *attribute, const struct netaddr *a)
{
	if (a->port == 0)
		return buf_addf(out, " %s=" XCLIENT_UNAVAILABLE, attribute);
	return buf_addf(out, " %s=%u", attribute, (unsigned)a->port);
}
