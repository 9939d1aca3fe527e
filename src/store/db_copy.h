#ifndef STORE_DB_COPY_H
#define STORE_DB_COPY_H

#include "store/db.h"

/*
 * A role's database outside of its writer, for `posthouse backup` and `posthouse restore`
 * (doc/STORE, "A backup").
 */

/* A second reader of a database that a writer may have open: it holds up nobody. */
struct db_source;
/* NULL with why.  Every file of it is open when this returns, so that rights may change then. */
struct db_source *db_source_open(const char *state, struct why *);
void	db_source_close(struct db_source **);
/* Its state at one moment into a new file, without free pages; synced. */
int	db_source_copy(struct db_source *, const char *to, struct why *);
/* Whether that row is still there. 1, 0, -1. */
int	db_source_has(struct db_source *, int64_t row, struct why *);

/*
 * In such a copy: each large object, by row.  keep says whether its file was had: 1; 0: it
 * was settled after the copy was made, and its row goes; -1 ends it.
 */
typedef int db_copy_keep_fn(void *arg, int64_t row, const char *file, uint64_t size,
    struct why *);
struct db_copied {
	struct ledger_mark mark;
	uint64_t	 objects, large;
};
int	db_copy_large(const char *copy, db_copy_keep_fn *, void *arg, struct db_copied *,
	    struct why *);

/* --- restoring; each is a change as those of db.h ----------------------------------------- */

bool	db_unused(struct db *);			/* nothing was ever kept in it */
/*
 * A delivery into a Maildir that was under way is made anew: that its tmp/NAME is gone says
 * nothing after a restore.  How many, or -1.
 */
int	db_restage(struct db *, struct why *);
/* To edges it is a ledger not seen before. */
int	db_new_epoch(struct db *, struct why *);
/* With the next commit it is as late as that one, so that edges can tell. */
int	db_set_counter(struct db *, uint64_t counter, struct why *);
/*
 * What another home's STATE holds and this one neither holds nor remembers, with its deliveries
 * and their story, and the keys that only that one remembers.  Large files are linked:
 * before this home starts, each must have one name only.  How many objects, or -1.
 */
int	db_carry(struct db *, const char *state, struct why *);
int	db_lock_dup(const struct db *);		/* STATE's lock, to outlive db_close; close() it */

#endif
