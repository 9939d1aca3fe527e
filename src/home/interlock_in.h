#ifndef HOME_INTERLOCK_IN_H
#define HOME_INTERLOCK_IN_H

#include "home/interlock.h"
#include "proto/relay_probe.h"

/* Inside of the interlock: interlock.c runs it, interlock_report.c says what came of it. */
#define RUN_DOMAINS_MAX	8	/* of ours; any one will do for the forms */

struct visit;

struct run {			/* one test of one mail server */
	struct item	*item;
	struct relay_probe *probe;
	struct relay_setup setup;
	struct relay_visit now;
	struct visit	*visit;		/* NULL between two */
	unsigned	 visits;
	uint64_t	 began_ms, number;
	bool		 pausing;	/* the next visit begins from the loop */
	bool		 unreachable;
	bool		 stale;		/* what it proves is not true any more */
	bool		 again;		/* began by a configuration that is another one now */
	struct relay_address addresses[RELAY_ADDRESSES_MAX + 1];
	size_t		 naddresses;
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
	uv_timer_t	 timer;
	struct instant	 due;
	struct run	*run;		/* NULL: none is going on */
	struct visit	*sniff;
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

/* To the log and to the writer; keeps the report. */
void	interlock_report(struct run *, const struct relay_result *);
void	interlock_report_other(struct item *);	/* it is no mail server */

#endif
