#include "net/conn.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/later.h"
#include "net/tls.h"

#define TURNS 4			/* reads in one turn of the loop, so that one busy peer does not starve others */

/* Octets that the owner has not taken yet, in a block of their own: [off, n). */
struct hold {
	char		*p;
	uint32_t	 off, n;
};

struct conn {
	uv_poll_t	 poll;
	struct laters	*laters;
	struct later	 later;
	const struct conn_ops *ops;
	void		*arg;
	SSL		*ssl;
	struct span	 feed;		/* what the BIO reads from, during a call */
	struct hold	 raw;		/* as it came */
	struct hold	 plain;		/* deciphered; comes before what raw holds */
	char		*queue;		/* [queue_off, queue_n) waits for the kernel */
	uint32_t	 queue_off, queue_n, queue_cap;
	uint32_t	 read_size;
	struct why	*why;
	int		 fd;
	int		 events;	/* what poll waits for */
	bool		 paused;
	bool		 resumed;	/* conn_resume was called since the last read callback began */
	bool		 discard;	/* conn_tls was called since then: what is left of it must go */
	bool		 shaking;	/* in the handshake */
	bool		 eof;		/* nothing more will come */
	bool		 shut;		/* nothing more will be written */
	bool		 closing;	/* conn_close or conn_abort: no callback but closed */
	bool		 over;		/* closed is due */
};

/* Records on their way out gather in SCRATCH_OUT, of one conn at a time. */
static _Thread_local size_t gathered;

static void on_poll(uv_poll_t *, int, int);
static void on_later(struct later *);

/* Tells libuv only what must change: each change costs two system calls.  A pause shows when an event comes. */
static void
watch(struct conn *c)
{
	int events = 0;

	if (c->over)
		return;
	if (!c->paused && !c->eof && !c->closing)
		events |= UV_READABLE;
	if (c->queue_n > c->queue_off)
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
static void
fail(struct conn *c, const struct why *why)
{
	if (c->over)
		return;
	if (!c->closing && (c->why = malloc(sizeof(*c->why))) != NULL)
		*c->why = *why;
	over(c);
}

static void
fail_text(struct conn *c, const char *text)
{
	struct why why;

	why_set(&why, "%s", text);
	fail(c, &why);
}

static void
fail_sys(struct conn *c, const char *text)
{
	struct why why;

	why_sys(&why, "%s", text);
	fail(c, &why);
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
	watch(c);
	return c;
fail:
	free(c);
	close(fd);
	return NULL;
}

void
conn_set_read(struct conn *c, size_t n)
{
	assert(n > 0 && n <= SCRATCH_SIZE);
	c->read_size = (uint32_t)n;
}

/* --- out ------------------------------------------------------------------ */

static bool
enqueue(struct conn *c, const char *p, size_t n)
{
	size_t used = c->queue_n - c->queue_off;

	if (n > CONN_QUEUE_MAX - used)
		return false;
	if (c->queue_off > 0 && n > c->queue_cap - c->queue_n) {
		memmove(c->queue, c->queue + c->queue_off, used);
		c->queue_off = 0;
		c->queue_n = (uint32_t)used;
	}
	if (n > c->queue_cap - c->queue_n) {
		size_t cap = c->queue_cap < 512 ? 512 : c->queue_cap;
		char *q;

		while (cap < used + n)
			cap *= 2;
		if ((q = realloc(c->queue, cap)) == NULL)
			return false;
		c->queue = q;
		c->queue_cap = (uint32_t)cap;
	}
	memcpy(c->queue + c->queue_n, p, n);
	c->queue_n += (uint32_t)n;
	return true;
}

static ssize_t
send_some(struct conn *c, const char *p, size_t n)
{
	ssize_t sent;

	do
		sent = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent == -1 && errno == EINTR);
	if (sent == -1 && (errno == EAGAIN || errno == ENOBUFS))
		return 0;
	return sent;
}

