/* Who is let in, to which home, and who is turned away. */
#include "kit/passage_play.h"

#include <openssl/ssl.h>

#include "edge/bans.h"
#include "edge/passage_in.h"
#include "edge/session_in.h"

/* --- who is let in --------------------------------------------------------------------------- */

static void
a_private_client_is_not_passed(void **state)
{
	dial(0);
	call(&A, "strict");
	RUN_UNTIL(ended(&A));
	assert_int_equal(A.n, 0);
	assert_int_equal(board("strict")->why[BR_ADDRESS], 1);
	assert_int_equal(board("strict")->refused, 1);
	call(&B, "direct");			/* auto: it may speak to us */
	RUN_UNTIL(heard(&B, "220 mx.edge.test"));
	assert_int_equal(board("direct")->held, 1);
	call(&C, "mx");				/* and one that a balancer names */
	say(&C, "PROXY TCP4 192.168.1.1 9.9.9.9 1234 25\r\n");
	RUN_UNTIL(heard(&C, "220 mx.edge.test"));
	assert_int_equal(board("mx")->why[BR_ADDRESS], 1);
	assert_int_equal(H.n, 0);
}

static void
headers_that_are_none(void **state)
{
	static const char *const wrong[] = {
		"EHLO c\r\n", "PROXY TCP4 8.8.8.8\r\n", "PROXY TCP4 8.8.8.8 9.9.9.9 1 99999\r\n",
		"\r\nQUIT",
		"PROXY TCP4 8.8.8.8 9.9.9.9 1 25\n",
		"GET / HTTP/1.1\r\n\r\n",
	};

	dial(0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		call(&A, "mx");
		say(&A, wrong[i]);
		RUN_UNTIL(ended(&A));
		assert_int_equal(A.n, 0);
		close(A.fd);
	}
	A.fd = -1;
	assert_int_equal(board("mx")->why[BR_HEADER], sizeof(wrong) / sizeof(wrong[0]));
	assert_int_equal(H.n, 0);
	call(&A, "mx");				/* and one that does not come */
	R.e.passages->until.ns = 1;
	passages_sweep(&R.e);
	RUN_UNTIL(ended(&A));
}

/* Whoever is no balancer begins with what he has to say: a header would be his first words. */
static void
a_strangers_header_is_not_believed(void **state)
{
	struct visit *v;

	dial(0);
	call(&A, "imaps");
	say(&A, STRANGER);
	v = visitor(1);
	RUN_UNTIL(v->n == v->used + strlen(STRANGER));
	assert_string_equal(netaddr_ip(&v->header.from).s, "127.0.0.1");
}

static void
a_balancer_for_itself_is_never_passed(void **state)
{
	static const char local[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0EHLO b\r\n";

	dial(0);
	call(&A, "mx");
	say_octets(&A, local, sizeof(local) - 1);
	RUN_UNTIL(heard(&A, "220 mx.edge.test") && heard(&A, "250 "));
	assert_string_equal(netaddr_ip(&R.e.sessions->client).s, "127.0.0.1");
	call(&B, "submission");
	say_octets(&B, local, sizeof(local) - 1);
	RUN_UNTIL(ended(&B));
	assert_int_equal(H.n, 0);
}

/* As its health checks and its own sockets make them: whom they are for they do not say. */
static void
a_header_without_a_client_is_the_balancers_own(void **state)
{
	static const unsigned char kinds[][2] = { { 0x00, 0 }, { 0x31, 216 }, { 0x12, 12 } };
	unsigned char header[16 + 216] = "\r\n\r\n\0\r\nQUIT\n\x21";

	dial(0);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		header[13] = kinds[i][0];
		header[15] = kinds[i][1];
		call(&A, "mx");
		say_octets(&A, header, 16 + (size_t)kinds[i][1]);
		RUN_UNTIL(heard(&A, "220 mx.edge.test"));
		assert_string_equal(netaddr_ip(&R.e.sessions->client).s, "127.0.0.1");
		drop(&A);
		RUN_UNTIL(R.e.sessions == NULL);
	}
	call(&A, "mx");
	say(&A, "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n");
	RUN_UNTIL(heard(&A, "220 mx.edge.test"));
	assert_int_equal(H.n, 0);
}

