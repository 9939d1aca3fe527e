#include "net/h2.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/awake.h"
#include "net/h2_priv.h"
#include "net/tls.h"

#define FRAME_MAX	(FRAME_HEAD + 16384u)	/* nghttp2 makes no longer ones but of DATA */
/*
 * Octets of a full write of the other side: what is sealed, and the head, type and tag of
 * each record (RFC 8446 5.2).  Read so, the frames in it mostly come out whole.
 */
#define READ_SIZE	(SCRATCH_SIZE + SCRATCH_SIZE / SSL3_RT_MAX_PLAIN_LENGTH * (5 + 1 + 16))
_Static_assert(READ_SIZE <= SCRATCH_SIZE + SCRATCH_MORE, "no room for a write");
#define GATHERS		8		/* in one turn of the loop: reading must not starve */

/* Visitors' resets come as RST_STREAM; of itself nghttp2 ends the tunnel at about 1,000 of them. */
#define RESETS_BURST	1000000u
#define RESETS_RATE	100000u		/* a second */

static void on_later(struct later *);
static void on_timer(uv_timer_t *);
static const struct conn_ops conn_ops;

void
h2_kick(struct h2 *h)
{
	later_add(h->laters, &h->later);
}

void
h2_end(struct h2 *h, const char *why)
{
	if (h->over)
		return;
	h->over = true;
	if (why != NULL)
		why_set(&h->why, "HTTP/2: %s", why);
	h2_kick(h);
}

static uint64_t
now_ms(const struct h2 *h)
{
	return (uint64_t)awake_ms(h->loop);
}

struct h2 *
h2_new(uv_loop_t *loop, int fd, SSL_CTX *ctx, bool tls_server, bool h2_client,
    const struct h2_ops *ops, void *arg, struct why *why)
{
	struct h2 *h = calloc(1, sizeof(*h));

	if (h == NULL || (h->laters = laters_hold(loop)) == NULL) {
		why_set(why, "HTTP/2: out of memory");
		free(h);
		close(fd);
		return NULL;
	}
	h->loop = loop;
	h->later.fn = on_later;
	h->client = h2_client;
	h->ops = ops;
	h->arg = arg;
	h->ping_ms = H2_PING_MS;
	buf_init(&h->block, H2_HEAD_MAX + 2 * H2_HEADERS_MAX);
	if ((h->conn = conn_new(loop, fd, &conn_ops, h, why)) == NULL) {
		laters_drop(h->laters);
		free(h);
		return NULL;
	}
	conn_set_read(h->conn, READ_SIZE);
	uv_timer_init(loop, &h->timer);
	h->timer.data = h;
	h->heard_ms = now_ms(h);
	uv_timer_start(&h->timer, on_timer, H2_HANDSHAKE_MS, 0);
	if (conn_tls(h->conn, ctx, tls_server, why) == -1) {
		h->over = true;
		h->ops = NULL;		/* nobody is told of what never was */
		h->aborted = true;
		h2_kick(h);
		return NULL;
	}
	return h;
}

void
h2_set_owner(struct h2 *h, const struct h2_ops *ops, void *arg)
{
	h->ops = ops;
	h->arg = arg;
}

void
h2_on_secured(struct h2 *h, bool (*fn)(void *, struct h2 *, SSL *), void *arg)
{
	h->secured = fn;
	h->secured_arg = arg;
}

void
h2_set_client(struct h2 *h, bool h2_client)
{
	assert(h->session == NULL);
	h->client = h2_client;
}

void
h2_set_ping(struct h2 *h, unsigned ms)
{
	h->ping_ms = ms;
}

SSL *
h2_ssl(struct h2 *h)
{
	return conn_ssl(h->conn);
}

bool
h2_peer(const struct h2 *h, struct netaddr *a)
{
	return h->conn != NULL && conn_peer(h->conn, a);
}

bool
h2_late(const struct h2 *h)
{
	return h->late;
}

int64_t
h2_rtt_us(const struct h2 *h)
{
	return h->rtt_us;
}

/* --- the session ------------------------------------------------------------ */

static int
submit_settings(struct h2 *h)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW_FIRST },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEAD_MAX },
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h->client ? 0 : H2_STREAMS },
		{ NGHTTP2_SETTINGS_MAX_FRAME_SIZE, FRAME_SIZE },
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },		/* only a client may say it */
	};

	if (nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings,
	    h->client ? 5 : 4) != 0)
		return -1;
	return nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
	    H2_CONN_WINDOW);
}

