/*
 * Conversations with the SMTP machine, each in every cut: in pieces of 1, 2, 3...
 * octets and in two pieces at every place.  Whatever the cut, the same replies,
 * the same messages and the same endings must come of it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "smtp_talks.h"

#define LOG_MAX	65536

static const struct smtp_srv_conf confs[2] = {
	{ "mx.test", { 512, 3, 100, 6, 20, 2 }, SMTP_BARE_REFUSE },
	{ "mx.test", { 512, 3, 100, 6, 20, 2 }, SMTP_BARE_NORMALIZE },
};

struct play {
	struct smtp_srv	*srv;
	unsigned	 with;
	struct buf	 codes, arrived, body;
	struct smtp_reply verdict;	/* on the data of this transaction */
	bool		 starttls, closed;
};

static bool
starts(const struct address *a, const char *s)
{
	return strncmp(a->local, s, strlen(s)) == 0;
}

static struct smtp_reply
decide_login(struct play *p, const struct smtp_ev *ev)
{
	bool right = span_eq(ev->arg, SPAN_LIT("open sesame"));

	if (span_eq(ev->user, SPAN_LIT("later")))
		return smtp_reply(454, 4, 7, 0, "Later");
	buf_add_span(&p->arrived, ev->user);
	buf_add_str(&p->arrived, right ? "+" : "-");
	return right ? smtp_reply(235, 2, 7, 0, "Welcome") : smtp_reply(535, 5, 7, 8, "Wrong");
}

static struct smtp_reply
decide_client(struct play *p, const struct smtp_ev *ev)
{
	buf_addf(&p->arrived, "X[%.*s]", (int)ev->arg.n, ev->arg.p);
	return span_starts_nocase(ev->arg, SPAN_LIT("ADDR=")) ?
	    smtp_reply(220, 0, 0, 0, "mx.test ESMTP Posthouse") :
	    smtp_reply(501, 5, 5, 4, "Whose?");
}

static struct smtp_reply
decide(struct play *p, const struct smtp_ev *ev)
{
	if (ev->type == SMTP_EV_AUTH)
		return decide_login(p, ev);
	if (ev->type == SMTP_EV_XCLIENT)
		return decide_client(p, ev);
	if (ev->type == SMTP_EV_EOM)
		return p->body.n > 0 && memmem(p->body.p, p->body.n, "SPAM", 4) != NULL ?
		    smtp_reply(550, 5, 7, 1, "No") : smtp_reply(250, 2, 0, 0, "Kept");
	if (ev->type == SMTP_EV_BEGIN)
		return p->verdict.code != 0 ? p->verdict : smtp_reply(354, 0, 0, 0, "Go on");
	if (starts(ev->addr, "no"))
		return smtp_reply(550, 5, 1, 1, "No");
	if (starts(ev->addr, "later"))
		return smtp_reply(451, 4, 7, 1, "Later");
	if (starts(ev->addr, "hang"))
		return smtp_reply(421, 4, 7, 0, "Away");
	if (starts(ev->addr, "full"))
		p->verdict = smtp_reply(452, 4, 3, 1, "Full");
	if (starts(ev->addr, "little"))
		smtp_srv_message_most(p->srv, 4);
	if (starts(ev->addr, "plain") && ev->params->utf8)
		smtp_srv_message_ascii(p->srv);
	if (starts(ev->addr, "mute") && ev->params->success)
		return smtp_reply(455, 4, 5, 4, "Mute");
	if (starts(ev->addr, "never"))
		p->verdict = smtp_reply(554, 5, 7, 1, "Never");
	return ev->type == SMTP_EV_MAIL ? smtp_reply(250, 2, 1, 0, "Fine") :
	    smtp_reply(250, 2, 1, 5, "Fine");
}

static void
note_mail(struct play *p, const struct smtp_ev *ev)
{
	char addr[ADDRESS_PRINT_MAX];

	address_print(ev->addr, addr, sizeof(addr));
	buf_addf(&p->arrived, "%c%.*s{%s}[%.*s]", ev->type == SMTP_EV_MAIL ? 'M' : 'R',
	    (int)ev->path.n, ev->path.p, addr, (int)ev->arg.n, ev->arg.p);
	if (ev->type == SMTP_EV_MAIL)
		buf_addf(&p->arrived, "%llu", (unsigned long long)smtp_srv_declared_size(p->srv));
}