static void
held_mail_has_the_balancers_client_too(void **state)
{
	call(&A, "own");
	say(&A, STRANGER "EHLO x\r\n");
	RUN_UNTIL(heard(&A, "250 "));
	assert_string_equal(netaddr_hostport(&R.e.sessions->client).s, "8.8.8.8:1234");
	assert_int_equal(board("own")->held, 0);
}

static void
a_passed_mail_service_that_is_down_says_421(void **state)
{
	dial(0);
	call(&A, "submission");
	say(&A, STRANGER);
	RUN_UNTIL(ended(&A));
	assert_non_null(strstr(A.text, "421 4.3.2 "));
	assert_int_equal(board("submission")->why[BR_SERVICE_DOWN], 1);
}

/* What home says next; the clients of "imaps" come from 127.0.0.1. */
static void
ban(struct home *h, const char *net)
{
	struct ban_change c = { .on = { .bits = 32 } };
	struct netset *set = netset_new(1);

	assert_true(netaddr_parse_ip(span_str(net), &c.on.net));
	assert_true(set != NULL && bans_apply(set, &c, 0));
	h->nat = 0;			/* home would be where its clients are */
	home_set_bans(h, set, SPAN_LIT("\"tag\""));
	bans_changed(&R.e, h);
}

/* What keeps a service from passing is told of the service; what is a client's own is not. */
static void
a_service_that_holds_says_so_until_it_passes(void **state)
{
	stranger(&A);
	RUN_UNTIL(heard(&A, "220 mx.edge.test"));
	assert_int_equal(board("mx")->holding, 1 + BR_HOME_DOWN);
	dial(0);
	stranger(&B);
	visitor(1);
	assert_int_equal(board("mx")->holding, 0);
	drop(&A);
	ban(R.alice, "8.8.8.8");
	stranger(&A);
	RUN_UNTIL(heard(&A, "421 4.7.1 "));
	assert_int_equal(board("mx")->why[BR_BANNED], 1);
	assert_int_equal(board("mx")->holding, 0);
}

static void
one_client_has_its_share(void **state)
{
	struct client many[6];

	dial(0);
	for (unsigned i = 0; i < 6; i++) {
		call(&many[i], "imaps");
		if (i < 4)
			visitor(i + 1);
		else
			RUN_UNTIL(ended(&many[i]));
	}
	assert_int_equal(board("imaps")->why[BR_CLIENT_LIMIT], 2);
	stranger(&A);			/* another client, the fifth passage of six */
	visitor(5);
	stranger(&B);
	visitor(6);
	call(&C, "mx");			/* beyond limits.streams: its header is not waited for */
	RUN_UNTIL(ended(&C));
	assert_non_null(strstr(C.text, "421 4.3.2 "));
	assert_int_equal(board("mx")->why[BR_LIMIT], 1);
	drop(&C);
	call(&C, "direct");		/* who needs none of them is served */
	RUN_UNTIL(heard(&C, "220 mx.edge.test"));
	for (unsigned i = 0; i < 6; i++)
		drop(&many[i]);
	RUN_UNTIL(R.e.npassages == 2);
	drop(&C);
	call(&C, "imaps");
	visitor(7);
}

/* --- several homes --------------------------------------------------------------------------- */

/* What OpenSSL's client says first; name NULL: it asks for nobody. */
static size_t
hello(const char *name, char *out, size_t max)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	BIO *in = BIO_new(BIO_s_mem()), *to = BIO_new(BIO_s_mem());
	int n;

	SSL_set_bio(ssl, in, to);
	if (name != NULL)
		SSL_set_tlsext_host_name(ssl, name);
	SSL_connect(ssl);
	n = BIO_read(to, out, (int)max);
	assert_true(n > 0);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return (size_t)n;
}

