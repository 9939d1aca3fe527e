#include "net/conn.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/awake.h"
#include "net/later.h"

/*
 * One connect under way: poll and timer close together, then it is freed.  What was
 * decided at once, as by a server on this machine, needs neither.
 */
struct dial {
	uv_poll_t	 poll;
	uv_timer_t	 timer;
	struct laters	*laters;	/* decided at once */
	struct later	 later;
	conn_dial_fn	*done;
	void		*arg;
	struct netaddr	 to;
	char		 path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];	/* or this */
	unsigned	 timeout_ms;
	struct instant	 due;
	int		 fd;
	int		 error;		/* decided at once: of connect */
	int		 open;		/* handles */
};

/* Written out for a reason only: most are answered, and each is somebody's first wait. */
#define TO(d) ((d)->path[0] != '\0' ? (d)->path : netaddr_hostport(&(d)->to).s)

static void
on_closed(uv_handle_t *h)
{
	struct dial *d = h->data;

	if (--d->open == 0)
		free(d);
}

/* fd is the caller's from here on, or why says what kept us. */
static void
tell(struct dial *d, const struct why *why)
{
	int fd = d->fd;

	if (why != NULL) {
		close(fd);
		fd = -1;
	}
	d->done(d->arg, fd, why);
}

static void
finish(struct dial *d, const struct why *why)
{
	uv_poll_stop(&d->poll);
	uv_close((uv_handle_t *)&d->poll, on_closed);
	uv_close((uv_handle_t *)&d->timer, on_closed);
	tell(d, why);
}

static struct why
why_not(const struct dial *d, int error)
{
	struct why why;

	errno = error;
	why_sys(&why, "connect to %s", TO(d));
	return why;
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
	if (e != 0)
		why = why_not(d, e);
	finish(d, e != 0 ? &why : NULL);
}

static void
on_timer(uv_timer_t *timer)
{
	struct dial *d = timer->data;
	struct why why;

	if (!awake_over(timer, on_timer, d->due))
		return;
	why_set(&why, "connect to %s: no answer within %u ms", TO(d), d->timeout_ms);
	finish(d, &why);
}

static void
on_later(struct later *l)
{
	struct dial *d = (struct dial *)((char *)l - offsetof(struct dial, later));
	struct why why;

	if (d->error != 0)
		why = why_not(d, d->error);
	tell(d, d->error != 0 ? &why : NULL);
	laters_drop(d->laters);
	free(d);
}

static int
decided(struct dial *d, uv_loop_t *loop, struct why *why)
{
	if ((d->laters = laters_hold(loop)) == NULL)
		return why_set(why, "connect to %s: out of memory", TO(d));
	d->later.fn = on_later;
	later_add(d->laters, &d->later);
	return 0;
}

static int
wait_for(struct dial *d, uv_loop_t *loop, struct why *why)
{
	int rc;

	d->poll.data = d->timer.data = d;
	if ((rc = uv_poll_init(loop, &d->poll, d->fd)) != 0)
		return why_set(why, "connect to %s: %s", TO(d), uv_strerror(rc));
	d->open = 2;
	uv_timer_init(loop, &d->timer);
	uv_poll_start(&d->poll, UV_WRITABLE, on_poll);
	awake_timer(&d->timer, on_timer, d->timeout_ms, &d->due);
	return 0;
}

static int
begin(uv_loop_t *loop, const struct sockaddr *to, socklen_t n, struct dial how, struct why *why)
{
	struct dial *d;
	int fd, rc;

	if ((fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) == -1)
		return why_sys(why, "connect to %s: socket", TO(&how));
	if ((rc = connect(fd, to, n)) == -1 && errno != EINPROGRESS) {
		why_sys(why, "connect to %s", TO(&how));
		close(fd);
		return -1;
	}
	if ((d = malloc(sizeof(*d))) == NULL) {
		close(fd);
		return why_set(why, "connect to %s: out of memory", TO(&how));
	}
	*d = how;
	d->fd = fd;
	/*
	 * On one machine both ends are done by now, but connect looked before the answer
	 * was there: asked again it knows.
	 */
	if (rc == -1 && connect(fd, to, n) == -1 && errno != EISCONN)
		d->error = errno;
	if (d->error == EALREADY || d->error == EINPROGRESS || d->error == EINTR) {
		d->error = 0;
		rc = wait_for(d, loop, why);
	} else
		rc = decided(d, loop, why);
	if (rc == -1) {
		free(d);
		close(fd);
	}
	return rc;
}

int
conn_dial(uv_loop_t *loop, const struct netaddr *to, unsigned timeout_ms, conn_dial_fn *done,
    void *arg, struct why *why)
{
	struct dial how = { .to = *to, .done = done, .arg = arg, .timeout_ms = timeout_ms };
	struct sockaddr_storage ss;
	socklen_t n = netaddr_to_sockaddr(to, &ss);

	return begin(loop, (struct sockaddr *)&ss, n, how, why);
}

int
conn_dial_unix(uv_loop_t *loop, const char *path, unsigned timeout_ms, conn_dial_fn *done,
    void *arg, struct why *why)
{
	struct dial how = { .done = done, .arg = arg, .timeout_ms = timeout_ms };
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if (!span_copy(span_str(path), un.sun_path, sizeof(un.sun_path)))
		return why_set(why, "connect to %s: the path is too long", path);
	memcpy(how.path, un.sun_path, sizeof(how.path));
	return begin(loop, (struct sockaddr *)&un, sizeof(un), how, why);
}
