#include <malloc.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/h2.h"
#include "net/tls.h"
#include "net_keys.h"

/*
 * Two ends on one loop over loopback TCP, as in the tunnel: home dials (TLS
 * client, HTTP server), the edge is dialled (TLS server, HTTP client).
 */
static struct net_key home_key, edge_key;
static struct pin home_pin, edge_pin;

struct stream;
static struct stream *served[16384];	/* as home's requests came */
static unsigned nserved;

struct end {
	struct h2	*h2;
	bool		 ready;
	unsigned	 closed;	/* how often */
	char		 why[512];
	bool		 refuse_secured;
	char		 alpn[32];
	/* what the serving side does with a request */
	void		(*serve)(struct end *, struct h2_stream *, const struct h2_head *, bool);
	unsigned	 requests, open, streams_closed;
	size_t		 octets;	/* received by all streams */
};

/* One stream as its owner sees it; freed in closed. */
struct stream {
	struct end	*end;
	struct h2_stream *s;
	unsigned	 status;
	size_t		 to_send, sent, got, taken;
	bool		 ended, stall, echo;
	unsigned	 closed;
	bool		 well;
	char		 text[256];
	size_t		 text_n;
	char		 out[256];	/* to be pulled */
	size_t		 out_n;
	bool		 out_eof;
};

static struct {
	uv_loop_t	 loop;
	uv_timer_t	 timer;
	struct end	 home, edge;
	SSL_CTX		*home_ctx, *edge_ctx;
	bool		 timed_out;
	int		 fds[2];
} T;

static bool
expect_pin(void *arg, const struct pin *pin, const char *alpn)
{
	return pin_eq(pin, arg) && strcmp(alpn, "posthouse/1") == 0;
}

static void
tcp_pair(int fds[2])
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sin);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(l, (struct sockaddr *)&sin, n), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&sin, &n), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&sin, n), 0);
	fds[1] = accept(l, NULL, NULL);
	assert_true(fds[1] >= 0);
	close(l);
}

static void
on_request(void *arg, struct h2_stream *s, const struct h2_head *head, bool has_body)
{
	struct end *e = arg;

	e->requests++;
	e->serve(e, s, head, has_body);
}

static void
on_ready(void *arg)
{
	((struct end *)arg)->ready = true;
}

static void
on_closed(void *arg, const struct why *why)
{
	struct end *e = arg;

	assert_int_equal(e->open, 0);		/* streams first */
	e->closed++;
	snprintf(e->why, sizeof(e->why), "%s", why != NULL ? why->text : "");
	e->h2 = NULL;
}

static const struct h2_ops ops = { .request = on_request, .ready = on_ready, .closed = on_closed };

static bool
on_secured(void *arg, struct h2 *h2, SSL *ssl)
{
	struct end *e = arg;

	tls_alpn(ssl, e->alpn, sizeof(e->alpn));
	return !e->refuse_secured;
}

static void
on_time_out(uv_timer_t *t)
{
	T.timed_out = true;
}

static void
ends_start(unsigned ping_ms)
{
	struct why why;

	T.edge.h2 = h2_new(&T.loop, T.fds[1], T.edge_ctx, true, true, &ops, &T.edge, &why);
	assert_non_null(T.edge.h2);
	h2_on_secured(T.edge.h2, on_secured, &T.edge);
	h2_set_ping(T.edge.h2, ping_ms);
	T.home.h2 = h2_new(&T.loop, T.fds[0], T.home_ctx, false, false, &ops, &T.home, &why);
	assert_non_null(T.home.h2);
	h2_on_secured(T.home.h2, on_secured, &T.home);
	h2_set_ping(T.home.h2, ping_ms);
}

/* Runs until the condition holds; a test that hangs fails after 20 s. */
#define RUN_UNTIL(cond) do {						\
	T.timed_out = false;						\
	uv_timer_start(&T.timer, on_time_out, 20000, 0);		\
	while (!(cond) && !T.timed_out)					\
		uv_run(&T.loop, UV_RUN_ONCE);				\
	uv_timer_stop(&T.timer);					\
	assert_true(cond);						\
} while (0)

