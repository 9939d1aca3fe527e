#include "proto/smtp_server.h"

#include <assert.h>
#include <stdlib.h>

#include "proto/smtp_content.h"
#include "proto/smtp_params.h"

#define OUT_MAX		4096		/* two replies of the longest text, with their prefixes */
#define HELO_MAX	255		/* RFC 5321 4.5.3.1.2 */
#define BDAT_DIGITS_MAX	20		/* RFC 3030 2 */

enum waiting {				/* told before anything more is read */
	WAIT_ABORT    = 1 << 0,
	WAIT_HELO     = 1 << 1,
	WAIT_STARTTLS = 1 << 2,
};

/* What belongs to one message.  It ends in txn_end and nowhere else. */
struct smtp_txn {
	bool		open;		/* the caller holds something for it */
	struct smtp_params params;
	unsigned	rcpts;
	struct smtp_content content;
};

struct smtp_srv {
	const struct smtp_srv_conf *conf;
	unsigned	 ext;
	enum smtp_phase	 phase;
	enum smtp_ev_type asked;	/* the decision that is owed */
	unsigned	 waiting;
	unsigned	 errors;
	unsigned	 commands;
	unsigned	 bare_lf;

	bool		 esmtp;
	bool		 secured;
	bool		 handshake;	/* STARTTLS was told: whatever comes is not for us */

	/* The line being read.  `line` holds bytes only where the input ended in it. */
	bool		 line_cr;	/* a CR came: LF must follow */
	bool		 line_bad;	/* answered already; the rest up to CRLF is thrown away */
	bool		 line_whole;	/* used by the command just told; freed at the next step */
	bool		 behind;	/* more input stood behind it */
	bool		 drop_behind;
	struct buf	 line;
	struct address	*addr;		/* of the MAIL or RCPT just told; freed at the next step */
	char		*helo;
	struct buf	 out;

	/* The chunk being read (BDAT). */
	bool		 chunk_last;
	bool		 chunk_drop;	/* its octets are thrown away, then `verdict` is said */
	enum smtp_phase	 chunk_then;	/* the phase after a dropped chunk */
	uint64_t	 chunk_left;

	struct smtp_txn	 txn;
	uint64_t	 discarded;	/* octets of refused content since the last MAIL */
	struct smtp_reply *verdict;	/* on content: said when its end has come */
	unsigned	 refused;	/* a chunk, with this code: those behind it get its class */
};

/* All our own refusals of content, by fault. */
static const struct {
	unsigned	code, a, b, c;
	const char	*text;
} fault_replies[] = {
	[SMTP_FAULT_BARE] = { 550, 5, 6, 11, "Only CRLF may end a line: a CR or LF stood alone" },
	[SMTP_FAULT_NUL]  = { 554, 5, 6, 0, "A NUL octet is no part of mail" },
	[SMTP_FAULT_HOPS] = { 554, 5, 4, 6,
	    "Too many Received lines: the message goes round in a loop" },
	[SMTP_FAULT_SIZE] = { 552, 5, 3, 4, "Message too large" },
};

struct smtp_srv *
smtp_srv_new(const struct smtp_srv_conf *conf, unsigned ext)
{
	struct smtp_srv *s = calloc(1, sizeof(*s));

	assert(conf->limits.line >= SMTP_LINE_MIN);
	if (s == NULL)
		return NULL;
	s->conf = conf;
	s->ext = ext;
	buf_init(&s->line, conf->limits.line);
	buf_init(&s->out, OUT_MAX);
	return s;
}

