#ifndef HOME_LISTING_H
#define HOME_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/uuid.h"

/*
 * What one look at a bucket found, as far as it is to be fetched now: the oldest of all that was
 * listed, whatever was listed in all.  A name that is none of ours is counted and passed over.
 */
#define LISTING_MAX	20000		/* kept of a look: 2 MB; the others are for the next one */
#define LISTING_NAME	72		/* with its end, behind the prefix */

enum listed_form {
	LISTED_FOREIGN = 0,
	LISTED_OBJECT,		/* <id>.age (doc/OBJECT) */
	LISTED_OLD,		/* <sha256>.eml, of the pipeline that people come from */
};

struct listed {
	char		name[LISTING_NAME];
	int64_t		modified_ms;		/* when it was put, by the bucket's clock */
	uint64_t	size;
};

struct listing {
	struct listed	*list;
	size_t		 n, room;
	uint64_t	 left;		/* ours as well, and not kept */
	uint64_t	 octets;	/* of all that are ours */
};

/* What a name behind the prefix says.  id: of LISTED_OBJECT. */
enum listed_form listed_read(struct span name, struct uuid *id);

/* Keeps it if it is among the oldest.  False: memory is out. */
bool	listing_add(struct listing *, const struct listed *);
void	listing_sort(struct listing *);		/* oldest first; nothing is added after it */
void	listing_fini(struct listing *);

#endif
