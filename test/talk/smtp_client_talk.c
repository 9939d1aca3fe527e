/*
 * Conversations of the SMTP and LMTP client, each in every cut: what the server says
 * comes in pieces of 1, 2, 3... octets, and what the client says is taken in such
 * pieces.  Whatever the cut, the same is said and the same becomes of each recipient.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/smtp_client.h"
#include "smtp_client_talks.h"

#define RCPTS_MAX	8
static const char body[] = ".dot\r\n\xc3\xa9\r\n\r\n";

struct play {
	const struct client_talk *talk;
	struct smtp_cli_conf conf;
	struct smtp_cli	*cli;
	const char	*mails;		/* those still to be sent */
	struct envelope	*env;
	struct address	 addrs[RCPTS_MAX];
	char		 params[RCPTS_MAX][64];
	struct smtp_cli_rcpt rcpts[RCPTS_MAX];
	struct smtp_cli_mail mail;
	struct buf	 heard, ends;
	size_t		 piece;
};

/* "local" or "local[params]" up to one of stop. */
static const char *
take_path(const char *p, const char *stop, struct address *a, char params[64])
{
	size_t n = strcspn(p, "[>,:;"), k = 0;
	char path[100];

	snprintf(path, sizeof(path), "<%.*s%s>", (int)n, p, n > 0 ? "@b.test" : "");
	if (address_parse_path(span_str(path), ADDRESS_REVERSE, true, a) == 0)
		abort();
	p += n;
	if (*p == '[') {
		k = strcspn(++p, "]");
		snprintf(params, 64, "%.*s", (int)k, p);
		p += k + 1;
	} else {
		params[0] = '\0';
	}
	if (strchr(stop, *p) == NULL)
		abort();
	return p;
}

static bool
next_mail(struct play *p)
{
	const char *s = p->mails;
	char params[64];
	struct address from;

	if (*s == '\0')
		return false;
	envelope_free(&p->env);
	p->env = envelope_new();
	p->env->esmtp = true;
	s = take_path(s, ">", &from, params);
	envelope_set_from(p->env, &from, span_str(params));
	p->mail = (struct smtp_cli_mail){ .env = p->env, .rcpts = p->rcpts,
		.size = sizeof(body) - 1, .eight_bit = true,
		.xclient = (p->talk->with & XCLIENT) != 0 };
	do {
		struct smtp_cli_rcpt *r = &p->rcpts[p->mail.nrcpts];

		memset(r, 0xff, sizeof(*r));	/* what an earlier message left there */
		r->addr = &p->addrs[p->mail.nrcpts];
		r->params = p->params[p->mail.nrcpts];
		s = take_path(s + 1, ",:;", &p->addrs[p->mail.nrcpts], p->params[p->mail.nrcpts]);
		p->mail.nrcpts++;
	} while (*s == ',');
	if (*s == ':') {
		char ip[64], helo[64];

		if (sscanf(s + 1, "%63s %63[^;]", ip, helo) != 2 ||
		    !netaddr_parse_ip(span_str(ip), &p->env->client))
			abort();
		span_copy(span_str(helo), p->env->helo, sizeof(p->env->helo));
		s += strcspn(s, ";");
	}
	p->mails = *s == ';' ? s + 1 : s;
	return true;
}

static void
say_message(struct play *p)
{
	size_t at = 0, n = sizeof(body) - 1;

	while (at < n)
		at += smtp_cli_body(p->cli, body + at, n - at < p->piece ? n - at : p->piece);
	if (!smtp_cli_end(p->cli))
		abort();
}

