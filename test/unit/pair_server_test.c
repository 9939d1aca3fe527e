/*
 * The edge's side of pairing: a home that says what each case says, over TLS, to an
 * edge with a true writer behind it.
 */
#include "edge/pair_server.h"

#include "kit/edge_rig.h"

#include <jansson.h>

#include "base/clock.h"
#include "base/codec.h"
#include "kit/net_keys.h"
#include "net/h2.h"
#include "net/tls.h"
#include "store/peers.h"

#define PAIRS_MAX 32	/* of src/edge/pair_server.c */

static struct net_key edge_key, home_key;
static struct pin home_pin;
static unsigned char token[PAIRING_TOKEN_LEN];
static char token_text[2 * PAIRING_TOKEN_LEN + 1], recipient[AGE_TEXT_MAX];

/* One home that pairs. */
struct homeside {
	SSL_CTX		*ctx;
	struct h2	*h2;		/* NULL once closed */
	struct h2_stream *s;
	bool		 ready, over;	/* over: the answer is whole */
	unsigned	 status;
	char		 out[8192], in[8192];
	size_t		 nout, sent, nin;
};

static struct homeside H, many[PAIRS_MAX + 1];

static ssize_t
pull(void *arg, void *to, size_t max, bool *eof)
{
	struct homeside *h = arg;
	size_t n = h->nout - h->sent < max ? h->nout - h->sent : max;

	memcpy(to, h->out + h->sent, n);
	h->sent += n;
	return (ssize_t)n;
}

static void
on_head(void *arg, const struct h2_head *head)
{
	((struct homeside *)arg)->status = head->status;
}

static void
on_data(void *arg, struct span s)
{
	struct homeside *h = arg;

	assert_true(h->nin + s.n < sizeof(h->in));
	memcpy(h->in + h->nin, s.p, s.n);
	h->nin += s.n;
	h2_consumed(h->s, s.n);
}

static void
on_stream_closed(void *arg, const struct why *why)
{
	struct homeside *h = arg;

	h->s = NULL;
	h->over = true;
}

static const struct h2_stream_ops home_stream = { .head = on_head, .data = on_data,
	.closed = on_stream_closed };
static const struct h2_stream_ops head_only = { .head = on_head };

static void
on_ready(void *arg)
{
	((struct homeside *)arg)->ready = true;
}

static void
on_closed(void *arg, const struct why *why)
{
	struct homeside *h = arg;

	h->h2 = NULL;
	h->over = true;
}

static const struct h2_ops home_ops = { .ready = on_ready, .closed = on_closed };

static bool
is_edge(void *arg, const struct pin *pin, const char *proto)
{
	return true;
}

static SSL_CTX *
home_ctx(void)
{
	static const char *const alpn[] = { "posthouse-pair/1", NULL };
	struct why why = { "" };
	SSL_CTX *made = tls_tunnel_new(net_key_span(&home_key), false, alpn, is_edge, NULL, &why);

	assert_non_null(made);
	return made;
}

static void
dial(struct homeside *h)
{
	struct why why = { "" };
	int fds[2];

	tcp_pair(fds);
	*h = (struct homeside){ .ctx = home_ctx() };
	h->h2 = h2_new(&loop, fds[0], h->ctx, false, true, &home_ops, h, &why);
	assert_non_null(h->h2);
	tunnel_accept(&R.e, fds[1]);
	RUN_UNTIL(h->ready || h->h2 == NULL);
}

static void
begin(struct homeside *h, const char *method, const char *path)
{
	struct h2_head head = { .method = span_str(method), .path = span_str(path),
		.authority = SPAN_LIT("edge") };

	dial(h);
	assert_non_null(h->s = h2_request(h->h2, &head, pull, h, &home_stream, h));
}

static void
say(struct homeside *h, const char *line)
{
	h->nout += (size_t)snprintf(h->out + h->nout, sizeof(h->out) - h->nout, "%s\n", line);
	assert_true(h->nout < sizeof(h->out));
	h2_stream_resume(h->s);
}

