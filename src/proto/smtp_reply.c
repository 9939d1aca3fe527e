#include "proto/smtp_reply.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define ENHANCED_MAX	(3 * 4)		/* octets, with their dots and the space */

/* Keeps a peer's bytes from becoming another line, or a terminal's commands. */
static void
make_printable(char *s)
{
	for (; *s != '\0'; s++)
		if (*s != '\n' && (*s < 0x20 || *s > 0x7e))
			*s = '?';
}

struct smtp_reply
smtp_reply(unsigned code, unsigned a, unsigned b, unsigned c, const char *fmt, ...)
{
	struct smtp_reply r = {
		.code = code,
		.enhanced = { (unsigned char)a, (unsigned char)b, (unsigned char)c },
	};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r.text, sizeof(r.text), fmt, ap);
	va_end(ap);
	make_printable(r.text);
	return r;
}

/* Of three digits at most.  Without printf: each reply of each session passes here. */
static size_t
print_number(unsigned v, size_t least, char *out)
{
	char digits[3];
	size_t n = 0;

	assert(v < 1000 && least <= sizeof(digits));
	for (; n < least || v > 0; v /= 10)
		digits[n++] = (char)('0' + v % 10);
	for (size_t i = 0; i < n; i++)
		out[i] = digits[n - 1 - i];
	return n;
}

/* "2.1.0 ", or "" where there is none. */
static size_t
print_enhanced(const unsigned char e[3], char out[ENHANCED_MAX])
{
	size_t n = 0;

	for (int i = 0; i < 3 && e[0] != 0; i++) {
		n += print_number(e[i], 1, out + n);
		out[n++] = i < 2 ? '.' : ' ';
	}
	return n;
}

bool
smtp_reply_print(const struct smtp_reply *r, struct buf *out)
{
	const char *p = r->text;
	char code[3], enhanced[ENHANCED_MAX];
	size_t ncode = print_number(r->code, sizeof(code), code);
	size_t nenhanced = print_enhanced(r->enhanced, enhanced);
	size_t most = SMTP_REPLY_LINE_MAX - 4 - nenhanced;

	for (;;) {
		size_t n = strcspn(p, "\n"), skip = 1;

		if (n > most) {
			n = most;
			skip = 0;
		}
		bool last = p[n] == '\0';
		const char *part = last ? " " : "-";
		size_t e = nenhanced;

		/*
		 * Nothing after the code: no space at the end of the line either, but in an
		 * empty challenge (RFC 4954 8).
		 */
		if (n == 0 && e > 0)
			e--;
		else if (n == 0 && last && r->code != 334)
			part = "";
		buf_add(out, code, ncode);
		buf_add_str(out, part);
		buf_add(out, enhanced, e);
		buf_add(out, p, n);
		buf_add_str(out, "\r\n");
		if (last)
			return !out->failed;
		p += n + skip;
	}
}

/* "5.1.1" at the front of s, up to a space or the end; returns its length, 0 if there is none. */
static size_t
parse_enhanced(struct span s, unsigned code, unsigned char out[3])
{
	size_t i = 0;

	for (int part = 0; part < 3; part++) {
		size_t start = i;
		unsigned long long v;

		while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
			i++;
		if (i - start > 3 || !span_u64(span_of(s.p + start, i - start), 255, &v))
			return 0;
		out[part] = (unsigned char)v;
		if (part < 2 && (i == s.n || s.p[i++] != '.'))
			return 0;
	}
	if (i < s.n && s.p[i] != ' ')
		return 0;
	return out[0] == code / 100 ? i : 0;
}

bool
smtp_reply_line(struct span line, unsigned *code, bool *last, struct span *text)
{
	unsigned long long v;

	if (line.n < 3 || !span_u64(span_of(line.p, 3), 599, &v) || v < 200)
		return false;
	*code = (unsigned)v;
	*last = line.n == 3 || line.p[3] == ' ';
	*text = span_from(line, 4);
	return *last || line.p[3] == '-';
}

bool
smtp_reply_parse(struct span in, struct smtp_reply *out)
{
	struct smtp_reply r = { 0 };
	bool last = false;
	size_t n = 0;

	*out = r;
	for (size_t lines = 0; !last; lines++) {
		const char *nl = in.n > 0 ? memchr(in.p, '\n', in.n) : NULL;
		unsigned code;
		unsigned char enhanced[3];
		struct span line, text;
		size_t e;

		if (nl == NULL)
			return false;
		line = span_of(in.p, (size_t)(nl - in.p));
		in = span_from(in, line.n + 1);
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (!smtp_reply_line(line, &code, &last, &text))
			return false;
		if (lines == 0)
			r.code = code;
		else if (r.code != code)
			return false;
		e = parse_enhanced(text, r.code, enhanced);
		if (lines == 0 && e > 0)
			memcpy(r.enhanced, enhanced, 3);
		if (e > 0 && memcmp(r.enhanced, enhanced, 3) == 0)
			text = span_from(text, e + 1);
		if (lines > 0 && n < SMTP_REPLY_TEXT_MAX)
			r.text[n++] = '\n';
		for (size_t i = 0; i < text.n && n < SMTP_REPLY_TEXT_MAX; i++)
			r.text[n++] = text.p[i] == '\n' || text.p[i] == '\0' ? '?' : text.p[i];
	}
	if (in.n != 0)
		return false;
	make_printable(r.text);
	*out = r;
	return true;
}
