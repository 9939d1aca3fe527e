#ifndef PROTO_BATCH_SMTP_H
#define PROTO_BATCH_SMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/why.h"
#include "proto/envelope.h"

/*
 * The held object before it is sealed: a batch-SMTP transcript (RFC 2442) whose
 * data are BDAT chunks (RFC 3030).  doc/OBJECT has the grammar.
 *
 *	EHLO <helo>
 *	XCLIENT NAME=... ADDR=... PORT=... PROTO=ESMTP HELO=... DESTADDR=... DESTPORT=...
 *	XFORWARD IDENT=<id> SOURCE=REMOTE NAME=<edge>
 *	MAIL FROM:<...> params
 *	RCPT TO:<...> params		(one or more)
 *	BDAT <k>			(any number)
 *	BDAT <k> LAST
 *	QUIT
 */

/*
 * NAME, HELO and the XFORWARD values are xtext (RFC 3461 4): an octet outside
 * 0x21..0x7e, `+`, `=` and a `[` in front become +HH, so that no client can
 * break a line or spell [UNAVAILABLE] (what is not known; empty in the
 * envelope).  HELO= is what the client said, octet for octet.  The EHLO line
 * is for the eye and for replay by hand: the same with `?` for each octet
 * outside 0x21..0x7e, and `?` for nothing at all; the reader checks that they
 * agree.  IPv6 addresses are written IPV6:2001:db8::1.
 */

/* Writing: the head, then chunks as they come, then the end.  false: out is full (buf.failed). */
bool	batch_head(const struct envelope *, struct buf *out);
bool	batch_chunk(size_t k, struct buf *out);		/* "BDAT k\r\n"; k octets must follow */
bool	batch_end(struct buf *out);			/* "BDAT 0 LAST\r\nQUIT\r\n" */

/*
 * Reading, as a machine: bytes in, events out.  Everything is checked again;
 * what it was given came from a peer.  Strict where we are the only writers:
 * the lines in their order, verbs and keywords in upper case, one space,
 * attributes each once (in any order), decimal without leading zeros.
 */
#define BATCH_LINE_MAX	2048	/* with CRLF; a path and parameters of ENVELOPE_PARAMS_MAX fit */

enum batch_ev_type {
	BATCH_EV_NONE = 0,		/* feed more */
	BATCH_EV_ENVELOPE,		/* the head is whole: see batch_reader_envelope */
	BATCH_EV_BODY,			/* arg: message octets */
	/* QUIT seen after LAST: the object is whole.  Further bytes are BATCH_EV_BAD. */
	BATCH_EV_END,
	BATCH_EV_BAD,	/* malformed: see batch_reader_why; nothing more will come of it */
};

struct batch_ev {
	enum batch_ev_type type;
	struct span	 arg;		/* points into the input; good until the next call */
};

struct batch_reader;
struct batch_reader *batch_reader_new(void);		/* NULL: memory is out */
void	batch_reader_free(struct batch_reader **);
/* Uses a part of the input, all of it unless it tells an event, and returns how much. */
size_t	batch_reader_step(struct batch_reader *, const char *, size_t, struct batch_ev *);
/* After BATCH_EV_ENVELOPE. */
const struct envelope *batch_reader_envelope(const struct batch_reader *);
/* The caller's from here on. */
struct envelope *batch_reader_envelope_take(struct batch_reader *);
/* After BATCH_EV_BAD: "line 4: what", chunks not counted; nothing of a peer's is in it. */
const char *batch_reader_why(const struct batch_reader *);
/* Whether what ended it was want of memory: then nothing is known of the object. */
bool	batch_reader_no_room(const struct batch_reader *);
/* Whether the object was whole when the input ended; if not, it is truncated. */
bool	batch_reader_done(const struct batch_reader *);

#endif
