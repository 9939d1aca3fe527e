#include "proto/batch_smtp.h"

#include <assert.h>

#include "proto/batch_in.h"
#include "proto/xclient.h"

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
	return buf_add_all(out, verb, ":<", text, params[0] != '\0' ? "> " : ">", params, "\r\n");
}

bool
batch_head(const struct envelope *e, struct buf *out)
{
	assert(e->nrcpts > 0 && e->edge[0] != '\0');
	buf_add_str(out, "EHLO ");
	batch_add_shown(out, e->helo);
	buf_add_str(out, "\r\nXCLIENT");
	xclient_add_text(out, "NAME", e->client_name);
	xclient_add_addr(out, "ADDR", &e->client);
	xclient_add_port(out, "PORT", &e->client);
	buf_add_str(out, e->esmtp ? " PROTO=ESMTP" : " PROTO=SMTP");
	xclient_add_text(out, "HELO", e->helo);
	xclient_add_addr(out, "DESTADDR", &e->dest);
	xclient_add_port(out, "DESTPORT", &e->dest);
	buf_add_all(out, "\r\nXFORWARD IDENT=", uuid_text(e->id).s, " SOURCE=REMOTE");
	xclient_add_text(out, "NAME", e->edge);
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
