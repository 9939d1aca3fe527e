#include "proto/smtp_content.h"

/* Values of `header`: below HDR_FIELD, the octets of "received:" that this line has matched. */
static const char field[] = "received:";
enum {
	HDR_FIELD = sizeof(field) - 1,
	HDR_OTHER,			/* some other line */
	HDR_BLANK,			/* an empty line's CR */
	HDR_OVER,			/* the header section has ended */
};

static const struct span crlf = { "\r\n", 2 };

/*
 * The first NUL, CR or LF, or end.  All of them are below 14 and almost nothing
 * else in mail is, so that sixteen octets are passed over with one comparison.
 */
static const char *
next_special(const char *p, const char *end)
{
	typedef unsigned char block __attribute__((vector_size(16)));

	for (;;) {
		const char *stop = end;

		if (end - p >= (ptrdiff_t)sizeof(block)) {
			block v, low;
			uint64_t half[2];

			memcpy(&v, p, sizeof(v));
			low = (block)(v < 14);
			memcpy(half, &low, sizeof(half));
			if ((half[0] | half[1]) == 0) {
				p += sizeof(block);
				continue;
			}
			stop = p + sizeof(block);
		}
		for (; p < stop; p++)
			if (*p == '\n' || *p == '\r' || *p == '\0')
				return p;
		if (p == end)
			return end;
	}
}

/*
 * Follows good content through the header section.  Returns where its first fault is seen
 * to be one, and which, or n.
 */
static size_t
header_scan(struct smtp_content *c, const char *p, size_t n, enum smtp_fault *what)
{
	size_t i = 0;

	while (i < n && c->header != HDR_OVER) {
		char ch = p[i];

		if (c->ascii_header && (unsigned char)ch > 0x7f) {
			*what = SMTP_FAULT_UTF8;
			return i;
		}
		if (c->header == HDR_BLANK) {
			c->header = HDR_OVER;		/* content's CR is always followed by LF */
		} else if (c->header >= HDR_FIELD && c->ascii_header) {
			if (ch == '\n')
				c->header = 0;
		} else if (c->header >= HDR_FIELD) {
			const char *nl = memchr(p + i, '\n', n - i);

			if (nl == NULL)
				return n;
			i = (size_t)(nl - p);
			c->header = 0;
		} else if ((ch >= 'A' && ch <= 'Z' ? ch + ('a' - 'A') : ch) == field[c->header]) {
			if (++c->header == HDR_FIELD && ++c->hops > c->hops_max) {
				*what = SMTP_FAULT_HOPS;
				return i;
			}
		} else {
			c->header = c->header == 0 && ch == '\r' ? HDR_BLANK : HDR_OTHER;
		}
		i++;
	}
	return n;
}

static void
fault(struct smtp_content *c, enum smtp_fault what, enum smtp_content_ev *ev)
{
	if (c->fault == SMTP_FAULT_NONE) {
		c->fault = what;
		*ev = SMTP_CONTENT_FAULT;
	}
}

/* Good content; a fault in it is the one that comes first, wherever the input was cut. */
static void
tell(struct smtp_content *c, struct span s, enum smtp_content_ev *ev, struct span *body)
{
	enum smtp_fault what = SMTP_FAULT_NONE;
	size_t good;
	uint64_t room = c->size_max - c->size;

	if (c->fault != SMTP_FAULT_NONE || s.n == 0)
		return;
	good = header_scan(c, s.p, s.n, &what);
	if (good < s.n && good < room) {
		fault(c, what, ev);
	} else if (s.n > room) {
		fault(c, SMTP_FAULT_SIZE, ev);
	} else {
		c->size += s.n;
		*body = s;
		*ev = SMTP_CONTENT_BODY;
	}
}

/* A CR or LF stood alone; next is what followed the CR. */
static void
bare(struct smtp_content *c, char next, enum smtp_content_ev *ev, struct span *body)
{
	c->at = SMTP_AT_MID;
	c->odd = next == '\r';
	if (!c->normalize) {
		fault(c, SMTP_FAULT_BARE, ev);
	} else if (c->fault == SMTP_FAULT_NONE) {
		c->normalized++;
		tell(c, crlf, ev, body);
	}
}

/* From the middle of a line: as many whole lines as there are, up to something to decide. */
static size_t
run(struct smtp_content *c, const char *in, size_t len, enum smtp_content_ev *ev, struct span *body)
{
	const char *p = in, *end = in + len;
	size_t n, held = 0;

	for (;;) {
		p = next_special(p, end);
		if (p == end) {
			break;
		} else if (*p != '\r') {
			if (p > in)
				break;			/* the good part first */
			if (*p == '\n')
				bare(c, 0, ev, body);
			else
				fault(c, SMTP_FAULT_NUL, ev);
			return 1;
		} else if (p + 1 == end || p[1] != '\n') {
			c->at = SMTP_AT_CR;
			held = 1;
			break;
		}
		p += 2;
		if (p == end || (c->dots && *p == '.')) {
			c->at = SMTP_AT_LINE;
			break;
		}
		c->odd = false;
	}
	n = (size_t)(p - in);
	tell(c, span_of(in, n), ev, body);
	return n + held;
}

static size_t
step_once(struct smtp_content *c, const char *in, size_t len, enum smtp_content_ev *ev,
    struct span *body)
{
	switch (c->at) {
	case SMTP_AT_LINE:
		if (c->dots && in[0] == '.') {
			c->at = SMTP_AT_DOT;
			return 1;
		}
		c->odd = false;
		c->at = SMTP_AT_MID;
		return 0;
	case SMTP_AT_CR:
		if (in[0] == '\n') {
			c->at = SMTP_AT_LINE;
			tell(c, crlf, ev, body);
			return 1;
		}
		bare(c, in[0], ev, body);
		return 0;
	case SMTP_AT_DOT:
		if (in[0] == '\r') {
			c->at = SMTP_AT_DOT_CR;
			return 1;
		}
		c->odd = false;
		c->at = SMTP_AT_MID;		/* the dot was stuffing */
		return 0;
	case SMTP_AT_DOT_CR:
		if (in[0] == '\n') {
			*ev = SMTP_CONTENT_END;
			return 1;
		}
		bare(c, in[0], ev, body);
		return 0;
	case SMTP_AT_MID:
		break;
	}
	return run(c, in, len, ev, body);
}

size_t
smtp_content_step(struct smtp_content *c, const char *in, size_t len, enum smtp_content_ev *ev,
    struct span *body)
{
	size_t used = 0;

	*ev = SMTP_CONTENT_MORE;
	*body = (struct span){ 0 };
	while (used < len && *ev == SMTP_CONTENT_MORE)
		used += step_once(c, in + used, len - used, ev, body);
	return used;
}

void
smtp_content_last(struct smtp_content *c, enum smtp_content_ev *ev, struct span *body)
{
	*ev = SMTP_CONTENT_MORE;
	*body = (struct span){ 0 };
	if (c->at == SMTP_AT_CR)
		bare(c, 0, ev, body);
	if (*ev == SMTP_CONTENT_MORE)
		*ev = SMTP_CONTENT_END;
}

bool
smtp_content_odd_end(const struct smtp_content *c)
{
	return c->odd;
}
