#ifndef BASE_SCOREBOARD_H
#define BASE_SCOREBOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/*
 * What each process shows of itself to `posthouse status`: one page of plain
 * numbers and short texts, shared by all processes of a role (an anonymous
 * memfd made by the parent).  A process writes its own part only.  To the
 * reader it is input from less trusted processes: numbers are numbers, texts
 * are cut at their size and escaped, nothing in it is followed.
 */
#define BOARD_PROCS	12
#define BOARD_PEERS	64
#define BOARD_SERVICES	32
#define BOARD_BUCKETS	8
#define BOARD_TEXT	128
#define BOARD_WORDS	512	/* a whole struct why */

enum board_counter {
	BC_CONNECTIONS = 0,	/* SMTP connections now */
	BC_CONNECTIONS_TOTAL,
	BC_CONNECTIONS_REFUSED,	/* over a limit */
	BC_CONNECTIONS_BANNED,	/* refused at accept, or ended, for a home's ban */
	BC_TLS_TOTAL,
	BC_ACCEPTED,		/* messages told 250 */
	BC_REFUSED,		/* messages told 5xx after data, or by verdict */
	BC_DEFERRED,		/* messages told 4xx */
	BC_RCPT_REFUSED,
	BC_BARE_LF,		/* line ends normalised */
	BC_TIMEOUTS,
	BC_VERDICTS_ASKED,
	BC_VERDICTS_LATE,
	BC_HANDED_OVER,
	BC_HANDOVER_FAILED,
	BC_MEMORY,		/* octets of objects waiting in memory */
	BC_RECEIVED,		/* home: PUTs answered 201 or 200 */
	BC_FORGED,		/* home: set aside */
	BC_DELIVERED,
	BC_PARKED,
	BC_JUDGED,		/* home: by the filter */
	BC_UNJUDGED,		/* delivered without its word, though there is one */
	BC_STALE_LEDGER,	/* edge: answers with a smaller mark */
	BC_PASSED,		/* streams */
	BC_PASSED_REFUSED,
	BC_PUSH_DENIED,		/* home: without a Worker's token */
	BC_PUSH_LIMITED,	/* home: above a Worker's rate or bytes */
	BC_COUNT
};

struct board_proc {
	char		name[32];	/* "reception" */
	_Atomic int	pid;
	_Atomic unsigned restarts;	/* by the parent */
	char		sandbox[64];	/* "seccomp, landlock 6" */
	char		alarm[BOARD_TEXT];	/* what someone must look at now, "" none */
};

struct board_peer {			/* a home seen from an edge, or an edge seen from home */
	char		name[64];
	_Atomic unsigned connections;	/* tunnels up */
	_Atomic int64_t	since_ms;	/* wall clock of the last change */
	_Atomic int64_t	rtt_us;
	/* at an edge: who that home has said is there; domains that take anybody do not count */
	_Atomic int64_t	recipients;
	_Atomic int64_t	list_ms;	/* when the oldest such list was right; 0: there is none */
	_Atomic int64_t	list_until_ms;	/* it refuses nobody from then on */
	char		address[64];	/* home: where it is looked for, a name mostly */
	char		at[64];		/* home: the address that a tunnel was up to last */
	char		error[BOARD_WORDS];	/* the last reason it is not up */
	_Atomic int	alarm;		/* home: error is what no time mends */
};

struct board_service {			/* home: what edges pass to it */
	char		name[64];
	char		backend[64];
	_Atomic int	up;		/* open to clients */
	_Atomic unsigned streams;	/* open connections */
	char		why[BOARD_TEXT];	/* it is not up */
};

/* Where mail waits for home's drain: as home sees it (home/bucket.h), or an edge that fills it. */
struct board_bucket {
	char		name[64];
	char		error[BOARD_WORDS];	/* why mail stays there, "" */
	_Atomic int	alarm;		/* error is what no time mends */
	_Atomic int	looking;	/* a look is under way */
	_Atomic uint64_t looks;		/* that have ended */
	_Atomic int64_t	looked_ms;	/* wall clock of the last whole one; 0: never */
	_Atomic int64_t	next_ms;	/* and of the next */
	_Atomic int64_t	waiting, octets;	/* as of the last listing, less what was taken */
	_Atomic int64_t	oldest_ms;	/* when the oldest of them was put there; 0: none is */
	_Atomic int64_t	taken;		/* since start; edge: put there */
	_Atomic int64_t	aside;		/* what is no mail of ours, and stays there */
	/* the one of them that was seen first last */
	char		aside_name[BOARD_TEXT], aside_why[BOARD_TEXT];
	/* The bucket's own rules delete what is so old; 0: they delete nothing, -1: not known. */
	_Atomic int64_t	expires_ms;
	/* edge: the store does not answer, or not us: no mail is taken until it does */
	_Atomic int	away;
};

