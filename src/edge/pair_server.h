#ifndef EDGE_PAIR_SERVER_H
#define EDGE_PAIR_SERVER_H

#include "edge/edge.h"
#include "net/h2.h"

/*
 * The edge's side of pairing (proto/pairing.h): one `PUT /pair` of at most 4 KB
 * on a connection that may do nothing else, over within PAIR_SECONDS.  The
 * writer holds the lines that are open and counts their tries.
 */
#define PAIR_SECONDS 60

/* The handshake is done; h2 will be a server. false: memory is out. */
bool	pair_server(struct edge *, struct h2 *, const struct pin *);

#endif
