#include "proto/smtp_client_in.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define MINUTE_MS	(60 * 1000)

/* --- states --------------------------------------------------------------------------------- */

static void on_greeting(struct smtp_cli *, const struct reply_ev *);
static void on_hello(struct smtp_cli *, const struct reply_ev *);
static void on_helo(struct smtp_cli *, const struct reply_ev *);
static void on_starttls(struct smtp_cli *, const struct reply_ev *);
static void on_auth(struct smtp_cli *, const struct reply_ev *);
static void on_xclient(struct smtp_cli *, const struct reply_ev *);
static void on_idle(struct smtp_cli *, const struct reply_ev *);
static void on_rset(struct smtp_cli *, const struct reply_ev *);
static void on_quit(struct smtp_cli *, const struct reply_ev *);

/* What is under way, how long the server may take (RFC 5321 4.5.3.2), who hears its reply. */
static const struct {
	const char	*phrase;
	int64_t		 wait_ms;
	void		(*heard)(struct smtp_cli *, const struct reply_ev *);
} states[CLI_STATES] = {
	[CLI_CONNECTED] = { "waiting for its greeting", 5 * MINUTE_MS, on_greeting },
	[CLI_HELLO] = { "saying EHLO", 5 * MINUTE_MS, on_hello },
	[CLI_HELO] = { "saying HELO", 5 * MINUTE_MS, on_helo },
	[CLI_STARTTLS] = { "saying STARTTLS", 5 * MINUTE_MS, on_starttls },
	[CLI_SHAKING] = { "in the TLS handshake", MINUTE_MS, NULL },
	[CLI_AUTH] = { "saying who we are (AUTH)", 5 * MINUTE_MS, on_auth },
	[CLI_XCLIENT] = { "saying who the client is (XCLIENT)", 5 * MINUTE_MS, on_xclient },
	[CLI_IDLE] = { "between two messages", 0, on_idle },
	[CLI_ENVELOPE] = { "saying MAIL and RCPT", 5 * MINUTE_MS, cli_mail_heard },
	[CLI_DATA] = { "saying DATA", 2 * MINUTE_MS, cli_data_heard },
	[CLI_CONTENT] = { "sending the message", 3 * MINUTE_MS, cli_early_heard },
	[CLI_FINAL] = { "sending the end of data: the message may come twice", 10 * MINUTE_MS,
	    cli_final_heard },
	[CLI_RSET] = { "saying RSET", 5 * MINUTE_MS, on_rset },
	[CLI_QUIT] = { "saying QUIT", 10 * 1000, on_quit },
	[CLI_CLOSED] = { "at its end", 0, NULL },
};

int64_t
smtp_cli_wait_ms(const struct smtp_cli *c)
{
	return states[c->state].wait_ms;
}

uint64_t
smtp_cli_turns(const struct smtp_cli *c)
{
	return c->turns;
}

void
cli_become(struct smtp_cli *c, enum cli_state state)
{
	if (c->state == CLI_CLOSED)
		return;			/* there is no way back */
	c->state = state;
	if (c->out.failed && state != CLI_CLOSED)
		cli_fail(c, NULL, "memory is out");
	else if (state == CLI_IDLE)
		c->due_ready = true;
}

void
cli_fail(struct smtp_cli *c, const struct smtp_reply *reply, const char *fmt, ...)
{
	/* The end of data is said when the caller took it, not before. */
	bool doubtful = c->state == CLI_FINAL && c->out.n == 0;
	const char *phrase = states[c->state].phrase;
	struct smtp_reply own;
	char text[200];
	va_list ap;

	if (c->state == CLI_CLOSED)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (reply != NULL)
		why_set(&c->why, "%s: %s, with %u %s", phrase, text, reply->code, reply->text);
	else
		why_set(&c->why, "%s: %s", phrase, text);
	own = smtp_reply(451, 4, 4, 2, "%s", c->why.text);
	if (c->txn.mail != NULL) {
		cli_settle(c, doubtful ? SMTP_CLI_UNCERTAIN :
		    reply != NULL ? smtp_cli_judge(reply) : SMTP_CLI_LATER,
		    reply != NULL && !doubtful ? reply : &own);
		cli_mail_over(c, CLI_CLOSED);
	}
	c->state = CLI_CLOSED;
	c->due_ready = c->due_starttls = c->due_content = false;
	c->due_close = true;
	/* What was not taken must not go out any more: it could be the end of a message. */
	buf_clear(&c->out);
}

/* --- before the first message --------------------------------------------------------------- */

static void
on_greeting(struct smtp_cli *c, const struct reply_ev *ev)
{
	if (ev->reply.code != 220)
		cli_fail(c, ev->reply.code >= 400 ? &ev->reply : NULL, "it greets with %u",
		    ev->reply.code);
	else
		cli_say_hello(c, false);
}

static void
auth(struct smtp_cli *c)
{
	if (!c->secured && !c->conf->local)
		cli_fail(c, NULL, "a password is not said without TLS, which it does not offer");
	else if (!c->auth_plain && !c->auth_login)
		cli_fail(c, NULL, "it offers neither AUTH PLAIN nor LOGIN, and there is a password "
		    "to be said");
	else
		cli_say_auth(c);
}

