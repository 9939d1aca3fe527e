#include "home/interlock.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "home/backend.h"
#include "home/dialer.h"
#include "home/interlock_in.h"
#include "home/passage.h"
#include "net/awake.h"
#include "net/conn.h"
#include "net/tls.h"

/* One connection; it closes by itself once the run or the item has let it go. */
struct visit {
	struct item	*item;		/* NULL: let go */
	struct backend_call *call;
	struct conn	*conn;
	bool		 sniffs;	/* for a mail server in TLS, else for the probe */
	enum sniff {			/* how far it is with that */
		SNIFF_PLAIN = 0,
		SNIFF_SHAKES,		/* hands: TLS was begun */
		SNIFF_TLS,		/* nothing was said in it */
		SNIFF_ASKED,		/* but by us */
	} sniff;
};

static void	run_go_on(struct run *);
static void	on_time(uv_timer_t *);

static const char untested[] = "not yet tested by the interlock";

/* --- what must not be trusted ------------------------------------------------------------- */

/*
 * Loopback and link-local addresses, which every server trusts, and with reason: no
 * connection from outside can have one, and home lets no edge claim it (backend_refuses).
 */
static bool
never_a_client(const struct netaddr *a)
{
	static const struct netaddr_net link_local[] = {
		{ { 169, 254 }, 16, false }, { { 0xfe, 0x80 }, 10, true },
	};

	return netaddr_is_loopback(a) ||
	    netaddr_in_any(a, link_local, sizeof(link_local) / sizeof(link_local[0]));
}

static void
add_address(struct run *r, const struct netaddr *a, const char *whose)
{
	struct relay_address *to;

	for (size_t i = 0; i < r->naddresses; i++)
		if (netaddr_same_ip(&r->addresses[i].ip, a))
			return;
	if (never_a_client(a))
		return;
	if (r->naddresses > RELAY_ADDRESSES_MAX)
		return;			/* one too many is enough for the probe to say so */
	to = &r->addresses[r->naddresses++];
	to->ip = *a;
	to->ip.port = 0;
	span_copy(span_str(whose), to->whose, sizeof(to->whose));
}

static void
collect_addresses(const struct tunnel_proc *t, struct run *r)
{
	const struct conf_home *conf = tunnel_conf(t);
	struct netaddr list[DIALER_ADDRESSES_MAX], a;
	char whose[80];

	r->naddresses = 0;
	for (size_t i = 0; i < t->intake.edges.n; i++) {
		const struct home_edge *e = t->intake.edges.list[i];
		size_t n = t->dialers[e->row] == NULL ? 0 :
		    dialer_addresses(t->dialers[e->row], list, DIALER_ADDRESSES_MAX);

		snprintf(whose, sizeof(whose), "edge %.60s", e->name);
		for (size_t k = 0; k < n; k++)
			add_address(r, &list[k], whose);
		snprintf(whose, sizeof(whose), "home, to %.60s", e->name);
		if (e->sees_us)
			add_address(r, &e->sees, whose);
	}
	for (size_t i = 0; i < t->own.n; i++)
		add_address(r, &t->own.list[i].addr, "home itself");
	for (size_t i = 0; i < conf->ninterlock_addresses; i++)
		if (netaddr_parse_ip(span_str(conf->interlock_addresses[i]), &a))
			add_address(r, &a, "home.conf");
}

/* Whether the item was tried as every address that must not be trusted today. */
static bool
covered(const struct tunnel_proc *t, const struct item *it)
{
	static struct run now;		/* too large for the stack, and used in this call only */

	collect_addresses(t, &now);
	for (size_t i = 0; i < now.naddresses; i++) {
		bool had = false;

		for (size_t k = 0; k < it->ntried && !had; k++)
			had = netaddr_same_ip(&it->tried[k], &now.addresses[i].ip);
		if (!had)
			return false;
	}
	return true;
}

/* --- who asks, and for whom --------------------------------------------------------------- */