/* The code of a reply's last line; of a refusal the enhanced one, too (RFC 2034 4). */
static void
note_code(struct play *p, const char *line, size_t n)
{
	const char *after = memchr(line + 4, ' ', n - 4);

	if (line[3] != ' ')
		return;
	buf_add(&p->codes, line, 4);
	if (line[0] >= '4' && after != NULL)
		buf_add(&p->codes, line + 4, (size_t)(after + 1 - (line + 4)));
}

static void
take_reply(struct play *p)
{
	struct span out = smtp_srv_out(p->srv);

	if ((p->with & FULL) != 0)
		buf_add_span(&p->codes, out);
	for (size_t i = 0, n; (p->with & FULL) == 0 && i + 4 < out.n; i += n) {
		n = (size_t)((char *)memchr(out.p + i, '\n', out.n - i) - out.p) + 1 - i;
		note_code(p, out.p + i, n);
	}
	smtp_srv_out_used(p->srv, out.n);
}

static void
answer(struct play *p, const struct smtp_ev *ev)
{
	struct smtp_reply r;

	if (ev->type == SMTP_EV_MAIL)
		p->verdict.code = 0;
	r = decide(p, ev);
	if (ev->type == SMTP_EV_EOM && r.code == 250) {
		buf_add(&p->arrived, "(", 1);
		buf_add_span(&p->arrived, buf_span(&p->body));
		buf_add(&p->arrived, ")", 1);
	}
	if (ev->type == SMTP_EV_BEGIN || ev->type == SMTP_EV_EOM)
		buf_clear(&p->body);
	smtp_srv_answer(p->srv, &r);
}

/* A piece of input, given from memory of its own so that a sanitizer sees who reads behind it. */
static void
hear(struct play *p, const char *s, size_t n)
{
	char *piece = malloc(n > 0 ? n : 1);
	size_t used = 0;

	memcpy(piece, s, n);
	for (;;) {
		struct smtp_ev ev;

		used += smtp_srv_step(p->srv, piece + used, n - used, &ev);
		if (ev.type == SMTP_EV_NONE || ev.type == SMTP_EV_CLOSE ||
		    ev.type == SMTP_EV_STARTTLS) {
			if (ev.type == SMTP_EV_CLOSE && !p->closed)
				buf_add(&p->arrived, "#", 1);
			p->closed = ev.type == SMTP_EV_CLOSE;
			p->starttls = p->starttls || ev.type == SMTP_EV_STARTTLS;
			if (used != n)
				abort();
			break;
		}
		if ((p->with & MAILS) != 0 && (ev.type == SMTP_EV_MAIL || ev.type == SMTP_EV_RCPT))
			note_mail(p, &ev);
		if (ev.type == SMTP_EV_REPLY) {
			take_reply(p);
		} else if (ev.type == SMTP_EV_BODY) {
			if (ev.arg.n == 0)
				abort();
			buf_add_span(&p->body, ev.arg);
		} else if (ev.type == SMTP_EV_ABORT) {
			buf_add(&p->arrived, "!", 1);
			buf_clear(&p->body);
		} else if (ev.type != SMTP_EV_HELO) {
			answer(p, &ev);
		}
	}
	free(piece);
}

static void
play_init(struct play *p, unsigned with)
{
	*p = (struct play){ .with = with };
	buf_init(&p->codes, LOG_MAX);
	buf_init(&p->arrived, LOG_MAX);
	buf_init(&p->body, LOG_MAX);
	if ((p->srv = smtp_srv_new(&confs[(with & NORMALIZE) != 0], with & 0xff)) == NULL)
		abort();
	if ((with & IN_TLS) != 0)
		smtp_srv_in_tls(p->srv);
	hear(p, "", 0);
}

static void
play_fini(struct play *p)
{
	smtp_srv_free(&p->srv);
	buf_fini(&p->codes);
	buf_fini(&p->arrived);
	buf_fini(&p->body);
}

static bool
went_well(const struct play *p, const char *name, size_t cut, const char *codes,
    const char *arrives)
{
	if (span_eq(buf_span(&p->codes), span_str(codes)) &&
	    span_eq(buf_span(&p->arrived), span_str(arrives)))
		return true;
	printf("%s, cut %zu:\n said %.*s\n not  %s\n got  %.*s\n not  %s\n", name, cut,
	    (int)p->codes.n, p->codes.p, codes, (int)p->arrived.n, p->arrived.p, arrives);
	return false;
}

