#include "net/conn.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/conn_priv.h"

#define TURNS 4		/* reads in one turn of the loop: one busy peer must not starve others */

static void on_poll(uv_poll_t *, int, int);
static void on_later(struct later *);

/*
 * Tells libuv only what must change, as each change costs two system calls.
 */
void
conn_watch(struct conn *c)
{
	int events = 0;

	if (c->over || c->broken)
		return;
	if (!c->paused && !c->eof && !c->closing && !c->idle)
		events |= UV_READABLE;
	if (c->queue.n > 0)
		events |= UV_WRITABLE;
	if (events == c->events)
		return;
	if (events == 0)
		uv_poll_stop(&c->poll);
	else
		uv_poll_start(&c->poll, events, on_poll);
	c->events = events;
}

static void
over(struct conn *c)
{
	c->over = true;
	if (c->events != 0)
		uv_poll_stop(&c->poll);
	c->events = 0;
	later_add(c->laters, &c->later);
}

/* The connection ends by what somebody else did. */
void
conn_fail(struct conn *c, const struct why *why)
{
	if (c->over)
		return;
	if (!c->closing && c->why == NULL && (c->why = malloc(sizeof(*c->why))) != NULL)
		*c->why = *why;
	over(c);
}

void
conn_fail_text(struct conn *c, const char *text)
{
	struct why why;

	why_set(&why, "%s", text);
	conn_fail(c, &why);
}

/* The wire is gone (errno says why), and with it what waits for it. */
static void
broke(struct conn *c, const char *text)
{
	struct why why;

	why_sys(&why, "%s", text);
	if (!c->hear_out || c->shaking || c->closing || c->eof || c->over ||
	    (c->why = malloc(sizeof(*c->why))) == NULL) {
		conn_fail(c, &why);
		return;
	}
	*c->why = why;
	c->broken = true;
	pieces_fini(&c->queue);
	if (c->events != 0)
		uv_poll_stop(&c->poll);
	c->events = 0;
	later_add(c->laters, &c->later);
}

struct conn *
conn_new(uv_loop_t *loop, int fd, const struct conn_ops *ops, void *arg, struct why *why)
{
	struct conn *c = calloc(1, sizeof(*c));
	int rc, one = 1;

	if (c == NULL || (c->laters = laters_hold(loop)) == NULL) {
		why_set(why, "connection: out of memory");
		goto fail;
	}
	if ((rc = uv_poll_init(loop, &c->poll, fd)) != 0) {
		why_set(why, "connection: %s", uv_strerror(rc));
		laters_drop(c->laters);
		goto fail;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));	/* a unix socket has none */
	c->poll.data = c;
	c->later.fn = on_later;
	c->ops = ops;
	c->arg = arg;
	c->fd = fd;
	c->read_size = CONN_READ;
	conn_watch(c);
	return c;
fail:
	free(c);
	close(fd);
	return NULL;
}

void
conn_set_read(struct conn *c, size_t n)
{
	assert(n > 0 && n <= SCRATCH_SIZE + SCRATCH_MORE);
	c->read_size = (uint32_t)n;
}

void
conn_own(struct conn *c, const struct conn_ops *ops, void *arg)
{
	c->ops = ops;
	c->arg = arg;
	c->ready = c->idle = false;
}

void
conn_keepalive(struct conn *c, unsigned idle_s)
{
	int on = 1, idle = (int)idle_s, pause = 30, tries = 3;

	/* Where one is not to be had the peer is asked later, or not: idle limits still hold. */
	setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(c->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(c->fd, IPPROTO_TCP, TCP_KEEPINTVL, &pause, sizeof(pause));
	setsockopt(c->fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof(tries));
}

/* --- out ------------------------------------------------------------------ */

static ssize_t
sent_some(ssize_t sent)
{
	return sent == -1 && (errno == EAGAIN || errno == ENOBUFS) ? 0 : sent;
}

static ssize_t
send_some(struct conn *c, const char *p, size_t n)
{
	ssize_t sent;

	do
		sent = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent == -1 && errno == EINTR);
	return sent_some(sent);
}

static ssize_t
send_spans(struct conn *c, const struct span *s, unsigned n)
{
	struct iovec iov[CONN_SPANS];
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n };
	ssize_t sent;

	for (unsigned i = 0; i < n; i++)
		iov[i] = (struct iovec){ (void *)(uintptr_t)s[i].p, s[i].n };
	do
		sent = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent == -1 && errno == EINTR);
	return sent_some(sent);
}

