#ifndef STORE_SPOOL_H
#define STORE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/netaddr.h"
#include "base/netset.h"
#include "base/span.h"
#include "base/uuid.h"
#include "base/why.h"
#include "proto/object_mac.h"
#include "proto/pairing.h"
#include "proto/smtp_reply.h"

/*
 * The asynchronous spool and ledger, as every process but its writer sees them.
 * No SQL here: the writer is another process at the other end of a channel
 * (store/writer.h), and an S3 spool or a PostgreSQL ledger would be other files
 * behind this header.
 *
 * Answers come as calls from the loop, never from inside the call that asked,
 * and in the order asked for one kind, but that a large put may be overtaken.  When
 * the writer dies every question under way is answered with failure (NOT_KEPT and so
 * on), after `attached(false)`; the parent starts another writer and hands over a new
 * channel (spool_attach), and the session goes on: a restart treats work in flight as
 * unfinished.  What is asked while there is no writer waits for the next one.
 */
struct spool;
struct chan;

/* set by the road a row came by, never by its content; only SUBMISSION may reach a relay */
enum spool_origin {
	ORIGIN_NONE = 0,
	ORIGIN_RECEPTION,	/* heard by this edge */
	ORIGIN_TUNNEL,		/* by an edge's tunnel */
	ORIGIN_BUCKET,
	ORIGIN_PUSH,		/* by a Worker's push, to us or to an edge that vouches for it */
	ORIGIN_SUBMISSION,
};

/* Of a client's address, what counts as one network: what one customer is given to use. */
#define SPOOL_NET_V4	24
#define SPOOL_NET_V6	48

/* The key is (signer, id): the edge that made the object and its name for it. */
struct spool_meta {
	char		signer[256];	/* the edge's hostname */
	struct uuid	id;
	/* whose it is (edge); what the edge calls us (home) */
	char		home[PAIRING_NAME_MAX + 1];
	enum spool_origin origin;
	int64_t		received_ms;
	struct netaddr	client_net;	/* edge: of SPOOL_NET_*, for the share; zero elsewhere */
	/*
	 * home: the sender has not been told 250 yet, a refusal is still provisional; edge: do not
	 * hand over by yourself until spool_release
	 */
	bool		verdict;
};

/* --- putting ------------------------------------------------------------- */

enum kept {
	NOT_KEPT = 0,		/* tell the peer 4xx / 503: it still has it */
	KEPT,			/* survives power loss: the peer may be told 250 / 201 */
	/* (signer, id) was here already, or is remembered as delivered (row 0) */
	KEPT_BEFORE,
	/* not kept: quota, share, reserve or disk: 452 / 503; why names it */
	KEPT_FULL,
};

struct spool_put;
typedef void spool_kept_fn(void *arg, enum kept, int64_t row, const struct why *);

/*
 * One object on its way in.  Octets wait in memory up to the threshold and while
 * the process-wide budget lasts, beyond that in a file of its own made in the
 * directory descriptor given to spool_new.
 */
/* NULL: memory is out */
struct spool_put *spool_put_new(struct spool *, const struct spool_meta *);
/* -1: disk full or failing; drop it and say 452 */
int	spool_put_add(struct spool_put *, const void *, size_t, struct why *);
/* The put is over for the caller at once; told is called exactly once. */
void	spool_put_commit(struct spool_put **, const unsigned char mac[OBJECT_MAC_LEN],
    spool_kept_fn *told, void *arg);
void	spool_put_drop(struct spool_put **);	/* forgets it; removes its file */

/* --- reading -------------------------------------------------------------- */

struct spool_object {
	int64_t		row;
	struct spool_meta meta;
	uint64_t	size;		/* sealed octets */
	unsigned char	mac[OBJECT_MAC_LEN];
	unsigned	tries;		/* handed over or delivered without success so far */
};

/*
 * The sealed octets: in memory (data; good during the call) or an open file (fd >= 0;
 * the callee's to close).  ok false: gone, damaged (set aside by the writer, why
 * says so), or the writer died.
 */
