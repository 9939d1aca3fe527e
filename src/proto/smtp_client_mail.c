#include "proto/smtp_client_in.h"

#include <assert.h>
#include <inttypes.h>

/* --- results -------------------------------------------------------------------------------- */

enum smtp_cli_result
smtp_cli_judge(const struct smtp_reply *r)
{
	return smtp_reply_positive(r) ? SMTP_CLI_DELIVERED :
	    smtp_reply_permanent(r) ? SMTP_CLI_REFUSED : SMTP_CLI_LATER;
}

static void
decide(struct smtp_cli_rcpt *r, enum smtp_cli_result result, const struct smtp_reply *reply)
{
	r->result = result;
	r->reply = *reply;
	r->decided = true;
}

void
cli_settle(struct smtp_cli *c, enum smtp_cli_result result, const struct smtp_reply *reply)
{
	const struct smtp_cli_mail *m = c->txn.mail;

	for (size_t i = 0; m != NULL && i < m->nrcpts; i++)
		if (!m->rcpts[i].decided)
			decide(&m->rcpts[i], result, reply);
}

void
cli_mail_over(struct smtp_cli *c, enum cli_state next)
{
	c->txn = (struct cli_txn){ 0 };
	c->due_content = false;
	c->due_done = true;
	if (next == CLI_RSET)
		buf_add_str(&c->out, "RSET\r\n");
	cli_become(c, next);
}

/* --- the envelope --------------------------------------------------------------------------- */

static size_t
places(const struct smtp_cli *c)
{
	return 1 + c->txn.mail->nrcpts;
}

/* The first place from here on that is to be said: not one that was decided before. */
static size_t
next_place(const struct smtp_cli *c, size_t place)
{
	while (place > 0 && place < places(c) && c->txn.mail->rcpts[place - 1].decided)
		place++;
	return place;
}

static void
give_up(struct smtp_cli *c, size_t place)
{
	static const char words[] = "the address or its parameters are too long to be said";
	struct smtp_reply reply = smtp_reply(553, 5, 1, 7, "%s", words);

	if (place == 0) {
		cli_settle(c, SMTP_CLI_REFUSED, &reply);
		cli_mail_over(c, CLI_IDLE);
	} else {
		decide(&c->txn.mail->rcpts[place - 1], SMTP_CLI_REFUSED, &reply);
	}
}

/* All answers to MAIL and RCPT are here. */
static void
envelope_over(struct smtp_cli *c)
{
	const unsigned sure = SMTP_OFFER_CHUNKING | SMTP_OFFER_ENHANCED;
	const struct smtp_cli_mail *m = c->txn.mail;
	size_t accepted = 0;

	for (size_t i = 0; i < m->nrcpts; i++)
		accepted += m->rcpts[i].accepted && !m->rcpts[i].decided;
	if (accepted == 0) {
		cli_settle(c, smtp_cli_judge(&c->txn.no_mail), &c->txn.no_mail);
		cli_mail_over(c, CLI_RSET);
		return;
	}
	/*
	 * BDAT has no 354 to part the message's answer from those before.  So it is used
	 * only where enhanced codes tell them apart, and where one answer is awaited.
	 */
	c->txn.bdat = !c->conf->lmtp && (c->ehlo.offers & sure) == sure;
	c->txn.left = m->size;
	if (!c->txn.bdat) {
		buf_add_str(&c->out, "DATA\r\n");
		cli_become(c, CLI_DATA);
		return;
	}
	buf_addf(&c->out, "BDAT %" PRIu64 " LAST\r\n", m->size);
	c->due_content = true;
	cli_become(c, CLI_CONTENT);
}

static bool
envelope_said(struct smtp_cli *c)
{
	return c->txn.no_mail.code != 0 || c->txn.said == places(c);
}

void
cli_mail_fill(struct smtp_cli *c)
{
	bool pipelining = (c->ehlo.offers & SMTP_OFFER_PIPELINING) != 0;
	struct cli_txn *t = &c->txn;

	while (c->state == CLI_ENVELOPE && !envelope_said(c)) {
		struct buf line;
		bool fits;

		t->said = next_place(c, t->said);
		t->heard = next_place(c, t->heard);
		if (t->said == places(c) || (!pipelining && t->said != t->heard))
			break;
		buf_init(&line, SMTP_CLI_LINE_MAX);
		if (!cli_envelope_line(c, t->said, &line)) {
			buf_fini(&line);
			give_up(c, t->said);
			continue;
		}
		fits = SMTP_CLI_OUT_MAX - c->out.n >= line.n;
		if (fits) {
			buf_add(&c->out, line.p, line.n);
			t->said++;
		}
		buf_fini(&line);
		if (!fits)
			break;
	}
	if (c->state != CLI_ENVELOPE)
		return;
	t->heard = next_place(c, t->heard);
	if (envelope_said(c) && t->heard == t->said)
		envelope_over(c);
}

void
cli_mail_begin(struct smtp_cli *c)
{
	static const char words[] = "the address is not ASCII, and the server does not offer "
	    "SMTPUTF8";
	const struct smtp_reply reply = smtp_reply(553, 5, 6, 7, "%s", words);
	const struct smtp_cli_mail *m = c->txn.mail;
	bool utf8 = (c->ehlo.offers & SMTP_OFFER_SMTPUTF8) != 0;
	size_t left = m->nrcpts;

	for (size_t i = 0; i < m->nrcpts && !utf8; i++)
		if (m->env->from.utf8 || m->rcpts[i].addr->utf8) {
			decide(&m->rcpts[i], SMTP_CLI_UNSENDABLE, &reply);
			left--;
		}
	if (left == 0) {
		cli_mail_over(c, CLI_IDLE);
		return;
	}
	cli_become(c, CLI_ENVELOPE);
	cli_mail_fill(c);
}