static void
on_event(struct play *p, enum smtp_cli_ev ev)
{
	switch (ev) {
	case SMTP_CLI_NONE:
		break;
	case SMTP_CLI_STARTTLS:
		buf_add_str(&p->ends, "t");
		smtp_cli_secured(p->cli);
		break;
	case SMTP_CLI_READY:
		if (!next_mail(p)) {
			smtp_cli_quit(p->cli);
		} else if (!smtp_cli_mail(p->cli, &p->mail)) {
			buf_add_str(&p->ends, "~");
			smtp_cli_quit(p->cli);
		}
		break;
	case SMTP_CLI_CONTENT:
		say_message(p);
		break;
	case SMTP_CLI_DONE:
		for (size_t i = 0; i < p->mail.nrcpts; i++) {
			buf_add(&p->ends, &"LDRUS"[p->rcpts[i].result], 1);
			if (p->rcpts[i].reply.code == 0)
				buf_add_str(&p->ends, "(nothing was said)");
		}
		break;
	case SMTP_CLI_CLOSE:
		buf_add_str(&p->ends, "#");
		break;
	}
}

/* Takes what is to be said, a piece at a time. */
static void
listen_to(struct play *p)
{
	struct span out;

	while ((out = smtp_cli_out(p->cli)).n > 0) {
		size_t n = out.n < p->piece ? out.n : p->piece;

		buf_add(&p->heard, out.p, n);
		smtp_cli_out_used(p->cli, n);
	}
}

/* A piece from memory of its own, so that a sanitizer sees who reads behind it. */
static void
hear(struct play *p, const char *s, size_t n)
{
	char *own = malloc(n > 0 ? n : 1);
	enum smtp_cli_ev ev;
	size_t used = 0;

	memcpy(own, s, n);
	do {
		used += smtp_cli_step(p->cli, own + used, n - used, &ev);
		/* What was read before a handshake is thrown away (RFC 3207 4.2). */
		if (ev == SMTP_CLI_STARTTLS)
			used = n;
		on_event(p, ev);
		listen_to(p);
	} while (ev != SMTP_CLI_NONE || used < n);
	free(own);
}

static bool
said(struct play *p, const struct buf *want, const char *where)
{
	bool ok = span_eq(buf_span(&p->heard), buf_span(want));

	if (!ok)
		printf("%s, piece %zu, before %.20s:\n said {%.*s}\n not  {%.*s}\n", p->talk->name,
		    p->piece, where, (int)p->heard.n, p->heard.p, (int)want->n, want->p);
	buf_clear(&p->heard);
	return ok;
}

static bool
perform(struct play *p)
{
	struct buf says, want;
	bool ok = true;

	buf_init(&says, 1 << 20);
	buf_init(&want, 1 << 20);
	for (const char *line = p->talk->play; ok && *line != '\0';) {
		size_t n = strcspn(line, "\n");
		bool server = *line == 'S', more = line[n] == '\n' && line[n + 1] == *line;

		if (*line == '-') {
			smtp_cli_lost(p->cli, "the peer closed the connection");
			hear(p, "", 0);
		} else {
			buf_add(server ? &says : &want, line + 2, n - 2);
			buf_add_str(server ? &says : &want, "\r\n");
		}
		if (!more && server) {
			for (size_t at = 0; at < says.n; at += p->piece)
				hear(p, says.p + at,
				    says.n - at < p->piece ? says.n - at : p->piece);
			buf_clear(&says);
		} else if (!more && *line == 'C') {
			ok = said(p, &want, line + n);
			buf_clear(&want);
		}
		line += n + (line[n] == '\n');
	}
	ok = ok && said(p, &want, "the end");
	buf_fini(&says);
	buf_fini(&want);
	return ok;
}

static bool
play(const struct client_talk *t, size_t piece)
{
	struct play p = { .talk = t, .mails = t->mails, .piece = piece };
	bool ok;

	p.conf = (struct smtp_cli_conf){ .lmtp = (t->with & LMTP) != 0,
		.local = (t->with & REMOTE) == 0, .helo = "home.test",
		.tls = (t->with & MUST_TLS) != 0 ? SMTP_CLI_TLS_ALWAYS :
		    (t->with & NO_TLS) != 0 ? SMTP_CLI_TLS_NEVER : SMTP_CLI_TLS_OFFERED,
		.user = (t->with & PASSWORD) != 0 ? "me" : "", .password = "secret" };
	buf_init(&p.heard, 1 << 20);
	buf_init(&p.ends, 1 << 12);
	if ((p.cli = smtp_cli_new(&p.conf)) == NULL)
		abort();
	ok = perform(&p);
	if (ok && !span_eq(buf_span(&p.ends), span_str(t->ends))) {
		printf("%s, piece %zu:\n ended %.*s (%s)\n not   %s\n", t->name, piece,
		    (int)p.ends.n, p.ends.p, smtp_cli_why(p.cli), t->ends);
		ok = false;
	}
	smtp_cli_free(&p.cli);
	envelope_free(&p.env);
	buf_fini(&p.heard);
	buf_fini(&p.ends);
	return ok;
}

