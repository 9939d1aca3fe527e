#include "proto/smtp_server.h"

#include <assert.h>
#include <stdlib.h>

#include "proto/smtp_server_in.h"

#define OUT_MAX		4096		/* two replies of the longest text, with their prefixes */

struct smtp_srv *
smtp_srv_new(const struct smtp_srv_conf *conf, unsigned ext)
{
	struct smtp_srv *s = calloc(1, sizeof(*s));

	assert(conf->limits.line >= SMTP_LINE_MIN);
	if (s == NULL)
		return NULL;
	s->conf = conf;
	s->ext = ext;
	s->size = conf->limits.size;
	buf_init(&s->line, conf->limits.line);
	buf_init(&s->out, OUT_MAX);
	return s;
}

void
smtp_srv_size_most(struct smtp_srv *s, uint64_t most)
{
	if (most < s->size)
		s->size = most;
}

void
smtp_srv_message_most(struct smtp_srv *s, uint64_t most)
{
	s->txn.most = most;
}

void
smtp_srv_message_ascii(struct smtp_srv *s)
{
	s->txn.ascii_header = true;
}

uint64_t
srv_size(const struct smtp_srv *s)
{
	return s->txn.most > 0 && s->txn.most < s->size ? s->txn.most : s->size;
}

void
smtp_srv_in_tls(struct smtp_srv *s)
{
	s->secured = true;
	s->ext &= ~(unsigned)SMTP_EXT_STARTTLS;
}

void
smtp_srv_free(struct smtp_srv **sp)
{
	struct smtp_srv *s = *sp;

	if (s == NULL)
		return;
	buf_fini(&s->line);
	buf_fini(&s->out);
	srv_login_end(s);
	free(s->addr);
	free(s->helo);
	free(s->verdict);
	free(s);
	*sp = NULL;
}

/*
 * The only way out of a message, whatever ended it: accepted, refused, RSET,
 * EHLO, QUIT.  Zeroing the whole struct is what keeps a later field from outliving
 * the message it belonged to.
 */
void
srv_txn_end(struct smtp_srv *s)
{
	if (s->txn.open)
		s->waiting |= WAIT_ABORT;
	s->bare_lf += s->txn.content.normalized;
	s->txn = (struct smtp_txn){ 0 };
	if (s->phase > SMTP_P_READY && s->phase != SMTP_P_CLOSED)
		s->phase = SMTP_P_READY;
}

void
srv_hang_up(struct smtp_srv *s)
{
	srv_txn_end(s);
	s->asked = SMTP_EV_NONE;
	s->phase = SMTP_P_CLOSED;
}

void
srv_say_last(struct smtp_srv *s, const struct smtp_reply *r)
{
	srv_hang_up(s);
	smtp_reply_print(r, &s->out);
}

/* The only way a reply goes out: counts errors, and hangs up where we cannot even say it. */
void
srv_say_reply(struct smtp_srv *s, const struct smtp_reply *r)
{
	if (!smtp_reply_print(r, &s->out) || r->code == 421) {
		srv_hang_up(s);
		return;
	}
	if (smtp_reply_permanent(r) && ++s->errors >= s->conf->limits.errors) {
		struct smtp_reply enough = smtp_reply(421, 4, 7, 0, "%s Too many errors",
		    s->conf->hostname);

		srv_say_last(s, &enough);
	}
}

void
srv_say(struct smtp_srv *s, unsigned code, unsigned a, unsigned b, unsigned c, const char *text)
{
	struct smtp_reply r = smtp_reply(code, a, b, c, "%s", text);

	srv_say_reply(s, &r);
}

void
srv_out_of_memory(struct smtp_srv *s)
{
	struct smtp_reply r = smtp_reply(421, 4, 3, 0, "%s Out of memory", s->conf->hostname);

	srv_say_last(s, &r);
}

void
srv_begin_anew(struct smtp_srv *s)
{
	s->esmtp = false;
	s->phase = SMTP_P_GREETED;
	s->refused = 0;
	free(s->helo);
	s->helo = NULL;
}

void
srv_ask(struct smtp_srv *s, struct smtp_ev *ev, enum smtp_ev_type what)
{
	s->asked = what;
	ev->type = what;
}

/* What waits to be told, in the order it happened. */
static void
tell_waiting(struct smtp_srv *s, struct smtp_ev *ev)
{
	if ((s->waiting & WAIT_ABORT) != 0) {
		s->waiting &= ~(unsigned)WAIT_ABORT;
		ev->type = SMTP_EV_ABORT;
	} else if ((s->waiting & WAIT_HELO) != 0) {
		s->waiting &= ~(unsigned)WAIT_HELO;
		ev->type = SMTP_EV_HELO;
		ev->arg = smtp_srv_helo(s);
	} else if (s->out.n > 0) {
		ev->type = SMTP_EV_REPLY;
	} else if (s->phase == SMTP_P_CLOSED) {
		ev->type = SMTP_EV_CLOSE;
	} else if ((s->waiting & WAIT_STARTTLS) != 0) {
		s->waiting &= ~(unsigned)WAIT_STARTTLS;
		s->handshake = true;
		ev->type = SMTP_EV_STARTTLS;
	}
}

/* What was lent to the event before this step goes back. */
static void
take_back(struct smtp_srv *s)
{
	if (s->login != NULL && s->login_step == LOGIN_NONE)
		srv_login_end(s);
	if (s->line_whole) {
		s->line_whole = false;
		buf_wipe(&s->line);		/* it may have been a password */
		free(s->addr);
		s->addr = NULL;
	}
}

