/*
 * What is passed reaches home and comes back as it was; what home does not take is held
 * on the same connection.
 */
#include "kit/passage_play.h"

#include "edge/road.h"
#include "edge/session_in.h"
#include "kit/ahead.h"

/* --- passed ---------------------------------------------------------------------------------- */

/* The header and the first words are there before home has answered. */
static void
a_stream_goes_home(void **state)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct netaddr me;
	struct visit *v;
	char authority[40];

	dial(0);
	call(&A, "imaps");
	say(&A, "a LOGIN");
	v = visitor(1);
	RUN_UNTIL(v->used > 0 && v->n == v->used + 7);
	assert_memory_equal(v->in + v->used, "a LOGIN", 7);
	assert_int_equal(v->header.version, 2);
	assert_int_equal(v->header.command, PROXY_PROXY);
	getsockname(A.fd, (struct sockaddr *)&ss, &len);
	assert_true(netaddr_from_sockaddr((struct sockaddr *)&ss, &me));
	assert_memory_equal(&v->header.from, &me, sizeof(me));
	len = sizeof(ss);
	getpeername(A.fd, (struct sockaddr *)&ss, &len);
	assert_true(netaddr_from_sockaddr((struct sockaddr *)&ss, &me));
	snprintf(authority, sizeof(authority), "imaps:%u", (unsigned)me.port);
	assert_string_equal(v->authority, authority);
	answer(v, 200);
	visit_say(v, "* OK");
	RUN_UNTIL(heard(&A, "* OK"));
	assert_int_equal(board("imaps")->open, 1);
	v->out_end = true;
	visit_say(v, " BYE");
	RUN_UNTIL(A.eof || heard(&A, "never"));
	shutdown(A.fd, SHUT_WR);
	RUN_UNTIL(R.e.passages == NULL && v->closed);
	assert_true(v->well);
	assert_int_equal(board("imaps")->total, 1);
}

static void
behind_a_balancer_the_client_is_the_headers(void **state)
{
	struct visit *v;

	H.status = 200;
	H.banner = "220 home";
	dial(0);
	call(&A, "mx");
	for (const char *p = STRANGER; *p != '\0'; p++) {	/* in pieces of one octet */
		say_octets(&A, p, 1);
		loop_turns(3);
	}
	v = visitor(1);
	RUN_UNTIL(heard(&A, "220 home"));
	assert_string_equal(v->authority, "mx:25");
	assert_string_equal(netaddr_hostport(&v->header.from).s, "8.8.8.8:1234");
	assert_string_equal(netaddr_hostport(&v->header.to).s, "9.9.9.9:25");
	say(&A, "EHLO c\r\n");
	RUN_UNTIL(v->n == v->used + 8);
	assert_memory_equal(v->in + v->used, "EHLO c\r\n", 8);
	assert_null(R.e.sessions);
}

static void
bulk_and_passed_have_tunnels_of_their_own(void **state)
{
	struct h2_head get = { .method = SPAN_LIT("GET"), .path = SPAN_LIT("/"),
	    .authority = SPAN_LIT("alice") };

	dial(0);
	dial(1);
	for (unsigned i = 0; i < 3; i++) {
		call(&A, "imaps");
		assert_ptr_equal(visitor(2 * i + 1)->line, &H.line[0]);
		assert_non_null(lanes_request(&R.alice->lanes, LANE_BULK, &get, NULL, NULL, NULL,
		    NULL));
		RUN_UNTIL(H.n == 2 * i + 2);
		assert_ptr_equal(H.visit[2 * i + 1]->line, &H.line[1]);
		drop(&A);
		RUN_UNTIL(R.e.passages == NULL);
	}
	hang_up(0);				/* then both have what is left */
	call(&A, "imaps");
	assert_ptr_equal(visitor(7)->line, &H.line[1]);
}

/* --- auto: held on the same connection ------------------------------------------------------- */

