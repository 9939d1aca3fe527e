/* Connections passed through a tunnel whole: client, edge, home and backend on one loop. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kit/ahead.h"
#include "kit/heap.h"
#include "kit/tcp_pair.h"
#include "kit/tunnel_ends.h"
#include "net/spin.h"
#include "net/splice.h"

#define MANY 100

struct end {				/* of the passed connection, as its program sees it */
	int	 fd;
	int	 inner;		/* the splice's own side of it, while there is one */
	size_t	 sent, got;
	bool	 eof, lost;
};

struct half {				/* a splice as its owner sees it */
	struct passed	*passed;
	struct splice	*sp;		/* NULL once closed */
	unsigned	 closed, firsts;
	char		 why[512];	/* "" in order */
};

static struct passed {
	struct end	 client, backend;
	struct half	 edge, home;
	unsigned	 nothings, status;
	bool		 part;		/* takes the conn when nothing came */
	struct conn	*parted;
	char		 parted_said[32];
	unsigned	 refuse;	/* home answers so */
} all[MANY];
static unsigned nhome;			/* requests that came, in the order of all[] */
static struct splices edge, home;

/* In place of net/spin.c: these are looked at, not waited for. */
static unsigned nopened;

void
spin_passed(const uv_loop_t *l, size_t octets)
{
	assert_ptr_equal(l, &loop);
}

void
spin_opens(const uv_loop_t *l)
{
	assert_ptr_equal(l, &loop);
	nopened++;
}

/* --- owners ---------------------------------------------------------------------------------- */

static size_t
on_parted(void *arg, struct span s)
{
	struct passed *p = arg;

	assert_true(span_copy(s, p->parted_said, sizeof(p->parted_said)));
	return s.n;
}

static void
on_parted_closed(void *arg, const struct why *why)
{
	((struct passed *)arg)->parted = NULL;
}

static const struct conn_ops parted_ops = { .read = on_parted, .closed = on_parted_closed };

static void
on_first(void *arg)
{
	((struct half *)arg)->firsts++;
}

static bool
on_nothing(void *arg, unsigned status, const struct why *why)
{
	struct half *h = arg;
	struct passed *p = h->passed;

	p->nothings++;
	p->status = status;
	if (!p->part || (p->parted = splice_part(&h->sp)) == NULL)
		return false;
	assert_null(h->sp);
	conn_own(p->parted, &parted_ops, p);
	conn_resume(p->parted);
	return true;
}

static void
on_closed(void *arg, const struct why *why)
{
	struct half *h = arg;

	assert_int_equal(h->closed++, 0);
	snprintf(h->why, sizeof(h->why), "%s", why != NULL ? why->text : "");
	h->sp = NULL;
}

static const struct splice_ops ops = {
	.first = on_first, .nothing = on_nothing, .closed = on_closed,
};

static struct conn *
conn_to(struct end *e)
{
	struct why why;
	int fds[2];
	struct conn *c;

	tcp_pair(fds);
	e->fd = fds[0];
	e->inner = fds[1];
	c = conn_new(&loop, fds[1], &parted_ops, NULL, &why);
	assert_non_null(c);
	return c;
}

static void
on_request(struct h2_end *e, struct h2_stream *s, const struct h2_head *head, bool has_body)
{
	struct passed *p = &all[nhome++];
	struct h2_head answer = { .status = p->refuse != 0 ? p->refuse : 200 };

	if (p->refuse != 0) {
		assert_true(h2_respond(s, &answer, SPAN_LIT("no"), NULL, NULL));
		return;
	}
	p->home.passed = p;
	p->home.sp = splice_new(&home, conn_to(&p->backend), &ops, &p->home);
	assert_non_null(p->home.sp);
	h2_stream_own(s, &splice_stream_ops, p->home.sp);
	assert_true(h2_respond(s, &answer, SPAN_LIT(""), splice_pull, p->home.sp));
	splice_join(p->home.sp, s);
	splice_read(p->home.sp);
}

