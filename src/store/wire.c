#include "store/wire.h"

#include <assert.h>
#include <string.h>

#include "base/codec.h"

/* --- out ------------------------------------------------------------------------ */

static unsigned char *
room(struct wire_out *w, size_t n)
{
	unsigned char *p = w->b + w->n;

	if (w->full || n > sizeof(w->b) - w->n) {
		w->full = true;
		return NULL;
	}
	w->n += n;
	return p;
}

void
wire_u8(struct wire_out *w, unsigned v)
{
	unsigned char *p = room(w, 1);

	if (p != NULL)
		*p = (unsigned char)v;
}

void
wire_u16(struct wire_out *w, unsigned v)
{
	unsigned char *p = room(w, 2);

	if (p != NULL)
		put_u16(p, (uint16_t)v);
}

void
wire_u32(struct wire_out *w, uint32_t v)
{
	unsigned char *p = room(w, 4);

	if (p != NULL)
		put_u32(p, v);
}

void
wire_u64(struct wire_out *w, uint64_t v)
{
	unsigned char *p = room(w, 8);

	if (p != NULL)
		put_u64(p, v);
}

void
wire_octets(struct wire_out *w, const void *b, size_t n)
{
	unsigned char *p = room(w, n);

	if (p != NULL && n > 0)
		memcpy(p, b, n);
}

void
wire_text(struct wire_out *w, const char *s)
{
	size_t n = strlen(s);

	wire_u16(w, (unsigned)n);
	wire_octets(w, s, n);
}

void
wire_meta(struct wire_out *w, const struct spool_meta *m)
{
	wire_text(w, m->signer);
	wire_octets(w, m->id.b, sizeof(m->id.b));
	wire_text(w, m->home);
	wire_u8(w, m->origin);
	wire_u64(w, (uint64_t)m->received_ms);
	wire_octets(w, m->client_net.ip, sizeof(m->client_net.ip));
	wire_u8(w, m->client_net.v6);
	wire_u8(w, m->verdict);
}

void
wire_object(struct wire_out *w, const struct spool_object *o)
{
	wire_u64(w, (uint64_t)o->row);
	wire_meta(w, &o->meta);
	wire_u64(w, o->size);
	wire_octets(w, o->mac, sizeof(o->mac));
	wire_u32(w, o->tries);
}

void
wire_reply(struct wire_out *w, const struct smtp_reply *r)
{
	wire_u16(w, r->code);
	wire_octets(w, r->enhanced, sizeof(r->enhanced));
	wire_text(w, r->text);
}

void
wire_entry(struct wire_out *w, const struct ledger_entry *e)
{
	wire_u64(w, (uint64_t)e->row);
	wire_u32(w, e->part);
	wire_u8(w, e->state);
	wire_u8(w, e->park);
	wire_text(w, e->recipient);
	wire_text(w, e->mailbox);
	wire_text(w, e->name);
	wire_u64(w, (uint64_t)e->next_ms);
	wire_reply(w, &e->reply);
}

void
wire_ban(struct wire_out *w, const struct spool_ban *b)
{
	wire_octets(w, b->on.net.ip, sizeof(b->on.net.ip));
	wire_u8(w, b->on.bits);
	wire_u64(w, (uint64_t)b->on.until_ms);
	wire_u8(w, b->lifted);
}

void
wire_mark(struct wire_out *w, const struct ledger_mark *m)
{
	wire_u64(w, m->epoch);
	wire_u64(w, m->counter);
	wire_u8(w, m->nruns);
	for (unsigned i = 0; i < m->nruns; i++) {
		wire_u32(w, m->runs[i].run);
		wire_u64(w, m->runs[i].first);
	}
}

struct span
wire_span(const struct wire_out *w)
{
	assert(!w->full);
	return span_of(w->b, w->n);
}

/* --- in ------------------------------------------------------------------------- */

struct wire_in
wire_in(struct span s)
{
	return (struct wire_in){ (const unsigned char *)s.p, s.n, false };
}

static const unsigned char *
take(struct wire_in *w, size_t n)
{
	const unsigned char *p = w->p;

	if (w->bad || n > w->n) {
		w->bad = true;
		return NULL;
	}
	w->p += n;
	w->n -= n;
	return p;
}

unsigned
wire_get_u8(struct wire_in *w)
{
	const unsigned char *p = take(w, 1);

	return p != NULL ? *p : 0;
}

unsigned
wire_get_u16(struct wire_in *w)
{
	const unsigned char *p = take(w, 2);

	return p != NULL ? get_u16(p) : 0;
}

uint32_t
wire_get_u32(struct wire_in *w)
{
	const unsigned char *p = take(w, 4);

	return p != NULL ? get_u32(p) : 0;
}

uint64_t
wire_get_u64(struct wire_in *w)
{
	const unsigned char *p = take(w, 8);

	return p != NULL ? get_u64(p) : 0;
}

