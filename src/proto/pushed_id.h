#ifndef PROTO_PUSHED_ID_H
#define PROTO_PUSHED_ID_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"
#include "base/uuid.h"

/*
 * The line that a Worker puts on top of a message which it hands over by SMTP:
 *
 *	X-Posthouse-Id: 0193e4a0-5c1f-8c62-9a55-3f0d7c8c2a11 CRLF
 *
 * the id that the object of the same message has on every other road (doc/OBJECT).
 * A pure machine over pieces of any size; the line is taken off.
 */
#define PUSHED_ID_LINE	(sizeof("X-Posthouse-Id: ") - 1 + 36 + 2)

enum pushed_id_is {
	PUSHED_ID_MORE = 0,		/* the line is not whole yet */
	PUSHED_ID_THERE,		/* id holds it */
	PUSHED_ID_NONE,			/* the message does not begin with that line */
};

struct pushed_id {			/* zero to begin */
	enum pushed_id_is is;
	struct uuid	id;
	char		line[PUSHED_ID_LINE];
	size_t		n;
};

/* Octets used: all of them while there is MORE; what is behind the line is the message. */
size_t	pushed_id_step(struct pushed_id *, struct span);

#endif