static void
add_control(struct run *r, const char *local, const char *domain)
{
	size_t n = r->setup.ncontrols;

	if (n == RELAY_CONTROLS_MAX)
		return;
	snprintf(r->controls[n], sizeof(r->controls[n]), "%s%s%s", local,
	    domain != NULL ? "@" : "", domain != NULL ? domain : "");
	r->setup.controls[n] = r->controls[n];
	r->setup.ncontrols++;
}

static void
collect_names(const struct tunnel_proc *t, struct run *r)
{
	const struct conf_home *conf = tunnel_conf(t);

	for (size_t i = 0; i < t->intake.edges.n; i++) {
		const struct home_edge *e = t->intake.edges.list[i];

		if (r->setup.helo == NULL)
			r->setup.helo = e->name;
		for (size_t k = 0; k < e->peer.ndomains && r->setup.nown < RUN_DOMAINS_MAX; k++)
			r->own[r->setup.nown++] = e->peer.domains[k];
	}
	for (size_t i = 0; i < r->setup.nown; i++) {
		span_copy(span_str(r->own[i]), r->domains[i], sizeof(r->domains[i]));
		r->own[i] = r->domains[i];
	}
	snprintf(r->helo, sizeof(r->helo), "%s", r->setup.helo != NULL ? r->setup.helo :
	    conf->common.hostname);
	r->setup.helo = r->helo;
	r->setup.own = r->own;
	if (conf->interlock_control[0] != '\0')
		add_control(r, conf->interlock_control, NULL);
	if (r->setup.nown == 0)
		return;
	add_control(r, "postmaster", r->own[0]);
	for (size_t i = 0; i < conf->nusers && i < 2; i++)
		add_control(r, conf->users[i], r->own[0]);
}

/* --- a connection -------------------------------------------------------------------------- */

static void
visit_let_go(struct visit *v)
{
	struct item *it = v->item;

	if (it == NULL)
		return;
	v->item = NULL;
	uv_timer_stop(&it->timer);
	if (v->sniffs)
		it->sniff = NULL;
	else if (it->run != NULL)
		it->run->visit = NULL;
}

static void
visit_drop(struct visit *v)
{
	visit_let_go(v);
	if (v->conn != NULL) {
		conn_abort(v->conn);		/* its closed frees the visit */
		return;
	}
	backend_cancel(&v->call);
	free(v);
}

/* The sniff has its answer. */
static void
sniffed(struct visit *v)
{
	struct item *it = v->item;

	visit_let_go(v);
	if (v->conn != NULL)
		conn_close(v->conn);
	it->sniffed = true;
	it->sniff_due_ms = uv_now(it->interlock->tunnel->loop) + INTERLOCK_HOUR_MS;
	health_interlock(it->interlock->tunnel->health);
}

/* Nothing came in time: the next thing to try, or it is no mail server. */
static void
sniff_on(struct visit *v)
{
	/* To HTTP and its like a bad request, whole; to a mail server that it may leave us. */
	static const char ask[] = "QUIT\r\n\r\n";
	struct item *it = v->item;
	struct why why;

	if (v->sniff == SNIFF_PLAIN && conn_tls(v->conn, it->interlock->tls, false, &why) == 0) {
		v->sniff = SNIFF_SHAKES;
		awake_timer(&it->timer, on_time, INTERLOCK_SHAKE_MS, &it->due);
	} else if (v->sniff == SNIFF_TLS) {
		v->sniff = SNIFF_ASKED;
		awake_timer(&it->timer, on_time, INTERLOCK_LATE_MS, &it->due);
		conn_write(v->conn, ask, sizeof(ask) - 1);	/* its closed says why it failed */
	} else {
		sniffed(v);
	}
}

/* The visit is over: why it was not as it should be, or NULL. */
static void
visit_end(struct visit *v, const struct why *why)
{
	struct run *r = v->item->run;
	bool abort = relay_probe_want(r->probe) == RELAY_WANT_ABORT || why != NULL;

	visit_let_go(v);
	relay_probe_over(r->probe, why);
	if (v->conn != NULL) {
		if (abort)
			conn_abort(v->conn);
		else
			conn_close(v->conn);
	}
	run_go_on(r);
}

