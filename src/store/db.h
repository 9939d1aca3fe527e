#ifndef STORE_DB_H
#define STORE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/netset.h"
#include "base/span.h"
#include "base/uuid.h"
#include "base/why.h"
#include "conf/conf.h"
#include "store/spool.h"
#include "store/sys.h"

/*
 * The spool and the ledger on disk: STATE/spool.db (SQLite), STATE/large/ and
 * STATE/aside/ (doc/STORE has tables and rules).  Synchronous, one owner: the
 * writer process.  Whoever else wants something asks the writer.
 *
 * Changes lie in one transaction that the first of them opens and that
 * db_commit ends: nothing changed is durable, and nobody may be told so, before
 * db_commit returned 0.  After any -1 from a change, db_rollback is the only way
 * on, and all changes since the last commit are undone.  Reads see the open
 * transaction's changes; no read is left open when a call returns, except a
 * db_content, which its owner ends before returning to the loop.
 */
struct db;

#define DB_SCHEMA	5	/* PRAGMA user_version; a newer one is not opened */
#define DB_FILE_LEN	32	/* hex digits of a name in large/ */

struct db_limits {
	uint64_t	quota;		/* bytes in all */
	uint64_t	reserve;	/* bytes of disk that stay free */
	/* percent of a home's quota for one client network; 0: not looked at */
	unsigned	share;
	int64_t		remember_ms;	/* how long delivered keys are remembered */
	uint64_t	keys;		/* and how many */
	int64_t		parked_keep_ms;	/* home: how long policy refusals are kept */
};

/* While one of them is in STATE, what lies there is partly of before a restore (doc/STORE). */
#define DB_RESTORE_OUT	"restore.out"
#define DB_RESTORE_IN	"restore.in"
/* -1 and why while one of them is there.  state: the directory's name, for the words. */
int	db_restored(const struct sys *, int dir, const char *state, struct why *);

/*
 * Opens, makes or recovers everything below the directory `state`, which must
 * exist, and takes its lock.  A damaged database is set aside whole, with all of large/,
 * and a fresh one made: said at error level and in db_lost.  vfs: SQLite's, NULL for the default.
 */
struct db *db_open(const struct sys *, const char *state, enum conf_role, const char *vfs,
    struct why *);
void	db_close(struct db **);			/* rolls back what is open; checkpoints */
void	db_set_limits(struct db *, const struct db_limits *);
bool	db_was_full(const struct db *);		/* the last failure was for want of room */
/* the writer: why nothing is kept now; "" it works */
void	db_trouble(struct db *, const char *text);
const char *db_path(const struct db *);		/* STATE */
/* When whoever had it open before us last wrote, about, by his clock; 0: nobody had. */
int64_t	db_written_ms(const struct db *);
const char *db_alarm(const struct db *);	/* what someone must look at; "" none */
/*
 * A damaged database that lies in aside/ with the large objects it knew, as found at start:
 * how many, how large, and what to do; "" none.
 */
const char *db_lost(const struct db *);

/* --- transactions -------------------------------------------------------- */

bool	db_changed(const struct db *);		/* something waits for db_commit */
int	db_commit(struct db *, struct why *);	/* 0 also when nothing waits */
void	db_rollback(struct db *);
struct ledger_mark db_ledger_mark(const struct db *);	/* ours, as of the last commit */
/* Home: what changes from now on is another run's (spool.h), as it is at each start. */
void	db_runs_new(struct db *);
/* When the last run wrote last, about, by its clock; 0: there was none. */
int64_t	db_written_ms(const struct db *);
int64_t	db_next_row(const struct db *);		/* the next put's */

/* 1 something, 0 nothing, -1 the database failed */
int	db_holds_for(struct db *, const char *home, struct why *);

/* --- reading: everything a person may ask -------------------------------- */

struct db_row {				/* an object as `queue` and `show` see it */
	struct spool_object object;
	enum ledger_state state;	/* of the whole object; LEDGER_QUEUED: held, at an edge */
	int64_t		due_ms;		/* home: next try; 0 at once, -1 nothing is due */
	bool		large;		/* a file of its own */
	char		reason[256];	/* edge: why the last handover failed; "" */
};
typedef bool db_row_fn(void *arg, const struct db_row *);		/* false: enough */
typedef bool db_entry_fn(void *arg, const struct ledger_entry *);

#define DB_PARK_ROWS	1000		/* of one look by class: its caller asks for more */

