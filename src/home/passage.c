#include "home/passage.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "home/backend.h"
#include "home/health.h"
#include "net/awake.h"
#include "net/splice.h"

struct passage {
	struct passage	*next, **prev;
	struct passage	*unanswered_next, **unanswered_prev;	/* prev NULL: not among them */
	struct tunnel_proc *tunnel;
	struct origin	*origin;	/* NULL once it is answered, when it may go before us */
	struct h2_stream *stream;	/* NULL once the splice has what comes on it */
	struct service	*service;	/* NULL until a client is judged; then entered */
	struct home_edge *edge;
	struct buf	 early;		/* octets of the stream, the header first */
	struct netaddr	 client;	/* once client_known */
	struct backend_call *call;
	struct splice	*splice;	/* NULL until 200 */
	int64_t		 began_ms;	/* by awake_now, as all times here */
	uint16_t	 port;		/* public */
	bool		 client_known;	/* a PROXY header was read; it is not judged by that */
	bool		 entered;
	bool		 ended;		/* the edge's side, before the splice has it */
	char		 name[CONF_NAME_MAX];	/* the service's, which may leave before us */
	char		 greeting[3];	/* the backend's first octets */
	size_t		 ngreeting;
};

static int64_t
now_ms(const struct tunnel_proc *t)
{
	return awake_ms(t->loop);
}

static h2_pull_fn pull_first;

/* --- coming and going --------------------------------------------------------------------- */

/* Or will never be. */
static void
answered(struct passage *p)
{
	struct tunnel_proc *t = p->tunnel;

	p->origin = NULL;
	if (p->unanswered_prev == NULL)
		return;
	if (p->unanswered_next != NULL)
		p->unanswered_next->unanswered_prev = p->unanswered_prev;
	*p->unanswered_prev = p->unanswered_next;
	p->unanswered_prev = NULL;
	if (t->unanswered == NULL)
		uv_timer_stop(&t->answers);
}

static void
passage_free(struct passage *p)
{
	if (p->entered) {
		service_leave(p->service);
		p->edge->streams--;
	}
	backend_cancel(&p->call);
	answered(p);
	if (p->next != NULL)
		p->next->prev = p->prev;
	*p->prev = p->next;
	buf_fini(&p->early);
	free(p);
}

static struct netaddr_text
client_text(const struct passage *p)
{
	return p->client_known ? netaddr_hostport(&p->client) : (struct netaddr_text){ "-" };
}

/* The one way out before anything was passed: the stream gets its answer, the log a line. */
static void
refuse(struct passage *p, unsigned status, const char *why)
{
	log_warn(NULL, "passage.refused edge=%s service=%s client=%s status=%u: %s", p->edge->name,
	    p->name, client_text(p).s, status, why);
	board_add(p->tunnel->proc->board, BC_PASSED_REFUSED, 1);
	origin_answer_now(p->origin, p->stream, status, why);
	passage_free(p);
}

/* --- 200 ---------------------------------------------------------------------------------- */

static void
answer(void *arg)
{
	struct passage *p = arg;
	struct origin *o = p->origin;

	if (o == NULL)
		return;
	answered(p);
	if (!origin_accept(o, p->stream, pull_first, p))
		splice_abort(p->splice, "the stream cannot be answered");
}

static void
on_answers(uv_timer_t *timer)
{
	struct tunnel_proc *t = timer->data;

	while (t->unanswered != NULL)
		answer(t->unanswered);
}

static void
answer_soon(struct passage *p)
{
	struct tunnel_proc *t = p->tunnel;

	if (t->unanswered == NULL)
		uv_timer_start(&t->answers, on_answers, PASSAGE_ANSWER_MS, 0);
	if ((p->unanswered_next = t->unanswered) != NULL)
		t->unanswered->unanswered_prev = &p->unanswered_next;
	p->unanswered_prev = &t->unanswered;
	t->unanswered = p;
}

/* After 200, or the edge would take it for a home that is down. */
static void
cut(struct passage *p, const char *why)
{
	answer(p);
	splice_abort(p->splice, why);
}

/* --- octets both ways --------------------------------------------------------------------- */

/*
 * The backend's first octets, on their way out.  A check may not have met a server
 * that greets late, or on some connections only; a client would.
 */
static bool
greeting_ok(struct passage *p, const char *octets, size_t n)
{
	struct service *s = p->service;

	while (n > 0 && p->ngreeting < sizeof(p->greeting)) {
		p->greeting[p->ngreeting++] = *octets++;
		n--;
	}
	if (p->ngreeting < sizeof(p->greeting) || memcmp(p->greeting, "220", 3) != 0)
		return true;
	service_greeted(s);
	return service_closed(s) == NULL;
}

/*
 * A server that expects a PROXY header takes the first that comes.  Where home sends
 * none, or one that something in between takes for itself, that would be the client's
 * own, and he whoever he likes: no client may begin with one.  Until the server has
 * spoken, what can still become one waits in early.
 */
static void
let_in(struct passage *p)
{
	struct h2_stream *stream = p->stream;

	answer(p);
	p->stream = NULL;
	h2_stream_own(stream, &splice_stream_ops, p->splice);
	splice_pour(p->splice, buf_span(&p->early), p->ended);
	buf_fini(&p->early);
}

