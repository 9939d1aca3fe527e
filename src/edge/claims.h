#ifndef EDGE_CLAIMS_H
#define EDGE_CLAIMS_H

#include "edge/edge.h"
#include "proto/policy.h"

/*
 * A home's policy may speak of its own domains and services only (doc/TUNNEL).  What
 * it says of another's counts for nothing, as each is looked up at the home that the
 * configuration and the pairings name (edge/homes.h, edge/road.h); here that is said,
 * in two lines of the log at most, for the operator whose home is mistaken or not his
 * any more.
 */
void	claims_say(const struct edge *, const struct home *, const struct policy *);

#endif