size_t
smtp_srv_step(struct smtp_srv *s, const char *in, size_t len, struct smtp_ev *ev)
{
	size_t used = 0;

	*ev = (struct smtp_ev){ 0 };
	if (s->asked != SMTP_EV_NONE)		/* a decision is still owed */
		return 0;
	take_back(s);
	if (s->handshake)
		return len;
	if (s->phase == SMTP_P_START) {
		struct smtp_reply r = smtp_reply(220, 0, 0, 0, "%s ESMTP Posthouse",
		    s->conf->hostname);

		s->phase = SMTP_P_GREETED;
		srv_say_reply(s, &r);
	}
	for (;;) {
		bool chunk_done = s->phase == SMTP_P_BDAT && s->chunk_left == 0;

		if (ev->type == SMTP_EV_NONE)
			tell_waiting(s, ev);
		if (ev->type == SMTP_EV_CLOSE || ev->type == SMTP_EV_STARTTLS)
			return len;
		if (ev->type != SMTP_EV_NONE || (used == len && !chunk_done))
			return used;
		if (chunk_done)
			srv_chunk_end(s, ev);
		else if (s->phase == SMTP_P_BDAT)
			used += srv_chunk_step(s, in + used, len - used, ev);
		else if (s->phase == SMTP_P_DATA)
			used += srv_data_step(s, in + used, len - used, ev);
		else
			used += srv_line_step(s, in + used, len - used, ev);
	}
}

void
smtp_srv_answer(struct smtp_srv *s, const struct smtp_reply *r)
{
	enum smtp_ev_type asked = s->asked;
	bool yes = r->code < 400;

	if (s->phase == SMTP_P_CLOSED)		/* it was shut while the answer was on its way */
		return;
	assert(asked != SMTP_EV_NONE && r->code != 0);
	s->asked = SMTP_EV_NONE;
	if (asked == SMTP_EV_XCLIENT) {
		if (yes)
			srv_begin_anew(s);
		srv_say_reply(s, r);
	} else if (asked == SMTP_EV_AUTH) {
		s->authed = yes;
		s->logins_refused += !yes;
		srv_say_reply(s, r);
		if (s->logins_refused >= SMTP_LOGINS_MAX && s->phase != SMTP_P_CLOSED) {
			struct smtp_reply enough = smtp_reply(421, 4, 7, 0,
			    "%s Too many wrong passwords", s->conf->hostname);

			srv_say_last(s, &enough);
		}
	} else if (asked == SMTP_EV_MAIL) {
		s->txn.open = yes;
		if (yes) {
			s->phase = SMTP_P_MAIL;
			s->refused = 0;
			s->discarded = 0;
		} else {
			srv_txn_end(s);
		}
		srv_say_reply(s, r);
	} else if (asked == SMTP_EV_RCPT) {
		if (yes) {
			s->phase = SMTP_P_RCPT;
			s->txn.rcpts++;
		}
		srv_say_reply(s, r);
	} else if (asked == SMTP_EV_BEGIN && yes) {
		s->txn.content = (struct smtp_content){
			.size_max = srv_size(s),
			.hops_max = s->conf->limits.hops,
			.dots = s->phase != SMTP_P_BDAT,
			.normalize = s->conf->bare_lf == SMTP_BARE_NORMALIZE,
			.ascii_header = s->txn.ascii_header,
		};
		if (s->phase != SMTP_P_BDAT) {
			s->phase = SMTP_P_DATA;
			srv_say_reply(s, r);
		}
	} else if (asked == SMTP_EV_BEGIN && s->phase == SMTP_P_BDAT) {
		srv_chunk_refuse(s, r);
	} else if (asked == SMTP_EV_BEGIN) {
		srv_txn_end(s);
		srv_say_reply(s, r);
	} else {
		bool odd = smtp_content_odd_end(&s->txn.content);

		s->txn.open = false;
		srv_txn_end(s);
		if (yes)
			s->errors = s->commands = 0;
		srv_say_reply(s, r);
		if (odd)
			srv_hang_up(s);
	}
}

struct span
smtp_srv_out(struct smtp_srv *s)
{
	return buf_span(&s->out);
}

void
smtp_srv_out_used(struct smtp_srv *s, size_t n)
{
	buf_drop(&s->out, n);
	if (s->out.n == 0)
		buf_fini(&s->out);		/* an idle session holds no buffer */
}

void
smtp_srv_secured(struct smtp_srv *s)
{
	/* STARTTLS was a whole line, and what came behind it was thrown away. */
	assert(s->handshake && s->line.n == 0 && !s->line_cr && !s->line_bad);
	s->handshake = false;
	s->secured = true;
	s->ext &= ~(unsigned)SMTP_EXT_STARTTLS;
	srv_begin_anew(s);
}

void
smtp_srv_shut(struct smtp_srv *s, const struct smtp_reply *r)
{
	if (s->phase != SMTP_P_CLOSED)
		srv_say_last(s, r);
}

enum smtp_phase
smtp_srv_phase(const struct smtp_srv *s)
{
	return s->phase;
}

bool
smtp_srv_idle(const struct smtp_srv *s)
{
	return s->phase <= SMTP_P_READY && s->asked == SMTP_EV_NONE && s->out.n == 0;
}

bool
smtp_srv_esmtp(const struct smtp_srv *s)
{
	return s->esmtp;
}

struct span
smtp_srv_helo(const struct smtp_srv *s)
{
	return span_str(s->helo != NULL ? s->helo : "");
}

unsigned
smtp_srv_bare_lf(const struct smtp_srv *s)
{
	return s->bare_lf + s->txn.content.normalized;
}

uint64_t
smtp_srv_declared_size(const struct smtp_srv *s)
{
	return s->txn.params.size;
}
