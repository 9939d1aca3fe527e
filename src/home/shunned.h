#ifndef HOME_SHUNNED_H
#define HOME_SHUNNED_H

#include "home/listing.h"

/*
 * Objects of a bucket that need not be fetched, each by its name, size and time, so that one
 * that is put anew is looked at again.  What lies aside stays where it is, and nothing but the
 * bucket's owner or its lifecycle removes it; what failed twice is tried again later and later;
 * what is taken waits for nothing but its deletion.
 *
 * In memory only, and for so many: after a start, or beyond that, one is fetched once more,
 * which errs to a request.
 */
#define SHUNNED_SETS	4096
#define SHUNNED_WAYS	8		/* 32,768 in all: 1 MB */
#define SHUNNED_TRY_MS	60000		/* after the second failure; doubles */
#define SHUNNED_TRY_MOST_MS	(6ll * 3600 * 1000)

enum shun {
	SHUN_NOT = 0,
	SHUN_ASIDE,		/* until keys or configuration change */
	SHUN_LATER,		/* it failed; not before its time */
	SHUN_TAKEN,		/* durable here, and its deletion failed */
};

struct shunned;

struct shunned *shunned_new(void);	/* NULL: memory is out */
void	shunned_free(struct shunned **);

/* Of one that failed and whose time has come: SHUN_NOT. */
enum shun shunned_is(const struct shunned *, const struct listed *, int64_t now_ms);
/* SHUN_NOT forgets it.  now_ms: boot_ms; of SHUN_LATER the pause grows with each time. */
void	shunned_note(struct shunned *, const struct listed *, enum shun, int64_t now_ms);
void	shunned_again(struct shunned *);	/* what lies aside is worth another look */

#endif
