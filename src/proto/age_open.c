#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"
#include "proto/age_format.h"
#include "proto/crypto.h"

#define BODY_COLUMNS	64	/* of a stanza's body line; a shorter one ends the stanza */
#define BODY_OCTETS	48	/* in a full line */

enum phase {
	AT_VERSION = 0,
	AT_STANZA,		/* between stanzas: "->" or "---" comes */
	IN_BODY,
	IN_NONCE,
	IN_PAYLOAD,
	OVER,			/* ended or failed: result says which */
};

struct stanza {			/* an X25519 one; others are only walked over */
	unsigned char	share[32];
	unsigned char	body[AGE_BODY];
};

struct age_open {
	const struct age_identity *ids;
	size_t		 nids;
	enum phase	 phase;
	enum age_result	 result;
	struct why	 why;
	EVP_CIPHER_CTX	*ctx;
	struct buf	 head;			/* the header so far: the MAC covers all of it */
	size_t		 line;			/* where the line under way starts in it */
	size_t		 nstanzas;		/* of any type */
	bool		 x25519;		/* the stanza whose body comes */
	struct stanza	*stanzas;		/* AGE_STANZAS_MAX of them, while in the header */
	size_t		 nx25519;
	unsigned char	 file_key[AGE_FILE_KEY];
	unsigned char	 nonce[AGE_NONCE];
	size_t		 nnonce;
	struct age_payload payload;		/* known from there on */
	struct age_stream stream;
	struct buf	 held;			/* sealed octets of what may be the last chunk */
};

static enum age_result fail(struct age_open *, enum age_result, const char *, ...)
    __attribute__((format(printf, 3, 4)));

static enum age_result
fail(struct age_open *o, enum age_result result, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(o->why.text, sizeof(o->why.text), fmt, ap);
	va_end(ap);
	o->phase = OVER;
	o->result = result;
	return result;
}

struct age_open *
age_open_new(const struct age_identity *ids, size_t n)
{
	struct age_open *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	o->ids = ids;
	o->nids = n;
	buf_init(&o->head, AGE_HEADER_MAX);
	buf_init(&o->held, AGE_SEALED_CHUNK);
	o->stanzas = calloc(AGE_STANZAS_MAX, sizeof(*o->stanzas));
	if (!crypto_init() || o->stanzas == NULL || (o->ctx = EVP_CIPHER_CTX_new()) == NULL)
		age_open_free(&o);
	return o;
}

struct age_open *
age_open_again(const struct age_payload *known)
{
	struct age_open *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	buf_init(&o->held, AGE_SEALED_CHUNK);
	o->payload = *known;
	o->phase = IN_PAYLOAD;
	if (!crypto_init() || (o->ctx = EVP_CIPHER_CTX_new()) == NULL ||
	    !age_stream_with(&o->stream, o->ctx, known->key.b))
		age_open_free(&o);
	return o;
}

bool
age_open_payload(const struct age_open *o, struct age_payload *out)
{
	*out = o->payload;
	return o->payload.key.set;
}

void
age_payload_fini(struct age_payload *p)
{
	secret_fini(&p->key);
}

/* Tries one identity on every X25519 stanza.  AGE_NO_MATCH: none of them is its own. */
static enum age_result
try_identity(struct age_open *o, const struct age_identity *id)
{
	unsigned char shared[32], key[32];
	EVP_PKEY *k = x25519_key(id->key.b, id->pub);
	enum age_result result = k != NULL ? AGE_NO_MATCH : AGE_NO_ROOM;

	for (size_t i = 0; i < o->nx25519 && result == AGE_NO_MATCH; i++) {
		const struct stanza *s = &o->stanzas[i];

		switch (x25519_shared(k, s->share, shared)) {
		case X25519_OK:
			if (!age_wrap_key(shared, s->share, id->pub, key))
				result = AGE_NO_ROOM;
			else if (age_unwrap(o->ctx, key, s->body, o->file_key))
				result = AGE_OK;
			break;
		case X25519_LOW_ORDER:
			result = AGE_MALFORMED;
			break;
		case X25519_NO_MEMORY:
			result = AGE_NO_ROOM;
			break;
		}
	}
	EVP_PKEY_free(k);
	explicit_bzero(shared, sizeof(shared));
	explicit_bzero(key, sizeof(key));
	return result;
}

