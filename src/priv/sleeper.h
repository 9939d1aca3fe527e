#ifndef PRIV_SLEEPER_H
#define PRIV_SLEEPER_H

#include <stdbool.h>
#include <uv.h>

#include "priv/proc.h"

/*
 * A process that sleeps is not there, and costs nothing, until a neighbour has a word for it.
 * Meanwhile its ends of the channels to them are kept here; what is said waits in the sockets, as
 * it does for any process that has not got its GO yet (priv/proc.h).
 */
struct sleeper_end;

struct sleeper {
	uv_loop_t	*loop;
	void		(*woken)(void *arg);	/* by the first word; the ends are still here */
	void		*arg;
	struct sleeper_end *ends;
};

/* Keeps its end of the channel to that neighbour; takes fd.  False: memory is out. */
bool	sleeper_keep(struct sleeper *, enum proc_kind neighbour, int fd);
/* That end is the caller's; -1: none is kept, or the neighbour ended since. */
int	sleeper_take(struct sleeper *, enum proc_kind neighbour);

#endif
