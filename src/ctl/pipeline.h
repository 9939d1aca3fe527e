#ifndef CTL_PIPELINE_H
#define CTL_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/why.h"

/*
 * Standard input through several threads, one for each processor, a block each at a
 * time: read one after the other, made in parallel, put in order.  Memory is that
 * of the threads' blocks, however long the input.
 */
#define PIPELINE_THREADS_MAX	4

struct pipeline_block {
	uint64_t	 number;	/* from 0 */
	bool		 last;	/* nothing comes behind it; empty only when it is the only one */
	char		*p;		/* n octets in use of the job's block */
	size_t		 n;
	struct buf	 out;		/* for make and put to use; cleared before each block */
	void		*own;		/* the thread's, NULL at first: see own_free */
};

struct pipeline_job {
	size_t		 block;		/* octets of each block but the last */
	size_t		 out_max;
	/* Any thread, several at once.  -1 with why: what it left in out is put, then all ends. */
	int		(*make)(void *arg, struct pipeline_block *, struct why *);
	/* In order, never two at once.  -1 with why ends the run. */
	int		(*put)(void *arg, struct pipeline_block *, struct why *);
	void		(*own_free)(void *own);
};

/*
 * ahead: what was read already and stands before the rest, at most a block; borrowed for the
 * call.  0 when all was put; -1 with why at the first failure, in the order of the blocks.
 */
int	pipeline_run(const struct pipeline_job *, void *arg, struct span ahead, struct why *);

#endif
