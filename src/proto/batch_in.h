#ifndef PROTO_BATCH_IN_H
#define PROTO_BATCH_IN_H

/* Shared by batch_write.c and batch_read.c: what both must take for the same. */
#include <stdbool.h>

#include "base/buf.h"

/* The octets that a line may show as they are. */
static inline bool
batch_visible(unsigned char c)
{
	return c >= 0x21 && c <= 0x7e;
}

/* What the EHLO line shows for what the client said.  False: out is full. */
bool	batch_add_shown(struct buf *out, const char *helo);

#endif
