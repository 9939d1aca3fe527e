#include "proto/batch_smtp.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/batch_in.h"
#include "proto/xclient.h"

enum phase {
	AT_EHLO = 0,
	AT_XCLIENT,
	AT_XFORWARD,
	AT_MAIL,
	AT_RCPT,		/* the first is wanted */
	AT_RCPT_OR_BDAT,
	AT_BDAT,
	IN_CHUNK,
	AT_QUIT,
	DONE,
	BAD,
};

struct batch_reader {
	enum phase	 phase;
	bool		 last;		/* the chunk under way is the LAST */
	uint64_t	 left;		/* octets of it */
	size_t		 lines;
	struct buf	 line;
	char		 shown[256];	/* the EHLO line's name */
	struct envelope	*envelope;
	char		 why[160];
	bool		 no_room;
};

struct batch_reader *
batch_reader_new(void)
{
	struct batch_reader *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	buf_init(&r->line, BATCH_LINE_MAX);
	if ((r->envelope = envelope_new()) == NULL)
		batch_reader_free(&r);
	return r;
}

void
batch_reader_free(struct batch_reader **rp)
{
	struct batch_reader *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	buf_fini(&r->line);
	envelope_free(&r->envelope);
	free(r);
}

static bool bad(struct batch_reader *, const char *, ...) __attribute__((format(printf, 2, 3)));

static bool
bad(struct batch_reader *r, const char *fmt, ...)
{
	char what[120];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(r->why, sizeof(r->why), "line %zu: %s", r->lines, what);
	r->phase = BAD;
	return false;
}

static bool
no_room(struct batch_reader *r)
{
	r->no_room = true;
	return bad(r, "memory is out");
}

static bool
get_number(struct span v, unsigned long long max, unsigned long long *out)
{
	return span_u64(v, max, out) && (v.n == 1 || v.p[0] != '0');
}

static bool
get_port(struct span v, struct netaddr *a)
{
	unsigned long long port = 0;

	if (!xclient_unavailable(v) && (!get_number(v, 65535, &port) || port == 0))
		return false;
	a->port = (uint16_t)port;
	return true;
}

static bool
on_client_name(struct envelope *e, struct span v)
{
	return xclient_get_text(v, e->client_name, sizeof(e->client_name));
}

static bool
on_client_addr(struct envelope *e, struct span v)
{
	return xclient_get_addr(v, &e->client);
}

static bool
on_client_port(struct envelope *e, struct span v)
{
	return get_port(v, &e->client);
}

static bool
on_proto(struct envelope *e, struct span v)
{
	e->esmtp = span_eq(v, SPAN_LIT("ESMTP"));
	return e->esmtp || span_eq(v, SPAN_LIT("SMTP"));
}

static bool
on_helo(struct envelope *e, struct span v)
{
	return xclient_get_text(v, e->helo, sizeof(e->helo));
}

static bool
on_dest_addr(struct envelope *e, struct span v)
{
	return xclient_get_addr(v, &e->dest);
}

static bool
on_dest_port(struct envelope *e, struct span v)
{
	return get_port(v, &e->dest);
}

static bool
on_ident(struct envelope *e, struct span v)
{
	return uuid_parse(v, &e->id);
}

/* Mail from a road of strangers; nothing here may claim another (DESIGN: the road decides). */
static bool
on_source(struct envelope *e, struct span v)
{
	return span_eq(v, SPAN_LIT("REMOTE"));
}

static bool
on_edge(struct envelope *e, struct span v)
{
	return xclient_get_text(v, e->edge, sizeof(e->edge)) && e->edge[0] != '\0';
}

struct attr {
	const char	*name;
	bool		(*act)(struct envelope *, struct span);
};

static const struct attr xclient[] = {
	{ "NAME", on_client_name },
	{ "ADDR", on_client_addr },
	{ "PORT", on_client_port },
	{ "PROTO", on_proto },
	{ "HELO", on_helo },
	{ "DESTADDR", on_dest_addr },
	{ "DESTPORT", on_dest_port },
};

static const struct attr xforward[] = {
	{ "IDENT", on_ident },
	{ "SOURCE", on_source },
	{ "NAME", on_edge },
};