static void
judge_first(struct passage *p)
{
	enum proxy_result header = proxy_header_taken(buf_span(&p->early));

	if (header == PROXY_DONE) {
		log_warn(NULL, "passage.refused edge=%s service=%s client=%s: it sends a PROXY "
		    "header of its own, which the backend might believe", p->edge->name, p->name,
		    client_text(p).s);
		board_add(p->tunnel->proc->board, BC_PASSED_REFUSED, 1);
		cut(p, "the client sends a PROXY header of its own");
	} else if (p->ended || header == PROXY_BAD)
		let_in(p);
}

static void
on_first_data(void *arg, struct span s)
{
	struct passage *p = arg;

	if (!buf_add_span(&p->early, s))
		cut(p, "memory is out");
	else
		judge_first(p);
}

static void
on_first_end(void *arg)
{
	struct passage *p = arg;

	p->ended = true;
	judge_first(p);
}

static void
on_first_closed(void *arg, const struct why *why)
{
	struct passage *p = arg;

	p->stream = NULL;
	answered(p);
	splice_stream_ops.closed(p->splice, why);
}

static const struct h2_stream_ops first_ops = {
	.data = on_first_data, .end = on_first_end, .closed = on_first_closed,
};

static ssize_t
pull_first(void *arg, void *out, size_t max, bool *eof)
{
	struct passage *p = arg;
	ssize_t n = splice_pull(p->splice, out, max, eof);

	if (n > 0 && !greeting_ok(p, out, (size_t)n)) {
		splice_abort(p->splice, "its backend is a mail server that is not cleared");
		return -1;
	}
	if (n > 0 && p->stream != NULL)
		let_in(p);
	return n;
}

static void
on_spliced_closed(void *arg, const struct why *why)
{
	struct passage *p = arg;

	log_info(NULL, "passage.end edge=%s service=%s client=%s out=%llu in=%llu ms=%lld%s%s",
	    p->edge->name, p->name, client_text(p).s,
	    (unsigned long long)splice_out(p->splice), (unsigned long long)splice_in(p->splice),
	    (long long)(now_ms(p->tunnel) - p->began_ms), why != NULL ? ": " : "",
	    why != NULL ? why->text : "");
	passage_free(p);
}

static const struct splice_ops splice_ops = { .speaks = answer, .closed = on_spliced_closed };

/* --- the backend -------------------------------------------------------------------------- */

/* Until the splice has it nothing is read of it: it would be paused, and the splice reads on. */
static size_t
on_read(void *arg, struct span s)
{
	return 0;
}

static void
on_conn_closed(void *arg, const struct why *why)
{
}

static const struct conn_ops conn_ops = { .read = on_read, .closed = on_conn_closed };

static void
on_opened(void *arg, struct conn *conn, const struct why *why)
{
	struct passage *p = arg;
	struct h2_stream *stream = p->stream;

	p->call = NULL;
	if (conn == NULL) {
		service_unreachable(p->service, why->text);
		refuse(p, 502, why->text);
		return;
	}
	if (!service_reached(p->service)) {
		conn_abort(conn);
		refuse(p, 503, service_closed(p->service));
		return;
	}
	if ((p->splice = splice_new(&p->tunnel->splices, conn, &splice_ops, p)) == NULL) {
		conn_abort(conn);
		refuse(p, 503, "memory is out");
		return;
	}
	h2_stream_own(stream, &first_ops, p);
	answer_soon(p);
	board_add(p->tunnel->proc->board, BC_PASSED, 1);
	splice_join(p->splice, stream);
	judge_first(p);
	splice_read(p->splice);
}

static void
open_backend(struct passage *p, const struct proxy_header *h)
{
	const char *refused;
	struct why why = { "" };

	p->client = h->from;
	/* By its name, now: none that has not been entered outlives a reload. */
	p->service = health_find(p->tunnel->health, span_str(p->name));
	if (p->service == NULL) {
		refuse(p, 404, "no such service here any more");
		return;
	}
	service_port(p->service, p->port);
	refused = backend_refuses(p->tunnel, &p->service->conf, h);
	if (refused != NULL) {
		refuse(p, 403, refused);
		return;
	}
	if (p->edge->streams >= tunnel_conf(p->tunnel)->edge_streams) {
		why_set(&why, "the edge's limit of %u streams is reached", p->edge->streams);
		refuse(p, 503, why.text);
		return;
	}
	if (!service_enter(p->service, &why)) {
		refuse(p, 503, why.text);
		return;
	}
	p->entered = true;
	p->edge->streams++;
	p->call = backend_open_client(p->tunnel, &p->service->conf, h, &conn_ops, on_opened, p,
	    &why);
	if (p->call == NULL) {
		service_unreachable(p->service, why.text);
		refuse(p, 502, why.text);
	}
}

/* --- the stream until then ---------------------------------------------------------------- */