static void
say_hello(struct homeside *h, const char *name, const char *with, const char *to)
{
	char line[512];

	snprintf(line, sizeof(line), "{\"name\":\"%s\",\"token\":\"%s\",\"recipients\":[\"%s\"]}",
	    name, with, to);
	say(h, line);
}

/* The edge's next line; json_decref it. */
static json_t *
hear(struct homeside *h)
{
	json_t *line;
	char *lf;

	RUN_UNTIL(memchr(h->in, '\n', h->nin) != NULL || h->over);
	assert_non_null(lf = memchr(h->in, '\n', h->nin));
	assert_non_null(line = json_loadb(h->in, (size_t)(lf - h->in), 0, NULL));
	h->nin -= (size_t)(lf + 1 - h->in);
	memmove(h->in, lf + 1, h->nin);
	return line;
}

static const char *
text(const json_t *line, const char *key)
{
	const char *s = json_string_value(json_object_get(line, key));

	return s != NULL ? s : "";
}

/* Opens the test object as home does. */
static void
prove(struct homeside *h, const json_t *line)
{
	char sealed[4096], proof[65], words[128];
	struct age_open *age = age_open_new(&R.age, 1);
	struct span test = span_str(text(line, "test"));
	struct buf plain;
	struct why why;
	size_t n;

	assert_true(base64_decode(test, true, sealed, sizeof(sealed), &n));
	buf_init(&plain, 1024);
	assert_int_equal(age_open_add(age, sealed, n, &plain, &why), AGE_OK);
	assert_int_equal(age_open_end(age, &plain, &why), AGE_OK);
	assert_int_equal(plain.n, 32);
	hex_encode(plain.p, 32, proof);
	snprintf(words, sizeof(words), "{\"proof\":\"%s\"}", proof);
	say(h, words);
	age_open_free(&age);
	buf_wipe(&plain);
}

static void
expect_error(struct homeside *h, const char *words)
{
	json_t *line = hear(h);

	if (strstr(text(line, "error"), words) == NULL)
		fail_msg("\"%s\" has no \"%s\"", text(line, "error"), words);
	json_decref(line);
	RUN_UNTIL(h->over);
}

static void
end(struct homeside *h)
{
	if (h->h2 != NULL)
		h2_abort(h->h2, "the test goes on");
	RUN_UNTIL(h->h2 == NULL);
	SSL_CTX_free(h->ctx);
	h->ctx = NULL;
}

static const struct peer *
bob(void)
{
	return peers_find(writer_peers(R.writer), "bob");
}

static int
set_up(void **state)
{
	const char *const domains[] = { "bob.test" };
	struct age_recipient to;
	struct why why = { "" };

	rig_up("");
	memcpy(to.pub, R.age.pub, sizeof(to.pub));
	age_recipient_print(&to, recipient);
	buf_init(&R.e.tunnel_pem, sizeof(edge_key.pem));
	buf_add_span(&R.e.tunnel_pem, net_key_span(&edge_key));
	assert_int_equal(tunnel_context(&R.e, &why), 0);
	assert_int_equal(tls_pem_pin(net_key_span(&home_key), &home_pin, &why), 0);
	assert_int_equal(peers_pairing_new(writer_peers(R.writer), "bob", domains, 1, wall_ms(),
	    token, &why), 0);
	hex_encode(token, sizeof(token), token_text);
	RUN_UNTIL(R.e.pairing);
	H.h2 = NULL;
	return 0;
}

static int
tear_down(void **state)
{
	if (H.h2 != NULL)
		h2_abort(H.h2, "the test is over");
	RUN_UNTIL(H.h2 == NULL && R.e.pairs == 0);
	SSL_CTX_free(H.ctx);
	H.ctx = NULL;
	rig_down();
	return 0;
}

/* --- plays -------------------------------------------------------------------------------- */

