/*
 * A server's replies, behind one octet that says how to cut them: every cut tells the
 * same, and what was read is printed and read as itself.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/smtp_ehlo.h"
#include "proto/smtp_reply_reader.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check_reply(const struct reply_ev *ev)
{
	struct smtp_reply again;
	struct smtp_ehlo e = smtp_ehlo_read(ev->raw);
	struct span args;
	struct buf out;

	assert(ev->raw.n >= 5 && ev->raw.n <= REPLY_OCTETS_MAX);
	assert(e.offers == 0 || ev->reply.code == 250);
	assert(((e.offers & SMTP_OFFER_AUTH) != 0) == (smtp_ehlo_find(ev->raw, SPAN_LIT("AUTH"),
	    &args) && args.n > 0));
	assert(args.n == 0 || (args.p >= ev->raw.p && args.p + args.n <= ev->raw.p + ev->raw.n));
	buf_init(&out, 4 * REPLY_OCTETS_MAX);
	assert(smtp_reply_print(&ev->reply, &out));
	assert(smtp_reply_parse(buf_span(&out), &again));
	assert(again.code == ev->reply.code && memcmp(again.enhanced, ev->reply.enhanced, 3) == 0);
	buf_fini(&out);
}

/* All that is heard, each event with what it says. */
static void
hear(struct span in, size_t piece, struct buf *heard)
{
	struct reply_reader r;
	struct reply_ev ev = { .type = REPLY_NONE };

	buf_init(heard, 1 << 24);
	reply_reader_init(&r);
	while (in.n > 0 && ev.type != REPLY_BAD) {
		size_t n = in.n < piece ? in.n : piece, used = reply_reader_step(&r, in.p, n, &ev);

		assert(used > 0 && used <= n && (ev.type != REPLY_NONE || used == n));
		assert((ev.type == REPLY_BAD) == (ev.why != NULL));
		if (ev.type == REPLY_WHOLE) {
			check_reply(&ev);
			assert(buf_add_span(heard, ev.raw));
			assert(buf_addf(heard, "%u %s", ev.reply.code, ev.reply.text));
		} else if (ev.type == REPLY_BAD) {
			assert(buf_add_str(heard, ev.why));
		}
		in = span_from(in, used);
	}
	reply_reader_fini(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct span in = span_of(p, n);
	struct buf whole, cut;

	if (n == 0)
		return 0;
	in = span_from(in, 1);
	hear(in, in.n + 1, &whole);
	hear(in, p[0] + 1u, &cut);
	assert(span_eq(buf_span(&whole), buf_span(&cut)));
	buf_fini(&whole);
	buf_fini(&cut);
	return 0;
}
