#ifndef EDGE_CROWD_H
#define EDGE_CROWD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"

/*
 * When to give memory back.  malloc keeps what a crowd of connections has used for the
 * next one: some 14 KB each, most of it OpenSSL's.  Giving it back walks the whole heap,
 * and a crowd that comes and goes would pay for it each time, so it is done when most of
 * a crowd has gone, and at most once a minute.  Zero is a good start.
 */
#define CROWD_LEAST	200	/* connections: fewer are not worth it */
#define CROWD_REST_MS	60000

struct crowd {
	size_t		peak;		/* since memory was given back */
	struct instant	gave;		/* 0: never */
};

/* Told now and then how many are there: whether it is time.  If so, it was done. */
bool	crowd_has_gone(struct crowd *, size_t there, struct instant now);

#endif