/* --- what is too long for a play ------------------------------------------------------------- */

#define MANY	1000

static size_t
say_to(struct smtp_cli *c, const char *words, enum smtp_cli_ev *ev)
{
	return smtp_cli_step(c, words, strlen(words), ev);
}

static void
drop_out(struct smtp_cli *c)
{
	while (smtp_cli_out(c).n > 0)
		smtp_cli_out_used(c, smtp_cli_out(c).n);
}

static const struct smtp_cli_conf plain = { .local = true, .helo = "home.test", .user = "",
	.password = "" };

/* A thousand recipients, pipelined: the buffer is bounded, and no answer is lost. */
static bool
test_many(void)
{
	static struct smtp_cli_rcpt rcpts[MANY];
	struct smtp_cli *c = smtp_cli_new(&plain);
	struct envelope *env = envelope_new();
	struct smtp_cli_mail m = { .env = env, .rcpts = rcpts, .nrcpts = MANY, .size = 0 };
	struct address a;
	enum smtp_cli_ev ev;
	bool ok = true;
	char path[70];

	memset(path, 'x', sizeof(path));
	memcpy(path, "<", 1);
	memcpy(path + 56, "@b.test>", 9);
	if (address_parse_path(span_str(path), ADDRESS_FORWARD, false, &a) == 0)
		abort();
	env->from.null = true;
	for (size_t i = 0; i < MANY; i++)
		rcpts[i] = (struct smtp_cli_rcpt){ .addr = &a, .params = "" };
	say_to(c, "220 hi\r\n", &ev);
	say_to(c, "250-hi\r\n250 PIPELINING\r\n", &ev);
	drop_out(c);
	ok = smtp_cli_mail(c, &m) && smtp_cli_out(c).n > SMTP_CLI_OUT_MAX - 100 && ok;
	for (size_t i = 0; i <= MANY; i++) {
		if (i % 100 == 0)
			drop_out(c);
		say_to(c, i % 2 == 0 ? "250 ok\r\n" : "550 no\r\n", &ev);
		ok = ev == SMTP_CLI_NONE && ok;
	}
	ok = span_eq(smtp_cli_out(c), SPAN_LIT("DATA\r\n")) && ok;
	drop_out(c);
	say_to(c, "354 go\r\n", &ev);
	ok = ev == SMTP_CLI_CONTENT && smtp_cli_end(c) && ok;
	drop_out(c);
	say_to(c, "250 kept\r\n", &ev);
	ok = ev == SMTP_CLI_DONE && ok;
	for (size_t i = 0; i < MANY; i++)
		ok = rcpts[i].result == (i % 2 == 0 ? SMTP_CLI_REFUSED : SMTP_CLI_DELIVERED) && ok;
	smtp_cli_free(&c);
	envelope_free(&env);
	if (!ok)
		printf("many recipients\n");
	return ok;
}

/* Up to DATA's 354, with one recipient. */
static struct smtp_cli *
at_content(const struct smtp_cli_mail *m)
{
	static const char *const says[] = { "220 hi\r\n", "250 hi\r\n", "250 ok\r\n", "250 ok\r\n",
		"354 go\r\n" };
	struct smtp_cli *c = smtp_cli_new(&plain);
	enum smtp_cli_ev ev = SMTP_CLI_NONE;

	for (size_t i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
		say_to(c, says[i], &ev);
		if (ev == SMTP_CLI_READY && !smtp_cli_mail(c, m))
			abort();
		drop_out(c);
	}
	if (ev != SMTP_CLI_CONTENT)
		abort();
	return c;
}