/* " KEY=value" as often as it comes; each of the table's attributes once, and no other. */
static bool
attrs(struct batch_reader *r, struct span rest, const struct attr *table, size_t n)
{
	unsigned seen = 0;

	while (rest.n > 0) {
		const char *sp, *eq;
		struct span word, key;
		size_t i;

		if (rest.p[0] != ' ')
			return bad(r, "malformed attributes");
		rest = span_from(rest, 1);
		sp = rest.n > 0 ? memchr(rest.p, ' ', rest.n) : NULL;
		word = span_of(rest.p, sp != NULL ? (size_t)(sp - rest.p) : rest.n);
		rest = span_from(rest, word.n);
		if (word.n == 0 || (eq = memchr(word.p, '=', word.n)) == NULL)
			return bad(r, "malformed attributes");
		key = span_of(word.p, (size_t)(eq - word.p));
		for (i = 0; i < n; i++)
			if (span_eq(key, span_str(table[i].name)))
				break;
		if (i == n)
			return bad(r, "an attribute that has no place here");
		if (seen >> i & 1)
			return bad(r, "%s twice", table[i].name);
		if (!table[i].act(r->envelope, span_from(word, key.n + 1)))
			return bad(r, "malformed %s", table[i].name);
		seen |= 1u << i;
	}
	for (size_t i = 0; i < n; i++)
		if ((seen >> i & 1) == 0)
			return bad(r, "%s is missing", table[i].name);
	return true;
}

static bool
on_ehlo(struct batch_reader *r, struct span rest)
{
	for (size_t i = 0; i < rest.n; i++)
		if (!batch_visible((unsigned char)rest.p[i]))
			return bad(r, "malformed EHLO");
	if (rest.n == 0 || !span_copy(rest, r->shown, sizeof(r->shown)))
		return bad(r, "malformed EHLO");
	r->phase = AT_XCLIENT;
	return true;
}

static bool
on_xclient(struct batch_reader *r, struct span rest)
{
	struct buf shown;
	bool room, same;

	if (!attrs(r, rest, xclient, sizeof(xclient) / sizeof(xclient[0])))
		return false;
	buf_init(&shown, sizeof(r->shown));
	room = batch_add_shown(&shown, r->envelope->helo);
	same = room && span_eq(buf_span(&shown), span_str(r->shown));
	buf_fini(&shown);
	if (!room)			/* a name that fits into helo fits here */
		return no_room(r);
	if (!same)
		return bad(r, "HELO is not what the EHLO line says");
	r->phase = AT_XFORWARD;
	return true;
}

static bool
on_xforward(struct batch_reader *r, struct span rest)
{
	r->phase = AT_MAIL;
	return attrs(r, rest, xforward, sizeof(xforward) / sizeof(xforward[0]));
}

/* A path, then nothing, or a space and parameters. */
static bool
get_path(struct batch_reader *r, struct span rest, enum address_kind kind, struct address *a,
    struct span *params)
{
	size_t n = address_parse_path(rest, kind, true, a);

	if (n == 0)
		return bad(r, "malformed address");
	*params = span_from(rest, n);
	if (params->n == 0)
		return true;
	*params = span_from(*params, 1);
	if (rest.p[n] != ' ' || params->n == 0 || params->p[0] == ' ' ||
	    params->p[params->n - 1] == ' ' || !envelope_params_ok(*params))
		return bad(r, "malformed parameters");
	return true;
}

static bool
on_mail(struct batch_reader *r, struct span rest)
{
	struct address a;
	struct span params;

	if (!get_path(r, rest, ADDRESS_REVERSE, &a, &params))
		return false;
	if (!envelope_set_from(r->envelope, &a, params))
		return no_room(r);
	r->phase = AT_RCPT;
	return true;
}

static bool
on_rcpt(struct batch_reader *r, struct span rest)
{
	struct address a;
	struct span params;

	if (!get_path(r, rest, ADDRESS_FORWARD, &a, &params))
		return false;
	if (r->envelope->nrcpts == ENVELOPE_RCPTS_MAX)
		return bad(r, "more than %d recipients", ENVELOPE_RCPTS_MAX);
	if (!envelope_add_rcpt(r->envelope, &a, params))
		return no_room(r);
	r->phase = AT_RCPT_OR_BDAT;
	return true;
}

static bool
on_bdat(struct batch_reader *r, struct span rest)
{
	static const struct span last = SPAN_LIT(" LAST");
	unsigned long long n;

	r->last = rest.n > last.n && memcmp(rest.p + rest.n - last.n, last.p, last.n) == 0;
	if (r->last)
		rest.n -= last.n;
	if (!get_number(rest, INT64_MAX, &n))
		return bad(r, "malformed BDAT");
	r->left = n;
	r->phase = n > 0 ? IN_CHUNK : r->last ? AT_QUIT : AT_BDAT;
	return true;
}

