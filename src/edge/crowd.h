#ifndef EDGE_CROWD_H
#define EDGE_CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

/*
 * When to give memory back.  malloc keeps what a crowd of connections has used for the
 * next one: some 14 KB each, most of it OpenSSL's, and their messages.  Giving it back
 * walks the whole heap, and a crowd that comes and goes would pay for it each time, so
 * it is done when most of a crowd has gone, and at most once a minute.  Zero is a good
 * start.
 */
#define CROWD_LEAST	200	/* connections: fewer are not worth it */
#define CROWD_EACH	(14u << 10)	/* octets of messages: so many count as one */
#define CROWD_REST_MS	60000

struct crowd {
	size_t		peak;		/* since memory was given back */
	struct instant	gave;		/* 0: never */
};

/* Told now and then how much is there: whether it is time.  If so, it was done. */
bool	crowd_has_gone(struct crowd *, size_t connections, uint64_t octets, struct instant now);

#endif