static void
on_time(uv_timer_t *timer)
{
	struct item *it = timer->data;
	struct why why;

	if (!awake_over(timer, on_time, it->due))
		return;
	if (it->sniff != NULL) {
		sniff_on(it->sniff);
		return;
	}
	if (it->run->visit == NULL) {
		run_go_on(it->run);
		return;
	}
	why_set(&why, "nothing within %lld s",
	    (long long)(relay_probe_wait_ms(it->run->probe) / 1000));
	visit_end(it->run->visit, &why);
}

/* Says what is to be said, and waits for what comes. */
static void
pump(struct visit *v)
{
	struct item *it = v->item;
	struct relay_probe *p = it->run->probe;
	struct span says = relay_probe_says(p);
	struct why why;

	if (says.n > 0)
		conn_write(v->conn, says.p, says.n);
	switch (relay_probe_want(p)) {
	case RELAY_WANT_REPLY:
		awake_timer(&it->timer, on_time, relay_probe_wait_ms(p), &it->due);
		break;
	case RELAY_WANT_TLS:
		awake_timer(&it->timer, on_time, relay_probe_wait_ms(p), &it->due);
		if (conn_tls(v->conn, it->interlock->tls, false, &why) == -1)
			visit_end(v, &why);
		break;
	case RELAY_WANT_CLOSE:
	case RELAY_WANT_ABORT:
		visit_end(v, NULL);
		break;
	}
}

static size_t
on_read(void *arg, struct span in)
{
	struct visit *v = arg;
	size_t used = 0, n;

	if (v->item == NULL)
		return in.n;
	if (v->sniffs) {
		if (in.n < RELAY_GREETING_MIN)
			return 0;		/* it may come in pieces */
		if (relay_greets(in) || (v->sniff != SNIFF_PLAIN && relay_declines(in))) {
			v->item->greeted_in_tls = v->sniff != SNIFF_PLAIN;
			service_greeted(v->item->service);
		}
		sniffed(v);
		return in.n;
	}
	do {
		n = relay_probe_heard(v->item->run->probe, span_from(in, used));
		used += n;
		pump(v);
	} while (v->item != NULL && used < in.n && n > 0);
	return v->item == NULL ? in.n : used;
}

static void
on_secured(void *arg)
{
	struct visit *v = arg;

	if (v->item == NULL)
		return;
	if (v->sniffs) {
		v->sniff = SNIFF_TLS;
		uv_timer_start(&v->item->timer, on_time, INTERLOCK_SILENCE_MS, 0);
		return;
	}
	if (v->item->run->setup.tls)
		relay_probe_begun(v->item->run->probe);
	else
		relay_probe_secured(v->item->run->probe);
	pump(v);
}

static void
on_closed(void *arg, const struct why *why)
{
	struct visit *v = arg;

	v->conn = NULL;
	if (v->item != NULL && v->sniffs)
		sniffed(v);
	else if (v->item != NULL)
		visit_end(v, why);
	free(v);
}

static const struct conn_ops ops = {
	.read = on_read, .secured = on_secured, .closed = on_closed,
};

static void
on_opened(void *arg, struct conn *conn, const struct why *why)
{
	struct visit *v = arg;
	struct item *it = v->item;
	struct span broken;
	struct why w;

	v->call = NULL;
	v->conn = conn;
	if (v->sniffs && conn != NULL) {
		awake_timer(&it->timer, on_time, INTERLOCK_SILENCE_MS, &it->due);
		return;
	}
	if (v->sniffs) {
		visit_let_go(v);	/* health says that it is away; asked when it is back */
		free(v);
		return;
	}
	relay_probe_begun(it->run->probe);
	if (conn == NULL) {
		it->run->unreachable = true;
		visit_end(v, why);
		free(v);
		return;
	}
	if (it->run->now.header == RELAY_BROKEN) {
		broken = relay_broken_header(it->run->now.version);
		conn_write(conn, broken.p, broken.n);
	}
	if (it->run->setup.tls && conn_tls(conn, it->interlock->tls, false, &w) == -1)
		visit_end(v, &w);
	else if (it->run->setup.tls)
		awake_timer(&it->timer, on_time, relay_probe_wait_ms(it->run->probe), &it->due);
	else
		pump(v);
}

