#ifndef PRIV_PROC_H
#define PRIV_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/scoreboard.h"
#include "base/span.h"
#include "base/why.h"
#include "conf/conf.h"
#include "net/chan.h"

/*
 * The processes of a role (doc/ARCHITECTURE has the map).
 *
 *	edge:	parent, writer, reception, bucket, resolver, herald, runner
 *	home:	parent, writer, tunnel, drain, push, courier, helper, resolver, herald, runner
 *
 * The parent reads configuration and secrets, makes directories, binds
 * listeners, then starts each process by fork and exec of /proc/self/exe (a
 * fresh address space), as the configured user.  A process finds one channel on
 * descriptor PROC_FD and is told everything over it, in this order: CONFIG (the
 * text), any number of SECRET, LISTEN, DIR, BOARD, PEER_CHAN, then GO.  It then
 * enters its sandbox and works.  Later: CONFIG (reload: parse, and say
 * RELOADED), SECRET (changed file), PEER_CHAN (a neighbour was started again, or
 * only now), DRAIN (finish and exit).  A channel's other end may be a process that
 * has not got its GO yet; what is sent waits in the socket.
 *
 * The writer is started first and must be READY before the others are started,
 * and it is drained last.  Until every process has been READY once, the end of one
 * ends the role: what is wrong at the very start is for a person to mend.
 *
 * A message from a less trusted process is input: from its children the parent
 * takes READY and RELOADED, from the courier UNRETIRED, and nothing else; anything
 * more ends the child.
 *
 * The resolver sleeps: it is started by a question to it (priv/sleeper.h), and ends by
 * itself when none has come for long.  In a drain it outlives those who ask.
 *
 * A process that dies is started again after 100 ms, doubling to 30 s, back to
 * 100 ms once it has lived a minute; its neighbours get new channels.
 */
#define PROC_FD 3

enum proc_kind {
	PROC_NONE = 0,
	PROC_WRITER,
	PROC_RECEPTION,		/* edge: public connections, tunnel, handover */
	PROC_TUNNEL,		/* home: dials edges, takes sealed bytes in */
	PROC_COURIER,		/* home: the age identity; opens, routes, delivers */
	PROC_HELPER,		/* home: runs configured commands; no network */
	PROC_RESOLVER,
	PROC_HERALD,		/* tells of alarms: webhook, and at home mail */
	PROC_RUNNER,		/* the same by the configured command */
	PROC_PUSH,		/* home: Workers' PUTs; sealed bytes */
	PROC_DRAIN,		/* home: takes sealed bytes out of buckets */
	PROC_BUCKET,		/* edge: puts sealed bytes into one */
	PROC_KINDS
};

enum proc_msg {
	/* parent -> process */
	PM_CONFIG = 1,		/* body: u8 role, file name NUL, text */
	/*
	 * body: name NUL, bytes: "tls.cert", "tls.key", "tunnel", "age", "deliver", "filter" and
	 * "alarms.password" (passwords), "alarms.url", "alarms.token", and "tunnel-next" while
	 * keys are rotated, "age-retired" after it (both empty when that is over); of each worker
	 * its MAC keys, "worker.mac/NAME", its tokens, "worker.token/NAME", and its password
	 * at edges, "worker.smtp/NAME" (proto/key_lines.h), of each bucket its credentials,
	 * "bucket/NAME" (proto/s3_keys.h).  The parent
	 * has seen that each is whole and that a key fits its certificate; "tls.cert" comes
	 * directly before its "tls.key".
	 */
	PM_SECRET,
	/* body: service name; fd: a bound, listening socket ("tunnel" and "control" too) */
	PM_LISTEN,
	PM_DIR,			/* body: name ("large", "maildir"); fd: directory */
	PM_BOARD,		/* fd: the scoreboard's memfd */
	PM_PEER_CHAN,		/* body: u8 proc_kind of the other end; fd: channel end */
	PM_GO,
	PM_DRAIN,
	/* process -> parent */
	PM_READY = 64,		/* sandboxed and working */
	PM_RELOADED,		/* body: empty, or why it was refused */
	PM_UNRETIRED,		/* courier: nothing held needs "age-retired" */
};

/* What a process is given before it starts; lives as long as it does. */
struct proc {
	uv_loop_t	*loop;
	enum proc_kind	 kind;
	enum conf_role	 role;
	/* one of these two, by role; a reload changes it in place */
	struct conf_edge *edge;
	struct conf_home *home;
	const struct conf_common *common;
	struct scoreboard *board;
	struct chan	*parent;
	void		*arg;		/* the process's own state, set by start */
};

/* What a kind of process does with it: one table entry each, in its own file. */
struct proc_ops {
	const char	*name;		/* "reception" */
	/*
	 * Before the sandbox: everything was received.  Not yet reading hostile bytes.
	 * -1 with why ends the process.
	 */
	int	(*start)(struct proc *, struct why *);
	/*
	 * In the sandbox, just before READY: start reading.  The first moment at which
	 * threads may be made.
	 */
	void	(*run)(struct proc *);
	/* before start and at changes; copy it */
	void	(*secret)(struct proc *, const char *name, struct span);
	void	(*listen)(struct proc *, const char *service, int fd);		/* takes fd */
	void	(*dir)(struct proc *, const char *name, int fd);		/* takes fd */
	/* takes it; not started (chan_start is yours) */
	void	(*peer)(struct proc *, enum proc_kind, struct chan *);
	/* edge/home/common hold the new configuration */
	void	(*reload)(struct proc *);
	void	(*drain)(struct proc *);		/* finish; then uv_stop(loop) */
	/*
	 * The loop has ended.  Threads of its own end here: exit takes libcrypto from under
	 * one that still computes.  Optional.
	 */
	void	(*stop)(struct proc *);
};

/*
 * The processes' tables.  secret, listen, dir and peer are called as their
 * messages come, the first time before start, which GO calls; proc.arg is NULL
 * until one of them sets it.
 */
extern const struct proc_ops proc_writer, proc_reception, proc_tunnel, proc_courier, proc_helper,
    proc_resolver, proc_herald, proc_runner, proc_push, proc_drain,
    proc_bucket;

/* "reception": what argv[3] of a child says */
const char *proc_kind_name(enum proc_kind);
enum proc_kind proc_kind_parse(const char *);		/* PROC_NONE: no such thing */
const char *proc_role_name(enum conf_role);		/* "edge", "home" */

/* main() of a child: never returns until told to stop or the parent is gone. Exit status. */
int	proc_child_main(enum proc_kind, const struct proc_ops *);
/* main() of `posthouse edge` and `posthouse home`, in the foreground. Exit status. */
int	proc_parent_main(enum conf_role, const char *config_file);

#endif
