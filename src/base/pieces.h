#ifndef BASE_PIECES_H
#define BASE_PIECES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

/*
 * Octets that wait to go on, first in, first out.  They are copied in once and never
 * moved: what is at the front is lent out and dropped.  The owner bounds n.
 *
 * They lie in blocks, a small one first, as most that waits is little, then large
 * ones.  The thread keeps PIECES_KEPT large ones that nobody needs now: fresh memory
 * from the kernel costs as much as what is done with the octets.
 */
#define PIECE_SMALL	(4u << 10)	/* octets of a block */
#define PIECE_LARGE	(64u << 10)
#define PIECES_KEPT	16

struct piece;

struct pieces {
	struct piece	*first, *last;
	size_t		 n;		/* octets */
	size_t		 memory;	/* that they take */
};

/* All zero is empty. */
void	pieces_fini(struct pieces *);		/* empty again */
/* False: memory is out, and nothing was added. */
bool	pieces_add(struct pieces *, struct span);
/* The octets at the front that lie together; good until the next call. */
struct span pieces_front(const struct pieces *);
void	pieces_drop(struct pieces *, size_t n);
/* Moves octets out; how many. */
size_t	pieces_take(struct pieces *, char *out, size_t max);

#endif
