#ifndef HOME_RETIRED_H
#define HOME_RETIRED_H

#include <stdbool.h>
#include <uv.h>

#include "home/courier.h"

/*
 * The age identities that `rotate --finish` retired: kept in the courier beside
 * those in use for as long as an object at home opens with one of them only, so
 * that no rotation makes mail unreadable.
 *
 * Once an hour it looks at the headers of what is held, oldest row first, and
 * stops at the first that needs them; it goes on from there the next time, since
 * what it has passed stays passed.  When nothing does, unneeded is called, at
 * every look: the file is the parent's to remove.
 */
#define RETIRED_LOOK_MS	(60 * 60 * 1000)
#define RETIRED_PAGE	100

struct retired {
	struct courier	*c;		/* borrows its spool and its identities */
	void		(*unneeded)(void *arg);
	void		*arg;
	uv_timer_t	 timer;
	int64_t		 after;		/* nothing up to this row needs them */
	int64_t		 page[RETIRED_PAGE];
	size_t		 n, at;
	bool		 looking;
	/* Which identities: counted.  A look judges by those it began with, or says nothing. */
	unsigned	 keys, judged;
};

void	retired_init(struct retired *, struct courier *, void (*unneeded)(void *arg), void *arg);
/* The identities are others: all that is held is looked at again, soon. */
void	retired_changed(struct retired *);
void	retired_look(struct retired *);		/* now, unless it is under way */

#endif