static void
a_home_that_proves_its_keys_is_paired(void **state)
{
	unsigned char exporter[32];
	struct secret key;
	json_t *line;

	begin(&H, "PUT", "/pair");
	assert_true(tls_exporter(h2_ssl(H.h2), "EXPORTER-posthouse-pair-1", exporter));
	assert_true(pairing_mac_key(exporter, token, "bob", &key));
	say_hello(&H, "bob", token_text, recipient);
	line = hear(&H);
	assert_null(bob());				/* nothing is proved yet */
	prove(&H, line);
	json_decref(line);
	line = hear(&H);
	assert_true(json_is_true(json_object_get(line, "paired")));
	assert_string_equal(text(line, "edge"), "mx.edge.test");
	assert_string_equal(json_string_value(json_array_get(json_object_get(line, "domains"), 0)),
	    "bob.test");
	json_decref(line);
	assert_non_null(bob());
	assert_true(pin_eq(&bob()->pins[0], &home_pin));
	assert_memory_equal(bob()->recipients[0].pub, R.age.pub, 32);
	assert_memory_equal(bob()->mac[0].b, key.b, SECRET_LEN);
	assert_string_equal(bob()->domains[0], "bob.test");
	assert_int_equal(bob()->signed_from, 0);	/* nothing is older than this pairing */
	RUN_UNTIL(!R.e.pairing && homes_by_pin(&R.e.homes, &home_pin) != NULL);
}

