#ifndef PROTO_SMTP_REPLY_H
#define PROTO_SMTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"

/*
 * An SMTP reply as a value, so that another server's words can travel in it:
 * code, enhanced code (RFC 2034, RFC 3463) and text.
 */
#define SMTP_REPLY_TEXT_MAX	900	/* all lines of the text; RFC 5321 4.5.3.1.5 gives a line 512 */

struct smtp_reply {
	unsigned	code;			/* 200..599; 0 in a struct that says nothing yet */
	unsigned char	enhanced[3];		/* class 0: none, as after EHLO and in 220, 221-less forms, 354 */
	char		text[SMTP_REPLY_TEXT_MAX + 1];	/* lines parted by \n; no CR, no other control characters */
};

struct smtp_reply smtp_reply(unsigned code, unsigned a, unsigned b, unsigned c, const char *fmt, ...)
		    __attribute__((format(printf, 5, 6)));
/* "550 5.1.1 text", lines continued by "550-"; text is cut into lines of at most 500 octets. */
bool	smtp_reply_print(const struct smtp_reply *, struct buf *);
/* One or more whole reply lines with CRLF or LF; false if they are none, and *out says nothing. */
bool	smtp_reply_parse(struct span, struct smtp_reply *out);

static inline bool
smtp_reply_permanent(const struct smtp_reply *r)
{
	return r->code / 100 == 5;
}

static inline bool
smtp_reply_positive(const struct smtp_reply *r)
{
	return r->code / 100 == 2;
}

#endif