static void
read_header(struct passage *p)
{
	struct proxy_header h;
	struct why why = { "" };
	size_t used;

	switch (proxy_header_read(buf_span(&p->early), &h, &used, &why)) {
	case PROXY_MORE:
		if (p->ended)
			refuse(p, 400, "the stream ended before its PROXY header did");
		return;
	case PROXY_BAD:
		refuse(p, 400, why.text);
		return;
	case PROXY_DONE:
		h2_consumed(p->stream, used);
		buf_drop(&p->early, used);
		p->client_known = true;
		open_backend(p, &h);
		return;
	}
}

/* What follows the header waits here for the backend, as long as the stream's window lets it. */
static void
on_data(void *arg, struct span s)
{
	struct passage *p = arg;

	if (!buf_add_span(&p->early, s))
		refuse(p, 503, "memory is out");
	else if (!p->client_known)
		read_header(p);
}

static void
on_end(void *arg)
{
	struct passage *p = arg;

	p->ended = true;
	if (!p->client_known)
		read_header(p);
}

static void
on_closed(void *arg, const struct why *why)
{
	struct passage *p = arg;

	log_info(NULL, "passage.gone edge=%s service=%s client=%s: before it was open%s%s",
	    p->edge->name, p->name, client_text(p).s, why != NULL ? ": " : "",
	    why != NULL ? why->text : "");
	passage_free(p);
}

static const struct h2_stream_ops stream_ops = {
	.data = on_data, .end = on_end, .closed = on_closed,
};

/* "imaps:993" */
static bool
split_authority(struct span s, struct span *name, uint16_t *port)
{
	const char *colon = s.n > 0 ? memrchr(s.p, ':', s.n) : NULL;
	unsigned long long n;

	if (colon == NULL)
		return false;
	*name = span_of(s.p, (size_t)(colon - s.p));
	if (!span_u64(span_from(s, name->n + 1), 65535, &n) || n == 0)
		return false;
	*port = (uint16_t)n;
	return true;
}

static struct passage *
passage_new(struct origin *o, struct h2_stream *stream, struct home_edge *edge,
    const struct service *s, uint16_t port)
{
	struct tunnel_proc *t = o->tunnel;
	struct passage *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->tunnel = t;
	p->origin = o;
	p->stream = stream;
	p->edge = edge;
	p->port = port;
	p->began_ms = now_ms(t);
	span_copy(span_str(s->conf.name), p->name, sizeof(p->name));
	buf_init(&p->early, H2_WINDOW);
	if ((p->next = t->passages) != NULL)
		p->next->prev = &p->next;
	p->prev = &t->passages;
	t->passages = p;
	h2_stream_own(stream, &stream_ops, p);
	return p;
}

void
passage_unknown(struct origin *o, int64_t at_ms)
{
	unsigned n = log_often(&o->unknown, at_ms);

	if (n > 0)
		log_warn(NULL, "passage.refused edge=%s authority=%s status=404 times=%u: no such "
		    "service in this home's configuration", o->edge, o->unknown_last.s, n);
}

void
passage_open(struct origin *o, struct h2_stream *stream, const struct h2_head *head)
{
	struct home_edge *edge = edges_find(&o->tunnel->intake.edges, o->edge);
	struct service *s = NULL;
	struct passage *p;
	struct span name;
	uint16_t port;

	if (split_authority(head->authority, &name, &port))
		s = health_find(o->tunnel->health, name);
	if (edge == NULL || s == NULL) {
		o->unknown.n++;
		o->unknown_last = log_safe(head->authority);
		passage_unknown(o, now_ms(o->tunnel));
		board_add(o->tunnel->proc->board, BC_PASSED_REFUSED, 1);
		origin_answer_now(o, stream, 404, "no such service here");
		return;
	}
	if ((p = passage_new(o, stream, edge, s, port)) == NULL) {
		origin_answer_now(o, stream, 503, "memory is out");
		return;
	}
	service_port(s, port);
	if (o->tunnel->draining)
		refuse(p, 503, "this home is stopping");
	else if (service_closed(s) != NULL)
		refuse(p, 503, service_closed(s));
}

void
passages_init(struct tunnel_proc *t)
{
	splices_init(&t->splices, t->loop);
	t->splices.idle_ms = PASSAGE_IDLE_MS;
	t->splices.total_ms = PASSAGE_TOTAL_MS;
	t->splices.held_max = PASSAGE_MEMORY;
	uv_timer_init(t->loop, &t->answers);
	t->answers.data = t;
}

void
passages_tick(struct tunnel_proc *t)
{
	int64_t now = now_ms(t);

	if (awake_late(t->loop))
		return;
	splices_sweep(&t->splices);
	for (struct passage *p = t->passages, *next; p != NULL; p = next) {
		next = p->next;
		if (!p->client_known && now - p->began_ms > PASSAGE_HEADER_MS)
			refuse(p, 400, "no PROXY header came");
	}
}

void
passages_end(struct tunnel_proc *t, const struct service *only, const char *why)
{
	for (struct passage *p = t->passages, *next; p != NULL; p = next) {
		next = p->next;
		if (only != NULL && p->service != only)
			continue;
		if (p->splice != NULL)
			splice_abort(p->splice, why);
		else
			refuse(p, 503, why);
	}
}
