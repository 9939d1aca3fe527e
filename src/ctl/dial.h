#ifndef CTL_DIAL_H
#define CTL_DIAL_H

#include <stdbool.h>
#include <uv.h>

#include "base/span.h"
#include "base/why.h"
#include "conf/conf.h"
#include "net/h2.h"
#include "proto/pairing.h"

/*
 * Reaching an edge as home does: name, TCP, TLS with both pins, HTTP/2.  For a
 * command's own loop, one at a time.
 */
#define DIAL_MS		30000		/* all of it, and what the caller does with it */

struct dial;

struct dial_to {
	const struct conf_home *home;	/* for its name servers */
	const char	*address;	/* host:port */
	struct span	 pem;		/* our key and certificate */
	const char	*alpn;
	const struct pin *pins;		/* the edge's: one of these */
	size_t		 npins;
	bool		 client;	/* we say the requests */
};

/* Called once: h2 is up (the edge has accepted our certificate too), or NULL with why. */
typedef void dial_fn(void *arg, struct h2 *, const struct why *);

/* Whether the edge, its key being right, hung up before HTTP/2: it does not know our key, say. */
bool	dial_turned_away(const struct dial *);
/* Everything in `to` is borrowed until the end. NULL with why if it cannot begin. */
struct dial *dial_new(uv_loop_t *, const struct dial_to *, dial_fn *, void *arg, struct why *);
/* Frees it with what it needs of the loop; run the loop once more afterwards. Not the h2. */
void	dial_free(struct dial **);

#endif
