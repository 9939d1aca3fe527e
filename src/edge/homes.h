#ifndef EDGE_HOMES_H
#define EDGE_HOMES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/netset.h"
#include "conf/conf.h"
#include "edge/lanes.h"
#include "proto/ban_list.h"
#include "proto/pairing.h"
#include "proto/policy.h"
#include "store/spool.h"

/*
 * The homes that this edge serves: what the configuration says of each, joined
 * with what pairing left (the configuration wins), and the last policy that
 * each has given.  One home's keys, domains and policy never reach another's.
 */
struct handover;

#define HOME_AT_MAX	4		/* IPv4, IPv6, and the ones before a change of line */

struct home {
	char		name[PAIRING_NAME_MAX + 1];
	struct peer	peer;			/* pins, MAC keys, recipients, domains in force */
	struct peer	paired;			/* as the writer told it; name "" while unpaired */
	struct instant	 anew;			/* paired again, with another key; 0: not so */
	struct policy	*policy;		/* NULL until the home has spoken */
	char		etag[80];
	struct order	 policy_order;		/* run 0: not said by a tunnel since we began */
	struct netset	*bans;			/* each to its end by boot_ms; NULL: none */
	char		bans_etag[80];
	struct order	 bans_order;
	bool		bans_coming;		/* all of them, on one of its tunnels */
	bool		 unsaid[SPOOL_SAID_KINDS];	/* newer than what the writer keeps */
	struct instant	 said_at[SPOOL_SAID_KINDS];	/* to the writer; 0: not yet */
	/* where its tunnels came from, /64 in IPv6, newest first */
	struct netaddr	 at[HOME_AT_MAX];
	size_t		 nat;
	struct handover	*handover;		/* owned by handover.c */
	struct lanes	 lanes;			/* its tunnels; kept by handover_up and _down */
	size_t		 streams;		/* connections that it was asked to take, or has */
	bool		 full;			/* they were all that it may have; that was said */
};

struct homes {
	struct home	*list[CONF_HOMES_MAX];	/* stable pointers, until homes_fini */
	size_t		 n;
};

/*
 * Joins configuration and pairings anew; homes that lost both stay,
 * without pins, keys or domains.
 */
void	homes_configure(struct homes *, const struct conf_edge *);
/*
 * A pairing was made, changed or (peer NULL) ended.  Returns the home,
 * NULL when there are too many.
 */
struct home *homes_paired(struct homes *, const struct conf_edge *, const char *name,
    const struct peer *);
void	homes_fini(struct homes *);

struct home *homes_by_name(const struct homes *, const char *name);
struct home *homes_by_domain(const struct homes *, const char *domain);	/* lower case A-labels */
struct home *homes_by_pin(const struct homes *, const struct pin *);

/* Something to seal to and something to sign with: mail can be held for it. */
bool	home_can_hold(const struct home *);
/* Octets that a message for it may have; 0: it names no limit, or has not spoken yet. */
uint64_t home_takes(const struct home *);
/* Whether its mail server honours them; no, until it has spoken. */
bool	home_smtputf8(const struct home *);
bool	home_dsn(const struct home *);
/* Takes the policy. */
void	home_set_policy(struct home *, struct policy *, struct span etag);
/* Takes the set. */
void	home_set_bans(struct home *, struct netset *, struct span etag);
/* What is over makes room.  False: more than there may be, or memory is out. */
bool	bans_apply(struct netset *, const struct ban_change *, int64_t now_ms);
/* A tunnel of its comes from there.  True: it was not there last. */
bool	home_came_from(struct home *, const struct netaddr *);
/* Whether its tunnels come from that address, or from its network in IPv6. */
bool	home_is_at(const struct home *, const struct netaddr *);
/*
 * Whether it bans the client.  Never its own people, at an address that its tunnels come
 * from: a phone there with an old password must not lock the whole household out.
 */
bool	home_bans(const struct home *, const struct netaddr *client, int64_t now_ms);

#endif