struct spool_content {
	bool		ok;
	struct span	data;
	int		fd;
};
typedef void spool_list_fn(void *arg, bool ok, const struct spool_object *, size_t n);
typedef void spool_get_fn(void *arg, int64_t row, struct spool_content *, const struct why *);
typedef void spool_done_fn(void *arg, bool ok, const struct why *);

/*
 * What is held for a home (home "": for all) and not hidden by an open verdict, oldest row first,
 * rows above `after`.
 */
void	spool_list(struct spool *, const char *home, int64_t after, unsigned max, spool_list_fn *,
    void *arg);
void	spool_get(struct spool *, int64_t row, spool_get_fn *, void *arg);
/*
 * Edge: handed over (home has it durably) or refused to the sender; gone once told ok.  Also notes
 * the ledger mark.
 */
void	spool_delete(struct spool *, int64_t row, spool_done_fn *, void *arg);
/* Edge: its verdict is over (250 was said): from now on it is handed over like any other. */
void	spool_release(struct spool *, int64_t row);
/* Edge: a PUT failed; counted, shown by `posthouse show`. reason: one line. */
void	spool_failed(struct spool *, int64_t row, const char *reason);

/*
 * A run of home's writer that changed its ledger: a random number that the run has for itself,
 * and the counter that its first commit made.  Of two ledgers of one epoch that began as copies,
 * each has runs that the other has not, so that a copy is known for one however far it has
 * counted since.
 */
#define LEDGER_RUNS	16	/* the last ones: some 300 octets in an answer */
struct ledger_run {
	uint32_t	run;		/* never 0 */
	uint64_t	first;
};

/*
 * Edge: the highest (epoch, counter) a home's ledger has shown.  Kept durably before
 * MARKED is answered when the epoch or the run changes; lazily for the counter.
 */
struct ledger_mark {
	uint64_t	epoch;
	uint64_t	counter;
	struct ledger_run runs[LEDGER_RUNS];	/* the present one first */
	unsigned	nruns;		/* 0: it names none */
};

/* The run that made this counter; 0: it is not known. */
static inline uint32_t
ledger_run(const struct ledger_mark *m)
{
	return m->nruns > 0 ? m->runs[0].run : 0;
}
enum marked {
	/* our disk failed, or the writer died: nothing is known of the ledger; ask again later */
	MARKED_NOT = 0,
	MARKED,			/* as new as any that was seen: what home says it has, it has */
	/* older than one that was seen: an old copy was restored; hand nothing over */
	MARKED_STALE,
};
typedef void spool_marked_fn(void *arg, enum marked, const struct why *);
void	spool_mark(struct spool *, const char *home, struct ledger_mark, spool_marked_fn *,
    void *arg);

/* --- home: the ledger ------------------------------------------------------ */

/* of one delivery: a recipient's, or several's that end in one mailbox */
enum ledger_state {
	LEDGER_QUEUED = 0,
	LEDGER_SENDING,		/* a restart makes it UNCERTAIN */
	LEDGER_STAGED,		/* Maildir: tmp/NAME is durable; see maildir.h */
	LEDGER_DELIVERED,
	LEDGER_DEFERRED,	/* next_ms */
	LEDGER_PARKED,		/* class, reply: kept, shown, alarmed about */
	LEDGER_UNCERTAIN,	/* everything was sent and no answer came */
	LEDGER_REFUSED,		/* provisional 422: nobody was told 250 yet */
};

enum park_class {
	PARK_NONE = 0,
	PARK_POLICY,		/* 5.7.x, 5.1.1, spam: daily summary, expires after parked_keep */
	PARK_REFUSED,		/* any other 5xx after acceptance */
	PARK_FOREIGN_RECIPIENT,	/* a domain this edge was not granted */
	PARK_MALFORMED,		/* the object opened, and is no held object, or truncated */
	PARK_UNSEALABLE,	/* none of our identities opens it */
	PARK_FORGED,		/* wrong MAC: never stored as mail, only set aside */
	PARK_OPERATOR,
};

