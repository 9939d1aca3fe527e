#include "priv/proc.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "store/writer.h"

/*
 * The writer: the database, the large objects' directory, the pairings, and the
 * control socket.  It talks to the processes that put and take objects, and to the
 * operator's commands.  An attacker inside it can withhold, destroy and make up
 * sealed objects, and read MAC keys; he cannot open an object (at home the age
 * identity is the courier's), reach the network, or run anything.
 */
#define EARLY_MAX	8		/* channels that come before start: one a neighbour */

struct writing {
	struct writer	*writer;
	struct {
		enum proc_kind	 kind;
		struct chan	*chan;
	} early[EARLY_MAX];
	size_t		 nearly;
	int		 control;
};

static struct writing *
writing_of(struct proc *p)
{
	struct writing *w = p->arg;

	if (w != NULL)
		return w;
	if ((w = calloc(1, sizeof(*w))) == NULL)
		abort();		/* at start, with nothing in hand */
	w->control = -1;
	p->arg = w;
	return w;
}

static struct writer_conf
conf_of(const struct proc *p)
{
	return (struct writer_conf){
		.role = p->role, .common = p->common,
		.hold = p->edge != NULL ? &p->edge->hold : &p->home->hold,
		.edge = p->edge, .home = p->home, .board = p->board,
	};
}

static void
on_listen(struct proc *p, const char *service, int fd)
{
	writing_of(p)->control = fd;
}

static void
attach(struct writing *w, enum proc_kind kind, struct chan *chan)
{
	if (kind == PROC_HERALD || kind == PROC_RUNNER)
		writer_teller(w->writer, kind == PROC_HERALD ? TELLER_HERALD : TELLER_RUNNER, chan);
	else
		writer_client(w->writer, chan);
}

static void
on_peer(struct proc *p, enum proc_kind kind, struct chan *chan)
{
	struct writing *w = writing_of(p);

	if (w->writer != NULL) {
		attach(w, kind, chan);
	} else if (w->nearly < EARLY_MAX) {
		w->early[w->nearly].kind = kind;
		w->early[w->nearly++].chan = chan;
	} else {
		chan_free(&chan);
	}
}

static int
start(struct proc *p, struct why *why)
{
	struct writing *w = writing_of(p);
	const struct writer_conf conf = conf_of(p);

	if ((w->writer = writer_new(p->loop, &conf, why)) == NULL)
		return -1;
	return 0;
}

static void
run(struct proc *p)
{
	struct writing *w = p->arg;

	for (size_t i = 0; i < w->nearly; i++)
		attach(w, w->early[i].kind, w->early[i].chan);
	if (w->control != -1)
		writer_control(w->writer, w->control);
}

static void
reload(struct proc *p)
{
	struct writing *w = p->arg;
	const struct writer_conf conf = conf_of(p);
	struct why why = { "" };

	if (writer_reload(w->writer, &conf, &why) == -1)
		log_error(NULL, "writer.reload kept=the old settings: %s", why.text);
}

static void
on_drained(void *arg)
{
	struct proc *p = arg;
	struct writing *w = p->arg;

	writer_free(&w->writer);
	uv_stop(p->loop);
}

static void
drain(struct proc *p)
{
	struct writing *w = p->arg;

	writer_drain(w->writer, on_drained, p);
}

const struct proc_ops proc_writer = {
	.name = "writer",
	.start = start, .run = run, .listen = on_listen, .peer = on_peer, .reload = reload,
	    .drain = drain,
};
