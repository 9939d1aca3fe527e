#include "proto/smtp_reply_reader.h"

void
reply_reader_init(struct reply_reader *r)
{
	*r = (struct reply_reader){ 0 };
	buf_init(&r->raw, REPLY_OCTETS_MAX);
}

void
reply_reader_fini(struct reply_reader *r)
{
	buf_fini(&r->raw);
}

/* What is wrong with one more octet; NULL if nothing is. */
static const char *
octet(struct reply_reader *r, char c)
{
	bool cr = r->raw.n > r->line && r->raw.p[r->raw.n - 1] == '\r';

	if (c == '\n' && !cr)
		return "a line that ends in LF alone";
	if (c != '\n' && cr)
		return "a CR that ends no line";
	if (r->raw.n - r->line == REPLY_LINE_MAX)
		return "a line that is too long";
	if (r->raw.n == REPLY_OCTETS_MAX)
		return "a reply that is too long";
	return buf_add(&r->raw, &c, 1) ? NULL : "out of memory";
}

/* A line has ended, whose CRLF is in raw. */
static const char *
end_of_line(struct reply_reader *r, struct reply_ev *ev)
{
	struct span line = span_from(buf_span(&r->raw), r->line), text;
	unsigned code;
	bool last;

	line.n -= 2;
	if (!smtp_reply_line(line, &code, &last, &text))
		return "something that is no SMTP reply";
	r->line = r->raw.n;
	if (!last)
		return NULL;
	if (!smtp_reply_parse(buf_span(&r->raw), &ev->reply))
		return "one reply with several codes";
	ev->type = REPLY_WHOLE;
	ev->raw = buf_span(&r->raw);
	r->told = true;
	return NULL;
}

size_t
reply_reader_step(struct reply_reader *r, const char *p, size_t n, struct reply_ev *ev)
{
	size_t used = 0;

	*ev = (struct reply_ev){ .type = REPLY_NONE };
	if (r->told) {
		buf_clear(&r->raw);
		r->line = 0;
		r->told = false;
	}
	while (used < n && ev->type == REPLY_NONE && r->bad == NULL) {
		char c = p[used++];

		r->bad = octet(r, c);
		if (r->bad == NULL && c == '\n')
			r->bad = end_of_line(r, ev);
	}
	if (r->bad != NULL) {
		ev->type = REPLY_BAD;
		ev->why = r->bad;
	}
	return used;
}
