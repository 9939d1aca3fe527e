#ifndef EDGE_RECALL_H
#define EDGE_RECALL_H

#include "edge/edge.h"

/*
 * What a home said last, over a restart of the edge: strangers to a home are refused, and
 * what it does not take is not announced, although it was away when the edge came up.  Its
 * list is as old as it is (policy_domain.learned_ms), and a ban ends when it would have.
 * Which of its services are up was true then and says nothing of now: none is.  Where it
 * dialled from is no word of its own, but its bans need it: they bite nobody there.
 *
 * Nothing here is worth a delay or a session: what fails is logged, and the edge then knows
 * as little of that home as if it had never been there.
 */

/* The writer's, at start; closes fd.  What the home has said meanwhile is newer and stays. */
void	recall_take(struct edge *, const char *home, enum spool_said, int fd);
/*
 * Once a second: what changed goes to the writer, of one home at most every
 * RECALL_REST_MS, since some change often and each is a whole file; at the end, anyway.
 */
#define RECALL_REST_MS	10000
void	recall_sweep(struct edge *, bool anyway);
/* Another writer: it may not have had what the last one got. */
void	recall_all(struct edge *);

#endif
