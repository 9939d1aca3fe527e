#ifndef HOME_BANS_H
#define HOME_BANS_H

#include "base/buf.h"
#include "base/netset.h"
#include "store/spool.h"

/*
 * Who is banned, as the writer told it, in the words of policy.  These are made once
 * a change: 100,000 of them are 6 MB, and every long poll of every tunnel asks.
 *
 * A ban that is over stays until another one changes: the edge ends it by itself
 * (until_ms), and must not be sent the others again for its sake.
 *
 * The caller owns the struct, zeroed at first.
 */
struct home_bans {
	struct netset	*now;		/* NULL: nobody yet */
	struct netset	*coming;	/* told in pieces, the last of which is not here */
	struct buf	 text;		/* for struct policy */
	unsigned char	 digest[32];	/* of the text; zero while nobody is banned */
};

/* Takes one piece; true: other bans are in force.  Memory out: logged, and the old ones stay. */
bool	home_bans_take(struct home_bans *, const struct spool_bans *, int64_t now_ms);
void	home_bans_fini(struct home_bans *);

#endif