void
smtp_srv_free(struct smtp_srv **sp)
{
	struct smtp_srv *s = *sp;

	if (s == NULL)
		return;
	buf_fini(&s->line);
	buf_fini(&s->out);
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
static void
txn_end(struct smtp_srv *s)
{
	if (s->txn.open)
		s->waiting |= WAIT_ABORT;
	s->bare_lf += s->txn.content.normalized;
	s->txn = (struct smtp_txn){ 0 };
	if (s->phase > SMTP_P_READY && s->phase != SMTP_P_CLOSED)
		s->phase = SMTP_P_READY;
}

static void
hang_up(struct smtp_srv *s)
{
	txn_end(s);
	s->asked = SMTP_EV_NONE;
	s->phase = SMTP_P_CLOSED;
}

static void
say_last(struct smtp_srv *s, const struct smtp_reply *r)
{
	hang_up(s);
	smtp_reply_print(r, &s->out);
}

/* The only way a reply goes out: counts errors, and hangs up where we cannot even say it. */
static void
say_reply(struct smtp_srv *s, const struct smtp_reply *r)
{
	if (!smtp_reply_print(r, &s->out) || r->code == 421) {
		hang_up(s);
		return;
	}
	if (smtp_reply_permanent(r) && ++s->errors >= s->conf->limits.errors) {
		struct smtp_reply enough = smtp_reply(421, 4, 7, 0, "%s Too many errors",
		    s->conf->hostname);

		say_last(s, &enough);
	}
}

static void
say(struct smtp_srv *s, unsigned code, unsigned a, unsigned b, unsigned c, const char *text)
{
	struct smtp_reply r = smtp_reply(code, a, b, c, "%s", text);

	say_reply(s, &r);
}

static void
out_of_memory(struct smtp_srv *s)
{
	struct smtp_reply r = smtp_reply(421, 4, 3, 0, "%s Out of memory", s->conf->hostname);

	say_last(s, &r);
}

static void
verdict_set(struct smtp_srv *s, const struct smtp_reply *r)
{
	if (s->verdict == NULL && (s->verdict = malloc(sizeof(*s->verdict))) == NULL)
		out_of_memory(s);
	else
		*s->verdict = *r;
}

static void
verdict_say(struct smtp_srv *s)
{
	struct smtp_reply *r = s->verdict;

	s->verdict = NULL;
	say_reply(s, r);
	free(r);
}

/* How many octets of refused content we still read before we would rather hang up. */
static uint64_t
discard_room(const struct smtp_srv *s)
{
	uint64_t most = s->conf->limits.size;

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
		say_reply(s, r);
		hang_up(s);
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

/* The message in this chunk is refused, and with it the transaction. */
static void
chunk_refuse(struct smtp_srv *s, const struct smtp_reply *r)
{
	txn_end(s);
	s->refused = r->code;
	chunk_drop(s, SMTP_P_READY, r);
}

static struct smtp_reply
fault_reply(enum smtp_fault f)
{
	return smtp_reply(fault_replies[f].code, fault_replies[f].a, fault_replies[f].b,
	    fault_replies[f].c, "%s", fault_replies[f].text);
}

static void
ask(struct smtp_srv *s, struct smtp_ev *ev, enum smtp_ev_type what)
{
	s->asked = what;
	ev->type = what;
}

/*
 * Commands.  arg is what stands behind the verb, without the spaces around it.
 */

static void
on_hello(struct smtp_srv *s, struct span arg)
{
	if (arg.n == 0 || arg.n > HELO_MAX) {
		say(s, 501, 5, 5, 4, "Say your name: EHLO host.example");
		return;
	}
	for (size_t i = 0; i < arg.n; i++) {
		if (arg.p[i] <= ' ' || arg.p[i] > '~') {
			say(s, 501, 5, 5, 4, "That is no domain name or address literal");
			return;
		}
	}
	txn_end(s);
	s->refused = 0;
	free(s->helo);
	if ((s->helo = malloc(arg.n + 1)) == NULL) {
		out_of_memory(s);
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
		say(s, 250, 0, 0, 0, s->conf->hostname);
	}
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
	    "%s\nPIPELINING\nSIZE %llu\n8BITMIME\nCHUNKING%s%s%s\nENHANCEDSTATUSCODES",
	    s->conf->hostname, (unsigned long long)s->conf->limits.size,
	    (s->ext & SMTP_EXT_STARTTLS) != 0 ? "\nSTARTTLS" : "",
	    (s->ext & SMTP_EXT_SMTPUTF8) != 0 ? "\nSMTPUTF8" : "",
	    (s->ext & SMTP_EXT_DSN) != 0 ? "\nDSN" : "");
	say_reply(s, &r);
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
		say(s, 501, 5, 5, 4, mail ? "Say MAIL FROM:<address>" : "Say RCPT TO:<address>");
		return;
	}
	for (arg = span_from(arg, word.n); arg.n > 0 && arg.p[0] == ' ';)
		arg = span_from(arg, 1);
	if (s->addr == NULL && (s->addr = malloc(sizeof(*s->addr))) == NULL) {
		out_of_memory(s);
		return;
	}
	n = address_parse_path(arg, mail ? ADDRESS_REVERSE : ADDRESS_FORWARD, true, s->addr);
	if (n == 0 || (n < arg.n && arg.p[n] != ' ')) {
		if (mail)
			say(s, 501, 5, 1, 7, "That is no sender address");
		else
			say(s, 501, 5, 1, 3, "That is no recipient address");
		return;
	}
	ev->path = span_of(arg.p, n);
	for (arg = span_from(arg, n); arg.n > 0 && arg.p[0] == ' ';)
		arg = span_from(arg, 1);
	if (!smtp_params_check(arg, of, s->ext, s->conf->limits.size, &params, &why)) {
		say_reply(s, &why);
		return;
	}
	for (size_t i = 0; i < ev->path.n; i++)
		ascii = ascii && (unsigned char)ev->path.p[i] < 0x80;
	if (!ascii && !params.utf8) {
		say(s, 553, 5, 6, 7, "An address with other than ASCII needs SMTPUTF8");
		return;
	}
	if (!mail && s->txn.rcpts >= s->conf->limits.recipients) {
		say(s, 452, 4, 5, 3, "Too many recipients: send the rest in another transaction");
		return;
	}
	s->txn.params = params;
	ev->arg = arg;
	ev->addr = s->addr;
	ask(s, ev, mail ? SMTP_EV_MAIL : SMTP_EV_RCPT);
}

