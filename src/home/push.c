#include "home/push.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "home/arrival.h"
#include "home/libmicrohttpd.h"
#include "home/push_gate.h"
#include "net/awake.h"
#include "proto/prefer.h"

#define TICK_MS		1000

static const struct libmicrohttpd *mhd;	/* since push_new */

struct request {
	struct visitor	*visitor;
	struct MHD_Connection *connection;
	struct push_worker *worker;
	struct uuid	 id;
	struct arrival	*arrival;
	bool		 ended;		/* all of its octets are here */
	bool		 suspended;	/* until it is told */
	bool		 told;
	unsigned	 status;
	char		 text[ARRIVAL_TEXT_MAX];
};

struct visitor {			/* a connection */
	struct visitor	*next;
	struct push	*push;
	int		 fd;		/* libmicrohttpd's; ours to shut down */
	struct request	*request;	/* NULL: between two, or before the first */
	bool		 known;		/* it has shown a token */
	int64_t		 since_ms;	/* of the present state: a head, a body, idleness */
};

struct listener {
	struct listener	*next;
	struct push	*push;
	int		 fd;
	uv_poll_t	 poll;
};

struct push {
	const struct intake *intake;
	struct push_gate gate;
	struct MHD_Daemon *daemon;
	struct listener	*listeners;
	struct visitor	*visitors;
	unsigned	 nvisitors, nrequests;
	uv_poll_t	 poll;		/* libmicrohttpd's epoll */
	uv_timer_t	 again, tick;
	struct log_often denied;
	bool		 draining;
	void		(*drained)(void *);
	void		*drained_arg;
};

static int64_t
now_ms(const struct push *p)
{
	return awake_ms(p->intake->proc->loop);
}

/* --- answering ---------------------------------------------------------------------------- */

/* of: the object that this is about; NULL: none. */
static enum MHD_Result
say(struct MHD_Connection *c, unsigned status, const char *text, const struct uuid *of)
{
	struct MHD_Response *r = mhd->create_response_from_buffer(strlen(text), (void *)text,
	    MHD_RESPMEM_MUST_COPY);
	enum MHD_Result rc;

	if (r == NULL)
		return MHD_NO;
	/* A Worker takes no answer for home's without it: some server says 200 to everything. */
	if (of != NULL)
		mhd->add_response_header(r, "Posthouse-Id", uuid_text(*of).s);
	if (text[0] != '\0')
		mhd->add_response_header(r, "Content-Type", "text/plain; charset=us-ascii");
	if (status == 401) {
		mhd->add_response_header(r, "WWW-Authenticate", "Bearer");
		mhd->add_response_header(r, "Connection", "close");
	} else if (status == 405) {
		mhd->add_response_header(r, "Allow", "PUT, DELETE");
	} else if (status == 429) {
		mhd->add_response_header(r, "Retry-After", "60");
	}
	rc = mhd->queue_response(c, status, r);
	mhd->destroy_response(r);
	return rc;
}

static enum MHD_Result
reply(struct MHD_Connection *c, unsigned status, const char *text)
{
	return say(c, status, text, NULL);
}

/* What the request was told. */
static enum MHD_Result
answer(const struct request *r)
{
	return say(r->connection, r->status, r->text, &r->id);
}

static void on_again(uv_timer_t *);

static void
on_told(void *arg, unsigned status, const char *text)
{
	struct request *r = arg;

	r->told = true;
	r->status = status;
	snprintf(r->text, sizeof(r->text), "%s", text);
	if (r->suspended) {
		r->suspended = false;
		r->visitor->since_ms = now_ms(r->visitor->push);
		mhd->resume_connection(r->connection);
		/* Its epoll does not tell of a connection that was resumed. */
		uv_timer_start(&r->visitor->push->again, on_again, 0, 0);
	}
}

static void
say_denied(struct push *p, int64_t now)
{
	unsigned n = log_often(&p->denied, now);

	if (n > 0)
		log_warn(NULL, "push.denied requests=%u: without a Worker's token", n);
}

static enum MHD_Result
deny(struct push *p, struct MHD_Connection *c)
{
	board_add(p->intake->proc->board, BC_PUSH_DENIED, 1);
	p->denied.n++;
	say_denied(p, now_ms(p));
	return reply(c, 401, "a Worker's token is needed\n");
}

