#include "proto/relay_in.h"

#include <stdlib.h>
#include <strings.h>

#include "proto/address.h"
#include "proto/smtp_ehlo.h"

/* What the replies mean. */

static const struct {
	const char	*name;
} verdicts[RELAY_VERDICTS] = {
	[RELAY_CANNOT_TELL] = { "cannot tell" },
	[RELAY_GREEN] = { "green" },
	[RELAY_RELAYS] = { "relays" },
	[RELAY_TRUSTS] = { "trusts the tunnel" },
	[RELAY_IGNORES] = { "ignores PROXY" },
	[RELAY_EXPECTS] = { "expects PROXY" },
};

/*
 * By rank: where several are true the first is the verdict, as what stands below
 * may only follow from it.
 */
static const struct {
	enum relay_cause cause;
	enum relay_verdict verdict;
} ranks[] = {
	{ RELAY_OTHER_ADDRESS, RELAY_IGNORES },
	{ RELAY_NO_HEADER_NEEDED, RELAY_IGNORES },
	{ RELAY_OTHER_HEADER, RELAY_EXPECTS },
	{ RELAY_HEADER_WANTED, RELAY_EXPECTS },
	{ RELAY_ACCEPTED, RELAY_RELAYS },
	{ RELAY_ACCEPTED_OURS, RELAY_TRUSTS },
	{ RELAY_OFFERS_XCLIENT, RELAY_TRUSTS },
	{ RELAY_OFFERS_XFORWARD, RELAY_TRUSTS },
	{ RELAY_OFFERS_AUTH, RELAY_TRUSTS },
	{ RELAY_NO_CONTROL, RELAY_CANNOT_TELL },
	{ RELAY_NO_PROOF, RELAY_CANNOT_TELL },
	{ RELAY_NO_ANSWER, RELAY_CANNOT_TELL },
	{ RELAY_TOO_MANY, RELAY_CANNOT_TELL },
};

/* By what stands in the banner, or in EHLO's answer where it says nothing; the first that fits. */
static const struct {
	const char	*banner, *hello;
	enum relay_server server;
} servers[] = {
	{ "Postcow", NULL, RELAY_MAILCOW },
	{ "OpenSMTPD", NULL, RELAY_OPENSMTPD },
	{ "Postfix", NULL, RELAY_POSTFIX },
	{ "Exim", NULL, RELAY_EXIM },
	{ "Dovecot", NULL, RELAY_DOVECOT },
	{ NULL, "], pleased to meet you", RELAY_OPENSMTPD },
};

const char *
relay_verdict_name(enum relay_verdict v)
{
	return v < RELAY_VERDICTS ? verdicts[v].name : verdicts[RELAY_CANNOT_TELL].name;
}

void
relay_blame(struct relay_probe *p, enum relay_cause c)
{
	p->causes |= 1u << c;
}

/* --- what is kept ---------------------------------------------------------------------------- */

static void
note(struct relay_probe *p, enum relay_cause c, const char *answered)
{
	struct relay_note *n;

	if (c != RELAY_NO_CAUSE) {
		relay_blame(p, c);
		p->t.blamed = true;
	}
	if (p->nnotes == RELAY_NOTES_MAX)
		return;
	if (p->nnotes == p->cap) {
		size_t cap = p->cap > 0 ? 2 * p->cap : 64;

		if ((n = reallocarray(p->notes, cap, sizeof(*n))) == NULL) {
			relay_blame(p, RELAY_NO_PROOF);
			return;
		}
		p->notes = n;
		p->cap = cap;
	}
	n = &p->notes[p->nnotes++];
	*n = (struct relay_note){ .visit = p->nvisits - 1, .cause = c,
		.form = p->t.step == ST_FOREIGN && p->t.asking != NULL ? p->t.asking->name : NULL };
	span_copy(buf_span(&p->asked), n->asked, sizeof(n->asked));
	span_copy(span_str(answered), n->answered, sizeof(n->answered));
}

/* --- EHLO ------------------------------------------------------------------------------------ */

static bool
is_ip_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') ||
	    c == '.' || c == ':';
}

