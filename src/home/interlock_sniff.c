#include "home/interlock_in.h"

#include <stdlib.h>

#include "home/backend.h"
#include "net/awake.h"
#include "net/conn.h"

/* Is what greets nobody a mail server in TLS?  One connection, and little is said on it. */

static void	on_time(uv_timer_t *);

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

	if (it->sniffs == SNIFF_PLAIN && conn_tls(v->conn, it->interlock->tls, false, &why) == 0) {
		it->sniffs = SNIFF_SHAKES;
		awake_timer(&it->timer, on_time, INTERLOCK_SHAKE_MS, &it->due);
	} else if (it->sniffs == SNIFF_TLS) {
		it->sniffs = SNIFF_ASKED;
		awake_timer(&it->timer, on_time, INTERLOCK_LATE_MS, &it->due);
		conn_write(v->conn, ask, sizeof(ask) - 1);	/* its closed says why it failed */
	} else {
		sniffed(v);
	}
}

static void
on_time(uv_timer_t *timer)
{
	struct item *it = timer->data;

	if (awake_over(timer, on_time, it->due))
		sniff_on(it->sniff);
}

static size_t
on_read(void *arg, struct span in)
{
	struct visit *v = arg;
	struct item *it = v->item;

	if (it == NULL)
		return in.n;
	if (in.n < RELAY_GREETING_MIN)
		return 0;		/* it may come in pieces */
	if (relay_greets(in) || (it->sniffs != SNIFF_PLAIN && relay_declines(in))) {
		it->greeted_in_tls = it->sniffs != SNIFF_PLAIN;
		service_greeted(it->service);
	}
	sniffed(v);
	return in.n;
}

static void
on_secured(void *arg)
{
	struct visit *v = arg;
	struct item *it = v->item;

	if (it == NULL)
		return;
	it->sniffs = SNIFF_TLS;
	awake_timer(&it->timer, on_time, INTERLOCK_SILENCE_MS, &it->due);
}

static void
on_closed(void *arg, const struct why *why)
{
	struct visit *v = arg;

	v->conn = NULL;
	if (v->item != NULL)
		sniffed(v);
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

	v->call = NULL;
	v->conn = conn;
	if (conn == NULL)
		visit_drop(v);	/* health says that it is away; asked when it is back */
	else
		awake_timer(&it->timer, on_time, INTERLOCK_SILENCE_MS, &it->due);
}

void
sniff_begin(struct item *it)
{
	struct visit *v = visit_new(it, &it->sniff);
	struct why why;

	if (v == NULL)
		return;
	it->sniffs = SNIFF_PLAIN;
	v->call = backend_open_self(it->interlock->tunnel, &it->service->conf, &ops, on_opened, v,
	    &why);
	if (v->call == NULL)
		visit_drop(v);
}
