/* How a connection ends, and what both sides are told of it. */
#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "kit/conn_ends.h"
#include "kit/tcp_pair.h"

static void
close_sends_what_is_queued(void **state)
{
	enum ends_kind kind;

	for (kind = ENDS_PLAIN; kind < ENDS_KINDS; kind++) {
		ends_again(state, kind, &conn_end_ops);
		ends.b.deaf = true;
		assert_true(octets_write(ends.a.c, 0, 4000000));
		conn_close(ends.a.c);
		conn_close(ends.a.c);
		assert_false(conn_write(ends.a.c, "x", 1));
		assert_int_equal(ends.a.closed, 0);
		ends.b.deaf = false;
		conn_resume(ends.b.c);
		RUN_UNTIL(ends.a.closed == 1 && ends.b.closed == 1);
		assert_true(ends.a.well);
		assert_non_null(strstr(ends.b.why, "the peer closed"));
		octets_check(&ends.b, 4000000);
	}
}

/* A last reply must not be lost to a reset because the peer had pipelined more than we read. */
static void
close_with_unread_input_is_no_reset(void **state)
{
	ends_meet(&conn_end_ops);
	ends.b.deaf = true;
	assert_true(conn_write(ends.a.c, "QUIT\r\n", 6));
	loop_turns(2);
	assert_true(conn_write(ends.a.c, "MORE\r\n", 6));	/* stays with the kernel */
	assert_true(conn_write(ends.b.c, "221 bye\r\n", 9));
	conn_close(ends.b.c);
	RUN_UNTIL(ends.a.closed == 1);
	assert_int_equal(ends.a.n, 9);
	assert_string_equal(ends.a.why, "the peer closed the connection");
}

static void
half_close(void **state)
{
	enum ends_kind kind;

	for (kind = ENDS_PLAIN; kind < ENDS_KINDS; kind++) {
		ends_again(state, kind, &conn_end_half);
		assert_true(octets_write(ends.a.c, 0, 500000));
		conn_shutdown(ends.a.c);
		assert_false(conn_write(ends.a.c, "x", 1));
		RUN_UNTIL(ends.b.eofs == 1);
		octets_check(&ends.b, 500000);
		assert_int_equal(ends.b.closed + ends.a.closed, 0);
		assert_true(octets_write(ends.b.c, 0, 700000));	/* the other way goes on */
		RUN_UNTIL(ends.a.n == 700000);
		octets_check(&ends.a, 700000);
		conn_close(ends.b.c);
		RUN_UNTIL(ends.a.eofs == 1 && ends.b.closed == 1);
		conn_close(ends.a.c);
		RUN_UNTIL(ends.a.closed == 1);
		assert_int_equal(ends.b.eofs, 1);
		assert_true(ends.a.well && ends.b.well);
	}
}

static void
abort_now(struct conn_end *e)
{
	conn_abort(e->c);
	conn_abort(e->c);
	assert_int_equal(e->closed, 0);
}

static void
abort_in_the_callback_is_a_reset(void **state)
{
	ends_meet(&conn_end_ops);
	ends.b.said = abort_now;
	assert_true(octets_write(ends.a.c, 0, 100));
	RUN_UNTIL(ends.a.closed == 1 && ends.b.closed == 1);
	assert_true(ends.b.well);
	assert_non_null(strstr(ends.a.why, "reset"));
}

static void
close_now(struct conn_end *e)
{
	conn_close(e->c);
}

static void
close_in_the_callback(void **state)
{
	enum ends_kind kind;

	for (kind = ENDS_PLAIN; kind < ENDS_KINDS; kind++) {
		ends_again(state, kind, &conn_end_ops);
		ends.b.said = close_now;
		ends.b.take = 10;
		assert_true(octets_write(ends.a.c, 0, 100000));
		RUN_UNTIL(ends.a.closed == 1 && ends.b.closed == 1);
		assert_int_equal(ends.b.reads, 1);
	}
}

/* A second hold on a's socket, to say there what a does not. */
static int
meet_with_a_copy(void **state, enum ends_kind kind)
{
	struct why why;
	int fds[2], copy;

	ends_teardown(state);
	ends_setup(state);
	tcp_pair(fds);
	copy = dup(fds[0]);
	ends.a.c = conn_new(&loop, fds[0], &conn_end_ops, &ends.a, &why);
	ends.b.c = conn_new(&loop, fds[1], &conn_end_half, &ends.b, &why);
	ends_secure(kind);
	return copy;
}

/* TLS that ends without its own end may have been cut by anybody on the road. */
static void
a_cut_is_told_from_an_end(void **state)
{
	enum ends_kind kind;

	for (kind = ENDS_TLS; kind < ENDS_KINDS; kind++) {
		int copy = meet_with_a_copy(state, kind);

		shutdown(copy, SHUT_WR);
		RUN_UNTIL(ends.b.closed == 1);
		assert_non_null(strstr(ends.b.why, "without ending TLS"));
		assert_int_equal(ends.b.eofs, 0);
		close(copy);
	}
}

/* What came before it is heard. */
static void
a_reset_is_told(void **state)
{
	enum ends_kind kind;

	for (kind = ENDS_PLAIN; kind < ENDS_KINDS; kind++) {
		ends_again(state, kind, &conn_end_half);
		assert_true(octets_write(ends.a.c, 0, 1000));
		RUN_UNTIL(ends.b.n == 1000);
		conn_abort(ends.a.c);
		RUN_UNTIL(ends.a.closed == 1 && ends.b.closed == 1);
		assert_non_null(strstr(ends.b.why, "reset"));
		assert_int_equal(ends.b.eofs, 0);
	}
}

