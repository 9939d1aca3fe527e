#ifndef HOME_PASSAGE_H
#define HOME_PASSAGE_H

#include "home/origin.h"

struct service;

/*
 * CONNECT: one connection that an edge passes to a service of this home
 * (doc/TUNNEL).
 *
 * The stream begins with a PROXY header that says who the client is.  It is read,
 * judged (home/backend.h) and thrown away; the backend gets one that home wrote.
 * Then
 *
 *	200	the backend is connected; octets go both ways (net/splice.h).  It goes with
 *		the backend's first, when they come within PASSAGE_ANSWER_MS, or when the
 *		client has spoken: one record and one waking of the edge for both
 *	400	no PROXY header within PASSAGE_HEADER_MS, or no good one
 *	403	the client's address is refused
 *	404	no such service
 *	502	the backend does not answer
 *	503	the service is closed (home/health.h), has its limit, or home is stopping
 *
 * Whatever the service is called, no octet of a backend that says `220` goes out
 * while it is not cleared as a mail server: the stream is cut, the service closed.
 */
#define PASSAGE_HEADER_MS	5000
#define PASSAGE_ANSWER_MS	20	/* most greet sooner; an edge waits 100 at least */
/*
 * The edge ends what is idle or old by its own configuration; these are for one
 * that does not.
 */
#define PASSAGE_IDLE_MS		(INT64_C(24) * 60 * 60 * 1000)
#define PASSAGE_TOTAL_MS	(INT64_C(30) * 24 * 60 * 60 * 1000)
#define PASSAGE_MEMORY		(128u << 20)	/* octets held for slow peers, by all together */

void	passages_init(struct tunnel_proc *);
/* Takes the stream, and answers it. */
void	passage_open(struct origin *, struct h2_stream *, const struct h2_head *);
/* Says how many asked for what is no service: once a second and, with INT64_MAX, at the end. */
void	passage_unknown(struct origin *, int64_t now_ms);
/* Once a second: what has run out of its time ends. */
void	passages_tick(struct tunnel_proc *);
/*
 * All of them, or those to one service, by a reset on both sides: home stops, or the
 * interlock has closed what it had opened.
 */
void	passages_end(struct tunnel_proc *, const struct service *, const char *why);

#endif
