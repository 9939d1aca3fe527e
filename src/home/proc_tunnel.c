#include "home/tunnel.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "home/dialer.h"
#include "home/health.h"
#include "home/home.h"
#include "home/interlock.h"
#include "home/netwatch.h"
#include "home/passage.h"
#include "net/tls.h"

/* See home/tunnel.h for what this process holds and may do. */

#define TICK_MS		1000
#define ADDRS_TICKS	60		/* between looks at our addresses that nothing asked for */
#define DRAIN_MS	10000		/* then tunnels are cut; what was under way comes again */
#define DRAIN_PASSED_MS	30000		/* the same while connections are passed, which do not */

static struct tunnel_proc *
tunnel_of(struct proc *p)
{
	struct tunnel_proc *t = p->arg;

	if (t == NULL) {
		if ((t = calloc(1, sizeof(*t))) == NULL)
			abort();	/* at start, before anything is served */
		t->proc = p;
		t->loop = p->loop;
		intake_init(&t->intake, p);
		buf_init(&t->pem, CONF_FILE_MAX);
		buf_init(&t->next_pem, CONF_FILE_MAX);
		p->arg = t;
	}
	return t;
}

static void
policy_changed(void *arg)
{
	struct tunnel_proc *t = arg;

	for (size_t i = 0; i < EDGES_MAX; i++)
		if (t->dialers[i] != NULL)
			dialer_policy(t->dialers[i]);
}

/* --- edges -------------------------------------------------------------------------------- */

static void
say_undiallable(struct tunnel_proc *t, const struct home_edge *e, const char *what)
{
	struct board_peer *p = &t->proc->board->peer[e->row];

	span_copy(span_str(e->name), p->name, sizeof(p->name));
	span_copy(span_str(what), p->error, sizeof(p->error));
	log_warn(NULL, "edge.idle edge=%s: %s", e->name, what);
}

/* Brings one edge's tunnels into line with what is known of it. */
static void
edge_apply(struct tunnel_proc *t, struct home_edge *e, bool new_key)
{
	struct dialer **d = &t->dialers[e->row];
	const char *lacks = e->peer.npins == 0
	    ? "not paired: run `posthouse pair` at the edge, then at home"
	    : e->peer.address[0] == '\0' ? "no address: pair again, or write edge { address = ... }"
					 : NULL;
	struct why why = { "" };

	if (t->draining || t->intake.spool == NULL)
		return;
	if (edge_is_worker(e)) {
		if (*d != NULL)
			dialer_free(d, "it is unpaired, and a worker now");
		return;
	}
	if (e->worker)
		log_error(NULL, "edge.worker edge=%s: an edge of this name is paired, so the "
		    "worker of this name counts for nothing; give the Worker another name, or "
		    "unpair the edge", e->name);
	if (lacks != NULL) {
		if (*d != NULL)
			dialer_free(d, lacks);
		say_undiallable(t, e, lacks);
		return;
	}
	if (*d == NULL)
		*d = dialer_new(t, e, &why);
	else if (dialer_configure(*d, new_key, &why) == -1)
		log_error(NULL, "edge.dialer edge=%s: %s", e->name, why.text);
	if (*d == NULL)
		say_undiallable(t, e, why.text);
}

static void
edges_apply(struct tunnel_proc *t, bool new_key)
{
	for (size_t i = 0; i < t->intake.edges.n; i++)
		edge_apply(t, t->intake.edges.list[i], new_key);
}

static void
on_paired(void *arg, struct home_edge *e)
{
	struct tunnel_proc *t = arg;

	if (!t->intake.known)
		return;
	edge_apply(t, e, false);
	policy_changed(t);
}

static void
on_unpaired(void *arg, struct home_edge *e)
{
	struct tunnel_proc *t = arg;

	log_info(NULL, "edge.unpaired edge=%s", e->name);
	edge_apply(t, e, false);
	policy_changed(t);
}

static void
on_up(void *arg)
{
	struct tunnel_proc *t = arg;

	interlock_tell(t->interlock);
	edges_apply(t, false);
	if (t->intake.edges.n == 0)
		log_warn(NULL,
		    "edge.none: no edge is paired; run `posthouse pair` at the edge, then at home");
}