/* What the kernel did not take. */
static bool
enqueue(struct conn *c, const char *p, size_t n)
{
	if (n > CONN_QUEUE_MAX - c->queue.n || !pieces_add(&c->queue, span_of(p, n))) {
		conn_fail_text(c, "the peer does not read what it is sent");
		return false;
	}
	return true;
}

/* To the kernel, the rest to the queue. */
bool
conn_put(struct conn *c, const char *p, size_t n)
{
	ssize_t sent = 0;

	if (c->over || c->broken)
		return false;
	if (c->queue.n == 0 && (sent = send_some(c, p, n)) == -1) {
		broke(c, "cannot send");
		return false;
	}
	if (!enqueue(c, p + sent, n - (size_t)sent))
		return false;
	conn_watch(c);
	return true;
}

static void
writable(struct conn *c)
{
	while (c->queue.n > 0) {
		struct span s = pieces_front(&c->queue);
		ssize_t sent = send_some(c, s.p, s.n);

		if (sent == -1) {
			broke(c, "cannot send");
			return;
		}
		pieces_drop(&c->queue, (size_t)sent);
		if ((size_t)sent < s.n)
			return;
	}
	if (c->closing)
		over(c);
	else {
		if (c->shut)
			shutdown(c->fd, SHUT_WR);
		if (c->ops->drained != NULL)
			c->ops->drained(c->arg);
	}
}

bool
conn_write(struct conn *c, const void *data, size_t n)
{
	const char *p = data;

	if (c->over || c->broken || c->closing || c->shut)
		return false;
	if (c->shaking) {	/* it would go out in the clear, or not at all */
		conn_fail_text(c, "written to during the TLS handshake");
		return false;
	}
	return c->ssl != NULL ? conn_tls_write(c, p, n) : n == 0 || conn_put(c, p, n);
}

bool
conn_writev(struct conn *c, const struct span *s, unsigned n)
{
	size_t skip = 0;

	assert(n <= CONN_SPANS);
	if (n > 1 && c->ssl == NULL && c->queue.n == 0 && !c->over && !c->broken && !c->closing &&
	    !c->shut) {
		ssize_t sent = send_spans(c, s, n);

		if (sent == -1) {
			broke(c, "cannot send");
			return false;
		}
		skip = (size_t)sent;
	}
	for (unsigned i = 0; i < n; i++) {
		size_t done = skip < s[i].n ? skip : s[i].n;

		skip -= done;
		if (!conn_write(c, s[i].p + done, s[i].n - done))
			return false;
	}
	return true;
}

size_t
conn_queued(const struct conn *c)
{
	return c->queue.n;
}

/* --- in ------------------------------------------------------------------- */

void
conn_hold_drop(struct hold *h)
{
	free(h->p);
	*h = (struct hold){ 0 };
}

/* Keeps a copy of what was not used. */
void
conn_hold(struct conn *c, struct hold *h, const char *p, size_t n)
{
	if (n == 0)
		return;
	if ((h->p = malloc(n)) == NULL) {
		conn_fail_text(c, "out of memory");
		return;
	}
	memcpy(h->p, p, n);
	h->off = 0;
	h->n = (uint32_t)n;
}

/* Puts a block that was taken out back, less what was used of it. */
static void
hold_return(struct conn *c, struct hold *to, struct hold h, size_t used)
{
	h.off += (uint32_t)used;
	if (h.off == h.n || c->over || c->discard)
		free(h.p);
	else
		*to = h;
}

/* To the owner; how much it used. */
size_t
conn_give(struct conn *c, const char *p, size_t n)
{
	size_t used;

	c->resumed = c->discard = false;
	used = c->ops->read(c->arg, span_of(p, n));
	assert(used <= n);
	if (used < n && !c->resumed && !c->discard)
		c->paused = true;
	return c->over || c->closing || c->discard ? n : used;
}

void
conn_peer_eof(struct conn *c, bool clean)
{
	if (c->eof)
		return;
	c->eof = true;
	if (c->shaking)
		conn_fail_text(c, "the peer closed the connection during the TLS handshake");
	else if (!clean)
		conn_fail_text(c, "the peer closed the connection without ending TLS");
	else if (c->ops->eof == NULL)
		conn_fail_text(c, "the peer closed the connection");
	else
		c->ops->eof(c->arg);
}

