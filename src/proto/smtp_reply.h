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
#define SMTP_REPLY_TEXT_MAX	900	/* all lines of the text together, their \n counted */
#define SMTP_REPLY_LINE_MAX	500	/* of a printed line, no CRLF; RFC 5321 4.5.3.1.5: 510 */

struct smtp_reply {
	unsigned	code;			/* 200..599; 0 in a struct that says nothing yet */
	unsigned char	enhanced[3];		/* class 0: none, as in 220, 354 and after EHLO */
	char		text[SMTP_REPLY_TEXT_MAX + 1];	/* printable ASCII, lines parted by \n */
};

/* Whatever in the text is neither printable ASCII nor \n becomes `?`; too long a text is cut. */
struct smtp_reply smtp_reply(unsigned code, unsigned a, unsigned b, unsigned c, const char *, ...)
		    __attribute__((format(printf, 5, 6)));
/* "550 5.1.1 text", lines continued by "550-"; too long a line goes on in the next. */
bool	smtp_reply_print(const struct smtp_reply *, struct buf *);
/*
 * One whole reply, its lines ended by CRLF or LF, all with one code; false if it
 * is none or more than one, and *out says nothing.  An enhanced code that each
 * line repeats is taken off the text; one of another class than the code's, or
 * above 255, stays text.
 */
bool	smtp_reply_parse(struct span, struct smtp_reply *out);
/* One line of such a reply without its end: "250-text", "250 text", "250". */
bool	smtp_reply_line(struct span line, unsigned *code, bool *last, struct span *text);

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
