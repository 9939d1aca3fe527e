#include "proto/address.h"

#include <idn2.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/netaddr.h"

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c);
}

/* RFC 5322 3.2.3. */
static bool
is_atext(char c)
{
	return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool
is_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

/*
 * The length of the non-ASCII character at the front of s, 0 if it is not well
 * formed (RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF) or a
 * C1 control.
 */
static size_t
utf8_char(struct span s)
{
	static const struct {
		unsigned char	first, mask;
		unsigned	n;
		unsigned long	least;
	} forms[] = {
		{ 0xc0, 0xe0, 2, 0xa0 },
		{ 0xe0, 0xf0, 3, 0x800 },
		{ 0xf0, 0xf8, 4, 0x10000 },
	};
	unsigned char c = s.n > 0 ? (unsigned char)s.p[0] : 0;

	for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++) {
		unsigned long u;

		if ((c & forms[f].mask) != forms[f].first)
			continue;
		if (s.n < forms[f].n)
			return 0;
		u = c & (unsigned char)~forms[f].mask;
		for (unsigned i = 1; i < forms[f].n; i++) {
			if (((unsigned char)s.p[i] & 0xc0) != 0x80)
				return 0;
			u = u << 6 | ((unsigned char)s.p[i] & 0x3f);
		}
		if (u < forms[f].least || u > 0x10ffff || (u >= 0xd800 && u <= 0xdfff))
			return 0;
		return forms[f].n;
	}
	return 0;
}

/* Lower case and a look at every label; in place, on a name without its final dot. */
static bool
labels_ok(char *name, size_t n)
{
	size_t start = 0;
	bool numeric = true;

	if (n == 0 || n > ADDRESS_DOMAIN_MAX)
		return false;
	for (size_t i = 0; i <= n; i++) {
		if (i == n || name[i] == '.') {
			if (i == start || i - start > 63)
				return false;
			if (name[start] == '-' || name[i - 1] == '-')
				return false;
			start = i + 1;
			if (i < n)
				numeric = true;
			continue;
		}
		if (!is_alnum(name[i]) && name[i] != '-' && name[i] != '_')
			return false;
		if (!is_digit(name[i]))
			numeric = false;
		if (name[i] >= 'A' && name[i] <= 'Z')
			name[i] = (char)(name[i] + ('a' - 'A'));
	}
	return !numeric;
}

bool
address_domain(struct span in, char *out)
{
	char *ace = NULL;
	bool ok;

	out[0] = '\0';
	if (in.n > 0 && in.p[in.n - 1] == '.')
		in.n--;
	if (!span_copy(in, out, ADDRESS_DOMAIN_MAX + 1)) {
		out[0] = '\0';
		return false;
	}
	if (!is_ascii(in)) {
		ok = idn2_lookup_u8((const uint8_t *)out, (uint8_t **)&ace,
		    IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK;
		ok = ok && span_copy(span_str(ace), out, ADDRESS_DOMAIN_MAX + 1);
		idn2_free(ace);
		/* Mapping makes dots and @ of wider ones: labels_ok sees what came out. */
		if (!ok || !is_ascii(span_str(out))) {
			out[0] = '\0';
			return false;
		}
	}
	if (!labels_ok(out, strlen(out))) {
		out[0] = '\0';
		return false;
	}
	return true;
}

/* "[192.0.2.1]" or "[IPv6:...]", whole. */
static bool
literal_ok(struct span in, char *out)
{
	struct netaddr a;
	bool v6;

	if (in.n < 2 || in.p[in.n - 1] != ']')
		return false;
	in = span_of(in.p + 1, in.n - 2);
	v6 = span_starts_nocase(in, SPAN_LIT("IPv6:"));
	if (v6)
		in = span_from(in, 5);
	if (!netaddr_parse_ip(in, &a) || (memchr(in.p, ':', in.n) != NULL) != v6)
		return false;
	snprintf(out, ADDRESS_DOMAIN_MAX + 1, "[%s%s]", a.v6 ? "IPv6:" : "", netaddr_ip(&a).s);
	return true;
}

/*
 * The local part at the front of s, quoted or not, into out->local.  Returns the
 * octets used, 0 if there is none.
 */
static size_t
parse_local(struct span s, bool utf8, struct address *out)
{
	bool quoted = s.n > 0 && s.p[0] == '"';
	size_t i = quoted ? 1 : 0, n = 0;
	char last = '.';		/* so that a dot may not come first */

	while (i < s.n) {
		char c = s.p[i];
		size_t len = 1;

		if (quoted && c == '"')
			break;
		if ((unsigned char)c >= 0x80) {
			if (!utf8 || (len = utf8_char(span_from(s, i))) == 0)
				return 0;
			out->utf8 = true;
		} else if (quoted) {
			if (c == '\\') {
				if (++i == s.n)
					return 0;
				c = s.p[i];
			}
			if (c < 0x20 || c == 0x7f || (unsigned char)c >= 0x80)
				return 0;
		} else if (c == '.') {
			if (last == '.')
				return 0;
		} else if (!is_atext(c)) {
			break;
		}
		if (n + len > ADDRESS_LOCAL_MAX)
			return 0;
		memcpy(out->local + n, s.p + i, len);
		n += len;
		i += len;
		last = c;
	}
	out->local[n] = '\0';
	if (n == 0)
		return 0;
	if (quoted)
		return i < s.n ? i + 1 : 0;
	return last == '.' ? 0 : i;
}

/* `local@domain` up to the end of s, or `postmaster` where that may stand alone. */
static bool
parse_mailbox(struct span s, bool utf8, bool bare_postmaster, struct address *out)
{
	size_t n = parse_local(s, utf8, out);

	if (n == 0)
		return false;
	if (n == s.n && bare_postmaster && s.p[0] != '"' &&
	    span_eq_nocase(span_str(out->local), SPAN_LIT("postmaster"))) {
		out->postmaster = true;
		return true;
	}
	if (n == s.n || s.p[n] != '@')
		return false;
	s = span_from(s, n + 1);
	if (!utf8 && !is_ascii(s))
		return false;
	out->literal = s.n > 0 && s.p[0] == '[';
	return out->literal ? literal_ok(s, out->domain) : address_domain(s, out->domain);
}

/* The length of "@a,@b:" at the front of s, 0 if there is none or it is malformed. */
static size_t
source_route(struct span s, bool utf8)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];
	size_t at = 0;

	for (;;) {
		size_t end;
		struct span hop;

		if (at == s.n || s.p[at] != '@')
			return 0;
		end = ++at;
		if (end < s.n && s.p[end] == '[')	/* a literal's colons are its own */
			while (end < s.n && s.p[end] != ']')
				end++;
		while (end < s.n && s.p[end] != ',' && s.p[end] != ':')
			end++;
		if (end == s.n)
			return 0;
		hop = span_of(s.p + at, end - at);
		if (!utf8 && !is_ascii(hop))
			return 0;
		if (hop.n > 0 && hop.p[0] == '[' ? !literal_ok(hop, domain) :
						   !address_domain(hop, domain))
			return 0;
		at = end + 1;
		if (s.p[end] == ':')
			return at;
	}
}

