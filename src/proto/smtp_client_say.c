#include "proto/smtp_client_in.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/codec.h"
#include "proto/xclient.h"

#define XCLIENT_LINE_MAX	512	/* XCLIENT_README: a longer command is refused */

void
cli_say_hello(struct smtp_cli *c, bool helo)
{
	const char *verb = helo ? "HELO" : c->conf->lmtp ? "LHLO" : "EHLO";

	c->ehlo = (struct smtp_ehlo){ 0 };
	c->xattrs = 0;
	c->auth_plain = c->auth_login = false;
	buf_addf(&c->out, "%s %s\r\n", verb, c->helo);
	cli_become(c, helo ? CLI_HELO : CLI_HELLO);
}

void
smtp_cli_helo_of(const struct envelope *env, const char *ours, char out[256])
{
	size_t n = 0;

	for (const char *p = env->helo; *p != '\0' && n < 255; p++)
		out[n++] = *p > 0x20 && *p < 0x7f ? *p : '?';
	out[n] = '\0';
	if (n == 0)
		span_copy(span_str(ours), out, 256);
}

/* --- AUTH (RFC 4954, 4616) ------------------------------------------------------------------ */

static void
say_base64(struct smtp_cli *c, const char *before, const void *p, size_t n)
{
	char *text = malloc(BASE64_LEN(n) + 1);

	if (text == NULL) {
		cli_fail(c, NULL, "memory is out");
		return;
	}
	base64_encode(p, n, true, text);
	buf_add_str(&c->out, before);
	buf_add_str(&c->out, text);
	buf_add_str(&c->out, "\r\n");
	explicit_bzero(text, BASE64_LEN(n));
	free(text);
}

static void
say_plain(struct smtp_cli *c)
{
	struct buf b;

	buf_init(&b, 2048);
	buf_add(&b, "", 1);
	buf_add_str(&b, c->conf->user);
	buf_add(&b, "", 1);
	buf_add_str(&b, c->conf->password);
	if (b.failed)
		cli_fail(c, NULL, "the password is too long");
	else
		say_base64(c, "AUTH PLAIN ", b.p, b.n);
	buf_wipe(&b);
}

void
cli_say_auth(struct smtp_cli *c)
{
	const char *word = c->auth_step == 0 ? c->conf->user : c->conf->password;

	if (c->state == CLI_AUTH) {
		c->auth_step++;
		say_base64(c, "", word, strlen(word));
		return;
	}
	cli_become(c, CLI_AUTH);
	c->auth_step = 0;
	if (c->auth_plain) {
		c->auth_step = 2;
		say_plain(c);
	} else {
		buf_add_str(&c->out, "AUTH LOGIN\r\n");
	}
}

/* --- XCLIENT -------------------------------------------------------------------------------- */

/* Never LOGIN: nobody here has shown a password to the backend. */
bool
cli_xclient_line(const struct smtp_cli *c, unsigned attrs, const struct envelope *env,
    struct buf *line)
{
	size_t n;

	buf_add_str(line, "XCLIENT");
	if ((attrs & CLI_X_NAME) != 0)
		xclient_add_text(line, "NAME", env->client_name);
	if ((attrs & CLI_X_ADDR) != 0)
		xclient_add_addr(line, "ADDR", &env->client);
	if ((attrs & CLI_X_PORT) != 0)
		xclient_add_port(line, "PORT", &env->client);
	if ((attrs & CLI_X_PROTO) != 0)
		buf_add_str(line, c->conf->lmtp ? " PROTO=LMTP" :
		    env->esmtp ? " PROTO=ESMTP" : " PROTO=SMTP");
	n = line->n;
	if ((attrs & CLI_X_HELO) != 0)
		xclient_add_text(line, "HELO", env->helo);
	/* What is left out here, our EHLO says. */
	if (line->n + 2 > XCLIENT_LINE_MAX)
		line->n = n;
	return buf_add_str(line, "\r\n");
}

/* --- MAIL and RCPT -------------------------------------------------------------------------- */

/* The value of a parameter as received; false if it is not there.  `NAME` alone has none. */
static bool
param(const char *params, const char *name, struct span *value)
{
	struct span left = span_str(params), key = span_str(name);

	while (left.n > 0) {
		const char *sp = memchr(left.p, ' ', left.n);
		struct span word = span_of(left.p, sp != NULL ? (size_t)(sp - left.p) : left.n);

		left = span_from(left, word.n + (sp != NULL));
		if (!span_starts_nocase(word, key))
			continue;
		*value = span_from(word, key.n + 1);
		if (word.n == key.n || word.p[key.n] == '=')
			return true;
	}
	return false;
}

static void
pass_on(struct buf *line, const char *params, const char *name)
{
	struct span value;

	if (param(params, name, &value) && value.n > 0)
		buf_addf(line, " %s=%.*s", name, (int)value.n, value.p);
}

/* RFC 6533 3: beyond ASCII it goes only where SMTPUTF8 is offered, or it would be refused. */
static void
pass_on_orcpt(const struct smtp_cli *c, struct buf *line, const char *params)
{
	struct span value;
	bool ascii = true;

	for (size_t i = 0; param(params, "ORCPT", &value) && i < value.n; i++)
		ascii = ascii && (unsigned char)value.p[i] < 0x80;
	if (ascii || (c->ehlo.offers & SMTP_OFFER_SMTPUTF8) != 0)
		pass_on(line, params, "ORCPT");
}

static bool
wants_utf8(const struct smtp_cli_mail *m)
{
	struct span value;

	for (size_t i = 0; i < m->nrcpts; i++)
		if (m->rcpts[i].addr->utf8)
			return true;
	return m->env->from.utf8 || param(m->env->from_params, "SMTPUTF8", &value);
}

static void
mail_params(const struct smtp_cli *c, struct buf *line)
{
	const struct smtp_cli_mail *m = c->txn.mail;
	const char *params = m->env->from_params;
	unsigned offers = c->ehlo.offers;
	struct span value;

	if ((offers & SMTP_OFFER_SIZE) != 0)
		buf_addf(line, " SIZE=%" PRIu64, m->size);
	if ((offers & SMTP_OFFER_8BITMIME) != 0 && (m->eight_bit ||
	    (param(params, "BODY", &value) && span_eq_nocase(value, SPAN_LIT("8BITMIME")))))
		buf_add_str(line, " BODY=8BITMIME");
	if ((offers & SMTP_OFFER_SMTPUTF8) != 0 && wants_utf8(m))
		buf_add_str(line, " SMTPUTF8");
	if ((offers & SMTP_OFFER_DSN) != 0) {
		pass_on(line, params, "RET");
		pass_on(line, params, "ENVID");
	}
}

bool
cli_envelope_line(const struct smtp_cli *c, size_t place, struct buf *line)
{
	const struct smtp_cli_mail *m = c->txn.mail;
	const struct smtp_cli_rcpt *r = place > 0 ? &m->rcpts[place - 1] : NULL;
	char text[ADDRESS_PRINT_MAX];

	address_print(r != NULL ? r->addr : &m->env->from, text, sizeof(text));
	buf_addf(line, "%s:<%s>", r != NULL ? "RCPT TO" : "MAIL FROM", text);
	if (r == NULL)
		mail_params(c, line);
	else if ((c->ehlo.offers & SMTP_OFFER_DSN) != 0) {
		pass_on(line, r->params, "NOTIFY");
		pass_on_orcpt(c, line, r->params);
	}
	return buf_add_str(line, "\r\n");
}