static void
pass(struct passed *p, bool read)
{
	struct h2_head head = { .method = SPAN_LIT("CONNECT"), .authority = SPAN_LIT("smtp:25") };
	struct h2_stream *s;

	p->edge.passed = p;
	p->edge.sp = splice_new(&edge, conn_to(&p->client), &ops, &p->edge);
	assert_non_null(p->edge.sp);
	assert_true(splice_push(p->edge.sp, SPAN_LIT("PROXY ")));
	s = h2_request(tunnel.edge.h2, &head, splice_pull, p->edge.sp, &splice_stream_ops,
	    p->edge.sp);
	assert_non_null(s);
	splice_join(p->edge.sp, s);
	if (read)
		splice_read(p->edge.sp);
}

static int
set_up(void **state)
{
	tunnel_setup(state);
	memset(all, 0, sizeof(all));
	for (size_t i = 0; i < MANY; i++)
		all[i].client.fd = all[i].backend.fd = -1;
	nhome = nopened = 0;
	splices_init(&edge, &loop);
	splices_init(&home, &loop);
	edge.held_max = home.held_max = 64u << 20;
	edge.idle_ms = home.idle_ms = edge.total_ms = home.total_ms = 3600 * 1000;
	tunnel.home.serve = on_request;
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.ready);
	return 0;
}

static int
tear_down(void **state)
{
	for (size_t i = 0; i < MANY; i++) {
		if (all[i].edge.sp != NULL)
			splice_abort(all[i].edge.sp, "the test is over");
		if (all[i].parted != NULL)
			conn_abort(all[i].parted);
		if (all[i].client.fd >= 0)
			close(all[i].client.fd);
		if (all[i].backend.fd >= 0)
			close(all[i].backend.fd);
	}
	RUN_UNTIL(edge.n == 0 && home.n == 0);
	assert_int_equal(edge.held, 0);
	assert_int_equal(home.held, 0);
	return tunnel_teardown(state);
}

/* --- programs at both ends ------------------------------------------------------------------- */

/* Octet i of a stream: each place can be told from its neighbours. */
static unsigned char
octet(size_t i)
{
	return (unsigned char)(i * 31 + i / 251);
}

/* As many of the first n octets as the kernel takes. */
static void
send_to(struct end *e, size_t n)
{
	static unsigned char piece[64 << 10];

	while (e->sent < n) {
		size_t some = n - e->sent < sizeof(piece) ? n - e->sent : sizeof(piece);
		ssize_t did;

		for (size_t i = 0; i < some; i++)
			piece[i] = octet(e->sent + i);
		did = send(e->fd, piece, some, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (did <= 0)
			return;
		e->sent += (size_t)did;
	}
}

static void
hear_from(struct end *e, size_t skip)
{
	static unsigned char piece[64 << 10];
	ssize_t n;

	while ((n = recv(e->fd, piece, sizeof(piece), MSG_DONTWAIT)) > 0) {
		for (ssize_t i = 0; i < n; i++, e->got++)
			if (e->got >= skip && piece[i] != octet(e->got - skip))
				fail_msg("another octet at %zu", e->got);
	}
	if (n == 0)
		e->eof = true;
	else if (errno != EAGAIN)
		e->lost = true;
}

/* The backend hears "PROXY " in front. */
#define FRONT 6

static bool
moved(struct passed *p, size_t up, size_t down)
{
	if (p->backend.fd < 0)
		return false;
	send_to(&p->client, up);
	send_to(&p->backend, down);
	hear_from(&p->client, 0);
	hear_from(&p->backend, FRONT);
	return p->client.got >= down && p->backend.got >= up + FRONT;
}

static void
cut(struct end *e)
{
	struct linger reset = { 1, 0 };

	setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(e->fd);
	e->fd = -1;
}

static bool
ended(struct end *e)
{
	hear_from(e, e == &all[0].backend ? FRONT : 0);
	return e->eof || e->lost;
}

/* --- the tests ------------------------------------------------------------------------------- */

static void
octets_go_both_ways(void **state)
{
	size_t n = 24u << 20;

	pass(&all[0], true);
	RUN_UNTIL(moved(&all[0], 10, 0));
	RUN_UNTIL(moved(&all[0], 10, 10));
	RUN_UNTIL(moved(&all[0], n, n));
	assert_int_equal(splice_out(all[0].edge.sp), n);
	assert_int_equal(splice_in(all[0].edge.sp), n);
	assert_int_equal(splice_in(all[0].home.sp), n + FRONT);
	assert_int_equal(all[0].edge.firsts, 1);
	RUN_UNTIL(edge.held + home.held == 0);
}

/* What comes later is answered by whom it is open to; a client that speaks first waits no less. */
static void
only_its_front_opens_it(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		pass(&all[i], true);
		send_to(&all[i].client, 10 * i);
		RUN_UNTIL(moved(&all[i], 10, 0));
		RUN_UNTIL(moved(&all[i], 10, 10));
		RUN_UNTIL(moved(&all[i], 20, 20));
		assert_int_equal(nopened, i + 1);
	}
}

