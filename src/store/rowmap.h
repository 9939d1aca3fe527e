#ifndef STORE_ROWMAP_H
#define STORE_ROWMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Rows that some client has to do with: a row may be there several times.  Zero
 * is an empty map.  Memory only: what must outlive the writer is in the database.
 */
struct rowmap_item {
	struct rowmap_item *next;
	int64_t		 row;
	void		*owner;
	uint64_t	 tag;
};

struct rowmap {
	struct rowmap_item **bucket;
	size_t		 nbuckets, n;
};

/* false: memory is out */
bool	rowmap_add(struct rowmap *, int64_t row, void *owner, uint64_t tag);
/* NULL: not there */
const struct rowmap_item *rowmap_find(const struct rowmap *, int64_t row);
/* Takes one item of that row out; false: there is none. */
bool	rowmap_take(struct rowmap *, int64_t row, struct rowmap_item *out);
/* looks through all of it */
bool	rowmap_take_owned(struct rowmap *, void *owner, struct rowmap_item *out);
void	rowmap_fini(struct rowmap *);

#endif
