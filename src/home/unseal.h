#ifndef HOME_UNSEAL_H
#define HOME_UNSEAL_H

#include "base/why.h"
#include "proto/age.h"
#include "proto/batch_smtp.h"
#include "store/spool.h"

/*
 * One reading of one sealed object, in constant memory and at the reader's pace: each
 * call opens as much as it takes for the next event.  It blocks for as long as the disk
 * does, and writes nothing anywhere.
 *
 * Only UNSEAL_END says that the object was whole and authentic; what was told before it
 * may be the front of a truncated one.
 */
enum unseal_ev {
	UNSEAL_ENVELOPE = 0,	/* first, and once: see unseal_envelope */
	UNSEAL_BODY,		/* message octets, good until the next call */
	UNSEAL_END,
	/* The others end the reading, and unseal_why says why. */
	UNSEAL_MALFORMED,
	UNSEAL_NO_KEY,		/* none of these identities opens it */
	UNSEAL_LATER,		/* memory or disk: nothing is known of the object */
};

struct unseal;

/*
 * All is borrowed until _free.  known: the same one for each reading of this object, so that
 * only the first of them pays for the identities.  NULL: memory is out.
 */
struct unseal *unseal_new(const struct age_identity *, size_t n, const struct spool_content *,
    struct age_payload *known);
void	unseal_free(struct unseal **);		/* wipes */
enum unseal_ev unseal_next(struct unseal *, struct span *body);
const struct envelope *unseal_envelope(const struct unseal *);
struct envelope *unseal_envelope_take(struct unseal *);		/* after UNSEAL_END */
const char *unseal_why(const struct unseal *);

#endif