static void
on_mark(void *arg, struct ledger_mark m)
{
	struct tunnel_proc *t = arg;
	bool other = t->mark.epoch != m.epoch;

	if (other || ledger_run(&t->mark) != ledger_run(&m))
		ledger_runs_print(&m, t->mark_runs);
	t->mark = m;
	if (other)
		policy_changed(t);
}

static void
on_interlock_told(void *arg, const char *service, struct span json)
{
	struct tunnel_proc *t = arg;

	spool_interlock(t->intake.spool, service, json);
}

static void
on_interlock(void *arg, uint64_t run)
{
	struct tunnel_proc *t = arg;

	interlock_run(t->interlock, run);
}

static void
on_bans(void *arg, const struct spool_bans *told)
{
	struct tunnel_proc *t = arg;

	if (home_bans_take(&t->bans, told, boot_ms()))
		policy_changed(t);
}

static const struct intake_events events = {
	.paired = on_paired, .unpaired = on_unpaired, .up = on_up, .mark = on_mark,
	.interlock = on_interlock, .bans = on_bans,
};

/* --- the courier -------------------------------------------------------------------------- */

static void
on_courier(void *arg, struct chan_msg *m)
{
	struct tunnel_proc *t = arg;
	int took = delivery_take(&t->delivery, m) ? 1 :
	    recipients_take(&t->recipients_in, m, &t->recipients);

	if (took == 1)
		policy_changed(t);
	else if (took == -1)
		log_error(NULL, "courier.message type=%u octets=%zu is none of ours: dropped",
		    m->type, m->body.n);
}

static void
on_courier_closed(void *arg, const struct why *why)
{
	struct tunnel_proc *t = arg;

	chan_free(&t->to_courier);	/* what it last said stays good until the next one speaks */
}

static void
courier_attach(struct tunnel_proc *t)
{
	if (t->to_courier != NULL)
		chan_start(t->to_courier, on_courier, on_courier_closed, t);
}

/* --- what the parent tells ---------------------------------------------------------------- */

static void
take_pins(struct tunnel_proc *t)
{
	const struct buf *pems[] = { &t->pem, &t->next_pem };
	struct why why = { "" };

	t->npins = 0;
	for (size_t i = 0; i < 2; i++) {
		if (pems[i]->n == 0)
			continue;
		if (tls_pem_pin(buf_span(pems[i]), &t->pins[t->npins], &why) == 0)
			t->npins++;
		else
			log_error(NULL, "tunnel.key: %s", why.text);
	}
}

static void
on_secret(struct proc *p, const char *name, struct span value)
{
	struct tunnel_proc *t = tunnel_of(p);
	bool next = strcmp(name, "tunnel-next") == 0;
	struct buf *b = next ? &t->next_pem : &t->pem;

	if (strncmp(name, "worker.smtp/", 12) == 0) {
		edges_worker_password(&t->intake.edges, name + 12, value);
		if (t->intake.spool != NULL)
			policy_changed(t);
		return;
	}
	if (!next && strcmp(name, "tunnel") != 0)
		return;
	if (b->n > 0 && span_eq(buf_span(b), value))
		return;
	buf_wipe(b);
	buf_init(b, CONF_FILE_MAX);
	buf_add_span(b, value);
	take_pins(t);
	if (t->intake.spool == NULL)
		return;
	if (!next)
		edges_apply(t, true);
	policy_changed(t);
}

static void
on_dir(struct proc *p, const char *name, int fd)
{
	intake_dir(&tunnel_of(p)->intake, name, fd);
}

static void
on_peer_chan(struct proc *p, enum proc_kind kind, struct chan *chan)
{
	struct tunnel_proc *t = tunnel_of(p);

	switch (kind) {
	case PROC_WRITER:
		intake_writer(&t->intake, chan);
		break;
	case PROC_RESOLVER:
		if (t->resolver == NULL)
			t->resolver = resolver_new();
		if (t->resolver == NULL)
			abort();	/* at start: memory is out */
		resolver_attach(t->resolver, chan, p->common->dns_timeout_ms);
		break;
	case PROC_COURIER:
		if (t->to_courier != NULL)
			chan_free(&t->to_courier);
		t->to_courier = chan;
		if (t->intake.running)
			courier_attach(t);
		break;
	default:
		chan_free(&chan);
		break;
	}
}

