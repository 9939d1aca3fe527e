#ifndef KIT_MAIL_SERVER_H
#define KIT_MAIL_SERVER_H

/*
 * A mail server on the kit's loop for what the courier's ledger (courier_play.h) holds: it
 * counts what it keeps, and fails once at the command that a test names.
 */
#include "kit/backend_play.h"
#include "kit/courier_play.h"

enum fault {
	FAULT_NONE = 0,
	FAULT_CUT,		/* it hangs up, having done nothing */
	FAULT_CUT_AFTER,	/* it does what it was told, and hangs up without a word */
	FAULT_HALF,		/* the same, in the middle of its answer */
	FAULT_LATER,		/* 451 */
	FAULT_NONSENSE,		/* no reply at all, by its form */
	FAULT_DRIP,		/* an octet of a reply now and then, without end */
	FAULT_SILENT,		/* it stays, and says nothing */
};

struct mail_server {
	struct play_backend b;
	bool		 lmtp;
	enum fault	 fault;
	unsigned	 at, step;		/* commands, and ends of data */
	unsigned	 kept[OBJECTS_MAX][3];	/* by object and mailbox */
	unsigned	 mails;			/* kept, a transaction each */
	uv_timer_t	 drip;
	struct line {				/* of each guest */
		char		 p[1100];
		size_t		 n;
		bool		 data, silent;
		int		 object;	/* of what comes, by its X-Posthouse-Id */
		size_t		 rcpt[8], nrcpts;
	} line[PLAY_GUESTS];
};
extern struct mail_server server;

void	mail_server_begin(bool lmtp);		/* conf.deliver goes there */
void	mail_server_again(void);		/* what it counted is forgotten */
void	mail_server_end(void);

#endif
