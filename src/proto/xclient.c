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
	buf_add_all(out, " ", attribute, "=");
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
		return buf_add_all(out, " ", attribute, "=" XCLIENT_UNAVAILABLE);
	return buf_add_all(out, " ", attribute, a->v6 ? "=IPV6:" : "=", netaddr_ip(a).s);
}

bool
xclient_add_port(struct buf *out, const char *attribute, const struct netaddr *a)
{
	if (a->port == 0)
		return buf_add_all(out, " ", attribute, "=" XCLIENT_UNAVAILABLE);
	return buf_addf(out, " %s=%u", attribute, (unsigned)a->port);
}

/* --- reading ------------------------------------------------------------------------------ */

static int
hex_upper(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool
visible(unsigned char c)
{
	return c >= 0x21 && c <= 0x7e;
}

/* Into a C string of size max.  False: not xtext, too long, or it holds a NUL. */
static bool
get_xtext(struct span s, char *out, size_t max)
{
	size_t o = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (!visible(c) || c == '=')
			return false;
		if (c == '+') {
			int hi = i + 2 < s.n ? hex_upper(s.p[i + 1]) : -1;
			int lo = i + 2 < s.n ? hex_upper(s.p[i + 2]) : -1;

			if (hi < 0 || lo < 0 || hi + lo == 0)
				return false;
			c = (unsigned char)(hi << 4 | lo);
			i += 2;
		}
		if (o + 1 >= max)
			return false;
		out[o++] = (char)c;
	}
	out[o] = '\0';
	return o > 0;
}

bool
xclient_unavailable(struct span v)
{
	return span_eq(v, SPAN_LIT(XCLIENT_UNAVAILABLE)) || span_eq(v, SPAN_LIT("[TEMPUNAVAIL]"));
}

bool
xclient_get_text(struct span v, char *out, size_t max)
{
	out[0] = '\0';
	return xclient_unavailable(v) || (v.n > 0 && v.p[0] != '[' && get_xtext(v, out, max));
}

bool
xclient_get_addr(struct span v, struct netaddr *a)
{
	static const struct span prefix = SPAN_LIT("IPV6:");
	bool v6 = v.n > prefix.n && memcmp(v.p, prefix.p, prefix.n) == 0;
	struct netaddr got;

	if (xclient_unavailable(v))
		return true;
	if (!netaddr_parse_ip(v6 ? span_from(v, prefix.n) : v, &got) || got.v6 != v6 ||
	    !xclient_known_ip(&got))
		return false;
	got.port = a->port;
	*a = got;
	return true;
}

static bool
on_addr(struct xclient *x, struct span v)
{
	x->addr = (struct netaddr){ 0 };
	return xclient_get_addr(v, &x->addr);
}

static bool
on_proto(struct xclient *x, struct span v)
{
	x->esmtp = span_eq_nocase(v, SPAN_LIT("ESMTP"));
	return x->esmtp || span_eq_nocase(v, SPAN_LIT("SMTP"));
}

static bool
on_helo(struct xclient *x, struct span v)
{
	if (!xclient_get_text(v, x->helo, sizeof(x->helo)))
		return false;
	for (const char *p = x->helo; *p != '\0'; p++)
		if (!visible((unsigned char)*p))
			return false;
	return true;
}

static const struct attr {
	const char	*name;
	bool		(*act)(struct xclient *, struct span);
} attrs[] = {			/* those of XCLIENT_OFFER */
	{ "ADDR", on_addr },
	{ "PROTO", on_proto },
	{ "HELO", on_helo },
};
#define NATTRS (sizeof(attrs) / sizeof(attrs[0]))

/* Takes a word off the front, and the spaces around it. */
static struct span
take_word(struct span *s)
{
	size_t n = 0;
	struct span word;

	while (s->n > 0 && s->p[0] == ' ')
		*s = span_from(*s, 1);
	while (n < s->n && s->p[n] != ' ')
		n++;
	word = span_of(s->p, n);
	*s = span_from(*s, n);
	return word;
}

int
xclient_read(struct span said, struct xclient *x, struct why *why)
{
	struct xclient got = *x;
	unsigned seen = 0;
	struct span word;

	while ((word = take_word(&said)).n > 0) {
		const char *eq = memchr(word.p, '=', word.n);
		struct span key = span_of(word.p, eq != NULL ? (size_t)(eq - word.p) : word.n);
		size_t i = 0;

		while (i < NATTRS && !span_eq_nocase(key, span_str(attrs[i].name)))
			i++;
		if (i == NATTRS || eq == NULL)
			return why_set(why, "an attribute that is not offered");
		if ((seen >> i & 1) != 0)
			return why_set(why, "%s twice", attrs[i].name);
		if (!attrs[i].act(&got, span_from(word, key.n + 1)))
			return why_set(why, "that is no %s", attrs[i].name);
		seen |= 1u << i;
	}
	if (seen == 0)
		return why_set(why, "no attribute");
	*x = got;
	return 0;
}