/* Where the closing bracket is, quotes heeded; n if there is none. */
static size_t
find_close(struct span s)
{
	bool quoted = false;

	for (size_t i = 0; i < s.n; i++) {
		if (quoted && s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			quoted = !quoted;
		else if (!quoted && s.p[i] == '>')
			return i;
	}
	return s.n;
}

size_t
address_parse_path(struct span in, enum address_kind kind, bool utf8, struct address *out)
{
	struct span s;
	size_t close;

	*out = (struct address){ 0 };
	if (in.n < 2 || in.p[0] != '<' || (close = find_close(in)) == in.n)
		return 0;
	s = span_of(in.p + 1, close - 1);
	if (s.n == 0 && kind == ADDRESS_REVERSE) {
		out->null = true;
		return close + 1;
	}
	if (s.n > 0 && s.p[0] == '@') {
		size_t route = source_route(s, utf8);

		if (route == 0)
			return 0;
		if (!parse_mailbox(span_from(s, route), utf8, false, out))
			goto bad;
	} else if (!parse_mailbox(s, utf8, kind == ADDRESS_FORWARD, out)) {
		goto bad;
	}
	return close + 1;
bad:
	*out = (struct address){ 0 };
	return 0;
}

bool
address_parse(struct span in, struct address *out)
{
	*out = (struct address){ 0 };
	if (!parse_mailbox(in, true, false, out)) {
		*out = (struct address){ 0 };
		return false;
	}
	return true;
}

/* Whether it may stand without quotes: a Dot-string. */
static bool
is_dot_string(const char *s)
{
	char last = '.';

	for (; *s != '\0'; last = *s++) {
		if (*s == '.' ? last == '.' : !is_atext(*s) && (unsigned char)*s < 0x80)
			return false;
	}
	return last != '.';
}

void
address_print(const struct address *a, char *out, size_t max)
{
	char local[2 * ADDRESS_LOCAL_MAX + 3];
	size_t n = 0;

	if (a->null || a->postmaster) {
		snprintf(out, max, "%s", a->local);
		return;
	}
	if (is_dot_string(a->local)) {
		snprintf(out, max, "%s@%s", a->local, a->domain);
		return;
	}
	local[n++] = '"';
	for (const char *p = a->local; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			local[n++] = '\\';
		local[n++] = *p;
	}
	local[n++] = '"';
	snprintf(out, max, "%.*s@%s", (int)n, local, a->domain);
}

bool
address_mailbox_ok(struct span name)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];
	const char *at = name.n > 0 ? memchr(name.p, '@', name.n) : NULL;
	size_t local = at != NULL ? (size_t)(at - name.p) : name.n;

	if (local == 0 || name.n > ADDRESS_MAILBOX_MAX || name.p[0] == '.' || name.p[0] == '-')
		return false;
	if (at != NULL && !address_domain(span_from(name, local + 1), domain))
		return false;
	for (size_t i = 0, len; i < name.n; i += len) {
		char c = name.p[i];

		len = 1;
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    c == '.' || c == '_' || c == '-' || c == '+' || c == '=' || i == local) &&
		    (len = utf8_char(span_from(name, i))) == 0)
			return false;
	}
	return true;
}
