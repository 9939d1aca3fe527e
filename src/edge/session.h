#ifndef EDGE_SESSION_H
#define EDGE_SESSION_H

#include "base/clock.h"
#include "edge/edge.h"
#include "net/conn.h"

/*
 * One public SMTP connection: moves bytes between its conn and the machine of
 * proto/smtp_server.h, decides what the machine asks, and makes the object.
 *
 * A session has at most one transaction, one struct with one end.  While it
 * waits for the spool or for a verdict it reads nothing.
 */

/* Takes fd.  What is over a limit is told 421 and closed. service: whose listener it was. */
void	session_accept(struct edge *, int fd, const struct conf_service *service);
/*
 * The same for a connection that another part of this process has begun: takes conn,
 * whose octets nobody has used.  client and dest: the true ones, which behind a load
 * balancer are not the socket's.
 */
void	session_take(struct edge *, struct conn *, const struct netaddr *client,
	    const struct netaddr *dest, const struct conf_service *);
/* A name for the log lines of one connection. */
void	session_sid(char sid[12]);
/* Ends what has run out of its time: call once a second. */
void	sessions_sweep(struct edge *, struct instant now);
/* Says 421 to the idle ones; the others are told at their next command. */
void	sessions_drain(struct edge *);

/*
 * A home bans others now: says 421 to those that it will not take anything from, once
 * what is being kept or judged is answered.  A message that was told 250 stays.
 */
void	sessions_banned(struct edge *, const struct home *);

struct terms *terms_new(const struct conf_edge *);
void	terms_drop(struct terms **);

#endif