static bool
on_quit(struct batch_reader *r, struct span rest)
{
	if (rest.n > 0)
		return bad(r, "malformed QUIT");
	r->phase = DONE;
	return true;
}

/* The whole order of play: a verb, when it may be said, what it does. */
static const struct verb {
	const char	*says;
	unsigned	 when;
	bool		(*act)(struct batch_reader *, struct span);
} verbs[] = {
	{ "EHLO ",      1u << AT_EHLO,                               on_ehlo },
	{ "XCLIENT",    1u << AT_XCLIENT,                            on_xclient },
	{ "XFORWARD",   1u << AT_XFORWARD,                           on_xforward },
	{ "MAIL FROM:", 1u << AT_MAIL,                               on_mail },
	{ "RCPT TO:",   1u << AT_RCPT | 1u << AT_RCPT_OR_BDAT,       on_rcpt },
	{ "BDAT ",      1u << AT_RCPT_OR_BDAT | 1u << AT_BDAT,       on_bdat },
	{ "QUIT",       1u << AT_QUIT,                               on_quit },
};

static void
line_done(struct batch_reader *r, struct batch_ev *ev)
{
	struct span line = span_of(r->line.p, r->line.n - 2);
	enum phase before = r->phase;
	const struct verb *v = NULL;

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]) && v == NULL; i++) {
		size_t n = strlen(verbs[i].says);

		if ((verbs[i].when >> before & 1) && line.n >= n &&
		    memcmp(line.p, verbs[i].says, n) == 0)
			v = &verbs[i];
	}
	if (v == NULL)
		bad(r, "not the command that comes here");
	else if (v->act(r, span_from(line, strlen(v->says))) && before == AT_RCPT_OR_BDAT &&
	    r->phase != AT_RCPT_OR_BDAT)
		ev->type = BATCH_EV_ENVELOPE;
	else if (r->phase == DONE)
		ev->type = BATCH_EV_END;
}

static size_t
line_step(struct batch_reader *r, const char *in, size_t len, struct batch_ev *ev)
{
	const char *lf = memchr(in, '\n', len);
	size_t n = lf != NULL ? (size_t)(lf - in) + 1 : len;

	if (r->line.n == 0)
		r->lines++;
	if (n > BATCH_LINE_MAX - r->line.n) {
		bad(r, "longer than %d octets", BATCH_LINE_MAX);
		return len;
	}
	if (!buf_add(&r->line, in, n)) {
		no_room(r);
		return len;
	}
	if (lf == NULL)
		return n;
	if (r->line.n < 2 || r->line.p[r->line.n - 2] != '\r' ||
	    memchr(r->line.p, '\r', r->line.n - 2) != NULL)
		bad(r, "not ended by CRLF");
	else if (memchr(r->line.p, '\0', r->line.n) != NULL)
		bad(r, "NUL in it");
	else
		line_done(r, ev);
	buf_clear(&r->line);
	return n;
}

static size_t
chunk_step(struct batch_reader *r, const char *in, size_t len, struct batch_ev *ev)
{
	size_t n = len < r->left ? len : (size_t)r->left;

	*ev = (struct batch_ev){ BATCH_EV_BODY, span_of(in, n) };
	if ((r->left -= n) == 0)
		r->phase = r->last ? AT_QUIT : AT_BDAT;
	return n;
}

size_t
batch_reader_step(struct batch_reader *r, const char *in, size_t len, struct batch_ev *ev)
{
	size_t used = 0;

	*ev = (struct batch_ev){ BATCH_EV_NONE, { NULL, 0 } };
	while (used < len && ev->type == BATCH_EV_NONE && r->phase < DONE)
		used += r->phase == IN_CHUNK ? chunk_step(r, in + used, len - used, ev) :
		    line_step(r, in + used, len - used, ev);
	if (r->phase == DONE && used < len && ev->type == BATCH_EV_NONE) {
		r->lines++;
		bad(r, "something behind QUIT");
	}
	if (r->phase == BAD) {
		ev->type = BATCH_EV_BAD;
		used = len;
	}
	return used;
}

const struct envelope *
batch_reader_envelope(const struct batch_reader *r)
{
	return r->envelope;
}

struct envelope *
batch_reader_envelope_take(struct batch_reader *r)
{
	struct envelope *e = r->envelope;

	r->envelope = NULL;
	return e;
}

const char *
batch_reader_why(const struct batch_reader *r)
{
	return r->why;
}

bool
batch_reader_done(const struct batch_reader *r)
{
	return r->phase == DONE;
}

bool
batch_reader_no_room(const struct batch_reader *r)
{
	return r->no_room;
}