static int
make_session(struct h2 *h)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *opt = NULL;
	int rc = -1;

	if (nghttp2_session_callbacks_new(&cb) != 0 || nghttp2_option_new(&opt) != 0)
		goto out;
	h2_callbacks(cb);
	nghttp2_option_set_no_auto_window_update(opt, 1);
	/* Else a server keeps H2_STREAMS closed ones for a priority tree that nobody uses. */
	nghttp2_option_set_no_closed_streams(opt, 1);
	nghttp2_option_set_stream_reset_rate_limit(opt, RESETS_BURST, RESETS_RATE);
	nghttp2_option_set_peer_max_concurrent_streams(opt, H2_STREAMS);
	if ((h->client ? nghttp2_session_client_new2(&h->session, cb, h, opt) :
	    nghttp2_session_server_new2(&h->session, cb, h, opt)) != 0)
		goto out;
	rc = submit_settings(h);
out:
	nghttp2_option_del(opt);
	nghttp2_session_callbacks_del(cb);
	return rc;
}

static void
on_secured(void *arg)
{
	struct h2 *h = arg;

	if (h->over)
		return;
	if (h->secured != NULL && !h->secured(h->secured_arg, h, conn_ssl(h->conn))) {
		h2_end(h, "refused after the TLS handshake");
		return;
	}
	if (make_session(h) != 0) {
		h2_end(h, "out of memory");
		return;
	}
	h->heard_ms = now_ms(h);
	uv_timer_start(&h->timer, on_timer, 0, 0);	/* a first PING times the round trip */
	h2_kick(h);
}

static size_t
on_read(void *arg, struct span in)
{
	struct h2 *h = arg;
	ssize_t n;

	if (h->over || h->session == NULL)
		return in.n;
	h->heard_ms = now_ms(h);
	h->doubted = false;
	n = nghttp2_session_mem_recv(h->session, (const uint8_t *)in.p, in.n);
	h2_streams_came(h);
	if (n < 0)
		h2_end(h, nghttp2_strerror((int)n));
	else if (h->leaving || nghttp2_session_want_write(h->session) != 0 ||
	    nghttp2_session_want_read(h->session) == 0)
		h2_kick(h);
	return in.n;
}

static void
on_drained(void *arg)
{
	h2_kick(arg);
}

/* Full: no DATA frame has room.  Until then every frame has, a longer one by SCRATCH_MORE. */
_Static_assert(FRAME_MAX <= FRAME_HEAD + FRAME_LEAST + SCRATCH_MORE, "no room for a frame");

void
h2_gathered(struct h2 *h, size_t n)
{
	h->out_n += n;
	h->out_full = h->out_n + FRAME_HEAD + FRAME_LEAST > SCRATCH_SIZE;
}

/*
 * Frames into one block, as many as fit: DATA by on_send_data, all others here.  0:
 * nothing to send; -1: the session is broken.
 */
static ssize_t
gather(struct h2 *h, char *out)
{
	const uint8_t *p;
	ssize_t len;

	h->out = out;
	h->out_n = 0;
	h->out_full = false;
	while (!h->out_full && (len = nghttp2_session_mem_send(h->session, &p)) != 0) {
		if (len < 0) {
			h2_end(h, nghttp2_strerror((int)len));
			return -1;
		}
		assert(len <= (ssize_t)FRAME_MAX);
		memcpy(out + h->out_n, p, (size_t)len);
		h2_gathered(h, (size_t)len);
	}
	return (ssize_t)h->out_n;
}

/* Sends while the kernel takes it: what waits in the session can still be reordered and reset. */
static void
flush(struct h2 *h)
{
	char *out = scratch(SCRATCH_FRAMES);
	unsigned i;

	if (out == NULL) {
		h2_end(h, "out of memory");
		return;
	}
	for (i = 0; !h->over && conn_queued(h->conn) == 0; i++) {
		ssize_t n;

		if (i == GATHERS) {
			h2_kick(h);
			return;
		}
		if ((n = gather(h, out)) <= 0)
			break;
		if (!conn_write(h->conn, out, (size_t)n))
			return;		/* the conn's closed says why */
		if (!h->out_full)	/* that was all */
			break;
	}
	if (h->over || conn_queued(h->conn) > 0)
		return;
	if (nghttp2_session_want_write(h->session) == 0 &&
	    (nghttp2_session_want_read(h->session) == 0 || (h->leaving && h->nstreams == 0)))
		h2_end(h, NULL);
}