/*
 * Whether the server says whom it sees: "mx.example.org Hello name [192.0.2.1]".
 * The first word is its own name, which may be an address.  Our name in HELO is
 * none, so no address is an echo of it.
 */
static void
look_for_address(struct relay_probe *p, struct span text)
{
	static const struct span prefix = SPAN_LIT("IPv6:");
	const struct relay_visit *v = &p->visits[p->nvisits - 1];
	const char *sp = text.n > 0 ? memchr(text.p, ' ', text.n) : NULL;
	bool other = false;

	text = sp != NULL ? span_from(text, (size_t)(sp - text.p)) : span_of(text.p, 0);
	for (size_t i = 0; i < text.n;) {
		struct span rest = span_from(text, i);
		struct netaddr a;
		size_t n = 0;

		if (span_starts_nocase(rest, prefix)) {
			i += prefix.n;
			rest = span_from(text, i);
		}
		while (n < rest.n && is_ip_char(rest.p[n]))
			n++;
		if (n > 2 && netaddr_parse_ip(span_of(rest.p, n), &a)) {
			if (netaddr_same_ip(&a, &v->client))
				p->t.named = true;
			else
				other = true;
		}
		i += n > 0 ? n : 1;
	}
	if (other && !p->t.named)
		p->t.ehlo = RELAY_OTHER_ADDRESS;
}

/* The visit tells what there is for its client, and none before it did. */
static bool
asks_first(const struct relay_probe *p)
{
	return p->phase == PH_STRANGER || p->phase == PH_STRANGER6 || p->phase == PH_UNTRUSTED;
}

/* What it offers, and must not offer a stranger. */
static void
look_at_offers(struct relay_probe *p, struct span raw)
{
	struct relay_talk *t = &p->t;
	unsigned offers = smtp_ehlo_read(raw).offers;

	t->starttls = (offers & SMTP_OFFER_STARTTLS) != 0;
	t->both = t->both || t->starttls || relay_other_way(p->phase);
	t->auth = (offers & SMTP_OFFER_AUTH) != 0;
	if (t->ehlo != RELAY_NO_CAUSE)
		return;
	if (offers & SMTP_OFFER_XCLIENT)
		t->ehlo = RELAY_OFFERS_XCLIENT;
	else if (offers & SMTP_OFFER_XFORWARD)
		t->ehlo = RELAY_OFFERS_XFORWARD;
	else if (t->auth && !t->tls)
		t->ehlo = RELAY_OFFERS_AUTH;
}

static enum relay_cause
ehlo(struct relay_probe *p, const struct reply_ev *ev)
{
	struct relay_talk *t = &p->t;
	const struct relay_visit *v = &p->visits[p->nvisits - 1];
	const char *first = ev->reply.text;

	t->served = ev->type == REPLY_WHOLE && ev->reply.code == 250;
	t->helo_refused = p->phase == PH_HELO && ev->reply.code / 100 == 5;
	if (!t->served)
		return RELAY_NO_CAUSE;		/* the end of the visit tells */
	t->ehlo = RELAY_NO_CAUSE;
	t->named = false;		/* what answers in TLS may be another than before */
	span_copy(span_of(first, strcspn(first, "\n")), p->hello, sizeof(p->hello));
	if (v->header == RELAY_PROPER)
		look_for_address(p, span_str(p->hello));
	look_at_offers(p, ev->raw);
	switch (p->phase) {
	case PH_WHICH_NONE:
		p->served[RELAY_NONE] = true;
		return RELAY_NO_HEADER_NEEDED;
	case PH_SILENT:
	case PH_BROKEN:
		return RELAY_NO_HEADER_NEEDED;
	case PH_WHICH_V1:
	case PH_WHICH_V2:
		p->other_served = true;
		return p->s.version == 0 ? RELAY_HEADER_WANTED : RELAY_OTHER_HEADER;
	default:
		break;
	}
	p->served[v->header] = true;
	if (t->starttls && asks_first(p)) {
		p->starttls = true;
		p->secures = p->secures ||
		    (p->s.submission && p->phase == PH_STRANGER && p->form == 0);
	}
	/* A server that has said it once before TLS has said it. */
	if (!t->named && !(t->tls && !p->s.tls))
		p->unnamed = true;
	return t->ehlo;
}

