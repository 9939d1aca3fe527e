#ifndef HOME_POLICY_OUT_H
#define HOME_POLICY_OUT_H

#include <stdbool.h>

#include "base/buf.h"
#include "home/tunnel.h"

#define POLICY_ETAG_MAX	40

/*
 * What this home tells one edge of itself (proto/policy.h): the domains granted
 * to that edge and no others, what delivery honours, which services are up, the
 * keys that it answers by, and those by which it knows the edge.  False: the ledger's
 * mark is not known yet, or memory is out.
 */
bool	policy_out(const struct tunnel_proc *, const struct home_edge *, struct buf *json);
/* The entity tag: of the document without its counter, which changes with every message. */
bool	policy_out_etag(const struct tunnel_proc *, const struct home_edge *,
	    char etag[POLICY_ETAG_MAX]);

#endif
