#ifndef HOME_BUCKET_KEEP_H
#define HOME_BUCKET_KEEP_H

#include "home/drain.h"
#include "home/fetch.h"
#include "home/pace.h"
#include "net/s3.h"

/*
 * What is done in a bucket between two looks, once in a while: it is asked by what rules the
 * store itself deletes mail, which `status` shows, and what was taken in and kept is deleted when
 * it is old enough.  Of the latter a page at a time, for mail goes first.
 */
#define BUCKET_EXPIRY_MS	3600000		/* between looks for what was kept long enough */
#define BUCKET_RULES_MS		86400000	/* between looks at the lifecycle's rules */

/* Part of a bucket, which fills in the first five, and zeroes the rest. */
struct bucket_keep {
	struct drain_proc *drain;
	size_t		 place;		/* in the configuration */
	struct s3	*s3;
	struct pace	*pace;
	void		(*done)(struct bucket_keep *);	/* all that was due is done, or was tried */

	struct s3_call	*call;
	bool		 rules_asked;		/* in this run */
	bool		 stopped;
	int64_t		 rules_ms, expiry_ms;	/* boot_ms of the next time; 0: at once */
	struct s3_walk	 walk;		/* through what was kept; goes on in later runs */
	struct listed	 old[S3_PAGE_MAX];	/* kept long enough, of one page */
	size_t		 nold;
};

/* done may come before it returns. */
void	bucket_keep_run(struct bucket_keep *);
void	bucket_keep_stop(struct bucket_keep *);		/* for good; done no longer comes */

#endif