/* A client that has said all, and waits for the answer; then the same from the other side. */
static void
half_a_connection_stays_open(void **state)
{
	for (int i = 0; i < 2; i++) {
		struct passed *p = &all[i];
		struct end *first = i == 0 ? &p->client : &p->backend;
		struct end *second = i == 0 ? &p->backend : &p->client;
		size_t up = i == 0 ? 300000 : 0, down = i == 0 ? 0 : 300000;

		pass(p, true);
		RUN_UNTIL(moved(p, 0, 0));
		if (i == 0)
			send_to(first, up);
		else
			send_to(first, down);
		shutdown(first->fd, SHUT_WR);
		RUN_UNTIL((moved(p, up, down), second->eof));
		RUN_UNTIL(moved(p, 300000, 300000));
		assert_false(first->eof || first->lost);
		shutdown(second->fd, SHUT_WR);
		RUN_UNTIL((hear_from(first, i == 0 ? 0 : FRONT), first->eof));
		RUN_UNTIL(p->edge.closed == 1 && p->home.closed == 1);
		assert_string_equal(p->edge.why, "");
		assert_string_equal(p->home.why, "");
	}
}

/* Whoever ends first, and with what on its way either way: all of it arrives, then the end. */
static void
an_end_loses_nothing_before_it(void **state)
{
	static const size_t sizes[] = { 0, 1, 1000, 300000 };
	struct passed *p = all;

	for (int order = 0; order < 3; order++)
		for (int i = 0; i < 16; i++, p++) {
			size_t up = sizes[i % 4], down = sizes[i / 4];
			bool client = false, backend = false;

			pass(p, true);
			RUN_UNTIL(moved(p, 0, 0));
			while (!client || !backend) {
				if (!client && (order != 1 || p->client.eof)) {
					send_to(&p->client, up);
					if (p->client.sent == up)
						client = shutdown(p->client.fd, SHUT_WR) == 0;
				}
				if (!backend && (order != 0 || p->backend.eof)) {
					send_to(&p->backend, down);
					if (p->backend.sent == down)
						backend = shutdown(p->backend.fd, SHUT_WR) == 0;
				}
				loop_turns(1);
				hear_from(&p->client, 0);
				hear_from(&p->backend, FRONT);
			}
			RUN_UNTIL((hear_from(&p->client, 0), hear_from(&p->backend, FRONT),
			    p->client.eof && p->backend.eof));
			assert_int_equal(p->client.got, down);
			assert_int_equal(p->backend.got, up + FRONT);
			RUN_UNTIL(p->edge.closed == 1 && p->home.closed == 1);
			assert_string_equal(p->edge.why, "");
			assert_string_equal(p->home.why, "");
			close(p->client.fd);
			close(p->backend.fd);
			p->client.fd = p->backend.fd = -1;
		}
}

/*
 * A server that answers and closes with its client's octets unread resets the connection
 * (so does one that says 421 to a pipelining client); its answer must arrive all the same.
 */
