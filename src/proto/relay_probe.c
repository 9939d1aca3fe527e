#include "proto/relay_probe.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/relay_in.h"

/*
 * Which connections are made, and what comes and goes on each; what is said is relay_ask.c, what
 * the replies mean relay_judge.c.
 */
#define GREETING_MS	30000	/* postscreen and others let a stranger wait */
#define SILENCE_MS	12000	/* longer than any greeting was seen to take: 6 s */
#define REPLY_MS	30000	/* name servers are asked about us */
#define BARE_LF_MS	3000

#define SAYS_MAX	16384

static const char documentation4[] = "203.0.113.25", documentation6[] = "2001:db8::25";

/* Domains that are not ours and take mail; the first that is not among ours is asked for. */
static const char *const foreign[] = { "gmail.com", "outlook.com" };

struct relay_probe *
relay_probe_new(const struct relay_setup *s)
{
	struct relay_probe *p = calloc(1, sizeof(*p));
	struct netaddr_text ip = netaddr_ip(&s->backend);

	if (p == NULL)
		return NULL;
	p->s = *s;
	reply_reader_init(&p->reader);
	buf_init(&p->says, SAYS_MAX);
	buf_init(&p->asked, SAYS_MAX);
	p->control = -1;
	snprintf(p->literal, sizeof(p->literal), "%s%s", s->backend.v6 ? "IPv6:" : "", ip.s);
	p->names = (struct relay_names){ .foreign = foreign[0], .literal = p->literal,
		.helo = s->helo, .own = s->nown > 0 ? s->own[0] : "",
		.control = s->ncontrols > 0 ? s->controls[0] : "" };
	for (size_t i = 0; i < s->nown; i++)
		if (span_eq_nocase(span_str(s->own[i]), span_str(foreign[0])))
			p->names.foreign = foreign[1];
	if (s->nuntrusted > RELAY_ADDRESSES_MAX)
		relay_blame(p, RELAY_TOO_MANY);
	return p;
}

void
relay_probe_free(struct relay_probe **pp)
{
	struct relay_probe *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	reply_reader_fini(&p->reader);
	buf_fini(&p->says);
	buf_fini(&p->asked);
	free(p->notes);
	free(p);
}

/* --- which connection ------------------------------------------------------------------------ */

bool
relay_other_way(enum relay_phase phase)
{
	return phase == PH_STRANGER_OTHER || phase == PH_STRANGER6_OTHER ||
	    phase == PH_UNTRUSTED_OTHER;
}

static const char *
way(const struct relay_probe *p)
{
	return !relay_other_way(p->phase) ? "" : p->secured ? ", in the clear" : ", in TLS";
}

static struct relay_visit *
visit_add(struct relay_probe *p, enum relay_header header, unsigned version)
{
	struct relay_visit *v = &p->visits[p->nvisits++];

	*v = (struct relay_visit){ .header = header, .version = version, .stranger = true };
	snprintf(v->whose, sizeof(v->whose), "a stranger%s", way(p));
	(void)netaddr_parse_ip(span_str(documentation4), &v->client);
	v->client.port = (uint16_t)(40000 + p->nvisits);
	return v;
}

/* As an address that must not be trusted. */
static void
visit_as(struct relay_probe *p, const struct relay_address *a)
{
	struct relay_visit *v = visit_add(p, RELAY_PROPER, p->s.version);
	uint16_t port = v->client.port;

	v->client = a->ip;
	v->client.port = port;
	v->stranger = false;
	snprintf(v->whose, sizeof(v->whose), "%s%s", a->whose, way(p));
}

static size_t
addresses(const struct relay_probe *p)
{
	return p->s.nuntrusted < RELAY_ADDRESSES_MAX ? p->s.nuntrusted : RELAY_ADDRESSES_MAX;
}

/* Once all who ask were asked. */
static enum relay_phase
phase_after_asking(const struct relay_probe *p)
{
	return p->unnamed ? PH_SILENT : p->s.bare_lf ? PH_BARE_LF : PH_DONE;
}

/*
 * What comes after the visits of a phase.  The first visit decides: a server that
 * does not serve a proper header is only asked which one it would serve.
 */
static enum relay_phase
phase_after(const struct relay_probe *p)
{
	bool served = p->served[RELAY_PROPER], two_ways = p->starttls || p->secured;
	enum relay_phase untrusted = p->address < addresses(p) ? PH_UNTRUSTED :
	    phase_after_asking(p);

	switch (p->phase) {
	case PH_START:
		return p->s.version == 0 ? PH_WHICH_NONE : PH_STRANGER;
	case PH_STRANGER:
		return !served ? PH_WHICH_NONE : two_ways ? PH_STRANGER_OTHER : PH_STRANGER6;
	case PH_STRANGER_OTHER:
		return PH_STRANGER6;
	case PH_STRANGER6:
		return two_ways ? PH_STRANGER6_OTHER : PH_HELO;
	case PH_STRANGER6_OTHER:
		return PH_HELO;
	case PH_UNTRUSTED:
		return two_ways ? PH_UNTRUSTED_OTHER : untrusted;
	case PH_HELO:
	case PH_UNTRUSTED_OTHER:
		return untrusted;
	case PH_SILENT:
		return PH_BROKEN;
	case PH_BROKEN:
		return p->s.bare_lf ? PH_BARE_LF : PH_DONE;
	case PH_WHICH_NONE:
		if (p->served[RELAY_NONE])
			return PH_DONE;
		return p->s.version == 2 ? PH_WHICH_V1 : PH_WHICH_V2;
	case PH_WHICH_V2:
		return p->s.version == 0 && !p->other_served ? PH_WHICH_V1 : PH_DONE;
	case PH_WHICH_V1:
	case PH_BARE_LF:
	case PH_DONE:
		break;
	}
	return PH_DONE;
}

