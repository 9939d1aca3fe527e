#ifndef CTL_BUCKET_STRAY_H
#define CTL_BUCKET_STRAY_H

#include "ctl/bucket_door.h"
#include "ctl/finding.h"
#include "ctl/role.h"

/*
 * Mail for this home that lies where no home looks: in its bucket, below another prefix than one of
 * the configuration's, signed by a Worker or an edge of its own.  Such is what a Worker with a
 * wrong BUCKET_PREFIX makes, who has been told that it is kept.  What others have in the same
 * bucket is theirs.  The finding "elsewhere" for each such prefix; none where there is nothing, or
 * the credentials may not look.
 */
#define BUCKET_STRAY_PAGES	10	/* of S3_PAGE_MAX names each, the first in order */
#define BUCKET_STRAY_PREFIXES	8

/* Uses the door, and what it asks for. */
void	bucket_stray(struct bucket_door *, const struct role *, const struct findings *);

#endif
