#ifndef EDGE_PASSAGE_H
#define EDGE_PASSAGE_H

#include "edge/edge.h"

/*
 * One public connection on its way home: a load balancer's PROXY header is read
 * where there must be one, then whom the client asks for where the service has
 * several homes, and a CONNECT takes the stream (doc/TUNNEL), which begins with a
 * PROXY header of ours.  All that was not decided otherwise is never looked at.
 *
 * auto: the client is not read until its home has spoken (SMTP servers speak first),
 * so that up to then the same connection can be given to our own SMTP, with whatever
 * the client said too early.
 *
 * Its memory is bounded by PASSAGE_EARLY while it is looked at, then by net/splice.h.
 */
#define PASSAGE_EARLY	(32u << 10)	/* octets of a client that are read before it is passed */
/*
 * From home's answer to the first word of its backend, in auto: a server that looks
 * up names and lists first is given its time, out of the client's five minutes
 * (RFC 5321 4.5.3.2.1).
 */
#define PASSAGE_BANNER_MS 30000

/* Takes fd.  For services of every mode; hold without a load balancer need not come here. */
void	passage_accept(struct edge *, int fd, const struct conf_service *);
/* Ends what has run out of its time: call once a second. */
void	passages_sweep(struct edge *);
/* Those that are not passed yet go; the others have until passages_cut. */
void	passages_drain(struct edge *);
void	passages_cut(struct edge *);
/* A home bans others now: what is passed to it for them ends. */
void	passages_banned(struct edge *, const struct home *);
/* The limits of the configuration that is in force now. */
void	passages_limits(struct edge *);

#endif
