#ifndef HOME_ARRIVAL_H
#define HOME_ARRIVAL_H

#include <stdint.h>

#include "home/intake.h"

/*
 * One sealed object on its way from its signer into the spool, whichever HTTP brought it: a
 * tunnel's PUT (home/origin_put.h) or a Worker's (home/push.h).
 *
 * The octets go to the spool as they come and are not opened here.  At the end the MAC is
 * judged under the keys of its signer; then its owner is told an HTTP status, once:
 *
 *	201	durable; with a wait (Prefer: wait=N) after N seconds or less
 *	200	every recipient has it
 *	202	durable, and no verdict in time or not the same for all
 *	422	every recipient refused for good, the SMTP reply in the text; provisional
 *		until it is confirmed
 *	400	its head or its length is wrong; nothing was kept
 *	403	the MAC is wrong: set aside, named, never delivered
 *	413	larger than may be kept here
 *	503	not durable here: the sender keeps it and comes again
 *
 * A stream that is cut leaves nothing, or a whole object: who comes again is told that it was
 * kept before.
 */
#define ARRIVAL_TEXT_MAX	4096	/* octets of an answer; an SMTP reply has 1,500 at most */

struct arrival;

struct arrival_at {			/* where it arrives; what it points to outlives it */
	const struct intake *intake;
	uint64_t	 most;		/* octets of an object; 413 beyond it */
	const char	*too_large;	/* in words, for that */
};

/* As the request says it; a header that is not there is empty. */
struct arrival_head {
	struct span	 mac;		/* posthouse-mac */
	struct span	 length;	/* content-length */
	bool		 has_body;
	enum spool_origin origin;
	const char	*worker;	/* whom the signer vouches for; NULL: it is its own */
	int		 wait_s;	/* -1: no verdict is asked */
};

/* May come from inside arrival_take, _add, _end, _refuse.  text: one reply, or a line, or "". */
typedef void arrival_told_fn(void *arg, unsigned status, const char *text);

/* NULL: memory is out.  Whatever comes of it, end it by arrival_leave. */
struct arrival *arrival_new(const struct arrival_at *, const char *signer, struct uuid,
    arrival_told_fn *, void *arg);
void	arrival_take(struct arrival *, const struct arrival_head *);	/* first of all */
void	arrival_add(struct arrival *, struct span);	/* passed over once it was answered */
void	arrival_end(struct arrival *);			/* that was all of it */
/* Answers for its owner's own reasons: not kept. */
void	arrival_refuse(struct arrival *, unsigned status, const char *text);
/* Instead of the above: the sender of a 422 was told 5xx.  204 or 503. */
void	arrival_confirm(struct arrival *);
/* A verdict that is waited for is taken as it is. */
void	arrival_hurry(struct arrival *);
/* Nobody waits for the answer any more; what was handed to the spool is kept all the same. */
void	arrival_leave(struct arrival **);

#endif
