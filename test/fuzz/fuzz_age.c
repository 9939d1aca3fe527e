/*
 * The first octet chooses.  Even: the rest is a file from outside; however it is
 * cut, the same comes out of it, and nothing of a file that has no end of its own; what one
 * reading knows of its payload lets another read the same.
 * Odd: the rest is a plaintext; sealed in cuts and opened in cuts it is the same.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/age.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct age_identity me;

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static enum age_result
read_all(struct age_open *o, struct span in, size_t piece, struct buf *out)
{
	enum age_result result = AGE_OK;
	struct why why;

	assert(o != NULL);
	buf_init(out, 1 << 22);
	while (in.n > 0 && result == AGE_OK) {
		size_t n = least(in.n, piece);

		result = age_open_add(o, in.p, n, out, &why);
		in = span_from(in, n);
	}
	if (result == AGE_OK)
		result = age_open_end(o, out, &why);
	assert(age_open_end(o, out, &why) == result);
	return result;
}

static enum age_result
unseal(struct span in, size_t piece, struct buf *out)
{
	struct age_open *o = age_open_new(&me, 1);
	enum age_result result = read_all(o, in, piece, out);
	struct age_payload known;
	struct buf again;

	if (age_open_payload(o, &known)) {
		age_open_free(&o);
		o = age_open_again(&known);
		assert(read_all(o, span_from(in, known.at), piece, &again) == result);
		assert(span_eq(buf_span(&again), buf_span(out)));
		buf_fini(&again);
	}
	age_open_free(&o);
	return result;
}

static void
foreign(struct span in, size_t piece)
{
	struct buf whole, cut;
	enum age_result result = unseal(in, in.n + 1, &whole);

	assert(unseal(in, piece, &cut) == result);
	assert(span_eq(buf_span(&whole), buf_span(&cut)));
	if (result == AGE_OK && in.n > 0) {
		struct buf less;

		assert(unseal(span_of(in.p, in.n - 1), in.n, &less) != AGE_OK);
		buf_fini(&less);
	}
	buf_fini(&whole);
	buf_fini(&cut);
}

static void
ours(struct span in, size_t piece)
{
	unsigned char rnd[AGE_SEAL_RND(1)];
	struct age_recipient to;
	struct age_seal *s;
	struct buf sealed, plain;

	memset(rnd, 5, sizeof(rnd));
	memcpy(to.pub, me.pub, sizeof(to.pub));
	s = age_seal_new(&to, 1, rnd);
	assert(s != NULL);
	buf_init(&sealed, 1 << 22);
	for (struct span rest = in; rest.n > 0; rest = span_from(rest, least(rest.n, piece)))
		assert(age_seal_add(s, rest.p, least(rest.n, piece), &sealed));
	assert(age_seal_end(s, &sealed));
	age_seal_free(&s);
	assert(unseal(buf_span(&sealed), piece, &plain) == AGE_OK);
	assert(span_eq(buf_span(&plain), in));
	buf_fini(&plain);
	buf_fini(&sealed);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const unsigned char key[32] = { 7 };
	size_t piece = n > 0 ? (size_t)(p[0] >> 1) * 11 + 1 : 1;

	if (!me.key.set)
		age_identity_from_bytes(key, &me);
	if (n == 0)
		return 0;
	if (p[0] & 1)
		ours(span_of(p + 1, n - 1), piece);
	else
		foreign(span_of(p + 1, n - 1), piece);
	return 0;
}