int64_t
wire_get_row(struct wire_in *w)
{
	uint64_t v = wire_get_u64(w);

	if (v > INT64_MAX) {
		w->bad = true;
		return 0;
	}
	return (int64_t)v;
}

void
wire_get_octets(struct wire_in *w, void *out, size_t n)
{
	const unsigned char *p = take(w, n);

	if (p != NULL)
		memcpy(out, p, n);
	else
		memset(out, 0, n);
}

void
wire_get_text(struct wire_in *w, char *out, size_t max)
{
	size_t n = wire_get_u16(w), i;
	const unsigned char *p = take(w, n);

	out[0] = '\0';
	if (p == NULL)
		return;
	if (n >= max) {
		w->bad = true;
		return;
	}
	for (i = 0; i < n; i++)
		if ((p[i] < ' ' && p[i] != '\n' && p[i] != '\t') || p[i] == 0x7f) {
			w->bad = true;
			return;
		}
	memcpy(out, p, n);
	out[n] = '\0';
}

unsigned
wire_get_enum(struct wire_in *w, unsigned most)
{
	unsigned v = wire_get_u8(w);

	if (v > most) {
		w->bad = true;
		return 0;
	}
	return v;
}

void
wire_get_meta(struct wire_in *w, struct spool_meta *m)
{
	memset(m, 0, sizeof(*m));
	wire_get_text(w, m->signer, sizeof(m->signer));
	wire_get_octets(w, m->id.b, sizeof(m->id.b));
	wire_get_text(w, m->home, sizeof(m->home));
	m->origin = (enum spool_origin)wire_get_enum(w, ORIGIN_SUBMISSION);
	m->received_ms = wire_get_row(w);
	wire_get_octets(w, m->client_net.ip, sizeof(m->client_net.ip));
	m->client_net.v6 = wire_get_enum(w, 1);
	m->verdict = wire_get_enum(w, 1);
}

void
wire_get_object(struct wire_in *w, struct spool_object *o)
{
	memset(o, 0, sizeof(*o));
	o->row = wire_get_row(w);
	wire_get_meta(w, &o->meta);
	o->size = wire_get_u64(w);
	wire_get_octets(w, o->mac, sizeof(o->mac));
	o->tries = wire_get_u32(w);
}

void
wire_get_reply(struct wire_in *w, struct smtp_reply *r)
{
	memset(r, 0, sizeof(*r));
	r->code = wire_get_u16(w);
	if (r->code != 0 && (r->code < 200 || r->code > 599))
		w->bad = true;
	wire_get_octets(w, r->enhanced, sizeof(r->enhanced));
	wire_get_text(w, r->text, sizeof(r->text));
}

void
wire_get_entry(struct wire_in *w, struct ledger_entry *e)
{
	memset(e, 0, sizeof(*e));
	e->row = wire_get_row(w);
	e->part = wire_get_u32(w);
	e->state = (enum ledger_state)wire_get_enum(w, LEDGER_REFUSED);
	e->park = (enum park_class)wire_get_enum(w, PARK_OPERATOR);
	wire_get_text(w, e->recipient, sizeof(e->recipient));
	wire_get_text(w, e->mailbox, sizeof(e->mailbox));
	wire_get_text(w, e->name, sizeof(e->name));
	e->next_ms = wire_get_row(w);
	wire_get_reply(w, &e->reply);
	if (e->part >= WIRE_ENTRIES_MAX)
		w->bad = true;
}

void
wire_get_ban(struct wire_in *w, struct spool_ban *b)
{
	unsigned char ip[16];

	*b = (struct spool_ban){ .lifted = false };
	wire_get_octets(w, ip, sizeof(ip));
	b->on.net = netaddr_from_octets(ip, sizeof(ip), 0);
	b->on.bits = wire_get_enum(w, b->on.net.v6 ? 128 : 32);
	b->on.until_ms = wire_get_row(w);
	b->lifted = wire_get_enum(w, 1);
}

void
wire_get_mark(struct wire_in *w, struct ledger_mark *m)
{
	*m = (struct ledger_mark){ .epoch = (uint64_t)wire_get_row(w) };
	m->counter = (uint64_t)wire_get_row(w);
	m->nruns = wire_get_enum(w, LEDGER_RUNS);
	for (unsigned i = 0; i < m->nruns; i++) {
		m->runs[i].run = wire_get_u32(w);
		m->runs[i].first = (uint64_t)wire_get_row(w);
		if (m->runs[i].run == 0 || m->runs[i].first == 0 ||
		    (i > 0 && m->runs[i].first >= m->runs[i - 1].first))
			w->bad = true;
	}
}

struct span
wire_rest(struct wire_in *w)
{
	struct span s = span_of(w->p, w->bad ? 0 : w->n);

	w->p += w->n;
	w->n = 0;
	return s;
}

bool
wire_done(const struct wire_in *w)
{
	return !w->bad && w->n == 0;
}