/* --- a request ---------------------------------------------------------------------------- */

static struct span
header(struct MHD_Connection *c, const char *name)
{
	const char *value = mhd->lookup_connection_value(c, MHD_HEADER_KIND, name);

	return span_str(value != NULL ? value : "");
}

static void
take(struct request *r)
{
	struct MHD_Connection *c = r->connection;
	struct arrival_head head = {
		.mac = header(c, "posthouse-mac"), .length = header(c, "content-length"),
		.origin = ORIGIN_PUSH,
		.wait_s = prefer_wait(header(c, "prefer"), PUSH_WAIT_MAX),
	};

	head.has_body = (head.length.n > 0 && !span_eq(head.length, SPAN_LIT("0"))) ||
	    header(c, "transfer-encoding").n > 0;
	arrival_take(r->arrival, &head);
}

/* NULL: memory is out. */
static struct request *
request_new(struct visitor *v, struct MHD_Connection *c, struct push_worker *w, struct uuid id)
{
	struct push *p = v->push;
	const struct conf_home_service *s = conf_home_push(p->intake->proc->home);
	uint64_t quota = p->intake->proc->home->hold.quota;
	const struct arrival_at at = {
		.intake = p->intake,
		.most = s->size < quota ? s->size : quota,
		.too_large = s->size < quota ? "larger than service \"push\" { size = ... }" :
		    "larger than this home's quota (hold { quota = ... })",
	};
	struct request *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->visitor = v;
	r->connection = c;
	r->worker = w;
	r->id = id;
	if ((r->arrival = arrival_new(&at, w->name, id, on_told, r)) == NULL) {
		free(r);
		return NULL;
	}
	v->request = r;
	v->since_ms = now_ms(p);
	p->nrequests++;
	return r;
}

/* Its head is here, and nothing else. */
static enum MHD_Result
begin(struct visitor *v, struct MHD_Connection *c, const char *url, const char *method, void **arg)
{
	const struct span mail = SPAN_LIT("/mail/"), path = span_str(url);
	struct push *p = v->push;
	struct push_worker *w = push_gate_find(&p->gate, header(c, "authorization"));
	bool put = strcmp(method, "PUT") == 0;
	struct request *r;
	struct uuid id;

	if (w == NULL || conf_home_worker(p->intake->proc->home, w->name) == NULL)
		return deny(p, c);
	v->known = true;
	if (path.n <= mail.n || memcmp(path.p, mail.p, mail.n) != 0 ||
	    !uuid_parse(span_from(path, mail.n), &id))
		return reply(c, 404, "an object is named by a UUID: /mail/<id>\n");
	if (!put && strcmp(method, "DELETE") != 0)
		return say(c, 405, "PUT or DELETE\n", &id);
	if (p->draining)
		return reply(c, 503, "home is stopping\n");
	if (!push_gate_pass(w, conf_home_push(p->intake->proc->home), now_ms(p))) {
		board_add(p->intake->proc->board, BC_PUSH_LIMITED, 1);
		log_warn(NULL, "push.limited edge=%s: above service \"push\" { rate, bytes }",
		    w->name);
		return reply(c, 429, "above this Worker's rate or bytes at home\n");
	}
	if ((r = request_new(v, c, w, id)) == NULL)
		return reply(c, 503, "memory is out\n");
	*arg = r;
	if (put)
		take(r);
	else
		arrival_confirm(r->arrival);
	return r->told ? answer(r) : MHD_YES;
}

