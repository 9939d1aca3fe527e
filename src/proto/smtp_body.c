/*
 * What stands behind DATA and BDAT: told on as the message's octets, or read to its end
 * and thrown away where it was refused, so that none of it is taken for commands.
 */
#include "proto/smtp_server_in.h"

#include <stdlib.h>
#include <string.h>

#define BDAT_DIGITS_MAX	20		/* RFC 3030 2 */

/* All our own refusals of content, by fault. */
static const struct {
	unsigned	code, a, b, c;
	const char	*text;
} fault_replies[] = {
	[SMTP_FAULT_BARE] = { 550, 5, 6, 11, "Only CRLF may end a line: a CR or LF stood alone" },
	[SMTP_FAULT_NUL]  = { 554, 5, 6, 0, "A NUL octet is no part of mail" },
	[SMTP_FAULT_HOPS] = { 554, 5, 4, 6,
	    "Too many Received lines: the message goes round in a loop" },
	/* RFC 6531 3.5 */
	[SMTP_FAULT_UTF8] = { 554, 5, 6, 9,
	    "A header beyond ASCII needs SMTPUTF8, which the recipient's server does not honour" },
	[SMTP_FAULT_SIZE] = { 552, 5, 3, 4, "Message too large" },
};

static void
verdict_set(struct smtp_srv *s, const struct smtp_reply *r)
{
	if (s->verdict == NULL && (s->verdict = malloc(sizeof(*s->verdict))) == NULL)
		srv_out_of_memory(s);
	else
		*s->verdict = *r;
}

static void
verdict_say(struct smtp_srv *s)
{
	struct smtp_reply *r = s->verdict;

	s->verdict = NULL;
	srv_say_reply(s, r);
	free(r);
}

/* How many octets of refused content we still read before we would rather hang up. */
static uint64_t
discard_room(const struct smtp_srv *s)
{
	uint64_t most = s->size;

	most = most < UINT64_MAX - SMTP_DISCARD_SLACK ? most + SMTP_DISCARD_SLACK : UINT64_MAX;
	return s->discarded < most ? most - s->discarded : 0;
}

/*
 * What is left of the chunk will be thrown away and then r said (RFC 3030 2: the
 * octets are read before the refusal).  More than anyone would read: say it now
 * and hang up, as what follows cannot be told from commands.
 */
static void
chunk_drop(struct smtp_srv *s, enum smtp_phase then, const struct smtp_reply *r)
{
	if (s->chunk_left > discard_room(s)) {
		srv_say_reply(s, r);
		srv_hang_up(s);
		return;
	}
	verdict_set(s, r);
	if (s->phase == SMTP_P_CLOSED)
		return;
	s->discarded += s->chunk_left;
	s->chunk_drop = true;
	s->chunk_then = then;
	s->phase = SMTP_P_BDAT;
}

void
srv_chunk_refuse(struct smtp_srv *s, const struct smtp_reply *r)
{
	srv_txn_end(s);
	s->refused = r->code;
	chunk_drop(s, SMTP_P_READY, r);
}

static struct smtp_reply
fault_reply(enum smtp_fault f)
{
	return smtp_reply(fault_replies[f].code, fault_replies[f].a, fault_replies[f].b,
	    fault_replies[f].c, "%s", fault_replies[f].text);
}

static bool
bdat_parse(struct span arg, uint64_t *size, bool *last, bool *size_known)
{
	const char *sp = arg.n > 0 ? memchr(arg.p, ' ', arg.n) : NULL;
	struct span digits = span_of(arg.p, sp != NULL ? (size_t)(sp - arg.p) : arg.n);
	unsigned long long n;

	*size_known = digits.n <= BDAT_DIGITS_MAX && span_u64(digits, UINT64_MAX, &n);
	if (!*size_known)
		return false;
	*size = n;
	arg = span_from(arg, digits.n);
	while (arg.n > 0 && arg.p[0] == ' ')
		arg = span_from(arg, 1);
	*last = span_eq_nocase(arg, SPAN_LIT("LAST"));
	return *last || arg.n == 0;
}

/*
 * Whatever is wrong with it, the octets that it announces are no commands.  Where
 * their number cannot be read there is no way to know which they are.
 */
