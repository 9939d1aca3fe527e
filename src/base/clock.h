#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/*
 * Two clocks, never mixed.  An instant is monotonic and only measures waiting;
 * wall time names moments for people and for rows on disk, may jump, and no
 * decision but "has its time come" rests on it.
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

#endif
