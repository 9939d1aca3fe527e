#include "proto/sums.h"

#include <stdio.h>
#include <string.h>

#include "base/codec.h"

bool
sums_name_ok(struct span s)
{
	size_t folders = 0;

	if (s.n == 0 || s.n >= SUMS_NAME_MAX || s.p[0] == '/' || s.p[s.n - 1] == '/')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '/')
			folders++;
		else if (c == '.' && (i == 0 || s.p[i - 1] == '/'))
			return false;
		else if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_'))
			return false;
	}
	return folders <= 1;
}

bool
sums_next(struct span *text, struct sum *out)
{
	const size_t digits = 2 * SHA256_LEN;
	const char *end = text->n > 0 ? memchr(text->p, '\n', text->n) : NULL;
	struct span line, name;

	if (end == NULL)
		return false;
	line = span_of(text->p, (size_t)(end - text->p));
	if (line.n <= digits + 2 || memcmp(line.p + digits, "  ", 2) != 0 ||
	    !hex_decode(span_of(line.p, digits), out->sha256, SHA256_LEN))
		return false;
	name = span_from(line, digits + 2);
	if (!sums_name_ok(name) || !span_copy(name, out->name, sizeof(out->name)))
		return false;
	*text = span_from(*text, line.n + 1);
	return true;
}

size_t
sums_line(const struct sum *s, char out[SUMS_LINE_MAX + 1])
{
	char digits[2 * SHA256_LEN + 1];

	hex_encode(s->sha256, SHA256_LEN, digits);
	return (size_t)snprintf(out, SUMS_LINE_MAX + 1, "%.*s  %s\n", 2 * SHA256_LEN, digits,
	    s->name);
}
