#include "base/uuid.h"

#include <string.h>

#include "base/codec.h"

struct uuid
uuid_v7(int64_t ms, const unsigned char rnd[10])
{
	struct uuid u;

	for (int i = 0; i < 6; i++)
		u.b[i] = (unsigned char)((uint64_t)ms >> (40 - 8 * i));
	memcpy(u.b + 6, rnd, 10);
	u.b[6] = (unsigned char)((u.b[6] & 0x0f) | 0x70);
	u.b[8] = (unsigned char)((u.b[8] & 0x3f) | 0x80);
	return u;
}

struct uuid_text
uuid_text(struct uuid u)
{
	static const int len[] = { 4, 2, 2, 2, 6 };
	struct uuid_text t;
	char *o = t.s;
	const unsigned char *b = u.b;

	for (int i = 0; i < 5; i++) {
		if (i > 0)
			*o++ = '-';
		hex_encode(b, (size_t)len[i], o);
		o += 2 * len[i];
		b += len[i];
	}
	return t;
}

bool
uuid_parse(struct span s, struct uuid *u)
{
	char hex[32];
	size_t n = 0;

	*u = (struct uuid){ { 0 } };
	if (s.n != 36)
		return false;
	for (size_t i = 0; i < 36; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (s.p[i] != '-')
				return false;
		} else {
			hex[n++] = s.p[i];
		}
	}
	return hex_decode(span_of(hex, 32), u->b, 16);
}

bool
uuid_eq(struct uuid a, struct uuid b)
{
	return memcmp(a.b, b.b, 16) == 0;
}