/* --- time ------------------------------------------------------------------- */

static void
ping(struct h2 *h, uint64_t now)
{
	if (nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL) != 0) {
		h2_end(h, "out of memory");
		return;
	}
	h->ping_ms_at = now;
	h->ping_ns = uv_hrtime();
	uv_timer_start(&h->timer, on_timer, h->ping_ms, 0);
	h2_kick(h);
}

static void
on_timer(uv_timer_t *timer)
{
	struct h2 *h = timer->data;
	uint64_t now = now_ms(h), quiet;

	if (h->over)
		return;
	if (awake_late(h->loop)) {
		uv_timer_start(timer, on_timer, 1, 0);	/* read first */
		return;
	}
	if (h->session == NULL && now - h->heard_ms < H2_HANDSHAKE_MS) {
		uv_timer_start(timer, on_timer, H2_HANDSHAKE_MS - (now - h->heard_ms), 0);
		return;
	}
	if (h->session == NULL) {
		h->aborted = true;
		h->late = true;
		h2_end(h, "no TLS handshake in time");
		return;
	}
	quiet = now - h->heard_ms;
	if (h->ping_ms_at == 0)
		ping(h, now);
	else if (quiet < h->ping_ms)
		uv_timer_start(timer, on_timer, h->ping_ms - quiet, 0);
	else if (h->ping_ms_at <= h->heard_ms)
		ping(h, now);
	else if (now - h->ping_ms_at < h->ping_ms)
		uv_timer_start(timer, on_timer, h->ping_ms - (now - h->ping_ms_at), 0);
	else {
		h->aborted = true;
		h2_end(h, "the peer does not answer: the line or the other machine is down");
	}
}

void
h2_doubt(struct h2 *h, int64_t waited_ms)
{
	uint64_t now = now_ms(h);

	if (h->over || h->session == NULL || now - h->heard_ms < (uint64_t)waited_ms)
		return;
	h->doubted = true;
	if (h->ping_ms_at <= h->heard_ms)
		ping(h, now);
}

bool
h2_doubted(const struct h2 *h)
{
	return h->doubted;
}

/* --- the end ------------------------------------------------------------------ */

static void
on_timer_closed(uv_handle_t *t)
{
	free(t->data);
}

/* What is left when the conn is gone too. */
static void
bury(struct h2 *h)
{
	later_cancel(&h->later);
	laters_drop(h->laters);
	buf_fini(&h->block);
	uv_close((uv_handle_t *)&h->timer, on_timer_closed);
}

/* Tells everybody, once.  Called from the loop only, never inside nghttp2. */
static void
finish(struct h2 *h)
{
	h->finished = true;
	uv_timer_stop(&h->timer);
	h2_streams_end(h);
	if (h->ops != NULL) {
		const struct h2_ops *ops = h->ops;

		h->ops = NULL;
		ops->closed(h->arg, h->why.text[0] != '\0' ? &h->why : NULL);
	}
	nghttp2_session_del(h->session);
	h->session = NULL;
	if (h->conn == NULL)
		bury(h);
	else if (h->aborted)
		conn_abort(h->conn);
	else
		conn_close(h->conn);
}

static void
on_later(struct later *l)
{
	struct h2 *h = (struct h2 *)((char *)l - offsetof(struct h2, later));

	if (!h->over && h->session != NULL)
		flush(h);
	if (h->over && !h->finished)
		finish(h);
}

static void
on_conn_closed(void *arg, const struct why *why)
{
	struct h2 *h = arg;

	h->conn = NULL;
	if (h->finished) {
		bury(h);
		return;
	}
	if (!h->over && !(h->leaving && h->nstreams == 0) && why != NULL && h->why.text[0] == '\0')
		h->why = *why;
	h->over = true;
	finish(h);
}

static const struct conn_ops conn_ops = {
	.read = on_read,
	.drained = on_drained,
	.secured = on_secured,
	.closed = on_conn_closed,
};

void
h2_goaway(struct h2 *h)
{
	if (h->over || h->leaving)
		return;
	h->leaving = true;
	if (h->session == NULL) {
		h2_end(h, NULL);
		return;
	}
	if (nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
	    nghttp2_session_get_last_proc_stream_id(h->session), NGHTTP2_NO_ERROR, NULL, 0) != 0)
		h2_end(h, "out of memory");
	h2_kick(h);
}

void
h2_abort(struct h2 *h, const char *why)
{
	h->aborted = true;
	h2_end(h, why);
}
