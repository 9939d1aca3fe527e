#include "priv/proc.h"

#include <stdlib.h>

#include "net/resolve.h"

/*
 * The resolver: names, by libunbound.  It reads what any machine on the internet
 * answers, and holds nothing: /etc to read, sockets to ask, one channel to who
 * wants to know.  An attacker inside it can lie about names, which decide a word
 * in Received at the edge and a dialled address at home, where the pin decides
 * whom we talk to.
 */
#define EARLY_MAX	8
/* It is as large as any two others of an idle home, and is started again in no time. */
#define IDLE_MS		(5 * 60 * 1000)
#define LOOK_MS		60000

struct resolving {
	struct resolve_server *server;
	uv_timer_t	 look;
	struct chan	*early[EARLY_MAX];
	size_t		 nearly;
};

static struct resolving *
resolving_of(struct proc *p)
{
	struct resolving *r = p->arg;

	if (r == NULL && (r = p->arg = calloc(1, sizeof(*r))) == NULL)
		abort();		/* at start, with nothing in hand */
	return r;
}

static void
on_peer(struct proc *p, enum proc_kind kind, struct chan *chan)
{
	struct resolving *r = resolving_of(p);

	if (r->server != NULL)
		resolve_server_client(r->server, chan);
	else if (r->nearly < EARLY_MAX)
		r->early[r->nearly++] = chan;
	else
		chan_free(&chan);
}

static int
start(struct proc *p, struct why *why)
{
	struct resolving *r = resolving_of(p);
	const char *servers[sizeof(p->common->nameservers) / sizeof(p->common->nameservers[0])];

	for (size_t i = 0; i < p->common->nnameservers; i++)
		servers[i] = p->common->nameservers[i];
	r->server = resolve_server_new(p->loop, servers, p->common->nnameservers,
	    p->common->dns_timeout_ms, why);
	return r->server != NULL ? 0 : -1;
}

static void
drain(struct proc *p)
{
	struct resolving *r = p->arg;

	if (r != NULL)
		resolve_server_free(&r->server);
	uv_stop(p->loop);
}

static void
on_look(uv_timer_t *t)
{
	struct proc *p = t->data;
	struct resolving *r = p->arg;

	if (resolve_server_idle_ms(r->server) >= IDLE_MS)
		drain(p);
}

static void
on_soon(uv_timer_t *t)
{
	drain(t->data);
}

/* Nothing is read again in here, behind the sandbox: whoever asks wakes another. */
static void
on_changed(void *arg)
{
	struct proc *p = arg;
	struct resolving *r = p->arg;

	uv_timer_start(&r->look, on_soon, 0, 0);
}

static void
run(struct proc *p)
{
	struct resolving *r = p->arg;

	uv_timer_init(p->loop, &r->look);
	r->look.data = p;
	resolve_server_watch(r->server, on_changed, p);
	for (size_t i = 0; i < r->nearly; i++)
		resolve_server_client(r->server, r->early[i]);
	uv_timer_start(&r->look, on_look, LOOK_MS, LOOK_MS);
}

const struct proc_ops proc_resolver = {
	.name = "resolver", .start = start, .run = run, .peer = on_peer, .drain = drain,
};