static struct visit *
visit_new(struct item *it, bool sniffs)
{
	struct visit *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return NULL;
	v->item = it;
	v->sniffs = sniffs;
	return v;
}

/* --- a run ----------------------------------------------------------------------------------- */

static void
run_free(struct run **rp)
{
	struct run *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	if (r->visit != NULL)
		visit_drop(r->visit);
	relay_probe_free(&r->probe);
	free(r);
}

/* How long after a run the next one begins. */
static uint64_t
pause_after(struct item *it, const struct run *r, const struct relay_result *res)
{
	uint64_t twice = 2 * it->again_ms;

	/* Health says when what was not reached is back: from then on nobody is to wait for us. */
	if (r->stale || r->unreachable || r->again)
		return 0;
	if (res->cause != RELAY_NO_ANSWER) {
		it->again_ms = 0;
		return res->verdict == RELAY_GREEN ? INTERLOCK_HOUR_MS : INTERLOCK_AGAIN_MS;
	}
	it->again_ms = twice == 0 ? INTERLOCK_SOON_MS :
	    twice < INTERLOCK_AGAIN_MS ? twice : INTERLOCK_AGAIN_MS;
	return it->again_ms;
}

/* What was proved, or is being, is of another server or of other addresses. */
static void
item_forget(struct item *it)
{
	if (it->sniff != NULL)
		visit_drop(it->sniff);
	it->cleared = it->sniffed = false;
	it->due_ms = 0;
	span_copy(span_str(untested), it->words, sizeof(it->words));
	if (it->run != NULL)
		it->run->stale = true;
}

static void
run_end(struct run *r)
{
	struct item *it = r->item;
	struct relay_result res;
	bool was, judged;

	it->ntried = r->naddresses;
	for (size_t i = 0; i < r->naddresses; i++)
		it->tried[i] = r->addresses[i].ip;
	/* An address that turned up meanwhile was not tried: nobody has an answer yet. */
	if (covered(it->interlock->tunnel, it))
		it->run_done = r->number;
	else
		item_forget(it);
	was = it->cleared;
	judged = !r->stale && !r->unreachable;
	relay_probe_judge(r->probe, &res);
	it->cleared = res.verdict == RELAY_GREEN && !r->stale;
	it->verdict = res.verdict;
	it->tested = it->tested || !r->unreachable;
	it->due_ms = uv_now(it->interlock->tunnel->loop) + pause_after(it, r, &res);
	if (!r->stale)
		snprintf(it->words, sizeof(it->words), "the interlock's verdict is \"%s\": see "
		    "posthouse interlock", relay_verdict_name(res.verdict));
	interlock_report(r, &res);
	uv_timer_stop(&it->timer);
	it->run = NULL;
	run_free(&r);
	/* What was forgotten is closed, but who came before that is there still. */
	if (!it->cleared && (was || judged))
		passages_end(it->interlock->tunnel, it->service, it->words);
	if (it->cleared != was || !it->cleared)
		health_interlock(it->interlock->tunnel->health);
}

/* The next connection, or the end. */
static void
run_go_on(struct run *r)
{
	struct item *it = r->item;
	struct tunnel_proc *t = it->interlock->tunnel;
	struct conf_home_service conf = it->service->conf;
	struct why why;

	if (r->pausing) {
		r->pausing = false;
	} else if (r->visits > 0) {
		/* Not from within the call that ended the last one. */
		r->pausing = true;
		awake_timer(&it->timer, on_time, 0, &it->due);
		return;
	}
	if (r->unreachable || uv_now(t->loop) - r->began_ms > INTERLOCK_RUN_MS ||
	    !relay_probe_next(r->probe, &r->now) ||
	    (r->visit = visit_new(it, false)) == NULL) {
		run_end(r);
		return;
	}
	r->visits++;
	conf.proxy = r->now.header != RELAY_PROPER ? CONF_PROXY_NONE :
	    r->now.version == 1 ? CONF_PROXY_V1 : CONF_PROXY_V2;
	r->visit->call = backend_open_probe(t, &conf, &r->now.client, &conf.backend, &ops,
	    on_opened, r->visit, &why);
	if (r->visit->call == NULL) {
		struct visit *v = r->visit;

		relay_probe_begun(r->probe);
		r->unreachable = true;
		visit_end(v, &why);
		free(v);
	}
}

