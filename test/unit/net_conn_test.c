#include <malloc.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/conn.h"
#include "net/tls.h"
#include "net_keys.h"

/* Two ends on one loop, over loopback TCP.  `a` dialled `b`. */
struct end {
	struct conn	*c;
	char		*in;		/* what came */
	size_t		 n, cap;
	size_t		 take;		/* use at most so much a call; 0: all */
	unsigned	 reads, drained, secured, eofs, closed;
	bool		 well;		/* closed without a reason */
	char		 why[512];
	void		(*said)(struct end *);	/* after each read */
};

static struct {
	uv_loop_t	 loop;
	uv_timer_t	 timer;
	struct end	 a, b;
	SSL_CTX		*server, *client;
	bool		 timed_out;
} T;
static struct net_key key;

static void
on_time_out(uv_timer_t *t)
{
	T.timed_out = true;
}

#define RUN_UNTIL(cond) do {						\
	T.timed_out = false;						\
	uv_timer_start(&T.timer, on_time_out, 20000, 0);		\
	while (!(cond) && !T.timed_out)					\
		uv_run(&T.loop, UV_RUN_ONCE);				\
	uv_timer_stop(&T.timer);					\
	assert_true(cond);						\
} while (0)

static size_t
on_read(void *arg, struct span s)
{
	struct end *e = arg;
	size_t n = e->take != 0 && e->take < s.n ? e->take : s.n;

	assert_true(s.n > 0);
	assert_int_equal(e->closed, 0);
	e->reads++;
	if (e->n + n > e->cap) {
		e->cap = (e->n + n) * 2;
		e->in = realloc(e->in, e->cap);
		assert_non_null(e->in);
	}
	memcpy(e->in + e->n, s.p, n);
	e->n += n;
	if (e->said != NULL)
		e->said(e);
	return n;
}

static void
on_drained(void *arg)
{
	((struct end *)arg)->drained++;
}

static void
on_secured(void *arg)
{
	((struct end *)arg)->secured++;
}

static void
on_eof(void *arg)
{
	((struct end *)arg)->eofs++;
}

static void
on_closed(void *arg, const struct why *why)
{
	struct end *e = arg;

	e->closed++;
	e->c = NULL;
	e->well = why == NULL;
	snprintf(e->why, sizeof(e->why), "%s", why != NULL ? why->text : "");
}

static const struct conn_ops ops = {
	.read = on_read, .drained = on_drained, .secured = on_secured, .closed = on_closed,
};
static const struct conn_ops ops_eof = {
	.read = on_read, .drained = on_drained, .secured = on_secured, .eof = on_eof, .closed = on_closed,
};

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
pair(const struct conn_ops *o)
{
	struct why why;
	int fds[2];

	tcp_pair(fds);
	T.a.c = conn_new(&T.loop, fds[0], o, &T.a, &why);
	T.b.c = conn_new(&T.loop, fds[1], o, &T.b, &why);
	assert_non_null(T.a.c);
	assert_non_null(T.b.c);
}

static void
secure(void)
{
	struct why why;

	assert_int_equal(conn_tls(T.a.c, T.client, false, &why), 0);
	assert_int_equal(conn_tls(T.b.c, T.server, true, &why), 0);
	RUN_UNTIL(T.a.secured == 1 && T.b.secured == 1);
}

static int
setup(void **state)
{
	struct why why;

	memset(&T, 0, sizeof(T));
	uv_loop_init(&T.loop);
	uv_timer_init(&T.loop, &T.timer);
	T.server = tls_server_new(net_key_span(&key), net_key_span(&key), &why);
	T.client = SSL_CTX_new(TLS_client_method());
	assert_non_null(T.server);
	assert_non_null(T.client);
	SSL_CTX_set_mode(T.client, SSL_MODE_RELEASE_BUFFERS);
	return 0;
}

static int
teardown(void **state)
{
	if (T.a.c != NULL)
		conn_abort(T.a.c);
	if (T.b.c != NULL)
		conn_abort(T.b.c);
	RUN_UNTIL(T.a.c == NULL && T.b.c == NULL);
	uv_close((uv_handle_t *)&T.timer, NULL);
	uv_run(&T.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&T.loop), 0);
	assert_true(T.a.closed <= 1 && T.b.closed <= 1);
	SSL_CTX_free(T.server);
	SSL_CTX_free(T.client);
	free(T.a.in);
	free(T.b.in);
	return 0;
}

/* Octets whose place can be told from their value. */
static void
fill(char *p, size_t from, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = (char)((from + i) * 2654435761u >> 16);
}

