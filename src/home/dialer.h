#ifndef HOME_DIALER_H
#define HOME_DIALER_H

#include <stdbool.h>

#include "base/why.h"
#include "home/tunnel.h"

/*
 * Keeps `connections` tunnels to one edge up: name, TCP, TLS with both pins,
 * HTTP/2, in which this side is the origin (home/origin.h).  A tunnel that fails
 * or ends is dialled again after half a second, doubling to ten seconds, to a minute
 * where the edge turns us away, each pause shortened at random by up to half so that
 * homes do not come back in step; at once when the network returns.  The reason it
 * is not up stands in the scoreboard with what to do about it.
 */
struct dialer;

/* What is said of an edge that has seen a later state of our ledger (home_edge's refused). */
#define DIALER_REFUSED	"it has seen a later state of this ledger, which is an old copy that was " \
	"restored; it keeps what it holds. Mail that came home since the copy was made is not in " \
	"it. Stop home, and say that it is meant: posthouse restore --accept"

/* The pause after an attempt, in milliseconds; failures: those before it. */
uint64_t dialer_pause(unsigned failures, bool turned_away, uint32_t rnd);

/* Starts dialling. */
struct dialer *dialer_new(struct tunnel_proc *, struct home_edge *, struct why *);
/*
 * Address, pins, connections or our own key may have changed.  -1: our key is
 * unusable, the old one stays.
 */
int	dialer_configure(struct dialer *, bool new_key, struct why *);
void	dialer_wake(struct dialer *);		/* the network is back: dial now */
void	dialer_policy(struct dialer *);		/* it may have changed: answer those who wait */
void	dialer_tick(struct dialer *);		/* once a second: scoreboard, and what hangs */
void	dialer_drain(struct dialer *);		/* finish what is under way, dial no more */
/* Whether the edge is or was reached at this address, as its name led to it. */
bool	dialer_has_address(const struct dialer *, const struct netaddr *);
/* All of these, some twice; how many. */
#define DIALER_ADDRESSES_MAX	128
size_t	dialer_addresses(const struct dialer *, struct netaddr *out, size_t max);
bool	dialer_busy(const struct dialer *);	/* some tunnel is up or being made */
void	dialer_free(struct dialer **, const char *why);	/* now */

#endif
