#include "base/utf8.h"

#include <stdint.h>

size_t
utf8_length(unsigned char c)
{
	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c <= 0xdf)
		return 2;
	if (c >= 0xe0 && c <= 0xef)
		return 3;
	return c >= 0xf0 && c <= 0xf4 ? 4 : 0;
}

bool
utf8_possible(const unsigned char *p, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return false;
	if (n < 2)
		return true;
	switch (p[0]) {
	case 0xc2:
		return p[1] >= 0xa0;	/* below are the C1 controls: 0x9b is as good as ESC [ */
	case 0xe0:
		return p[1] >= 0xa0;
	case 0xed:
		return p[1] <= 0x9f;
	case 0xf0:
		return p[1] >= 0x90;
	case 0xf4:
		return p[1] <= 0x8f;
	default:
		return true;
	}
}

/* Beyond ASCII and the C1 controls. */
static const struct {
	uint32_t	first, last;
} unseen[] = {
	{ 0x00a0, 0x00a0 },		/* no-break space: no other than a space */
	{ 0x00ad, 0x00ad },		/* soft hyphen */
	{ 0x034f, 0x034f },		/* combining grapheme joiner */
	{ 0x061c, 0x061c },		/* Arabic letter mark: bidi */
	{ 0x115f, 0x1160 },		/* Hangul fillers */
	{ 0x180b, 0x180f },		/* Mongolian separators */
	{ 0x2000, 0x200f },		/* spaces, zero widths, bidi marks */
	{ 0x2028, 0x202f },		/* line ends, bidi embeddings */
	{ 0x205f, 0x206f },		/* invisible operators, bidi isolates */
	{ 0x3000, 0x3000 },		/* a space as wide as a character */
	{ 0x3164, 0x3164 },
	{ 0xe000, 0xf8ff },		/* private: whatever a font has there */
	{ 0xfe00, 0xfe0f },		/* variation selectors */
	{ 0xfeff, 0xfeff },		/* byte order mark */
	{ 0xffa0, 0xffa0 },
	{ 0xfff0, 0xfffb },		/* annotations */
	{ 0xfffe, 0xffff },		/* no characters */
	{ 0xe0000, 0x10ffff },		/* tags, selectors, private */
};

size_t
utf8_printable(struct span s)
{
	const unsigned char *p = (const void *)s.p;
	size_t n = s.n > 0 ? utf8_length(p[0]) : 0;
	uint32_t c;

	if (n == 1)
		return p[0] >= 0x20 && p[0] < 0x7f;
	if (n == 0 || n > s.n || !utf8_possible(p, n))
		return 0;
	c = p[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++)
		c = c << 6 | (p[i] & 0x3f);
	for (size_t i = 0; i < sizeof(unseen) / sizeof(unseen[0]); i++)
		if (c >= unseen[i].first && c <= unseen[i].last)
			return 0;
	return n;
}
