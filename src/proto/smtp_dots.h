#ifndef PROTO_SMTP_DOTS_H
#define PROTO_SMTP_DOTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/*
 * Message octets as they go out behind DATA (RFC 5321 4.5.2): a dot at the beginning of
 * a line is doubled, and the end is CRLF.CRLF.
 *
 * What ends a line goes out as CRLF, whatever it was: a CR or LF alone, forwarded as it
 * is, would let a sender end the data where the next server believes in such line ends
 * (SMTP smuggling).
 */
struct smtp_dots {			/* zero at the start of each message */
	bool	inside;			/* of a line: its first octet went out */
	bool	cr;			/* one was seen whose LF may follow */
};

/* As much as out has room for; returns how many octets were used. */
size_t	smtp_dots_add(struct smtp_dots *, const char *, size_t, struct buf *out);
/* The end of the message, of at most SMTP_DOTS_END octets.  False: out is full. */
#define SMTP_DOTS_END	5
bool	smtp_dots_end(struct smtp_dots *, struct buf *out);

#endif
