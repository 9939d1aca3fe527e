#include "proto/trace.h"

#include <string.h>

#include "base/clock.h"

/* A name as a peer gave it, fit for a header: what could end it or open a comment becomes `?`. */
static void
add_name(struct buf *out, const char *name)
{
	size_t n = strnlen(name, TRACE_NAME_MAX);

	for (size_t i = 0; i < n; i++) {
		char c = name[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') || strchr(".-_:[]", c) != NULL;

		buf_add(out, plain ? &c : "?", 1);
	}
	if (n == 0)
		buf_add_str(out, "unknown");
}

/* A path may hold what a quoted string may, and no control character. */
static bool
path_is_clean(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

bool
trace_received(const struct trace *t, struct buf *out)
{
	struct netaddr_text ip = netaddr_ip(&t->client);
	struct uuid_text id = uuid_text(t->id);
	char date[40];

	wall_rfc5322(t->received_ms, date, sizeof(date));
	buf_add_str(out, "Received: from ");
	add_name(out, t->helo);
	buf_add_str(out, " (");
	add_name(out, t->client_name != NULL ? t->client_name : "");
	buf_add_all(out, t->client.v6 ? " [IPv6:" : " [", ip.s, "])\r\n\tby ");
	add_name(out, t->by);
	buf_add_all(out, " (Posthouse) with ", t->with, "\r\n\tid ", id.s);
	if (t->rcpt != NULL && path_is_clean(t->rcpt))
		buf_add_all(out, "\r\n\tfor <", t->rcpt, ">");
	if (t->tls != NULL) {
		const char *cipher = strchr(t->tls, ' ');

		/* RFC 8314 4.3: the clause names the cipher suite; the version is a comment. */
		buf_add_str(out, "\r\n\ttls ");
		add_name(out, cipher != NULL ? cipher + 1 : t->tls);
		if (cipher != NULL)
			buf_addf(out, " (%.*s)", (int)(cipher - t->tls), t->tls);
	}
	return buf_add_all(out, ";\r\n\t", date, "\r\n");
}
