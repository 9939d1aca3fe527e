#ifndef CTL_BUCKET_CAT_H
#define CTL_BUCKET_CAT_H

#include "ctl/role.h"

/*
 * The sealed object of that id, as the store has it, to standard output; it stays there.
 * 1: written; 0: the bucket has none; -1 with why.
 */
int	bucket_cat(const struct role *, const struct conf_bucket *, const char *id, struct why *);

#endif
