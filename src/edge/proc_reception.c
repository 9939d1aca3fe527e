#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "edge/edge.h"
#include "edge/ephemerals.h"
#include "edge/handover.h"
#include "edge/listener.h"
#include "edge/passage.h"
#include "edge/recall.h"
#include "edge/session.h"
#include "edge/tunnel.h"
#include "net/awake.h"
#include "net/tls.h"
#include "proto/crypto.h"

/*
 * The reception process: receives what the parent passes, then wires public
 * listeners, tunnels, spool and resolver together (edge/edge.h says what an
 * attacker inside it gains).
 */
#define PEM_MAX		(256u << 10)	/* a chain of certificates with room */
/* For transactions under way and passed connections; the parent forces the end at 40 s. */
#define DRAIN_MS	30000
#define LAST_MS		1000	/* for the last words */
/*
 * One message's memory is the next one's: handed back to the kernel between two it would come
 * again as pages to be cleared, which costs more than to seal what goes into them.
 */
#define HEAP_SLACK	(2u << 20)	/* may be free at the heap's end */
#define HEAP_LARGEST	(1u << 20)	/* to be in the heap at all: most objects are */

static struct edge *
edge_of(struct proc *p)
{
	struct edge *e = p->arg;

	if (e != NULL)
		return e;
	/* At start, with nothing in hand, it may end so. */
	if ((e = calloc(1, sizeof(*e))) == NULL || (e->resolver = resolver_new()) == NULL ||
	    (e->ephemerals = ephemerals_new(EPHEMERALS_AHEAD)) == NULL)
		abort();
	e->proc = p;
	e->loop = p->loop;
	e->large_fd = -1;
	buf_init(&e->cert_pem, PEM_MAX);
	buf_init(&e->key_pem, PEM_MAX);
	buf_init(&e->tunnel_pem, PEM_MAX);
	buf_init(&e->next_pem, PEM_MAX);
	p->arg = e;
	return e;
}

/* --- what the writer tells ----------------------------------------------------------------- */

static void
on_work(void *arg)
{
	struct edge *e = arg;

	for (size_t i = 0; i < e->homes.n; i++)
		if (e->homes.list[i]->handover != NULL)
			handover_work(e->homes.list[i]->handover);
}

static void
on_again(void *arg)
{
	struct edge *e = arg;

	for (size_t i = 0; i < e->homes.n; i++)
		if (e->homes.list[i]->handover != NULL)
			handover_again(e->homes.list[i]->handover);
}

static void
homes_changed(struct edge *e)
{
	for (size_t i = 0; i < e->homes.n; i++)
		if (e->homes.list[i]->handover == NULL)
			e->homes.list[i]->handover = handover_new(e, e->homes.list[i]);
	ephemerals_want(e->ephemerals, &e->homes);
	tunnels_recheck(e);
}

static void
on_peer(void *arg, const struct peer *p)
{
	struct edge *e = arg;

	homes_paired(&e->homes, edge_conf(e), p->name, p);
	homes_changed(e);
}

static void
on_peer_gone(void *arg, const char *name)
{
	struct edge *e = arg;

	homes_paired(&e->homes, edge_conf(e), name, NULL);
	homes_changed(e);
}

/*
 * Nobody is spoken to before it is known whose mail is taken here: 550 would be a
 * lie.  The writer may say it before the parent says go.
 */
static void
on_peers_known(void *arg)
{
	struct edge *e = arg;

	if (e->running && !e->known)
		listeners_start(e);
	e->known = true;
}

/*
 * Another writer may have found other rows: an operator's, or those of a
 * spool that was set aside.
 */
static void
on_attached(void *arg, bool up)
{
	struct edge *e = arg;

	e->writer = up;
	if (up)
		recall_all(e);
	for (size_t i = 0; up && i < e->homes.n; i++)
		if (e->homes.list[i]->handover != NULL)
			handover_recheck(e->homes.list[i]->handover);
}

static void
on_pairing(void *arg, bool open)
{
	struct edge *e = arg;

	e->pairing = open;
}

static void
on_said(void *arg, const char *home, enum spool_said what, int fd)
{
	recall_take(arg, home, what, fd);
}

static const struct spool_events spool_events = {
	.work = on_work, .peer = on_peer, .peer_gone = on_peer_gone, .peers_known = on_peers_known,
	.attached = on_attached, .again = on_again, .pairing = on_pairing,
	.said = on_said,
};