static void
is_held(struct client *c, unsigned n)
{
	RUN_UNTIL(heard(c, "220 mx.edge.test") && heard(c, "250 "));
	assert_non_null(strstr(c->text, "mx.edge.test"));
	assert_string_equal(netaddr_hostport(&R.e.sessions->client).s, "8.8.8.8:1234");
	assert_string_equal(netaddr_hostport(&R.e.sessions->dest).s, "9.9.9.9:25");
	assert_null(R.e.passages);
	assert_int_equal(board("mx")->held, n);
	assert_int_equal(board("mx")->open, 0);
	close(c->fd);
	c->fd = -1;
	RUN_UNTIL(R.e.sessions == NULL);
}

static void
whoever_home_refuses_is_held(void **state)
{
	static const unsigned statuses[] = { 403, 404, 500, 502, 503 };

	dial(0);
	for (unsigned i = 0; i < 5; i++) {
		H.status = statuses[i];
		stranger(&A);
		visitor(i + 1);
		is_held(&A, i + 1);
	}
	assert_int_equal(board("mx")->why[BR_SERVICE_DOWN], 3);
	assert_int_equal(board("mx")->why[BR_ADDRESS], 1);
	assert_int_equal(board("mx")->why[BR_HOME_REFUSED], 1);
}

static void
a_home_that_does_not_answer_is_not_waited_for(void **state)
{
	dial(0);
	stranger(&A);
	visitor(1);
	loop_run_ms(20);
	passages_sweep(&R.e);
	assert_false(heard(&A, "220"));
	ahead_ms += R.conf->connect_ms + 1;
	passages_sweep(&R.e);
	is_held(&A, 1);
	assert_int_equal(board("mx")->why[BR_LATE], 1);
	RUN_UNTIL(H.visit[0]->closed);
}

/* It may be the line: nobody else waits, until home is heard. */
static void
a_tunnel_in_doubt_takes_nobody_until_it_is_heard(void **state)
{
	const struct conf_service *mx = conf_edge_service(R.conf, "mx");
	struct netaddr client;
	struct road_choice c;
	struct h2 *h2;

	assert_true(netaddr_parse_ip(span_str("8.8.8.8"), &client));
	dial(0);
	h2 = R.alice->lanes.h2[0];
	loop_run_ms(30);
	h2_doubt(h2, 60000);			/* it was heard within that time */
	assert_int_equal(road_choose(&R.e, mx, &client, NULL).road, ROAD_PASS);
	h2_doubt(h2, 10);
	c = road_choose(&R.e, mx, &client, NULL);
	assert_int_equal(c.road, ROAD_HOLD);
	assert_int_equal(c.why, BR_HOME_DOWN);
	RUN_UNTIL(!h2_doubted(h2));		/* its PING was answered */
	assert_int_equal(road_choose(&R.e, mx, &client, NULL).road, ROAD_PASS);
}

static void
another_tunnel_is_taken_before_one_in_doubt(void **state)
{
	struct h2_head get = { .method = SPAN_LIT("GET"), .path = SPAN_LIT("/"),
	    .authority = SPAN_LIT("alice") };

	dial(0);
	dial(1);
	loop_run_ms(30);
	h2_doubt(R.alice->lanes.h2[0], 10);
	assert_true(h2_doubted(R.alice->lanes.h2[0]));
	assert_true(lanes_sure(&R.alice->lanes));
	assert_non_null(lanes_request(&R.alice->lanes, LANE_PASS, &get, NULL, NULL, NULL, NULL));
	RUN_UNTIL(H.n == 1);
	assert_ptr_equal(H.visit[0]->line, &H.line[1]);
}

static void
a_backend_that_closes_without_a_word(void **state)
{
	struct visit *v;

	H.status = 200;
	dial(0);
	stranger(&A);
	v = visitor(1);
	loop_run_ms(100);
	ahead_ms += R.conf->connect_ms + 1;
	passages_sweep(&R.e);			/* it was reached: its banner may take its time */
	assert_false(heard(&A, "220"));
	v->out_end = true;
	visit_say(v, "");
	is_held(&A, 1);
	assert_int_equal(board("mx")->why[BR_SILENT], 1);
}

