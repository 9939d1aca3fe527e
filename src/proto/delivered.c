#include "proto/delivered.h"

bool
delivered_head(const struct address *from, const struct delivered *d, struct buf *out)
{
	char sender[ADDRESS_PRINT_MAX];

	address_print(from, sender, sizeof(sender));
	buf_addf(out, "Return-Path: <%s>\r\n", sender);
	buf_addf(out, "Delivered-To: %s\r\n", d->recipient);
	buf_addf(out, "X-Posthouse-Id: %s\r\n", uuid_text(d->id).s);
	return !out->failed;
}

/* The value of the line that s begins with, and s goes behind it.  False: it is another line. */
static bool
line(struct span *s, struct span name, struct span *value)
{
	const char *end = s->n > 0 ? memchr(s->p, '\n', s->n) : NULL;
	size_t n = end != NULL ? (size_t)(end - s->p) : 0;

	if (end == NULL || n <= name.n || memcmp(s->p, name.p, name.n) != 0)
		return false;
	*value = span_of(s->p + name.n, n - name.n);
	*s = span_from(*s, n + 1);
	return true;
}

bool
delivered_read(struct span s, struct delivered *out)
{
	struct span sender, recipient, id;

	return line(&s, SPAN_LIT("Return-Path: "), &sender) &&
	    line(&s, SPAN_LIT("Delivered-To: "), &recipient) &&
	    line(&s, SPAN_LIT("X-Posthouse-Id: "), &id) && uuid_parse(id, &out->id) &&
	    memchr(recipient.p, '\0', recipient.n) == NULL &&
	    span_copy(recipient, out->recipient, sizeof(out->recipient));
}