/* Why a connection was not passed. */
enum board_refusal {
	BR_NO_HOME = 0,		/* none is paired for the service */
	BR_HOME_DOWN,		/* no tunnel, or it broke while home was asked */
	BR_SERVICE_DOWN,	/* home says so: no backend, or not cleared */
	BR_HOME_REFUSED,	/* home's answer to the CONNECT */
	BR_LATE,		/* no answer, or no first word of the backend, in time */
	BR_SILENT,		/* the backend closed without a word */
	BR_LIMIT,		/* limits.streams */
	BR_HOME_LIMIT,		/* limits.streams_home */
	BR_CLIENT_LIMIT,	/* limits.streams_client */
	BR_ADDRESS,		/* no global unicast address */
	BR_HEADER,		/* of a load balancer: wrong, late, or for itself */
	BR_BANNED,		/* the home does not want to hear from that network */
	BR_NAME,		/* none of the homes has the name that the client asked for */
	BR_COUNT
};

struct board_passed {			/* edge: a service that is passed, or may be */
	char		name[64];
	_Atomic int64_t	open;		/* passed now */
	_Atomic int64_t	total;		/* since start */
	_Atomic int64_t	held;		/* auto: not passed but served here */
	_Atomic int64_t	refused;	/* closed */
	_Atomic int64_t	why[BR_COUNT];	/* of both */
	/* auto: 1 + why new ones are held as things are, 0: they are passed */
	_Atomic int	holding;
};

/* How the server that held mail goes to is told who sent it. */
enum board_identity {
	BI_UNKNOWN = 0,		/* it has not been reached yet */
	BI_XCLIENT,
	BI_PROXY,
	BI_NONE,
	BI_COUNT
};

struct scoreboard {
	_Atomic int64_t	started_ms;
	char		refused[BOARD_WORDS];	/* the parent's: why the last reload was, "" */
	/* of the certificates for STARTTLS that clients are shown now, the one that ends first */
	char		tls_name[BOARD_TEXT];
	_Atomic int64_t	tls_until_ms;	/* 0: there is none */
	_Atomic unsigned peers_unread;	/* pairings whose files cannot be read */
	struct board_proc proc[BOARD_PROCS];
	struct board_peer peer[BOARD_PEERS];
	struct board_service service[BOARD_SERVICES];
	struct board_passed passed[BOARD_SERVICES];
	struct board_bucket bucket[BOARD_BUCKETS];
	_Atomic int	identity;	/* the courier's: enum board_identity */
	char		filter[BOARD_TEXT];	/* home: why mail is delivered unjudged, "" */
	_Atomic int64_t	count[BC_COUNT];
};

static inline void
board_add(struct scoreboard *b, enum board_counter c, int64_t n)
{
	atomic_fetch_add_explicit(&b->count[c], n, memory_order_relaxed);
}

static inline int64_t
board_get(struct scoreboard *b, enum board_counter c)
{
	return atomic_load_explicit(&b->count[c], memory_order_relaxed);
}

/*
 * Whether that certificate is over, or will be so soon (alarms.certificate).  A clock that was
 * never set knows no dates, and is said elsewhere.
 */
static inline bool
board_tls_ends(struct scoreboard *b, int64_t now_ms, int64_t soon_ms)
{
	int64_t until = atomic_load(&b->tls_until_ms);

	return until != 0 && now_ms >= CLOCK_FIRST_MS && until - now_ms < soon_ms;
}

/* The service's row, taken when it is first asked for; NULL: all are taken. */
struct board_passed *board_passed(struct scoreboard *, const char *name);

/* Edge: the process that had connections and tunnels open has ended, and they with it. */
void	board_cut(struct scoreboard *, int64_t now_ms, const char *why);

extern const char *const board_refusal_names[BR_COUNT];	/* in logs as well */
extern const char *const board_identity_names[BI_COUNT];	/* "" while it is not known */
extern const char *const board_counter_names[BC_COUNT];	/* as `status --json` calls them */

#endif