/* --- recipients ------------------------------------------------------------------------------ */

static bool
has(const struct smtp_reply *r, const char *words)
{
	return strcasestr(r->text, words) != NULL;
}

static bool
enhanced(const struct smtp_reply *r, unsigned a, unsigned b, unsigned c)
{
	return r->enhanced[0] == a && r->enhanced[1] == b && r->enhanced[2] == c;
}

/*
 * Whether it asks for a password, whoever we are: RFC 4954 6 has 530 for it.  Postfix
 * says "Access denied" where only permit_sasl_authenticated stands before reject.
 */
static bool
wants_password(const struct relay_probe *p, const struct smtp_reply *r)
{
	return p->s.submission && (r->code == 530 ||
	    (r->code / 100 == 5 && p->t.auth && (has(r, "uthenticat") || has(r, "Access denied"))));
}

/*
 * A refusal that says nothing about relaying: the domain is unknown to the server's
 * DNS or takes no mail, and another one might have been accepted.
 */
static bool
of_the_domain(const struct smtp_reply *r)
{
	return (enhanced(r, 5, 1, 2) || enhanced(r, 5, 1, 10) || enhanced(r, 5, 4, 4) ||
	    r->code == 556) && !has(r, "relay");
}

static bool
refused(const struct smtp_reply *r)
{
	return r->code / 100 == 5 || (r->code == 454 && enhanced(r, 4, 7, 1));
}

/* RFC 5321 3.3; with another 2xx it is of something else that it speaks. */
static bool
accepted(const struct smtp_reply *r)
{
	return r->code >= 250 && r->code <= 252;
}

static enum relay_cause
foreign(struct relay_probe *p, const struct smtp_reply *r)
{
	const struct relay_talk *t = &p->t;

	if (r->code / 100 == 2) {
		if (t->asking->ours && t->unknown_ok) {
			p->catch_all = true;
			return RELAY_NO_CAUSE;
		}
		return p->visits[p->nvisits - 1].stranger ? RELAY_ACCEPTED : RELAY_ACCEPTED_OURS;
	}
	if (!refused(r) || (strcmp(t->asking->name, "plain") == 0 && of_the_domain(r)))
		return RELAY_NO_PROOF;
	return RELAY_NO_CAUSE;
}

/* RFC 3207 4: "a 530 reply code to every command other than NOOP, EHLO, STARTTLS, or QUIT". */
static bool
asks_for_tls(const struct relay_probe *p, const struct smtp_reply *r)
{
	return !p->t.tls && p->t.starttls && (r->code == 530 || (r->code / 100 == 5 &&
	    (has(r, "STARTTLS") || has(r, "TLS required") || has(r, "ncryption"))));
}

/*
 * A stranger's sender, or our own recipient, is not welcome: true if nobody is, before he
 * has done what others can do as well as we, or has a password.  In the first
 * connection STARTTLS is done then.  In those that are made to see what the clear or a
 * name in EHLO is good for, it may be good for nothing: the forms are asked all the same.
 */
static bool
nobody_is_welcome(struct relay_probe *p, const struct smtp_reply *r)
{
	struct relay_talk *t = &p->t;
	bool clear = relay_other_way(p->phase) && p->secured;

	if ((clear && (asks_for_tls(p, r) || (p->s.submission && r->code / 100 == 5))) ||
	    (p->phase == PH_HELO && r->code / 100 == 5)) {
		t->locked = true;
	} else if (p->phase == PH_STRANGER && p->form == 0 && !t->tls_asked &&
	    asks_for_tls(p, r)) {
		t->wants_tls = p->secures = true;
	} else if (wants_password(p, r)) {
		t->locked = p->locked = true;
	} else
		return false;
	return true;
}

static enum relay_cause
mail(struct relay_probe *p, const struct smtp_reply *r)
{
	struct relay_talk *t = &p->t;

	t->mail_ok = r->code / 100 == 2;
	if (t->mail_ok || p->phase == PH_BARE_LF)
		return RELAY_NO_CAUSE;
	if (t->sender == RELAY_STRANGER)
		return nobody_is_welcome(p, r) ? RELAY_NO_CAUSE : RELAY_NO_CONTROL;
	return r->code / 100 == 5 ? RELAY_NO_CAUSE : RELAY_NO_PROOF;
}