static enum MHD_Result
on_request(void *arg, struct MHD_Connection *c, const char *url, const char *method,
    const char *version, const char *data, size_t *n, void **request)
{
	const union MHD_ConnectionInfo *info = mhd->get_connection_info(c,
	    MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct visitor *v = info != NULL ? info->socket_context : NULL;
	struct request *r = *request;

	if (v == NULL)
		return MHD_NO;		/* memory was out when it came */
	if (r == NULL)
		return begin(v, c, url, method, request);
	if (*n > 0) {
		push_gate_octets(r->worker, *n);
		arrival_add(r->arrival, span_of(data, *n));
		*n = 0;
		/* Its end would be waited for before an answer: too large is no reason to. */
		return r->told && r->status == 413 ? MHD_NO : MHD_YES;
	}
	if (!r->ended) {
		r->ended = true;
		arrival_end(r->arrival);
	}
	if (r->told)
		return answer(r);
	r->suspended = true;
	mhd->suspend_connection(c);
	return MHD_YES;
}

static void
drained(struct push *p)
{
	void (*done)(void *) = p->drained;

	if (!p->draining || p->nrequests > 0 || done == NULL)
		return;
	p->drained = NULL;
	done(p->drained_arg);
}

/* The only way out of a request, whatever ended it. */
static void
on_completed(void *arg, struct MHD_Connection *c, void **request,
    enum MHD_RequestTerminationCode how)
{
	struct push *p = arg;
	struct request *r = *request;

	*request = NULL;
	if (r == NULL)
		return;
	r->visitor->request = NULL;
	r->visitor->since_ms = now_ms(p);
	arrival_leave(&r->arrival);
	free(r);
	p->nrequests--;
	drained(p);
}

/* --- connections -------------------------------------------------------------------------- */

static void
on_connection(void *arg, struct MHD_Connection *c, void **context,
    enum MHD_ConnectionNotificationCode what)
{
	struct push *p = arg;
	struct visitor *v = *context;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info = mhd->get_connection_info(c,
		    MHD_CONNECTION_INFO_CONNECTION_FD);

		if (info == NULL || (v = calloc(1, sizeof(*v))) == NULL)
			return;
		v->push = p;
		v->fd = info->connect_fd;
		v->since_ms = now_ms(p);
		v->next = p->visitors;
		p->visitors = v;
		p->nvisitors++;
		*context = v;
		return;
	}
	if (v == NULL)
		return;
	for (struct visitor **at = &p->visitors; *at != NULL; at = &(*at)->next)
		if (*at == v) {
			*at = v->next;
			break;
		}
	p->nvisitors--;
	free(v);
	*context = NULL;
}

/* Whether it had its time; one that waits for us has all there is. */
static bool
late(const struct visitor *v, int64_t now)
{
	int64_t s = v->request != NULL ? PUSH_BODY_S : v->known ? PUSH_IDLE_S : PUSH_HEAD_S;

	return (v->request == NULL || !v->request->suspended) && now - v->since_ms >= s * 1000;
}

static void
work(struct push *p);

static void
on_tick(uv_timer_t *timer)
{
	struct push *p = timer->data;

	for (struct visitor *v = p->visitors; v != NULL; v = v->next)
		if (late(v, now_ms(p)))
			shutdown(v->fd, SHUT_RDWR);
	say_denied(p, now_ms(p));
	work(p);
}

/* Where all places are taken: the one that is least use. */
static void
make_room(struct push *p)
{
	struct visitor *worst = NULL;

	for (struct visitor *v = p->visitors; v != NULL; v = v->next)
		if (v->request == NULL && (worst == NULL || v->known < worst->known ||
		    (v->known == worst->known && v->since_ms < worst->since_ms)))
			worst = v;
	if (worst == NULL)
		return;
	shutdown(worst->fd, SHUT_RDWR);
	work(p);
}

static void
on_listener(uv_poll_t *poll, int status, int events)
{
	struct listener *l = poll->data;
	struct push *p = l->push;
	struct sockaddr_storage from = { 0 };
	socklen_t n = sizeof(from);
	int fd = accept4(l->fd, (void *)&from, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd == -1)
		return;			/* it went again, or descriptors are out: it waits */
	if (p->nvisitors >= PUSH_VISITORS_MAX)
		make_room(p);
	if (p->nvisitors >= PUSH_VISITORS_MAX) {
		close(fd);
		return;
	}
	if (mhd->add_connection(p->daemon, fd, (void *)&from, n) == MHD_YES)
		work(p);
	else
		log_warn(NULL, "push.connection: %s", strerror(errno));
}

/* --- libmicrohttpd in our loop ------------------------------------------------------------ */

static void
on_again(uv_timer_t *timer)
{
	work(timer->data);
}

/* What it has to do now.  Its clock is the tick; what it could do at once comes in a next turn. */
static void
work(struct push *p)
{
	MHD_UNSIGNED_LONG_LONG ms;

	mhd->run(p->daemon);
	if (mhd->get_timeout(p->daemon, &ms) == MHD_YES && ms == 0)
		uv_timer_start(&p->again, on_again, 0, 0);
}