static void
an_answer_comes_before_the_reset_behind_it(void **state)
{
	for (int i = 0; i < 20; i++) {
		struct passed *p = &all[i];
		size_t n = (size_t)i * 2500 + 5;	/* what is not sent yet goes with it */
		char one;

		pass(p, true);
		RUN_UNTIL(p->backend.fd >= 0 && moved(p, 1, 0));
		send_to(&p->client, 100);
		if (i % 2 == 0)		/* else they come to a server that is gone */
			RUN_UNTIL(recv(p->backend.fd, &one, 1, MSG_PEEK | MSG_DONTWAIT) == 1);
		send_to(&p->backend, n);
		assert_int_equal(p->backend.sent, n);
		close(p->backend.fd);
		p->backend.fd = -1;
		send_to(&p->client, 200);
		RUN_UNTIL((hear_from(&p->client, 0), p->client.eof || p->client.lost));
		assert_int_equal(p->client.got, n);
		close(p->client.fd);
		p->client.fd = -1;
		RUN_UNTIL(p->edge.closed == 1 && p->home.closed == 1);
	}
}

/* What was lost on one side must not look like an end on the other. */
static void
a_reset_is_a_reset_on_the_other_side(void **state)
{
	pass(&all[0], true);
	RUN_UNTIL(moved(&all[0], 10, 10));
	cut(&all[0].client);
	RUN_UNTIL(ended(&all[0].backend));
	assert_true(all[0].backend.lost);
	pass(&all[1], true);
	RUN_UNTIL(moved(&all[1], 10, 10));
	cut(&all[1].backend);
	RUN_UNTIL(ended(&all[1].client));
	assert_true(all[1].client.lost);
	RUN_UNTIL(edge.n == 0 && home.n == 0);
	for (int i = 0; i < 2; i++) {
		assert_string_not_equal(all[i].edge.why, "");
		assert_string_not_equal(all[i].home.why, "");
	}
	assert_non_null(tunnel.edge.h2);
}

static void
a_lost_tunnel_resets_both(void **state)
{
	pass(&all[0], true);
	RUN_UNTIL(moved(&all[0], 10, 10));
	send_to(&all[0].backend, 1 << 20);
	h2_abort(tunnel.home.h2, "the line is cut");
	RUN_UNTIL(ended(&all[0].client) && ended(&all[0].backend));
	assert_true(all[0].client.lost && all[0].backend.lost);
	RUN_UNTIL(all[0].edge.closed == 1);
	assert_non_null(strstr(all[0].edge.why, "tunnel: "));
}

/* Three clients read nothing of what their backends pour out; the fourth has all of its own. */
static void
a_stalled_stream_stops_no_other(void **state)
{
	size_t n = 32u << 20;

	for (int i = 0; i < 4; i++)
		pass(&all[i], true);
	RUN_UNTIL(nhome == 4);
	for (int i = 0; i < 50; i++) {
		for (int k = 0; k < 3; k++)
			send_to(&all[k].backend, n);
		loop_run_ms(2);
	}
	RUN_UNTIL(moved(&all[3], n, n));
	for (int k = 0; k < 3; k++)
		assert_true(all[k].backend.sent < n);
	assert_true(edge.held > 0 && edge.held <= 3 * (size_t)H2_WINDOW);
	for (int k = 0; k < 3; k++)
		RUN_UNTIL(moved(&all[k], 10, n));
}

static void
a_backend_that_takes_nothing_stops_its_client(void **state)
{
	size_t n = 64u << 20;

	pass(&all[0], true);
	for (int i = 0; i < 100; i++) {
		send_to(&all[0].client, n);
		loop_run_ms(2);
	}
	assert_true(all[0].client.sent < n);
	assert_true(edge.held <= SPLICE_FRONT);
	assert_true(home.held <= H2_WINDOW);
	RUN_UNTIL(moved(&all[0], n, 10));
}

static void
who_holds_most_goes_when_memory_is_out(void **state)
{
	edge.held_max = 300u << 10;
	pass(&all[0], true);
	pass(&all[1], true);
	RUN_UNTIL(nhome == 2 && moved(&all[1], 10, 10));
	for (int i = 0; all[0].edge.closed == 0 && i < 1000; i++) {
		send_to(&all[0].backend, 64u << 20);
		loop_run_ms(2);
	}
	assert_non_null(strstr(all[0].edge.why, "memory for slow peers"));
	RUN_UNTIL(moved(&all[1], 1000, 1000));
}