/* To the kernel, the rest to the queue. */
static bool
put_out(struct conn *c, const char *p, size_t n)
{
	ssize_t sent = 0;

	if (c->over)
		return false;
	if (c->queue_n == c->queue_off && (sent = send_some(c, p, n)) == -1) {
		fail_sys(c, "cannot send");
		return false;
	}
	if ((size_t)sent < n && !enqueue(c, p + sent, n - (size_t)sent)) {
		fail_text(c, "the peer does not read what it is sent");
		return false;
	}
	watch(c);
	return true;
}

static bool
flush_gathered(struct conn *c)
{
	size_t n = gathered;

	gathered = 0;
	return n == 0 || put_out(c, scratch(SCRATCH_OUT), n);
}

static void
free_queue(struct conn *c)
{
	free(c->queue);
	c->queue = NULL;
	c->queue_off = c->queue_n = c->queue_cap = 0;
}

static void
writable(struct conn *c)
{
	ssize_t sent = send_some(c, c->queue + c->queue_off, c->queue_n - c->queue_off);

	if (sent == -1) {
		fail_sys(c, "cannot send");
		return;
	}
	c->queue_off += (uint32_t)sent;
	if (c->queue_off < c->queue_n)
		return;
	free_queue(c);
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

	assert(!c->shaking);
	if (c->over || c->closing || c->shut)
		return false;
	if (c->ssl == NULL)
		return n == 0 || put_out(c, p, n);
	while (n > 0) {
		size_t done;

		ERR_clear_error();
		if (SSL_write_ex(c->ssl, p, n, &done) != 1) {
			struct why why;

			gathered = 0;
			tls_why(&why, "TLS");
			fail(c, &why);
			return false;
		}
		p += done;
		n -= done;
	}
	return flush_gathered(c);
}

size_t
conn_queued(const struct conn *c)
{
	return c->queue_n - c->queue_off;
}

/* --- the BIO: from memory, to memory ---------------------------------------- */

static int
bio_read(BIO *b, char *out, size_t max, size_t *n)
{
	struct conn *c = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	*n = c->feed.n < max ? c->feed.n : max;
	if (*n == 0) {
		BIO_set_retry_read(b);
		return 0;
	}
	memcpy(out, c->feed.p, *n);
	c->feed = span_from(c->feed, *n);
	return 1;
}

static int
bio_write(BIO *b, const char *p, size_t n, size_t *done)
{
	struct conn *c = BIO_get_data(b);
	char *out = scratch(SCRATCH_OUT);

	BIO_clear_retry_flags(b);
	*done = n;
	if (n > SCRATCH_SIZE + SCRATCH_MORE - gathered && !flush_gathered(c))
		return 0;
	if (out == NULL || n > SCRATCH_SIZE)
		return 0;
	memcpy(out + gathered, p, n);
	gathered += n;
	return 1;
}

static long
bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_PUSH || cmd == BIO_CTRL_POP;
}

static BIO_METHOD *method;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static void
make_method(void)
{
	if ((method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "conn")) == NULL)
		return;
	BIO_meth_set_read_ex(method, bio_read);
	BIO_meth_set_write_ex(method, bio_write);
	BIO_meth_set_ctrl(method, bio_ctrl);
}

/* --- in ------------------------------------------------------------------- */

static void
hold_drop(struct hold *h)
{
	free(h->p);
	*h = (struct hold){ 0 };
}

