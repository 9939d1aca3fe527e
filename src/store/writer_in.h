#ifndef STORE_WRITER_IN_H
#define STORE_WRITER_IN_H

#include <jansson.h>

#include "base/clock.h"
#include "net/chan.h"
#include "store/control.h"
#include "store/db.h"
#include "store/peers.h"
#include "store/rowmap.h"
#include "store/wire.h"
#include "store/writer.h"

/*
 * Inside of the writer.  A loop turn: messages change the open transaction and
 * leave an `owed` each; at the turn's end (writer_commit) the transaction commits, what
 * it means for claims, watches and hidden rows takes effect, and all are answered.
 */
struct client {
	struct client	*next;
	struct writer	*w;
	struct chan	*chan;
	struct ledger_entry *parts;	/* of a note whose last message has not come */
	size_t		 nparts;
	struct buf	 said;		/* edge: what a home said, so far; max 0: nothing */
	bool		 doomed;	/* an answer could not be sent: dropped at the turn's end */
};

struct owed {
	struct client	*client;	/* NULL: it went */
	uint64_t	 tag;
	enum wire_type	 type;		/* of the answer; 0: none, only effects */
	enum wire_type	 asked;
	int64_t		 row;
	bool		 ok;
	enum kept	 kept;
	enum marked	 marked;
	bool		 hide;		/* the row waits for its verdict */
	bool		 ends_claim;
	bool		 came;		/* somebody has work now */
	enum outcome	 outcome;	/* for the row's watchers, or the answer */
	struct smtp_reply *reply;	/* owned; NULL: none */
	char		*text;		/* owned; why not; NULL: "" */
};

struct interlock_report {	/* home: what the tunnel's interlock said last of a service */
	char		service[CONF_NAME_MAX];
	json_t		*report;
};

struct seen_mark {			/* edge: a counter that need not be durable yet */
	char		home[PAIRING_NAME_MAX + 1];
	struct ledger_mark mark;
	bool		dirty;
};

struct writer {
	uv_loop_t	*loop;
	uv_check_t	 check;
	uv_idle_t	 awake;		/* runs while something waits for the end of the turn */
	uv_timer_t	 idle, due, hour, again, pairing, room, look;
	unsigned	 handles;	/* not yet closed */
	struct writer_conf conf;
	struct db	*db;
	struct peers	*peers;
	struct netset	*bans;		/* home: as committed and told, by boot_ms */
	int64_t		 bans_late_ms;	/* the wall clock jumped so far, and their rows did not */
	struct control	*control;
	struct client	*clients;
	struct owed	*owed;
	size_t		 nowed, owed_cap;
	struct clock_watch clock;
	/* No age is judged by a later time: in the first hour it may be the clock that is wrong. */
	int64_t		 latest_ms;
	struct rowmap	 hidden;	/* edge: rows in a verdict, by client */
	struct rowmap	 claims;	/* home: rows in a courier's hands */
	struct rowmap	 watches;	/* home: who waits for a row's outcome */
	struct rowmap	 retry;		/* outcomes whose commit failed: asked again soon */
	struct seen_mark marks[CONF_HOMES_MAX];
	size_t		 nmarks;
	struct interlock_report interlocks[CONF_SERVICES_MAX];
	size_t		 ninterlocks;
	uint64_t	 questions;	/* how many were passed on */
	uint64_t	 interlock_run;	/* the last that the operator asked for */
	bool		 work;		/* tell everybody at the end of the turn */
	/* what the timer waits for; 0: nothing, or a claim that was cut short */
	int64_t		 due_ms;
	bool		 noted;		/* when the next object becomes due may have changed */
	struct instant	 parked_said;	/* the daily summary; 0: not since we run */
	bool		 failing;	/* said at error level already */
	struct desk	*desk;		/* writer_alarms.c */
	struct puts	*syncing;	/* large ones on a thread; NULL: none */
	struct puts	*to_sync;	/* the next batch */
	uint64_t	 room_told;	/* edge: UINT64_MAX, enough */
	/* whom to tell when nothing is under way any more; NULL: nobody drains */
	void		(*drained)(void *);
	void		*drained_arg;
};

