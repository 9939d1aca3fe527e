#ifndef EDGE_OBJECT_OUT_H
#define EDGE_OBJECT_OUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/why.h"
#include "edge/homes.h"
#include "proto/envelope.h"
#include "proto/trace.h"
#include "store/spool.h"

/*
 * One message on its way into the spool: the held object is written, sealed and
 * signed while the octets pass by, in constant memory; no plaintext leaves this
 * process.  doc/OBJECT has the format.
 */
struct object_out;
struct edge;

/*
 * Opens an object for the home with the envelope's head and our Received: as its
 * first chunk, with the edge's spool and ephemerals.  NULL with why: memory is out, or the
 * spool refuses.
 */
struct object_out *object_out_new(struct edge *, const struct home *, const struct spool_meta *,
		    const struct envelope *, const struct trace *, struct why *);
/*
 * Message octets; what begins with a blank is parted from our Received.  -1: disk full or
 * failing; the object is lost and only _free is left.
 */
int	object_out_add(struct object_out *, struct span, struct why *);
/*
 * Ends it and hands it to the spool, which calls told once; the object is freed, *obj says what
 * was made of it (all but the row).  -1: as above, nothing will be told.
 */
int	object_out_commit(struct object_out **, struct spool_object *obj, spool_kept_fn *told,
    void *arg,
	    struct why *);
void	object_out_free(struct object_out **);

#endif