static void
check(const struct end *e, size_t n)
{
	char *want = malloc(n);

	assert_int_equal(e->n, n);
	fill(want, 0, n);
	assert_memory_equal(e->in, want, n);
	free(want);
}

static bool
write_at(struct conn *c, size_t from, size_t n)
{
	char *p = malloc(n);
	bool ok;

	fill(p, from, n);
	ok = conn_write(c, p, n);
	free(p);
	return ok;
}

/* --- bytes ------------------------------------------------------------------------ */

static void
bytes_arrive(bool tls)
{
	size_t sizes[] = { 1, 100, 16384, 16385, 100000, 131072, 1000000, 3 }, i, n = 0;

	pair(&ops);
	if (tls)
		secure();
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_true(write_at(T.a.c, n, sizes[i]));
		n += sizes[i];
	}
	RUN_UNTIL(T.b.n == n);
	check(&T.b, n);
	assert_int_equal(conn_queued(T.a.c), 0);
}

static void
plain_bytes_arrive(void **state)
{
	bytes_arrive(false);
}

static void
tls_bytes_arrive(void **state)
{
	bytes_arrive(true);
}

/* The owner takes a few octets a call, and comes back for the rest. */
static void
short_counts(bool tls, size_t take)
{
	enum { N = 60000 };
	unsigned reads;

	pair(&ops);
	if (tls)
		secure();
	T.b.take = take;
	assert_true(write_at(T.a.c, 0, N));
	while (T.b.n < N) {
		reads = T.b.reads;
		RUN_UNTIL(T.b.reads > reads);
		reads = T.b.reads;
		uv_run(&T.loop, UV_RUN_NOWAIT);
		uv_run(&T.loop, UV_RUN_NOWAIT);
		assert_int_equal(T.b.reads, reads);		/* short is paused */
		conn_resume(T.b.c);
		assert_int_equal(T.b.reads, reads);		/* never from inside */
	}
	check(&T.b, N);
}

static void
plain_short_counts(void **state)
{
	short_counts(false, 97);
}

static void
tls_short_counts(void **state)
{
	short_counts(true, 97);
}

static void
resume_now(struct end *e)
{
	conn_resume(e->c);
}

/* What the owner waited for happened while it was being called. */
static void
a_resume_inside_the_callback_counts(void **state)
{
	int tls;

	for (tls = 0; tls < 2; tls++) {
		if (tls == 1) {
			teardown(state);
			setup(state);
		}
		pair(&ops);
		if (tls == 1)
			secure();
		T.b.take = 1000;
		T.b.said = resume_now;
		assert_true(write_at(T.a.c, 0, 100000));
		RUN_UNTIL(T.b.n == 100000);
		check(&T.b, 100000);
	}
}

static void
pause_now(struct end *e)
{
	conn_pause(e->c);
}

static void
a_pause_with_all_taken(void **state)
{
	int tls;

	for (tls = 0; tls < 2; tls++) {
		if (tls == 1) {
			teardown(state);
			setup(state);
		}
		pair(&ops);
		if (tls == 1)
			secure();
		T.b.said = pause_now;
		assert_true(write_at(T.a.c, 0, 200000));
		while (T.b.n < 200000) {
			unsigned reads = T.b.reads;

			RUN_UNTIL(T.b.reads == reads + 1);
			uv_run(&T.loop, UV_RUN_NOWAIT);
			assert_int_equal(T.b.reads, reads + 1);
			conn_resume(T.b.c);
		}
		check(&T.b, 200000);
	}
}

static void
a_peer_that_does_not_read(bool tls)
{
	size_t n = 0;
	unsigned drained;

	pair(&ops);
	if (tls)
		secure();
	conn_pause(T.b.c);
	while (conn_queued(T.a.c) < 1u << 20) {
		assert_true(write_at(T.a.c, n, 100000));
		n += 100000;
	}
	drained = T.a.drained;
	conn_resume(T.b.c);
	RUN_UNTIL(T.b.n == n);
	check(&T.b, n);
	RUN_UNTIL(T.a.drained == drained + 1);
	assert_int_equal(conn_queued(T.a.c), 0);

	conn_pause(T.b.c);
	while (conn_write(T.a.c, T.b.in, 100000)) {
		n += 100000;
		assert_true(n < 100u << 20);
	}
	RUN_UNTIL(T.a.closed == 1);
	assert_non_null(strstr(T.a.why, "does not read"));
}

static void
plain_peer_that_does_not_read(void **state)
{
	a_peer_that_does_not_read(false);
}

static void
tls_peer_that_does_not_read(void **state)
{
	a_peer_that_does_not_read(true);
}

