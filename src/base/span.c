#include "base/span.h"

bool
span_copy(struct span s, char *out, size_t max)
{
	size_t n;

	if (max == 0)
		return false;
	n = s.n < max ? s.n : max - 1;
	if (n > 0)
		memcpy(out, s.p, n);
	out[n] = '\0';
	return n == s.n && strlen(out) == n;
}

bool
span_u64(struct span s, unsigned long long max, unsigned long long *out)
{
	unsigned long long v = 0;

	*out = 0;
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned)(s.p[i] - '0');

		if (digit > 9 || v > (max - digit) / 10 || digit > max)
			return false;
		v = v * 10 + digit;
	}
	*out = v;
	return true;
}
