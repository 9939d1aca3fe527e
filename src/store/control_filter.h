#ifndef STORE_CONTROL_FILTER_H
#define STORE_CONTROL_FILTER_H

#include <jansson.h>

#include "store/db.h"
#include "store/writer.h"

/*
 * Which objects a question is about, and the walk through them: a bounded number of rows at
 * a time, so that a rare thing among a million holds nobody up.
 */
struct control_filter {
	struct writer	*w;
	struct db_filter rows;
	const char	*state;		/* of the question; NULL: any */
	const char	*signer;	/* home: the edge it came by */
	/* home: an address, "@domain", or a local part or mailbox */
	const char	*recipient;
	bool		 by_class;
	enum park_class	 class;
};

/* The filter borrows the question's texts.  -1: it cannot be meant so, here. */
int	control_filter_read(struct control_filter *, struct writer *, const json_t *question,
    struct why *);
/* "queued", "held": as queue and --state have it */
const char *control_state(enum conf_role, const struct db_row *);

/*
 * Calls fn for each that fits, in row order, at most max of them; *more is the row to go on
 * after, 0: that was all.  fn must not change anything.  -1: the database failed.
 */
int	control_filter_walk(struct control_filter *, unsigned max, db_row_fn *fn, void *arg,
    int64_t *more, struct why *);

/* The object that question's "id" names, by UUID or row: 0, or -1 and why. */
int	control_find(struct writer *, const json_t *question, struct db_row *, struct why *);

#endif
