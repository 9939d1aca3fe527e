#include "kit/tunnel_ends.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/tcp_pair.h"

struct tunnel_ends tunnel;
struct stream *served[16384];
unsigned nserved;

static bool
expect_pin(void *arg, const struct pin *pin, const char *alpn)
{
	return pin_eq(pin, arg) && strcmp(alpn, "posthouse/1") == 0;
}

static void
on_request(void *arg, struct h2_stream *s, const struct h2_head *head, bool has_body)
{
	struct h2_end *e = arg;

	e->requests++;
	e->serve(e, s, head, has_body);
}

static void
on_ready(void *arg)
{
	((struct h2_end *)arg)->ready = true;
}

static void
on_closed(void *arg, const struct why *why)
{
	struct h2_end *e = arg;

	assert_int_equal(e->open, 0);		/* streams first */
	e->closed++;
	snprintf(e->why, sizeof(e->why), "%s", why != NULL ? why->text : "");
	e->h2 = NULL;
}

const struct h2_ops tunnel_ops = { .request = on_request, .ready = on_ready, .closed = on_closed };

static bool
on_secured(void *arg, struct h2 *h2, SSL *ssl)
{
	struct h2_end *e = arg;

	tls_alpn(ssl, e->alpn, sizeof(e->alpn));
	return !e->refuse_secured;
}

static void
end_start(struct h2_end *e, int fd, SSL_CTX *ctx, bool edge, unsigned ping_ms)
{
	struct why why;

	e->h2 = h2_new(&loop, fd, ctx, edge, edge, &tunnel_ops, e, &why);
	assert_non_null(e->h2);
	h2_on_secured(e->h2, on_secured, e);
	h2_set_ping(e->h2, ping_ms);
}

void
tunnel_start(unsigned ping_ms)
{
	end_start(&tunnel.edge, tunnel.fds[1], tunnel.edge_ctx, true, ping_ms);
	end_start(&tunnel.home, tunnel.fds[0], tunnel.home_ctx, false, ping_ms);
}

static void
key_once(struct net_key *key, const char *type, struct pin *pin)
{
	struct why why;

	if (key->n > 0)
		return;
	net_key_make(key, type);
	assert_int_equal(tls_pem_pin(net_key_span(key), pin, &why), 0);
}

SSL_CTX *
tunnel_ctx(const struct net_key *key, bool server, const char *protocol, struct pin *peer)
{
	const char *const alpn[] = { protocol, NULL };
	struct why why;
	SSL_CTX *ctx = tls_tunnel_new(net_key_span(key), server, alpn, expect_pin, peer, &why);

	assert_non_null(ctx);
	return ctx;
}

int
tunnel_setup(void **state)
{
	key_once(&tunnel.home_key, "ED25519", &tunnel.home_pin);
	key_once(&tunnel.edge_key, "P-256", &tunnel.edge_pin);
	tunnel.home = tunnel.edge = (struct h2_end){ .h2 = NULL };
	loop_begin();
	tunnel.edge_ctx = tunnel_ctx(&tunnel.edge_key, true, "posthouse/1", &tunnel.home_pin);
	tunnel.home_ctx = tunnel_ctx(&tunnel.home_key, false, "posthouse/1", &tunnel.edge_pin);
	tcp_pair(tunnel.fds);
	nserved = 0;
	return 0;
}

int
tunnel_teardown(void **state)
{
	if (tunnel.home.h2 != NULL)
		h2_abort(tunnel.home.h2, "the test is over");
	if (tunnel.edge.h2 != NULL)
		h2_abort(tunnel.edge.h2, "the test is over");
	RUN_UNTIL(tunnel.home.h2 == NULL && tunnel.edge.h2 == NULL);
	loop_end();
	SSL_CTX_free(tunnel.edge_ctx);
	SSL_CTX_free(tunnel.home_ctx);
	assert_int_equal(tunnel.home.closed, 1);
	assert_int_equal(tunnel.edge.closed, 1);
	return 0;
}

/* --- streams ------------------------------------------------------------------ */

static void
stream_head(void *arg, const struct h2_head *head)
{
	((struct stream *)arg)->status = head->status;
}

static void
stream_data(void *arg, struct span d)
{
	struct stream *st = arg;

	assert_int_equal(st->closed, 0);
	st->got += d.n;
	st->end->octets += d.n;
	if (d.n <= sizeof(st->text) - st->text_n) {
		memcpy(st->text + st->text_n, d.p, d.n);
		st->text_n += d.n;
	}
	if (!st->stall) {
		h2_consumed(st->s, d.n);
		st->taken += d.n;
	}
}

static void
stream_end(void *arg)
{
	((struct stream *)arg)->ended = true;
}

static void
stream_closed(void *arg, const struct why *why)
{
	struct stream *st = arg;

	assert_int_equal(st->closed++, 0);
	st->well = why == NULL;
	st->s = NULL;
	st->end->open--;
	st->end->streams_closed++;
}

const struct h2_stream_ops stream_ops = { .head = stream_head, .data = stream_data,
    .end = stream_end, .closed = stream_closed };

static ssize_t
stream_pull(void *arg, void *out, size_t max, bool *eof)
{
	struct stream *st = arg;
	size_t n = st->to_send - st->sent;

	assert_int_equal(st->closed, 0);
	if (n > max)
		n = max;
	memset(out, 'x', n);
	st->sent += n;
	*eof = st->sent == st->to_send;
	return (ssize_t)n;
}

/* Pulls what st->out holds. */
ssize_t
stream_pull_text(void *arg, void *out, size_t max, bool *eof)
{
	struct stream *st = arg;
	size_t n = st->out_n;

	assert_true(n <= max);
	memcpy(out, st->out, n);
	st->out_n = 0;
	*eof = st->out_eof;
	return (ssize_t)n;
}

void
stream_say(struct stream *st, const char *text, bool eof)
{
	st->out_n = strlen(text);
	memcpy(st->out, text, st->out_n);
	st->out_eof = eof;
	h2_stream_resume(st->s);
}

void
stream_own(struct stream *st, struct h2_end *e, struct h2_stream *s)
{
	st->end = e;
	st->s = s;
	e->open++;
	h2_stream_own(s, &stream_ops, st);
}

bool
stream_put(struct stream *st, struct h2_end *e, const char *path, size_t body)
{
	struct h2_head head = { .method = SPAN_LIT("PUT"), .path = span_str(path),
	    .authority = SPAN_LIT("home") };

	st->end = e;
	st->to_send = body;
	if ((st->s = h2_request(e->h2, &head, stream_pull, st, &stream_ops, st)) == NULL)
		return false;
	e->open++;
	return true;
}

/* --- serving ------------------------------------------------------------------- */

static void
sv_end(void *arg)
{
	struct stream *st = arg;
	struct h2_head head = { .status = 201 };

	st->ended = true;
	assert_true(h2_respond(st->s, &head, SPAN_LIT("kept"), NULL, NULL));
	assert_false(h2_respond(st->s, &head, SPAN_LIT("twice"), NULL, NULL));
}

static const struct h2_stream_ops sv_ops = { .data = stream_data, .end = sv_end,
    .closed = stream_closed };

void
serve_put(struct h2_end *e, struct h2_stream *s, const struct h2_head *head, bool has_body)
{
	struct stream *st = calloc(1, sizeof(*st));

	served[nserved++] = st;
	stream_own(st, e, s);
	h2_stream_own(s, &sv_ops, st);
	st->stall = span_eq(head->path, SPAN_LIT("/stall"));
}

void
serve_free(void)
{
	while (nserved > 0)
		free(served[--nserved]);
}
