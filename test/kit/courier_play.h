#ifndef KIT_COURIER_PLAY_H
#define KIT_COURIER_PLAY_H

/*
 * The courier over a real Maildir and a ledger in memory that outlives it, with a
 * reader who takes mail away.  The ledger's functions here stand in for
 * store/spool.h; every system call of the Maildir goes through faults of the test's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "home/courier.h"
#include "home/filter.h"

#define OBJECTS_MAX	64
#define ENTRIES_MAX	40

struct held {
	struct spool_object object;
	struct buf	 sealed;
	bool		 by_fd;
	bool		 gone;			/* its octets are damaged */
	bool		 unreadable;		/* by_fd: the disk fails */
	struct ledger_entry entries[ENTRIES_MAX];
	size_t		 n;
	bool		 claimed;
	unsigned	 unsure;	/* deliveries that were said to be uncertain, or were */
};

extern struct held ledger[OBJECTS_MAX];
extern size_t nledger;
extern bool ledger_fails, deferred_due;		/* deferred_due: what was deferred is due now */
extern bool unpaired;				/* the edge, since it brought what is here */

extern struct courier C;
extern struct conf_home conf;
extern char alarm_text[], dir[64];
extern struct scoreboard board;

/* Where this run is hit: at which call, and how. */
enum hit {
	HIT_NOTHING = 0,
	HIT_KILL,			/* the process ends: nothing it does from here on happens */
	HIT_FAIL,			/* the call fails, the process goes on */
	HIT_KILL_AFTER,			/* the call happens, then the process ends */
};
extern enum hit how;
extern unsigned calls, hit_at;

int	courier_setup(void **state);
int	courier_teardown(void **state);
void	clean(void);			/* no mail, no ledger */

/* One object in the ledger; returns its place.  rcpts: paths, a space between. */
enum flaw {
	FLAWLESS = 0,
	FLAW_TRUNCATED,
	FLAW_OTHER_ID,
	FLAW_OTHER_EDGE,
	FLAW_OTHER_KEY,
	FLAW_BIT,
	FLAW_GARBAGE,
	FLAW_GONE,
};
#define BODY "Received: from client.example\r\nSubject: hello\r\n\r\n.dot\r\nlast\r\n"

size_t	hold(const char *rcpts, const char *body, enum flaw, bool by_fd);

void	birth(void);
void	death(void);
/* As a writer does it when it starts: what was being sent may have arrived. */
void	claim_lost(struct held *);
/* It ended where it stood, and its memory with it: what it held is lost, a loop is made anew. */
void	aborted(void);
void	answer_all(void);		/* until nobody asks, or the process is killed */
void	live(void);			/* one life, up to where it has nothing to do */
void	work_begins(void);		/* the writer is there; and who asks is answered */
bool	idle(void);			/* it has nothing to do, once who asks was answered */

/* Takes all mail away, counting it by object and mailbox. */
void	read_mail(void);
extern unsigned got[OBJECTS_MAX][ENTRIES_MAX];
extern char last_text[1 << 20];

#endif
