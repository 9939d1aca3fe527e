#ifndef EDGE_HANDOVER_IN_H
#define EDGE_HANDOVER_IN_H

#include "base/buf.h"
#include "base/clock.h"
#include "edge/handover.h"

/*
 * Shared by handover.c (which rows go, and when), transfer.c (one PUT), shown.c (home's
 * ledger in other answers), sign_anew.c (a MAC for home's present key) and verdict.c (a
 * sender who waits for home's word).
 */

/* One PUT.  Lives from the row's choice until the row is deleted or given back. */
struct transfer {
	struct transfer	*next;
	struct handover	*ho;
	struct spool_object obj;
	struct h2_stream *stream;
	struct buf	 data;		/* a small object, until it is sent */
	int		 fd;		/* a large one, else -1 */
	uint64_t	 sent;
	unsigned	 status;	/* 0 until answered */
	struct ledger_mark mark;	/* of the answer */
	struct ledger_mark floor;	/* what had been seen when it was asked */
	struct buf	 answer;	/* the words of a refusal */
	struct ask	*ask;		/* a sender waits for this one */
	struct instant	 began;
	struct instant	 moved;		/* the last octet went, or the stream began */
	bool		 large;
	bool		 verdict;	/* its row is hidden until it is released */
	bool		 damaged;	/* the file ended too early */
};

struct ask {
	struct transfer	*t;		/* NULL once it is over */
	verdict_fn	*fn;		/* NULL: the session went */
	void		*arg;
	uv_timer_t	 timer;
	struct instant	 due;
};

struct aside {
	int64_t		row;
	struct instant	until;
};

struct handover {
	struct edge	*edge;
	struct home	*home;
	struct transfer	*transfers;
	unsigned	 nbulk;		/* transfers that no sender waits for: these take places */
	unsigned	 nlarge;	/* the large ones of them */
	struct spool_object *list;	/* chosen next, oldest first */
	size_t		 nlist, at;
	int64_t		 after;		/* the highest row listed */
	bool		 listing;
	bool		 more;		/* rows above `after` may be there */
	bool		 rescan;	/* and below: given back, released, their time aside over */
	bool		 large_waits;	/* a large row was passed over for want of a place */
	struct aside	*aside;
	size_t		 naside;
	/* Rows stepped aside that are not remembered: try all then; 0 none. */
	struct instant	 again;
	uv_timer_t	*timer;		/* the end of a pause, or the return of a row set aside */
	int64_t		 pause_ms;	/* the last one; 0 since a row went all its way */
	struct instant	 paused_until;
	struct ledger_mark top;		/* the highest of the current epoch, since we run */
	/* home's ledger, which is older than we have seen; epoch 0: it is not */
	struct ledger_mark stale;
	struct ledger_mark shown;	/* by another answer than a PUT's: being asked about */
};

/* handover.c */
void	handover_step(struct handover *);
bool	handover_paused(const struct handover *);
/* Nothing of this home goes for so long, at least. */
void	handover_pause(struct handover *, int64_t ms);
/* The row is tried again after so long, while others go on. 0: at once. */
void	handover_aside(struct handover *, int64_t row, int64_t ms);
/* A stream on whichever tunnel takes it; NULL: none does. */
struct h2_stream *handover_request(struct handover *, struct h2_head *, h2_pull_fn *,
    void *pull_arg,
		    const struct h2_stream_ops *, void *arg);

/* shown.c */
/*
 * Whether an answer with this mark was overtaken by one that was seen since: then it was so, in the
 * past of that one.  A copy's never was, as two homes may answer at one time.
 */
bool	handover_overtaken(const struct handover *, const struct ledger_mark *,
    const struct ledger_mark *floor);
/* Nothing leaves us: home's ledger is this old one. */
void	handover_stale(struct handover *, struct ledger_mark, const struct why *);

/* transfer.c */
struct transfer *transfer_new(struct handover *, const struct spool_object *, bool verdict);
void	transfer_begin(struct transfer *);
/* Calls off what does not move any more. */
void	transfers_sweep(struct handover *, struct instant now);

/* sign_anew.c */
bool	sign_needed(const struct transfer *);	/* its MAC may be an earlier pairing's */
/* Its content is there.  t->obj.mac becomes home's present one; ok false: memory or file failed. */
void	sign_anew(struct transfer *, void (*done)(struct transfer *, bool ok));

/* verdict.c */
/*
 * The only end of a question: tells the session, if it is still there.
 * Nothing where nobody asks.
 */
void	ask_over(struct transfer *, enum verdict, const struct smtp_reply *);

#endif
