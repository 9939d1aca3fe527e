#ifndef HOME_INTAKE_H
#define HOME_INTAKE_H

#include "home/origin.h"

/*
 * PUT /mail/<id>: one sealed object on its way from an edge into the spool.
 *
 * The octets go to the spool as they come and are not opened here.  At the end
 * the MAC is judged under the keys of the edge whose tunnel this is; then
 *
 *	201	durable; with Prefer: wait=N after N seconds or less
 *	200	every recipient has it
 *	202	durable, and no verdict in time or not the same for all
 *	422	every recipient refused for good, the SMTP reply in the body; provisional
 *		until DELETE confirms it
 *	403	the MAC is wrong: set aside, named, never delivered
 *	503	not durable here: the edge keeps it and comes again
 *
 * A stream that is cut leaves nothing, or a whole object: the edge comes again
 * and is told that it was kept before.
 */
void	intake_put(struct origin *, struct h2_stream *, struct uuid, const struct h2_head *,
	    bool has_body);
/* The tunnel is to end: verdicts that are waited for are taken as they are. */
void	intake_hurry(struct origin *);
/* The tunnel is gone: what is under way forgets it. */
void	intake_orphan(struct origin *);
/* DELETE /mail/<id>: the sender was told 5xx. */
void	intake_confirm(struct origin *, struct h2_stream *, struct uuid);

#endif