/* limits.streams is 6: each of two homes has half, however much the other would take. */
static void
a_busy_home_leaves_another_its_share(void **state)
{
	struct client many[4];
	char text[4096];

	H.up = "{\"name\":\"imaps\",\"up\":true},{\"name\":\"mx\",\"up\":true},"
	    "{\"name\":\"web\",\"up\":true},{\"name\":\"submission\",\"up\":true}";
	bob_too();
	dial(0);
	dial(2);
	for (unsigned i = 0; i < 3; i++) {
		call(&many[i], "imaps");
		visitor(i + 1);
	}
	assert_false(R.alice->full);
	call(&many[3], "imaps");
	RUN_UNTIL(ended(&many[3]));
	assert_int_equal(many[3].n, 0);
	drop(&many[3]);
	assert_true(R.alice->full);
	assert_int_equal(board("imaps")->why[BR_HOME_LIMIT], 1);
	call(&A, "submission");			/* mail that is passed is told why */
	say(&A, STRANGER);
	RUN_UNTIL(ended(&A));
	assert_non_null(strstr(A.text, "421 4.3.2 "));
	drop(&A);
	stranger(&A);				/* auto: it can be held */
	RUN_UNTIL(heard(&A, "220 mx.edge.test"));
	assert_int_equal(board("mx")->why[BR_HOME_LIMIT], 1);
	assert_int_equal(board("mx")->holding, 0);
	call(&B, "web");
	say_octets(&B, text, hello("bob.test", text, sizeof(text)));
	assert_string_equal(visitor(4)->line->home, "bob");
	drop(&many[0]);
	RUN_UNTIL(R.alice->streams == 2);
	assert_true(R.alice->full);		/* said no more until half of it is free */
	call(&C, "imaps");
	assert_string_equal(visitor(5)->line->home, "alice");
	drop(&many[1]);
	drop(&many[2]);
	RUN_UNTIL(R.alice->streams == 1);
	assert_false(R.alice->full);
}

static void
names_find_their_home(void **state)
{
	static const struct {
		const char	*service, *name, *home;
	} rows[] = {
		{ "web", "alice.test", "alice" },
		{ "web", "IMAP.mail.Alice.Test", "alice" },
		{ "web", "www.bob.test", "bob" },
		{ "any", "nobody.test", "bob" },
		{ "any", NULL, "bob" },
		{ "any", "x.alice.test", "alice" },
	};
	char text[4096];

	bob_too();
	dial(0);
	dial(2);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = hello(rows[i].name, text, sizeof(text));
		struct visit *v;

		call(&A, rows[i].service);
		for (size_t at = 0; at < n; at += 100) {	/* in pieces */
			say_octets(&A, text + at, n - at < 100 ? n - at : 100);
			loop_turns(3);
		}
		say(&A, "and more");
		v = visitor(i + 1);
		assert_string_equal(v->line->home, rows[i].home);
		RUN_UNTIL(v->n == v->used + n + 8);
		assert_memory_equal(v->in + v->used, text, n);
		assert_memory_equal(v->in + v->used + n, "and more", 8);
		drop(&A);
		RUN_UNTIL(R.e.passages == NULL);
	}
	A.fd = -1;
}

static void
a_name_that_is_nobodys(void **state)
{
	static const char *const names[] = { "carol.test", "test", "notalice.test", NULL };
	static const unsigned char unrecognized[] = { 21, 3, 3, 0, 2, 2, 112 };
	char text[4096];

	bob_too();
	dial(0);
	dial(2);
	for (unsigned i = 0; i < 4; i++) {
		call(&A, "web");
		say_octets(&A, text, hello(names[i], text, sizeof(text)));
		RUN_UNTIL(ended(&A));
		assert_int_equal(A.n, sizeof(unrecognized));
		assert_memory_equal(A.text, unrecognized, 3);
		assert_memory_equal(A.text + 3, unrecognized + 3, 4);
		close(A.fd);
	}
	call(&A, "web");			/* and what is no TLS at all */
	say(&A, "GET / HTTP/1.0\r\n\r\n");
	RUN_UNTIL(ended(&A));
	assert_int_equal(A.n, 0);
	assert_int_equal(board("web")->why[BR_NAME], 5);
	assert_int_equal(H.n, 0);
}

