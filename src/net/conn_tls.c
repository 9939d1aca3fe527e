#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "net/conn_priv.h"
#include "net/tls.h"

/* Records on their way out gather in SCRATCH_OUT, of one conn at a time. */
static _Thread_local size_t gathered;
/* SSL asked for more than it was fed: whatever it returned then, that is all it wants. */
static _Thread_local bool starved;
/* Of the call of conn_tls_read under way: SSL takes octets from the socket by itself. */
static _Thread_local struct wire {
	unsigned	 reads;		/* that may still be made */
	bool		 dry;		/* the last one brought all there was */
	ssize_t		 n;		/* what it returned */
	int		 error;		/* its errno */
} wire;

#define TLS_ALIGN	8u	/* what OpenSSL leaves free at the front of its buffer, at most */

static bool
flush_gathered(struct conn *c)
{
	size_t n = gathered;

	gathered = 0;
	return n == 0 || conn_put(c, scratch(SCRATCH_OUT), n);
}

/* --- the BIO: from memory or the socket, to memory --------------------------- */

static size_t
bio_fed(struct conn *c, char *out, size_t max)
{
	size_t n = c->feed.n < max ? c->feed.n : max;

	if (n > 0)
		memcpy(out, c->feed.p, n);
	c->feed = span_from(c->feed, n);
	return n;
}

/* Into the buffer where it is deciphered: a copy less of each octet. */
static size_t
bio_from_wire(struct conn *c, char *out, size_t max)
{
	size_t room = max < c->read_size ? max : c->read_size;

	if (wire.reads == 0 || wire.dry)
		return 0;
	wire.reads--;
	do
		wire.n = recv(c->fd, out, room, MSG_DONTWAIT);
	while (wire.n == -1 && errno == EINTR);
	wire.error = errno;
	wire.dry = wire.n < (ssize_t)room;
	return wire.n > 0 ? (size_t)wire.n : 0;
}

static int
bio_read(BIO *b, char *out, size_t max, size_t *n)
{
	struct conn *c = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	*n = c->direct ? bio_from_wire(c, out, max) : bio_fed(c, out, max);
	if (*n == 0) {
		starved = true;
		BIO_set_retry_read(b);
		return 0;
	}
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

/*
 * An SSL call did not succeed, and what it had to say is out: unless it only wants more input,
 * it was the last.  SSL_get_error would say so by OpenSSL's queue of errors, which must be empty
 * then: to empty it costs as much as a fifth of a short record does, and SSL itself knows.
 */
static void
tls_stopped(struct conn *c, int rc)
{
	struct why why;
	bool ended;

	if (starved)
		return;
	if (c->shaking)
		ended = SSL_get_error(c->ssl, rc) == SSL_ERROR_ZERO_RETURN;
	else	/* after a fatal alert or error it is in a handshake that will not go on */
		ended = (SSL_get_shutdown(c->ssl) & SSL_RECEIVED_SHUTDOWN) != 0 &&
		    !SSL_in_init(c->ssl);
	if (ended) {
		conn_peer_eof(c, true);
		return;
	}
	tls_why(&why, c->shaking ? "TLS handshake" : "TLS");
	conn_fail(c, &why);
}

/* All that came is deciphered.  What stopped short of it is asked for again. */
static bool
tls_drained(const struct conn *c)
{
	if (c->direct)
		return SSL_has_pending(c->ssl) == 0;
	return c->feed.n == 0 && SSL_pending(c->ssl) == 0;
}

/* To ask SSL again would find out no more than that. */
static bool
tls_nothing_left(const struct conn *c)
{
	return tls_drained(c) && (!c->direct || wire.dry || wire.reads == 0);
}

/* Deciphers as much as is there and there is room for, so that the owner sees large pieces. */
static bool
tls_read(struct conn *c)
{
	char *plain = scratch(SCRATCH_PLAIN);
	size_t n = 0, got, used;
	bool more;
	int rc = 1;

	if (plain == NULL) {
		conn_fail_text(c, "out of memory");
		return false;
	}
	starved = false;
	while (SCRATCH_SIZE - n >= SSL3_RT_MAX_PLAIN_LENGTH) {
		if ((rc = SSL_read_ex(c->ssl, plain + n, SCRATCH_SIZE - n, &got)) != 1)
			break;
		n += got;
		if (tls_drained(c))
			break;
	}
	if (!flush_gathered(c))		/* an answer to a key update, or an alert */
		return false;
	if (n > 0) {
		/* What stopped us may be its end, or an error, and is asked for again. */
		more = !starved && (rc != 1 || !tls_nothing_left(c));
		used = conn_give(c, plain, n);
		if (c->over || c->closing)
			return false;
		if (used < n)
			conn_hold(c, &c->plain, plain + used, n - used);
		/* Once resumed ask SSL again: it may hold more, that no event tells of. */
		if (c->paused || c->over || c->plain.p != NULL)
			return false;
		return more;
	}
	tls_stopped(c, rc);
	return false;
}

/* False: it goes on when more has come, or not at all. */
static bool
shook_hands(struct conn *c)
{
	int rc;

	starved = false;
	ERR_clear_error();
	rc = SSL_do_handshake(c->ssl);
	/* However it ended: what stays would go out in front of another connection's octets. */
	if (!flush_gathered(c))
		return false;
	if (rc != 1) {
		tls_stopped(c, rc);
		return false;
	}
	c->shaking = false;
	c->ops->secured(c->arg);
	return true;
}

static void
tls_go_on(struct conn *c)
{
	if (c->shaking && !shook_hands(c))
		return;
	while (!c->over && !c->closing && !c->paused && tls_read(c))
		;
}

/* Feeds octets from the wire; how many of them went in. */
size_t
conn_tls_take(struct conn *c, const char *p, size_t n)
{
	c->feed = span_of(p, n);
	tls_go_on(c);
	n -= c->feed.n;
	c->feed = (struct span){ NULL, 0 };
	return n;
}

ssize_t
conn_tls_read(struct conn *c, unsigned reads)
{
	wire = (struct wire){ .reads = reads, .n = 1 };
	tls_go_on(c);
	errno = wire.error;
	return wire.n;
}

int
conn_tls(struct conn *c, SSL_CTX *ctx, bool server, struct why *why)
{
	BIO *b;

	assert(c->ssl == NULL);
	pthread_once(&method_once, make_method);
	conn_hold_drop(&c->raw);
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
	if ((c->direct = c->read_size > CONN_READ)) {
		SSL_set_read_ahead(c->ssl, 1);
		SSL_set_default_read_buffer_len(c->ssl, c->read_size + TLS_ALIGN);
	}
	if (server)
		SSL_set_accept_state(c->ssl);
	else
		SSL_set_connect_state(c->ssl);
	c->shaking = true;
	c->paused = false;
	later_add(c->laters, &c->later);	/* a client speaks first */
	conn_watch(c);
	return 0;
}

SSL *
conn_ssl(struct conn *c)
{
	return c->ssl;
}

bool
conn_tls_write(struct conn *c, const char *p, size_t n)
{
	while (n > 0) {
		size_t done;

		if (SSL_write_ex(c->ssl, p, n, &done) != 1) {
			struct why why;

			gathered = 0;
			tls_why(&why, "TLS");
			conn_fail(c, &why);
			return false;
		}
		p += done;
		n -= done;
	}
	return flush_gathered(c);
}

void
conn_tls_end(struct conn *c)
{
	if (c->ssl == NULL || c->shaking || c->shut)
		return;
	ERR_clear_error();
	(void)SSL_shutdown(c->ssl);
	ERR_clear_error();
	(void)flush_gathered(c);
}
