#ifndef PRIV_COMMAND_H
#define PRIV_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "base/clock.h"
#include "base/span.h"
#include "conf/command_line.h"

/*
 * One run of a configured command, on the loop of a process that may run some.
 *
 * It gets nothing on standard input, the environment that is given and nothing else, a
 * process group of its own that is killed with it, so many seconds, and no say beyond so
 * many octets.  What it prints on standard error goes where our own does.
 */
#define COMMAND_PIECE	65536

struct command_run;

struct command_ops {
	/* Octets that it printed.  False: memory is out, and it is ended. */
	bool	(*output)(void *arg, struct span);
	/* Once: it is over, and all that it printed was given.  error: "", or what went wrong. */
	void	(*over)(void *arg, const char *error);
};

struct command_limits {
	unsigned	seconds;
	size_t		octets;
	const char	*too_long, *too_much;	/* words for each */
};

struct command_run {			/* the caller's; zero before the first */
	const struct command_ops *ops;
	const struct command_limits *limits;
	void		*arg;
	bool		 going;
	bool		 exited, drained;	/* both: the answer is whole */
	int64_t		 status;
	int		 signal;
	size_t		 octets;
	const char	*failed;	/* why it was ended by us */
	char		 words[128];
	unsigned	 open;		/* handles that are not closed */
	uv_process_t	 child;
	uv_pipe_t	 out;
	uv_timer_t	 timer;
	struct instant	 due;
	char		 piece[COMMAND_PIECE];
};

/* limits, ops and arg are kept; env is NULL-terminated.  over always comes, from the loop. */
void	command_begin(struct command_run *, uv_loop_t *, const struct command_line *,
	    char *const *env, const struct command_limits *, const struct command_ops *, void *arg);
void	command_kill(struct command_run *, const char *why);	/* no-op if none is going */

#endif
