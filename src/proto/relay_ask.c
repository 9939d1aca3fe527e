#include "proto/relay_in.h"

#include "base/codec.h"

/* What is said on a connection, from reply to question. */

#define HOPS		120	/* Received lines; RFC 5321 6.3 lets a server stop at 100 */

/* Fewer than this many RCPT, so that the control recipient can be asked once more. */
#define RCPTS_BEFORE_LAST (RELAY_RCPTS_MAX - 1)

/* Whether this visit asks for recipients: the others only see whether they are served. */
static bool
asks(const struct relay_probe *p)
{
	return p->phase == PH_STRANGER || p->phase == PH_STRANGER6 || p->phase == PH_UNTRUSTED ||
	    p->phase == PH_HELO || relay_other_way(p->phase);
}

/*
 * Whether STARTTLS is said.  To a stranger whatever EHLO says, once it was offered: who
 * offers it now and then serves now and then in TLS, and refusing it proves nothing.
 */
static bool
secures(const struct relay_probe *p)
{
	if (relay_other_way(p->phase))
		return !p->secured;
	return p->secures && (p->phase == PH_STRANGER || p->phase == PH_STRANGER6 ||
	    p->phase == PH_HELO ||
	    (p->t.starttls && (p->phase == PH_UNTRUSTED || p->phase == PH_BARE_LF)));
}

static void
say(struct relay_probe *p, enum relay_step step, const char *verb)
{
	p->t.step = step;
	buf_clear(&p->asked);
	buf_add_str(&p->asked, verb);
}

static void
say_ehlo(struct relay_probe *p)
{
	const char *const ours[] = { p->names.own, "localhost", p->host };

	say(p, ST_EHLO, "EHLO ");
	buf_add_str(&p->asked, p->phase == PH_HELO ? ours[p->helo - 1] : p->names.helo);
}

/* The path of a form or sender, between < and >. */
static void
say_path(struct relay_probe *p, enum relay_step step, const char *verb, enum relay_sender sender,
    const struct relay_form *form)
{
	say(p, step, verb);
	buf_add_str(&p->asked, ":<");
	if (form != NULL)
		(void)relay_form_rcpt(form, &p->names, &p->asked);
	else
		(void)relay_form_sender(sender, &p->names, &p->asked);
	buf_add_str(&p->asked, ">");
}

static void
say_mail(struct relay_probe *p, enum relay_sender sender)
{
	p->t.sender = sender;
	p->t.sender_refused = false;
	say_path(p, ST_MAIL, "MAIL FROM", sender, NULL);
}

static void
say_control(struct relay_probe *p, enum relay_step step)
{
	size_t i = p->control >= 0 ? (size_t)p->control : p->t.control_at;

	p->names.control = p->s.controls[i];
	p->t.rcpts++;
	say(p, step, "RCPT TO:<");
	buf_add_str(&p->asked, p->names.control);
	buf_add_str(&p->asked, ">");
}

/* A local part that nobody has: if the server takes it, the forms behind it prove nothing. */
static void
say_unknown(struct relay_probe *p)
{
	char hex[2 * sizeof(p->s.nonce) + 1];

	hex_encode(p->s.nonce, sizeof(p->s.nonce), hex);
	p->t.unknown_asked = true;
	p->t.rcpts++;
	say(p, ST_UNKNOWN, "RCPT TO:<");
	buf_addf(&p->asked, "posthouse-%s@%s>", hex, p->names.own);
}

/*
 * Its end is a bare LF in each way that has smuggled mail; a true end never comes.
 * What stands in front is a loop to whoever takes one of them for an end.
 */
static void
say_message(struct relay_probe *p)
{
	say(p, ST_BARE_LF, "a message that ends in bare LF");
	for (int i = 0; i < HOPS; i++)
		buf_add_str(&p->says, "Received: by posthouse-interlock\r\n");
	buf_addf(&p->says,
	    "From: <posthouse-interlock@%s>\r\nTo: <%s>\r\nSubject: posthouse interlock\r\n\r\n"
	    "A test of line ends by your own posthouse, refused as a loop if it was believed.\r\n"
	    "That you can read it means: this server takes a bare LF for the end of a message,\r\n"
	    "and does not count Received lines.  See posthouse-home(8).\n"
	    ".\n" "\r\n.\n" "\n.\r\n", p->names.helo, p->names.control);
}

/* Whether a form is one of this visit's. */
static bool
is_asked(const struct relay_probe *p, const struct relay_form *f)
{
	if (p->phase == PH_UNTRUSTED || p->phase == PH_UNTRUSTED_OTHER)
		return p->t.both ? f->both_ways : f->everywhere;
	if (p->phase == PH_HELO)
		return f->both_ways;
	return p->phase == PH_STRANGER || f->everywhere;
}

static const struct relay_form *
next_form(struct relay_probe *p)
{
	size_t *at = p->phase == PH_STRANGER ? &p->form : &p->t.form;

	while (*at < relay_nforms && !is_asked(p, &relay_forms[*at]))
		(*at)++;
	return *at < relay_nforms ? &relay_forms[*at] : NULL;
}

static void
form_done(struct relay_probe *p)
{
	(*(p->phase == PH_STRANGER ? &p->form : &p->t.form))++;
}

/* How many RCPT the next form takes in this transaction or in one of its own. */
static size_t
form_cost(const struct relay_probe *p, const struct relay_form *f)
{
	bool unknown = f->ours && !p->t.unknown_asked;

	return 1 + (f->sender != p->t.sender) + unknown;
}

