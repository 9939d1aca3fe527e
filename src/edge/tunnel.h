#ifndef EDGE_TUNNEL_H
#define EDGE_TUNNEL_H

#include "edge/edge.h"

/*
 * The tunnels that homes dial.  A certificate whose key is pinned for a home is
 * that home; while a pairing line is open, an unknown one may speak
 * `posthouse-pair/1` and nothing else; all others end in the handshake.
 *
 * On a tunnel the edge is the HTTP/2 client (doc/TUNNEL): it asks for the policy
 * as a long poll and hands over what is held.
 */
void	tunnel_accept(struct edge *, int fd);		/* takes fd */
/* Pins were changed: ends the tunnels of peers that are none any more. */
void	tunnels_recheck(struct edge *);
void	tunnels_drain(struct edge *);
/* The TLS context from the tunnel's key; called again when it changes. */
int	tunnel_context(struct edge *, struct why *);
/*
 * What homes are told of our keys, at start and when one changes.  renewed: that in
 * use is another, and the tunnels that showed the old one end when idle.
 */
void	tunnels_rekey(struct edge *, bool renewed);

#endif