struct db_filter {			/* zero: everything */
	const char	*home;		/* NULL: all */
	bool		by_state;
	enum ledger_state state;
	/* a part of it is parked so, whatever becomes of its others; the first DB_PARK_ROWS */
	enum park_class	park;		/* PARK_NONE: whichever, or none */
	bool		parked;		/* a part of it is, as whatever; the first DB_PARK_ROWS */
	int64_t		after;		/* rows above it */
	int64_t		before_ms;	/* received earlier than that; 0: whenever */
	uint64_t	least;		/* sealed octets */
	unsigned	max;		/* 0: no limit */
};
/* In row order.  -1: the database failed.  fn must not change anything. */
int	db_rows(struct db *, const struct db_filter *, db_row_fn *, void *arg, struct why *);
/*
 * 1 there, 0 not, -1 the database failed. Several edges may, by bad luck or bad will, use one id:
 * the first row wins.
 */
int	db_find(struct db *, struct uuid id, struct db_row *, struct why *);
int	db_row_get(struct db *, int64_t row, struct db_row *, struct why *);
int	db_entries(struct db *, int64_t row, db_entry_fn *, void *arg, struct why *);

struct db_totals {
	char		home[PAIRING_NAME_MAX + 1];	/* home: the edge's name for us */
	uint64_t	objects, bytes;
	int64_t		oldest_ms;	/* received; 0: none */
};
/* By home, at most max; returns how many, or -1. */
int	db_totals(struct db *, struct db_totals *, size_t max, struct why *);
/*
 * Edge: the client network that holds most of what is held for a home.  1 there, 0 nobody
 * holds anything, -1 failed.
 */
int	db_share_most(struct db *, const char *home, struct netaddr *net, uint64_t *bytes,
    struct why *);
/*
 * Edge: how many objects that home answered something that no time mends (all but 503), and its
 * words to the latest, max octets with their end.
 */
int	db_declined(struct db *, const char *home, uint64_t *n, char *words, size_t max,
    struct why *);
struct db_states {			/* of home's objects, by enum ledger_state */
	uint64_t	objects[LEDGER_REFUSED + 1];
	uint64_t	delivered;	/* keys remembered */
};
int	db_states(struct db *, struct db_states *, struct why *);
/* names in aside/, what SQLite keeps beside a database not counted; -1: cannot tell */
int	db_aside_count(struct db *);
/* what may still be kept: free disk and free pages, above the reserve */
uint64_t db_disk_free(struct db *);
/*
 * The same, and no more than is left of the quota in all.  After puts it is first what they
 * left: the disk is asked once a transaction.
 */
uint64_t db_room_left(struct db *);
/*
 * Edge: what one client network may fill for a home of that quota; or, where less can be kept in
 * all, with room octets to come, that share of it, so that no quota gives a disk to one alone.
 */
uint64_t db_share(const struct db *, uint64_t quota, uint64_t room);

/*
 * The sealed octets: data (until db_content_end, which must come before the
 * loop) or an open file.  1 there, 0 gone, -1 failed.  A large file that is
 * missing or has another size than its row: -1, and the row is marked (home:
 * parked as malformed; edge: moved to aside/).  One that cannot be looked at now
 * is not damaged: -1 alone.
 */
struct db_content {
	struct span	data;
	int		fd;		/* -1: in data; else the caller's to close */
};
int	db_content(struct db *, int64_t row, struct db_content *, struct why *);
void	db_content_end(struct db *);

/* --- changes -------------------------------------------------------------- */

bool	db_name_ok(const char *);		/* a name that a file in large/ may have */
struct db_body {
	struct span	data;		/* borrowed during the call */
	char		file[DB_FILE_LEN + 1];	/* "" : in data; else its name in large/ */
	uint64_t	size;
};
/*
 * Large objects on their way to the disk.  Their octets may be many and the disk slow,
 * so that this is the one thing of a db that another thread may do: db_sync_run, on a
 * batch that nobody else touches meanwhile.  The batch may outlive its db.
 */
struct db_sync;
struct db_sync *db_sync_new(struct db *);	/* NULL: memory or descriptors are out */
/*
 * One more file; -1 it is not there, no file of ours, not as long as it should be, or
 * another object's.
 */
int	db_sync_add(struct db *, struct db_sync *, const struct db_body *, struct why *);
void	db_sync_run(struct db_sync *);		/* each file, then the directory with their names */
/* Of the file that was added as the n-th, from 0: durable (0), or the errno. */
int	db_sync_error(const struct db_sync *, size_t n);
void	db_sync_free(struct db_sync **);
/* Removes it, unless a row has it. */
void	db_file_drop(struct db *, const struct db_body *);

