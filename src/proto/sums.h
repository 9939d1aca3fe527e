#ifndef PROTO_SUMS_H
#define PROTO_SUMS_H

#include <stdbool.h>

#include "base/span.h"
#include "proto/crypto.h"

/*
 * A file SHA256SUMS, as sha256sum(1) writes and checks it: a line each of 64 hexadecimal
 * digits, two spaces and the name of a file beside it.  The names of a backup (doc/STORE) are
 * made of letters, digits, dots, dashes and underscores, in one folder at most, and none
 * begins with a dot: whatever such a file says, it names nothing elsewhere.
 */
#define SUMS_NAME_MAX	300		/* a folder and an edge's name, which is a host's */
#define SUMS_LINE_MAX	(2 * SHA256_LEN + 2 + SUMS_NAME_MAX + 1)

struct sum {
	unsigned char	sha256[SHA256_LEN];
	char		name[SUMS_NAME_MAX];
};

/* The next line, and text goes behind it.  False: there is none, or, text->n > 0, a wrong one. */
bool	sums_next(struct span *text, struct sum *out);
bool	sums_name_ok(struct span);
/* With its end; returns its length. */
size_t	sums_line(const struct sum *, char out[SUMS_LINE_MAX + 1]);

#endif
