#ifndef EDGE_BANS_H
#define EDGE_BANS_H

#include "edge/edge.h"

/*
 * Whom the homes do not want to hear from, as each said in its policy.  A ban is its
 * home's alone: it closes a service only where every home behind it has made it, and
 * another home's domains and streams know nothing of it.  Tunnels never ask.
 *
 * While a home is away its last bans hold until they are over, at an edge that is started
 * anew as well (edge/recall.h).
 */

/* A stream that is this home's, or a recipient of it. */
bool	bans_home(const struct home *, const struct netaddr *client);
/* At accept, before anything is read: nobody behind the listener would take it. */
bool	bans_service(const struct edge *, const struct conf_service *,
	    const struct netaddr *client);
/* A home's bans are others now: whoever it bans and is connected to it is let go. */
void	bans_changed(struct edge *, const struct home *);

#endif
