/* Who may have a tunnel at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kit/tunnel_ends.h"

static void
a_wrong_pin_ends_at_the_handshake(void **state)
{
	int which = *(int *)*state;

	tunnel_setup(state);
	if (which == 0) {	/* the edge does not know this home */
		SSL_CTX_free(tunnel.edge_ctx);
		tunnel.edge_ctx =
		    tunnel_ctx(&tunnel.edge_key, true, "posthouse/1", &tunnel.edge_pin);
	} else {		/* home does not know this edge */
		SSL_CTX_free(tunnel.home_ctx);
		tunnel.home_ctx =
		    tunnel_ctx(&tunnel.home_key, false, "posthouse/1", &tunnel.home_pin);
	}
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.closed == 1 && tunnel.home.closed == 1);
	assert_false(tunnel.edge.ready);
	assert_false(tunnel.home.ready);
	/* Each side has words for it: its own refusal, or the alert. */
	assert_non_null(strstr(which == 0 ? tunnel.edge.why : tunnel.home.why,
	    "certificate verify failed"));
	assert_non_null(strstr(which == 0 ? tunnel.home.why : tunnel.edge.why, "bad certificate"));
	tunnel_teardown(state);
}

static void
no_common_alpn_ends_at_the_handshake(void **state)
{
	SSL_CTX_free(tunnel.home_ctx);
	tunnel.home_ctx = tunnel_ctx(&tunnel.home_key, false, "posthouse/9", &tunnel.edge_pin);
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.closed == 1 && tunnel.home.closed == 1);
	assert_non_null(strstr(tunnel.home.why, "no application protocol"));
}

/* OpenSSL itself lets a client leave ALPN out. */
static void
an_unnamed_protocol_ends_at_the_handshake(void **state)
{
	SSL_CTX_set_alpn_protos(tunnel.home_ctx, NULL, 0);
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.closed == 1 && tunnel.home.closed == 1);
	assert_false(tunnel.edge.ready);
}

static void
the_hook_may_refuse(void **state)
{
	tunnel.edge.refuse_secured = true;
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.closed == 1 && tunnel.home.closed == 1);
	assert_non_null(strstr(tunnel.edge.why, "refused after"));
	assert_false(tunnel.home.ready);
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

	tunnel.home.serve = serve_put;
	tunnel.home.h2 = h2_new(&loop, tunnel.fds[0], tunnel.home_ctx, false, false, &tunnel_ops,
	    &tunnel.home, &why);
	babbler = conn_new(&loop, tunnel.fds[1], &plain, &closed, &why);
	assert_int_equal(conn_tls(babbler, tunnel.edge_ctx, true, &why), 0);
	RUN_UNTIL(closed == 1 && tunnel.home.closed == 1);
	assert_true(tunnel.home.why[0] != '\0');
	tunnel.edge.closed = 1;
}

/* What Linux says of the processor, on x86-64 and arm64 in the same word. */
static bool
cpu_has_aes(void)
{
	FILE *f = fopen("/proc/cpuinfo", "r");
	char line[8192];
	bool has = false;

	assert_non_null(f);
	while (!has && fgets(line, sizeof(line), f) != NULL)
		has = (strncmp(line, "flags", 5) == 0 || strncmp(line, "Features", 8) == 0) &&
		    strstr(line, " aes ") != NULL;
	fclose(f);
	return has;
}

static void
assert_cipher(const char *name)
{
	tunnel_start(H2_PING_MS);
	RUN_UNTIL(tunnel.edge.ready && tunnel.home.ready);
	assert_string_equal(SSL_get_cipher_name(h2_ssl(tunnel.home.h2)), name);
}

static void
the_cipher_is_the_one_that_the_processor_is_fast_at(void **state)
{
	assert_cipher(cpu_has_aes() ? "TLS_AES_128_GCM_SHA256" : "TLS_CHACHA20_POLY1305_SHA256");
}

static void
a_home_without_aes_gets_chacha20(void **state)
{
	assert_int_equal(SSL_CTX_set_ciphersuites(tunnel.home_ctx,
	    "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"), 1);
	assert_cipher("TLS_CHACHA20_POLY1305_SHA256");
}

int
main(void)
{
#define NET(f) cmocka_unit_test_setup_teardown(f, tunnel_setup, tunnel_teardown)
	static int zero = 0, one = 1;
	const struct CMUnitTest tests[] = {
		NET(no_common_alpn_ends_at_the_handshake),
		NET(an_unnamed_protocol_ends_at_the_handshake),
		NET(the_hook_may_refuse),
		NET(noise_ends_the_connection),
		NET(the_cipher_is_the_one_that_the_processor_is_fast_at),
		NET(a_home_without_aes_gets_chacha20),
		cmocka_unit_test_prestate(a_wrong_pin_ends_at_the_handshake, &zero),
		cmocka_unit_test_prestate(a_wrong_pin_ends_at_the_handshake, &one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
