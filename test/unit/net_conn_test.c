/* Octets over a connection, plain and in TLS: all arrive, none before its time, few are held. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kit/conn_ends.h"
#include "kit/heap.h"
#include "kit/tcp_pair.h"

/* --- bytes ------------------------------------------------------------------------ */

static void
bytes_arrive(enum ends_kind kind)
{
	size_t sizes[] = { 1, 100, 16384, 16385, 100000, 131072, 1000000, 3 }, i, n = 0;

	ends_meet(&conn_end_ops);
	ends_secure(kind);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_true(octets_write(ends.a.c, n, sizes[i]));
		n += sizes[i];
	}
	RUN_UNTIL(ends.b.n == n);
	octets_check(&ends.b, n);
	assert_int_equal(conn_queued(ends.a.c), 0);
}

static void
plain_bytes_arrive(void **state)
{
	bytes_arrive(ENDS_PLAIN);
}

static void
tls_bytes_arrive(void **state)
{
	bytes_arrive(ENDS_TLS);
}

static void
tunnel_bytes_arrive(void **state)
{
	bytes_arrive(ENDS_TUNNEL);
}

/* The owner takes a few octets a call, and comes back for the rest. */
static void
short_counts(enum ends_kind kind, size_t take)
{
	enum { N = 60000 };
	unsigned reads;

	ends_meet(&conn_end_ops);
	ends_secure(kind);
	ends.b.take = take;
	assert_true(octets_write(ends.a.c, 0, N));
	while (ends.b.n < N) {
		reads = ends.b.reads;
		RUN_UNTIL(ends.b.reads > reads);
		reads = ends.b.reads;
		loop_turns(2);
		assert_int_equal(ends.b.reads, reads);		/* short is paused */
		conn_resume(ends.b.c);
		assert_int_equal(ends.b.reads, reads);		/* never from inside */
	}
	octets_check(&ends.b, N);
}

static void
plain_short_counts(void **state)
{
	short_counts(ENDS_PLAIN, 97);
}

static void
tls_short_counts(void **state)
{
	short_counts(ENDS_TLS, 97);
}

static void
tunnel_short_counts(void **state)
{
	short_counts(ENDS_TUNNEL, 9973);
}

static void
resume_now(struct conn_end *e)
{
	conn_resume(e->c);
}

/* What the owner waited for happened while it was being called. */
static void
a_resume_inside_the_callback_counts(void **state)
{
	enum ends_kind kind;

	for (kind = ENDS_PLAIN; kind < ENDS_KINDS; kind++) {
		ends_again(state, kind, &conn_end_ops);
		ends.b.take = 1000;
		ends.b.said = resume_now;
		assert_true(octets_write(ends.a.c, 0, 100000));
		RUN_UNTIL(ends.b.n == 100000);
		octets_check(&ends.b, 100000);
	}
}

/* As much of what is there as fits, to the end of what came. */
static size_t
take(struct conn_end *e, size_t max, bool *ended)
{
	size_t n;

	assert_true(e->n + max <= e->cap);
	if ((n = conn_take(e->c, e->in + e->n, max, ended)) < max)
		e->more = false;
	e->n += n;
	return n;
}

/* By whom it is wanted and when: until then it keeps the peer waiting. */
static void
what_came_is_taken(void **state)
{
	static const size_t sizes[] = { 1, 70000, 3, 16384, 131072 };
	size_t n = 0;
	bool ended = false;

	ends_meet(&conn_end_half);
	ends.b.cap = 300u << 20;
	assert_non_null(ends.b.in = malloc(ends.b.cap));
	ends.b.deaf = true;			/* held back before it is taken: comes first */
	assert_true(octets_write(ends.a.c, 0, 100));
	loop_turns(5);
	conn_own(ends.b.c, &conn_end_takes, &ends.b);
	conn_resume(ends.b.c);
	assert_false(ends.b.more);		/* never from inside */
	RUN_UNTIL(ends.b.more);
	for (n = 100; conn_queued(ends.a.c) < 1u << 20; n += 100000)
		assert_true(octets_write(ends.a.c, n, 100000));
	loop_turns(10);
	conn_shutdown(ends.a.c);
	for (size_t i = 0; !ended; i++) {
		RUN_UNTIL(ends.b.more);
		while (take(&ends.b, sizes[i % 5], &ended) == sizes[i % 5] && i % 7 != 0)
			;
		if (ends.b.more)
			loop_turns(3);		/* nobody says again what we know */
		else if (!ended)
			assert_int_equal(take(&ends.b, 100, &ended), 0);
	}
	octets_check(&ends.b, n);
	assert_int_equal(ends.b.closed + ends.b.eofs, 0);
	assert_true(conn_write(ends.b.c, "221", 3));
	RUN_UNTIL(ends.a.n == 3);
}

