#ifndef TEST_STORE_STAGE_H
#define TEST_STORE_STAGE_H

#include "kit/store_play.h"
#include "store_vfs.h"

/*
 * One database in a directory of its own, without a writer's process around it, and what was
 * told of each object that was put there.
 */
enum { N = 8 };			/* objects of a stage at most */

struct expect {
	bool		asked, kept, delete_asked, gone;
	int64_t		row;
	size_t		size;
};

struct stage {
	char		 dir[64];
	enum conf_role	 role;
	struct db	*db;
	struct expect	 x[N];
	bool		 marked;
	struct ledger_mark shown;	/* as of the last commit that was told durable */
	enum ledger_state noted[N];	/* the last that was told durable */
	/* all that were asked: a commit that failed may be on the disk */
	unsigned	noting[N];
};

void	stage_open(struct stage *);			/* through the faults; db NULL: it fails */
struct spool_meta stage_meta(const struct stage *, unsigned n);
/* Object n of that size; large: by a file.  False: the batch is lost. */
bool	stage_put(struct stage *, unsigned n, size_t size, bool large);
bool	stage_commit(struct stage *);
/* Whether the row is object n, all of it. */
bool	stage_whole(struct db *, int64_t row, unsigned n, size_t size);

#endif
