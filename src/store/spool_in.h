#ifndef STORE_SPOOL_IN_H
#define STORE_SPOOL_IN_H

#include "base/buf.h"
#include "net/chan.h"
#include "store/spool.h"
#include "store/sys.h"
#include "store/wire.h"

/*
 * Inside of the client: the questions under way.  A question is encoded when it is
 * asked, waits while there is no writer or its channel is full, and lives until
 * its answer, or the writer's death once it was sent.  Questions of one kind are
 * answered in order, so the one an answer names is at the front of its list, or
 * near it behind large puts.
 */
#define SPOOL_KINDS	32		/* enum wire_type's questions are below it */

union spool_fn {			/* whom to tell, by kind; may be NULL */
	spool_kept_fn	*kept;
	spool_list_fn	*list;
	spool_get_fn	*get;
	spool_done_fn	*done;
	spool_marked_fn	*marked;
	ledger_job_fn	*job;
	ledger_outcome_fn *outcome;
	spool_pair_fn	*paired;
};

struct ask {
	struct ask	*next, **prev;		/* in its kind's list */
	struct ask	*next_unsent;
	uint16_t	 type;
	uint64_t	 tag;			/* type in the top octet, then a number */
	bool		 sent;
	union spool_fn	 fn;
	void		*arg;
	int64_t		 row;
	struct buf	 body;			/* until it is sent */
	size_t		*cut;			/* WM_NOTE: where its parts end, but the last */
	unsigned	 ncuts, cuts_sent;
	struct buf	 content;		/* WM_PUT: the octets */
	uint64_t	 octets;		/* of the budget, until the answer */
};

struct asks {
	struct ask	*first, **last;
};

#define SPOOL_PEER_NAME	256		/* struct peer's */
struct spool_known {			/* a peer that was told of and is not gone */
	struct spool_known *next;
	bool		 named;			/* by the writer that is there now */
	char		 name[SPOOL_PEER_NAME];
};

struct spool {
	const struct sys *sys;
	const struct spool_events *events;
	void		*arg;
	struct chan	*chan;
	bool		 up;			/* the writer has spoken */
	int		 dirfd;
	uint64_t	 budget, threshold, memory, reserve;
	unsigned	 share;			/* percent; 0: not told yet */
	struct spool_put *files;		/* on their way in, in files */
	uint64_t	 room;			/* UINT64_MAX: enough, or not known */
	uint64_t	 tags;
	struct asks	 kinds[SPOOL_KINDS];
	struct ask	*unsent, **unsent_last;
	struct ledger_entry *parts;		/* of the job whose last message has not come */
	size_t		 nparts;
	struct spool_known *known;
};

/* head is copied.  Never NULL: see spool.c. */
struct ask *ask_new(struct spool *, enum wire_type, const struct wire_out *head, void *arg);
void	ask_go(struct spool *, struct ask *);		/* sends it now or when it can */
void	ask_free(struct spool *, struct ask **);
/* What a question that got no answer is told. */
void	ask_fail(struct spool *, struct ask *, const struct why *);

struct ask *spool_asked(struct spool *, uint64_t tag);	/* NULL: nothing was asked by that tag */
/* off its list: then tell, then ask_free */
void	spool_answered(struct spool *, struct ask *);

/* spool_peers.c: whom the writer has named, over the lives of writers. */
void	spool_peers_anew(struct spool *);	/* another writer: it has named nobody yet */
void	spool_peer_named(struct spool *, const char *name);
void	spool_peer_forget(struct spool *, const char *name);	/* nothing when it is not known */
/*
 * Once all are named: takes out one that was not, into name.  False: there is none (more).
 * One whose file cannot be read is among them, as after a start of everything (store/peers.h).
 */
bool	spool_peer_unnamed(struct spool *, char name[SPOOL_PEER_NAME]);
void	spool_peers_free(struct spool *);

/* spool_answer.c: one message of the writer.  False: it is not one. */
bool	spool_answer(struct spool *, struct chan_msg *);

#endif
