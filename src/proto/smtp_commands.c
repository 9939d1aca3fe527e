/*
 * Lines and commands of the SMTP session: what they mean, and when each may be said.
 */
#include "proto/smtp_server_in.h"

#include <stdlib.h>
#include <string.h>

#include "proto/xclient.h"

#define HELO_MAX	255		/* RFC 5321 4.5.3.1.2 */

/*
 * Commands.  arg is what stands behind the verb, without the spaces around it.
 */

static void
on_hello(struct smtp_srv *s, struct span arg)
{
	if (arg.n == 0 || arg.n > HELO_MAX) {
		srv_say(s, 501, 5, 5, 4, "Say your name: EHLO host.example");
		return;
	}
	for (size_t i = 0; i < arg.n; i++) {
		if (arg.p[i] <= ' ' || arg.p[i] > '~') {
			srv_say(s, 501, 5, 5, 4, "That is no domain name or address literal");
			return;
		}
	}
	srv_txn_end(s);
	s->refused = 0;
	free(s->helo);
	if ((s->helo = malloc(arg.n + 1)) == NULL) {
		srv_out_of_memory(s);
		return;
	}
	span_copy(arg, s->helo, arg.n + 1);
	s->waiting |= WAIT_HELO;
	s->phase = SMTP_P_READY;
}

static void
on_helo(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	on_hello(s, arg);
	if ((s->waiting & WAIT_HELO) != 0) {
		s->esmtp = false;
		srv_say(s, 250, 0, 0, 0, s->conf->hostname);
	}
}

static bool
may_speak_for_another(const struct smtp_srv *s)
{
	return (s->ext & SMTP_EXT_XCLIENT) != 0 && s->authed;
}

static void
on_ehlo(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	struct smtp_reply r;

	on_hello(s, arg);
	if ((s->waiting & WAIT_HELO) == 0)
		return;
	s->esmtp = true;
	r = smtp_reply(250, 0, 0, 0,
	    "%s\nPIPELINING\nSIZE %llu\n8BITMIME\nCHUNKING%s%s%s%s%s\nENHANCEDSTATUSCODES",
	    s->conf->hostname, (unsigned long long)s->size,
	    (s->ext & SMTP_EXT_STARTTLS) != 0 ? "\nSTARTTLS" : "",
	    (s->ext & SMTP_EXT_SMTPUTF8) != 0 ? "\nSMTPUTF8" : "",
	    (s->ext & SMTP_EXT_DSN) != 0 ? "\nDSN" : "",
	    /* RFC 4954 4: not again once it was done */
	    (s->ext & SMTP_EXT_AUTH) != 0 && s->secured && !s->authed ?
	    "\nAUTH PLAIN LOGIN" : "",
	    may_speak_for_another(s) ? "\n" XCLIENT_OFFER : "");
	srv_say_reply(s, &r);
}

/*
 * "FROM:<path> parameters", told as an event once every rule that is ours is
 * kept.  A space behind the colon is wrong but common and changes nothing.
 */
static void
on_path(struct smtp_srv *s, struct span arg, struct span word, enum smtp_params_of of,
    struct smtp_ev *ev)
{
	bool mail = of == SMTP_PARAMS_MAIL, ascii = true;
	struct smtp_params params = s->txn.params;
	struct smtp_reply why;
	size_t n;

	if (!span_starts_nocase(arg, word)) {
		srv_say(s, 501, 5, 5, 4,
		    mail ? "Say MAIL FROM:<address>" : "Say RCPT TO:<address>");
		return;
	}
	for (arg = span_from(arg, word.n); arg.n > 0 && arg.p[0] == ' ';)
		arg = span_from(arg, 1);
	if (s->addr == NULL && (s->addr = malloc(sizeof(*s->addr))) == NULL) {
		srv_out_of_memory(s);
		return;
	}
	n = address_parse_path(arg, mail ? ADDRESS_REVERSE : ADDRESS_FORWARD, true, s->addr);
	if (n == 0 || (n < arg.n && arg.p[n] != ' ')) {
		if (mail)
			srv_say(s, 501, 5, 1, 7, "That is no sender address");
		else
			srv_say(s, 501, 5, 1, 3, "That is no recipient address");
		return;
	}
	ev->path = span_of(arg.p, n);
	for (arg = span_from(arg, n); arg.n > 0 && arg.p[0] == ' ';)
		arg = span_from(arg, 1);
	params.success = false;
	if (!smtp_params_check(arg, of, s->ext, s->size, &params, &why)) {
		srv_say_reply(s, &why);
		return;
	}
	for (size_t i = 0; i < ev->path.n; i++)
		ascii = ascii && (unsigned char)ev->path.p[i] < 0x80;
	if (!ascii && !params.utf8) {
		srv_say(s, 553, 5, 6, 7, "An address with other than ASCII needs SMTPUTF8");
		return;
	}
	if (!mail && s->txn.rcpts >= s->conf->limits.recipients) {
		srv_say(s, 452, 4, 5, 3,
		    "Too many recipients: send the rest in another transaction");
		return;
	}
	s->txn.params = params;
	ev->params = &s->txn.params;
	ev->arg = arg;
	ev->addr = s->addr;
	srv_ask(s, ev, mail ? SMTP_EV_MAIL : SMTP_EV_RCPT);
}

