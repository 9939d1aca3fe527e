#ifndef EDGE_EPHEMERALS_H
#define EDGE_EPHEMERALS_H

#include <stdbool.h>

#include "edge/homes.h"
#include "proto/age.h"

/*
 * What sealing can do before the message is there, done before: a thread keeps
 * some age_ephemerals ahead for each recipient that mail is sealed to, so that a
 * burst costs the loop a third of the work.  The thread stands back: while messages take from
 * what is there it makes nothing, unless little is left or a renewal is due, and a take never
 * waits for it.
 * Each is given out once and wiped here.  Whoever can read them can read the mail
 * that is coming in at this moment anyway: they live in that same process.  But a copy of its
 * memory, as of a virtual machine that is moved or saved, would open the mail of weeks to come
 * at a quiet edge, were they kept until they are used: they are made anew each hour.
 */

/* For all recipients together: 1 MiB, and a burst of as many messages. */
#define EPHEMERALS_AHEAD	16384
/* Recipients that something is kept ahead for, an equal share each; the others wait. */
#define EPHEMERALS_RECIPIENTS	16
/* Two seconds of a processor's, and mail of an hour that a copy opens. */
#define EPHEMERALS_RENEW_MS	(3600 * 1000)

struct ephemerals;

/* NULL: memory is out.  ahead, for all recipients: EPHEMERALS_AHEAD, and less in tests. */
struct ephemerals *ephemerals_new(size_t ahead);
/* In the sandbox: a thread inherits what its maker may do.  -1: it stays without, and slower. */
int	ephemerals_start(struct ephemerals *);
void	ephemerals_free(struct ephemerals **);	/* ends the thread, wipes all */

/* The homes' recipients are others now.  What was made for those that are gone is wiped. */
void	ephemerals_want(struct ephemerals *, const struct homes *);
/*
 * Each of those that are there is wiped as the thread makes another in its place: until then it
 * may still be given out.  To be called every EPHEMERALS_RENEW_MS.
 */
void	ephemerals_renew(struct ephemerals *);
/* One that was made ahead, or else is made now.  False: memory is out, or a low-order recipient. */
bool	ephemerals_take(struct ephemerals *, const struct age_recipient *, struct age_ephemeral *);
/* How many are there that were made since the last renewal. */
size_t	ephemerals_ahead(struct ephemerals *, const struct age_recipient *);

#endif
