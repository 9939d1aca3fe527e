/*
 * The two headers of a Worker's request that we read ourselves.  Nobody but who has all of a
 * token is let in, and a wait is one that may be.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "home/push.h"
#include "home/push_gate.h"
#include "proto/prefer.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define must(x)	((x) ? (void)0 : abort())
#define TOKEN	"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct push_gate g = { 0 };
	struct span s = span_of(data, n);
	bool in;
	int wait = prefer_wait(s, PUSH_WAIT_MAX);

	must(wait >= -1 && wait <= PUSH_WAIT_MAX);
	push_gate_token(&g, "w.example.org", span_str(TOKEN));
	in = push_gate_find(&g, s) != NULL;
	must(in == (n == 71 && span_starts_nocase(s, SPAN_LIT("Bearer ")) &&
	    span_eq_nocase(span_from(s, 7), span_str(TOKEN))));
	push_gate_fini(&g);
	return 0;
}