static void
on_mail(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	if (srv_may_mail(s))
		on_path(s, arg, SPAN_LIT("FROM:"), SMTP_PARAMS_MAIL, ev);
}

static void
on_rcpt(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	on_path(s, arg, SPAN_LIT("TO:"), SMTP_PARAMS_RCPT, ev);
}

static bool
no_arg(struct smtp_srv *s, struct span arg)
{
	if (arg.n != 0)
		srv_say(s, 501, 5, 5, 4, "This command stands alone");
	return arg.n == 0;
}

static void
on_data(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	if (no_arg(s, arg))
		srv_ask(s, ev, SMTP_EV_BEGIN);
}

static void
on_rset(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	if (!no_arg(s, arg))
		return;
	srv_txn_end(s);
	s->refused = 0;
	srv_say(s, 250, 2, 0, 0, "Forgotten");
}

static void
on_noop(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	srv_say(s, 250, 2, 0, 0, "Still here");
}

static void
on_vrfy(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	if (arg.n == 0)
		srv_say(s, 501, 5, 5, 4, "Say VRFY address");
	else
		srv_say(s, 252, 2, 5, 2, "Not telling; send the message and see");
}

static void
on_help(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	srv_say(s, 214, 2, 0, 0, "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT STARTTLS");
}

static void
on_quit(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	srv_say(s, 221, 2, 0, 0, "Goodbye");
	srv_hang_up(s);
}

static void
on_starttls(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	if (!no_arg(s, arg))
		return;
	if ((s->ext & SMTP_EXT_STARTTLS) == 0) {
		srv_say(s, 502, 5, 5, 1, s->secured ? "TLS is on already" : "TLS is not offered");
	} else if (s->behind) {
		/*
		 * Who waits for the handshake sends nothing more in the clear.  Somebody
		 * between us may have added it, or be about to lose it: say so.
		 */
		s->drop_behind = true;
		srv_say(s, 501, 5, 5, 2, "Nothing may follow STARTTLS before the handshake");
	} else {
		srv_say(s, 220, 2, 0, 0, "Go ahead with TLS");
		s->waiting |= WAIT_STARTTLS;
	}
}

/* XCLIENT_README's codes, but for a server that does not know the command at all. */
static void
on_xclient(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	if ((s->ext & SMTP_EXT_XCLIENT) == 0) {
		srv_say(s, 502, 5, 5, 1, "XCLIENT is not offered");
	} else if (!may_speak_for_another(s)) {
		srv_say(s, 550, 5, 7, 0, "Log in first: nobody is taken for another before");
	} else {
		ev->arg = arg;
		srv_ask(s, ev, SMTP_EV_XCLIENT);
	}
}

#define IN(p)	(1u << (p))
#define MAILING	(IN(SMTP_P_MAIL) | IN(SMTP_P_RCPT) | IN(SMTP_P_BDAT_MORE))
#define ANY	(IN(SMTP_P_GREETED) | IN(SMTP_P_READY) | MAILING)
#define NEVER	0u