/* Keeps a copy of what was not used. */
static void
hold_copy(struct conn *c, struct hold *h, const char *p, size_t n)
{
	if (n == 0)
		return;
	if ((h->p = malloc(n)) == NULL) {
		fail_text(c, "out of memory");
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
static size_t
give(struct conn *c, const char *p, size_t n)
{
	size_t used;

	c->resumed = c->discard = false;
	used = c->ops->read(c->arg, span_of(p, n));
	assert(used <= n);
	if (used < n && !c->resumed && !c->discard)
		c->paused = true;
	return c->over || c->closing || c->discard ? n : used;
}

static void
peer_eof(struct conn *c, bool clean)
{
	if (c->eof)
		return;
	c->eof = true;
	if (c->shaking)
		fail_text(c, "the peer closed the connection during the TLS handshake");
	else if (!clean)
		fail_text(c, "the peer closed the connection without ending TLS");
	else if (c->ops->eof == NULL)
		fail_text(c, "the peer closed the connection");
	else
		c->ops->eof(c->arg);
}

/* What an SSL call that did not succeed means.  True: it only wants more input. */
static bool
tls_wants(struct conn *c, int rc)
{
	int e = SSL_get_error(c->ssl, rc);
	struct why why;

	if (e == SSL_ERROR_WANT_READ)
		return true;
	if (e == SSL_ERROR_ZERO_RETURN) {
		peer_eof(c, true);
		return false;
	}
	tls_why(&why, c->shaking ? "TLS handshake" : "TLS");
	(void)flush_gathered(c);	/* the alert that says why */
	fail(c, &why);
	return false;
}

/* Deciphers as much as is there and there is room for, so that the owner sees large pieces. */
static bool
tls_read(struct conn *c)
{
	char *plain = scratch(SCRATCH_PLAIN);
	size_t n = 0, got, used;
	int rc = 1;

	if (plain == NULL) {
		fail_text(c, "out of memory");
		return false;
	}
	while (SCRATCH_SIZE - n >= SSL3_RT_MAX_PLAIN_LENGTH) {
		ERR_clear_error();
		if ((rc = SSL_read_ex(c->ssl, plain + n, SCRATCH_SIZE - n, &got)) != 1)
			break;
		n += got;
	}
	if (!flush_gathered(c))		/* an answer to a key update */
		return false;
	if (n > 0) {
		used = give(c, plain, n);
		if (c->over || c->closing)
			return false;
		if (used < n)
			hold_copy(c, &c->plain, plain + used, n - used);
		/* Ask SSL again after the owner resumed: it may hold more, or an end, that no event will tell of. */
		if (c->paused || c->over || c->plain.p != NULL)
			return false;
		return true;
	}
	(void)tls_wants(c, rc);
	return false;
}

/* Feeds octets from the wire; how many of them went in. */
static size_t
take_tls(struct conn *c, const char *p, size_t n)
{
	c->feed = span_of(p, n);
	if (c->shaking) {
		int rc;

		ERR_clear_error();
		if ((rc = SSL_do_handshake(c->ssl)) != 1) {
			if (tls_wants(c, rc))
				(void)flush_gathered(c);
			goto out;
		}
		c->shaking = false;
		if (!flush_gathered(c))
			goto out;
		c->ops->secured(c->arg);
	}
	while (!c->over && !c->closing && !c->paused && tls_read(c))
		;
out:
	n -= c->feed.n;
	c->feed = (struct span){ NULL, 0 };
	return n;
}

static size_t
take(struct conn *c, const char *p, size_t n)
{
	return c->ssl != NULL ? take_tls(c, p, n) : give(c, p, n);
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
		if (in == NULL) {
			fail_text(c, "out of memory");
			return;
		}
		do
			n = recv(c->fd, in, c->read_size, MSG_DONTWAIT);
		while (n == -1 && errno == EINTR);
		if (n == -1) {
			if (errno != EAGAIN)
				fail_sys(c, "connection lost");
			return;
		}
		if (n == 0) {
			peer_eof(c, c->ssl == NULL);
			return;
		}
		used = take(c, in, (size_t)n);
		if (!c->over && !c->closing)
			hold_copy(c, &c->raw, in + used, (size_t)n - used);
		if ((size_t)n < c->read_size)
			break;
	}
	if (!c->paused && c->raw.p != NULL)
		later_add(c->laters, &c->later);
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
		used = give(c, h.p + h.off, h.n - h.off);
		hold_return(c, &c->plain, h, used);
	}
	if (!c->over && !c->closing && !c->paused && c->plain.p == NULL && (c->raw.p != NULL || c->ssl != NULL)) {
		h = c->raw;
		c->raw = (struct hold){ 0 };
		c->discard = false;
		used = take(c, h.p != NULL ? h.p + h.off : "", h.n - h.off);
		hold_return(c, &c->raw, h, used);
	}
	if (c->resumed && !c->paused && (c->plain.p != NULL || c->raw.p != NULL))
		later_add(c->laters, &c->later);
}

