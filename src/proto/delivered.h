#ifndef PROTO_DELIVERED_H
#define PROTO_DELIVERED_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/uuid.h"
#include "proto/address.h"

/*
 * The lines that home puts on top of each message in a Maildir, and that tell ever after
 * whom it was taken for:
 *
 *	Return-Path: <the sender>		(RFC 5321 4.4)
 *	Delivered-To: the recipient
 *	X-Posthouse-Id: the object's id
 */
#define DELIVERED_MAX	1024		/* octets of them: two addresses and 100 of our own */

struct delivered {
	char		recipient[ADDRESS_PRINT_MAX];	/* as address_print has it */
	struct uuid	id;
};

/* Adds them, with CRLF. */
bool	delivered_head(const struct address *from, const struct delivered *, struct buf *out);
/*
 * From the start of a message as it lies in a Maildir: LF.  False: these lines are not the
 * first three, so that somebody else delivered it.  What a sender wrote stands further down.
 */
bool	delivered_read(struct span start, struct delivered *out);

#endif
