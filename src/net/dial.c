#include "net/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* One connect under way.  Poll and timer close together, then it is freed. */
struct dial {
	uv_poll_t	 poll;
	uv_timer_t	 timer;
	conn_dial_fn	*done;
	void		*arg;
	struct netaddr	 to;
	unsigned	 timeout_ms;
	int		 fd;
	int		 open;		/* handles */
};

static void
on_closed(uv_handle_t *h)
{
	struct dial *d = h->data;

	if (--d->open == 0)
		free(d);
}

/* fd is the caller's from here on, or why says what kept us. */
static void
finish(struct dial *d, const struct why *why)
{
	int fd = d->fd;

	uv_poll_stop(&d->poll);
	uv_close((uv_handle_t *)&d->poll, on_closed);
	uv_close((uv_handle_t *)&d->timer, on_closed);
	if (why != NULL) {
		close(fd);
		fd = -1;
	}
	d->done(d->arg, fd, why);
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
	struct dial *d = poll->data;
	struct why why;
	int e = 0;
	socklen_t n = sizeof(e);

	if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &e, &n) == -1)
		e = errno;
	if (e == 0 && status < 0)
		e = ECONNREFUSED;
	if (e == 0) {
		finish(d, NULL);
		return;
	}
	errno = e;
	why_sys(&why, "connect to %s", netaddr_hostport(&d->to).s);
	finish(d, &why);
}

static void
on_timer(uv_timer_t *timer)
{
	struct dial *d = timer->data;
	struct why why;

	why_set(&why, "connect to %s: no answer within %u ms", netaddr_hostport(&d->to).s,
	    d->timeout_ms);
	finish(d, &why);
}

int
conn_dial(uv_loop_t *loop, const struct netaddr *to, unsigned timeout_ms, conn_dial_fn *done,
    void *arg, struct why *why)
{
	struct sockaddr_storage ss;
	socklen_t n = netaddr_to_sockaddr(to, &ss);
	struct dial *d;
	int fd, rc;

	if ((fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) == -1)
		return why_sys(why, "connect to %s: socket", netaddr_hostport(to).s);
	if (connect(fd, (struct sockaddr *)&ss, n) == -1 && errno != EINPROGRESS) {
		why_sys(why, "connect to %s", netaddr_hostport(to).s);
		close(fd);
		return -1;
	}
	if ((d = calloc(1, sizeof(*d))) == NULL) {
		close(fd);
		return why_set(why, "connect to %s: out of memory", netaddr_hostport(to).s);
	}
	*d = (struct dial){
		.done = done, .arg = arg, .to = *to, .timeout_ms = timeout_ms, .fd = fd, .open = 2,
	};
	d->poll.data = d->timer.data = d;
	if ((rc = uv_poll_init(loop, &d->poll, fd)) != 0) {
		free(d);
		close(fd);
		return why_set(why, "connect to %s: %s", netaddr_hostport(to).s, uv_strerror(rc));
	}
	uv_timer_init(loop, &d->timer);
	uv_poll_start(&d->poll, UV_WRITABLE, on_poll);
	uv_timer_start(&d->timer, on_timer, timeout_ms, 0);
	return 0;
}
