#ifndef HOME_BANS_H
#define HOME_BANS_H

#include "base/netset.h"
#include "proto/ban_list.h"
#include "store/spool.h"

/*
 * Who is banned, as the writer told it, and what changed last: an edge that has an
 * older list is sent the changes since (RFC 3229), not 100,000 entries for one of them.
 *
 * The list's entity tag counts its changes since this process learned it.  A ban that
 * is over is no change: the edge ends it by itself (until_ms), and here it goes when
 * its room is needed.
 *
 * The caller owns the struct, zeroed at first.
 */
#define BANS_ETAG_MAX	48

struct home_bans {
	struct netset	*now;		/* NULL: not told yet */
	struct netset	*coming;	/* told in pieces, the last of which is not here */
	uint64_t	 series;	/* chosen at random with each list that was told anew */
	uint64_t	 seq;		/* changes since */
	struct ban_change *last;	/* change i at i % BAN_CHANGES_MAX */
};

/* Takes one piece; true: other bans are in force.  Memory out: logged, and the old ones stay. */
/* now_ms here and below: boot_ms. */
bool	home_bans_take(struct home_bans *, const struct spool_bans *, int64_t now_ms);
/* "" before they were told. */
void	home_bans_etag(const struct home_bans *, char etag[BANS_ETAG_MAX]);
/* The changes since the list of that tag.  False: too long ago, another series, or memory. */
bool	home_bans_since(const struct home_bans *, const char *etag, int64_t now_ms,
	    struct buf *out);
/* All of them as they are now, the caller's to free; NULL: memory is out. */
struct netset_entry *home_bans_all(const struct home_bans *, size_t *n);
void	home_bans_fini(struct home_bans *);

#endif