static void
many_at_once(void **state)
{
	for (size_t i = 0; i < MANY; i++)
		pass(&all[i], true);
	RUN_UNTIL(nhome == MANY);
	for (size_t i = 0; i < MANY; i++)
		RUN_UNTIL(moved(&all[i], 1000 * i, 500 * i));
	for (size_t i = 0; i < MANY; i++)
		shutdown(all[i].client.fd, SHUT_WR);
	for (size_t i = 0; i < MANY; i++) {
		RUN_UNTIL((hear_from(&all[i].backend, FRONT), all[i].backend.eof));
		close(all[i].backend.fd);
		all[i].backend.fd = -1;
	}
	RUN_UNTIL(edge.n == 0 && home.n == 0);
	for (size_t i = 0; i < MANY; i++)
		assert_string_equal(all[i].edge.why, "");
}

static void
time_runs_out(void **state)
{
	static const char *const words[] = { "nothing moved", "longest time" };

	for (int i = 0; i < 2; i++) {
		edge.idle_ms = i == 0 ? 10000 : 3600000;
		edge.total_ms = i == 0 ? 3600000 : 20000;
		pass(&all[i], true);
		RUN_UNTIL(moved(&all[i], 10, 10));
		splices_sweep(&edge);
		assert_int_equal(all[i].edge.closed, 0);
		for (size_t n = 11; n < 100 && i == 1; n++) {	/* busy, but for too long */
			ahead_ms += 100;
			loop_run_ms(5);
			moved(&all[i], n, n);
		}
		splices_sweep(&edge);
		assert_int_equal(all[i].edge.closed, 0);
		ahead_ms += 12000;
		loop_turns(1);
		splices_sweep(&edge);
		RUN_UNTIL(all[i].edge.closed == 1 && all[i].home.closed == 1);
		assert_non_null(strstr(all[i].edge.why, words[i]));
	}
}

static void
minutes_pass(unsigned n)
{
	for (unsigned s = 0; s < 60 * n; s += 10) {
		ahead_ms += 10000;
		loop_turns(1);
		splices_sweep(&edge);
	}
}

/* Not who takes a little now and then, nor who has nothing to take. */
static void
who_takes_nothing_is_given_up(void **state)
{
	for (int i = 0; i < 3; i++)
		pass(&all[i], true);
	RUN_UNTIL(nhome == 3 && moved(&all[2], 10, 10));
	for (int still = 0; still < 100; still++) {	/* until nothing more goes in */
		size_t before = all[0].backend.sent + all[1].backend.sent;

		send_to(&all[0].backend, 64u << 20);
		send_to(&all[1].backend, 64u << 20);
		loop_run_ms(2);
		if (all[0].backend.sent + all[1].backend.sent > before)
			still = 0;
	}
	for (int minute = 0; minute < 7; minute++) {
		static char sip[256 << 10];

		assert_true(minute > 4 || all[0].edge.closed == 0);
		minutes_pass(1);
		assert_true(recv(all[1].client.fd, sip, sizeof(sip), MSG_WAITALL) > 0);
		for (int i = 0; i < 20; i++) {
			send_to(&all[1].backend, 1u << 30);
			loop_run_ms(2);
		}
		splices_sweep(&edge);
	}
	assert_non_null(strstr(all[0].edge.why, "does not read"));
	assert_int_equal(all[1].edge.closed + all[2].edge.closed, 0);
}

/* One that has ended and hears nothing more; but the answer may take its time, if it comes. */
static void
half_a_connection_ends_when_nothing_comes(void **state)
{
	for (int i = 0; i < 3; i++) {
		pass(&all[i], true);
		RUN_UNTIL(moved(&all[i], 10, 10));
	}
	for (int i = 0; i < 2; i++) {
		shutdown(all[i].client.fd, SHUT_WR);
		RUN_UNTIL(ended(&all[i].backend));
	}
	for (size_t n = 11; n < 14; n++) {
		minutes_pass(2);
		RUN_UNTIL((send_to(&all[1].backend, n), hear_from(&all[1].client, 0),
		    all[1].client.got == n));
	}
	assert_int_equal(all[0].edge.closed, 1);
	assert_non_null(strstr(all[0].edge.why, "one side had ended"));
	assert_int_equal(all[1].edge.closed + all[2].edge.closed, 0);
}