static int
setup(void **state)
{
	static const char *const alpn[] = { "posthouse/1", NULL };
	struct why why;

	memset(&T, 0, sizeof(T));
	uv_loop_init(&T.loop);
	uv_timer_init(&T.loop, &T.timer);
	T.edge_ctx = tls_tunnel_new(net_key_span(&edge_key), true, alpn, expect_pin, &home_pin, &why);
	T.home_ctx = tls_tunnel_new(net_key_span(&home_key), false, alpn, expect_pin, &edge_pin, &why);
	assert_non_null(T.edge_ctx);
	assert_non_null(T.home_ctx);
	tcp_pair(T.fds);
	nserved = 0;
	return 0;
}

static int
teardown(void **state)
{
	if (T.home.h2 != NULL)
		h2_abort(T.home.h2, "the test is over");
	if (T.edge.h2 != NULL)
		h2_abort(T.edge.h2, "the test is over");
	RUN_UNTIL(T.home.h2 == NULL && T.edge.h2 == NULL);
	uv_close((uv_handle_t *)&T.timer, NULL);
	uv_run(&T.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&T.loop), 0);	/* nothing left behind */
	SSL_CTX_free(T.edge_ctx);
	SSL_CTX_free(T.home_ctx);
	assert_int_equal(T.home.closed, 1);
	assert_int_equal(T.edge.closed, 1);
	return 0;
}

/* --- streams ------------------------------------------------------------------ */

static void
st_head(void *arg, const struct h2_head *head)
{
	((struct stream *)arg)->status = head->status;
}

static void
st_data(void *arg, struct span d)
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
st_end(void *arg)
{
	((struct stream *)arg)->ended = true;
}

static void
st_closed(void *arg, const struct why *why)
{
	struct stream *st = arg;

	assert_int_equal(st->closed++, 0);
	st->well = why == NULL;
	st->s = NULL;
	st->end->open--;
	st->end->streams_closed++;
}

static const struct h2_stream_ops st_ops = { .head = st_head, .data = st_data, .end = st_end, .closed = st_closed };

static ssize_t
st_pull(void *arg, void *out, size_t max, bool *eof)
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
static ssize_t
st_pull_text(void *arg, void *out, size_t max, bool *eof)
{
	struct stream *st = arg;
	size_t n = st->out_n;

	assert_true(n <= max);
	memcpy(out, st->out, n);
	st->out_n = 0;
	*eof = st->out_eof;
	return (ssize_t)n;
}

static void
st_say(struct stream *st, const char *text, bool eof)
{
	st->out_n = strlen(text);
	memcpy(st->out, text, st->out_n);
	st->out_eof = eof;
	h2_stream_resume(st->s);
}

static void
st_own(struct stream *st, struct end *e, struct h2_stream *s)
{
	st->end = e;
	st->s = s;
	e->open++;
	h2_stream_own(s, &st_ops, st);
}