/* --- what the parent passes ---------------------------------------------------------------- */

/* For `status`, and now for the log: a certificate that ends is a public fault, and a quiet one. */
static void
show_certificate(struct edge *e)
{
	struct scoreboard *b = edge_board(e);
	char name[BOARD_TEXT] = "", date[40];
	int64_t until = 0;

	if (e->smtp_tls != NULL && !tls_server_until(e->smtp_tls, name, sizeof(name), &until))
		log_warn(NULL, "tls.dates file=%s: the end of the certificate cannot be read",
		    log_safe(span_str(edge_conf(e)->tls.cert)).s);
	memcpy(b->tls_name, name, sizeof(name));
	atomic_store(&b->tls_until_ms, until);
	if (!board_tls_ends(b, wall_ms(), edge_conf(e)->common.alarms.certificate_ms))
		return;
	wall_iso(until, date, sizeof(date));
	log_warn(NULL, "tls.expires file=%s name=%s until=%s",
	    log_safe(span_str(edge_conf(e)->tls.cert)).s, log_safe(span_str(name)).s, date);
}

static int
smtp_context(struct edge *e, struct why *why)
{
	SSL_CTX *ctx = NULL;

	if ((e->cert_pem.n == 0) != (e->key_pem.n == 0))
		return 0;
	if (e->key_pem.n > 0) {
		ctx = tls_server_new(buf_span(&e->cert_pem), buf_span(&e->key_pem), why);
		if (ctx == NULL)
			return -1;
	}
	SSL_CTX_free(e->smtp_tls);	/* open connections hold their own reference */
	e->smtp_tls = ctx;
	show_certificate(e);
	return 0;
}

static void
on_secret(struct proc *p, const char *name, struct span value)
{
	struct edge *e = edge_of(p);
	struct buf *to = strcmp(name, "tls.cert") == 0 ? &e->cert_pem :
	    strcmp(name, "tls.key") == 0 ? &e->key_pem :
	    strcmp(name, "tunnel") == 0 ? &e->tunnel_pem :
	    strcmp(name, "tunnel-next") == 0 ? &e->next_pem : NULL;
	struct why why = { "" };

	if (to == NULL)
		return;
	buf_wipe(to);
	buf_add_span(to, value);
	/* A changed certificate comes before its key: the pair is taken once both fit. */
	if (e->spool != NULL && to == &e->key_pem && smtp_context(e, &why) == -1)
		log_error(NULL, "tls.refused kept=the old certificate: %s", why.text);
	if (e->spool != NULL && to == &e->tunnel_pem && tunnel_context(e, &why) == -1)
		log_error(NULL, "tunnel.key kept=the old key: %s", why.text);
	if (e->spool != NULL && (to == &e->tunnel_pem || to == &e->next_pem))
		tunnels_rekey(e, to == &e->tunnel_pem);
}

static void
on_listen(struct proc *p, const char *service, int fd)
{
	listener_add(edge_of(p), service, fd);
}

static void
on_dir(struct proc *p, const char *name, int fd)
{
	if (strcmp(name, "large") == 0)
		edge_of(p)->large_fd = fd;
	else
		close(fd);
}

/* With spool = "s3://..." the other process answers for what is put; it tells nothing else. */
static const struct spool_events bucket_events = { .work = NULL };

static void
spool_up(struct edge *e)
{
	const struct conf_hold *hold = &edge_conf(e)->hold;

	if (e->spool != NULL)
		return;
	e->spool = spool_new(&spool_events, e, e->large_fd, hold->memory, hold->threshold);
	e->mail = edge_conf(e)->nbuckets == 0 ? e->spool :
	    spool_new(&bucket_events, e, e->large_fd, hold->memory, hold->threshold);
}

static void
on_peer_chan(struct proc *p, enum proc_kind kind, struct chan *chan)
{
	struct edge *e = edge_of(p);

	if (kind == PROC_WRITER) {
		spool_up(e);
		spool_attach(e->spool, chan);
	} else if (kind == PROC_BUCKET) {
		spool_up(e);
		spool_attach(e->mail, chan);
	} else if (kind == PROC_RESOLVER) {
		resolver_attach(e->resolver, chan, p->common->dns_timeout_ms);
	} else {
		chan_free(&chan);
	}
}