/* The last word with a stranger's sender: the control recipient is still welcome. */
static void
say_last(struct relay_probe *p)
{
	if (!p->t.control_ok || p->t.last) {
		p->t.last = true;
		say(p, ST_QUIT, "QUIT");
		return;
	}
	if (p->t.sender == RELAY_STRANGER) {
		p->t.last = true;
		say_control(p, ST_AGAIN);
		return;
	}
	p->t.ending = true;
	say(p, ST_RSET, "RSET");
}

/* What is asked next in a session whose control recipient was asked for. */
static void
say_next(struct relay_probe *p)
{
	const struct relay_form *f = p->t.ending ? NULL : next_form(p);

	if (f == NULL || p->t.rcpts + form_cost(p, f) > RCPTS_BEFORE_LAST ||
	    (f->odd && p->t.odd == RELAY_ODD_MAX)) {
		say_last(p);
		return;
	}
	if (f->sender != p->t.sender) {
		say(p, ST_RSET, "RSET");
		return;
	}
	if (f->ours && !p->t.unknown_asked) {
		say_unknown(p);
		return;
	}
	p->t.rcpts++;
	p->t.odd += f->odd;
	p->t.asking = f;
	say_path(p, ST_FOREIGN, "RCPT TO", 0, f);
}

/* --- from reply to question ------------------------------------------------------------------ */

static void
after_ehlo(struct relay_probe *p)
{
	struct relay_talk *t = &p->t;

	if (!t->served)
		say(p, ST_QUIT, "QUIT");
	else if (!t->tls && !t->tls_asked && secures(p)) {
		t->tls_asked = true;
		say(p, ST_STARTTLS, "STARTTLS");
	} else if (p->phase == PH_BARE_LF)
		say_mail(p, RELAY_NULL);
	else if (asks(p) && p->s.ncontrols > 0 && p->s.nown > 0)
		say_mail(p, RELAY_STRANGER);
	else
		say(p, ST_QUIT, "QUIT");
}

static void
after_mail(struct relay_probe *p)
{
	struct relay_talk *t = &p->t;
	const struct relay_form *f;

	if (t->wants_tls)
		say(p, ST_QUIT, "QUIT");	/* and come back to do as it says */
	else if (t->mail_ok)
		say_control(p, ST_CONTROL);
	else if (t->sender == RELAY_STRANGER && t->locked && !t->ending) {
		/* Who says that he is ours may be let in without a password. */
		while ((f = next_form(p)) != NULL && f->sender == RELAY_STRANGER)
			form_done(p);
		t->sender = RELAY_SENDERS;
		say_next(p);
	} else if (t->sender == RELAY_STRANGER || p->phase == PH_BARE_LF) {
		p->stuck = true;	/* nothing can be asked of it */
		say(p, ST_QUIT, "QUIT");
	} else {
		/* This sender is refused whatever the recipient: the form is answered by that. */
		form_done(p);
		t->sender = RELAY_SENDERS;
		say_next(p);
	}
}

static void
after_control(struct relay_probe *p)
{
	struct relay_talk *t = &p->t;

	if (p->phase == PH_BARE_LF) {
		if (t->control_ok)
			say(p, ST_DATA, "DATA");
		else
			say(p, ST_QUIT, "QUIT");
		return;
	}
	if (t->wants_tls) {
		say(p, ST_QUIT, "QUIT");
		return;
	}
	if (t->sender == RELAY_STRANGER && !t->control_ok && p->control < 0 &&
	    t->control_at + 1 < p->s.ncontrols) {
		t->control_at++;
		say_control(p, ST_CONTROL);
		return;
	}
	say_next(p);
}

static void
after_rset(struct relay_probe *p)
{
	const struct relay_form *f = p->t.ending ? NULL : next_form(p);

	say_mail(p, f != NULL ? f->sender : RELAY_STRANGER);
}

static void
after_again_mail(struct relay_probe *p)
{
	p->t.last = true;
	say_control(p, ST_AGAIN);
}

static void
go_on(struct relay_probe *p)
{
	struct relay_talk *t = &p->t;

	switch (t->step) {
	case ST_GREETING:
		if (t->greeted)
			say_ehlo(p);
		else
			t->step = ST_OVER;
		break;
	case ST_EHLO:
		after_ehlo(p);
		break;
	case ST_STARTTLS:
		if (t->tls_agreed)
			t->step = ST_TLS;
		else
			say(p, ST_QUIT, "QUIT");
		break;
	case ST_MAIL:
		if (t->ending && t->mail_ok)
			after_again_mail(p);
		else
			after_mail(p);
		break;
	case ST_CONTROL:
		after_control(p);
		break;
	case ST_FOREIGN:
		form_done(p);
		say_next(p);
		break;
	case ST_UNKNOWN:
		say_next(p);
		break;
	case ST_RSET:
		after_rset(p);
		break;
	case ST_AGAIN:
		say(p, ST_QUIT, "QUIT");
		break;
	case ST_DATA:
		if (t->data_ok)
			say_message(p);
		else
			say(p, ST_QUIT, "QUIT");
		break;
	case ST_TLS:
	case ST_BARE_LF:
	case ST_QUIT:
	case ST_OVER:
		t->step = ST_OVER;
		break;
	}
}

/* Puts what is asked on its way; the message stands there already. */
static void
send_asked(struct relay_probe *p)
{
	if (p->t.step == ST_OVER || p->t.step == ST_TLS || p->t.step == ST_BARE_LF)
		return;
	buf_add_span(&p->says, buf_span(&p->asked));
	buf_add_str(&p->says, "\r\n");
}

void
relay_ask_ehlo(struct relay_probe *p)
{
	say_ehlo(p);
	send_asked(p);
}

void
relay_ask(struct relay_probe *p)
{
	go_on(p);
	send_asked(p);
}
