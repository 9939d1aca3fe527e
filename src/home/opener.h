#ifndef HOME_OPENER_H
#define HOME_OPENER_H

#include <stdbool.h>
#include <stddef.h>

#include "home/edges.h"
#include "home/router.h"
#include "proto/age.h"
#include "proto/envelope.h"
#include "store/maildir.h"
#include "store/spool.h"

/*
 * One sealed object becomes files in tmp/: it is opened, read as a transcript,
 * checked against the name it came under, routed and written, all while its
 * octets pass by, in constant memory.  It blocks for as long as the disk does.
 *
 * What it finds it writes into the object's entries and nowhere else; the
 * caller (home/courier.c) syncs, notes and publishes.
 */
#define OPENER_FILES_MAX	16	/* written at once; for more it is read again */
#define OPENER_RETRY_MS		30000	/* the first pause; it doubles up to retry_max */
#define OPENER_LIST_MS		5000	/* the same where only a newer list is waited for */

struct opener {				/* what all objects of a turn share; the caller's */
	const struct age_identity *ids;
	size_t		 nids;
	const struct edges *edges;	/* grants */
	const struct router *router;
	struct maildir	*maildir;	/* or NULL: they go to a mail server (home/post.h) */
	bool		 looks;		/* objects are only looked at; without a Maildir, always */
	int64_t		 now_ms;	/* wall clock */
	int64_t		 retry_max_ms;
	bool		 list_missed;	/* out: somebody waits for a newer list */
	struct why	 trouble;	/* out: the last error of disk or memory; "" none */
};

struct parcel {				/* one object in the courier's hands */
	struct spool_object object;
	struct ledger_entry *entries;	/* one a delivery */
	bool		*fresh;		/* STAGED by this opening: its file is not synced yet */
	size_t		 n, cap;
	bool		 stuck;		/* neither delivered nor not, for all we can tell */
	/* Only looked at, and some entry is open: what another reading needs. */
	struct envelope	*env;
	struct spool_content content;	/* its own; ok says that it is there */
	struct age_payload payload;	/* known from the first reading on */
	uint64_t	 octets;	/* of the message */
	bool		 eight_bit;	/* some of them beyond ASCII */
	struct buf	 heads;		/* the filter's lines, CRLF each, to go on top */
};

/*
 * Fills p from the job and takes its fd.  Afterwards each entry is STAGED,
 * DELIVERED, DEFERRED, PARKED or REFUSED; where it was only looked at those that are to be
 * delivered are QUEUED, DEFERRED until now or UNCERTAIN, and the object is known to be whole.
 * False: memory is out and p is empty;
 * the object stays as it was.
 */
bool	opener_open(struct opener *, struct ledger_job *, struct parcel *p);
/* What was looked at is written into the Maildir, as opener_open would have. */
void	opener_write(struct opener *, struct parcel *);
/* Whether some entry has a mailbox that it is still to be delivered to, and p->env is there. */
bool	parcel_open(const struct parcel *);
void	parcel_fini(struct parcel *);
/* The entry cannot be delivered now: DEFERRED with growing pauses. */
void	parcel_defer(const struct opener *, struct parcel *, size_t entry, int64_t first_ms,
	    const struct smtp_reply *);
bool	parcel_has(const struct parcel *, enum ledger_state);

#endif