/* The phase has another visit: forms that were not asked yet, names that were not said. */
static bool
phase_goes_on(const struct relay_probe *p)
{
	if (p->phase == PH_HELO)
		return p->helo < (p->host[0] != '\0' ? 3 : 2);
	return p->phase == PH_STRANGER && p->form < relay_nforms && !p->stuck;
}

bool
relay_probe_next(struct relay_probe *p, struct relay_visit *out)
{
	struct relay_visit *v;

	if (p->phase == PH_DONE)
		return false;
	if (!phase_goes_on(p))
		p->phase = phase_after(p);
	if (p->phase == PH_STRANGER6 || p->phase == PH_UNTRUSTED)
		p->starttls = p->secured = false;	/* of this client nothing is known */
	if (p->nvisits == RELAY_VISITS_MAX) {
		relay_blame(p, RELAY_TOO_MANY);
		p->phase = PH_DONE;
	}
	switch (p->phase) {
	case PH_START:
	case PH_DONE:
		return false;
	case PH_STRANGER:
	case PH_STRANGER_OTHER:
	case PH_BARE_LF:
		visit_add(p, RELAY_PROPER, p->s.version);
		break;
	case PH_HELO:
		p->helo++;
		visit_add(p, RELAY_PROPER, p->s.version);
		break;
	case PH_STRANGER6:
	case PH_STRANGER6_OTHER:
		v = visit_add(p, RELAY_PROPER, p->s.version);
		(void)netaddr_parse_ip(span_str(documentation6), &v->client);
		v->client.port = 40001;
		break;
	case PH_UNTRUSTED:
		visit_as(p, &p->s.untrusted[p->address++]);
		break;
	case PH_UNTRUSTED_OTHER:
		visit_as(p, &p->s.untrusted[p->address - 1]);
		break;
	case PH_SILENT:
	case PH_WHICH_NONE:
		visit_add(p, RELAY_NONE, 0);
		break;
	case PH_BROKEN:
		visit_add(p, RELAY_BROKEN, p->s.version);
		break;
	case PH_WHICH_V1:
	case PH_WHICH_V2:
		visit_add(p, RELAY_PROPER, p->phase == PH_WHICH_V1 ? 1 : 2);
		break;
	}
	*out = p->visits[p->nvisits - 1];
	return true;
}

/* --- what is heard --------------------------------------------------------------------------- */

void
relay_probe_begun(struct relay_probe *p)
{
	p->t = (struct relay_talk){ .step = ST_GREETING, .sender = RELAY_SENDERS, .tls = p->s.tls };
	reply_reader_fini(&p->reader);
	reply_reader_init(&p->reader);
	buf_clear(&p->says);
	buf_clear(&p->asked);
}

void
relay_probe_secured(struct relay_probe *p)
{
	if (p->t.step != ST_TLS)
		return;
	p->t.tls = true;
	if (!relay_other_way(p->phase))
		p->secured = true;
	relay_ask_ehlo(p);
}

/* A reply is whole, or what came is none. */
static void
reply_done(struct relay_probe *p, const struct reply_ev *ev)
{
	relay_judge_reply(p, ev);
	if (ev->type == REPLY_BAD || ev->reply.code == 421)
		p->t.step = ST_OVER;
	else
		relay_ask(p);
}

size_t
relay_probe_heard(struct relay_probe *p, struct span in)
{
	size_t used = 0;

	while (used < in.n && relay_probe_want(p) == RELAY_WANT_REPLY && p->says.n == 0) {
		struct reply_ev ev;

		used += reply_reader_step(&p->reader, in.p + used, in.n - used, &ev);
		if (ev.type != REPLY_NONE)
			reply_done(p, &ev);
	}
	return used;
}

enum relay_want
relay_probe_want(const struct relay_probe *p)
{
	if (p->t.step == ST_TLS)
		return RELAY_WANT_TLS;
	if (p->t.step == ST_OVER)
		return p->phase == PH_BARE_LF ? RELAY_WANT_ABORT : RELAY_WANT_CLOSE;
	return RELAY_WANT_REPLY;
}

struct span
relay_probe_says(struct relay_probe *p)
{
	size_t n = p->says.n;

	p->says.n = 0;
	return span_of(p->says.p, n);
}

int64_t
relay_probe_wait_ms(const struct relay_probe *p)
{
	bool proper = p->nvisits > 0 && p->visits[p->nvisits - 1].header == RELAY_PROPER;

	switch (p->t.step) {
	case ST_GREETING:
		return proper ? GREETING_MS : SILENCE_MS;
	case ST_BARE_LF:
		return BARE_LF_MS;
	default:
		return REPLY_MS;
	}
}

void
relay_probe_over(struct relay_probe *p, const struct why *why)
{
	relay_judge_end(p, why);
	p->t.step = ST_OVER;
}

/* Each is refused at its first wrong octet, so that nobody waits for more of it. */
struct span
relay_broken_header(unsigned version)
{
	static const struct span v1 = SPAN_LIT("PROXY TCP4 203.0.113.999 x\r\n"),
	    v2 = SPAN_LIT("\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0cnot a header");

	return version == 1 ? v1 : v2;
}

size_t
relay_probe_notes(const struct relay_probe *p)
{
	return p->nnotes;
}

const struct relay_note *
relay_probe_note(const struct relay_probe *p, size_t i)
{
	return &p->notes[i];
}

const struct relay_visit *
relay_probe_visit(const struct relay_probe *p, unsigned i)
{
	return &p->visits[i];
}