/* The header is whole: finds the file key, then proves the header by it. */
static enum age_result
header_done(struct age_open *o, const unsigned char mac[32])
{
	unsigned char want[32];
	enum age_result result = AGE_NO_MATCH;
	struct span signed_part = span_of(o->head.p, o->line + 3);

	for (size_t i = 0; i < o->nids && result == AGE_NO_MATCH; i++)
		result = try_identity(o, &o->ids[i]);
	if (result == AGE_NO_MATCH)
		return fail(o, result, "no key at hand opens this: it is sealed to %zu other%s",
		    o->nstanzas, o->nstanzas == 1 ? "" : "s");
	if (result == AGE_MALFORMED)
		return fail(o, result, "age header: a key share is a point of low order");
	if (result == AGE_NO_ROOM || !age_header_mac(o->file_key, signed_part, want))
		return fail(o, AGE_NO_ROOM, "out of memory");
	if (!secret_eq(want, mac, sizeof(want)))
		return fail(o, AGE_MALFORMED, "age header: its MAC is wrong: it was changed");
	o->payload.at = o->head.n;
	buf_fini(&o->head);
	free(o->stanzas);
	o->stanzas = NULL;
	o->phase = IN_NONCE;
	return AGE_OK;
}

static bool
decode32(struct span s, unsigned char out[32])
{
	size_t n;

	return s.n == AGE_B64_32 && base64_decode(s, false, out, 32, &n) && n == 32;
}

/* "-> TYPE ARG...": one space between, nothing but visible ASCII in them. */
static enum age_result
stanza_line(struct age_open *o, struct span line)
{
	struct span args = span_from(line, 3), type, arg;
	const char *sp;
	bool gap = true;

	if (o->nstanzas++ == AGE_STANZAS_MAX)
		return fail(o, AGE_MALFORMED, "age header: more than %d recipients",
		    AGE_STANZAS_MAX);
	for (size_t i = 0; i < args.n; i++) {
		if (args.p[i] == ' ' ? gap : args.p[i] < 0x21 || args.p[i] > 0x7e)
			return fail(o, AGE_MALFORMED, "age header: malformed stanza");
		gap = args.p[i] == ' ';
	}
	if (gap)
		return fail(o, AGE_MALFORMED, "age header: malformed stanza");
	o->phase = IN_BODY;
	sp = memchr(args.p, ' ', args.n);
	type = span_of(args.p, sp != NULL ? (size_t)(sp - args.p) : args.n);
	o->x25519 = span_eq(type, SPAN_LIT("X25519"));
	if (!o->x25519)
		return AGE_OK;
	arg = span_from(args, type.n + 1);
	if (!decode32(arg, o->stanzas[o->nx25519].share))
		return fail(o, AGE_MALFORMED, "age header: malformed X25519 key share");
	return AGE_OK;
}

static enum age_result
body_line(struct age_open *o, struct span line)
{
	unsigned char bytes[BODY_OCTETS];
	size_t n;

	if (line.n > BODY_COLUMNS || !base64_decode(line, false, bytes, sizeof(bytes), &n))
		return fail(o, AGE_MALFORMED, "age header: malformed stanza body");
	if (o->x25519) {
		if (n != AGE_BODY)
			return fail(o, AGE_MALFORMED, "age header: malformed X25519 body");
		memcpy(o->stanzas[o->nx25519++].body, bytes, AGE_BODY);
	}
	if (line.n < BODY_COLUMNS)
		o->phase = AT_STANZA;
	return AGE_OK;
}

static enum age_result
header_line(struct age_open *o, struct span line)
{
	unsigned char mac[32];

	if (o->phase == IN_BODY)
		return body_line(o, line);
	if (line.n >= 3 && memcmp(line.p, "-> ", 3) == 0)
		return stanza_line(o, line);
	if (line.n >= 4 && memcmp(line.p, "--- ", 4) == 0) {
		if (o->nstanzas == 0)
			return fail(o, AGE_MALFORMED, "age header: no recipient");
		if (!decode32(span_from(line, 4), mac))
			return fail(o, AGE_MALFORMED, "age header: malformed MAC");
		return header_done(o, mac);
	}
	return fail(o, AGE_MALFORMED, "age header: malformed line");
}

/* Judges the version line as early as it can, so that a wrong file is named for what it is. */
static enum age_result
version_line(struct age_open *o)
{
	static const char want[] = AGE_VERSION_LINE;
	size_t n = o->head.n, same = 0;

	while (same < n && same < sizeof(want) - 1 && o->head.p[same] == want[same])
		same++;
	if (same == sizeof(want) - 1)
		o->phase = AT_STANZA;
	else if (same == n)
		return AGE_OK;
	else if (same == 0 && o->head.p[0] == '-')
		return fail(o, AGE_MALFORMED,
		    "not a binary age file (ASCII armor is not read here; age -d reads it)");
	else if (same >= sizeof("age-encryption.org/v") - 1)
		return fail(o, AGE_MALFORMED, "an age file of another version than v1");
	else
		return fail(o, AGE_MALFORMED, "not an age file");
	return AGE_OK;
}