/* Pieces of `piece` octets each, after a first one of `first`. */
static bool
play(const struct talk *t, size_t first, size_t piece)
{
	size_t n = strlen(t->says);
	struct play p;
	bool ok;

	play_init(&p, t->with);
	for (size_t at = 0; at < n;) {
		size_t k = at == 0 && first > 0 ? first : piece;

		k = k < n - at ? k : n - at;
		hear(&p, t->says + at, k);
		at += k;
	}
	ok = went_well(&p, t->name, first > 0 ? first : piece, t->codes, t->arrives);
	play_fini(&p);
	return ok;
}

/* NUL cannot stand in the table above. */
static bool
test_nul(void)
{
	static const char data[] = EMR "DATA\r\na\r\n\0.\r\nNOOP" END EMR "BDAT 3 LAST\r\na\0b"
	    "NO\0OP\r\n" Q;
	bool ok = true;

	for (size_t piece = 1; piece < sizeof(data); piece++) {
		struct play p;

		play_init(&p, 0);
		for (size_t at = 0; at < sizeof(data) - 1; at += piece)
			hear(&p, data + at, piece < sizeof(data) - 1 - at ? piece :
			    sizeof(data) - 1 - at);
		ok = went_well(&p, "NUL", piece,
		    "220 250 250 250 354 554 5.6.0 250 250 250 554 5.6.0 500 5.5.2 221 ",
		    "!!#") && ok;
		play_fini(&p);
	}
	return ok;
}

/* What is said in the clear around STARTTLS, and how the session goes on inside TLS. */
static bool
test_starttls(void)
{
	static const struct {
		const char	*name, *says, *later, *secured, *codes, *arrives;
	} cases[] = {
		{ "all is forgotten", E "STARTTLS\r\n", "", MR E "STARTTLS\r\n",
		    "220 250 220 503 5.5.1 503 5.5.1 250 502 5.5.1 ", "" },
		{ "behind it in one piece", E "STARTTLS\r\n" MR, NULL, "", "220 250 501 5.5.2 ",
		    "" },
		{ "half a line behind it", E "STARTTLS\r\nNOO", NULL, "", "220 250 501 5.5.2 ",
		    "" },
		{ "behind it a little later", E "STARTTLS\r\n", "RSET\r\nNO", "OP\r\nNOOP\r\n",
		    "220 250 220 500 5.5.2 250 ", "" },
		{ "pipelined before it", E "NOOP\r\nSTARTTLS\r\n", "", E MR "DATA\r\nx" END,
		    "220 250 250 220 250 250 250 354 250 ", "(x\r\n)" },
	};
	bool ok = true;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct play p;

		play_init(&p, TLS);
		hear(&p, cases[i].says, strlen(cases[i].says));
		if (p.starttls != (cases[i].later != NULL)) {
			printf("%s: STARTTLS %d\n", cases[i].name, p.starttls);
			ok = false;
		} else if (p.starttls) {
			hear(&p, cases[i].later, strlen(cases[i].later));
			smtp_srv_secured(p.srv);
			ok = smtp_srv_helo(p.srv).n == 0 && !smtp_srv_esmtp(p.srv) && ok;
			hear(&p, cases[i].secured, strlen(cases[i].secured));
		}
		ok = went_well(&p, cases[i].name, 0, cases[i].codes, cases[i].arrives) && ok;
		play_fini(&p);
	}
	return ok;
}