/* --- STARTTLS ---------------------------------------------------------------------- */

static void
start_tls(struct end *e)
{
	struct why why;

	if (e->n >= 10 && conn_ssl(e->c) == NULL) {
		assert_true(conn_write(e->c, "220 go\r\n", 8));
		assert_int_equal(conn_tls(e->c, T.server, true, &why), 0);
	}
}

/* RFC 3207 4.2: a command in the same packet as STARTTLS must not be heard as if it had come in TLS. */
static void
nothing_read_before_the_handshake_comes_after_it(void **state)
{
	struct why why;

	pair(&ops);
	T.b.take = 10;
	T.b.said = start_tls;
	assert_true(conn_write(T.a.c, "STARTTLS\r\nMAIL FROM:<evil@example.org>\r\n", 40));
	RUN_UNTIL(T.a.n == 8);
	T.b.take = 0;
	assert_int_equal(conn_tls(T.a.c, T.client, false, &why), 0);
	RUN_UNTIL(T.a.secured == 1 && T.b.secured == 1);
	assert_true(conn_write(T.a.c, "EHLO a\r\n", 8));
	RUN_UNTIL(T.b.n >= 18);
	assert_int_equal(T.b.n, 18);
	assert_memory_equal(T.b.in, "STARTTLS\r\nEHLO a\r\n", 18);
}

/* The same where the owner had held octets back before it decided. */
static void
held_octets_go_too(void **state)
{
	struct why why;

	pair(&ops);
	T.b.take = 10;
	assert_true(conn_write(T.a.c, "STARTTLS\r\nMAIL FROM:<evil@example.org>\r\n", 40));
	RUN_UNTIL(T.b.n == 10);
	T.b.take = 0;
	assert_int_equal(conn_tls(T.b.c, T.server, true, &why), 0);
	assert_int_equal(conn_tls(T.a.c, T.client, false, &why), 0);
	RUN_UNTIL(T.a.secured == 1 && T.b.secured == 1);
	assert_true(conn_write(T.a.c, "EHLO a\r\n", 8));
	RUN_UNTIL(T.b.n == 18);
	assert_memory_equal(T.b.in + 10, "EHLO a\r\n", 8);
}

