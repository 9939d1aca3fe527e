#ifndef EDGE_TALLY_H
#define EDGE_TALLY_H

#include "base/netaddr.h"
#include "base/span.h"
#include "store/spool.h"

/*
 * How much of what this edge put into a bucket lies there still, of each home and each client
 * network: a store says that an object is there, and whose it is stands in it sealed.  Pure: no
 * I/O, no clock.
 *
 * An object counts from when the store has it.  A look at the bucket, which tells names in their
 * order, shows what is gone: what was counted before the look began and was passed over without
 * being found.  Kept in memory: of what an earlier process put nothing is known, and we err to
 * taking mail.
 */
#define TALLY_MAX	20000		/* objects, 1 MB; what comes beyond them is not counted */

struct tally;

struct tally *tally_new(void);		/* NULL: memory is out */
void	tally_free(struct tally **);

void	tally_add(struct tally *, const struct spool_meta *, uint64_t size);
/* In octets, of that home; from that network, or NULL: from all. */
uint64_t tally_octets(const struct tally *, const char *home, const struct netaddr *net);

/*
 * A look begins; each name that it finds; it is over.  whole: it came to the last name.  True:
 * something is gone.
 */
void	tally_look(struct tally *);
void	tally_seen(struct tally *, struct uuid);
bool	tally_looked(struct tally *, bool whole);

#endif