void
cli_mail_heard(struct smtp_cli *c, const struct reply_ev *ev)
{
	struct cli_txn *t = &c->txn;
	size_t place = t->heard;

	if (place == t->said) {
		cli_fail(c, NULL, "it answered more than it was asked");
		return;
	}
	t->heard = next_place(c, t->heard + 1);
	if (ev->reply.code == 421) {
		cli_fail(c, &ev->reply, "it ends the connection");
		return;
	}
	/* It is about us, not about the message (RFC 3207 4, RFC 4954 6). */
	if (ev->reply.code == 530) {
		cli_fail(c, NULL, "it wants STARTTLS or AUTH first: %u %s", ev->reply.code,
		    ev->reply.text);
		return;
	}
	/* 3xx has no place here, and is nobody's refusal. */
	if (ev->reply.code / 100 == 3) {
		cli_fail(c, NULL, "it answered MAIL or RCPT with %u", ev->reply.code);
		return;
	}
	if (place == 0 && !smtp_reply_positive(&ev->reply))
		t->no_mail = ev->reply;
	else if (place > 0 && t->no_mail.code == 0) {
		struct smtp_cli_rcpt *r = &t->mail->rcpts[place - 1];

		r->accepted = smtp_reply_positive(&ev->reply);
		if (!r->accepted)
			decide(r, smtp_cli_judge(&ev->reply), &ev->reply);
	}
	cli_mail_fill(c);
}

/* --- the message ---------------------------------------------------------------------------- */

void
cli_data_heard(struct smtp_cli *c, const struct reply_ev *ev)
{
	if (ev->reply.code == 354) {
		c->due_content = true;
		cli_become(c, CLI_CONTENT);
		return;
	}
	/* A 2xx is the answer to something else: what comes next cannot be told apart. */
	if (ev->reply.code < 400) {
		cli_fail(c, NULL, "it answered DATA with %u", ev->reply.code);
		return;
	}
	if (ev->reply.code == 421) {
		cli_fail(c, &ev->reply, "it ends the connection");
		return;
	}
	cli_settle(c, smtp_cli_judge(&ev->reply), &ev->reply);
	cli_mail_over(c, CLI_RSET);
}

size_t
smtp_cli_body(struct smtp_cli *c, const char *p, size_t n)
{
	size_t room = SMTP_CLI_OUT_MAX - c->out.n, used;

	if (c->state != CLI_CONTENT)
		return n;		/* it has ended meanwhile, as DONE says or said */
	if (!c->txn.bdat)
		used = smtp_dots_add(&c->txn.dots, p, n, &c->out);
	else {
		used = n < room ? n : room;
		used = used < c->txn.left ? used : (size_t)c->txn.left;
		buf_add(&c->out, p, used);
		c->txn.left -= used;
		/* More than was announced is dropped unsaid, and smtp_cli_end never comes. */
		if (c->txn.left == 0 && used < n && room > used)
			cli_fail(c, NULL, "the message is longer than it was");
	}
	if (c->out.failed)
		cli_fail(c, NULL, "memory is out");
	return c->state == CLI_CONTENT ? used : n;
}

bool
smtp_cli_end(struct smtp_cli *c)
{
	if (c->state != CLI_CONTENT)
		return true;
	if (c->txn.bdat && c->txn.left > 0) {
		cli_fail(c, NULL, "the message is shorter than it was");
		return true;
	}
	if (!c->txn.bdat && !smtp_dots_end(&c->txn.dots, &c->out))
		return false;
	c->txn.final = 0;
	cli_become(c, CLI_FINAL);
	return true;
}

/* Where the rest of the message would be taken for commands: nothing more can be said here. */
void
cli_early_heard(struct smtp_cli *c, const struct reply_ev *ev)
{
	if (ev->reply.code < 400) {
		cli_fail(c, NULL, "it answered with %u before the message was whole",
		    ev->reply.code);
		return;
	}
	cli_settle(c, smtp_cli_judge(&ev->reply), &ev->reply);
	cli_fail(c, &ev->reply, "it answered before the message was whole");
}

/* The recipient whose answer is next; NULL: all are decided. */
static struct smtp_cli_rcpt *
next_final(struct smtp_cli *c)
{
	const struct smtp_cli_mail *m = c->txn.mail;

	while (c->txn.final < m->nrcpts && m->rcpts[c->txn.final].decided)
		c->txn.final++;
	return c->txn.final < m->nrcpts ? &m->rcpts[c->txn.final] : NULL;
}

void
cli_final_heard(struct smtp_cli *c, const struct reply_ev *ev)
{
	const struct smtp_reply *r = &ev->reply;
	bool stray = r->enhanced[0] == 2 && r->enhanced[1] == 1 && !c->conf->lmtp;

	if (c->out.n > 0) {
		cli_early_heard(c, ev);
		return;
	}
	/* x.1.x speaks of an address: this is RCPT's answer, and the message's is yet to come. */
	if (stray || r->code / 100 == 3) {
		cli_fail(c, NULL, "it answered the end of data with %u %u.%u.%u", r->code,
		    r->enhanced[0], r->enhanced[1], r->enhanced[2]);
		return;
	}
	if (!c->conf->lmtp) {
		cli_settle(c, smtp_cli_judge(r), r);
		cli_mail_over(c, CLI_IDLE);
	} else {
		decide(next_final(c), smtp_cli_judge(r), r);
		if (next_final(c) == NULL)
			cli_mail_over(c, CLI_IDLE);
	}
	if (r->code == 421)
		cli_fail(c, NULL, "it ends the connection");
}
