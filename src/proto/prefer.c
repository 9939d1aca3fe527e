#include "proto/prefer.h"

#include <string.h>

int
prefer_wait(struct span s, int most)
{
	unsigned long long n;

	while (s.n > 0) {
		const char *end = memchr(s.p, ',', s.n), *semi;
		struct span one = end != NULL ? span_of(s.p, (size_t)(end - s.p)) : s;

		s = span_from(s, end != NULL ? one.n + 1 : one.n);
		while (one.n > 0 && one.p[0] == ' ')
			one = span_from(one, 1);
		if (one.n > 0 && (semi = memchr(one.p, ';', one.n)) != NULL)
			one.n = (size_t)(semi - one.p);
		while (one.n > 0 && one.p[one.n - 1] == ' ')
			one.n--;
		if (span_starts_nocase(one, SPAN_LIT("wait=")) &&
		    span_u64(span_from(one, 5), 1000000, &n))
			return n < (unsigned long long)most ? (int)n : most;
	}
	return -1;
}