/* What is still to be done before a message. */
static void
go_on(struct smtp_cli *c)
{
	bool offered = (c->ehlo.offers & SMTP_OFFER_STARTTLS) != 0 && !c->plain_refused;

	if (!c->secured && c->conf->tls != SMTP_CLI_TLS_NEVER && offered) {
		buf_add_str(&c->out, "STARTTLS\r\n");
		cli_become(c, CLI_STARTTLS);
	} else if (!c->secured && c->conf->tls == SMTP_CLI_TLS_ALWAYS) {
		cli_fail(c, NULL, "it does not offer STARTTLS");
	} else if (c->conf->user[0] != '\0' && !c->authed) {
		auth(c);
	} else if (c->txn.mail != NULL) {
		cli_mail_begin(c);
	} else {
		cli_become(c, CLI_IDLE);
	}
}

static unsigned
xclient_attributes(struct span args)
{
	static const char *const names[] = { "NAME", "ADDR", "PORT", "PROTO", "HELO" };
	unsigned all = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (smtp_ehlo_lists(args, span_str(names[i])))
			all |= 1u << i;
	return all;
}

static void
on_hello(struct smtp_cli *c, const struct reply_ev *ev)
{
	struct span args;

	if (ev->reply.code == 250) {
		c->ehlo = smtp_ehlo_read(ev->raw);
		if (smtp_ehlo_find(ev->raw, SPAN_LIT("XCLIENT"), &args))
			c->xattrs = xclient_attributes(args);
		if (smtp_ehlo_find(ev->raw, SPAN_LIT("AUTH"), &args)) {
			c->auth_plain = smtp_ehlo_lists(args, SPAN_LIT("PLAIN"));
			c->auth_login = smtp_ehlo_lists(args, SPAN_LIT("LOGIN"));
		}
		go_on(c);
	} else if (smtp_reply_permanent(&ev->reply) && !c->conf->lmtp) {
		cli_say_hello(c, true);
	} else {
		cli_fail(c, ev->reply.code >= 400 ? &ev->reply : NULL, "it answers with %u",
		    ev->reply.code);
	}
}

static void
on_helo(struct smtp_cli *c, const struct reply_ev *ev)
{
	if (ev->reply.code == 250)
		go_on(c);
	else
		cli_fail(c, ev->reply.code >= 400 ? &ev->reply : NULL, "it answers with %u",
		    ev->reply.code);
}

static void
on_starttls(struct smtp_cli *c, const struct reply_ev *ev)
{
	if (ev->reply.code == 220) {
		cli_become(c, CLI_SHAKING);
		c->due_starttls = true;
	} else if (c->conf->tls == SMTP_CLI_TLS_ALWAYS || ev->reply.code < 400) {
		cli_fail(c, ev->reply.code >= 400 ? &ev->reply : NULL, "it answers with %u",
		    ev->reply.code);
	} else {
		c->plain_refused = true;
		go_on(c);
	}
}

void
smtp_cli_secured(struct smtp_cli *c)
{
	if (c->state != CLI_SHAKING)
		return;
	reply_reader_fini(&c->reader);
	reply_reader_init(&c->reader);
	c->secured = true;
	cli_say_hello(c, false);
}

static void
on_auth(struct smtp_cli *c, const struct reply_ev *ev)
{
	if (ev->reply.code == 235) {
		c->authed = true;
		go_on(c);
	} else if (ev->reply.code == 334 && c->auth_step < 2) {
		cli_say_auth(c);
	} else {
		cli_fail(c, NULL, "it does not take our user name and password: %u %s",
		    ev->reply.code, ev->reply.text);
	}
}

/* The server is back at its 220, as if the client that was named had just connected. */
static void
on_xclient(struct smtp_cli *c, const struct reply_ev *ev)
{
	if (ev->reply.code != 220) {
		cli_fail(c, NULL, "it answers with %u %s", ev->reply.code, ev->reply.text);
		return;
	}
	c->authed = false;
	cli_say_hello(c, false);
}

/* --- between and after messages ------------------------------------------------------------- */

static void
on_idle(struct smtp_cli *c, const struct reply_ev *ev)
{
	if (ev->reply.code == 421)
		cli_fail(c, &ev->reply, "it ends the connection");
	else
		cli_fail(c, NULL, "it said %u, and nothing had been asked", ev->reply.code);
}

static void
on_rset(struct smtp_cli *c, const struct reply_ev *ev)
{
	if (ev->reply.code == 250)
		cli_become(c, CLI_IDLE);
	else
		cli_fail(c, NULL, "it answers with %u", ev->reply.code);
}

static void
on_quit(struct smtp_cli *c, const struct reply_ev *ev)
{
	c->state = CLI_CLOSED;
	c->due_close = true;
}

/* Whether this connection speaks for him already. */
static bool
is_his(const struct smtp_cli *c, unsigned attrs, const struct envelope *env)
{
	struct buf line;
	bool his;

	buf_init(&line, SMTP_CLI_LINE_MAX);
	his = cli_xclient_line(c, attrs, env, &line) && span_eq(buf_span(&line), buf_span(&c->who));
	buf_fini(&line);
	return his;
}

