#ifndef HOME_ORIGIN_PUT_H
#define HOME_ORIGIN_PUT_H

#include "base/clock.h"
#include "home/origin.h"

/*
 * PUT and DELETE /mail/<id> on a tunnel: an object on its way from an edge into the spool
 * (home/arrival.h has what is answered), under the keys of the edge whose tunnel this is.
 */
void	origin_put(struct origin *, struct h2_stream *, struct uuid, const struct h2_head *,
	    bool has_body);
/* Calls off what does not move: a place of ORIGIN_PUTS_MAX is nobody's for ever. */
void	origin_put_sweep(struct origin *, struct instant now);
/* The tunnel is to end: verdicts that are waited for are taken as they are. */
void	origin_put_hurry(struct origin *);
/* The tunnel is gone: what is under way forgets it. */
void	origin_put_orphan(struct origin *);
/* DELETE /mail/<id>: the sender was told 5xx. */
void	origin_put_confirm(struct origin *, struct h2_stream *, struct uuid);

#endif
