#ifndef STORE_WRITER_H
#define STORE_WRITER_H

#include <jansson.h>
#include <stdbool.h>
#include <uv.h>

#include "base/why.h"
#include "conf/conf.h"

/*
 * The one process that writes spool, ledger and pairing state, and that serves
 * the operator's commands (control socket), of an edge or of a home.
 *
 * One loop turn collects every put, note, delete and mark that came in from all
 * channels, commits them in one transaction, then answers each.  Nothing is
 * answered before its commit.  No read transaction survives a return to the
 * loop.  STATE/spool.db (SQLite: WAL, synchronous FULL, auto_vacuum INCREMENTAL,
 * journal_size_limit), STATE/large/ (objects above the threshold, fsynced with
 * their directory on a thread before their row is made: a slow disk does not
 * stop the loop for them), STATE/aside/ (foreign, forged,
 * damaged: named and reported), STATE/homes/ or STATE/edges/ (peers),
 * STATE/policies/ and STATE/bans/ (said.h).
 *
 * At start it finishes what a crash left: large/ files without a row are removed,
 * files that are not ours are set aside, `sending` becomes `uncertain`, a
 * damaged database is set aside whole and said at error level.
 */
struct writer;
struct chan;
struct db;
struct peers;
struct sys;

struct writer_conf {
	enum conf_role	role;
	const struct conf_common *common;
	const struct conf_hold *hold;
	const struct conf_edge *edge;		/* by role */
	const struct conf_home *home;
	struct scoreboard *board;		/* what `status` shows of the other processes */
	/* tests: what lies under the store (sys.h; SQLite's VFS by name); NULL: the true ones */
	const struct sys *sys;
	const char	*vfs;
};

/* opens and recovers */
struct writer *writer_new(uv_loop_t *, const struct writer_conf *, struct why *);
void	writer_client(struct writer *, struct chan *);	/* another process's channel; takes it */
void	writer_control(struct writer *, int listen_fd);	/* serve the control socket */
/* Who tells somebody of alarms (store/tell.h); takes the channel. */
enum writer_teller { TELLER_HERALD = 0, TELLER_RUNNER, TELLERS };
void	writer_teller(struct writer *, enum writer_teller, struct chan *);
int	writer_reload(struct writer *, const struct writer_conf *, struct why *);
/* commit what waits, checkpoint, close */
void	writer_drain(struct writer *, void (*done)(void *), void *arg);
void	writer_free(struct writer **);

/*
 * For store/control.h alone: `struct control *control_new(uv_loop_t *, struct
 * writer *, int listen_fd)` (takes listen_fd; NULL when memory is out) and
 * `void control_free(struct control **)`.  It runs in the writer's process, calls
 * db and peers between two commits, and leaves no db_content open.  What it
 * changes in db is durable, and may be told, when writer_commit returned 0.
 */
struct db *writer_db(struct writer *);
struct peers *writer_peers(struct writer *);
/* What the interlock found, an object a service; borrowed. */
size_t	writer_interlocks(const struct writer *);
const json_t *writer_interlock(const struct writer *, size_t);
/* The tunnel is told to run it now; the number of this run, which reports then have. */
uint64_t writer_interlock_run(struct writer *, bool again);
const struct writer_conf *writer_conf(const struct writer *);
int	writer_commit(struct writer *, struct why *);
/*
 * Home: passes a question on to the process that knows; its answer comes to control_told by
 * the number that this returns.  0: nobody is there to ask.
 */
uint64_t writer_question(struct writer *, const json_t *);
/*
 * The operator's hand on one object: 1 changed, 0 not, and why says so for a person (it is
 * in a courier's hands, say), -1 the database failed and all that was not committed is
 * undone.  Durable when writer_commit returned 0.
 */
enum writer_act {
	ACT_RETRY = 0,		/* home: what waits is due now */
	ACT_RETRY_PARKED,	/* home: what is parked too */
	ACT_PARK,		/* home */
	ACT_UNPARK,		/* home: to this mailbox */
	ACT_DROP,
};
int	writer_act(struct writer *, int64_t row, enum writer_act, const char *mailbox,
    struct why *);
void	writer_again(struct writer *);	/* edge: whatever waits for a pause to end goes now */

/*
 * Alarms into an answer: "alarms", the words; "conditions", what is behind them; "roads", by
 * which they are told.  And a test begins, by all of them.
 */
void	writer_alarms_answer(struct writer *, json_t *o);
void	writer_alarms_test(struct writer *);

/*
 * What someone must do about this machine's clock: true while it is obviously wrong, and for a
 * day after it jumped.  And the wall clock without what it may have jumped ahead (base/clock.h).
 */
bool	writer_clock_alarm(struct writer *, char *text, size_t max);
int64_t	writer_surely_ms(const struct writer *);
/* octets; hold.quota where it has none of its own */
uint64_t writer_quota(const struct writer *, const char *home);

/*
 * Home: bans, durable and told to everybody when these return 0 or above.  by: see
 * store/db.h; NULL: whoever made them.  The caller has judged what is banned.
 */
struct db_ban;
struct netset;
struct netset_entry;
int	writer_ban(struct writer *, const struct db_ban *, struct why *);
/* How many were lifted; net NULL: all networks. */
int	writer_unban(struct writer *, const struct netset_entry *net, const char *by, struct why *);
const struct netset *writer_bans(struct writer *);	/* that hold now; good until one changes */

#endif
