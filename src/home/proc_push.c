#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "home/edges.h"
#include "home/push.h"
#include "priv/proc.h"

/*
 * The push process of a home: Workers' PUTs, by plain HTTP behind an HTTPS tunnel.
 *
 * It holds the listening sockets of service "push", each Worker's tokens and MAC keys, and
 * the directory of large objects (to make files in).  It talks to the writer (puts,
 * outcomes).  It sees sealed octets only.  An attacker inside it can forge the arrival of
 * sealed mail by any Worker and lie to it about outcomes; he cannot open mail or connect
 * anywhere, and nothing that he forges can reach a relay (ORIGIN_PUSH).
 */
#define LISTENERS_MAX	CONF_LISTEN_MAX
#define DRAIN_MS	10000		/* then what is under way is cut: it comes again */

struct push_proc {
	struct proc	*proc;
	struct spool	*spool;		/* NULL before start */
	struct chan	*to_writer;	/* came before start */
	struct push	*push;
	struct edges	 edges;
	uv_timer_t	 late;		/* the end of a drain */
	int		 large_fd;
	int		 listen[LISTENERS_MAX];
	size_t		 nlisten;
	bool		 spool_up;
	struct {			/* tokens that came before start */
		char	 name[256];
		struct buf text;
	} early[CONF_WORKERS_MAX];
	size_t		 nearly;
};

static struct push_proc *
push_of(struct proc *p)
{
	struct push_proc *pp = p->arg;

	if (pp == NULL) {
		if ((pp = calloc(1, sizeof(*pp))) == NULL)
			abort();	/* at start, before anything is served */
		pp->proc = p;
		pp->large_fd = -1;
		p->arg = pp;
	}
	return pp;
}

/* --- the writer --------------------------------------------------------------------------- */

static void
on_peer(void *arg, const struct peer *p)
{
	struct push_proc *pp = arg;
	struct peer named = { 0 };	/* that the name is taken is all there is to know of it */

	memcpy(named.name, p->name, sizeof(named.name));
	edges_paired(&pp->edges, pp->proc->home, p->name, &named);
}

static void
on_peer_gone(void *arg, const char *name)
{
	struct push_proc *pp = arg;

	if (edges_find(&pp->edges, name) != NULL)
		edges_paired(&pp->edges, pp->proc->home, name, NULL);
}

/* Before them an edge's name could still be taken for a Worker's. */
static void
on_peers_known(void *arg)
{
	struct push_proc *pp = arg;

	pp->spool_up = true;
}

static void
on_attached(void *arg, bool up)
{
	struct push_proc *pp = arg;

	if (!up)
		pp->spool_up = false;
}

static const struct spool_events spool_events = {
	.peer = on_peer, .peer_gone = on_peer_gone, .peers_known = on_peers_known,
	.attached = on_attached,
};

/* --- what the parent tells ---------------------------------------------------------------- */

static void
take_token(struct push_proc *pp, const char *name, struct span text)
{
	if (pp->push != NULL) {
		push_token(pp->push, name, text);
	} else if (pp->nearly < CONF_WORKERS_MAX) {
		span_copy(span_str(name), pp->early[pp->nearly].name,
		    sizeof(pp->early[0].name));
		buf_init(&pp->early[pp->nearly].text, text.n + 1);
		buf_add_span(&pp->early[pp->nearly++].text, text);
	}
}

static void
on_secret(struct proc *p, const char *name, struct span value)
{
	struct push_proc *pp = push_of(p);
	const char *slash = strchr(name, '/');

	if (slash == NULL)
		return;
	if (strncmp(name, "worker.mac/", 11) == 0)
		edges_worker_keys(&pp->edges, p->home, slash + 1, value);
	else if (strncmp(name, "worker.token/", 13) == 0)
		take_token(pp, slash + 1, value);
}

static void
on_listen(struct proc *p, const char *service, int fd)
{
	struct push_proc *pp = push_of(p);

	if (strcmp(service, "push") == 0 && pp->nlisten < LISTENERS_MAX)
		pp->listen[pp->nlisten++] = fd;
	else
		close(fd);
}

static void
on_dir(struct proc *p, const char *name, int fd)
{
	struct push_proc *pp = push_of(p);

	if (strcmp(name, "large") != 0 || pp->large_fd != -1)
		close(fd);
	else
		pp->large_fd = fd;
}

static void
on_peer_chan(struct proc *p, enum proc_kind kind, struct chan *chan)
{
	struct push_proc *pp = push_of(p);

	if (kind != PROC_WRITER)
		chan_free(&chan);
	else if (pp->spool != NULL)
		spool_attach(pp->spool, chan);
	else
		pp->to_writer = chan;
}

static int
start(struct proc *p, struct why *why)
{
	struct push_proc *pp = push_of(p);
	const struct conf_hold *hold = &p->home->hold;
	const struct push_at at = {
		.loop = p->loop, .spool_up = &pp->spool_up, .edges = &pp->edges,
		.board = p->board, .conf = p->home,
		.spool = spool_new(&spool_events, pp, pp->large_fd, hold->memory, hold->threshold),
	};

	if (pp->large_fd == -1)
		return why_set(why, "the directory for large objects was not handed over");
	if ((pp->spool = at.spool) == NULL)
		return why_sys(why, "spool");
	edges_configure(&pp->edges, p->home);
	if ((pp->push = push_new(&at, why)) == NULL)
		return -1;
	for (size_t i = 0; i < pp->nearly; i++) {
		push_token(pp->push, pp->early[i].name, buf_span(&pp->early[i].text));
		buf_wipe(&pp->early[i].text);
	}
	uv_timer_init(p->loop, &pp->late);
	pp->late.data = pp;
	return 0;
}

static void
run(struct proc *p)
{
	struct push_proc *pp = push_of(p);

	spool_attach(pp->spool, pp->to_writer);
	pp->to_writer = NULL;
	for (size_t i = 0; i < pp->nlisten; i++)
		push_listen(pp->push, pp->listen[i]);
}

static void
reload(struct proc *p)
{
	edges_configure(&push_of(p)->edges, p->home);
}

static void
stop_now(void *arg)
{
	struct push_proc *pp = arg;

	uv_stop(pp->proc->loop);
}

static void
on_late(uv_timer_t *timer)
{
	stop_now(timer->data);
}

static void
drain(struct proc *p)
{
	struct push_proc *pp = push_of(p);

	if (pp->push == NULL) {
		uv_stop(p->loop);
		return;
	}
	uv_timer_start(&pp->late, on_late, DRAIN_MS, 0);
	push_drain(pp->push, stop_now, pp);
}

static void
stop(struct proc *p)
{
	struct push_proc *pp = push_of(p);

	push_free(&pp->push);
	edges_fini(&pp->edges);
}

const struct proc_ops proc_push = {
	.name = "push",
	.start = start,
	.run = run,
	.secret = on_secret,
	.listen = on_listen,
	.dir = on_dir,
	.peer = on_peer_chan,
	.reload = reload,
	.drain = drain,
	.stop = stop,
};
