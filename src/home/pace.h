#ifndef HOME_PACE_H
#define HOME_PACE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * When a bucket is looked at next: often while mail comes, seldom while none does, and
 * never so often that a month's requests cost more than was allowed.  Pure: the time comes in,
 * of a clock that never jumps (base/clock.h, boot_ms).
 *
 * What is allowed flows in evenly, and up to a day of it is saved for a backlog.  A start has an
 * hour of it, so that a home that is started again and again spends no month in a night.
 */
#define PACE_MONTH_MS	(30ll * 86400 * 1000)
#define PACE_LEAST_MS	2000			/* between two looks while mail comes */
#define PACE_FAILED_MS	300000		/* the longest pause after failures, if poll is less */

enum pace_found {
	PACE_NOTHING = 0,
	PACE_MAIL,
	PACE_MORE,		/* and the pass left some behind: look at once */
	PACE_FAILED,
};

struct pace {
	int64_t		poll_ms;	/* between looks while no mail comes */
	double		per_ms;		/* requests */
	double		saved;		/* of them; below 0: spent ahead */
	int64_t		counted_ms;	/* when saved was right; 0: never */
	int64_t		mail_ms;	/* when some was last found; 0: never */
	unsigned	failures;	/* in a row */
};

/* month: requests; may be called again with other numbers. */
void	pace_configure(struct pace *, int64_t poll_ms, uint64_t month);
void	pace_spend(struct pace *, unsigned requests, int64_t now_ms);
/* A look has ended so: the time of the next one. */
int64_t	pace_next(struct pace *, enum pace_found, int64_t now_ms);
/* When there is something to spend again: now_ms, or later. */
int64_t	pace_afford(struct pace *, int64_t now_ms);

#endif
