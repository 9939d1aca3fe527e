#include "proto/key_lines.h"

#include <string.h>

#include "base/codec.h"

static bool
is_white(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static struct span
trimmed(struct span s)
{
	while (s.n > 0 && is_white(s.p[0]))
		s = span_from(s, 1);
	while (s.n > 0 && is_white(s.p[s.n - 1]))
		s.n--;
	return s;
}

size_t
key_lines_read(struct span s, struct secret out[KEY_LINES_MAX])
{
	size_t n = 0;

	memset(out, 0, KEY_LINES_MAX * sizeof(*out));
	while (s.n > 0) {
		const char *end = memchr(s.p, '\n', s.n);
		struct span whole = span_of(s.p, end != NULL ? (size_t)(end - s.p) : s.n);
		struct span line = trimmed(whole);

		s = span_from(s, end != NULL ? whole.n + 1 : whole.n);
		if (line.n == 0)
			continue;
		if (n == KEY_LINES_MAX || !hex_decode(line, out[n].b, SECRET_LEN)) {
			for (size_t i = 0; i < KEY_LINES_MAX; i++)
				secret_fini(&out[i]);
			return 0;
		}
		out[n++].set = true;
	}
	return n;
}