/* It was passed: the client has spoken to it already, and may be told nothing of ours. */
static void
a_server_that_waits_for_its_client_and_then_goes(void **state)
{
	struct visit *v;

	H.status = 200;
	dial(0);
	call(&A, "imaps");
	say(&A, "hello");
	v = visitor(1);
	RUN_UNTIL(v->n == v->used + 5 && board("imaps")->open == 1);
	v->out_end = true;
	visit_say(v, "");
	RUN_UNTIL(ended(&A));
	assert_int_equal(A.n, 0);
	drop(&A);
	RUN_UNTIL(R.e.passages == NULL);
	assert_int_equal(board("imaps")->open, 0);
	assert_int_equal(board("imaps")->refused, 0);
}

static void
a_tunnel_that_goes_before_the_first_word(void **state)
{
	dial(0);
	stranger(&A);
	visitor(1);
	hang_up(0);
	is_held(&A, 1);
	stranger(&A);				/* and at once when it is known */
	is_held(&A, 2);
	assert_int_equal(board("mx")->why[BR_HOME_DOWN], 2);
	assert_int_equal(H.n, 1);
}

static void
a_tunnel_that_goes_after_it(void **state)
{
	H.status = 200;
	H.banner = "220 home";
	dial(0);
	stranger(&A);
	RUN_UNTIL(heard(&A, "220 home"));
	hang_up(0);
	RUN_UNTIL(ended(&A));
	assert_true(A.lost);			/* a reset: what looks like an end is none */
	assert_null(R.e.sessions);
}

static void
a_service_that_home_says_is_down(void **state)
{
	H.up = "{\"name\":\"mx\",\"up\":false},{\"name\":\"imaps\",\"up\":true}";
	dial(0);
	stranger(&A);
	is_held(&A, 1);
	assert_int_equal(board("mx")->why[BR_SERVICE_DOWN], 1);
	assert_int_equal(H.n, 0);
}

static void
a_client_that_leaves_while_it_waits(void **state)
{
	dial(0);
	for (unsigned i = 0; i < 2; i++) {
		call(&A, "mx");
		say(&A, STRANGER);
		visitor(i + 1);
		if (i == 1)
			drop(&A);
		else
			close(A.fd);
		A.fd = -1;
		loop_turns(3);
		ahead_ms += R.conf->connect_ms + 1;
		passages_sweep(&R.e);
		RUN_UNTIL(R.e.passages == NULL && H.visit[i]->closed);
	}
	assert_null(R.e.sessions);
}

/* --- the end --------------------------------------------------------------------------------- */

static void
going_down_leaves_what_is_passed_its_time(void **state)
{
	struct visit *v;

	H.status = 200;
	dial(0);
	call(&A, "imaps");
	v = visitor(1);
	call(&B, "mx");				/* its header has not come */
	passages_drain(&R.e);
	tunnels_drain(&R.e);
	RUN_UNTIL(ended(&B));
	say(&A, "still here");
	RUN_UNTIL(v->n == v->used + 10);
	passages_cut(&R.e);
	RUN_UNTIL(ended(&A) && v->closed);
	assert_false(v->well);
	RUN_UNTIL(R.e.passages == NULL);
}

int
main(void)
{
#define PASSAGE(f) \
	cmocka_unit_test_setup_teardown(f, passage_play_setup, passage_play_teardown)
	const struct CMUnitTest tests[] = {
		PASSAGE(a_stream_goes_home),
		PASSAGE(behind_a_balancer_the_client_is_the_headers),
		PASSAGE(bulk_and_passed_have_tunnels_of_their_own),
		PASSAGE(whoever_home_refuses_is_held),
		PASSAGE(a_home_that_does_not_answer_is_not_waited_for),
		PASSAGE(a_tunnel_in_doubt_takes_nobody_until_it_is_heard),
		PASSAGE(another_tunnel_is_taken_before_one_in_doubt),
		PASSAGE(a_backend_that_closes_without_a_word),
		PASSAGE(a_server_that_waits_for_its_client_and_then_goes),
		PASSAGE(a_tunnel_that_goes_before_the_first_word),
		PASSAGE(a_tunnel_that_goes_after_it),
		PASSAGE(a_service_that_home_says_is_down),
		PASSAGE(a_client_that_leaves_while_it_waits),
		PASSAGE(going_down_leaves_what_is_passed_its_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