/* Of a server's refusal for good. */
static inline enum park_class
park_class_of(const struct smtp_reply *r)
{
	bool policy = r->enhanced[0] == 5 &&
	    (r->enhanced[1] == 7 || (r->enhanced[1] == 1 && r->enhanced[2] == 1));

	return policy ? PARK_POLICY : PARK_REFUSED;
}

struct ledger_entry {
	int64_t		row;		/* the object's */
	unsigned	part;		/* 0.. within the object */
	enum ledger_state state;
	enum park_class	park;
	/* the first forward-path that ends here; the sender's words, escape before showing */
	char		recipient[400];
	char		mailbox[64];	/* "" before routing */
	char		name[128];	/* Maildir: NAME in tmp/ */
	int64_t		next_ms;	/* wall clock */
	struct smtp_reply reply;	/* the words of whoever refused or deferred; code 0: none */
};

/* Everything a courier needs to go on with an object. entries: as noted before, none when new. */
struct ledger_job {
	struct spool_object object;
	const struct ledger_entry *entries;
	size_t		nentries;
	struct spool_content content;	/* fd is the callee's */
};
/* once for each job, then once with NULL */
typedef void ledger_job_fn(void *arg, struct ledger_job *);
/*
 * Claims up to max objects that have work due (queued, staged from before a
 * restart, deferred and due, uncertain and due), oldest first, each once until
 * noted to the end or the courier dies.  Large ones are at most half; so much
 * content that it would fill memory comes in several claims, a `work` after each.
 */
void	ledger_claim(struct spool *, unsigned max, ledger_job_fn *, void *arg);
/*
 * Notes entries (the first time all of the object's, then those that changed) in
 * one transaction, with others that wait.  When every entry of an object is DELIVERED, PARKED or
 * REFUSED its claim ends; all delivered: the content is deleted, the key
 * remembered.  DEFERRED entries end the claim until the earliest next_ms.
 */
void	ledger_note(struct spool *, const struct ledger_entry *, size_t n, spool_done_fn *,
    void *arg);

enum outcome {			/* of a whole object */
	OUTCOME_PENDING = 0,
	OUTCOME_DELIVERED,	/* every entry delivered */
	OUTCOME_ACCEPTED,	/* settled, but some part parked, deferred or uncertain */
	OUTCOME_REFUSED,	/* every entry refused, provisionally: reply says the words */
};
typedef void ledger_outcome_fn(void *arg, enum outcome, const struct smtp_reply *);
/*
 * Home's tunnel: called once when the object settles or has to wait, or with PENDING if the writer
 * dies. Row 0: delivered.
 */
void	ledger_watch(struct spool *, int64_t row, ledger_outcome_fn *, void *arg);
/*
 * The wait is over: the sender will be told 250 unless this answers REFUSED.
 * Anything but REFUSED means that a refusal from now on parks.  Durable when told.
 */
void	ledger_verdict_over(struct spool *, int64_t row, ledger_outcome_fn *, void *arg);
/* DELETE /mail/<id>: the sender was told 5xx. Removes a REFUSED object; ok if none is there. */
void	ledger_confirm_refused(struct spool *, const char *signer, struct uuid id, spool_done_fn *,
    void *arg);
/* Home: an object whose MAC is wrong: kept under aside/, named, never delivered. */
void	spool_set_aside(struct spool_put **, const char *reason, spool_done_fn *, void *arg);

/*
 * Home's tunnel: what the interlock found of a service, for the operator (home/interlock.h);
 * JSON of at most SPOOL_REPORT_MAX octets, empty when the service is gone.
 */
#define SPOOL_REPORT_MAX	(512u << 10)
void	spool_interlock(struct spool *, const char *service, struct span report);

/*
 * Edge: what a home said last and where it was, kept over our own restart, and told to the
 * next process that hears homes (events.said) before peers_known.  Kept soon, not at once; only
 * of homes that are paired or configured, and not while the disk is short.
 */
