#ifndef EDGE_BUCKET_WATCH_H
#define EDGE_BUCKET_WATCH_H

#include "base/scoreboard.h"
#include "conf/conf.h"
#include "net/s3.h"
#include "store/spool.h"

/*
 * What an edge knows of the bucket that it fills: what lies there, as of the last look, and what is
 * wrong with it.  For `status`, the quota and the alarms, and to find again a store that was away.
 */
enum trouble {
	TROUBLE_NONE = 0,
	TROUBLE_COUNT,		/* what lies there is not to be known; mail is taken all the same */
	TROUBLE_REACH,		/* it does not answer, or fails */
	TROUBLE_LOOK,		/* it does not know us */
	TROUBLE_PUT,		/* it takes nothing of us: only a PUT shows that it does again */
};

struct bucket_watch;
typedef void bucket_looked_fn(void *arg);	/* after each look, whatever it found */

/* For as long as the process lives, as all that it is given.  NULL: memory is out. */
struct bucket_watch *bucket_watch_new(struct s3 *, const struct conf_edge *,
		    struct board_bucket *, bucket_looked_fn *, void *arg);

/* Looks, where it is time for it; once a second. */
void	bucket_watch_tick(struct bucket_watch *);
/* The next look comes within so long. */
void	bucket_watch_soon(struct bucket_watch *, int64_t ms);
/* One was turned away for what lies there: looks whether some is gone, seldomer while none is. */
void	bucket_watch_full(struct bucket_watch *);
/* Nobody need wait for it any more, until a look finds it.  words: where nothing else is known. */
void	bucket_watch_away(struct bucket_watch *, const char *words);

/* What is worse is shown until it is over. */
void	bucket_watch_trouble(struct bucket_watch *, enum trouble, const char *words);
/* The store has taken one: whatever kept it from that is over. */
void	bucket_watch_put(struct bucket_watch *, const struct spool_meta *, uint64_t octets);

/*
 * Octets until hold.quota lies there, of everybody's, as far as the last look and we know.  Where
 * no look is possible what was put before it counts no more, here and below: we err to taking mail.
 */
uint64_t bucket_watch_room(const struct bucket_watch *);
/* Octets of what we put, as far as it lies there still: edge/tally.h. */
uint64_t bucket_watch_of(const struct bucket_watch *, const char *home,
		    const struct netaddr *net);

#endif