/* Paired meanwhile, so that no configuration could refuse it: mail is nobody's before RCPT. */
static void
mail_for_several_homes_is_held(void **state)
{
	struct netaddr client;

	bob_too();
	dial(0);
	dial(2);
	assert_true(netaddr_parse_ip(SPAN_LIT("8.8.8.8"), &client));
	assert_int_equal(road_choose(&R.e, conf_edge_service(R.conf, "smtp"), &client, NULL).road,
	    ROAD_HOLD);
	assert_int_equal(road_choose(&R.e, conf_edge_service(R.conf, "mx"), &client, NULL).road,
	    ROAD_PASS);
}

/* --- bans ------------------------------------------------------------------------------------ */

static void
a_ban_ends_what_is_passed_and_bars_what_comes(void **state)
{
	struct visit *v;

	dial(0);
	call(&A, "imaps");
	v = visitor(1);
	answer(v, 200);
	visit_say(v, "* OK");
	RUN_UNTIL(heard(&A, "* OK"));
	ban(R.alice, "8.8.8.9");		/* somebody else */
	loop_run_ms(20);
	assert_int_equal(board("imaps")->open, 1);
	ban(R.alice, "127.0.0.1");
	RUN_UNTIL(R.e.passages == NULL && v->closed);
	assert_int_equal(board("imaps")->open, 0);
	assert_int_equal(board_get(&R.board, BC_CONNECTIONS_BANNED), 1);
	drop(&A);
	call(&A, "imaps");
	RUN_UNTIL(board("imaps")->refused == 1 && R.e.passages == NULL);
	assert_int_equal(board("imaps")->why[BR_BANNED], 1);
	assert_int_equal(H.n, 1);		/* home was not asked */
	drop(&A);
	ban(R.alice, "8.8.8.8");
	stranger(&A);
	RUN_UNTIL(heard(&A, "421 4.7.1 "));
	assert_int_equal(board("mx")->why[BR_BANNED], 1);
	assert_int_equal(H.n, 1);
}

/* Two homes behind one port, and one client who is at both. */
static void
a_ban_ends_nothing_of_another_home(void **state)
{
	static const char *const names[] = { "alice.test", "www.bob.test" };
	struct client *c[] = { &A, &B };
	struct visit *v[2];
	char text[4096];

	bob_too();
	dial(0);
	dial(2);
	for (unsigned i = 0; i < 2; i++) {
		call(c[i], "web");
		say_octets(c[i], text, hello(names[i], text, sizeof(text)));
		v[i] = visitor(i + 1);
		answer(v[i], 200);
		visit_say(v[i], "hello");
		RUN_UNTIL(heard(c[i], "hello"));
	}
	assert_string_equal(v[0]->line->home, "alice");
	ban(R.alice, "127.0.0.1");
	RUN_UNTIL(v[0]->closed && ended(&A));
	loop_run_ms(20);
	assert_false(v[1]->closed || ended(&B));
	visit_say(v[1], "still here");
	RUN_UNTIL(heard(&B, "still here"));
	assert_int_equal(board("web")->open, 1);
}

#define NET(net)	"\x1e{\"net\":\"" net "\"}\n"
#define LIFTED(net)	"\x1e{\"net\":\"" net "\",\"lifted\":true}\n"

static bool
banned(const char *ip)
{
	struct netaddr a;

	assert_true(netaddr_parse_ip(span_str(ip), &a));
	return bans_home(R.alice, &a);
}

