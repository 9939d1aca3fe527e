/*
 * The id on top of a pushed message.  First octet: the size of the pieces.  Whatever the cut, the
 * same is found, and nothing but the line is taken off.
 */
#include <stdint.h>
#include <stdlib.h>

#include "proto/pushed_id.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define must(x)		((x) ? (void)0 : abort())

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct pushed_id whole = { 0 }, cut = { 0 };
	struct span s = span_of((const char *)data + 1, n > 0 ? n - 1 : 0);
	size_t piece, used, at = 0;

	if (n < 2)
		return 0;
	piece = data[0] + 1u;
	used = pushed_id_step(&whole, s);
	must(used == (s.n < PUSHED_ID_LINE ? s.n : PUSHED_ID_LINE));
	must((whole.is == PUSHED_ID_MORE) == (s.n < PUSHED_ID_LINE));
	while (at < s.n && cut.is == PUSHED_ID_MORE)
		at += pushed_id_step(&cut, span_of(s.p + at,
		    piece < s.n - at ? piece : s.n - at));
	must(at == used && cut.is == whole.is);
	must(whole.is != PUSHED_ID_THERE || uuid_eq(cut.id, whole.id));
	return 0;
}
