#ifndef HOME_TUNNEL_H
#define HOME_TUNNEL_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <uv.h>

#include "base/buf.h"
#include "base/clock.h"
#include "home/bans.h"
#include "home/delivery.h"
#include "home/intake.h"
#include "home/recipients.h"
#include "net/own_addrs.h"
#include "net/resolve.h"
#include "net/splice.h"
#include "store/ledger_words.h"

/*
 * The tunnel process of a home: it dials edges and serves the requests that
 * they make through what it dialled.
 *
 * It holds the tunnel's private key, each edge's pin and MAC keys, the directory
 * of large objects (to make files in) and netlink sockets: for routes, and to ask
 * who listens at a backend's port.  It talks to the writer (puts, outcomes), the
 * resolver and the courier (what to tell in policy).  It sees sealed octets only.
 * An attacker inside it can forge the arrival of sealed mail by any edge, lie to
 * edges about outcomes and see which sockets this machine has open; he cannot
 * open mail, and nothing that he forges can reach a relay (ORIGIN_TUNNEL).
 */
struct dialer;
struct health;
struct interlock;
struct netwatch;
struct passage;

struct tunnel_proc {
	struct proc	*proc;
	uv_loop_t	*loop;
	struct intake	 intake;
	struct resolver	*resolver;
	struct chan	*to_courier;
	struct netwatch	*netwatch;
	struct health	*health;	/* what is passed, and whether it may be */
	struct interlock *interlock;	/* which of them are mail servers that may be reached */
	struct own_addrs own;
	struct dialer	*dialers[EDGES_MAX];	/* by row of the edge; NULL: not dialled */
	struct splices	 splices;
	struct passage	*passages;	/* each has its splice once it is open */
	struct passage	*unanswered;	/* those that are open, and the edge does not know it */
	uv_timer_t	 answers;	/* runs while there are any */
	struct delivery	 delivery;	/* as the courier said */
	struct recipients recipients;	/* who is at home, as the courier said */
	struct recipients_in recipients_in;
	struct home_bans bans;
	/* What edges were told of both, counted by this process: two tunnels are no order. */
	uint64_t	 order_run, order_count;
	struct ledger_mark mark;	/* epoch 0: not known yet */
	char		 mark_runs[LEDGER_RUNS_TEXT];	/* of it, as answers name them */
	struct buf	 pem;		/* our tunnel key */
	struct buf	 next_pem;	/* the one we change to; empty: none */
	struct pin	 pins[2];
	size_t		 npins;
	uv_timer_t	 tick;		/* the scoreboard's figures; the end of a drain */
	unsigned	 addrs_ticks;	/* since own was read */
	bool		 draining;
	struct instant	 drain_began;
	bool		 cut;		/* what was passed longer than that was ended */
};

static inline const struct conf_home *
tunnel_conf(const struct tunnel_proc *t)
{
	return t->proc->home;
}

/* The edge as it is known now; NULL once it was unpaired and left the configuration. */
static inline const struct home_edge *
tunnel_edge(const struct tunnel_proc *t, const char *name)
{
	return edges_find(&t->intake.edges, name);
}

#endif