static void
changes_are_taken_as_changes(void **state)
{
	dial(0);
	RUN_UNTIL(H.npolls == 1);
	assert_string_equal(H.bans_has, "\"1\"");
	bans_say(226, "\"1\"", "\"2\"", NET("8.8.8.0/24") NET("9.9.9.9"));
	RUN_UNTIL(H.npolls == 1);
	assert_string_equal(H.bans_has, "\"2\"");
	assert_true(banned("8.8.8.8") && banned("9.9.9.9"));
	bans_say(226, "\"2\"", "\"3\"", LIFTED("8.8.8.0/24") NET("2001:4860::/32"));
	RUN_UNTIL(H.npolls == 1);
	assert_true(!banned("8.8.8.8") && banned("9.9.9.9") && banned("2001:4860::8"));
	bans_say(226, "\"1\"", "\"4\"", NET("8.8.8.8"));	/* of a list that we have no more */
	RUN_UNTIL(H.npolls == 1);
	assert_string_equal(H.bans_has, "\"3\"");
	assert_false(banned("8.8.8.8"));
	bans_say(200, "", "\"5\"", NET("8.8.8.8"));	/* all of them: the others are lifted */
	RUN_UNTIL(H.npolls == 1);
	assert_true(banned("8.8.8.8") && !banned("9.9.9.9"));
	hang_up(0);
	assert_true(banned("8.8.8.8"));			/* while home is away, too */
}

static void
a_list_that_is_none_leaves_the_last_one(void **state)
{
	static const struct { unsigned status; const char *list, *etag; } wrong[] = {
		{ 200, NET("9.9.9.9") "\x1e{\"net\":\"1.1.1.1\"}", "\"3\"" },
		{ 226, NET("9.9.9.9") NET("10.0.0.1"), "\"3\"" },
		{ 226, NET("9.9.9.9"), "" },
		{ 503, NET("9.9.9.9"), "\"3\"" },
	};

	dial(0);
	RUN_UNTIL(H.npolls == 1);
	bans_say(226, "\"1\"", "\"2\"", NET("8.8.8.8"));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		unsigned asked = H.bans_asked;

		RUN_UNTIL(H.npolls == 1);
		bans_say(wrong[i].status, "\"2\"", wrong[i].etag, wrong[i].list);
		loop_run_ms(100);
		assert_true(banned("8.8.8.8") && !banned("9.9.9.9"));
		assert_string_equal(R.alice->bans_etag, "\"2\"");
		assert_false(R.alice->bans_coming);
		assert_true(H.bans_asked <= asked + 1);	/* not over and over */
		hang_up(0);			/* a new tunnel need not wait for the pause */
		dial(0);
	}
}

/* Each of a home's tunnels asks, for one may be dead without a word. */
static void
two_tunnels_bring_the_same_change(void **state)
{
	dial(0);
	RUN_UNTIL(H.npolls == 1);
	dial(1);
	RUN_UNTIL(H.npolls == 2);
	bans_say(226, "\"1\"", "\"2\"", NET("8.8.8.8"));
	RUN_UNTIL(H.npolls == 2);
	assert_true(banned("8.8.8.8"));
	assert_string_equal(H.bans_has, "\"2\"");
	hang_up(0);
	assert_true(banned("8.8.8.8"));
}

int
main(void)
{
#define PASSAGE(f) \
	cmocka_unit_test_setup_teardown(f, passage_play_setup, passage_play_teardown)
	const struct CMUnitTest tests[] = {
		PASSAGE(a_private_client_is_not_passed),
		PASSAGE(headers_that_are_none),
		PASSAGE(a_strangers_header_is_not_believed),
		PASSAGE(a_balancer_for_itself_is_never_passed),
		PASSAGE(a_header_without_a_client_is_the_balancers_own),
		PASSAGE(held_mail_has_the_balancers_client_too),
		PASSAGE(a_passed_mail_service_that_is_down_says_421),
		PASSAGE(a_service_that_holds_says_so_until_it_passes),
		PASSAGE(one_client_has_its_share),
		PASSAGE(a_busy_home_leaves_another_its_share),
		PASSAGE(names_find_their_home),
		PASSAGE(a_name_that_is_nobodys),
		PASSAGE(mail_for_several_homes_is_held),
		PASSAGE(a_ban_ends_what_is_passed_and_bars_what_comes),
		PASSAGE(a_ban_ends_nothing_of_another_home),
		PASSAGE(changes_are_taken_as_changes),
		PASSAGE(a_list_that_is_none_leaves_the_last_one),
		PASSAGE(two_tunnels_bring_the_same_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