static void
read_addrs(struct tunnel_proc *t)
{
	struct why why = { "" };

	if (own_addrs_read(&t->own, &why) == -1)
		log_error(NULL, "network.addresses %s", why.text);
	t->addrs_ticks = 0;
}

static void
on_network(void *arg)
{
	struct tunnel_proc *t = arg;

	read_addrs(t);
	for (size_t i = 0; i < EDGES_MAX; i++)
		if (t->dialers[i] != NULL)
			dialer_wake(t->dialers[i]);
}

static bool
any_busy(const struct tunnel_proc *t)
{
	for (size_t i = 0; i < EDGES_MAX; i++)
		if (t->dialers[i] != NULL && dialer_busy(t->dialers[i]))
			return true;
	return false;
}

static void
on_tick(uv_timer_t *timer)
{
	struct tunnel_proc *t = timer->data;

	for (size_t i = 0; i < EDGES_MAX; i++)
		if (t->dialers[i] != NULL)
			dialer_tick(t->dialers[i]);
	t->proc->board->count[BC_MEMORY] = (int64_t)spool_memory(t->intake.spool);
	passages_tick(t);
	if (!t->draining)
		interlock_tick(t->interlock);
	if (++t->addrs_ticks >= ADDRS_TICKS)
		read_addrs(t);
	if (!t->draining)
		return;
	if (any_busy(t) && instant_ms_since(t->drain_began, instant_now()) <
	    (t->passages != NULL ? DRAIN_PASSED_MS : DRAIN_MS))
		return;
	/* By a reset, and a turn to send it in: the end of a process looks like a good one. */
	if (t->passages != NULL && !t->cut) {
		t->cut = true;
		passages_end(t, NULL, "home is stopping");
		return;
	}
	uv_timer_stop(&t->tick);
	uv_stop(t->loop);
}

static int
start(struct proc *p, struct why *why)
{
	struct tunnel_proc *t = tunnel_of(p);
	struct why w = { "" };

	if (t->pem.n == 0)
		return why_set(why, "the tunnel key is missing: run `posthouse keygen`");
	if (t->resolver == NULL && (t->resolver = resolver_new()) == NULL)
		return why_sys(why, "resolver");
	if (intake_start(&t->intake, &events, t, why) == -1)
		return -1;
	if ((t->health = health_new(t, policy_changed, t)) == NULL)
		return why_sys(why, "health");
	if ((t->interlock = interlock_new(t, on_interlock_told, t)) == NULL)
		return why_sys(why, "interlock");
	passages_init(t);
	t->netwatch = netwatch_new(t->loop, on_network, t, &w);
	if (t->netwatch == NULL)
		log_warn(
		    NULL, "network.watch: %s; edges are dialled again by the clock alone", w.text);
	read_addrs(t);
	uv_timer_init(t->loop, &t->tick);
	t->tick.data = t;
	return 0;
}

static void
run(struct proc *p)
{
	struct tunnel_proc *t = tunnel_of(p);

	health_configure(t->health, t->proc->home);
	interlock_configure(t->interlock);
	courier_attach(t);
	intake_run(&t->intake);
	uv_timer_start(&t->tick, on_tick, TICK_MS, TICK_MS);
}

static void
reload(struct proc *p)
{
	struct tunnel_proc *t = tunnel_of(p);

	intake_reload(&t->intake);
	if (t->intake.known)
		edges_apply(t, false);
	health_configure(t->health, p->home);	/* it tells what has changed */
	interlock_configure(t->interlock);
}

static void
drain(struct proc *p)
{
	struct tunnel_proc *t = tunnel_of(p);

	if (t->intake.spool == NULL) {
		uv_stop(p->loop);
		return;
	}
	t->draining = true;
	t->drain_began = instant_now();
	for (size_t i = 0; i < EDGES_MAX; i++)
		if (t->dialers[i] != NULL)
			dialer_drain(t->dialers[i]);
	uv_timer_start(&t->tick, on_tick, 0, TICK_MS / 10);
}

const struct proc_ops proc_tunnel = {
	.name = "tunnel",
	.start = start,
	.run = run,
	.secret = on_secret,
	.dir = on_dir,
	.peer = on_peer_chan,
	.reload = reload,
	.drain = drain,
};
