#ifndef HOME_COURIER_H
#define HOME_COURIER_H

#include <stdbool.h>
#include <uv.h>

#include "base/clock.h"
#include "base/scoreboard.h"
#include "conf/conf.h"
#include "home/edges.h"
#include "home/opener.h"
#include "home/roster.h"
#include "proto/age.h"
#include "store/maildir.h"
#include "store/spool.h"

/*
 * Takes due objects from the ledger and brings them into mailboxes, exactly once
 * (store/maildir.h has the order of steps):
 *
 *	claim -> each is opened, routed, written into tmp/ -> synced together ->
 *	`staged` noted -> renamed into new/ -> directories synced -> the rest noted
 *
 * With a filter (home/filter.h) each is opened twice: it is looked at and routed, judged, and
 * only then written.
 *
 * Two batches are under way, so that one is opened while the other's notes are
 * being committed.  Nothing here touches a loop but for a timer, so that a test
 * drives it over a real writer in one process.
 *
 * A batch whose note failed while the writer lives is noted again; when the
 * writer died it is forgotten: what the ledger then says of it is the truth
 * (staged and gone from tmp/ was delivered, all else is done again under the same
 * file name).
 */
#define COURIER_BATCHES		2
#define COURIER_HELD_MAX	1000	/* stuck objects, beyond which nothing more is claimed */
#define COURIER_IDENTITIES_MAX	8	/* in use; as many may be retired */

struct batch;
struct filter;
struct post;

struct courier {
	uv_loop_t	*loop;
	const struct conf_home *conf;	/* as it is now; the owner replaces it */
	struct scoreboard *board;	/* NULL: none */
	char		*alarm;		/* BOARD_TEXT octets; the owner's */
	struct spool	*spool;		/* the owner's, made with courier_events */
	struct maildir	*maildir;	/* or NULL, and post is there */
	struct post	*post;		/* the way into a mail server (home/post.h) */
	struct filter	*filter;	/* asked before each delivery, or NULL */
	struct roster	*roster;
	struct edges	 edges;
	struct age_identity ids[2 * COURIER_IDENTITIES_MAX];	/* in use, then retired ones */
	size_t		 nids, nretired;
	struct opener	 opener;
	struct batch	*batches[COURIER_BATCHES];	/* NULL: free */
	struct parcel	*held;		/* stuck */
	size_t		 nheld, held_cap;
	uv_timer_t	 retry;		/* of notes that failed and of what is held */
	/* The edges are others, or have other domains; NULL: nobody wants to know. */
	void		(*peers)(void *);
	void		*peers_arg;
	bool		 up;		/* the writer is there */
	bool		 peers_known;
	bool		 work;		/* there may be more than was claimed */
	bool		 claiming;
	bool		 draining;
	char		 trouble[BOARD_TEXT];	/* of disk or memory, "" none */
	struct instant	 troubled;	/* when it was last seen */
};

extern const struct spool_events courier_events;	/* arg: the courier */

void	courier_init(struct courier *, uv_loop_t *, const struct conf_home *, struct scoreboard *,
	    char *alarm);
void	courier_work(struct courier *);		/* claim if there is room and reason */
void	courier_alarm(struct courier *);	/* from trouble, roster and keys */
bool	courier_busy(const struct courier *);	/* a batch is under way */
void	courier_fini(struct courier *);		/* the loop must run three times more */

#endif
