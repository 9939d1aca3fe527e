#ifndef PRIV_PARENT_H
#define PRIV_PARENT_H

#include <sys/types.h>
#include <uv.h>

#include "base/clock.h"
#include "priv/account.h"
#include "priv/ground.h"
#include "priv/proc.h"
#include "priv/secrets.h"
#include "priv/sleeper.h"

/* The parent's state, shared by parent.c (its main) and its two halves, kids.c and reload.c. */
enum kid_state {
	KID_NONE = 0,		/* not wanted, or ended for good */
	KID_ASLEEP,		/* starts when somebody has a word for it */
	KID_WAITING,		/* ended; its timer will start it again */
	KID_STARTING,		/* told everything, not READY yet */
	KID_UP,
};

struct parent;

struct kid {
	struct parent	*parent;
	enum proc_kind	 kind;
	enum kid_state	 state;
	pid_t		 pid;		/* 0: none */
	struct chan	*chan;
	struct sleeper	 sleeper;	/* its ends, while it is asleep */
	struct why	 cut;		/* how chan ended; "" while it has not */
	uv_timer_t	 timer;
	uint64_t	 pause_ms;	/* before the next start */
	struct instant	 since;
	unsigned	 reloads;	/* RELOADED awaited: one for each CONFIG after GO */
	bool		 told_drain;
};

struct parent {
	enum conf_role	 role;
	const char	*file;
	struct buf	 text;		/* of the configuration in force */
	struct conf_edge *edge;
	struct conf_home *home;
	const struct conf_common *common;
	struct account	 account;
	struct ground	 ground;
	struct secrets	 secrets;
	struct clock_watch clock;
	struct kid	 kids[PROC_KINDS];
	uv_loop_t	 loop;
	uv_signal_t	 sigs[4];
	/* end of a drain; secret files; an overdue RELOADED */
	uv_timer_t	 force, watch, late;
	struct instant	 force_due, late_due;
	bool		 up;		/* every process has been READY once */
	bool		 draining;
	int		 status;
};

/* kids.c */
void	kids_init(struct parent *);
void	kids_start(struct parent *);		/* those that are wanted, may be and are not */
void	kids_reap(struct parent *);		/* after SIGCHLD */
/* the next step of it: the writer last, then the end */
void	kids_drain(struct parent *);
void	kids_kill(struct parent *);
void	kid_send_config(struct kid *);
void	kid_send_secret(struct kid *, const struct secret_file *);

/* reload.c */
int	config_read(const char *file, struct buf *, struct why *);
void	config_free(struct parent *);
int	config_take(struct parent *, struct buf *text, struct why *);	/* the first time */
void	reload_now(struct parent *);		/* SIGHUP */
void	reload_answered(struct kid *, struct span why);
void	reload_gone(struct kid *);		/* it ended before it answered */
void	reload_secrets(struct parent *);	/* if a file changed */

/* parent.c */
void	parent_up(struct parent *);		/* all are READY */
void	parent_drain(struct parent *, int status);
void	parent_check_files(const struct parent *);	/* says what is too small */

#endif
