#include "base/codec.h"

void
hex_encode(const void *in, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = in;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * n] = '\0';
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
hex_decode(struct span in, void *out, size_t n)
{
	unsigned char *o = out;

	if (in.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int hi = hex_value(in.p[2 * i]), lo = hex_value(in.p[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		o[i] = (unsigned char)(hi << 4 | lo);
	}
	return true;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t
base64_encode(const void *in, size_t n, bool pad, char *out)
{
	const unsigned char *p = in;
	size_t o = 0;

	for (; n >= 3; n -= 3, p += 3) {
		out[o++] = alphabet[p[0] >> 2];
		out[o++] = alphabet[(p[0] & 3) << 4 | p[1] >> 4];
		out[o++] = alphabet[(p[1] & 15) << 2 | p[2] >> 6];
		out[o++] = alphabet[p[2] & 63];
	}
	if (n > 0) {
		unsigned second = n == 2 ? p[1] : 0;

		out[o++] = alphabet[p[0] >> 2];
		out[o++] = alphabet[(p[0] & 3) << 4 | second >> 4];
		if (n == 2)
			out[o++] = alphabet[(second & 15) << 2];
		else if (pad)
			out[o++] = '=';
		if (pad)
			out[o++] = '=';
	}
	out[o] = '\0';
	return o;
}

static int
base64_value(char c)
{
	const char *at = c == '\0' ? NULL : strchr(alphabet, c);

	return at == NULL ? -1 : (int)(at - alphabet);
}

bool
base64_decode(struct span in, bool pad, void *out, size_t max, size_t *n)
{
	unsigned char *o = out;
	unsigned long acc = 0;
	unsigned bits = 0;
	size_t len = in.n;

	*n = 0;
	if (pad) {
		if (len % 4 != 0)
			return false;
		for (unsigned k = 0; k < 2 && len > 0 && in.p[len - 1] == '='; k++)
			len--;
	}
	if (len % 4 == 1 || len / 4 * 3 + (len % 4 ? len % 4 - 1 : 0) > max)
		return false;
	for (size_t i = 0; i < len; i++) {
		int v = base64_value(in.p[i]);

		if (v < 0)
			return false;
		acc = (acc << 6 | (unsigned)v) & 0xffffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			o[(*n)++] = (unsigned char)(acc >> bits);
		}
	}
	return (acc & ((1UL << bits) - 1)) == 0;
}
