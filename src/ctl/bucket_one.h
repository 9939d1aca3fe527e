#ifndef CTL_BUCKET_ONE_H
#define CTL_BUCKET_ONE_H

#include <jansson.h>

#include "ctl/role.h"

/*
 * One held object in a store, by its id, for the commands that were told no more.
 * 1: it is there; 0: this bucket has none; -1 with why, which names the bucket.
 */
/* The sealed object to standard output; it stays there. */
int	bucket_cat(const struct conf_common *, const struct conf_bucket *, const char *id,
	    struct why *);
/* What the store knows of it, named as `show` names things; *out is the caller's. */
int	bucket_show(const struct conf_common *, const struct conf_bucket *, const char *id,
	    json_t **out, struct why *);

/* NULL: no edge, it holds mail on its disk, or its configuration was not read. */
const struct conf_bucket *bucket_spool(const struct role *);
/* What is said of an object that is held neither here (why) nor there (rc and words). */
void	bucket_nor(const struct conf_bucket *, int rc, const struct why *words, struct why *why);

#endif