/*
 * A file is durable already, by db_sync_run.
 * quota: of meta's home (edge).  KEPT here means: once db_commit says 0.
 * KEPT_BEFORE: *row is the earlier one, 0 when it was delivered; if *changed, that
 * row changed: a refusal that had been provisional parks.  NOT_KEPT: roll back.
 */
enum kept db_put(struct db *, const struct spool_meta *, const unsigned char mac[OBJECT_MAC_LEN],
	    const struct db_body *, uint64_t quota, int64_t *row, bool *changed, struct why *);
/*
 * Into aside/, with a text file beside it that says why.  A file is durable already; the
 * rest is durable when it returns 0.
 */
int	db_set_aside(struct db *, const struct spool_meta *, const struct db_body *,
    const char *reason, struct why *);
int	db_delete(struct db *, int64_t row, struct why *);		/* 0 also when it is gone */
int	db_failed(struct db *, int64_t row, const char *reason, struct why *);

enum db_mark {
	MARK_FAILED = 0,
	MARK_SAME,		/* seen before, or nothing that must be durable first */
	MARK_NEW,		/* a ledger not seen before: durable with the next commit */
	MARK_STALE,		/* an older one: hand nothing over */
};
enum db_mark db_mark(struct db *, const char *home, struct ledger_mark, struct why *);
/* Each home that has shown an older ledger, and no other one since. */
typedef void db_home_fn(void *arg, const char *home);
int	db_marks_stale(struct db *, db_home_fn *, void *arg, struct why *);
/* it is paired anew, or unpaired */
int	db_mark_forget(struct db *, const char *home, struct why *);

/* Home.  due: 0 now.  Oldest first; skip says which rows are in somebody's hands. */
struct db_claim {
	int64_t		row;
	bool		large;
};
typedef bool db_skip_fn(void *arg, int64_t row);
int	db_due(struct db *, int64_t now_ms, unsigned max, unsigned max_large, db_skip_fn *,
    void *arg,
	    struct db_claim *, struct why *);		/* how many, or -1 */
/* When the next object becomes due after now; 0: none. */
int	db_next_due(struct db *, int64_t now_ms, int64_t *due_ms, struct why *);
/* What is due later than that is due then: the clock went back. 1: there was such, 0, or -1. */
int	db_due_by(struct db *, int64_t latest_ms, struct why *);

struct db_noted {
	bool		settled;	/* nothing more to do: its claim ends */
	bool		waits;		/* until next_ms: its claim ends too */
	bool		tried;		/* and there was somebody to try it with */
	int64_t		next_ms;
	enum outcome	outcome;	/* PENDING while not settled */
	struct smtp_reply reply;	/* REFUSED: the words */
};
/*
 * Home: its octets cannot be read now.  It is due again later, each time twice as much: 5
 * seconds to 15 minutes; if it is due at all.
 */
int	db_put_off(struct db *, int64_t row, int64_t now_ms, const char *reason, struct why *);
/* Entries of one object. 0, with settled, also when it is gone. */
int	db_note(struct db *, const struct ledger_entry *, size_t n, int64_t now_ms,
    struct db_noted *, struct why *);
/* As things are. 1 there, 0 gone (delivered, or taken away by the operator). */
int	db_outcome(struct db *, int64_t row, struct db_noted *, struct why *);
int	db_verdict_over(struct db *, int64_t row, struct db_noted *, struct why *);
/* Its courier is gone: what was sending is uncertain. */
int	db_claim_lost(struct db *, int64_t row, struct why *);
int	db_confirm_refused(struct db *, const char *signer, struct uuid id, struct why *);

/*
 * Home: who may not come in at its edges.  A network may be banned by several (the
 * operator, fail2ban's jails), each for himself and once: the ban that lasts longest
 * counts.
 */
#define DB_BANS_MAX	100000	/* over ones that wait for housekeeping count; POLICY_BANS_MAX */
#define DB_BAN_BY_MAX	64

struct db_ban {
	struct netset_entry on;
	int64_t		 num;		/* in the order of making */
	char		 by[DB_BAN_BY_MAX];	/* "" the operator */
	int64_t		 made_ms;
};
typedef bool db_ban_fn(void *arg, const struct db_ban *);		/* false: enough */
/* The same again is renewed. */
int	db_ban(struct db *, const struct db_ban *, struct why *);
/* How many were lifted, or -1.  by: NULL whoever made them. */
int	db_unban(struct db *, const struct netset_entry *, const char *by, struct why *);
int	db_unban_all(struct db *, const char *by, struct why *);
/* Those that are not over, by num, above after. */
int	db_bans(struct db *, int64_t after, int64_t now_ms, db_ban_fn *, void *arg, struct why *);
int	db_bans_count(struct db *, struct why *);			/* or -1 */
/* Forgets a step of those that are over; how many, or -1. */
int	db_bans_expire(struct db *, int64_t now_ms, struct why *);
/* The wall clock jumped so far: those that have an end go with it.  0, or -1. */
int	db_bans_move(struct db *, int64_t jump_ms, struct why *);
/* Those of the future: the clock went back while nobody looked.  They begin now.  0, or -1. */
int	db_bans_ahead(struct db *, int64_t now_ms, struct why *);
/* What holds for each network now, into a set that has room; its ends are by another clock. */
int	db_banned(struct db *, int64_t now_ms, int64_t clock_ms, struct netset *, struct why *);
/* For this network: 1 and until_ms, 0 it is banned by nobody, -1. */
int	db_ban_of(struct db *, struct netset_entry *, int64_t now_ms, struct why *);