static void
on_sweep(uv_timer_t *timer)
{
	struct edge *e = timer->data;

	if (awake_late(e->loop))
		return;			/* in a second, when it was read what came */
	sessions_sweep(e, awake_now(e->loop));
	passages_sweep(e);
	recall_sweep(e, false);
	for (size_t i = 0; i < e->homes.n; i++)
		if (e->homes.list[i]->handover != NULL)
			handover_sweep(e->homes.list[i]->handover,
			    awake_now(e->loop));
	atomic_store(&edge_board(e)->count[BC_MEMORY], (int64_t)spool_memory(e->mail));
	if (crowd_has_gone(&e->crowd, e->nsessions + e->npassages, spool_memory(e->mail),
	    instant_now()))
		malloc_trim(0);
}

static void
on_renew(uv_timer_t *timer)
{
	ephemerals_renew(((struct edge *)timer->data)->ephemerals);
}

static int
start(struct proc *p, struct why *why)
{
	struct edge *e = edge_of(p);

	if (!crypto_init())
		return why_set(why,
		    "reception: OpenSSL offers no X25519, ChaCha20-Poly1305 or SHA-256");
	board_cut(edge_board(e), wall_ms(), "the reception process ended");
	mallopt(M_TRIM_THRESHOLD, HEAP_SLACK);
	mallopt(M_MMAP_THRESHOLD, HEAP_LARGEST);
	spool_up(e);
	e->clients = clients_new();
	e->terms = terms_new(edge_conf(e));
	e->passed_clients = clients_new();
	if (e->spool == NULL || e->mail == NULL || e->clients == NULL || e->terms == NULL ||
	    e->passed_clients == NULL)
		return why_set(why, "reception: memory is out");
	splices_init(&e->splices, e->loop);
	if (smtp_context(e, why) == -1 || tunnel_context(e, why) == -1)
		return -1;
	tunnels_rekey(e, false);
	homes_configure(&e->homes, edge_conf(e));
	homes_changed(e);
	passages_limits(e);
	uv_timer_init(e->loop, &e->sweep);
	e->sweep.data = e;
	uv_timer_init(e->loop, &e->renew);
	e->renew.data = e;
	return 0;
}

static void
run(struct proc *p)
{
	struct edge *e = p->arg;

	uv_timer_start(&e->sweep, on_sweep, 1000, 1000);
	if (ephemerals_start(e->ephemerals) == -1)
		log_warn(NULL,
		    "reception.thread none: keys are made when mail comes, and bursts are slower");
	uv_timer_start(&e->renew, on_renew, EPHEMERALS_RENEW_MS, EPHEMERALS_RENEW_MS);
	e->running = true;
	if (e->known)
		listeners_start(e);
}

static void
reload(struct proc *p)
{
	struct edge *e = p->arg;
	struct terms *terms = terms_new(edge_conf(e));

	if (terms != NULL) {
		terms_drop(&e->terms);
		e->terms = terms;
	}
	passages_limits(e);
	homes_configure(&e->homes, edge_conf(e));
	homes_changed(e);
}

/* --- the end ------------------------------------------------------------------------------- */

static void
on_drain_check(uv_timer_t *timer)
{
	struct edge *e = timer->data;
	static struct instant began;
	bool busy = e->npassages > 0;
	int64_t ms;

	if (began.ns == 0)
		began = instant_now();
	ms = instant_ms_since(began, instant_now());
	sessions_drain(e);
	passages_sweep(e);
	for (size_t i = 0; i < e->homes.n; i++)
		busy |= e->homes.list[i]->handover != NULL &&
		    handover_busy(e->homes.list[i]->handover);
	if ((e->sessions != NULL || busy) && ms < DRAIN_MS)
		return;
	if (e->npassages > 0 && ms < DRAIN_MS + LAST_MS)
		passages_cut(e);
	else
		uv_stop(e->loop);
}

static void
drain(struct proc *p)
{
	struct edge *e = p->arg;

	if (e == NULL) {
		uv_stop(p->loop);
		return;
	}
	e->draining = true;
	recall_sweep(e, true);
	listeners_close(e);
	sessions_drain(e);
	passages_drain(e);
	tunnels_drain(e);
	uv_timer_start(&e->sweep, on_drain_check, 0, 50);
}

static void
stop(struct proc *p)
{
	struct edge *e = p->arg;

	ephemerals_free(&e->ephemerals);
}

const struct proc_ops proc_reception = {
	.name = "reception",
	.start = start, .run = run, .secret = on_secret, .listen = on_listen, .dir = on_dir,
	.peer = on_peer_chan, .reload = reload, .drain = drain, .stop = stop,
};
