#ifndef EDGE_HANDOVER_H
#define EDGE_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "edge/edge.h"
#include "net/h2.h"
#include "proto/smtp_reply.h"

/*
 * What is held for one home goes home: oldest first, a bounded number at once,
 * large objects in at most half of the places, and one that fails steps aside
 * for the rest.  An object leaves the spool only when home has said that it has
 * it durably (201, 200, 202) and home's ledger is not an older one than we have
 * seen.
 */
struct handover;
struct ask;

struct handover *handover_new(struct edge *, struct home *);	/* NULL: memory is out */

/* Only when no transfer is under way and no list was asked for. */
void	handover_free(struct handover **);

/*
 * A tunnel is there for requests, until _down.  It must outlive no
 * request on it: h2 tells them closed first.  False: too many.
 */
bool	handover_up(struct handover *, struct h2 *);
void	handover_down(struct handover *, struct h2 *);
unsigned handover_tunnels(const struct handover *);

void	handover_work(struct handover *);		/* new rows may be there */
/* Old and new rows may be there: the writer was started again, say. */
void	handover_recheck(struct handover *);
void	handover_again(struct handover *);	/* the same, and no pause counts any more */
/*
 * Calls off what has not moved for long, so that no place is lost to a
 * home that hangs: once a second.
 */
void	handover_sweep(struct handover *, struct instant now);
/*
 * Home's ledger as an answer names it; out is left alone where it does not.  Answers
 * overtake each other: floor is handover_top from when it was asked for.  An older ledger is
 * noticed before the first object goes, and before its counter has grown to where ours is.
 */
void	handover_mark(const struct h2_head *, struct ledger_mark *out);
struct ledger_mark handover_top(const struct handover *);
void	handover_shown(struct handover *, struct ledger_mark, struct ledger_mark floor);
/* What it shows, where that is an old copy that was restored; epoch 0: it is not. */
struct ledger_mark handover_refused_ledger(const struct handover *);
bool	handover_busy(const struct handover *);		/* something is under way: for drain */

/* A home's word on a message that is committed and whose sender waits. */
enum verdict {
	/* No word, or no certain one: say 250; it is handed over like any other. */
	VERDICT_LATE = 0,
	VERDICT_TAKEN,		/* home has it: say 250 */
	/* Every recipient permanently refused: say the reply, then handover_refused. */
	VERDICT_REFUSED,
};
typedef void verdict_fn(void *arg, enum verdict, const struct smtp_reply *);

/*
 * For an object that was put with meta.verdict, so that it is hidden.  The hiding
 * ends here whatever becomes of it, but after VERDICT_REFUSED, where
 * handover_refused must follow.  NULL when it cannot be asked (no tunnel, too many
 * verdicts, home's disk is full): say 250 and handover_release.
 */
struct ask *handover_ask(struct handover *, const struct spool_object *, verdict_fn *, void *arg);
/* The session went: a refusal reaches nobody, so it counts as held. */
void	handover_unask(struct ask **);
/* Nobody was asked, or nobody is there to be told: the row is handed over like any other. */
void	handover_release(struct handover *, int64_t row);
/* The sender was told 5xx: forget the row, then confirm it to home by DELETE. */
void	handover_refused(struct handover *, int64_t row, struct uuid id);

#endif
