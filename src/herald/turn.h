#ifndef HERALD_TURN_H
#define HERALD_TURN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "net/chan.h"

/*
 * Whose notice is under way on a road: a writer asks for one at a time (store/tell.h).  One that
 * was started again counts its notices from the beginning and knows nothing of what the one
 * before had asked for, so that an answer is for who asked or for nobody, and what the new one
 * asks for meanwhile waits for its turn.
 */
struct turn {				/* the caller's; zero before the first */
	bool		 going;
	struct chan	*asker;		/* NULL: it is gone */
	uint64_t	 tag;
	struct chan	*next_asker;	/* of what waits; NULL: nothing does */
	uint64_t	 next_tag;
	struct buf	 next;		/* NOTICE_MAX and an octet at most */
};

/* A notice came: true, it goes now.  False: it waits, or it is out of turn, and dropped. */
bool	turn_take(struct turn *, struct chan *, const struct chan_msg *);
/*
 * What goes is over; who asked is told.  True: the next one goes now, and out is its notice, the
 * caller's to free.
 */
bool	turn_over(struct turn *, const char *error, struct buf *out);
void	turn_gone(struct turn *);	/* the writer; what goes ends as nobody's */

#endif