static enum relay_cause
control(struct relay_probe *p, const struct smtp_reply *r)
{
	struct relay_talk *t = &p->t;
	bool ok = accepted(r);

	if (t->sender == RELAY_STRANGER || p->phase == PH_BARE_LF) {
		t->control_ok = ok;
		if (ok && p->control < 0)
			p->control = (int)t->control_at;
		if (ok || p->phase == PH_BARE_LF)
			return RELAY_NO_CAUSE;
		if (nobody_is_welcome(p, r))
			return RELAY_NO_CAUSE;
		return p->control < 0 && t->control_at + 1 < p->s.ncontrols ? RELAY_NO_CAUSE :
		    RELAY_NO_CONTROL;
	}
	/*
	 * Another sender, in a session whose control recipient was accepted from a stranger's:
	 * that it is refused now can only be for the sender, who then relays nothing.
	 */
	t->sender_refused = r->code / 100 == 5;
	return ok || t->sender_refused ? RELAY_NO_CAUSE : RELAY_NO_PROOF;
}

/* Any answer but one about the line ends themselves: a bare LF was taken for the end. */
static void
bare_lf(struct relay_probe *p, const struct smtp_reply *r)
{
	p->bare_lf_tried = true;
	p->bare_lf = r->code != 0 && r->code != 421 && !has(r, "bare") && !has(r, "<LF>") &&
	    !has(r, "newline") && !has(r, "line feed");
}

/*
 * As it is shown: lines parted by " / ".  Of EHLO's answer only the first line, and the
 * offer that is wrong.
 */
static void
note_reply(struct relay_probe *p, enum relay_cause c, const struct reply_ev *ev)
{
	const char *offer = c == RELAY_OFFERS_XCLIENT ? "XCLIENT" :
	    c == RELAY_OFFERS_XFORWARD ? "XFORWARD" : c == RELAY_OFFERS_AUTH ? "AUTH" : NULL;
	char text[RELAY_ANSWERED_MAX];
	struct buf out;

	buf_init(&out, sizeof(text) - 1);
	for (size_t i = 0; i < ev->raw.n && out.n + 4 < out.max; i++) {
		char ch = ev->raw.p[i];

		if (ch == '\n' && p->t.step == ST_EHLO)
			break;
		if (ch == '\n' && i + 1 < ev->raw.n)
			buf_add_str(&out, " / ");
		else if (ch != '\r' && ch != '\n')
			buf_add(&out, ch < 0x20 || ch > 0x7e ? "?" : &ch, 1);
	}
	if (offer != NULL)
		buf_addf(&out, " / 250 %s", offer);
	span_copy(buf_span(&out), text, sizeof(text));
	note(p, c, ev->type == REPLY_BAD ? ev->why : text);
	buf_fini(&out);
}

/* Whether all was asked that this visit was for. */
static bool
complete(const struct relay_probe *p)
{
	const struct relay_talk *t = &p->t;

	switch (p->phase) {
	case PH_STRANGER:
	case PH_STRANGER_OTHER:
	case PH_STRANGER6:
	case PH_STRANGER6_OTHER:
	case PH_UNTRUSTED:
	case PH_UNTRUSTED_OTHER:
	case PH_HELO:
		/* Whoever takes a control recipient does not ask everyone for a password. */
		return t->again_ok || t->wants_tls || t->helo_refused ||
		    (t->locked && !t->control_ok && t->last);
	default:
		return true;		/* that it is not served is what these look for */
	}
}

/* Where it is a name; an address in EHLO could not be told from what the server sees. */
static void
keep_host(struct relay_probe *p, struct span word)
{
	struct netaddr ip;

	if (netaddr_parse_ip(word, &ip) || !address_domain(word, p->host))
		p->host[0] = '\0';
}

