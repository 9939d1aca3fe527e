#include "home/interlock_in.h"

#include <stdlib.h>

#include "home/backend.h"
#include "net/awake.h"
#include "net/conn.h"

/* One connection, and what the probe of a run says and hears on it. */

struct visit *
visit_new(struct item *it, struct visit **held)
{
	struct visit *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return NULL;
	v->item = it;
	v->held = held;
	*held = v;
	return v;
}

void
visit_let_go(struct visit *v)
{
	if (v->item == NULL)
		return;
	uv_timer_stop(&v->item->timer);
	v->item = NULL;
	*v->held = NULL;
}

void
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

/* --- a run's ------------------------------------------------------------------------------- */

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
	run_visited(r);
}

/* It was not reached, and nothing of it is left. */
static void
visit_failed(struct visit *v, const struct why *why)
{
	struct run *r = v->item->run;

	relay_probe_begun(r->probe);
	r->unreachable = true;
	visit_end(v, why);
	free(v);
}

static void
on_time(uv_timer_t *timer)
{
	struct item *it = timer->data;
	struct why why;

	if (!awake_over(timer, on_time, it->due))
		return;
	why_set(&why, "nothing within %lld s",
	    (long long)(relay_probe_wait_ms(it->run->probe) / 1000));
	visit_end(it->run->visit, &why);
}

static void
wait_for_it(struct item *it)
{
	awake_timer(&it->timer, on_time, relay_probe_wait_ms(it->run->probe), &it->due);
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
		wait_for_it(it);
		break;
	case RELAY_WANT_TLS:
		wait_for_it(it);
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
	if (v->item != NULL)
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
	struct run *r = it->run;
	struct span broken;
	struct why w;

	v->call = NULL;
	v->conn = conn;
	if (conn == NULL) {
		visit_failed(v, why);
		return;
	}
	relay_probe_begun(r->probe);
	if (r->now.header == RELAY_BROKEN) {
		broken = relay_broken_header(r->now.version);
		conn_write(conn, broken.p, broken.n);
	}
	if (!r->setup.tls)
		pump(v);
	else if (conn_tls(conn, it->interlock->tls, false, &w) == 0)
		wait_for_it(it);
	else
		visit_end(v, &w);
}

bool
visit_begin(struct run *r)
{
	struct item *it = r->item;
	struct conf_home_service conf = it->service->conf;
	struct visit *v = visit_new(it, &r->visit);
	struct why why;

	if (v == NULL)
		return false;
	conf.proxy = r->now.header != RELAY_PROPER ? CONF_PROXY_NONE :
	    r->now.version == 1 ? CONF_PROXY_V1 : CONF_PROXY_V2;
	v->call = backend_open_probe(it->interlock->tunnel, &conf, &r->now.client, &conf.backend,
	    &ops, on_opened, v, &why);
	if (v->call == NULL)
		visit_failed(v, &why);
	return true;
}
