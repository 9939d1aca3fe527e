#ifndef EDGE_LANES_H
#define EDGE_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/h2.h"

/*
 * The tunnels that are up to one home, and which of them a request goes by.  Passed
 * connections and what is handed over keep to tunnels of their own where there are
 * two: objects come as fast as the line takes them, and whoever types into a passed
 * connection would wait behind them.
 */
#define LANES_MAX	16		/* tunnels of one home, with those that are ending */

enum lane {
	LANE_PASS = 0,		/* the older half of the tunnels */
	LANE_BULK,		/* the younger half */
};

/*
 * Home's count of what it has said, by all its tunnels (doc/TUNNEL, posthouse-order): answers
 * of two tunnels overtake each other.  Run 0: it does not count.
 */
struct order {
	uint64_t	 run, count;
};

struct lanes {
	struct h2	*h2[LANES_MAX];	/* the oldest first */
	uint64_t	 run[LANES_MAX];	/* of home, last heard of on each; 0: none */
	size_t		 n;
	size_t		 turn;
};

/* Run 0 for anything that is none. */
struct order order_parse(struct span);

/* A tunnel is there for requests, until _drop. */
bool	lanes_add(struct lanes *, struct h2 *);		/* false: LANES_MAX are there */
void	lanes_drop(struct lanes *, struct h2 *);
/*
 * A request waits for its answer for so long: those tunnels from which nothing came in
 * that time are in doubt until they are heard (h2_doubt).  lanes_sure: one is not.
 */
void	lanes_doubt(struct lanes *, int64_t waited_ms);
bool	lanes_sure(const struct lanes *);
/*
 * Home said something by that tunnel.  False: it has said `than` since.  Of two runs that is later
 * which has the younger tunnel, until this is gone: a run that ended, or another machine that was
 * home as well, must not have the last word for good.
 */
bool	lanes_later(struct lanes *, const struct h2 *, struct order said, struct order than);
/*
 * As h2_request, on a tunnel of that lane in turn; one that takes nothing new (it is
 * going away, or full) is passed over, and the other lane's come after.  Those in
 * doubt come last of all.
 */
struct h2_stream *lanes_request(struct lanes *, enum lane, const struct h2_head *, h2_pull_fn *,
		    void *pull_arg, const struct h2_stream_ops *, void *arg);

#endif
