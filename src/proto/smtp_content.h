#ifndef PROTO_SMTP_CONTENT_H
#define PROTO_SMTP_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/*
 * The lowest layer of smtp_server: the octets of one message as they come after
 * DATA or in BDAT chunks.  It undoes dots, finds the end, holds line ends to
 * CRLF, counts size and Received lines, and refuses NUL, and beyond ASCII a header that
 * must not be.  At the first fault it stops telling content and goes on reading to the end,
 * whatever the fault was.
 *
 * What ends data (RFC 5321 4.1.1.4, and SMTP smuggling): the octets CR LF . CR LF
 * and nothing else.  A dot after a bare CR or LF is content.
 */
enum smtp_fault {
	SMTP_FAULT_NONE = 0,
	SMTP_FAULT_BARE,		/* a CR or LF that is no half of a CRLF */
	SMTP_FAULT_NUL,
	SMTP_FAULT_HOPS,
	SMTP_FAULT_UTF8,		/* beyond ASCII in a header section that must not be */
	SMTP_FAULT_SIZE,
};

enum smtp_content_at {			/* what the octets so far leave open */
	SMTP_AT_LINE = 0,		/* at the start, or after CRLF: a dot is special here */
	SMTP_AT_MID,
	SMTP_AT_CR,			/* a CR is held back until its LF comes */
	SMTP_AT_DOT,			/* CRLF and a dot, which is held back */
	SMTP_AT_DOT_CR,
};

struct smtp_content {
	uint64_t	size;		/* octets told so far */
	uint64_t	size_max;
	unsigned	hops;		/* Received lines of the header section so far */
	unsigned	hops_max;
	unsigned	normalized;	/* bare line ends made CRLF */
	unsigned char	header;		/* how far the line is a Received line: see header_scan */
	enum smtp_content_at at;
	enum smtp_fault	fault;
	bool		dots;		/* DATA, not BDAT */
	bool		normalize;
	bool		ascii_header;	/* a fault is what is not, up to the first empty line */
	bool		odd;		/* the last line end was CR CR LF: see below */
};

enum smtp_content_ev {
	SMTP_CONTENT_MORE = 0,		/* all input used, nothing to tell */
	SMTP_CONTENT_BODY,		/* body: in the input, or static */
	SMTP_CONTENT_FAULT,		/* told once: c->fault is set now */
	SMTP_CONTENT_END,		/* CR LF . CR LF seen; only with dots */
};

/* Consumes a part of the input and tells at most one event. */
size_t	smtp_content_step(struct smtp_content *, const char *, size_t, enum smtp_content_ev *,
	    struct span *body);
/* The last chunk is whole: BODY (call again), FAULT or END. */
void	smtp_content_last(struct smtp_content *, enum smtp_content_ev *, struct span *body);
/*
 * The line before the final dot ended in CR CR LF.  A sending server that does
 * not take that for a line end lets a stranger's CR CR LF . CR LF through, and
 * what the stranger put behind it arrives as commands: nothing behind such an
 * end may be believed.
 */
bool	smtp_content_odd_end(const struct smtp_content *);

#endif
