/* Who gets in at the edge's tunnel port while strangers hold connections open there. */
#include "kit/edge_rig.h"

#include <errno.h>
#include <fcntl.h>

#include "kit/net_keys.h"
#include "net/h2.h"
#include "net/tls.h"

#define STALLED	256	/* SHAKING_MAX in src/edge/tunnel.c */

static struct net_key edge_key, home_key;
#define TUNNELS	9	/* TUNNELS_HOME there, and one more */

static struct h2 *homes[TUNNELS], *home;	/* the last one */
static size_t nhomes;
static bool home_up;
static int stalled[STALLED + 8];
static SSL_CTX *ctx;

static void
on_ready(void *arg)
{
	home_up = true;
}

static void
on_request(void *arg, struct h2_stream *s, const struct h2_head *head, bool has_body)
{
	struct h2_head no = { .status = 503 };

	h2_respond(s, &no, span_of(NULL, 0), NULL, NULL);
}

static void
on_closed(void *arg, const struct why *why)
{
	*(struct h2 **)arg = NULL;
	home = nhomes > 0 ? homes[nhomes - 1] : NULL;
}

static const struct h2_ops home_ops = { .request = on_request, .ready = on_ready,
	.closed = on_closed };

static bool
is_edge(void *arg, const struct pin *pin, const char *proto)
{
	return true;
}

static SSL_CTX *
home_ctx(void)
{
	static const char *const alpn[] = { "posthouse/1", NULL };
	struct why why = { "" };
	SSL_CTX *made = tls_tunnel_new(net_key_span(&home_key), false, alpn, is_edge, NULL, &why);

	assert_non_null(made);
	return made;
}

static int
set_up(void **state)
{
	struct peer peer;
	struct why why = { "" };

	rig_up("");
	buf_init(&R.e.tunnel_pem, sizeof(edge_key.pem));
	buf_add_span(&R.e.tunnel_pem, net_key_span(&edge_key));
	assert_int_equal(tunnel_context(&R.e, &why), 0);
	ctx = home_ctx();
	peer = R.alice->paired;
	assert_int_equal(tls_pem_pin(net_key_span(&home_key), &peer.pins[0], &why), 0);
	peer.npins = 1;
	homes_paired(&R.e.homes, R.conf, "alice", &peer);
	for (size_t i = 0; i < sizeof(stalled) / sizeof(stalled[0]); i++)
		stalled[i] = -1;
	home_up = false;
	nhomes = 0;
	return 0;
}

static int
tear_down(void **state)
{
	for (size_t i = 0; i < sizeof(stalled) / sizeof(stalled[0]); i++)
		if (stalled[i] != -1)
			close(stalled[i]);
	for (size_t i = 0; i < nhomes; i++)
		if (homes[i] != NULL)
			h2_abort(homes[i], "the test is over");
	RUN_UNTIL(home == NULL && R.e.tunnels == NULL);
	rig_down();
	SSL_CTX_free(ctx);
	return 0;
}

/* Connects, and says nothing. */
static void
stall(size_t i)
{
	int fds[2];

	tcp_pair(fds);
	stalled[i] = fds[0];
	tunnel_accept(&R.e, fds[1]);
}

static bool
hung_up(size_t i)
{
	char c;

	return recv(stalled[i], &c, 1, MSG_DONTWAIT) != -1 || errno != EAGAIN;
}

static void
dial(void)
{
	struct why why = { "" };
	int fds[2];

	tcp_pair(fds);
	home_up = false;
	home = homes[nhomes] = h2_new(&loop, fds[0], ctx, false, false, &home_ops, &homes[nhomes],
	    &why);
	assert_non_null(home);
	nhomes++;
	tunnel_accept(&R.e, fds[1]);
}

static void
stalled_handshakes_keep_no_home_out(void **state)
{
	for (size_t i = 0; i < STALLED; i++)
		stall(i);
	loop_run_ms(20);
	for (size_t i = 0; i < STALLED; i++)
		assert_false(hung_up(i));
	dial();
	RUN_UNTIL(home_up);
	assert_true(hung_up(0));			/* the oldest made room */
	for (size_t i = 1; i < STALLED; i++)
		assert_false(hung_up(i));
}

static void
the_oldest_go_first_and_a_home_stays(void **state)
{
	dial();
	RUN_UNTIL(home_up);
	for (size_t i = 0; i < STALLED + 8; i++)
		stall(i);
	RUN_UNTIL(hung_up(7));
	for (size_t i = 0; i < STALLED + 8; i++)
		assert_int_equal(hung_up(i), i < 8);
	assert_non_null(home);				/* it is nobody's stranger, however old */
	assert_int_equal(handover_tunnels(R.alice->handover), 1);
}

static void
a_home_with_too_many_tunnels_loses_its_own_oldest(void **state)
{
	for (size_t i = 0; i < TUNNELS - 1; i++) {
		dial();
		RUN_UNTIL(home_up && handover_tunnels(R.alice->handover) == i + 1);
	}
	assert_non_null(homes[0]);
	dial();
	RUN_UNTIL(home_up && homes[0] == NULL);
	loop_run_ms(20);
	for (size_t i = 1; i < TUNNELS; i++)
		assert_non_null(homes[i]);
	assert_int_equal(handover_tunnels(R.alice->handover), TUNNELS - 1);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(stalled_handshakes_keep_no_home_out),
		TEST(the_oldest_go_first_and_a_home_stays),
		TEST(a_home_with_too_many_tunnels_loses_its_own_oldest),
	};

	net_key_make(&edge_key, "P-256");
	net_key_make(&home_key, "P-256");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