static bool
behind_tls(const struct item *it)
{
	const char *name = it->name;

	return it->service->conf.backend.port == 465 || strcmp(name, "submissions") == 0 ||
	    strcmp(name, "smtps") == 0 || it->greeted_in_tls;
}

/* For people with a password, unless it is a port where strangers come too. */
static bool
submission(const struct item *it)
{
	uint16_t port = it->service->conf.backend.port;

	return strcmp(it->name, "smtp") != 0 && port != 25 &&
	    (strcmp(it->name, "submission") == 0 || strcmp(it->name, "submissions") == 0 ||
	    strcmp(it->name, "smtps") == 0 || conf_smtp_port(port));
}

static void
run_begin(struct item *it)
{
	struct tunnel_proc *t = it->interlock->tunnel;
	enum conf_proxy proxy = it->service->conf.proxy;
	struct run *r = calloc(1, sizeof(*r));

	it->due_ms = it->away_due_ms = uv_now(t->loop) + INTERLOCK_AGAIN_MS;
	if (r == NULL)
		return;			/* as it is, and again in a minute */
	r->item = it;
	r->began_ms = uv_now(t->loop);
	r->number = it->run_wanted;
	r->setup.version = proxy == CONF_PROXY_NONE ? 0 : proxy == CONF_PROXY_V1 ? 1 : 2;
	r->setup.backend = it->service->conf.backend;
	r->setup.submission = submission(it);
	r->setup.tls = behind_tls(it);
	r->setup.bare_lf = !it->tested || it->run_wanted > it->run_done;
	collect_names(t, r);
	collect_addresses(t, r);
	r->setup.untrusted = r->addresses;
	r->setup.nuntrusted = r->naddresses;
	if (RAND_bytes(r->setup.nonce, sizeof(r->setup.nonce)) != 1 ||
	    (r->probe = relay_probe_new(&r->setup)) == NULL) {
		free(r);
		return;
	}
	it->run = r;
	run_go_on(r);
}

/* --- services -------------------------------------------------------------------------------- */

static struct item *
item_find(const struct interlock *il, const char *name)
{
	for (size_t i = 0; il != NULL && i < il->n; i++)
		if (strcmp(il->items[i]->name, name) == 0)
			return il->items[i];
	return NULL;
}

static void
on_item_freed(uv_handle_t *timer)
{
	free(timer->data);
}

static void
item_free(struct item *it)
{
	run_free(&it->run);
	if (it->sniff != NULL)
		visit_drop(it->sniff);
	free(it->report);
	uv_timer_stop(&it->timer);
	uv_close((uv_handle_t *)&it->timer, on_item_freed);
}

static struct item *
item_new(struct interlock *il, const char *name)
{
	struct item *it = calloc(1, sizeof(*it));

	if (it == NULL)
		return NULL;
	it->interlock = il;
	span_copy(span_str(name), it->name, sizeof(it->name));
	span_copy(span_str(untested), it->words, sizeof(it->words));
	uv_timer_init(il->tunnel->loop, &it->timer);
	it->timer.data = it;
	return it;
}

static bool
same(const struct conf_home_service *a, const struct conf_home_service *b)
{
	return a->proxy == b->proxy && a->backend.port == b->backend.port &&
	    netaddr_same_ip(&a->backend, &b->backend);
}

