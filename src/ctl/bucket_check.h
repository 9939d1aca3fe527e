#ifndef CTL_BUCKET_CHECK_H
#define CTL_BUCKET_CHECK_H

#include <stdbool.h>

#include <jansson.h>

#include "ctl/role.h"

/*
 * Whether a bucket is as the drain needs it, or an edge whose spool it is, tried one thing after
 * another with an object of our own, outside the prefix where a drain would find it.  Told on
 * standard output, or as objects in list.  False: something has to be mended; a warning alone is
 * none.
 */
#define BUCKET_CHECK_PREFIX "posthouse-check/"

bool	bucket_check(const struct role *, const struct conf_bucket *, json_t *list);

#endif
