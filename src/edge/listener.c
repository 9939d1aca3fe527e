#include "edge/listener.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "edge/passage.h"
#include "edge/session.h"
#include "edge/tunnel.h"

#define ACCEPTS_A_TURN	64	/* then others get their turn */
#define REST_MS		100	/* out of descriptors: some will be closed by then */

struct listener {
	struct listener	*next;
	struct edge	*edge;
	char		 service[CONF_NAME_MAX];
	int		 fd;
	uv_poll_t	 poll;
	uv_timer_t	 rest;
	unsigned	 handles;	/* still to be closed */
};

static void on_connection(uv_poll_t *, int, int);

static void
on_rested(uv_timer_t *timer)
{
	struct listener *l = timer->data;

	uv_poll_start(&l->poll, UV_READABLE, on_connection);
}

static void
hand_on(struct listener *l, int fd)
{
	const struct conf_service *s;

	if (strcmp(l->service, "tunnel") == 0)
		tunnel_accept(l->edge, fd);
	else if ((s = conf_edge_service(edge_conf(l->edge), l->service)) == NULL)
		close(fd);	/* a reload took it away; its socket goes with the next restart */
	else if (s->mode == CONF_HOLD && s->nproxy_from == 0)
		session_accept(l->edge, fd, s);
	else
		passage_accept(l->edge, fd, s);
}

/*
 * accept4 makes a socket before it looks whether somebody is there: one who came alone, as
 * most do, would wait for that as long as for his own.
 */
static bool
more_wait(const struct listener *l)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void
on_connection(uv_poll_t *handle, int status, int events)
{
	struct listener *l = handle->data;

	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		int fd;

		if (i == 1 && !more_wait(l))
			return;
		fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			hand_on(l, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			log_warn(NULL, "listen.rest service=%s: %s", l->service, strerror(errno));
			uv_poll_stop(&l->poll);
			uv_timer_start(&l->rest, on_rested, REST_MS, 0);
			return;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		/* ECONNABORTED and the like are the client's affair. */
	}
}

int
listener_add(struct edge *e, const char *service, int fd)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (l == NULL) {
		close(fd);
		return -1;
	}
	l->edge = e;
	l->fd = fd;
	span_copy(span_str(service), l->service, sizeof(l->service));
	uv_poll_init(e->loop, &l->poll, fd);
	uv_timer_init(e->loop, &l->rest);
	l->poll.data = l->rest.data = l;
	l->next = e->listeners;
	e->listeners = l;
	return 0;
}

void
listeners_start(struct edge *e)
{
	for (struct listener *l = e->listeners; l != NULL; l = l->next)
		uv_poll_start(&l->poll, UV_READABLE, on_connection);
}

static void
on_handle_closed(uv_handle_t *h)
{
	struct listener *l = h->data;

	if (--l->handles == 0) {
		close(l->fd);
		free(l);
	}
}

void
listeners_close(struct edge *e)
{
	for (struct listener *l = e->listeners, *next; l != NULL; l = next) {
		next = l->next;
		l->handles = 2;
		uv_close((uv_handle_t *)&l->poll, on_handle_closed);
		uv_close((uv_handle_t *)&l->rest, on_handle_closed);
	}
	e->listeners = NULL;
}
