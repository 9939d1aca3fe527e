#ifndef HOME_EDGES_H
#define HOME_EDGES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/scoreboard.h"
#include "conf/conf.h"
#include "proto/pairing.h"
#include "store/spool.h"

/*
 * The edges that this home knows: what pairing left, joined with what the
 * configuration says (which wins for address and pin).  Domains and MAC keys
 * come from pairing alone: an edge that only the configuration names can be
 * dialled, and may speak for no domain.
 */
#define EDGES_MAX BOARD_PEERS		/* each has its row in the scoreboard */

struct home_edge {
	char		name[256];
	struct peer	peer;		/* in force; no pins or no address: not dialled */
	struct peer	paired;		/* as the writer told it; name "" while unpaired */
	unsigned	row;		/* in the scoreboard */
	unsigned	streams;	/* passed now (home/passage.h) */
	/* this home's address as the edge sees it: its public one behind NAT */
	struct netaddr	sees;
	bool		sees_us;	/* it has said so */
	/* our ledger as it showed it, where the edge has seen a later one; epoch 0: it has not */
	struct ledger_mark refused;
};

struct edges {
	struct home_edge *list[EDGES_MAX];	/* stable pointers, until edges_fini */
	size_t		 n;
};

void	edges_configure(struct edges *, const struct conf_home *);	/* joins anew */
/* A pairing was made, changed, or (peer NULL) ended.  NULL when there are too many. */
struct home_edge *edges_paired(struct edges *, const struct conf_home *, const char *name,
		    const struct peer *);
struct home_edge *edges_find(const struct edges *, const char *name);
void	edges_fini(struct edges *);		/* wipes */

#endif
