#ifndef PROTO_PREFER_H
#define PROTO_PREFER_H

#include "base/span.h"

/* N of `wait=N` in the value of a Prefer header (RFC 7240), at most `most`; -1 without. */
int	prefer_wait(struct span, int most);

#endif
