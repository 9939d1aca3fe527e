#ifndef PROTO_KEY_LINES_H
#define PROTO_KEY_LINES_H

#include "base/secret.h"
#include "base/span.h"

/*
 * A file of a 256-bit key as `openssl rand -hex 32` writes it: 64 hexadecimal digits, a line.
 * Two lines while a key is changed: the first is in use, the second, which may still be met,
 * the one before.  White space around a line and empty lines do not count.
 */
#define KEY_LINES_MAX	2

/* How many there are; 0: it is no such file, and nothing is held. */
size_t	key_lines_read(struct span, struct secret out[KEY_LINES_MAX]);

#endif
