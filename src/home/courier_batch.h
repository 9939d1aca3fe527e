#ifndef HOME_COURIER_BATCH_H
#define HOME_COURIER_BATCH_H

#include "home/courier.h"

/*
 * Shared by courier.c (what is claimed when, and what is known of the writer) and
 * courier_batch.c (how one batch of objects gets from tmp/ into mailboxes).
 */
enum batch_phase {
	BATCH_CLAIMING = 0,		/* its objects come in and are opened */
	BATCH_JUDGING,			/* the filter is asked; each is written when it has said */
	BATCH_STAGING,			/* everything synced; `staged` is being noted */
	BATCH_SETTLING,			/* everything published; the ends are being noted */
};

struct batch {
	struct courier	*c;
	enum batch_phase phase;
	struct parcel	*parcels;
	size_t		 n, cap;
	size_t		 owed;		/* notes and verdicts that are not told yet */
	bool		 lost;		/* a note failed */
	bool		 forgotten;	/* the writer died: only the answers are awaited */
	bool		 again;		/* noted again when the timer runs out */
};

/* NULL: all are under way, or memory is out. */
struct batch *courier_batch_begin(struct courier *, size_t cap);
void	courier_batch_end(struct batch *);

/* All of it has come: judged if there is a filter, synced, `staged` is noted, and so on. */
void	courier_batch_judge(struct batch *);
/* What is staged already: from there on. */
void	courier_batch_publish(struct batch *);
/* Notes all of it for this phase, or anew after a note that failed. */
void	courier_batch_note(struct batch *, enum batch_phase);

/* Back in courier.c. */
void	courier_trouble(struct courier *, const char *words);	/* "": it is over */
void	courier_retry_in(struct courier *, uint64_t ms);
void	courier_hold(struct courier *, struct parcel *);	/* stuck: tried again later */
void	courier_log_delivered(struct courier *, const struct parcel *, const struct ledger_entry *);
/* All of it that was not delivered. */
void	courier_log_settled(struct courier *, const struct parcel *);
void	courier_out_of_memory(void) __attribute__((noreturn));

#endif