static void
on_mail(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
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
		say(s, 501, 5, 5, 4, "This command stands alone");
	return arg.n == 0;
}

static void
on_data(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	if (no_arg(s, arg))
		ask(s, ev, SMTP_EV_BEGIN);
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
static void
on_bdat(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	struct smtp_reply no = { 0 };
	bool size_known, good = bdat_parse(arg, &s->chunk_left, &s->chunk_last, &size_known);

	if (!size_known) {
		say(s, 501, 5, 5, 4, "Say BDAT size [LAST]; closing, as who knows what follows");
		hang_up(s);
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
	} else if (s->chunk_left > s->conf->limits.size - s->txn.content.size) {
		no = fault_reply(SMTP_FAULT_SIZE);
		chunk_refuse(s, &no);
	} else {
		if (s->phase == SMTP_P_RCPT)
			ask(s, ev, SMTP_EV_BEGIN);
		s->phase = SMTP_P_BDAT;
	}
}

static void
on_rset(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	if (!no_arg(s, arg))
		return;
	txn_end(s);
	s->refused = 0;
	say(s, 250, 2, 0, 0, "Forgotten");
}

static void
on_noop(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	say(s, 250, 2, 0, 0, "Still here");
}

static void
on_vrfy(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	if (arg.n == 0)
		say(s, 501, 5, 5, 4, "Say VRFY address");
	else
		say(s, 252, 2, 5, 2, "Not telling; send the message and see");
}

static void
on_help(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	say(s, 214, 2, 0, 0, "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT STARTTLS");
}

static void
on_quit(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	say(s, 221, 2, 0, 0, "Goodbye");
	hang_up(s);
}

static void
on_starttls(struct smtp_srv *s, struct span arg, struct smtp_ev *ev)
{
	if (!no_arg(s, arg))
		return;
	if ((s->ext & SMTP_EXT_STARTTLS) == 0) {
		say(s, 502, 5, 5, 1, s->secured ? "TLS is on already" : "TLS is not offered");
	} else if (s->behind) {
		/*
		 * Who waits for the handshake sends nothing more in the clear.  Somebody
		 * between us may have added it, or be about to lose it: say so.
		 */
		s->drop_behind = true;
		say(s, 501, 5, 5, 2, "Nothing may follow STARTTLS before the handshake");
	} else {
		say(s, 220, 2, 0, 0, "Go ahead with TLS");
		s->waiting |= WAIT_STARTTLS;
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
	{ "BDAT", ANY, on_bdat, 0, NULL },
	{ "EHLO", ANY, on_ehlo, 0, NULL },
	{ "HELO", ANY, on_helo, 0, NULL },
	{ "RSET", ANY, on_rset, 0, NULL },
	{ "NOOP", ANY, on_noop, 0, NULL },
	{ "QUIT", ANY, on_quit, 0, NULL },
	{ "STARTTLS", IN(SMTP_P_READY), on_starttls, 503, "After EHLO, outside of a transaction" },
	{ "VRFY", ANY, on_vrfy, 0, NULL },
	{ "HELP", ANY, on_help, 0, NULL },
	{ "AUTH", NEVER, NULL, 502, "No login here: this server only receives" },
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

		say_last(s, &r);
		return;
	}
	for (size_t i = 0; i < line.n; i++) {
		unsigned char c = (unsigned char)line.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f) {
			say(s, 500, 5, 5, 2, "A control character in a command");
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
			say(s, v->code, 5, 5, 1, v->otherwise);
		else
			v->act(s, trim(span_from(line, word.n)), ev);
		return;
	}
	say(s, 500, 5, 5, 2, "No such command");
}

/*
 * Lines.  Only CRLF ends one.  What is wrong is answered where it is seen; the
 * rest up to the next CRLF belongs to the same line, and is thrown away.
 */
static size_t
line_step(struct smtp_srv *s, const char *in, size_t len, struct smtp_ev *ev)
{
	const size_t most = s->conf->limits.line - 2;	/* without its CRLF */
	const char *bad = NULL;
	struct span line;
	size_t i = 0, keep;

	for (; i < len && bad == NULL; i++) {
		char c = in[i];

		if (s->line_cr && c == '\n')
			break;
		if (s->line_cr || c == '\n')
			bad = "Only CRLF may end a line: a CR or LF stood alone";
		s->line_cr = c == '\r';
		if (s->line_bad)
			bad = NULL;
		else if (bad == NULL && !s->line_cr && s->line.n + i >= most)
			bad = "Line too long";
	}
	if (bad != NULL) {
		s->line_bad = true;
		buf_fini(&s->line);
		s->commands++;
		say(s, 500, 5, 5, 2, bad);
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
			out_of_memory(s);
		return len;
	}
	line = span_of(in, keep);
	if (s->line.n > 0) {
		if (!buf_add(&s->line, in, keep)) {
			out_of_memory(s);
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

/*
 * Content.
 */

/* The message has come to its end, refused long before: say why. */
static void
data_refused(struct smtp_srv *s)
{
	bool odd = smtp_content_odd_end(&s->txn.content);

	txn_end(s);
	verdict_say(s);
	if (odd)
		hang_up(s);
}

static size_t
data_step(struct smtp_srv *s, const char *in, size_t len, struct smtp_ev *ev)
{
	struct smtp_content *c = &s->txn.content;
	enum smtp_content_ev what;
	size_t used;

	if (c->fault != SMTP_FAULT_NONE) {
		uint64_t room = discard_room(s);

		if (room == 0) {
			data_refused(s);
			hang_up(s);
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
			ask(s, ev, SMTP_EV_EOM);
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

		chunk_refuse(s, &r);
	}
}

/* All octets of the chunk are read. */
static void
chunk_end(struct smtp_srv *s, struct smtp_ev *ev)
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
			ask(s, ev, SMTP_EV_EOM);
	} else {
		struct smtp_reply r = smtp_reply(250, 2, 0, 0, "%llu octets so far",
		    (unsigned long long)s->txn.content.size);

		s->phase = SMTP_P_BDAT_MORE;
		say_reply(s, &r);
	}
}

static size_t
chunk_step(struct smtp_srv *s, const char *in, size_t len, struct smtp_ev *ev)
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

/*
 * Steps.
 */

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
	if (s->line_whole) {
		s->line_whole = false;
		buf_fini(&s->line);
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
		say_reply(s, &r);
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
			chunk_end(s, ev);
		else if (s->phase == SMTP_P_BDAT)
			used += chunk_step(s, in + used, len - used, ev);
		else if (s->phase == SMTP_P_DATA)
			used += data_step(s, in + used, len - used, ev);
		else
			used += line_step(s, in + used, len - used, ev);
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
	if (asked == SMTP_EV_MAIL) {
		s->txn.open = yes;
		if (yes) {
			s->phase = SMTP_P_MAIL;
			s->refused = 0;
			s->discarded = 0;
		} else {
			txn_end(s);
		}
		say_reply(s, r);
	} else if (asked == SMTP_EV_RCPT) {
		if (yes) {
			s->phase = SMTP_P_RCPT;
			s->txn.rcpts++;
		}
		say_reply(s, r);
	} else if (asked == SMTP_EV_BEGIN && yes) {
		s->txn.content = (struct smtp_content){
			.size_max = s->conf->limits.size,
			.hops_max = s->conf->limits.hops,
			.dots = s->phase != SMTP_P_BDAT,
			.normalize = s->conf->bare_lf == SMTP_BARE_NORMALIZE,
		};
		if (s->phase != SMTP_P_BDAT) {
			s->phase = SMTP_P_DATA;
			say_reply(s, r);
		}
	} else if (asked == SMTP_EV_BEGIN && s->phase == SMTP_P_BDAT) {
		chunk_refuse(s, r);
	} else if (asked == SMTP_EV_BEGIN) {
		txn_end(s);
		say_reply(s, r);
	} else {
		bool odd = smtp_content_odd_end(&s->txn.content);

		s->txn.open = false;
		txn_end(s);
		if (yes)
			s->errors = s->commands = 0;
		say_reply(s, r);
		if (odd)
			hang_up(s);
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
	s->esmtp = false;
	s->ext &= ~(unsigned)SMTP_EXT_STARTTLS;
	s->phase = SMTP_P_GREETED;
	s->refused = 0;
	free(s->helo);
	s->helo = NULL;
}

void
smtp_srv_shut(struct smtp_srv *s, const struct smtp_reply *r)
{
	if (s->phase != SMTP_P_CLOSED)
		say_last(s, r);
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