void
srv_on_bdat(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	struct smtp_reply no = { 0 };
	bool size_known, good = bdat_parse(arg, &s->chunk_left, &s->chunk_last, &size_known);

	if (!size_known) {
		srv_say(s, 501, 5, 5, 4,
		    "Say BDAT size [LAST]; closing, as who knows what follows");
		srv_hang_up(s);
	} else if (!good) {
		no = smtp_reply(501, 5, 5, 4, "Say BDAT size [LAST]");
		chunk_drop(s, s->phase, &no);
	} else if (s->phase == SMTP_P_READY && s->refused != 0) {
		unsigned class = s->refused / 100;

		no = smtp_reply(class == 4 ? s->refused : 503, class, 5, 1,
		    "This message was refused at an earlier chunk");
		chunk_drop(s, s->phase, &no);
	} else if (s->phase != SMTP_P_RCPT && s->phase != SMTP_P_BDAT_MORE) {
		no = smtp_reply(503, 5, 5, 1, "MAIL and RCPT first");
		chunk_drop(s, s->phase, &no);
	} else if (s->chunk_left > srv_size(s) - s->txn.content.size) {
		no = fault_reply(SMTP_FAULT_SIZE);
		srv_chunk_refuse(s, &no);
	} else {
		if (s->phase == SMTP_P_RCPT)
			srv_ask(s, ev, SMTP_EV_BEGIN);
		s->phase = SMTP_P_BDAT;
	}
}

/* The message has come to its end, refused long before: say why. */
static void
data_refused(struct smtp_srv *s)
{
	bool odd = smtp_content_odd_end(&s->txn.content);

	srv_txn_end(s);
	verdict_say(s);
	if (odd)
		srv_hang_up(s);
}

size_t
srv_data_step(struct smtp_srv *s, const char *in, size_t len, struct smtp_ev *ev)
{
	struct smtp_content *c = &s->txn.content;
	enum smtp_content_ev what;
	size_t used;

	if (c->fault != SMTP_FAULT_NONE) {
		uint64_t room = discard_room(s);

		if (room == 0) {
			data_refused(s);
			srv_hang_up(s);
			return 0;
		}
		len = len < room ? len : (size_t)room;
	}
	used = smtp_content_step(c, in, len, &what, &ev->arg);
	if (c->fault != SMTP_FAULT_NONE && what != SMTP_CONTENT_FAULT)
		s->discarded += used;
	switch (what) {
	case SMTP_CONTENT_MORE:
		break;
	case SMTP_CONTENT_BODY:
		ev->type = SMTP_EV_BODY;
		break;
	case SMTP_CONTENT_FAULT: {
		struct smtp_reply r = fault_reply(c->fault);

		/* The caller need not hold what will be refused; we read on to the true end. */
		s->waiting |= WAIT_ABORT;
		s->txn.open = false;
		verdict_set(s, &r);
		break;
	}
	case SMTP_CONTENT_END:
		if (c->fault != SMTP_FAULT_NONE)
			data_refused(s);
		else
			srv_ask(s, ev, SMTP_EV_EOM);
		break;
	}
	return used;
}

static void
content_told(struct smtp_srv *s, enum smtp_content_ev what, struct smtp_ev *ev)
{
	if (what == SMTP_CONTENT_BODY) {
		ev->type = SMTP_EV_BODY;
	} else if (what == SMTP_CONTENT_FAULT) {
		struct smtp_reply r = fault_reply(s->txn.content.fault);

		srv_chunk_refuse(s, &r);
	}
}

void
srv_chunk_end(struct smtp_srv *s, struct smtp_ev *ev)
{
	enum smtp_content_ev what;

	if (s->chunk_drop) {
		s->chunk_drop = false;
		s->phase = s->chunk_then;
		verdict_say(s);
	} else if (s->chunk_last) {
		smtp_content_last(&s->txn.content, &what, &ev->arg);
		content_told(s, what, ev);
		if (what == SMTP_CONTENT_END)
			srv_ask(s, ev, SMTP_EV_EOM);
	} else {
		struct smtp_reply r = smtp_reply(250, 2, 0, 0, "%llu octets so far",
		    (unsigned long long)s->txn.content.size);

		s->phase = SMTP_P_BDAT_MORE;
		srv_say_reply(s, &r);
	}
}

size_t
srv_chunk_step(struct smtp_srv *s, const char *in, size_t len, struct smtp_ev *ev)
{
	enum smtp_content_ev what;
	size_t used = len;

	if (len > s->chunk_left)
		used = len = (size_t)s->chunk_left;
	if (s->chunk_drop) {
		s->chunk_left -= used;
		return used;
	}
	used = smtp_content_step(&s->txn.content, in, len, &what, &ev->arg);
	s->chunk_left -= used;
	content_told(s, what, ev);
	return used;
}