static void
on_epoll(uv_poll_t *poll, int status, int events)
{
	work(poll->data);
}

static void
on_said(void *arg, const char *fmt, va_list ap)
{
	char text[200];

	vsnprintf(text, sizeof(text), fmt, ap);
	log_debug(NULL, "push.http %s", log_safe(span_of(text, strcspn(text, "\n"))).s);
}

struct push *
push_new(const struct intake *intake, struct why *why)
{
	const union MHD_DaemonInfo *info;
	struct push *p;

	if ((mhd = libmicrohttpd_open(why)) == NULL)
		return NULL;
	if ((p = calloc(1, sizeof(*p))) == NULL) {
		why_sys(why, "push");
		return NULL;
	}
	p->intake = intake;
	p->daemon = mhd->start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET |
	    MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, p,
	    MHD_OPTION_EXTERNAL_LOGGER, on_said, p,
	    MHD_OPTION_STRICT_FOR_CLIENT, 1,
	    MHD_OPTION_CONNECTION_LIMIT, (unsigned)PUSH_VISITORS_MAX,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)PUSH_MEMORY,
	    MHD_OPTION_NOTIFY_COMPLETED, on_completed, p,
	    MHD_OPTION_NOTIFY_CONNECTION, on_connection, p,
	    MHD_OPTION_END);
	info = p->daemon != NULL ? mhd->get_daemon_info(p->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (info == NULL || uv_poll_init(intake->proc->loop, &p->poll, info->epoll_fd) != 0) {
		why_set(why, "push: libmicrohttpd does not start");
		if (p->daemon != NULL)
			mhd->stop_daemon(p->daemon);
		free(p);
		return NULL;
	}
	p->poll.data = p;
	uv_timer_init(intake->proc->loop, &p->again);
	uv_timer_init(intake->proc->loop, &p->tick);
	p->again.data = p->tick.data = p;
	uv_poll_start(&p->poll, UV_READABLE, on_epoll);
	uv_timer_start(&p->tick, on_tick, TICK_MS, TICK_MS);
	return p;
}

void
push_token(struct push *p, const char *worker, struct span text)
{
	push_gate_token(&p->gate, worker, text);
}

void
push_listen(struct push *p, int fd)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (l == NULL || uv_poll_init(p->intake->proc->loop, &l->poll, fd) != 0)
		abort();		/* at start: memory is out */
	l->push = p;
	l->fd = fd;
	l->poll.data = l;
	l->next = p->listeners;
	p->listeners = l;
	uv_poll_start(&l->poll, UV_READABLE, on_listener);
}

void
push_drain(struct push *p, void (*done)(void *), void *arg)
{
	p->draining = true;
	p->drained = done;
	p->drained_arg = arg;
	for (struct listener *l = p->listeners; l != NULL; l = l->next)
		uv_poll_stop(&l->poll);
	for (struct visitor *v = p->visitors; v != NULL; v = v->next)
		if (v->request != NULL && v->request->ended)
			arrival_hurry(v->request->arrival);
	drained(p);
}

static void
on_listener_closed(uv_handle_t *h)
{
	free(h->data);
}

static void
on_push_closed(uv_handle_t *h)
{
	free(h->data);
}

void
push_free(struct push **pp)
{
	struct push *p = *pp;
	struct listener *l;

	*pp = NULL;
	if (p == NULL)
		return;
	say_denied(p, INT64_MAX);
	while ((l = p->listeners) != NULL) {
		p->listeners = l->next;
		close(l->fd);
		uv_close((uv_handle_t *)&l->poll, on_listener_closed);
	}
	for (struct visitor *v = p->visitors; v != NULL; v = v->next)
		if (v->request != NULL && v->request->suspended)
			on_told(v->request, 503, "home is stopping\n");
	mhd->run(p->daemon);		/* what was resumed */
	uv_poll_stop(&p->poll);
	mhd->stop_daemon(p->daemon);
	push_gate_fini(&p->gate);
	uv_close((uv_handle_t *)&p->again, NULL);
	uv_close((uv_handle_t *)&p->tick, NULL);
	uv_close((uv_handle_t *)&p->poll, on_push_closed);
}
