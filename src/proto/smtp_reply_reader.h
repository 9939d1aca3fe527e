#ifndef PROTO_SMTP_REPLY_READER_H
#define PROTO_SMTP_REPLY_READER_H

#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"
#include "proto/smtp_reply.h"

/*
 * A server's replies (RFC 5321 4.2) as a client reads them: octets in, cut anywhere,
 * one whole reply out at a time.
 *
 * Only CRLF ends a line.  A server that sends a LF or CR alone is refused, though
 * others bear with it: what it quotes in a text could otherwise become a reply of its
 * own, and the answer to the next command; a refusal would be taken for `250`.  We err
 * to mail that waits and an operator who is told why.
 */
#define REPLY_LINE_MAX	2048	/* with CRLF; 4.5.3.1.5 has 512, which lists in EHLO exceed */
#define REPLY_OCTETS_MAX 16384	/* of all lines of one reply */

enum reply_ev_type {
	REPLY_NONE = 0,		/* all input used; feed more */
	REPLY_WHOLE,		/* reply and raw are set */
	REPLY_BAD,		/* why says what; nothing more will come of it: close */
};

struct reply_ev {
	enum reply_ev_type type;
	struct smtp_reply reply;	/* its text cut at SMTP_REPLY_TEXT_MAX */
	struct span	 raw;		/* its lines as they came; good until the next step */
	const char	*why;		/* holds nothing of the server's */
};

struct reply_reader {
	struct buf	 raw;
	size_t		 line;		/* where in raw the last line begins */
	bool		 told;		/* raw is of the last event and goes with the next step */
	const char	*bad;
};

void	reply_reader_init(struct reply_reader *);	/* takes no memory yet */
void	reply_reader_fini(struct reply_reader *);
/*
 * Uses the input up to the end of the first whole reply, and returns how much that
 * was.  What is left is the next reply (RFC 2920), or was sent unasked for.
 */
size_t	reply_reader_step(struct reply_reader *, const char *, size_t, struct reply_ev *);

#endif