/* Ended from outside, at every octet of a conversation. */
static bool
test_shut(void)
{
	static const char says[] = EMR "DATA\r\nx\r\n.\r\n" MR
	    "BDAT 3\r\nabcBDAT 2\r\nxxRSET\r\nNOOP\r\n", said[] = "421 4.4.2 ";
	const struct smtp_reply timeout = smtp_reply(421, 4, 4, 2, "Timeout");
	bool ok = true;

	for (size_t at = 0; at < sizeof(says); at++) {
		struct play p;
		bool idle;

		play_init(&p, 0);
		hear(&p, says, at);
		idle = smtp_srv_idle(p.srv);
		buf_clear(&p.arrived);
		smtp_srv_shut(p.srv, &timeout);
		smtp_srv_shut(p.srv, &timeout);
		smtp_srv_answer(p.srv, &timeout);
		hear(&p, says, sizeof(says) - 1);
		if (p.codes.n < sizeof(said) - 1 ||
		    memcmp(p.codes.p + p.codes.n - sizeof(said) + 1, said, sizeof(said) - 1) != 0 ||
		    !span_eq(buf_span(&p.arrived), idle ? SPAN_LIT("#") : SPAN_LIT("!#"))) {
			printf("shut at %zu, idle %d: %.*s\n", at, idle, (int)p.arrived.n,
			    p.arrived.p);
			ok = false;
		}
		play_fini(&p);
	}
	return ok;
}

/* Ended while a decision is owed: the answer that comes too late changes nothing. */
static bool
test_shut_asked(void)
{
	static const char says[] = EMR "DATA\r\nx\r\n.\r\n";
	const struct smtp_reply away = smtp_reply(421, 4, 3, 2, "Away"),
	    go = smtp_reply(354, 0, 0, 0, "Go");
	const struct smtp_reply ok = smtp_reply(250, 2, 0, 0, "Fine");
	bool good = true;

	for (unsigned stop = 0; stop < 4; stop++) {	/* MAIL, RCPT, BEGIN, EOM */
		struct smtp_srv *s = smtp_srv_new(&confs[0], 0);
		unsigned asked = 0, aborts = 0;
		size_t used = 0;
		struct smtp_ev ev;

		do {
			used += smtp_srv_step(s, says + used, sizeof(says) - 1 - used, &ev);
			if (ev.type == SMTP_EV_REPLY)
				smtp_srv_out_used(s, smtp_srv_out(s).n);
			else if (ev.type == SMTP_EV_ABORT)
				aborts++;
			else if (ev.type == SMTP_EV_MAIL || ev.type == SMTP_EV_RCPT ||
			    ev.type == SMTP_EV_BEGIN || ev.type == SMTP_EV_EOM) {
				if (asked++ == stop) {
					smtp_srv_shut(s, &away);
					smtp_srv_answer(s, &ok);
					good = span_starts_nocase(smtp_srv_out(s),
					    SPAN_LIT("421 4.3.2")) && good;
				} else {
					smtp_srv_answer(s, ev.type == SMTP_EV_BEGIN ? &go : &ok);
				}
			}
		} while (ev.type != SMTP_EV_CLOSE && ev.type != SMTP_EV_NONE);
		good = ev.type == SMTP_EV_CLOSE && aborts == (stop > 0) &&
		    used == sizeof(says) - 1 && good;
		smtp_srv_free(&s);
	}
	if (!good)
		printf("shut while asked\n");
	return good;
}

/*
 * The last 421 of refused data that does not end, and that no more than
 * promised is read before it.
 */
static bool
test_endless(void)
{
	static char flood[1 << 16];
	struct play p;
	uint64_t read = 0;
	bool ok;

	memset(flood, 'x', sizeof(flood));
	play_init(&p, 0);
	hear(&p, EMR "DATA\r\n", strlen(EMR "DATA\r\n"));
	while (!p.closed && read < 4 * (uint64_t)SMTP_DISCARD_SLACK) {
		hear(&p, flood, sizeof(flood));
		read += sizeof(flood);
	}
	ok = read < SMTP_DISCARD_SLACK + 4 * sizeof(flood);
	ok = went_well(&p, "data without end", 0, "220 250 250 250 354 552 5.3.4 ", "!#") && ok;
	play_fini(&p);
	return ok;
}

