/*
 * A transcript from outside, behind one octet that says how to cut it: every cut
 * tells the same, and an envelope that was read is printed and read as itself.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/batch_smtp.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

struct heard {
	struct envelope	*envelope;
	struct buf	 body;
	bool		 whole;
};

static void
hear(struct span in, size_t piece, struct heard *h)
{
	struct batch_reader *r = batch_reader_new();
	struct batch_ev ev = { BATCH_EV_NONE, { NULL, 0 } };

	assert(r != NULL);
	*h = (struct heard){ 0 };
	buf_init(&h->body, 1 << 22);
	while (in.n > 0 && ev.type != BATCH_EV_BAD) {
		size_t n = in.n < piece ? in.n : piece;
		size_t used = batch_reader_step(r, in.p, n, &ev);

		assert(used > 0 && used <= n);
		assert(ev.type != BATCH_EV_NONE || used == n);
		in = span_from(in, used);
		if (ev.type == BATCH_EV_ENVELOPE) {
			assert(h->envelope == NULL);
			h->envelope = batch_reader_envelope_take(r);
		} else if (ev.type == BATCH_EV_BODY) {
			assert(h->envelope != NULL && ev.arg.n > 0);
			assert(buf_add_span(&h->body, ev.arg));
		}
	}
	h->whole = batch_reader_done(r);
	assert(h->whole || ev.type != BATCH_EV_END);
	assert((ev.type == BATCH_EV_BAD) == (batch_reader_why(r)[0] != '\0'));
	batch_reader_free(&r);
}

static void
heard_fini(struct heard *h)
{
	envelope_free(&h->envelope);
	buf_fini(&h->body);
}

static void
print(const struct envelope *e, struct buf *out)
{
	buf_init(out, 1 << 22);
	assert(batch_head(e, out));
	assert(batch_end(out));
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct span in = span_of(p, n);
	struct heard whole, cut, again;
	struct buf first, second;

	if (n == 0)
		return 0;
	in = span_from(in, 1);
	hear(in, in.n + 1, &whole);
	hear(in, p[0] + 1u, &cut);
	assert(whole.whole == cut.whole);
	assert((whole.envelope == NULL) == (cut.envelope == NULL));
	assert(span_eq(buf_span(&whole.body), buf_span(&cut.body)));
	if (whole.envelope != NULL) {
		print(whole.envelope, &first);
		hear(buf_span(&first), 100, &again);
		assert(again.whole && again.envelope != NULL);
		print(again.envelope, &second);
		assert(span_eq(buf_span(&first), buf_span(&second)));
		assert(again.envelope->nrcpts == whole.envelope->nrcpts);
		heard_fini(&again);
		buf_fini(&first);
		buf_fini(&second);
	}
	heard_fini(&whole);
	heard_fini(&cut);
	return 0;
}