static size_t
take(struct conn *c, const char *p, size_t n)
{
	return c->ssl != NULL ? conn_tls_take(c, p, n) : conn_give(c, p, n);
}

/* What a read means that brought nothing. */
static void
read_nothing(struct conn *c, ssize_t n)
{
	if (c->broken)
		over(c);
	else if (n == 0)
		conn_peer_eof(c, c->ssl == NULL);
	else if (errno != EAGAIN)
		broke(c, "connection lost");
}

/* One with TLS that takes from the socket by itself. */
static void
read_direct(struct conn *c)
{
	ssize_t n = conn_tls_read(c, TURNS);

	/* One that pauses is told when it goes on. */
	if (n <= 0 && !c->over && !c->closing && !c->paused)
		read_nothing(c, n);
}

static void
readable(struct conn *c)
{
	unsigned turn;

	for (turn = 0; turn < TURNS; turn++) {
		char *in = scratch(SCRATCH_IN);
		ssize_t n;
		size_t used;

		if (c->over || c->closing || c->paused || c->eof)
			return;
		if (c->plain.p != NULL || c->raw.p != NULL) {	/* comes first */
			later_add(c->laters, &c->later);
			return;
		}
		if (c->direct) {
			read_direct(c);
			return;
		}
		if (in == NULL) {
			conn_fail_text(c, "out of memory");
			return;
		}
		do
			n = recv(c->fd, in, c->read_size, MSG_DONTWAIT);
		while (n == -1 && errno == EINTR);
		if (n <= 0) {
			read_nothing(c, n);
			return;
		}
		used = take(c, in, (size_t)n);
		if (!c->over && !c->closing)
			conn_hold(c, &c->raw, in + used, (size_t)n - used);
		if ((size_t)n < c->read_size)
			break;
	}
	if (!c->paused && c->raw.p != NULL)
		later_add(c->laters, &c->later);
}

/*
 * An event that finds the owner with something to take is the last until it has taken
 * all, or the loop would not sleep; one that always finds more needs no events at all.
 */
static void
tell_ready(struct conn *c)
{
	if (c->over || c->closing)
		return;
	if (c->ready) {
		c->idle = true;
		return;
	}
	c->ready = true;
	c->ops->ready(c->arg);
}

static size_t
take_held(struct conn *c, char *to, size_t max)
{
	size_t n = c->raw.n - c->raw.off;

	if (n > max)
		n = max;
	if (n > 0)
		memcpy(to, c->raw.p + c->raw.off, n);
	if ((c->raw.off += (uint32_t)n) == c->raw.n)
		conn_hold_drop(&c->raw);
	return n;
}

size_t
conn_take(struct conn *c, char *to, size_t max, bool *ended)
{
	size_t held;
	ssize_t n;

	assert(c->ssl == NULL && c->ops->ready != NULL);
	*ended = false;
	if (!c->ready || c->over || c->closing)
		return 0;
	if ((held = take_held(c, to, max)) == max)
		return max;
	do
		n = recv(c->fd, to + held, max - held, MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	if (n == (ssize_t)(max - held))
		return max;
	c->ready = c->idle = false;
	if (n == 0 && !c->broken)
		c->eof = *ended = true;
	else if (n <= 0 && c->broken)
		over(c);
	else if (c->broken)
		later_add(c->laters, &c->later);
	else if (n == -1 && errno != EAGAIN)
		broke(c, "connection lost");
	conn_watch(c);
	return held + (n > 0 ? (size_t)n : 0);
}

static void
pump_raw(struct conn *c)
{
	struct hold h = c->raw;
	size_t used;

	c->raw = (struct hold){ 0 };
	c->discard = false;
	used = take(c, h.p != NULL ? h.p + h.off : "", h.n - h.off);
	hold_return(c, &c->raw, h, used);
}

/* Gives what was held back, then lets new octets come. */
static void
pump(struct conn *c)
{
	struct hold h;
	size_t used;

	if (c->plain.p != NULL) {
		h = c->plain;
		c->plain = (struct hold){ 0 };
		used = conn_give(c, h.p + h.off, h.n - h.off);
		hold_return(c, &c->plain, h, used);
	}
	if (!c->over && !c->closing && !c->paused && c->plain.p == NULL) {
		if (c->direct)
			read_direct(c);
		else if (c->raw.p != NULL || c->ssl != NULL)
			pump_raw(c);
	}
	if (c->resumed && !c->paused && (c->plain.p != NULL || c->raw.p != NULL))
		later_add(c->laters, &c->later);
}

/*
 * libuv waits for nothing on a socket that broke; it has no need to, as such a one
 * answers each read at once, with octets or with its end.
 */
static void
hear_out(struct conn *c)
{
	readable(c);
	if (c->eof && !c->over)
		over(c);
	if (!c->over && !c->paused)
		later_add(c->laters, &c->later);
}

void
conn_hear_out(struct conn *c, bool on)
{
	c->hear_out = on;
}

void
conn_resume(struct conn *c)
{
	c->paused = false;
	c->resumed = true;
	if (c->over || c->closing)
		return;
	if (c->plain.p != NULL || c->raw.p != NULL || c->ssl != NULL || c->broken)
		later_add(c->laters, &c->later);
	conn_watch(c);
}

/* --- the loop --------------------------------------------------------------- */

static void
on_poll(uv_poll_t *poll, int status, int events)
{
	struct conn *c = poll->data;

	if (status < 0) {
		int e = 0;
		socklen_t n = sizeof(e);

		/* libuv stopped the handle for an error on the socket. */
		c->events = 0;
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &n);
		errno = e != 0 ? e : ECONNRESET;
		broke(c, "connection lost");
		return;
	}
	if ((events & UV_WRITABLE) && c->queue.n > 0)
		writable(c);
	if (events & UV_READABLE) {
		if (c->ops->ready != NULL)
			tell_ready(c);
		else
			readable(c);
	}
	conn_watch(c);
}

