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

struct resolving {
	struct resolve_server *server;
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
run(struct proc *p)
{
	struct resolving *r = p->arg;

	for (size_t i = 0; i < r->nearly; i++)
		resolve_server_client(r->server, r->early[i]);
}

static void
drain(struct proc *p)
{
	struct resolving *r = p->arg;

	if (r != NULL)
		resolve_server_free(&r->server);
	uv_stop(p->loop);
}

const struct proc_ops proc_resolver = {
	.name = "resolver", .start = start, .run = run, .peer = on_peer, .drain = drain,
};