static bool
st_put(struct stream *st, struct end *e, const char *path, size_t body)
{
	struct h2_head head = { .method = SPAN_LIT("PUT"), .path = span_str(path), .authority = SPAN_LIT("home") };

	st->end = e;
	st->to_send = body;
	if ((st->s = h2_request(e->h2, &head, st_pull, st, &st_ops, st)) == NULL)
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

static const struct h2_stream_ops sv_ops = { .data = st_data, .end = sv_end, .closed = st_closed };

static void
serve_put(struct end *e, struct h2_stream *s, const struct h2_head *head, bool has_body)
{
	struct stream *st = calloc(1, sizeof(*st));

	served[nserved++] = st;
	st_own(st, e, s);
	h2_stream_own(s, &sv_ops, st);
	st->stall = span_eq(head->path, SPAN_LIT("/stall"));
}

static void
serve_free(void)
{
	while (nserved > 0)
		free(served[--nserved]);
}

/* --- the tests ------------------------------------------------------------------ */

static void
many_streams(void **state)
{
	enum { N = 200 };
	static struct stream st[N];
	unsigned i, well = 0;

	memset(st, 0, sizeof(st));
	T.home.serve = serve_put;
	ends_start(H2_PING_MS);
	RUN_UNTIL(T.edge.ready);
	assert_string_equal(T.edge.alpn, "posthouse/1");
	assert_string_equal(T.home.alpn, "posthouse/1");
	for (i = 0; i < N; i++)
		assert_true(st_put(&st[i], &T.edge, "/mail/x", i * 997));
	assert_int_equal(h2_open_streams(T.edge.h2), N);
	RUN_UNTIL(T.edge.streams_closed == N && T.home.open == 0);
	for (i = 0; i < N; i++) {
		assert_int_equal(st[i].status, 201);
		assert_memory_equal(st[i].text, "kept", 4);
		well += st[i].well && st[i].ended && served[i]->well;
	}
	assert_int_equal(well, N);
	assert_int_equal(T.home.octets, (size_t)997 * N * (N - 1) / 2);
	RUN_UNTIL(h2_rtt_us(T.edge.h2) > 0);
	serve_free();
}

static void
a_stalled_stream_stops_no_other(void **state)
{
	static struct stream stalled[3], free_one;
	unsigned i;

	memset(stalled, 0, sizeof(stalled));
	memset(&free_one, 0, sizeof(free_one));
	T.home.serve = serve_put;
	ends_start(H2_PING_MS);
	RUN_UNTIL(T.edge.ready);
	for (i = 0; i < 3; i++)
		assert_true(st_put(&stalled[i], &T.edge, "/stall", H2_WINDOW + 1));
	RUN_UNTIL(T.home.octets == 3 * (size_t)H2_WINDOW);	/* and not one octet more */
	assert_true(st_put(&free_one, &T.edge, "/mail/x", 2 * (size_t)H2_CONN_WINDOW));
	RUN_UNTIL(free_one.closed == 1);
	assert_int_equal(free_one.status, 201);
	for (i = 0; i < 3; i++) {
		assert_int_equal(served[i]->got, H2_WINDOW);
		assert_int_equal(stalled[i].closed, 0);
		h2_consumed(served[i]->s, served[i]->got);
		served[i]->stall = false;
	}
	RUN_UNTIL(T.edge.streams_closed == 4);
	for (i = 0; i < 3; i++)
		assert_true(stalled[i].well);
	RUN_UNTIL(T.home.open == 0);
	serve_free();
}

static void
resets_leave_the_session_alive(void **state)
{
	struct stream st;
	unsigned i;

	T.home.serve = serve_put;
	ends_start(H2_PING_MS);
	RUN_UNTIL(T.edge.ready);
	for (i = 0; i < 3000; i++) {
		memset(&st, 0, sizeof(st));
		assert_true(st_put(&st, &T.edge, "/mail/x", 100000));
		RUN_UNTIL(T.home.requests == i + 1);
		h2_reset(st.s);
		h2_reset(st.s);
		assert_int_equal(st.closed, 0);		/* never from inside */
		RUN_UNTIL(st.closed == 1);
		assert_false(st.well);
	}
	RUN_UNTIL(T.home.open == 0);
	memset(&st, 0, sizeof(st));
	assert_true(st_put(&st, &T.edge, "/mail/x", 1000));
	RUN_UNTIL(st.closed == 1);
	assert_int_equal(st.status, 201);
	assert_int_equal(T.home.closed + T.edge.closed, 0);
	RUN_UNTIL(T.home.open == 0);
	serve_free();
}

static void
serve_reset(struct end *e, struct h2_stream *s, const struct h2_head *head, bool has_body)
{
	struct stream *st = calloc(1, sizeof(*st));

	served[nserved++] = st;
	st_own(st, e, s);
	h2_reset(s);
}

static void
a_server_may_reset_in_its_callback(void **state)
{
	static struct stream st[100];
	unsigned i;

	memset(st, 0, sizeof(st));
	T.home.serve = serve_reset;
	ends_start(H2_PING_MS);
	RUN_UNTIL(T.edge.ready);
	for (i = 0; i < 100; i++)
		assert_true(st_put(&st[i], &T.edge, "/mail/x", 10));
	RUN_UNTIL(T.edge.streams_closed == 100 && T.home.streams_closed == 100);
	for (i = 0; i < 100; i++)
		assert_false(st[i].well || served[i]->well);
	serve_free();
}

static void
serve_refuse(struct end *e, struct h2_stream *s, const struct h2_head *head, bool has_body)
{
	const struct h2_header retry = { "retry-after", SPAN_LIT("7") };
	struct h2_head answer = { .status = 503, .headers = &retry, .nheaders = 1 };
	struct stream *st = calloc(1, sizeof(*st));

	served[nserved++] = st;
	st_own(st, e, s);
	assert_true(h2_respond(s, &answer, SPAN_LIT("no room"), NULL, NULL));
}

static void
an_early_answer_calls_the_body_off(void **state)
{
	struct stream st = { 0 };

	T.home.serve = serve_refuse;
	ends_start(H2_PING_MS);
	RUN_UNTIL(T.edge.ready);
	assert_true(st_put(&st, &T.edge, "/mail/x", (size_t)1 << 30));
	RUN_UNTIL(st.closed == 1 && T.home.open == 0);
	assert_int_equal(st.status, 503);
	assert_memory_equal(st.text, "no room", 7);
	assert_true(st.well && st.ended && served[0]->well);
	assert_true(st.sent < (size_t)1 << 28);
	serve_free();
}

/* CONNECT: lines both ways before either side ends, the first in the same flight; then one side half closes. */
static void
serve_connect(struct end *e, struct h2_stream *s, const struct h2_head *head, bool has_body)
{
	struct h2_head answer = { .status = 200 };
	struct stream *st = calloc(1, sizeof(*st));

	assert_true(span_eq(head->method, SPAN_LIT("CONNECT")));
	assert_true(span_eq(head->authority, SPAN_LIT("smtp:25")));
	assert_int_equal(head->path.n, 0);
	assert_true(has_body);
	served[nserved++] = st;
	st_own(st, e, s);
	assert_true(h2_respond(s, &answer, SPAN_LIT(""), st_pull_text, st));
}

static void
connect_talks_both_ways(void **state)
{
	struct h2_head head = { .method = SPAN_LIT("CONNECT"), .authority = SPAN_LIT("smtp:25") };
	struct stream st = { .end = &T.edge, .out = "PROXY", .out_n = 5 };

	T.home.serve = serve_connect;
	ends_start(H2_PING_MS);
	RUN_UNTIL(T.edge.ready);
	st.s = h2_request(T.edge.h2, &head, st_pull_text, &st, &st_ops, &st);
	assert_non_null(st.s);
	T.edge.open++;
	RUN_UNTIL(T.home.octets == 5);
	st_say(served[0], "220 ready", false);
	RUN_UNTIL(st.got == 9);
	assert_int_equal(st.status, 200);
	st_say(&st, " EHLO", false);
	RUN_UNTIL(T.home.octets == 10);
	assert_memory_equal(served[0]->text, "PROXY EHLO", 10);
	st_say(served[0], " 221 bye", true);		/* home's side ends first */
	RUN_UNTIL(st.ended);
	assert_memory_equal(st.text, "220 ready 221 bye", 17);
	assert_int_equal(st.closed, 0);
	st_say(&st, " QUIT", true);
	RUN_UNTIL(st.closed == 1 && T.home.open == 0);
	assert_true(st.well && served[0]->well);
	assert_int_equal(T.home.octets, 15);
	serve_free();
}

static void
upload(void **state)
{
	struct stream st = { 0 };
	size_t octets = (size_t)(getenv("NET_BENCH") != NULL ? 2000 : 100) << 20;
	uint64_t from;
	double s;

	T.home.serve = serve_put;
	ends_start(H2_PING_MS);
	RUN_UNTIL(T.edge.ready);
	from = uv_hrtime();
	assert_true(st_put(&st, &T.edge, "/mail/x", octets));
	RUN_UNTIL(st.closed == 1);
	s = (double)(uv_hrtime() - from) / 1e9;
	print_message("one stream, both ends in one thread: %.2f Gbit/s\n", (double)octets * 8 / s / 1e9);
	assert_int_equal(st.status, 201);
	assert_int_equal(T.home.octets, octets);
	RUN_UNTIL(T.home.open == 0);
	serve_free();
}

/* --- a long line ------------------------------------------------------------------ */

#define LINE_MS		50		/* one way */
#define LINE_BUFFER	(64u << 20)

/* One direction of a slow line: what comes in at `from` leaves at `to` LINE_MS later. */
struct way {
	int		 from, to;
	char		*ring;			/* LINE_BUFFER */
	size_t		 in, out;		/* counted from the start of time */
	struct {
		uint64_t due_ms;
		size_t	 upto;
	} mark[65536];
	unsigned	 nmark, mark_at;
};

static void
way_move(struct way *w, uint64_t now)
{
	size_t ready = w->out;
	ssize_t n;

	for (;;) {
		size_t at = w->in % LINE_BUFFER, room = LINE_BUFFER - at;

		if (room > LINE_BUFFER - (w->in - w->out))
			room = LINE_BUFFER - (w->in - w->out);
		if (room == 0 || (n = recv(w->from, w->ring + at, room, MSG_DONTWAIT)) <= 0)
			break;
		w->in += (size_t)n;
		w->mark[w->nmark % 65536].due_ms = now + LINE_MS;
		w->mark[w->nmark++ % 65536].upto = w->in;
	}
	for (; w->mark_at < w->nmark && w->mark[w->mark_at % 65536].due_ms <= now; w->mark_at++)
		ready = w->mark[w->mark_at % 65536].upto;
	while (w->out < ready) {
		size_t at = w->out % LINE_BUFFER, some = LINE_BUFFER - at;

		if (some > ready - w->out)
			some = ready - w->out;
		if ((n = send(w->to, w->ring + at, some, MSG_DONTWAIT | MSG_NOSIGNAL)) <= 0)
			break;
		w->out += (size_t)n;
	}
	if (w->out < ready)		/* the rest at the next tick */
		w->mark[--w->mark_at % 65536].upto = ready;
}

static struct way *ways;

static void
on_tick(uv_timer_t *t)
{
	way_move(&ways[0], uv_now(&T.loop));
	way_move(&ways[1], uv_now(&T.loop));
}

static void
one_stream_fills_a_long_line(void **state)
{
	struct stream st = { 0 };
	size_t octets = (size_t)48 << 20;
	int near[2] = { T.fds[0], T.fds[1] }, far[2];
	uint64_t from;
	uv_timer_t tick;
	double s;

	tcp_pair(far);
	ways = calloc(2, sizeof(*ways));
	ways[0].ring = malloc(LINE_BUFFER);
	ways[1].ring = malloc(LINE_BUFFER);
	ways[0].from = ways[1].to = near[1];
	ways[1].from = ways[0].to = far[0];
	T.fds[1] = far[1];
	uv_timer_init(&T.loop, &tick);
	uv_timer_start(&tick, on_tick, 1, 1);
	T.home.serve = serve_put;
	ends_start(H2_PING_MS);
	RUN_UNTIL(T.edge.ready && h2_rtt_us(T.edge.h2) > 0);
	assert_true(h2_rtt_us(T.edge.h2) >= 2 * LINE_MS * 1000);
	from = uv_hrtime();
	assert_true(st_put(&st, &T.edge, "/mail/x", octets));
	RUN_UNTIL(st.closed == 1);
	s = (double)(uv_hrtime() - from) / 1e9;
	print_message("one stream, 100 ms round trip: %.0f Mbit/s\n", (double)octets * 8 / s / 1e6);
	assert_int_equal(st.status, 201);
	assert_true((double)octets * 8 / s > 100e6);
	h2_abort(T.edge.h2, "the test is over");
	h2_abort(T.home.h2, "the test is over");
	RUN_UNTIL(T.home.closed == 1 && T.edge.closed == 1);
	uv_close((uv_handle_t *)&tick, NULL);
	uv_run(&T.loop, UV_RUN_NOWAIT);
	close(near[1]);
	close(far[0]);
	free(ways[0].ring);
	free(ways[1].ring);
	free(ways);
	serve_free();
}

static size_t
in_use(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static void
streams_leave_nothing_behind(void **state)
{
	struct stream st;
	size_t before = 0, after;
	unsigned i;

	T.home.serve = serve_put;
	ends_start(H2_PING_MS);
	RUN_UNTIL(T.edge.ready);
	if (in_use() == 0)		/* a sanitizer's allocator counts elsewhere */
		skip();
	for (i = 0; i < 3000; i++) {
		memset(&st, 0, sizeof(st));
		assert_true(st_put(&st, &T.edge, "/mail/x", 10));
		RUN_UNTIL(st.closed == 1 && T.home.open == 0);
		serve_free();
		if (i == 500)
			before = in_use();
	}
	after = in_use();
	assert_true(after < before + 20000);
}

static void
goaway_lets_the_last_stream_finish(void **state)
{
	struct stream a = { 0 }, b = { 0 };

	T.home.serve = serve_put;
	ends_start(H2_PING_MS);
	RUN_UNTIL(T.edge.ready);
	assert_true(st_put(&a, &T.edge, "/stall", H2_WINDOW + 1));
	RUN_UNTIL(T.home.octets == H2_WINDOW);
	h2_goaway(T.home.h2);
	h2_goaway(T.home.h2);
	RUN_UNTIL(!st_put(&b, &T.edge, "/mail/x", 1) || b.closed == 1);	/* refused, once the word is there */
	assert_int_equal(a.closed + T.home.closed, 0);
	h2_consumed(served[0]->s, H2_WINDOW);
	served[0]->stall = false;
	RUN_UNTIL(T.home.closed == 1 && T.edge.closed == 1);
	assert_true(a.well);
	assert_int_equal(a.status, 201);
	assert_string_equal(T.home.why, "");
	serve_free();
}

static void
abort_closes_streams_first(void **state)
{
	static struct stream st[10];
	unsigned i;

	memset(st, 0, sizeof(st));
	T.home.serve = serve_put;
	ends_start(H2_PING_MS);
	RUN_UNTIL(T.edge.ready);
	for (i = 0; i < 10; i++)
		assert_true(st_put(&st[i], &T.edge, "/stall", H2_WINDOW));
	RUN_UNTIL(T.home.requests == 10);
	h2_abort(T.edge.h2, "enough");
	assert_int_equal(T.edge.closed, 0);		/* never from inside */
	RUN_UNTIL(T.edge.closed == 1 && T.home.closed == 1);
	assert_non_null(strstr(T.edge.why, "enough"));
	assert_true(T.home.why[0] != '\0');
	assert_int_equal(T.edge.streams_closed, 10);
	assert_int_equal(T.home.streams_closed, 10);
	serve_free();
}

/* A peer that falls silent without a word: its machine lost power, or the line. */
static void
silence_is_found(void **state)
{
	struct stream st = { 0 };
	uint64_t from;
	int keep;

	T.home.serve = serve_put;
	ends_start(100);
	RUN_UNTIL(T.edge.ready && T.home.ready);
	assert_true(st_put(&st, &T.edge, "/stall", H2_WINDOW + 1));
	RUN_UNTIL(T.home.octets == H2_WINDOW);
	/* A while in which pings alone keep it up. */
	from = uv_hrtime();
	RUN_UNTIL(uv_hrtime() - from > 700000000u);
	assert_int_equal(T.edge.closed + T.home.closed, 0);
	/* Home's end of the line is put to silence: nobody reads or writes it any more, but it stays open. */
	keep = dup(T.fds[0]);
	assert_true(keep >= 0);
	h2_abort(T.home.h2, "stands for lost power");
	{
		int sink[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sink), 0);
		assert_true(dup2(sink[0], T.fds[0]) >= 0);	/* what home closes is not the line */
		close(sink[0]);
		RUN_UNTIL(T.home.closed == 1);
		from = uv_hrtime();
		RUN_UNTIL(T.edge.closed == 1);
		close(sink[1]);
	}
	assert_true(uv_hrtime() - from < 1000000000u);
	assert_non_null(strstr(T.edge.why, "does not answer"));
	assert_int_equal(st.closed, 1);
	close(keep);
	serve_free();
}

static void
a_wrong_pin_ends_at_the_handshake(void **state)
{
	static const char *const alpn[] = { "posthouse/1", NULL };
	struct why why;
	int which = *(int *)*state;

	setup(state);
	if (which == 0) {	/* the edge does not know this home */
		SSL_CTX_free(T.edge_ctx);
		T.edge_ctx = tls_tunnel_new(net_key_span(&edge_key), true, alpn, expect_pin, &edge_pin, &why);
	} else {		/* home does not know this edge */
		SSL_CTX_free(T.home_ctx);
		T.home_ctx = tls_tunnel_new(net_key_span(&home_key), false, alpn, expect_pin, &home_pin, &why);
	}
	ends_start(H2_PING_MS);
	RUN_UNTIL(T.edge.closed == 1 && T.home.closed == 1);
	assert_false(T.edge.ready);
	assert_false(T.home.ready);
	/* Each side has words for it: its own refusal, or the alert. */
	assert_non_null(strstr(which == 0 ? T.edge.why : T.home.why, "certificate verify failed"));
	assert_non_null(strstr(which == 0 ? T.home.why : T.edge.why, "bad certificate"));
	teardown(state);
}

static void
no_common_alpn_ends_at_the_handshake(void **state)
{
	static const char *const other[] = { "posthouse/9", NULL };
	struct why why;

	SSL_CTX_free(T.home_ctx);
	T.home_ctx = tls_tunnel_new(net_key_span(&home_key), false, other, expect_pin, &edge_pin, &why);
	ends_start(H2_PING_MS);
	RUN_UNTIL(T.edge.closed == 1 && T.home.closed == 1);
	assert_non_null(strstr(T.home.why, "no application protocol"));
}

/* OpenSSL itself lets a client leave ALPN out. */
static void
an_unnamed_protocol_ends_at_the_handshake(void **state)
{
	SSL_CTX_set_alpn_protos(T.home_ctx, NULL, 0);
	ends_start(H2_PING_MS);
	RUN_UNTIL(T.edge.closed == 1 && T.home.closed == 1);
	assert_false(T.edge.ready);
}

static void
the_hook_may_refuse(void **state)
{
	T.edge.refuse_secured = true;
	ends_start(H2_PING_MS);
	RUN_UNTIL(T.edge.closed == 1 && T.home.closed == 1);
	assert_non_null(strstr(T.edge.why, "refused after"));
	assert_false(T.home.ready);
}

/* A peer that speaks no HTTP/2 after a good handshake, and one that is cut in its midst. */
static void
on_plain_closed(void *arg, const struct why *why)
{
	*(unsigned *)arg += 1;
}

static size_t
on_plain_read(void *arg, struct span s)
{
	return s.n;
}

static struct conn *babbler;

static void
on_plain_secured(void *arg)
{
	static char noise[100000];

	memset(noise, 'A', sizeof(noise));
	assert_true(conn_write(babbler, noise, sizeof(noise)));
}

static void
noise_ends_the_connection(void **state)
{
	static const struct conn_ops plain = {
		.read = on_plain_read, .secured = on_plain_secured, .closed = on_plain_closed,
	};
	struct why why;
	unsigned closed = 0;

	T.home.serve = serve_put;
	T.home.h2 = h2_new(&T.loop, T.fds[0], T.home_ctx, false, false, &ops, &T.home, &why);
	babbler = conn_new(&T.loop, T.fds[1], &plain, &closed, &why);
	assert_int_equal(conn_tls(babbler, T.edge_ctx, true, &why), 0);
	RUN_UNTIL(closed == 1 && T.home.closed == 1);
	assert_true(T.home.why[0] != '\0');
	T.edge.closed = 1;
}

int
main(void)
{
	static int zero = 0, one = 1;
#define NET(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		NET(many_streams),
		NET(a_stalled_stream_stops_no_other),
		NET(resets_leave_the_session_alive),
		NET(a_server_may_reset_in_its_callback),
		NET(an_early_answer_calls_the_body_off),
		NET(connect_talks_both_ways),
		NET(upload),
		NET(one_stream_fills_a_long_line),
		NET(streams_leave_nothing_behind),
		NET(goaway_lets_the_last_stream_finish),
		NET(abort_closes_streams_first),
		NET(silence_is_found),
		NET(no_common_alpn_ends_at_the_handshake),
		NET(an_unnamed_protocol_ends_at_the_handshake),
		NET(the_hook_may_refuse),
		NET(noise_ends_the_connection),
		cmocka_unit_test_prestate(a_wrong_pin_ends_at_the_handshake, &zero),
		cmocka_unit_test_prestate(a_wrong_pin_ends_at_the_handshake, &one),
	};
	struct why why;

	net_key_make(&home_key, "ED25519");
	net_key_make(&edge_key, "P-256");
	if (tls_pem_pin(net_key_span(&home_key), &home_pin, &why) == -1 ||
	    tls_pem_pin(net_key_span(&edge_key), &edge_pin, &why) == -1)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
