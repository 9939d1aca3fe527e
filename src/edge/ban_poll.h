#ifndef EDGE_BAN_POLL_H
#define EDGE_BAN_POLL_H

#include "edge/edge.h"
#include "net/h2.h"

/*
 * The list of whom a home bans, kept up to date over one tunnel: a long poll of
 * GET /policy/bans that takes changes (RFC 3229) where home still has them and all
 * of it where not.  A whole list is read as it comes, on one tunnel of the home at a
 * time, and is in force once its end is here; what came before an error is not.
 */
struct ban_poll;

/* Begins to ask; NULL: memory is out. */
struct ban_poll *ban_poll_new(struct edge *, struct home *, struct h2 *);
/* Asks no more: the tunnel is to end. */
void	ban_poll_stop(struct ban_poll *);
/* The tunnel is gone, its streams before. */
void	ban_poll_free(struct ban_poll **);

#endif
