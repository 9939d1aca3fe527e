#ifndef HOME_RECIPIENTS_H
#define HOME_RECIPIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "home/edges.h"
#include "home/router.h"
#include "net/chan.h"
#include "proto/policy.h"

/*
 * Who is at home, as policy tells edges: for each granted domain salted digests of every
 * local part that the router would find a mailbox for.  The courier makes them, the tunnel
 * passes them on.
 *
 * An edge may take mail for somebody who is not here, and never refuses anybody who is: case
 * never counts in a digest, and tags are always cut, whatever the router makes of them.  A
 * domain with a catch-all, one whose mail server decides, one whose list is not known, and
 * any beyond POLICY_RECIPIENTS_MAX in all, is told without digests: everything is taken.
 */
struct recipients {
	struct policy_domain *domains;	/* each owns its digests */
	size_t		 n;
	unsigned char	 digest[16];	/* of all of it: another list has another */
};
void	recipients_fini(struct recipients *);

/*
 * What an edge is told of the domain d->name: fills the rest of it but learned_ms; its salt is
 * there.  refuse: whoever is not among the digests, of which there may be `most`, is nobody.
 */
void	recipients_of(struct policy_domain *d, const struct router *, bool refuse, size_t most);

/* The courier's: what is told, and when it was told last. */
struct recipients_out {
	unsigned char	 salt[16];	/* of this run */
	bool		 salted;
	uint64_t	 number;	/* of the list that was told; roster_number */
	int64_t		 learned_ms;	/* of that list, as told */
};

/*
 * Tells the tunnel, all of it.  learned_ms: when the list was last known to be right; 0:
 * nothing is known yet.
 */
void	recipients_tell(struct recipients_out *, struct chan *tunnel, const struct edges *,
	    const struct router *, bool refuse, int64_t learned_ms);

/*
 * The tunnel's: one message of the courier.  1: all came, *now is replaced; 0; -1: it is none,
 * and of the list that it belongs to nothing comes into force.
 */
struct recipients_in {
	bool		 begun;		/* by HM_DOMAINS, and whole so far */
	struct recipients coming;
	size_t		 total;
};
int	recipients_take(struct recipients_in *, struct chan_msg *, struct recipients *now);

#endif