static void
what_is_said_wrongly_is_refused(void **state)
{
	static const struct {
		const char	*line, *words;
	} cases[] = {
		{ "hello", "not a line of JSON" },
		{ "[]", "not a line of JSON" },
		{ "{}", "first line is not" },
		{ "{\"name\":\"../x\",\"token\":\"00\",\"recipients\":[]}", "first line is not" },
		{ "{\"name\":\"bob\",\"token\":\"00112233445566778899aabbccddeeff\","
		  "\"recipients\":[]}", "first line is not" },
		{ "{\"name\":\"bob\",\"token\":\"00112233445566778899aabbccddeeff\","
		  "\"recipients\":[1,2,3,4,5,6,7,8,9]}", "first line is not" },
		{ "{\"name\":\"bob\",\"token\":\"00112233445566778899aabbccddeeff\","
		  "\"recipients\":[\"age1x\"]}", "is not an age1" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(&H, "PUT", "/pair");
		say(&H, cases[i].line);
		expect_error(&H, cases[i].words);
		end(&H);
	}
	assert_true(R.e.pairing);			/* none of it was a try */
	assert_null(bob());
}

static void
a_wrong_token_costs_a_try(void **state)
{
	char wrong[sizeof(token_text)];

	memcpy(wrong, token_text, sizeof(wrong));
	wrong[0] = wrong[0] == '0' ? '1' : '0';
	begin(&H, "PUT", "/pair");
	say_hello(&H, "carol", token_text, recipient);
	expect_error(&H, "no pairing line for carol");
	end(&H);
	for (int left = PAIRING_TRIES - 1; left > 0; left--) {
		char words[40];

		snprintf(words, sizeof(words), "tries left: %d", left);
		begin(&H, "PUT", "/pair");
		say_hello(&H, "bob", wrong, recipient);
		expect_error(&H, words);
		end(&H);
	}
	begin(&H, "PUT", "/pair");
	say_hello(&H, "bob", wrong, recipient);
	expect_error(&H, "for the last time");
	end(&H);
	RUN_UNTIL(!R.e.pairing);
	dial(&H);
	loop_run_ms(20);
	assert_null(H.h2);				/* the handshake ends a stranger now */
}

static void
a_key_that_does_not_open_is_not_paired(void **state)
{
	static const unsigned char other[32] = { 9 };
	struct age_identity id;
	struct age_recipient r;
	char to[AGE_TEXT_MAX];

	assert_true(age_identity_from_bytes(other, &id));
	memcpy(r.pub, id.pub, sizeof(r.pub));
	age_recipient_print(&r, to);
	begin(&H, "PUT", "/pair");
	say_hello(&H, "bob", token_text, to);
	json_decref(hear(&H));
	say(&H, "{\"proof\":\"0000000000000000000000000000000000000000000000000000000000000000\"}");
	expect_error(&H, "was not opened");
	assert_null(bob());
	assert_true(R.e.pairing);			/* the line is good for another attempt */
	age_identity_fini(&id);
}

static void
two_homes_have_not_one_key(void **state)
{
	struct peer peer = R.alice->paired;

	peer.pins[0] = home_pin;
	peer.npins = 1;
	homes_paired(&R.e.homes, R.conf, "alice", &peer);
	begin(&H, "PUT", "/pair");
	say_hello(&H, "bob", token_text, recipient);
	expect_error(&H, "paired as another home");
}

static void
one_request_of_four_kilobytes_and_no_other(void **state)
{
	char long_line[PAIRING_OCTETS_MAX + 2];
	struct h2_head again = { .method = SPAN_LIT("PUT"), .path = SPAN_LIT("/pair"),
		.authority = SPAN_LIT("edge") };

	begin(&H, "GET", "/pair");
	RUN_UNTIL(H.over);
	assert_int_equal(H.status, 404);
	end(&H);
	begin(&H, "PUT", "/mail");
	RUN_UNTIL(H.over);
	assert_int_equal(H.status, 404);
	end(&H);

	memset(long_line, 'x', sizeof(long_line) - 1);
	long_line[sizeof(long_line) - 1] = '\0';
	begin(&H, "PUT", "/pair");
	say(&H, long_line);
	expect_error(&H, "more than 4 KB");
	end(&H);

	begin(&H, "PUT", "/pair");
	say_hello(&H, "bob", token_text, recipient);
	json_decref(hear(&H));
	H.status = 0;
	assert_non_null(h2_request(H.h2, &again, pull, &H, &head_only, &H));
	RUN_UNTIL(H.status == 404);
}

/* What was refused stays so, whatever the writer says afterwards. */
static void
too_much_while_the_writer_looks(void **state)
{
	char rest[PAIRING_OCTETS_MAX];
	json_t *line;

	memset(rest, 'x', sizeof(rest) - 1);
	rest[sizeof(rest) - 1] = '\0';
	begin(&H, "PUT", "/pair");
	say_hello(&H, "bob", token_text, recipient);
	say(&H, rest);
	RUN_UNTIL(H.over);
	line = hear(&H);
	assert_string_equal(text(line, "error"), "more than 4 KB");
	json_decref(line);
	assert_int_equal(H.nin, 0);			/* no test object behind it */
}

/* Two lines at once: the second is read when the writer has answered for the first. */
static void
lines_may_come_together(void **state)
{
	begin(&H, "PUT", "/pair");
	say_hello(&H, "bob", token_text, recipient);
	say(&H, "{\"proof\":\"00\"}");
	json_decref(hear(&H));
	expect_error(&H, "was not opened");
}

static void
a_home_may_go_at_any_moment(void **state)
{
	for (int turns = 0; turns < 30; turns++) {
		begin(&H, "PUT", "/pair");
		say_hello(&H, "bob", token_text, recipient);
		loop_turns((unsigned)turns);
		end(&H);
		RUN_UNTIL(R.e.pairs == 0);
	}
	assert_true(R.e.pairing);
}

static void
strangers_take_a_bounded_number_of_places(void **state)
{
	for (size_t i = 0; i < PAIRS_MAX; i++) {
		dial(&many[i]);
		RUN_UNTIL(R.e.pairs == i + 1);
	}
	dial(&many[PAIRS_MAX]);
	RUN_UNTIL(many[PAIRS_MAX].h2 == NULL);
	assert_int_equal(R.e.pairs, PAIRS_MAX);
	end(&many[0]);
	RUN_UNTIL(R.e.pairs == PAIRS_MAX - 1);
	begin(&H, "PUT", "/pair");
	say_hello(&H, "bob", token_text, recipient);
	json_decref(hear(&H));
	end(&H);
	for (size_t i = 1; i <= PAIRS_MAX; i++)
		end(&many[i]);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_home_that_proves_its_keys_is_paired),
		TEST(what_is_said_wrongly_is_refused),
		TEST(a_wrong_token_costs_a_try),
		TEST(a_key_that_does_not_open_is_not_paired),
		TEST(two_homes_have_not_one_key),
		TEST(one_request_of_four_kilobytes_and_no_other),
		TEST(too_much_while_the_writer_looks),
		TEST(lines_may_come_together),
		TEST(a_home_may_go_at_any_moment),
		TEST(strangers_take_a_bounded_number_of_places),
	};

	net_key_make(&edge_key, "P-256");
	net_key_make(&home_key, "P-256");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