/* The whole order of play: a verb, when it may be said, what it does, what is said out of turn. */
static const struct verb {
	const char	*name;
	unsigned	 when;
	void		(*act)(struct smtp_srv *, struct span, struct smtp_ev *);
	unsigned	 code;
	const char	*otherwise;
} verbs[] = {
	{ "MAIL", IN(SMTP_P_READY), on_mail, 503, "EHLO first, and one MAIL at a time" },
	{ "RCPT", IN(SMTP_P_MAIL) | IN(SMTP_P_RCPT), on_rcpt, 503, "MAIL first" },
	{ "DATA", IN(SMTP_P_RCPT), on_data, 503, "RCPT first, and no BDAT" },
	{ "BDAT", ANY, srv_on_bdat, 0, NULL },
	{ "EHLO", ANY, on_ehlo, 0, NULL },
	{ "HELO", ANY, on_helo, 0, NULL },
	{ "RSET", ANY, on_rset, 0, NULL },
	{ "NOOP", ANY, on_noop, 0, NULL },
	{ "QUIT", ANY, on_quit, 0, NULL },
	{ "STARTTLS", IN(SMTP_P_READY), on_starttls, 503, "After EHLO, outside of a transaction" },
	{ "AUTH", ANY, srv_on_auth, 0, NULL },
	{ "XCLIENT", IN(SMTP_P_READY), on_xclient, 503, "After EHLO, outside of a transaction" },
	{ "VRFY", ANY, on_vrfy, 0, NULL },
	{ "HELP", ANY, on_help, 0, NULL },
	{ "EXPN", NEVER, NULL, 502, "Not here" },
	{ "ETRN", NEVER, NULL, 502, "Not here" },
	{ "TURN", NEVER, NULL, 502, "Not here" },
};

static struct span
trim(struct span s)
{
	while (s.n > 0 && s.p[0] == ' ')
		s = span_from(s, 1);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static void
command(struct smtp_srv *s, struct span line, struct smtp_ev *ev)
{
	struct span word = line;
	const char *sp;

	if (++s->commands > s->conf->limits.commands) {
		struct smtp_reply r = smtp_reply(421, 4, 7, 0,
		    "%s Too many commands without a message", s->conf->hostname);

		srv_say_last(s, &r);
		return;
	}
	if (s->login_step != LOGIN_NONE) {
		srv_login_line(s, line, ev);
		return;
	}
	for (size_t i = 0; i < line.n; i++) {
		unsigned char c = (unsigned char)line.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f) {
			srv_say(s, 500, 5, 5, 2, "A control character in a command");
			return;
		}
	}
	if (line.n > 0 && (sp = memchr(line.p, ' ', line.n)) != NULL)
		word.n = (size_t)(sp - line.p);
	else
		word = trim(line);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		const struct verb *v = &verbs[i];

		if (!span_eq_nocase(word, span_str(v->name)))
			continue;
		if ((v->when & IN(s->phase)) == 0)
			srv_say(s, v->code, 5, 5, 1, v->otherwise);
		else
			v->act(s, trim(span_from(line, word.n)), ev);
		return;
	}
	srv_say(s, 500, 5, 5, 2, "No such command");
}

/* How far the line goes: to the LF that ends it, to its first fault (*bad), or to len. */
static size_t
line_scan(struct smtp_srv *s, const char *in, size_t len, const char **bad)
{
	const size_t most = s->conf->limits.line - 2;	/* without its CRLF */
	size_t i = 0;

	*bad = NULL;
	for (; i < len && *bad == NULL; i++) {
		char c = in[i];

		if (s->line_cr && c == '\n')
			break;
		if (s->line_cr || c == '\n')
			*bad = "Only CRLF may end a line: a CR or LF stood alone";
		s->line_cr = c == '\r';
		if (s->line_bad)
			*bad = NULL;
		else if (*bad == NULL && !s->line_cr && s->line.n + i >= most)
			*bad = "Line too long";
	}
	return i;
}

/*
 * Lines.  Only CRLF ends one.  What is wrong is answered where it is seen; the
 * rest up to the next CRLF belongs to the same line, and is thrown away.
 */
size_t
srv_line_step(struct smtp_srv *s, const char *in, size_t len, struct smtp_ev *ev)
{
	const char *bad;
	struct span line;
	size_t i = line_scan(s, in, len, &bad), keep;

	if (bad != NULL) {
		s->line_bad = true;
		buf_wipe(&s->line);
		srv_login_end(s);
		s->commands++;
		srv_say(s, 500, 5, 5, 2, bad);
		return i;
	}
	if (s->line_bad) {
		if (i < len) {
			s->line_bad = s->line_cr = false;
			return i + 1;
		}
		return i;
	}
	/* Neither a CR at the end nor one held from the last input is part of the line. */
	keep = i > 0 && s->line_cr ? i - 1 : i;
	if (i == len) {
		if (!buf_add(&s->line, in, keep))
			srv_out_of_memory(s);
		return len;
	}
	line = span_of(in, keep);
	if (s->line.n > 0) {
		if (!buf_add(&s->line, in, keep)) {
			srv_out_of_memory(s);
			return i + 1;
		}
		line = buf_span(&s->line);
	}
	s->line_cr = false;
	s->line_whole = true;
	s->behind = i + 1 < len;
	command(s, line, ev);
	if (s->drop_behind) {
		s->drop_behind = false;
		return len;
	}
	return i + 1;
}
