/* The pasted line, and what is kept of a peer: what was taken is printed and read as itself. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/pairing.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
line(struct span in)
{
	char first[PAIRING_LINE_MAX], second[PAIRING_LINE_MAX];
	struct pairing_line l;
	struct why why = { "" };

	if (!pairing_line_parse(in, &l, &why)) {
		assert(why.text[0] != '\0');
		return;
	}
	pairing_line_print(&l, first, sizeof(first));
	assert(pairing_line_parse(span_str(first), &l, &why));
	pairing_line_print(&l, second, sizeof(second));
	assert(span_eq(span_str(first), span_str(second)));
}

static void
peer(struct span in)
{
	struct why why = { "" };
	struct peer p, q;
	struct buf first, second;

	if (!peer_parse(in, &p, &why)) {
		assert(why.text[0] != '\0');
		return;
	}
	buf_init(&first, 1 << 20);
	buf_init(&second, 1 << 20);
	assert(peer_print(&p, &first));
	assert(peer_parse(buf_span(&first), &q, &why));
	assert(peer_print(&q, &second));
	assert(span_eq(buf_span(&first), buf_span(&second)));
	buf_wipe(&first);
	buf_wipe(&second);
	peer_fini(&p);
	peer_fini(&q);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	line(span_of(p, n));
	peer(span_of(p, n));
	return 0;
}