/* Of whoever else used OpenSSL and left it: it is no error of this connection. */
static void
an_error_of_somebody_else_ends_nothing(void **state)
{
	ends_again(state, ENDS_TLS, &conn_end_half);
	ERR_raise_data(ERR_LIB_USER, 1, "not ours");
	assert_true(octets_write(ends.a.c, 0, 300000));
	RUN_UNTIL(ends.b.n == 300000);
	octets_check(&ends.b, 300000);
	ERR_raise_data(ERR_LIB_USER, 1, "not ours");
	conn_close(ends.a.c);
	RUN_UNTIL(ends.b.eofs == 1 && ends.a.closed == 1);
	assert_int_equal(ends.b.closed, 0);
	ERR_clear_error();
}

static void
a_forged_record_ends_it_and_is_no_end(void **state)
{
	static const char record[] = "\x17\x03\x03\0\x20" "forged by somebody on the road..";
	enum ends_kind kind;

	for (kind = ENDS_TLS; kind < ENDS_KINDS; kind++) {
		int copy = meet_with_a_copy(state, kind);

		assert_int_equal(write(copy, record, sizeof(record) - 1), 5 + 32);
		RUN_UNTIL(ends.b.closed == 1 && ends.a.closed == 1);
		assert_non_null(strstr(ends.b.why, "bad record mac"));
		assert_int_equal(ends.b.eofs, 0);
		assert_non_null(strstr(ends.a.why, "alert bad record mac"));	/* as b said */
		assert_int_equal(ends.a.eofs, 0);
		close(copy);
	}
}

/* What a client says first, and behind it, in the same piece, the end of TLS. */
static size_t
hello_and_goodbye(char *out, size_t max)
{
	static const char goodbye[] = { 0x15, 3, 3, 0, 2, 1, 0 };
	SSL *ssl = SSL_new(ends.client);
	BIO *in = BIO_new(BIO_s_mem()), *said = BIO_new(BIO_s_mem());
	int n;

	SSL_set_bio(ssl, in, said);
	SSL_set_connect_state(ssl);
	assert_int_equal(SSL_do_handshake(ssl), -1);
	n = BIO_read(said, out, (int)max);
	SSL_free(ssl);
	ERR_clear_error();
	assert_true(n > 0 && (size_t)n + sizeof(goodbye) <= max);
	memcpy(out + n, goodbye, sizeof(goodbye));
	return (size_t)n + sizeof(goodbye);
}

/* What was to be said in a handshake that ends is no part of another's stream. */
static void
a_handshake_that_ends_disturbs_no_other(void **state)
{
	enum ends_kind kind;

	for (kind = ENDS_TLS; kind < ENDS_KINDS; kind++) {
		struct conn_end third = { .c = NULL };
		char said[4096];
		struct why why;
		ssize_t n;
		int fds[2];

		ends_again(state, kind, &conn_end_half);
		tcp_pair(fds);
		third.c = conn_new(&loop, fds[1], &conn_end_half, &third, &why);
		assert_int_equal(conn_tls(third.c, ends.server, true, &why), 0);
		n = (ssize_t)hello_and_goodbye(said, sizeof(said));
		assert_int_equal(write(fds[0], said, (size_t)n), n);
		RUN_UNTIL(third.closed == 1);
		assert_non_null(strstr(third.why, "during the TLS handshake"));
		assert_true(octets_write(ends.b.c, 0, 1000));
		RUN_UNTIL(ends.a.n == 1000 || ends.a.closed == 1);
		octets_check(&ends.a, 1000);
		close(fds[0]);
	}
}

/* In one read: what was said, TLS's end and the socket's. */
static void
a_last_word_and_the_end_come_together(void **state)
{
	enum ends_kind kind;

	for (kind = ENDS_PLAIN; kind < ENDS_KINDS; kind++) {
		ends_again(state, kind, &conn_end_half);
		ends.b.deaf = true;
		assert_true(octets_write(ends.a.c, 0, 10));
		loop_turns(2);
		assert_true(octets_write(ends.a.c, 10, 50000));
		conn_close(ends.a.c);
		RUN_UNTIL(ends.a.closed == 1);
		ends.b.deaf = false;
		conn_resume(ends.b.c);
		RUN_UNTIL(ends.b.eofs == 1);
		octets_check(&ends.b, 50010);
		conn_close(ends.b.c);
		RUN_UNTIL(ends.b.closed == 1);
		assert_true(ends.b.well);
	}
}

int
main(void)
{
#define NET(f) cmocka_unit_test_setup_teardown(f, ends_setup, ends_teardown)
	const struct CMUnitTest tests[] = {
		NET(close_sends_what_is_queued),
		NET(close_with_unread_input_is_no_reset),
		NET(half_close),
		NET(abort_in_the_callback_is_a_reset),
		NET(close_in_the_callback),
		NET(a_cut_is_told_from_an_end),
		NET(a_reset_is_told),
		NET(a_last_word_and_the_end_come_together),
		NET(an_error_of_somebody_else_ends_nothing),
		NET(a_forged_record_ends_it_and_is_no_end),
		NET(a_handshake_that_ends_disturbs_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
