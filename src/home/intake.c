#include "home/intake.h"

#include <string.h>
#include <unistd.h>

/* --- what the writer tells ---------------------------------------------------------------- */

static void
on_peer(void *arg, const struct peer *p)
{
	struct intake *in = arg;
	struct peer named = { 0 };
	struct home_edge *e;

	memcpy(named.name, p->name, sizeof(named.name));
	e = edges_paired(&in->edges, in->proc->home, p->name, in->names_only ? &named : p);
	if (e != NULL && in->events->paired != NULL)
		in->events->paired(in->arg, e);
}

static void
on_peer_gone(void *arg, const char *name)
{
	struct intake *in = arg;
	struct home_edge *e = edges_find(&in->edges, name);

	if (e == NULL)
		return;
	edges_paired(&in->edges, in->proc->home, name, NULL);
	if (in->events->unpaired != NULL)
		in->events->unpaired(in->arg, e);
}

/* Before it an edge's name could still be taken for a Worker's. */
static void
on_peers_known(void *arg)
{
	struct intake *in = arg;

	in->up = in->known = true;
	if (in->events->up != NULL)
		in->events->up(in->arg);
}

static void
on_attached(void *arg, bool up)
{
	struct intake *in = arg;

	if (!up)
		in->up = false;
}

static void
on_mark(void *arg, struct ledger_mark m)
{
	struct intake *in = arg;

	if (in->events->mark != NULL)
		in->events->mark(in->arg, m);
}

static void
on_interlock(void *arg, uint64_t run)
{
	struct intake *in = arg;

	if (in->events->interlock != NULL)
		in->events->interlock(in->arg, run);
}

static void
on_question(void *arg, uint64_t question, struct span json)
{
	struct intake *in = arg;

	if (in->events->question != NULL)
		in->events->question(in->arg, question, json);
}

static void
on_bans(void *arg, const struct spool_bans *told)
{
	struct intake *in = arg;

	if (in->events->bans != NULL)
		in->events->bans(in->arg, told);
}

static const struct spool_events spool_events = {
	.peer = on_peer, .peer_gone = on_peer_gone, .peers_known = on_peers_known,
	.attached = on_attached, .mark = on_mark, .interlock = on_interlock,
	.question = on_question, .bans = on_bans,
};

/* --- what the parent hands over ----------------------------------------------------------- */

void
intake_dir(struct intake *in, const char *name, int fd)
{
	if (strcmp(name, "large") != 0 || in->large_fd != -1)
		close(fd);
	else
		in->large_fd = fd;
}

bool
intake_secret(struct intake *in, const char *name, struct span value)
{
	static const char of[] = "worker.mac/";

	if (strncmp(name, of, sizeof(of) - 1) != 0)
		return false;
	edges_worker_keys(&in->edges, in->proc->home, name + sizeof(of) - 1, value);
	return true;
}

void
intake_writer(struct intake *in, struct chan *chan)
{
	if (in->running) {
		spool_attach(in->spool, chan);
		return;
	}
	if (in->to_writer != NULL)
		chan_free(&in->to_writer);
	in->to_writer = chan;
}

/* --- its life ------------------------------------------------------------------------------ */

void
intake_init(struct intake *in, struct proc *p)
{
	*in = (struct intake){ .proc = p, .large_fd = -1 };
}

int
intake_start(struct intake *in, const struct intake_events *events, void *arg, struct why *why)
{
	static const struct intake_events none;
	const struct conf_hold *hold = &in->proc->home->hold;

	in->events = events != NULL ? events : &none;
	in->arg = arg;
	if (in->large_fd == -1)
		return why_set(why, "the directory for large objects was not handed over");
	in->spool = spool_new(&spool_events, in, in->large_fd, hold->memory, hold->threshold);
	if (in->spool == NULL)
		return why_sys(why, "spool");
	edges_configure(&in->edges, in->proc->home);
	return 0;
}

void
intake_run(struct intake *in)
{
	in->running = true;
	spool_attach(in->spool, in->to_writer);
	in->to_writer = NULL;
}

void
intake_reload(struct intake *in)
{
	edges_configure(&in->edges, in->proc->home);
}

void
intake_fini(struct intake *in)
{
	edges_fini(&in->edges);
}
