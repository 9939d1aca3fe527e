/* TLS that begins in the midst of a connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kit/conn_ends.h"
#include "net/tls.h"

static void
start_tls(struct conn_end *e)
{
	struct why why;

	if (e->n >= 10 && conn_ssl(e->c) == NULL) {
		assert_true(conn_write(e->c, "220 go\r\n", 8));
		assert_int_equal(conn_tls(e->c, ends.server, true, &why), 0);
	}
}

/*
 * RFC 3207 4.2: a command in the same packet as STARTTLS must not be
 * heard as if it had come in TLS.
 */
static void
nothing_read_before_the_handshake_comes_after_it(void **state)
{
	struct why why;

	ends_meet(&conn_end_ops);
	ends.b.take = 10;
	ends.b.said = start_tls;
	assert_true(conn_write(ends.a.c, "STARTTLS\r\nMAIL FROM:<evil@example.org>\r\n", 40));
	RUN_UNTIL(ends.a.n == 8);
	ends.b.take = 0;
	assert_int_equal(conn_tls(ends.a.c, ends.client, false, &why), 0);
	RUN_UNTIL(ends.a.secured == 1 && ends.b.secured == 1);
	assert_true(conn_write(ends.a.c, "EHLO a\r\n", 8));
	RUN_UNTIL(ends.b.n >= 18);
	assert_int_equal(ends.b.n, 18);
	assert_memory_equal(ends.b.in, "STARTTLS\r\nEHLO a\r\n", 18);
}

/* The same where the owner had held octets back before it decided. */
static void
held_octets_go_too(void **state)
{
	struct why why;

	ends_meet(&conn_end_ops);
	ends.b.take = 10;
	assert_true(conn_write(ends.a.c, "STARTTLS\r\nMAIL FROM:<evil@example.org>\r\n", 40));
	RUN_UNTIL(ends.b.n == 10);
	ends.b.take = 0;
	assert_int_equal(conn_tls(ends.b.c, ends.server, true, &why), 0);
	assert_int_equal(conn_tls(ends.a.c, ends.client, false, &why), 0);
	RUN_UNTIL(ends.a.secured == 1 && ends.b.secured == 1);
	assert_true(conn_write(ends.a.c, "EHLO a\r\n", 8));
	RUN_UNTIL(ends.b.n == 18);
	assert_memory_equal(ends.b.in + 10, "EHLO a\r\n", 8);
}

static void
versions(void **state)
{
	static const struct {
		int version;
		const char *described;		/* NULL: refused */
	} cases[] = {
		{ TLS1_1_VERSION, NULL }, { TLS1_2_VERSION, "TLSv1.2 ECDHE-" },
		{ TLS1_3_VERSION, "TLSv1.3 TLS_" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[128];
		struct why why;

		if (i > 0) {
			ends_teardown(state);
			ends_setup(state);
		}
		SSL_CTX_set_security_level(ends.client, 0);
		SSL_CTX_set_min_proto_version(ends.client, cases[i].version);
		SSL_CTX_set_max_proto_version(ends.client, cases[i].version);
		ends_meet(&conn_end_ops);
		if (cases[i].described == NULL) {
			conn_tls(ends.a.c, ends.client, false, &why);
			conn_tls(ends.b.c, ends.server, true, &why);
			RUN_UNTIL(ends.a.closed == 1 && ends.b.closed == 1);
			assert_non_null(strstr(ends.b.why, "TLS handshake"));
			continue;
		}
		ends_secure(ENDS_TLS);
		tls_describe(conn_ssl(ends.b.c), text, sizeof(text));
		assert_memory_equal(text, cases[i].described, strlen(cases[i].described));
	}
}

static void
no_tls_is_said_so(void **state)
{
	struct why why;

	ends_meet(&conn_end_ops);
	assert_int_equal(conn_tls(ends.b.c, ends.server, true, &why), 0);
	assert_true(conn_write(ends.a.c, "EHLO plain\r\n", 12));
	RUN_UNTIL(ends.b.closed == 1);
	assert_non_null(strstr(ends.b.why, "TLS handshake"));
	assert_int_equal(ends.b.n + ends.b.secured, 0);
}

int
main(void)
{
#define NET(f) cmocka_unit_test_setup_teardown(f, ends_setup, ends_teardown)
	const struct CMUnitTest tests[] = {
		NET(nothing_read_before_the_handshake_comes_after_it),
		NET(held_octets_go_too),
		NET(versions),
		NET(no_tls_is_said_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
