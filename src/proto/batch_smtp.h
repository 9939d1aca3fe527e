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

/* Writing: the head, then chunks as they come, then the end.  false: out is full (buf.failed). */
bool	batch_head(const struct envelope *, struct buf *out);
bool	batch_chunk(size_t k, struct buf *out);		/* "BDAT k\r\n"; k octets must follow */
bool	batch_end(struct buf *out);			/* "BDAT 0 LAST\r\nQUIT\r\n" */

/*
 * Reading, as a machine: bytes in, events out.  Everything is checked again;
 * what it was given came from a peer.
 */
#define BATCH_LINE_MAX	2048		/* a path of 256 and parameters of ENVELOPE_PARAMS_MAX fit */

enum batch_ev_type {
	BATCH_EV_NONE = 0,		/* feed more */
	BATCH_EV_ENVELOPE,		/* the head is whole: see batch_envelope */
	BATCH_EV_BODY,			/* arg: message octets */
	BATCH_EV_END,			/* QUIT seen after LAST: the object is whole.  Further bytes are BATCH_EV_BAD. */
	BATCH_EV_BAD,			/* malformed: see batch_why; nothing more will come of it */
};

struct batch_ev {
	enum batch_ev_type type;
	struct span	 arg;		/* points into the input; good until the next call */
};

struct batch_reader;
struct batch_reader *batch_reader_new(void);
void	batch_reader_free(struct batch_reader **);
size_t	batch_reader_step(struct batch_reader *, const char *, size_t, struct batch_ev *);
const struct envelope *batch_reader_envelope(const struct batch_reader *);	/* after BATCH_EV_ENVELOPE */
const char *batch_reader_why(const struct batch_reader *);
/* Whether the object was whole when the input ended; if not, it is truncated. */
bool	batch_reader_done(const struct batch_reader *);

#endif
