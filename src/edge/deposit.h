#ifndef EDGE_DEPOSIT_H
#define EDGE_DEPOSIT_H

#include <uv.h>

#include "net/s3.h"
#include "store/spool.h"

/*
 * One sealed object on its way into a bucket, laid out as doc/BUCKET has it: tried as often as
 * its owner likes, under one name, until the store has it or can have it no more.
 *
 * A PUT whose outcome is unknown may have happened.  The next one is refused then for being
 * there already, and what is there is looked at: the same edge and MAC are this object.
 */
#define DEPOSIT_KEY_MAX	320		/* of a prefix and <id>.age */

struct deposit;

struct deposit_to {			/* outlives its deposits */
	uv_loop_t	*loop;
	struct s3	*s3;
	const char	*prefix;	/* "pending/" */
};

enum deposited {
	DEPOSIT_LATER = 0,	/* the store was not reached, failed or is busy: try again */
	DEPOSIT_KEPT,		/* the store has it */
	DEPOSIT_FULL,		/* over the store's quota */
	DEPOSIT_REFUSED,	/* no further try does better: words tell the operator */
	DEPOSIT_BROKEN,		/* our own file or memory failed */
};

/*
 * Once for each deposit_try, from the loop, or from inside it where memory is out; deposit_free
 * is allowed in it.
 */
typedef void deposit_fn(void *arg, enum deposited, int64_t wait_ms, const struct why *);

/* data is copied.  NULL: memory is out. */
struct deposit *deposit_new(const struct deposit_to *, const struct spool_meta *,
		    const unsigned char mac[OBJECT_MAC_LEN], struct span data, deposit_fn *,
		    void *arg);
/* Its octets are the first `size` of the file instead; takes fd, on failure too. */
struct deposit *deposit_of_file(const struct deposit_to *, const struct spool_meta *,
		    const unsigned char mac[OBJECT_MAC_LEN], int fd, uint64_t size, deposit_fn *,
		    void *arg);
void	deposit_try(struct deposit *);		/* not while one is under way */
/* What is under way is called off: whether it happened is unknown then, and nobody is told. */
void	deposit_free(struct deposit **);

#endif
