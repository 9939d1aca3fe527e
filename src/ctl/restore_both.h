#ifndef CTL_RESTORE_BOTH_H
#define CTL_RESTORE_BOTH_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/why.h"

/*
 * What home's state and the folder that takes its place both have, each another one.  Of what only
 * the operator may know which is right, told gets a line.  Done as the account of STATE.
 */
struct both {
	const char	*state, *staged;	/* paths */
};

/* The two texts of one file; the caller wipes them.  1; 0 one is not there; -1 with why. */
int	both_read(const struct both *, const char *name, size_t max, struct buf *here,
	    struct buf *next, struct why *);
/*
 * The pairings of both.  One that is here only stays.  Of two that differ it is that of the later
 * ledger: an edge signs by its last pairing, and home calls forged what it sends, where it has an
 * earlier one.  A file here that is no pairing counts for nothing.  used: mail came here already,
 * so that a pairing which only the backup has was ended since, perhaps.
 */
int	both_edges(const struct both *, bool here_is_later, bool used, struct buf *told,
    struct why *);
/* Keys are the backup's: one that is here may be damaged. */
int	both_keys(const struct both *, struct buf *told, struct why *);

#endif