void
conn_pause(struct conn *c)
{
	c->paused = true;
}

void
conn_resume(struct conn *c)
{
	c->paused = false;
	c->resumed = true;
	if (c->over || c->closing)
		return;
	if (c->plain.p != NULL || c->raw.p != NULL || c->ssl != NULL)
		later_add(c->laters, &c->later);
	watch(c);
}

int
conn_tls(struct conn *c, SSL_CTX *ctx, bool server, struct why *why)
{
	BIO *b;

	assert(c->ssl == NULL);
	pthread_once(&method_once, make_method);
	hold_drop(&c->raw);
	c->discard = true;
	ERR_clear_error();
	if (method == NULL || (c->ssl = SSL_new(ctx)) == NULL || (b = BIO_new(method)) == NULL) {
		SSL_free(c->ssl);
		c->ssl = NULL;
		return tls_why(why, "TLS");
	}
	BIO_set_data(b, c);
	BIO_set_init(b, 1);
	SSL_set_bio(c->ssl, b, b);
	if (server)
		SSL_set_accept_state(c->ssl);
	else
		SSL_set_connect_state(c->ssl);
	c->shaking = true;
	c->paused = false;
	later_add(c->laters, &c->later);	/* a client speaks first */
	watch(c);
	return 0;
}

SSL *
conn_ssl(struct conn *c)
{
	return c->ssl;
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
		fail_sys(c, "connection lost");
		return;
	}
	if ((events & UV_WRITABLE) && c->queue_n > c->queue_off)
		writable(c);
	if ((events & UV_READABLE) && !c->over)
		readable(c);
	watch(c);
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
		if (!c->closing && !c->paused)
			pump(c);
		watch(c);
		return;
	}
	c->closing = true;
	c->ops->closed(c->arg, why);
	free(why);
	SSL_free(c->ssl);
	hold_drop(&c->raw);
	hold_drop(&c->plain);
	free_queue(c);
	/* Octets left unread would turn the close into a reset, which may overtake our last words. */
	for (int i = 0; i < 16 && recv(c->fd, rest, sizeof(rest), MSG_DONTWAIT) > 0; i++)
		;
	close(c->fd);
	later_cancel(&c->later);
	laters_drop(c->laters);
	uv_close((uv_handle_t *)&c->poll, on_poll_closed);
}

/* --- ending ----------------------------------------------------------------- */

static void
end_tls(struct conn *c)
{
	if (c->ssl == NULL || c->shaking || c->shut)
		return;
	ERR_clear_error();
	(void)SSL_shutdown(c->ssl);
	ERR_clear_error();
	(void)flush_gathered(c);
}

void
conn_close(struct conn *c)
{
	unsigned ms = CONN_LINGER_MS;

	if (c->over || c->closing)
		return;
	end_tls(c);
	if (c->over)		/* the last words could not be said */
		return;
	c->closing = true;
	if (c->queue_n == c->queue_off)
		over(c);
	else
		setsockopt(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	watch(c);
}

void
conn_abort(struct conn *c)
{
	struct linger reset = { 1, 0 };

	if (!c->over)
		over(c);
	c->closing = true;
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
}

void
conn_shutdown(struct conn *c)
{
	if (c->over || c->closing || c->shut)
		return;
	end_tls(c);
	c->shut = true;
	if (c->queue_n == c->queue_off)
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
