#ifndef HOME_ORIGIN_H
#define HOME_ORIGIN_H

#include <stdbool.h>

#include "base/log.h"
#include "home/tunnel.h"
#include "net/h2.h"

/*
 * The origin that one tunnel reaches (doc/TUNNEL): PUT and DELETE /mail/<id>,
 * GET /policy and /policy/bans, CONNECT (home/passage.h); all else is 404 or 405.
 * What comes through it speaks for the one edge whose key the tunnel showed.
 */
#define ORIGIN_PUTS_MAX		64	/* at once on one tunnel; 503 beyond it */
/*
 * A PUT on which nothing went for so long is called off, as one whose tunnel broke.  Twice what an
 * edge waits: one that is well has done so before, and offers the object again.
 */
#define ORIGIN_STILL_MS		600000
#define ORIGIN_WAITERS_MAX	8	/* long polls; the oldest is answered early beyond it */
#define ORIGIN_LISTS_MAX	2	/* of all bans, 4 MB each, at once; 503 beyond it */
#define ORIGIN_WAIT_MAX		3600	/* seconds of Prefer: wait that are honoured */
#define ORIGIN_WRITER_WAIT	10	/* seconds that a first policy waits for the ledger */

struct put;
struct waiter;

struct origin {
	struct tunnel_proc *tunnel;
	char		 edge[256];
	struct h2	*h2;
	struct put	*puts;		/* under way */
	unsigned	 nputs;
	struct waiter	*waiters;
	unsigned	 nwaiters;
	unsigned	 nlists;
	struct log_often unknown;	/* CONNECTs to no service of ours */
	struct log_text	 unknown_last;	/* to which */
};

/* NULL: memory is out. */
struct origin *origin_new(struct tunnel_proc *, const char *edge, struct h2 *);
void	origin_request(void *arg, struct h2_stream *, const struct h2_head *, bool has_body);
void	origin_policy(struct origin *);		/* policy may have changed */
void	origin_tick(struct origin *);		/* once a second: what is still is called off */
void	origin_finish(struct origin *);		/* the tunnel is to end: nothing waits any longer */
void	origin_free(struct origin **);		/* the tunnel is gone, its streams before */

/* --- for what serves a request ------------------------------------------------------------ */

/* Answers with a line of text (may be empty) and the ledger's mark. */
void	origin_answer(struct origin *, struct h2_stream *, unsigned status, const char *text);
/* The same for a request that was answered at once: takes the stream, throws its body away. */
void	origin_answer_now(struct origin *, struct h2_stream *, unsigned status, const char *text);
/* CONNECT: 200, and what pull gives.  False: it cannot be answered any more. */
bool	origin_accept(struct origin *, struct h2_stream *, h2_pull_fn *, void *arg);
/* The same for any body; etag "" none. */
void	origin_answer_with(struct origin *, struct h2_stream *, unsigned status, const char *type,
	    const char *etag, struct span body);
/* N of `Prefer: wait=N` (RFC 7240), at most ORIGIN_WAIT_MAX; -1 without. */
int	origin_prefer_wait(const struct h2_head *);

#endif
