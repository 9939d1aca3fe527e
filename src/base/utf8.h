#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

/*
 * UTF-8 (RFC 3629) for a terminal.  What cannot be seen may lie about what can: of a line that
 * names somebody, characters without a shape of their own and those that turn the direction of
 * others (Unicode's Bidi_Control) count as unprintable, as controls do.  We err to showing an
 * octet too many.
 */

/* How many octets the character that begins with this one has; 0: none begins so.  ASCII: 1. */
size_t	utf8_length(unsigned char);
/* Whether n octets, at most 4, may be the front of a character that is no C1 control. */
bool	utf8_possible(const unsigned char *, size_t n);
/* The octets of the printable character at the front; a space is one.  0: there is none. */
size_t	utf8_printable(struct span);

#endif