/* --- home: the operator's hand -------------------------------------------- */

/*
 * Each changes one object that no courier has in its hands; the caller sees to that.
 * 1: changed, with what it settled to in noted; 0: there is nothing to change, and why
 * says so for a person; -1: the database failed.
 */
/* What waits is due now; parked: what is parked is routed and tried anew as well. */
int	db_retry(struct db *, int64_t row, bool parked, struct db_noted *, struct why *);
int	db_park(struct db *, int64_t row, struct db_noted *, struct why *);
/* What is parked goes to this mailbox, whatever its address says. */
int	db_unpark(struct db *, int64_t row, const char *mailbox, struct db_noted *, struct why *);
/* At an edge too.  At home its key is remembered: offered again, it does not come back. */
int	db_discard(struct db *, int64_t row, struct why *);

struct db_parked {
	uint64_t	objects[PARK_OPERATOR + 1];	/* by class; one may be in several */
	int64_t		first_ms;	/* when the one that expires next was parked; 0: none */
};
int	db_parked(struct db *, struct db_parked *, struct why *);
/* How many of those that expire were parked since then. */
int	db_parked_since(struct db *, int64_t since_ms, uint64_t *n, struct why *);
/* What is not parked whole: how many, and when the first of them was received; 0: none. */
int	db_waiting(struct db *, uint64_t *objects, int64_t *oldest_ms, struct why *);

/*
 * The story of an object at home: what became of its deliveries, kept while it is there and
 * afterwards for as long as its key is remembered, but no more than DB_STORY_MAX events in all.
 */
#define DB_STORY_MAX	500000		/* some 75 MB */
#define DB_STORY_OBJECT	1000		/* beyond it only what ends a delivery is added */

enum db_event {			/* written into the database: never renumbered */
	EVENT_NONE = 0,
	EVENT_DEFERRED,
	EVENT_UNCERTAIN,
	EVENT_PARKED,
	EVENT_REFUSED,
	EVENT_DELIVERED,
	EVENT_RETRIED,			/* from here on by the operator, but EXPIRED */
	EVENT_UNPARKED,
	EVENT_DROPPED,
	EVENT_EXPIRED,
};
struct db_told {
	int64_t		at_ms, since_ms;	/* the last of `times` alike, and the first */
	unsigned	times;
	enum db_event	what;
	int		part;		/* -1: the whole object */
	enum park_class	park;
	char		recipient[400], mailbox[64];
	char		text[SMTP_REPLY_TEXT_MAX + 32];
};
typedef bool db_told_fn(void *arg, const struct db_told *);		/* false: enough */
int	db_story_read(struct db *, int64_t row, db_told_fn *, void *arg, struct why *);

struct db_gone {			/* an object that is not here any more */
	int64_t		row;		/* 0: settled by an earlier version; it has no story */
	char		signer[256];
	int64_t		received_ms, gone_ms;
	uint64_t	size;
};
/* 1 it was here, 0 it was not, or is forgotten, -1 failed. */
int	db_find_gone(struct db *, struct uuid, struct db_gone *, struct why *);

/* --- housekeeping --------------------------------------------------------- */

/*
 * Expired parked rows, old verdicts, remembered keys, bans: a bounded step.
 * 1: there is more, 0: done, -1: failed.  By a clock that may be late but did not jump
 * ahead (clock_surely_ms).
 */
int	db_expire(struct db *, int64_t surely_ms, struct why *);
/*
 * In large/: foreign files set aside, old ones without a row removed.  Not while the clock is
 * in doubt: what is being written would be old.  report: also that it cannot be done.
 */
void	db_sweep(struct db *, bool report);
/*
 * Checkpoint where the log is long, or where idle any; give free pages back in a small step. 1:
 * there is more.
 */
int	db_idle(struct db *, bool idle);

#endif
