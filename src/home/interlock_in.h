#ifndef HOME_INTERLOCK_IN_H
#define HOME_INTERLOCK_IN_H

#include "home/interlock.h"
#include "proto/relay_probe.h"

/*
 * Inside of the interlock: which services there are, and when each is tried, is interlock.c's;
 * one test of one mail server is interlock_run.c's, as whom and for whom it asks is in
 * interlock_who.c, one connection of it is in interlock_visit.c, and what came of it is told by
 * interlock_report.c.  What is no mail server at first sight is interlock_sniff.c's.
 */
#define RUN_DOMAINS_MAX	8	/* of ours; any one will do for the forms */

struct visit {			/* one connection; it ends by itself once it was let go */
	struct item	*item;		/* NULL: let go */
	struct visit	**held;		/* by its run or its item */
	struct backend_call *call;
	struct conn	*conn;
};

struct untrusted {		/* one more than there may be, which the probe refuses */
	struct relay_address list[RELAY_ADDRESSES_MAX + 1];
	size_t		 n;
};

struct run {			/* one test of one mail server */
	struct item	*item;
	struct relay_probe *probe;
	struct relay_setup setup;
	struct relay_visit now;
	struct visit	*visit;		/* NULL between two */
	uint64_t	 began_ms, number;
	bool		 unreachable;
	bool		 stale;		/* what it proves is not true any more */
	bool		 again;		/* began by a configuration that is another one now */
	struct untrusted untrusted;
	char		 domains[RUN_DOMAINS_MAX][256];
	const char	*own[RUN_DOMAINS_MAX];
	char		 controls[RELAY_CONTROLS_MAX][400];
	char		 helo[256];
};

struct item {			/* one service */
	struct interlock *interlock;
	struct service	*service;
	struct conf_home_service conf;	/* what it was tested with */
	char		 name[CONF_NAME_MAX];
	uv_timer_t	 timer;		/* of its run or its sniff: there is one of them at most */
	struct instant	 due;
	struct run	*run;		/* NULL: none is going on */
	struct visit	*sniff;
	enum sniffs {			/* how far it is with that */
		SNIFF_PLAIN = 0,
		SNIFF_SHAKES,		/* hands: TLS was begun */
		SNIFF_TLS,		/* nothing was said in it */
		SNIFF_ASKED,		/* but by us */
	} sniffs;
	bool		 sniffed;	/* it is no mail server in TLS either */
	uint64_t	 sniff_due_ms;	/* loop time at which that is asked again */
	bool		 greeted_in_tls;
	bool		 cleared;
	bool		 tested;
	enum relay_verdict verdict;	/* of the last run */
	uint64_t	 again_ms;	/* the last pause after a run that lacked an answer; or 0 */
	uint64_t	 due_ms;	/* loop time of the next */
	uint64_t	 away_due_ms;	/* the same while its backend is down: why is it? */
	uint64_t	 run_wanted, run_done;
	struct netaddr	 tried[RELAY_ADDRESSES_MAX + 1];
	size_t		 ntried;
	char		 words[BOARD_TEXT];	/* why it is closed */
	char		*report;	/* JSON, as told to the writer; NULL: none yet */
};

struct interlock {
	struct tunnel_proc *tunnel;
	interlock_told_fn *told;
	void		*arg;
	SSL_CTX		*tls;
	struct item	*items[CONF_SERVICES_MAX];
	size_t		 n;
};

/* --- interlock.c --- */
/* What was proved, or is being, is of another server or of other addresses. */
void	item_forget(struct item *);

/* --- interlock_run.c --- */
void	run_begin(struct item *);	/* nothing where memory is out: again in a minute */
void	run_free(struct run **);	/* nothing comes of it */
void	run_visited(struct run *);	/* told by its visit, which is over */

/* --- interlock_who.c --- */
/* Every address that must not be trusted today. */
void	interlock_untrusted(const struct tunnel_proc *, struct untrusted *);
/* Whether the item was tried as each of them. */
bool	interlock_covered(const struct tunnel_proc *, const struct item *);
/* Our domains, the control recipients and the name in EHLO, into the setup. */
void	interlock_names(const struct tunnel_proc *, struct run *);

/* --- interlock_visit.c --- */
/* Held from now on by *held, until it is let go.  NULL: memory is out. */
struct visit *visit_new(struct item *, struct visit **held);
void	visit_let_go(struct visit *);	/* whoever has its connection closes that */
void	visit_drop(struct visit *);	/* at once; nothing comes of it */
/* The connection that the probe wants now; run_visited ends it.  False: memory is out. */
bool	visit_begin(struct run *);

/* --- interlock_sniff.c --- */
void	sniff_begin(struct item *);	/* it->sniff until there is an answer */

/* --- interlock_report.c --- */
/* To the log and to the writer; keeps the report. */
void	interlock_report(struct run *, const struct relay_result *);
void	interlock_report_other(struct item *);	/* it is no mail server */

#endif