/*
 * A message larger than the buffer waits for a reader; one whose end was never taken by
 * the network is not in doubt, one whose end was is.
 */
static bool
test_back_pressure(void)
{
	static const char line[] = "a line of text like any other\r\n";
	struct address a = { .local = "x", .domain = "b.test" };
	struct envelope *env = envelope_new();
	bool ok = true;

	env->from.null = true;
	for (int taken = 0; taken < 2; taken++) {
		struct smtp_cli_rcpt r = { .addr = &a, .params = "" };
		struct smtp_cli_mail m = { .env = env, .rcpts = &r, .nrcpts = 1, .size = 1 };
		struct smtp_cli *c = at_content(&m);
		enum smtp_cli_ev ev;
		size_t n = 0;

		while (smtp_cli_body(c, line, sizeof(line) - 1) == sizeof(line) - 1)
			n++;
		ok = n == SMTP_CLI_OUT_MAX / (sizeof(line) - 1) && !smtp_cli_end(c) && ok;
		drop_out(c);
		ok = smtp_cli_end(c) && ok;
		if (taken)
			drop_out(c);
		smtp_cli_lost(c, "it broke");
		say_to(c, "", &ev);
		ok = ev == SMTP_CLI_DONE && smtp_cli_out(c).n == 0 &&
		    r.result == (taken ? SMTP_CLI_UNCERTAIN : SMTP_CLI_LATER) && ok;
		say_to(c, "250 kept\r\n", &ev);
		ok = ev == SMTP_CLI_CLOSE && ok;
		smtp_cli_free(&c);
	}
	envelope_free(&env);
	if (!ok)
		printf("back pressure\n");
	return ok;
}

/* Whatever ends a line there, none but ours ends the message. */
static bool
test_dots(void)
{
	static const struct {
		const char	*says, *goes;
	} cases[] = {
		{ "", ".\r\n" },
		{ "a", "a\r\n.\r\n" },
		{ ".", "..\r\n.\r\n" },
		{ "a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n.\r\n" },
		{ "a\n.\nb\n", "a\r\n..\r\nb\r\n.\r\n" },
		{ "a\r.\rb\r", "a\r\n..\r\nb\r\n.\r\n" },
		{ "a\n.\r\nb", "a\r\n..\r\nb\r\n.\r\n" },
		{ "a\r\n.\r\r\nb", "a\r\n..\r\n\r\nb\r\n.\r\n" },
		{ "..\r\n...", "...\r\n....\r\n.\r\n" },
	};
	struct address a = { .local = "x", .domain = "b.test" };
	struct envelope *env = envelope_new();
	bool ok = true;

	env->from.null = true;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t piece = 1; piece <= strlen(cases[i].says) + 1; piece++) {
			struct smtp_cli_rcpt r = { .addr = &a, .params = "" };
			struct smtp_cli_mail m = { .env = env, .rcpts = &r, .nrcpts = 1 };
			struct smtp_cli *c = at_content(&m);
			struct span left = span_str(cases[i].says);

			while (left.n > 0)
				left = span_from(left, smtp_cli_body(c, left.p,
				    left.n < piece ? left.n : piece));
			if (!smtp_cli_end(c) ||
			    !span_eq(smtp_cli_out(c), span_str(cases[i].goes))) {
				printf("dots %zu, piece %zu: {%.*s}\n", i, piece,
				    (int)smtp_cli_out(c).n, smtp_cli_out(c).p);
				ok = false;
			}
			smtp_cli_free(&c);
		}
	envelope_free(&env);
	return ok;
}

int
main(void)
{
	unsigned played = 0, failed = 0;

	for (const struct client_talk *t = client_talks; t->name != NULL; t++) {
		bool ok = true;

		for (size_t piece = 1; ok && piece <= strlen(t->play); piece++, played++)
			ok = play(t, piece);
		failed += !ok;
	}
	failed += !test_many();
	failed += !test_back_pressure();
	failed += !test_dots();
	printf("%u played, %u failed\n", played, failed);
	return played == 0 || failed > 0;
}
