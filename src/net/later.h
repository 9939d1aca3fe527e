#ifndef NET_LATER_H
#define NET_LATER_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

/*
 * Two things that all connections of a loop share, so that an idle one need
 * not hold them: a list of things to do before the loop sleeps again, and the
 * buffers that bytes pass through.
 *
 * A later is part of its owner.  It runs once for each later_add that found it
 * not on the list, from the loop and never from inside later_add, before the
 * loop next waits.  That is how many small sends become one system call, and how
 * a callback may end the object that called it.
 */
struct laters;

struct later {
	struct later	*next, *prev;		/* NULL: not on the list */
	void		(*fn)(struct later *);
};

/*
 * The loop's list; each hold needs a drop, after which no later of the
 * holder may be on it. NULL: memory is out.
 */
struct laters *laters_hold(uv_loop_t *);
void	laters_drop(struct laters *);
void	later_add(struct laters *, struct later *);
void	later_cancel(struct later *);

/*
 * Scratch of this thread, good until the function that asked returns to its
 * caller, and never kept across a callback that may ask for the same one.
 */
enum scratch {
	SCRATCH_IN = 0,		/* octets as they came from a socket */
	SCRATCH_PLAIN,		/* the same, deciphered */
	SCRATCH_OUT,		/* records on their way to a socket */
	SCRATCH_FRAMES,		/* HTTP/2 frames being gathered */
	SCRATCH_COUNT
};
/* 64-128 KiB a system call is where loopback stops gaining. */
#define SCRATCH_SIZE	(128u << 10)
/* Beyond it: what TLS adds to so much, so that it still leaves in one write. */
#define SCRATCH_MORE	(4u << 10)

/* NULL: memory is out. */
char	*scratch(enum scratch);

#endif