/* writer_serve.c */
/* What a message asks for.  False: the client broke the rules and is dropped. */
bool	writer_serve(struct client *, struct chan_msg *);
void	writer_client_gone(struct client *);		/* its claims, watches and hidden rows */
/* room, peers, marks, work: all it must know first */
void	writer_greet(struct client *);
void	writer_tell_limits(struct client *);		/* those that a client keeps itself */
/* writer.c */
bool	writer_send(struct client *, enum wire_type, uint64_t tag, const struct wire_out *,
    struct span rest, int fd);
/* everybody */
void	writer_tell(struct writer *, enum wire_type, const struct wire_out *, struct span rest);
void	writer_done(struct client *, uint64_t tag, bool ok, const char *text);	/* WA_DONE, now */
/* writer_turn.c */
struct owed *writer_owe(struct client *, uint64_t tag, enum wire_type asked,
    enum wire_type answer);
/* nobody is answered; what a commit makes true happens all the same */
struct owed *writer_owe_nobody(struct writer *);
/* there will be something to do at the turn's end */
void	writer_awake(struct writer *);
/* A change failed: everything since the last commit is undone and everybody told so. */
void	writer_failed(struct writer *, const struct why *);
void	writer_owed_orphan(struct writer *, const struct client *);	/* the client goes */
void	writer_owed_forget(struct writer *);	/* the writer goes */
/* writer_later.c */
void	writer_later_begin(struct writer *);	/* at start, when all else is there */
void	writer_idle_soon(struct writer *);	/* housekeeping, unless more is written before */
void	writer_retry_soon(struct writer *);	/* the outcomes in w->retry */
void	writer_work_soon(struct writer *);		/* everybody is told in a moment */
/* everybody is told when the next object is due */
void	writer_due(struct writer *);
/*
 * Who receives mail is told how much may still come, while that is less than two of the
 * largest messages, and when it is enough again: which may be no doing of ours.
 */
void	writer_room(struct writer *);
/* looks at open lines while there are any */
void	writer_pairing(struct writer *, bool open);
/* writer_clock.c: has it jumped?  Retries that it made too late are brought forward. */
void	writer_clock_look(struct writer *);
void	writer_clock_watch(struct writer *);	/* the first half alone */
/* writer_put.c */
bool	serve_put(struct client *, struct chan_msg *);	/* WM_ASIDE too */
void	writer_sync(struct writer *);		/* begins the next batch when none is under way */
/* the client goes: what it put and has no answer yet is dropped */
void	writer_puts_orphan(struct writer *, const struct client *);
void	writer_puts_forget(struct writer *);	/* the writer goes */
/* writer_ledger.c */
bool	serve_claim(struct client *, struct chan_msg *);
bool	serve_note_part(struct client *, struct chan_msg *);
bool	serve_note(struct client *, struct chan_msg *);
bool	serve_outcome(struct client *, struct chan_msg *);
/* false: the database failed */
bool	writer_outcome(struct client *, uint64_t tag, int64_t row);
/* after the commit: tells the watchers */
void	writer_settled(struct writer *, const struct owed *);
bool	serve_confirm(struct client *, struct chan_msg *);
/* writer_serve.c: marks that are known in memory only, into the open transaction. */
int	writer_marks(struct writer *, struct why *);
void	writer_marks_forget(struct writer *);
/* writer_operator.c: home, once an hour; what is parked is said once a day */
void	writer_parked_look(struct writer *);
/* writer_question.c */
bool	serve_answer(struct client *, struct chan_msg *);
/* writer_alarms.c: a desk that looks and tells.  NULL: memory is out. */
struct desk *writer_alarms_new(struct writer *);
void	writer_alarms_reload(struct writer *);
void	writer_alarms_free(struct desk **);		/* the loop must run once more */
/* writer_interlock.c */
bool	serve_interlock(struct client *, struct chan_msg *);
void	writer_interlock_forget(struct writer *);
/* writer_bans.c */
int	writer_bans_open(struct writer *, struct why *);	/* at start */
int	writer_bans_settle(struct writer *, struct why *);	/* after a jump of the clock */
void	writer_greet_bans(struct client *);
/* writer_said.c */
bool	serve_said(struct client *, struct chan_msg *);
void	writer_greet_said(struct client *);
void	writer_said_forget(struct writer *, const char *home);
/* writer_peers.c */
void	writer_tell_peer(struct client *, const struct peer *);
extern const struct peers_events writer_peers_events;
bool	serve_pair_check(struct client *, struct chan_msg *);
bool	serve_pair_finish(struct client *, struct chan_msg *);
bool	serve_peer_update(struct client *, struct chan_msg *);

#endif