void
interlock_configure(struct interlock *il)
{
	struct item *old[CONF_SERVICES_MAX];
	size_t nold = il->n;

	memcpy(old, il->items, sizeof(old));
	il->n = 0;
	for (size_t i = 0; i < health_count(il->tunnel->health); i++) {
		struct service *s = health_at(il->tunnel->health, i);
		struct item *it = NULL;

		for (size_t k = 0; k < nold && it == NULL; k++)
			if (old[k] != NULL && strcmp(old[k]->name, s->conf.name) == 0) {
				it = old[k];
				old[k] = NULL;
			}
		if (it == NULL && (it = item_new(il, s->conf.name)) == NULL)
			continue;		/* never cleared, then */
		it->service = s;
		if (same(&it->conf, &s->conf)) {
			it->due_ms = it->sniff_due_ms = 0;	/* anew, open meanwhile */
			if (it->run != NULL)
				it->run->again = true;
		} else {
			it->greeted_in_tls = false;
			item_forget(it);
		}
		it->conf = s->conf;
		il->items[il->n++] = it;
	}
	for (size_t i = 0; i < nold; i++)
		if (old[i] != NULL) {
			il->told(il->arg, old[i]->name, span_of(NULL, 0));
			item_free(old[i]);
		}
}

void
interlock_tick(struct interlock *il)
{
	uint64_t now = uv_now(il->tunnel->loop);
	struct why why;

	for (size_t i = 0; i < il->n; i++) {
		struct item *it = il->items[i];
		struct service *s = it->service;

		if (s->smtp && it->cleared && il->tunnel->intake.known && il->tunnel->own.known &&
		    !covered(il->tunnel, it)) {
			item_forget(it);
			health_interlock(il->tunnel->health);
		}
		if (it->run != NULL || it->sniff != NULL)
			continue;
		if (!s->smtp && (s->state == SERVICE_DOWN ||
		    (it->sniffed && now < it->sniff_due_ms))) {
			if (it->report == NULL || it->run_wanted > it->run_done)
				interlock_report_other(it);
			continue;
		}
		if (!s->smtp) {
			if (s->state != SERVICE_ANSWERS || !s->listened ||
			    (it->sniff = visit_new(it, true)) == NULL)
				continue;
			it->sniff->call = backend_open_self(il->tunnel, &s->conf, &ops, on_opened,
			    it->sniff, &why);
			if (it->sniff->call == NULL)
				visit_drop(it->sniff);
			continue;
		}
		if (!il->tunnel->intake.known || !il->tunnel->own.known)
			continue;
		/* What seems down may only expect another header: the operator is told so. */
		if (it->run_wanted > it->run_done || (s->state == SERVICE_ANSWERS &&
		    now >= it->due_ms) || (s->state == SERVICE_DOWN && now >= it->away_due_ms))
			run_begin(it);
	}
}

const char *
interlock_closed(const struct interlock *il, const struct service *s)
{
	const struct item *it = item_find(il, s->conf.name);

	if (il == NULL)
		return s->smtp ? untested : NULL;
	if (it == NULL || it->service != s)
		return untested;
	if (!s->smtp)
		return it->sniffed ? NULL : "not yet tested";
	return it->cleared ? NULL : it->words;
}

void
interlock_away(struct interlock *il, const struct service *s)
{
	struct item *it = item_find(il, s->conf.name);

	if (it != NULL)
		item_forget(it);
}

void
interlock_run(struct interlock *il, uint64_t run)
{
	for (size_t i = 0; i < il->n; i++) {
		il->items[i]->run_wanted = run;
		il->items[i]->sniff_due_ms = 0;
	}
}

void
interlock_tell(struct interlock *il)
{
	for (size_t i = 0; i < il->n; i++)
		if (il->items[i]->report != NULL)
			il->told(il->arg, il->items[i]->name, span_str(il->items[i]->report));
}

struct interlock *
interlock_new(struct tunnel_proc *t, interlock_told_fn *told, void *arg)
{
	struct interlock *il = calloc(1, sizeof(*il));
	struct why why;

	if (il == NULL || (il->tls = tls_any_new(&why)) == NULL) {
		free(il);
		return NULL;
	}
	/* Whatever a stranger can talk to; nothing of ours goes over it. */
	SSL_CTX_set_security_level(il->tls, 0);
	SSL_CTX_set_min_proto_version(il->tls, 0);
	il->tunnel = t;
	il->told = told;
	il->arg = arg;
	return il;
}

void
interlock_free(struct interlock **ip)
{
	struct interlock *il = *ip;

	*ip = NULL;
	if (il == NULL)
		return;
	for (size_t i = 0; i < il->n; i++)
		item_free(il->items[i]);
	SSL_CTX_free(il->tls);
	free(il);
}
