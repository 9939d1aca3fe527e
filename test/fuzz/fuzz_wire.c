/*
 * What processes and their writer say to each other, taken apart: nothing that
 * decodes may decode to anything but what encodes to the same octets again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "store/wire.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
same(const struct wire_out *w, const uint8_t *p, const struct wire_in *in)
{
	struct span s = wire_span(w);

	if (s.n != (size_t)(in->p - p) || memcmp(s.p, p, s.n) != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct wire_out w = { .n = 0 };
	struct wire_in in;
	unsigned which;

	if (n == 0)
		return 0;
	which = *p++ % 5;
	in = wire_in(span_of(p, n - 1));
	if (which == 0) {
		struct spool_object o;

		wire_get_object(&in, &o);
		wire_object(&w, &o);
	} else if (which == 1) {
		struct ledger_entry e;

		wire_get_entry(&in, &e);
		if (e.state > LEDGER_REFUSED || e.park > PARK_OPERATOR || e.next_ms < 0)
			abort();
		wire_entry(&w, &e);
	} else if (which == 2) {
		struct smtp_reply r;

		wire_get_reply(&in, &r);
		wire_reply(&w, &r);
	} else if (which == 4) {
		struct ledger_mark m;

		wire_get_mark(&in, &m);
		wire_mark(&w, &m);
	} else {
		char text[40];
		int64_t row;

		wire_get_text(&in, text, sizeof(text));
		row = wire_get_row(&in);
		if (strlen(text) >= sizeof(text) || row < 0)
			abort();
		wire_text(&w, text);
		wire_u64(&w, (uint64_t)row);
	}
	if (!in.bad)
		same(&w, p, &in);
	return 0;
}