static void
on_poll_closed(uv_handle_t *h)
{
	free(h->data);
}

static void
on_later(struct later *l)
{
	struct conn *c = (struct conn *)((char *)l - offsetof(struct conn, later));
	char rest[4096];
	struct why *why = c->why;

	if (!c->over) {
		if (c->ops->ready != NULL) {
			if (c->raw.p != NULL || c->broken)
				tell_ready(c);
			conn_watch(c);
			return;
		}
		if (!c->closing && !c->paused)
			pump(c);
		if (c->broken && !c->over && !c->closing && !c->paused)
			hear_out(c);
		conn_watch(c);
		return;
	}
	c->closing = true;
	c->ops->closed(c->arg, why);
	free(why);
	SSL_free(c->ssl);
	conn_hold_drop(&c->raw);
	conn_hold_drop(&c->plain);
	pieces_fini(&c->queue);
	/* Octets left unread make the close a reset, which may overtake our last words. */
	for (int i = 0; i < 16 && recv(c->fd, rest, sizeof(rest), MSG_DONTWAIT) > 0; i++)
		;
	close(c->fd);
	later_cancel(&c->later);
	laters_drop(c->laters);
	uv_close((uv_handle_t *)&c->poll, on_poll_closed);
}

/* --- ending ----------------------------------------------------------------- */

/* By its owner, who knows why. */
static void
forget_why(struct conn *c)
{
	free(c->why);
	c->why = NULL;
}

void
conn_close(struct conn *c)
{
	unsigned ms = CONN_LINGER_MS;

	if (c->over || c->closing)
		return;
	conn_tls_end(c);
	if (c->over)		/* the last words could not be said */
		return;
	forget_why(c);
	c->closing = true;
	if (c->queue.n == 0)
		over(c);
	else
		setsockopt(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	conn_watch(c);
}

void
conn_abort(struct conn *c)
{
	struct linger reset = { 1, 0 };

	if (!c->over) {
		forget_why(c);
		over(c);
	}
	c->closing = true;
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
}

void
conn_shutdown(struct conn *c)
{
	if (c->over || c->closing || c->shut)
		return;
	conn_tls_end(c);
	c->shut = true;
	if (c->queue.n == 0)
		shutdown(c->fd, SHUT_WR);
}

bool
conn_peer(const struct conn *c, struct netaddr *a)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);

	return getpeername(c->fd, (struct sockaddr *)&ss, &n) == 0 &&
	    netaddr_from_sockaddr((struct sockaddr *)&ss, a);
}

bool
conn_local(const struct conn *c, struct netaddr *a)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);

	return getsockname(c->fd, (struct sockaddr *)&ss, &n) == 0 &&
	    netaddr_from_sockaddr((struct sockaddr *)&ss, a);
}