/* Takes what of the input belongs to the header, one line at most. */
static enum age_result
header_step(struct age_open *o, struct span *in)
{
	const char *lf = memchr(in->p, '\n', in->n);
	size_t n = lf != NULL ? (size_t)(lf - in->p) + 1 : in->n;
	struct span line;

	if (n > o->head.max - o->head.n)
		return fail(o, AGE_MALFORMED,
		    "not an age file, or its header is longer than %d octets", AGE_HEADER_MAX);
	if (!buf_add(&o->head, in->p, n))
		return fail(o, AGE_NO_ROOM, "out of memory");
	*in = span_from(*in, n);
	if (o->phase == AT_VERSION) {
		if (version_line(o) != AGE_OK)
			return o->result;
	} else if (lf == NULL) {
		return AGE_OK;
	} else {
		line = span_of(o->head.p + o->line, o->head.n - o->line - 1);
		if (header_line(o, line) != AGE_OK)
			return o->result;
	}
	o->line = o->head.n;
	return AGE_OK;
}

/* File key and nonce are there. */
static bool
payload_begin(struct age_open *o)
{
	unsigned char key[32];
	bool ok = age_payload_key(o->file_key, o->nonce, key) &&
	    age_stream_with(&o->stream, o->ctx, key);

	secret_set(&o->payload.key, key);
	explicit_bzero(key, sizeof(key));
	explicit_bzero(o->file_key, sizeof(o->file_key));
	o->phase = IN_PAYLOAD;
	return ok;
}

static enum age_result
nonce_step(struct age_open *o, struct span *in)
{
	size_t want = AGE_NONCE - o->nnonce, n = in->n < want ? in->n : want;

	memcpy(o->nonce + o->nnonce, in->p, n);
	o->nnonce += n;
	*in = span_from(*in, n);
	if (o->nnonce < AGE_NONCE)
		return AGE_OK;
	if (!payload_begin(o))
		return fail(o, AGE_NO_ROOM, "out of memory");
	o->payload.at += AGE_NONCE;
	return AGE_OK;
}

static enum age_result
open_chunk(struct age_open *o, struct span chunk, bool last, struct buf *out)
{
	struct why why;
	enum age_result result = age_stream_open(&o->stream, chunk, last, out, &why);

	return result == AGE_OK ? AGE_OK : fail(o, result, "%s", why.text);
}

static enum age_result
payload_step(struct age_open *o, struct span *in, struct buf *out)
{
	size_t chunks = (o->held.n + in->n - 1) / AGE_SEALED_CHUNK;

	if (chunks > 0 && buf_room(out, chunks * AGE_CHUNK) == NULL)
		return fail(o, AGE_NO_ROOM, "no room for the plaintext");
	while (o->held.n + in->n > AGE_SEALED_CHUNK) {
		size_t take = AGE_SEALED_CHUNK - o->held.n;
		enum age_result result;

		if (o->held.n == 0) {
			result = open_chunk(o, span_of(in->p, AGE_SEALED_CHUNK), false, out);
		} else {
			if (!buf_add(&o->held, in->p, take))
				return fail(o, AGE_NO_ROOM, "out of memory");
			result = open_chunk(o, buf_span(&o->held), false, out);
			buf_clear(&o->held);
		}
		if (result != AGE_OK)
			return result;
		*in = span_from(*in, take);
	}
	if (!buf_add_span(&o->held, *in))
		return fail(o, AGE_NO_ROOM, "out of memory");
	*in = span_from(*in, in->n);
	return AGE_OK;
}

enum age_result
age_open_add(struct age_open *o, const void *p, size_t n, struct buf *out, struct why *why)
{
	struct span in = span_of(p, n);

	while (in.n > 0 && o->phase != OVER) {
		if (o->phase == IN_PAYLOAD)
			payload_step(o, &in, out);
		else if (o->phase == IN_NONCE)
			nonce_step(o, &in);
		else
			header_step(o, &in);
	}
	if (o->result != AGE_OK)
		*why = o->why;
	return o->result;
}

static enum age_result
end(struct age_open *o, struct buf *out)
{
	if (o->phase == OVER)
		return o->result;
	if (o->phase == AT_VERSION && o->head.n == 0)
		return fail(o, AGE_MALFORMED, "not an age file: it is empty");
	if (o->phase != IN_PAYLOAD)
		return fail(o, AGE_MALFORMED, "the age file is cut short in its header");
	if (open_chunk(o, buf_span(&o->held), true, out) != AGE_OK)
		return o->result;
	o->phase = OVER;
	return AGE_OK;
}

enum age_result
age_open_end(struct age_open *o, struct buf *out, struct why *why)
{
	if (end(o, out) != AGE_OK)
		*why = o->why;
	return o->result;
}

void
age_open_free(struct age_open **op)
{
	struct age_open *o = *op;

	*op = NULL;
	if (o == NULL)
		return;
	EVP_CIPHER_CTX_free(o->ctx);
	buf_fini(&o->head);
	buf_fini(&o->held);
	free(o->stanzas);
	explicit_bzero(o, sizeof(*o));
	free(o);
}