/* A sender that pipelines gets one answer at a time, and costs no memory meanwhile. */
static bool
test_back_pressure(void)
{
	struct smtp_srv *s = smtp_srv_new(&confs[0], 0);
	const char *in = "NOOP\r\nNOOP\r\n" E "MAIL FROM:<>\r\nNOOP\r\n";
	size_t n = strlen(in), used;
	struct smtp_ev ev;
	bool ok = true;

	used = smtp_srv_step(s, in, n, &ev);
	ok = ev.type == SMTP_EV_REPLY && used == 0 && ok;
	ok = smtp_srv_step(s, in, n, &ev) == 0 && ev.type == SMTP_EV_REPLY && ok;
	smtp_srv_out_used(s, 3);
	ok = smtp_srv_step(s, in, n, &ev) == 0 && ev.type == SMTP_EV_REPLY && ok;
	smtp_srv_out_used(s, smtp_srv_out(s).n);
	used = smtp_srv_step(s, in, n, &ev);
	ok = ev.type == SMTP_EV_REPLY && used == 6 && ok;
	while (ev.type != SMTP_EV_MAIL) {
		if (ev.type == SMTP_EV_REPLY)
			smtp_srv_out_used(s, smtp_srv_out(s).n);
		used += smtp_srv_step(s, in + used, n - used, &ev);
	}
	ok = used == n - 6 && ok;
	ok = smtp_srv_step(s, in + used, n - used, &ev) == 0 && ev.type == SMTP_EV_NONE && ok;
	smtp_srv_free(&s);
	if (!ok)
		printf("back pressure\n");
	return ok;
}

/*
 * Line ends made good are counted over messages, taken or not, and only
 * where they are made good.
 */
static bool
test_bare_lf(void)
{
	static const char says[] = EMR "DATA\r\na\nb\rc\r\n.\r\n" MR "BDAT 3\r\na\nbRSET\r\n" MR
	    "DATA\r\n\n";
	static const unsigned counts[] = { 0, 4 };
	bool ok = true;

	for (unsigned normalize = 0; normalize < 2; normalize++) {
		struct play p;

		play_init(&p, normalize != 0 ? NORMALIZE : 0);
		hear(&p, says, sizeof(says) - 1);
		if (smtp_srv_bare_lf(p.srv) != counts[normalize]) {
			printf("bare_lf %u\n", smtp_srv_bare_lf(p.srv));
			ok = false;
		}
		play_fini(&p);
	}
	return ok;
}

/* Good content is told in one piece however many lines it has. */
static bool
test_spans(void)
{
	static const struct smtp_srv_conf conf = { "mx.test", { 512, 3, 1u << 20, 6, 20, 2 },
	    SMTP_BARE_REFUSE };
	struct smtp_srv *s = smtp_srv_new(&conf, 0);
	const struct smtp_reply yes = smtp_reply(250, 2, 0, 0, "Fine");
	struct buf in;
	size_t used = 0;
	unsigned bodies = 0;
	struct smtp_ev ev = { 0 };

	buf_init(&in, 1u << 20);
	buf_add_str(&in, EMR "DATA\r\n");
	for (int i = 0; i < 500; i++)
		buf_add_str(&in, i == 250 ? "..dot\r\n" : "a line of text like any other\r\n");
	buf_add_str(&in, ".\r\n");
	while (ev.type != SMTP_EV_EOM) {
		used += smtp_srv_step(s, in.p + used, in.n - used, &ev);
		bodies += ev.type == SMTP_EV_BODY;
		if (ev.type == SMTP_EV_REPLY)
			smtp_srv_out_used(s, smtp_srv_out(s).n);
		else if (ev.type == SMTP_EV_MAIL || ev.type == SMTP_EV_RCPT ||
		    ev.type == SMTP_EV_BEGIN)
			smtp_srv_answer(s, &yes);
	}
	buf_fini(&in);
	smtp_srv_free(&s);
	if (bodies != 2)
		printf("%u spans\n", bodies);
	return bodies == 2;
}

static void
play_all(const struct talk *t, unsigned *played, unsigned *failed)
{
	for (; t->name != NULL; t++) {
		size_t n = strlen(t->says);
		bool ok = true;

		for (size_t cut = 1; ok && cut <= n; cut++, ++*played)
			ok = play(t, 0, cut) && play(t, cut, n);
		*failed += !ok;
	}
}

int
main(void)
{
	unsigned played = 0, failed = 0;

	play_all(command_talks, &played, &failed);
	play_all(auth_talks, &played, &failed);
	play_all(xclient_talks, &played, &failed);
	play_all(data_talks, &played, &failed);
	play_all(chunk_talks, &played, &failed);
	failed += !test_nul();
	failed += !test_starttls();
	failed += !test_shut();
	failed += !test_shut_asked();
	failed += !test_endless();
	failed += !test_back_pressure();
	failed += !test_bare_lf();
	failed += !test_spans();
	printf("%u played, %u failed\n", played, failed);
	return played == 0 || failed > 0;
}
