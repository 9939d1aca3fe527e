#ifndef BASE_UUID_H
#define BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

/*
 * An object's id: a UUIDv7 (RFC 9562 5.7) where an edge made it.  Identity,
 * never order: the clock behind it may jump.
 */
struct uuid {
	unsigned char	b[16];
};

struct uuid_text {
	char	s[37];
};

/* From the wall clock and ten random bytes; version and variant are set here. */
struct uuid	uuid_v7(int64_t ms, const unsigned char rnd[10]);
struct uuid_text uuid_text(struct uuid);
/* The 36-character form only, any version, either case. */
bool		uuid_parse(struct span, struct uuid *);
bool		uuid_eq(struct uuid, struct uuid);

#endif
