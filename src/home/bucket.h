#ifndef HOME_BUCKET_H
#define HOME_BUCKET_H

#include "home/drain.h"
#include "net/s3.h"

/*
 * One bucket, looked at again and again: a look lists all that waits there, fetches the oldest
 * first (home/fetch.h), and ends; home/pace.h says when the next one begins, home/bucket_keep.h
 * does what is due between the two.  A cursor from one look to the next would pass over names
 * that come late.
 *
 * What is no mail of ours stays where it is, is named once, counted in every look, shown in
 * `status`, and not fetched again (home/shunned.h).  A store that fails again and again ends the
 * look, not the patience.
 */
#define BUCKET_PAGES_MAX	1000	/* of a listing, a million names; the rest another time */
#define BUCKET_FAILURES_MAX	8	/* fetches in a row that the store failed */

/* NULL with why.  Before the sandbox; looks begin with bucket_go. */
struct bucket *bucket_new(struct drain_proc *, size_t place, const struct s3_keys *,
    struct why *);
void	bucket_configure(struct bucket *);		/* the configuration may have changed */
void	bucket_keys(struct bucket *, const struct s3_keys *);
void	bucket_go(struct bucket *);			/* spool or signers: it may begin now */
void	bucket_signers(struct bucket *);	/* they changed: what lies aside may be mail */
/* The keys are known that an older pipeline's mail is sealed to: it waited for them. */
void	bucket_recipients(struct bucket *);
/* The operator wants a look that begins from now on; the number it will have. */
uint64_t bucket_look(struct bucket *);
/* No further fetch begins; it is busy until those under way have ended. */
void	bucket_stop(struct bucket *);
bool	bucket_busy(const struct bucket *);

#endif