/* What it said before that is taken first. */
static void
what_came_before_a_reset_is_taken(void **state)
{
	bool ended, heard;

	for (int i = 0; i < 2; i++) {
		heard = i == 1;
		ends_again(state, ENDS_PLAIN, &conn_end_takes);
		conn_hear_out(ends.b.c, heard);
		ends.b.cap = 1 << 20;
		assert_non_null(ends.b.in = malloc(ends.b.cap));
		assert_true(octets_write(ends.a.c, 0, 50000));
		RUN_UNTIL(ends.b.more);
		assert_int_equal(take(&ends.b, 10000, &ended), 10000);
		conn_abort(ends.a.c);
		RUN_UNTIL(ends.a.c == NULL);
		loop_turns(5);
		for (; heard && ends.b.c != NULL; loop_turns(1))
			while (ends.b.more && take(&ends.b, 15000, &ended) > 0)
				assert_false(ended);
		RUN_UNTIL(ends.b.closed == 1);
		if (heard)
			octets_check(&ends.b, 50000);
		assert_non_null(strstr(ends.b.why, "connection lost"));
	}
}

static void
a_peer_that_does_not_read(enum ends_kind kind)
{
	size_t n = 0;
	unsigned drained;

	ends_meet(&conn_end_ops);
	ends_secure(kind);
	ends.b.deaf = true;
	while (conn_queued(ends.a.c) < 1u << 20) {
		assert_true(octets_write(ends.a.c, n, 100000));
		n += 100000;
	}
	drained = ends.a.drained;
	ends.b.deaf = false;
	conn_resume(ends.b.c);
	RUN_UNTIL(ends.b.n == n);
	octets_check(&ends.b, n);
	RUN_UNTIL(ends.a.drained == drained + 1);
	assert_int_equal(conn_queued(ends.a.c), 0);

	ends.b.deaf = true;
	while (conn_write(ends.a.c, ends.b.in, 100000)) {
		n += 100000;
		assert_true(n < 100u << 20);
	}
	RUN_UNTIL(ends.a.closed == 1);
	assert_non_null(strstr(ends.a.why, "does not read"));
}

static void
plain_peer_that_does_not_read(void **state)
{
	a_peer_that_does_not_read(ENDS_PLAIN);
}

static void
tls_peer_that_does_not_read(void **state)
{
	a_peer_that_does_not_read(ENDS_TLS);
}

static void
tunnel_peer_that_does_not_read(void **state)
{
	a_peer_that_does_not_read(ENDS_TUNNEL);
}

static void
addresses(void **state)
{
	struct netaddr p, l;

	ends_meet(&conn_end_ops);
	assert_true(conn_peer(ends.a.c, &p) && conn_local(ends.b.c, &l));
	assert_string_equal(netaddr_hostport(&p).s, netaddr_hostport(&l).s);
	assert_string_equal(netaddr_ip(&p).s, "127.0.0.1");
}

/* --- what an idle connection costs ------------------------------------------------------- */

enum { CROWD = 200 };

/*
 * Both ends are ours, so each figure is for two connections; each has
 * said something, then fell silent.
 */
static size_t
crowd(bool tls)
{
	static struct conn_end members[CROWD][2];
	size_t before, cost;
	struct why why;
	unsigned i, j;

	memset(members, 0, sizeof(members));
	ends_meet(&conn_end_ops);		/* what the first connection of all brings along */
	ends_secure(tls ? ENDS_TLS : ENDS_PLAIN);
	before = heap_in_use();
	for (i = 0; i < CROWD; i++) {
		int fds[2];

		tcp_pair(fds);
		for (j = 0; j < 2; j++) {
			members[i][j].c = conn_new(&loop, fds[j], &conn_end_ops, &members[i][j],
			    &why);
			if (tls)
				assert_int_equal(conn_tls(members[i][j].c,
				    j == 0 ? ends.client : ends.server, j == 1, &why), 0);
		}
		if (tls)
			RUN_UNTIL(members[i][0].secured == 1 && members[i][1].secured == 1);
		assert_true(octets_write(members[i][0].c, 0, 5000));
		RUN_UNTIL(members[i][1].n == 5000);
		for (j = 0; j < 2; j++) {
			free(members[i][j].in);
			members[i][j].in = NULL;
			members[i][j].cap = 0;
		}
	}
	cost = (heap_in_use() - before) / CROWD;
	for (i = 0; i < CROWD; i++)
		for (j = 0; j < 2; j++)
			conn_abort(members[i][j].c);
	for (i = 0; i < CROWD; i++)
		RUN_UNTIL(members[i][0].closed == 1 && members[i][1].closed == 1);
	return cost;
}

static void
idle_connections_are_small(void **state)
{
	size_t plain, tls;

	if (heap_in_use() == 0)
		skip();
	plain = crowd(false);
	ends_teardown(state);
	ends_setup(state);
	tls = crowd(true);
	print_message("idle, octets of user space: plain %zu, TLS %zu "
	    "(the mean of a client and a server)\n",
	    plain / 2, tls / 2);
	assert_true(plain / 2 < 1024);
	assert_true(tls / 2 < 20 * 1024);
}

int
main(void)
{
#define NET(f) cmocka_unit_test_setup_teardown(f, ends_setup, ends_teardown)
	const struct CMUnitTest tests[] = {
		NET(plain_bytes_arrive),
		NET(tls_bytes_arrive),
		NET(tunnel_bytes_arrive),
		NET(plain_short_counts),
		NET(tls_short_counts),
		NET(tunnel_short_counts),
		NET(a_resume_inside_the_callback_counts),
		NET(what_came_is_taken),
		NET(what_came_before_a_reset_is_taken),
		NET(plain_peer_that_does_not_read),
		NET(tls_peer_that_does_not_read),
		NET(tunnel_peer_that_does_not_read),
		NET(addresses),
		NET(idle_connections_are_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