static void
versions(void **state)
{
	static const struct {
		int version;
		const char *described;		/* NULL: refused */
	} cases[] = {
		{ TLS1_1_VERSION, NULL }, { TLS1_2_VERSION, "TLSv1.2 ECDHE-" }, { TLS1_3_VERSION, "TLSv1.3 TLS_" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[128];
		struct why why;

		if (i > 0) {
			teardown(state);
			setup(state);
		}
		SSL_CTX_set_security_level(T.client, 0);
		SSL_CTX_set_min_proto_version(T.client, cases[i].version);
		SSL_CTX_set_max_proto_version(T.client, cases[i].version);
		pair(&ops);
		if (cases[i].described == NULL) {
			conn_tls(T.a.c, T.client, false, &why);
			conn_tls(T.b.c, T.server, true, &why);
			RUN_UNTIL(T.a.closed == 1 && T.b.closed == 1);
			assert_non_null(strstr(T.b.why, "TLS handshake"));
			continue;
		}
		secure();
		tls_describe(conn_ssl(T.b.c), text, sizeof(text));
		assert_memory_equal(text, cases[i].described, strlen(cases[i].described));
	}
}

static void
no_tls_is_said_so(void **state)
{
	struct why why;

	pair(&ops);
	assert_int_equal(conn_tls(T.b.c, T.server, true, &why), 0);
	assert_true(conn_write(T.a.c, "EHLO plain\r\n", 12));
	RUN_UNTIL(T.b.closed == 1);
	assert_non_null(strstr(T.b.why, "TLS handshake"));
	assert_int_equal(T.b.n + T.b.secured, 0);
}

/* --- ends ---------------------------------------------------------------------------- */

static void
close_sends_what_is_queued(void **state)
{
	int tls;

	for (tls = 0; tls < 2; tls++) {
		if (tls == 1) {
			teardown(state);
			setup(state);
		}
		pair(&ops);
		if (tls == 1)
			secure();
		conn_pause(T.b.c);
		assert_true(write_at(T.a.c, 0, 4000000));
		conn_close(T.a.c);
		conn_close(T.a.c);
		assert_false(conn_write(T.a.c, "x", 1));
		assert_int_equal(T.a.closed, 0);
		conn_resume(T.b.c);
		RUN_UNTIL(T.a.closed == 1 && T.b.closed == 1);
		assert_true(T.a.well);
		assert_non_null(strstr(T.b.why, "the peer closed"));
		check(&T.b, 4000000);
	}
}

/* A last reply must not be lost to a reset because the peer had pipelined more than we read. */
static void
close_with_unread_input_is_no_reset(void **state)
{
	pair(&ops);
	conn_pause(T.b.c);
	assert_true(conn_write(T.a.c, "QUIT\r\nMORE\r\n", 12));
	uv_run(&T.loop, UV_RUN_NOWAIT);
	assert_true(conn_write(T.b.c, "221 bye\r\n", 9));
	conn_close(T.b.c);
	RUN_UNTIL(T.a.closed == 1);
	assert_int_equal(T.a.n, 9);
	assert_string_equal(T.a.why, "the peer closed the connection");
}

static void
half_close(void **state)
{
	int tls;

	for (tls = 0; tls < 2; tls++) {
		if (tls == 1) {
			teardown(state);
			setup(state);
		}
		pair(&ops_eof);
		if (tls == 1)
			secure();
		assert_true(write_at(T.a.c, 0, 500000));
		conn_shutdown(T.a.c);
		assert_false(conn_write(T.a.c, "x", 1));
		RUN_UNTIL(T.b.eofs == 1);
		check(&T.b, 500000);
		assert_int_equal(T.b.closed + T.a.closed, 0);
		assert_true(write_at(T.b.c, 0, 700000));	/* the other way goes on */
		RUN_UNTIL(T.a.n == 700000);
		check(&T.a, 700000);
		conn_close(T.b.c);
		RUN_UNTIL(T.a.eofs == 1 && T.b.closed == 1);
		conn_close(T.a.c);
		RUN_UNTIL(T.a.closed == 1);
		assert_int_equal(T.b.eofs, 1);
		assert_true(T.a.well && T.b.well);
	}
}

static void
abort_now(struct end *e)
{
	conn_abort(e->c);
	conn_abort(e->c);
	assert_int_equal(e->closed, 0);
}

static void
abort_in_the_callback_is_a_reset(void **state)
{
	pair(&ops);
	T.b.said = abort_now;
	assert_true(write_at(T.a.c, 0, 100));
	RUN_UNTIL(T.a.closed == 1 && T.b.closed == 1);
	assert_true(T.b.well);
	assert_non_null(strstr(T.a.why, "reset"));
}

static void
close_now(struct end *e)
{
	conn_close(e->c);
}

static void
close_in_the_callback(void **state)
{
	int tls;

	for (tls = 0; tls < 2; tls++) {
		if (tls == 1) {
			teardown(state);
			setup(state);
		}
		pair(&ops);
		if (tls == 1)
			secure();
		T.b.said = close_now;
		T.b.take = 10;
		assert_true(write_at(T.a.c, 0, 100000));
		RUN_UNTIL(T.a.closed == 1 && T.b.closed == 1);
		assert_int_equal(T.b.reads, 1);
	}
}

/* TLS that ends without its own end may have been cut by anybody on the road. */
static void
a_cut_is_told_from_an_end(void **state)
{
	struct why why;
	int fds[2], copy;

	tcp_pair(fds);
	copy = dup(fds[0]);
	T.a.c = conn_new(&T.loop, fds[0], &ops, &T.a, &why);
	T.b.c = conn_new(&T.loop, fds[1], &ops_eof, &T.b, &why);
	secure();
	shutdown(copy, SHUT_WR);
	RUN_UNTIL(T.b.closed == 1);
	assert_non_null(strstr(T.b.why, "without ending TLS"));
	assert_int_equal(T.b.eofs, 0);
	close(copy);
}

static void
addresses(void **state)
{
	struct netaddr p, l;

	pair(&ops);
	assert_true(conn_peer(T.a.c, &p) && conn_local(T.b.c, &l));
	assert_string_equal(netaddr_hostport(&p).s, netaddr_hostport(&l).s);
	assert_string_equal(netaddr_ip(&p).s, "127.0.0.1");
}

/* --- dialling -------------------------------------------------------------------------- */

static struct {
	unsigned	 times;
	int		 fd;
	char		 why[512];
} dialled;

static void
on_dialled(void *arg, int fd, const struct why *why)
{
	dialled.times++;
	dialled.fd = fd;
	snprintf(dialled.why, sizeof(dialled.why), "%s", why != NULL ? why->text : "");
	assert_true((fd >= 0) == (why == NULL));
}

static void
dial(void **state)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sin);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fill_fds[8], i;
	struct netaddr to;
	struct why why;

	assert_int_equal(bind(l, (struct sockaddr *)&sin, n), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&sin, &n), 0);
	assert_true(netaddr_from_sockaddr((struct sockaddr *)&sin, &to));

	memset(&dialled, 0, sizeof(dialled));		/* nobody listens */
	if (conn_dial(&T.loop, &to, 5000, on_dialled, NULL, &why) == 0)
		RUN_UNTIL(dialled.times == 1);
	else
		snprintf(dialled.why, sizeof(dialled.why), "%s", why.text);
	assert_non_null(strstr(dialled.why, "refused"));

	assert_int_equal(listen(l, 0), 0);
	memset(&dialled, 0, sizeof(dialled));
	assert_int_equal(conn_dial(&T.loop, &to, 5000, on_dialled, NULL, &why), 0);
	assert_int_equal(dialled.times, 0);
	RUN_UNTIL(dialled.times == 1);
	assert_true(dialled.fd >= 0);
	close(dialled.fd);

	/* A full backlog answers nothing, like a dead machine. */
	for (i = 0; i < 8; i++) {
		fill_fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)!connect(fill_fds[i], (struct sockaddr *)&sin, sizeof(sin));
	}
	memset(&dialled, 0, sizeof(dialled));
	assert_int_equal(conn_dial(&T.loop, &to, 200, on_dialled, NULL, &why), 0);
	RUN_UNTIL(dialled.times == 1);
	assert_non_null(strstr(dialled.why, "no answer within 200 ms"));
	for (i = 0; i < 8; i++)
		close(fill_fds[i]);
	close(l);
}