void
relay_judge_reply(struct relay_probe *p, const struct reply_ev *ev)
{
	struct relay_talk *t = &p->t;
	const struct smtp_reply *r = &ev->reply;	/* code 0 where there is none */
	enum relay_cause c = RELAY_NO_CAUSE;

	switch (t->step) {
	case ST_GREETING:
		t->greeted = r->code == 220;
		if (p->banner[0] == '\0' && t->greeted) {
			span_copy(span_of(r->text, strcspn(r->text, "\n")), p->banner,
			    sizeof(p->banner));
			keep_host(p, span_of(p->banner, strcspn(p->banner, " ")));
		}
		/* What it says instead of a greeting is the best evidence there will be. */
		if (!t->greeted && r->code != 0 && !complete(p))
			c = RELAY_NO_ANSWER;
		break;
	case ST_EHLO:
		c = ehlo(p, ev);
		break;
	case ST_STARTTLS:
		t->tls_agreed = r->code == 220;
		/* It may agree with the next client, and serve him otherwise than us. */
		c = t->tls_agreed || p->phase == PH_BARE_LF ? RELAY_NO_CAUSE : RELAY_NO_PROOF;
		break;
	case ST_MAIL:
		c = mail(p, r);
		break;
	case ST_CONTROL:
		c = control(p, r);
		break;
	case ST_UNKNOWN:
		t->unknown_ok = r->code / 100 == 2;
		break;
	case ST_FOREIGN:
		c = foreign(p, r);
		break;
	case ST_AGAIN:
		t->again_ok = accepted(r);
		c = t->again_ok ? RELAY_NO_CAUSE : RELAY_NO_CONTROL;
		break;
	case ST_DATA:
		t->data_ok = r->code == 354;
		break;
	case ST_BARE_LF:
		bare_lf(p, r);
		break;
	case ST_RSET:
	case ST_QUIT:
	case ST_TLS:
	case ST_OVER:
		break;
	}
	/* RSET and QUIT prove nothing and only make the table long. */
	if ((t->step != ST_RSET && t->step != ST_QUIT) || ev->type == REPLY_BAD)
		note_reply(p, c, ev);
}

void
relay_judge_end(struct relay_probe *p, const struct why *why)
{
	struct relay_talk *t = &p->t;
	enum relay_cause c = RELAY_NO_CAUSE;

	if (!complete(p)) {
		p->stuck = true;
		if (!t->blamed)
			c = RELAY_NO_ANSWER;
	}
	if (p->phase == PH_BARE_LF && t->step == ST_BARE_LF) {
		p->bare_lf_tried = true;
		note(p, c, "nothing: it waits for a true end of data");
	} else if (c != RELAY_NO_CAUSE || (t->step != ST_OVER && t->step != ST_QUIT))
		note(p, c, why != NULL ? why->text : "it says nothing that lets us go on");
}

/* --- the verdict ----------------------------------------------------------------------------- */

static enum relay_server
server(const struct relay_probe *p)
{
	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
		if (servers[i].banner != NULL && strcasestr(p->banner, servers[i].banner) != NULL)
			return servers[i].server;
		if (servers[i].hello != NULL && strstr(p->hello, servers[i].hello) != NULL)
			return servers[i].server;
	}
	return RELAY_UNKNOWN_SERVER;
}

static const struct relay_note *
first_note(const struct relay_probe *p, enum relay_cause c)
{
	for (size_t i = 0; i < p->nnotes; i++)
		if (p->notes[i].cause == c && (c != RELAY_NO_CAUSE || p->notes[i].form != NULL))
			return &p->notes[i];
	return NULL;
}

void
relay_probe_judge(const struct relay_probe *p, struct relay_result *out)
{
	*out = (struct relay_result){ .server = server(p), .banner = p->banner,
		.control = p->control >= 0 ? p->s.controls[p->control] : "",
		.locked = p->locked, .catch_all = p->catch_all, .bare_lf = p->bare_lf,
		.bare_lf_tried = p->bare_lf_tried, .causes = p->causes };
	/* Green when all was asked, to its end. */
	if (p->causes == 0 && p->phase == PH_DONE && p->served[RELAY_PROPER])
		out->verdict = RELAY_GREEN;
	for (size_t i = sizeof(ranks) / sizeof(ranks[0]); i-- > 0;)
		if (p->causes & 1u << ranks[i].cause) {
			out->verdict = ranks[i].verdict;
			out->cause = ranks[i].cause;
		}
	out->evidence = first_note(p, out->cause);
}