#define SPOOL_SAID_MAX	(12u << 20)	/* 100,000 bans of 96 octets; a policy has half of that */
enum spool_said {
	SPOOL_SAID_POLICY = 0,		/* the document (proto/policy.h) */
	SPOOL_SAID_BANS,		/* the list (proto/ban_list.h) */
	SPOOL_SAID_FROM,		/* its addresses, a line each, the newest first */
	SPOOL_SAID_KINDS,
};
void	spool_say(struct spool *, const char *home, enum spool_said, struct span);

/*
 * Home: the answer to an operator's question (events.question), JSON of at most
 * SPOOL_REPORT_MAX octets: what control.h says of an answer.
 */
void	spool_answer_question(struct spool *, uint64_t question, struct span answer);

/* --- what the writer tells without being asked ----------------------------- */

/*
 * Home: who is banned.  All of them come at start, and again when many change at
 * once: the first piece is anew (forget what was told before), the last one whole
 * (it may be used).  A change is one piece.  Over ones are not told: what has a
 * time ends by itself, by boot_ms.
 */
struct spool_ban {
	struct netset_entry on;
	bool		 lifted;
};
struct spool_bans {
	const struct spool_ban *list;
	size_t		 n;
	bool		 anew, whole;
};

struct spool_events {
	/* home: something may be due; edge: rows are there to hand over */
	void	(*work)(void *arg);
	/* a paired peer, at start and when it changes */
	void	(*peer)(void *arg, const struct peer *);
	/* unpaired; also while there was no writer: then told before peers_known */
	void	(*peer_gone)(void *arg, const char *name);
	/* all that are known at the writer's start have been told */
	void	(*peers_known)(void *arg);
	void	(*mark)(void *arg, struct ledger_mark);	/* home: after each commit */
	void	(*attached)(void *arg, bool up);	/* the writer is (again) there, or died */
	void	(*interlock)(void *arg, uint64_t run);	/* home: the operator wants it now */
	void	(*again)(void *arg);		/* edge: what waits for a pause to end goes now */
	/* home: an operator asks what only one process knows; the others leave it alone */
	void	(*question)(void *arg, uint64_t question, struct span json);
	void	(*pairing)(void *arg, bool pending);	/* edge: whether a pairing line is open */
	void	(*bans)(void *arg, const struct spool_bans *);	/* home: before peers_known, too */
	/*
	 * edge: spool_say's, from its start; the callee closes fd.  Its time of change is when
	 * it was said.
	 */
	void	(*said)(void *arg, const char *home, enum spool_said, int fd);
};

/* dirfd: the directory for large objects, writable; budget and threshold from conf_hold. */
struct spool *spool_new(const struct spool_events *, void *arg, int dirfd, uint64_t budget,
    uint64_t threshold);
void	spool_attach(struct spool *, struct chan *);	/* takes the channel; NULL detaches */
void	spool_free(struct spool **);
uint64_t spool_memory(const struct spool *);		/* octets of puts in memory now */
/*
 * Edge: sealed octets that may still be kept, of the disk above its reserve and of
 * hold.quota, as the writer said when it last changed or, while it is short, a second
 * ago at most; UINT64_MAX: enough for anything.  A hint for refusing early; what a put is
 * told is what counts.
 */
uint64_t spool_room(const struct spool *);

/*
 * Edge: redeem a pairing token. error "" means paired; peer has the grant. Tries are counted
 * durably.
 */
typedef void spool_pair_fn(void *arg, const char *error, const struct peer *);
void	spool_pair_check(struct spool *, const char *name,
    const unsigned char token[PAIRING_TOKEN_LEN], spool_pair_fn *, void *arg);
/* After the proof: stores the peer (pin, mac key, recipients) and ends the line. */
void	spool_pair_finish(struct spool *, const struct peer *,
    const unsigned char token[PAIRING_TOKEN_LEN], spool_pair_fn *, void *arg);
/* Store a changed peer: rotated keys taken from policy (edge), an edge's next pin (home). */
void	spool_peer_update(struct spool *, const struct peer *, spool_done_fn *, void *arg);

#endif
