/* A list of bans from a home: every cut reads the same, and what was taken may be banned. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/ban_list.h"

#define NOW	1000

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* Reads piece octets at a time and prints what it takes.  Returns whether all was good. */
static bool
read_all(const uint8_t *data, size_t n, size_t piece, struct buf *out)
{
	struct ban_reader r = { .n = 0 };
	struct why why = { "" };
	struct ban_change c;
	enum ban_read got = BAN_MORE;

	for (size_t at = 0; at < n; at += piece) {
		struct span s = span_of(data + at, n - at < piece ? n - at : piece);

		while ((got = ban_next(&r, &s, NOW, &c, &why)) == BAN_ONE) {
			struct why no = { "" };

			assert(policy_ban_ok(&c.on, &no));
			assert(c.on.until_ms == 0 || c.on.until_ms > NOW);
			assert(ban_print(&c, NOW, out));
		}
		assert((got == BAN_BAD) == (why.text[0] != '\0'));
		assert(got == BAN_BAD || s.n == 0);
	}
	return ban_whole(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf whole, cut, again;

	if (n == 0)
		return 0;
	buf_init(&whole, 1 << 24);
	buf_init(&cut, 1 << 24);
	buf_init(&again, 1 << 24);
	assert(read_all(data + 1, n - 1, n, &whole) == read_all(data + 1, n - 1, data[0] % 64 + 1,
	    &cut));
	assert(span_eq(buf_span(&whole), buf_span(&cut)));
	if (whole.n > 0) {
		assert(read_all((const uint8_t *)whole.p, whole.n, whole.n, &again));
		assert(span_eq(buf_span(&whole), buf_span(&again)));
	}
	buf_fini(&whole);
	buf_fini(&cut);
	buf_fini(&again);
	return 0;
}
