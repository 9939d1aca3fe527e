#ifndef HOME_INTAKE_H
#define HOME_INTAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "home/edges.h"
#include "priv/proc.h"
#include "store/spool.h"

/*
 * What every process of home has that takes mail in, whatever road the mail comes by (tunnel,
 * drain, push): the edges and Workers it is taken from, the session with the writer, through
 * which it becomes durable, and the directory in which large objects are made.
 *
 * A process has one, in its own struct, for all its life, and uses it in this order:
 *
 *	intake_init	at the first word of the parent
 *	intake_dir, intake_secret, intake_writer	as the parent hands over; always
 *	intake_start	in its start: from now on there is a spool
 *	intake_run	in its run: from now on events come
 *	intake_reload	at each reload, before it looks at the edges
 *
 * It reads edges, spool, up and known, and writes none of them.  While `up` is false nothing is
 * taken: what came would be judged by a list of edges that is not whole, and could not be made
 * durable.  Who sent it is told to come again (503, 451).
 */
struct intake_events {			/* each may be NULL */
	/* That edge was paired, or paired anew. */
	void	(*paired)(void *arg, struct home_edge *);
	/* It is no longer; its peer is then what the configuration says. */
	void	(*unpaired)(void *arg, struct home_edge *);
	/* up became true: at start, and after each restart of the writer. */
	void	(*up)(void *arg);
	/* The others as in store/spool.h. */
	void	(*mark)(void *arg, struct ledger_mark);
	void	(*interlock)(void *arg, uint64_t run);
	void	(*question)(void *arg, uint64_t question, struct span json);
	void	(*bans)(void *arg, const struct spool_bans *);
};

struct intake {
	struct proc	*proc;
	struct edges	 edges;		/* as the configuration, the writer and key files say */
	struct spool	*spool;		/* NULL before intake_start */
	bool		 up;		/* the writer is there, and has named who is paired */
	bool		 known;		/* it has once: edges can be told from strangers */
	/*
	 * To be set after intake_init where nothing is taken from edges: only their names are
	 * kept, which no Worker may have, and none of their keys.
	 */
	bool		 names_only;
	const struct intake_events *events;
	void		*arg;
	struct chan	*to_writer;	/* came before intake_run */
	int		 large_fd;
	bool		 running;
};

void	intake_init(struct intake *, struct proc *);
/* proc_ops.dir: takes the descriptor, whatever it is named. */
void	intake_dir(struct intake *, const char *name, int fd);
/* proc_ops.secret: true if it was a Worker's MAC keys, which edges have now. */
bool	intake_secret(struct intake *, const char *name, struct span value);
/* proc_ops.peer, of PROC_WRITER: takes the channel. */
void	intake_writer(struct intake *, struct chan *);
/* -1 with why.  The events outlive it; NULL: none is waited for. */
int	intake_start(struct intake *, const struct intake_events *, void *arg, struct why *);
void	intake_run(struct intake *);
void	intake_reload(struct intake *);
void	intake_fini(struct intake *);		/* wipes the keys; before the process ends */

#endif
