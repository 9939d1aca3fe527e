#ifndef CTL_BUCKET_CHECK_H
#define CTL_BUCKET_CHECK_H

#include "ctl/finding.h"
#include "ctl/role.h"

/*
 * Whether a bucket is as the drain needs it, or an edge whose spool it is, tried one thing after
 * another with an object of our own, outside the prefix where a drain would find it.  A finding
 * for each step: "settings", "list", "write", "condition", "read", "copy", "delete", "lifecycle",
 * "elsewhere" (ctl/bucket_stray.h), "clock", of which those are left out that nothing can be said
 * of.
 *
 * A store that does not answer is waited for S3_CALL_MS a request; after BUCKET_CHECK_MS nothing
 * further is asked, but that what was written is deleted, and a finding "time" says so.
 */
#define BUCKET_CHECK_PREFIX "posthouse-check/"
#define BUCKET_CHECK_MS	60000

void	bucket_check(const struct role *, const struct conf_bucket *, const struct findings *);

#endif
