#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "home/push.h"

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
	struct intake	 intake;
	struct push	*push;		/* NULL before start */
	uv_timer_t	 late;		/* the end of a drain */
	int		 listen[LISTENERS_MAX];
	size_t		 nlisten;
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
		intake_init(&pp->intake, p);
		pp->intake.names_only = true;
		p->arg = pp;
	}
	return pp;
}

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

	if (!intake_secret(&pp->intake, name, value) && strncmp(name, "worker.token/", 13) == 0)
		take_token(pp, name + 13, value);
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
	intake_dir(&push_of(p)->intake, name, fd);
}

static void
on_peer_chan(struct proc *p, enum proc_kind kind, struct chan *chan)
{
	if (kind == PROC_WRITER)
		intake_writer(&push_of(p)->intake, chan);
	else
		chan_free(&chan);
}

static int
start(struct proc *p, struct why *why)
{
	struct push_proc *pp = push_of(p);

	if (intake_start(&pp->intake, NULL, NULL, why) == -1 ||
	    (pp->push = push_new(&pp->intake, why)) == NULL)
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

	intake_run(&pp->intake);
	for (size_t i = 0; i < pp->nlisten; i++)
		push_listen(pp->push, pp->listen[i]);
}

static void
reload(struct proc *p)
{
	intake_reload(&push_of(p)->intake);
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
	intake_fini(&pp->intake);
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
