#include "net/resolve_proto.h"

#include <string.h>

void
rm_put_addr(const struct netaddr *a, unsigned char out[RM_ADDR_LEN])
{
	out[0] = a->v6 ? 6 : 4;
	memcpy(out + 1, a->ip, sizeof(a->ip));
}

bool
rm_get_addr(const unsigned char in[RM_ADDR_LEN], struct netaddr *a)
{
	static const unsigned char mapped[12] = { [10] = 0xff, 0xff };

	*a = (struct netaddr){ .v6 = in[0] == 6 };
	memcpy(a->ip, in + 1, sizeof(a->ip));
	return in[0] == 6 || (in[0] == 4 && memcmp(a->ip, mapped, sizeof(mapped)) == 0);
}

bool
rm_hostname_ok(struct span s)
{
	size_t i, label = 0;
	bool letter = false;

	if (s.n == 0 || s.n > RM_HOSTNAME_MAX)
		return false;
	for (i = 0; i < s.n; i++) {
		char c = s.p[i], before = i > 0 ? s.p[i - 1] : '.';
		bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		bool digit = c >= '0' && c <= '9';

		if (c == '.') {
			if (label == 0 || before == '-')
				return false;
			label = 0;
			continue;
		}
		if ((!alpha && !digit && c != '-') || (c == '-' && label == 0) || ++label > 63)
			return false;
		letter = letter || alpha;
	}
	return label > 0 && s.p[s.n - 1] != '-' && letter;
}