/* --- what an idle connection costs ------------------------------------------------------- */

static size_t
in_use(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

enum { CROWD = 200 };

/* Both ends are ours, so each figure is for two connections; each has said something, then fell silent. */
static size_t
crowd(bool tls)
{
	static struct end ends[CROWD][2];
	size_t before, cost;
	struct why why;
	unsigned i, j;

	memset(ends, 0, sizeof(ends));
	pair(&ops);		/* what the first connection of all brings along */
	if (tls)
		secure();
	before = in_use();
	for (i = 0; i < CROWD; i++) {
		int fds[2];

		tcp_pair(fds);
		for (j = 0; j < 2; j++) {
			ends[i][j].c = conn_new(&T.loop, fds[j], &ops, &ends[i][j], &why);
			if (tls)
				assert_int_equal(conn_tls(ends[i][j].c, j == 0 ? T.client : T.server, j == 1, &why), 0);
		}
		if (tls)
			RUN_UNTIL(ends[i][0].secured == 1 && ends[i][1].secured == 1);
		assert_true(write_at(ends[i][0].c, 0, 5000));
		RUN_UNTIL(ends[i][1].n == 5000);
		for (j = 0; j < 2; j++) {
			free(ends[i][j].in);
			ends[i][j].in = NULL;
			ends[i][j].cap = 0;
		}
	}
	cost = (in_use() - before) / CROWD;
	for (i = 0; i < CROWD; i++)
		for (j = 0; j < 2; j++)
			conn_abort(ends[i][j].c);
	for (i = 0; i < CROWD; i++)
		RUN_UNTIL(ends[i][0].closed == 1 && ends[i][1].closed == 1);
	return cost;
}

static void
idle_connections_are_small(void **state)
{
	size_t plain, tls;

	if (in_use() == 0)	/* a sanitizer's allocator counts elsewhere */
		skip();
	plain = crowd(false);
	teardown(state);
	setup(state);
	tls = crowd(true);
	print_message("idle, octets of user space: plain %zu, TLS %zu (the mean of a client and a server)\n",
	    plain / 2, tls / 2);
	assert_true(plain / 2 < 1024);
	assert_true(tls / 2 < 20 * 1024);
}

int
main(void)
{
#define NET(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		NET(plain_bytes_arrive),
		NET(tls_bytes_arrive),
		NET(plain_short_counts),
		NET(tls_short_counts),
		NET(a_resume_inside_the_callback_counts),
		NET(a_pause_with_all_taken),
		NET(plain_peer_that_does_not_read),
		NET(tls_peer_that_does_not_read),
		NET(nothing_read_before_the_handshake_comes_after_it),
		NET(held_octets_go_too),
		NET(versions),
		NET(no_tls_is_said_so),
		NET(close_sends_what_is_queued),
		NET(close_with_unread_input_is_no_reset),
		NET(half_close),
		NET(abort_in_the_callback_is_a_reset),
		NET(close_in_the_callback),
		NET(a_cut_is_told_from_an_end),
		NET(addresses),
		NET(dial),
		NET(idle_connections_are_small),
	};

	net_key_make(&key, "P-256");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