bool
smtp_cli_mail(struct smtp_cli *c, const struct smtp_cli_mail *m)
{
	assert(m->nrcpts > 0 && c->txn.mail == NULL);
	/* Postfix offers it by address, and by then it has the address that it was told. */
	if (c->state == CLI_IDLE && c->who.n > 0 && (!m->xclient ||
	    (!smtp_cli_xclient(c) && !is_his(c, c->who_attrs, m->env))))
		return false;
	c->due_ready = false;
	for (size_t i = 0; i < m->nrcpts; i++) {
		m->rcpts[i].result = SMTP_CLI_LATER;
		m->rcpts[i].reply = (struct smtp_reply){ 0 };
		m->rcpts[i].accepted = m->rcpts[i].decided = false;
	}
	c->txn.mail = m;
	if (c->state == CLI_CLOSED) {	/* it ended between READY and now */
		struct smtp_reply gone = smtp_reply(451, 4, 4, 2, "%s", c->why.text);

		cli_settle(c, SMTP_CLI_LATER, &gone);
		cli_mail_over(c, CLI_CLOSED);
		return true;
	}
	if (!m->xclient || !smtp_cli_xclient(c) || is_his(c, c->xattrs, m->env)) {
		cli_mail_begin(c);
		return true;
	}
	buf_clear(&c->who);
	c->who_attrs = c->xattrs;
	if (!cli_xclient_line(c, c->xattrs, m->env, &c->who)) {
		cli_fail(c, NULL, "memory is out");
		return true;
	}
	smtp_cli_helo_of(m->env, c->conf->helo, c->helo);
	buf_add_span(&c->out, buf_span(&c->who));
	cli_become(c, CLI_XCLIENT);
	return true;
}

void
smtp_cli_quit(struct smtp_cli *c)
{
	c->due_ready = false;
	if (c->state != CLI_IDLE)
		return;
	buf_add_str(&c->out, "QUIT\r\n");
	cli_become(c, CLI_QUIT);
}

void
smtp_cli_lost(struct smtp_cli *c, const char *why)
{
	if (c->state == CLI_QUIT)
		on_quit(c, NULL);
	else
		cli_fail(c, NULL, "%s", why);
}

/* --- the machine ---------------------------------------------------------------------------- */

struct smtp_cli *
smtp_cli_new(const struct smtp_cli_conf *conf)
{
	struct smtp_cli *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->conf = conf;
	reply_reader_init(&c->reader);
	buf_init(&c->out, SMTP_CLI_OUT_MAX);
	buf_init(&c->who, SMTP_CLI_LINE_MAX);
	span_copy(span_str(conf->helo), c->helo, sizeof(c->helo));
	return c;
}

void
smtp_cli_free(struct smtp_cli **cp)
{
	struct smtp_cli *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	reply_reader_fini(&c->reader);
	buf_wipe(&c->out);
	buf_fini(&c->who);
	free(c);
}

static enum smtp_cli_ev
take_due(struct smtp_cli *c)
{
	const struct {
		bool		*due;
		enum smtp_cli_ev ev;
	} all[] = {
		{ &c->due_starttls, SMTP_CLI_STARTTLS }, { &c->due_content, SMTP_CLI_CONTENT },
		{ &c->due_done, SMTP_CLI_DONE }, { &c->due_ready, SMTP_CLI_READY },
		{ &c->due_close, SMTP_CLI_CLOSE },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (*all[i].due) {
			*all[i].due = false;
			return all[i].ev;
		}
	return SMTP_CLI_NONE;
}

size_t
smtp_cli_step(struct smtp_cli *c, const char *in, size_t n, enum smtp_cli_ev *ev)
{
	size_t used = 0;

	while ((*ev = take_due(c)) == SMTP_CLI_NONE && used < n) {
		struct reply_ev r;

		/* Said before the handshake, or after the end: nobody's any more. */
		if (states[c->state].heard == NULL)
			return n;
		used += reply_reader_step(&c->reader, in + used, n - used, &r);
		c->turns += r.type == REPLY_WHOLE;
		if (r.type == REPLY_BAD)
			cli_fail(c, NULL, "it said %s", r.why);
		else if (r.type == REPLY_WHOLE)
			states[c->state].heard(c, &r);
	}
	return used;
}

struct span
smtp_cli_out(const struct smtp_cli *c)
{
	return buf_span(&c->out);
}

void
smtp_cli_out_used(struct smtp_cli *c, size_t n)
{
	c->turns += n > 0;
	buf_drop(&c->out, n);
	cli_mail_fill(c);
}

struct smtp_ehlo
smtp_cli_offers(const struct smtp_cli *c)
{
	return c->ehlo;
}

bool
smtp_cli_xclient(const struct smtp_cli *c)
{
	return (c->xattrs & CLI_X_ADDR) != 0;
}

const char *
smtp_cli_why(const struct smtp_cli *c)
{
	return c->why.text;
}