static void
tcp_looks_after_an_idle_peer(void **state)
{
	int on = 0;
	socklen_t n = sizeof(on);

	pass(&all[0], true);
	RUN_UNTIL(moved(&all[0], 10, 10));
	minutes_pass(1);
	assert_int_equal(getsockopt(all[0].client.inner, SOL_SOCKET, SO_KEEPALIVE, &on, &n), 0);
	assert_int_equal(on, 1);
}

/* Before an octet was passed, another may take the conn, and hears what the client had said. */
static void
who_was_refused_may_be_served_otherwise(void **state)
{
	all[0].part = true;
	all[0].refuse = 503;
	pass(&all[0], false);
	assert_int_equal(send(all[0].client.fd, "EHLO", 4, 0), 4);
	RUN_UNTIL(all[0].parted != NULL && all[0].parted_said[0] != '\0');
	assert_int_equal(all[0].status, 503);
	assert_string_equal(all[0].parted_said, "EHLO");
	assert_true(conn_write(all[0].parted, "220", 3));
	all[1].part = true;			/* a backend that closes before its banner */
	pass(&all[1], false);
	RUN_UNTIL(moved(&all[1], 0, 0));
	close(all[1].backend.fd);
	all[1].backend.fd = -1;
	RUN_UNTIL(all[1].parted != NULL);
	assert_int_equal(all[1].status, 200);
	all[2].part = true;			/* and a tunnel that goes */
	pass(&all[2], false);
	RUN_UNTIL(all[2].backend.fd >= 0);
	h2_abort(tunnel.home.h2, "the line is cut");
	RUN_UNTIL(all[2].parted != NULL);
	assert_int_equal(all[2].status, 0);
	assert_int_equal(edge.n, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(all[i].edge.closed, 0);
}

static void
after_an_octet_it_is_too_late(void **state)
{
	all[0].part = true;
	pass(&all[0], false);
	RUN_UNTIL(moved(&all[0], 0, 3));
	cut(&all[0].backend);
	RUN_UNTIL(all[0].edge.closed == 1);
	assert_int_equal(all[0].nothings, 0);
	assert_null(all[0].parted);
}

static void
one_that_idles_costs_little(void **state)
{
	size_t before = 0, each;

	for (size_t i = 0; i < MANY; i++) {
		if (i == MANY / 2)
			before = heap_in_use();
		pass(&all[i], true);
		RUN_UNTIL(moved(&all[i], 1000, 1000));
		loop_turns(5);
	}
	each = (heap_in_use() - before) / (MANY / 2);
	if (before == 0)
		skip();
	print_message("idle, both ends together: %zu octets of heap\n", each);
	assert_true(each < 8192);
}

int
main(void)
{
#define SPLICED(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		SPLICED(octets_go_both_ways),
		SPLICED(only_its_front_opens_it),
		SPLICED(half_a_connection_stays_open),
		SPLICED(an_end_loses_nothing_before_it),
		SPLICED(an_answer_comes_before_the_reset_behind_it),
		SPLICED(a_reset_is_a_reset_on_the_other_side),
		SPLICED(a_lost_tunnel_resets_both),
		SPLICED(a_stalled_stream_stops_no_other),
		SPLICED(a_backend_that_takes_nothing_stops_its_client),
		SPLICED(who_holds_most_goes_when_memory_is_out),
		SPLICED(many_at_once),
		SPLICED(time_runs_out),
		SPLICED(who_takes_nothing_is_given_up),
		SPLICED(half_a_connection_ends_when_nothing_comes),
		SPLICED(tcp_looks_after_an_idle_peer),
		SPLICED(who_was_refused_may_be_served_otherwise),
		SPLICED(after_an_octet_it_is_too_late),
		SPLICED(one_that_idles_costs_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
