#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/*
 * Two clocks, never mixed.  An instant is monotonic and only measures waiting;
 * wall time names moments for people and for rows on disk, may jump, and no
 * decision but "has its time come" rests on it; that of what is thrown away for
 * its age rests on a clock_watch.
 */
struct instant {
	int64_t	ns;
};

struct instant	instant_now(void);
int64_t		instant_ms_since(struct instant earlier, struct instant later);

int64_t		wall_ms(void);				/* ms since 1970 UTC */
/* "Sat, 21 Nov 2026 03:40:00 +0000" (RFC 5322 3.3), always UTC; out holds at least 40. */
void		wall_rfc5322(int64_t ms, char *out, size_t max);
/* "2026-11-21T03:40:00.123Z"; out holds at least 32. */
void		wall_iso(int64_t ms, char *out, size_t max);

/* ms since the machine started, its sleep included: it never jumps (CLOCK_BOOTTIME). */
int64_t		boot_ms(void);

/*
 * Notices that the wall clock was set, or that it lies: it went another way between
 * two looks than boot_ms did.  For a day such a jump is in doubt, whichever of the
 * two times was the right one; a clock that is set back to where it was ends the doubt.
 * Jumps of a time in which nobody looked (we did not run) are not noticed.
 */
#define CLOCK_JUMP_MS	(5LL * 60 * 1000)	/* less is no harm to anything that we keep */
#define CLOCK_DOUBT_MS	(24LL * 3600 * 1000)
#define CLOCK_FIRST_MS	1767225600000LL		/* 2026: before it, the clock was never set */

struct clock_watch {
	int64_t	boot_ms, wall_ms;	/* at the last look */
	int64_t	jumped_ms;		/* what is in doubt, summed up; below 0: back; 0: nothing */
	int64_t	until_ms;		/* and until when, in boot_ms */
};

void		clock_watch_init(struct clock_watch *, int64_t boot_ms, int64_t wall_ms);
/* The jump since the last look in ms, or 0. */
int64_t		clock_watch_look(struct clock_watch *, int64_t boot_ms, int64_t wall_ms);
/*
 * What the wall clock says without what it jumped ahead and is in doubt: the age of
 * something by it may be too small, and is never too great by a jump.
 */
int64_t		clock_surely_ms(const struct clock_watch *);	/* as of the last look */


#endif
