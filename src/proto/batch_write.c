#include "proto/batch_smtp.h"

#include <assert.h>
#include <string.h>

#include "proto/batch_in.h"

/* RFC 3461 4, and a `[` in front, which only [UNAVAILABLE] has in the clear. */
static bool
add_xtext(struct buf *out, const char *s)
{
	for (const char *p = s; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;

		if (!batch_visible(c) || c == '+' || c == '=' || (c == '[' && p == s))
			buf_addf(out, "+%02X", c);
		else
			buf_add(out, p, 1);
	}
	return !out->failed;
}

static bool
add_name(struct buf *out, const char *key, const char *value)
{
	buf_addf(out, " %s=", key);
	return value[0] == '\0' ? buf_add_str(out, BATCH_UNAVAILABLE) : add_xtext(out, value);
}

bool
batch_known_ip(const struct netaddr *a)
{
	static const unsigned char zero[sizeof(a->ip)];

	return memcmp(a->ip, zero, sizeof(zero)) != 0;
}

static bool
add_netaddr(struct buf *out, const char *prefix, const struct netaddr *a)
{
	if (batch_known_ip(a))
		buf_addf(out, " %sADDR=%s%s", prefix, a->v6 ? "IPV6:" : "", netaddr_ip(a).s);
	else
		buf_addf(out, " %sADDR=" BATCH_UNAVAILABLE, prefix);
	if (a->port != 0)
		return buf_addf(out, " %sPORT=%u", prefix, (unsigned)a->port);
	return buf_addf(out, " %sPORT=" BATCH_UNAVAILABLE, prefix);
}

bool
batch_add_shown(struct buf *out, const char *helo)
{
	if (helo[0] == '\0')
		return buf_add_str(out, "?");
	for (const char *p = helo; *p != '\0'; p++)
		buf_add(out, batch_visible((unsigned char)*p) ? p : "?", 1);
	return !out->failed;
}

static bool
add_path(struct buf *out, const char *verb, const struct address *a, const char *params)
{
	char text[ADDRESS_PRINT_MAX];

	address_print(a, text, sizeof(text));
	return buf_addf(out, "%s:<%s>%s%s\r\n", verb, text, params[0] != '\0' ? " " : "", params);
}

bool
batch_head(const struct envelope *e, struct buf *out)
{
	assert(e->nrcpts > 0 && e->edge[0] != '\0');
	buf_add_str(out, "EHLO ");
	batch_add_shown(out, e->helo);
	buf_add_str(out, "\r\nXCLIENT");
	add_name(out, "NAME", e->client_name);
	add_netaddr(out, "", &e->client);
	buf_add_str(out, e->esmtp ? " PROTO=ESMTP" : " PROTO=SMTP");
	add_name(out, "HELO", e->helo);
	add_netaddr(out, "DEST", &e->dest);
	buf_addf(out, "\r\nXFORWARD IDENT=%s SOURCE=REMOTE", uuid_text(e->id).s);
	add_name(out, "NAME", e->edge);
	buf_add_str(out, "\r\n");
	add_path(out, "MAIL FROM", &e->from, e->from_params);
	for (size_t i = 0; i < e->nrcpts; i++)
		add_path(out, "RCPT TO", &e->rcpts[i].addr, e->rcpts[i].params);
	return !out->failed;
}

bool
batch_chunk(size_t k, struct buf *out)
{
	return buf_addf(out, "BDAT %zu\r\n", k);
}

bool
batch_end(struct buf *out)
{
	return buf_add_str(out, "BDAT 0 LAST\r\nQUIT\r\n");
}
