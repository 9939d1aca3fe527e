#ifndef CTL_BUCKET_LIST_H
#define CTL_BUCKET_LIST_H

#include "base/buf.h"
#include "conf/conf.h"
#include "ctl/choose.h"
#include "proto/s3_listing.h"

/*
 * What waits in stores, below the prefix of one bucket or several, for the commands that show it.
 * Names are a stranger's: whoever may write there chose them.
 */
#define BUCKET_LIST_MAX	1000000		/* some 100 MB of memory, and a thousand requests */

struct waiting {
	size_t		 name;		/* where it begins among the names */
	const struct conf_bucket *bucket;
	uint64_t	 size;
	int64_t		 modified_ms;	/* by this clock */
};

struct bucket_list {
	struct waiting	*list;
	size_t		 n, room;
	struct buf	 names;		/* C strings */
	uint64_t	 octets;
	bool		 failed;	/* memory, or too many */
	struct s3_walk	 walk;
	struct progress	 progress;
};

void	bucket_list_init(struct bucket_list *);
void	bucket_list_fini(struct bucket_list *);
/* Asks this one too.  -1 with why, which names it: what came before that is there. */
int	bucket_list_add(struct bucket_list *, const struct conf_common *,
	    const struct conf_bucket *, struct why *);
/* Oldest first, once all were asked. */
void	bucket_list_sort(struct bucket_list *);
/* Whole, with the prefix; good until more is added. */
const char *waiting_name(const struct bucket_list *, const struct waiting *);

#endif
