/*
 * Connections on their way home: true clients, the edge's own passages and tunnels,
 * and at their other end homes that do as they are told.
 */
#include "kit/edge_rig.h"

#include <errno.h>
#include <openssl/ssl.h>

#include "edge/bans.h"
#include "edge/passage_in.h"
#include "edge/session_in.h"
#include "kit/net_keys.h"
#include "net/h2.h"
#include "net/tls.h"
#include "proto/proxy_header.h"

static struct net_key edge_key, alice_key, bob_key;

/* --- homes ----------------------------------------------------------------------------------- */

struct line {				/* one tunnel, as home sees it */
	const char	*home;
	SSL_CTX		*ctx;
	struct h2	*h2;
};

struct visit {				/* one CONNECT, or another request */
	struct line	*line;
	struct h2_stream *s;		/* NULL once closed */
	char		 method[16], authority[80];
	char		 in[70000];
	size_t		 n;
	struct proxy_header header;
	size_t		 used;		/* octets of it */
	char		 out[64];
	bool		 out_end, ended, closed, well;
};

static struct {
	struct line	 line[3];	/* two of alice's, one of bob's */
	struct visit	*visit[64];
	unsigned	 n;
	const char	*up;		/* what the policies say is up */
	unsigned	 status;	/* to answer at once; 0 not */
	const char	*banner;
} H;

static ssize_t
visit_pull(void *arg, void *out, size_t max, bool *eof)
{
	struct visit *v = arg;
	size_t n = strlen(v->out);

	memcpy(out, v->out, n);
	v->out[0] = '\0';
	*eof = v->out_end;
	return (ssize_t)n;
}

static void
visit_say(struct visit *v, const char *text)
{
	snprintf(v->out, sizeof(v->out), "%s", text);
	h2_stream_resume(v->s);
}

static void
visit_data(void *arg, struct span s)
{
	struct visit *v = arg;
	struct why why;

	assert_true(s.n <= sizeof(v->in) - v->n);
	memcpy(v->in + v->n, s.p, s.n);
	v->n += s.n;
	h2_consumed(v->s, s.n);
	if (v->used == 0 && strcmp(v->method, "CONNECT") == 0)
		assert_true(proxy_header_read(span_of(v->in, v->n), &v->header, &v->used, &why) !=
		    PROXY_BAD);
}

static void
visit_end(void *arg)
{
	((struct visit *)arg)->ended = true;
}

static void
visit_closed(void *arg, const struct why *why)
{
	struct visit *v = arg;

	v->s = NULL;
	v->closed = true;
	v->well = why == NULL;
}

static const struct h2_stream_ops visit_ops = {
	.data = visit_data, .end = visit_end, .closed = visit_closed,
};

static void
answer(struct visit *v, unsigned status)
{
	struct h2_head head = { .status = status };

	assert_true(status < 300 ? h2_respond(v->s, &head, span_str(""), visit_pull, v) :
	    h2_respond(v->s, &head, span_str("no"), NULL, NULL));
}

static void
on_request(void *arg, struct h2_stream *s, const struct h2_head *head, bool has_body)
{
	struct line *line = arg;
	struct visit *v;

	if (span_eq(head->path, SPAN_LIT("/policy"))) {
		char text[256];
		struct h2_header etag = { "etag", SPAN_LIT("\"1\"") };
		struct h2_head ok = { .status = 200, .headers = &etag, .nheaders = 1 };

		if (h2_header_get(head, "if-none-match").n > 0)
			return;			/* the long poll: it waits for ever */
		snprintf(text, sizeof(text), "{\"version\":1,\"services\":[%s]}", H.up);
		h2_respond(s, &ok, span_str(text), NULL, NULL);
		return;
	}
	assert_non_null(v = calloc(1, sizeof(*v)));
	H.visit[H.n++] = v;
	v->line = line;
	v->s = s;
	span_copy(head->method, v->method, sizeof(v->method));
	span_copy(head->authority, v->authority, sizeof(v->authority));
	h2_stream_own(s, &visit_ops, v);
	if (H.banner != NULL)
		snprintf(v->out, sizeof(v->out), "%s", H.banner);
	if (H.status != 0)
		answer(v, H.status);
}

static void
on_line_closed(void *arg, const struct why *why)
{
	((struct line *)arg)->h2 = NULL;
}

static const struct h2_ops home_ops = { .request = on_request, .closed = on_line_closed };

static bool
is_edge(void *arg, const struct pin *pin, const char *proto)
{
	return true;
}

static void
dial(unsigned which)
{
	struct line *l = &H.line[which];
	struct home *h = homes_by_name(&R.e.homes, l->home);
	struct why why = { "" };
	size_t before = h->lanes.n;
	int fds[2];

	tcp_pair(fds);
	l->h2 = h2_new(&loop, fds[0], l->ctx, false, false, &home_ops, l, &why);
	assert_non_null(l->h2);
	tunnel_accept(&R.e, fds[1]);
	RUN_UNTIL(h->lanes.n == before + 1 && h->policy != NULL);
}

static void
hang_up(unsigned which)
{
	struct home *h = homes_by_name(&R.e.homes, H.line[which].home);
	size_t before = h->lanes.n;

	h2_abort(H.line[which].h2, "cut");
	RUN_UNTIL(H.line[which].h2 == NULL && h->lanes.n == before - 1);
}

/* The last visitor, when there are n. */
static struct visit *
visitor(unsigned n)
{
	RUN_UNTIL(H.n == n);
	assert_string_equal(H.visit[n - 1]->method, "CONNECT");
	return H.visit[n - 1];
}

/* --- clients --------------------------------------------------------------------------------- */

struct client {
	int		 fd;
	char		 text[8192];
	size_t		 n;
	bool		 eof, lost;
};

static struct client A, B, C;

static void
call(struct client *c, const char *service)
{
	int fds[2];

	tcp_pair(fds);
	*c = (struct client){ .fd = fds[0] };
	passage_accept(&R.e, fds[1], conf_edge_service(R.conf, service));
}

static void
hear(struct client *c)
{
	ssize_t n;

	while ((n = recv(c->fd, c->text + c->n, sizeof(c->text) - 1 - c->n, 0)) > 0)
		c->n += (size_t)n;
	if (n == 0)
		c->eof = true;
	else if (errno != EAGAIN)
		c->lost = true;
	c->text[c->n] = '\0';
}

static bool
heard(struct client *c, const char *what)
{
	hear(c);
	return strstr(c->text, what) != NULL;
}

static bool
ended(struct client *c)
{
	hear(c);
	return c->eof || c->lost;
}

static void
say_octets(struct client *c, const void *p, size_t n)
{
	assert_int_equal(send(c->fd, p, n, MSG_NOSIGNAL), (ssize_t)n);
}

static void
say(struct client *c, const char *text)
{
	say_octets(c, text, strlen(text));
}

#define STRANGER "PROXY TCP4 8.8.8.8 9.9.9.9 1234 25\r\n"

/* Goes with a reset, so that nobody waits for the other half. */
static void
drop(struct client *c)
{
	struct linger reset = { 1, 0 };

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(c->fd);
	c->fd = -1;
}

static const struct board_passed *
board(const char *service)
{
	return board_passed(&R.board, service);
}

/* --- the rig --------------------------------------------------------------------------------- */

static void
pin(const char *home, const struct net_key *key, const char *domain)
{
	struct peer p = R.alice->paired;
	struct why why;

	assert_int_equal(tls_pem_pin(net_key_span(key), &p.pins[0], &why), 0);
	p.npins = 1;
	snprintf(p.domains[0], sizeof(p.domains[0]), "%s", domain);
	assert_true(span_copy(span_str(home), p.name, sizeof(p.name)));
	homes_paired(&R.e.homes, R.conf, home, &p);
}

static int
set_up(void **state)
{
	static const char *const alpn[] = { "posthouse/1", NULL };
	struct why why = { "" };

	if (edge_key.n == 0) {
		net_key_make(&edge_key, "ED25519");
		net_key_make(&alice_key, "ED25519");
		net_key_make(&bob_key, "ED25519");
	}
	rig_up("service \"imaps\" { listen = {\"127.0.0.1:3\"} home = \"alice\"\n"
	    "  allow_private = true }\n"
	    "service \"mx\" { listen = {\"127.0.0.1:4\"} home = \"alice\" mode = \"auto\"\n"
	    "  proxy_from = {\"127.0.0.0/8\"} }\n"
	    "service \"own\" { listen = {\"127.0.0.1:5\"} mode = \"hold\"\n"
	    "  proxy_from = {\"127.0.0.1\"} }\n"
	    "service \"direct\" { listen = {\"127.0.0.1:6\"} home = \"alice\" mode = \"auto\" }\n"
	    "service \"strict\" { listen = {\"127.0.0.1:7\"} home = \"alice\" }\n"
	    "service \"web\" { listen = {\"127.0.0.1:8\"} allow_private = true }\n"
	    "service \"any\" { listen = {\"127.0.0.1:9\"} allow_private = true\n"
	    "  default_home = \"bob\" }\n"
	    "service \"submission\" { listen = {\"127.0.0.1:10\"} home = \"alice\" mode = pass\n"
	    "  proxy_from = {\"127.0.0.1\"} }\n"
	    "limits { streams_client = 4 streams = 6 connect_timeout = 300ms }\n");
	memset(&H, 0, sizeof(H));
	H.up = "{\"name\":\"imaps\",\"up\":true},{\"name\":\"mx\",\"up\":true},"
	    "{\"name\":\"web\",\"up\":true},{\"name\":\"any\",\"up\":true},"
	    "{\"name\":\"submission\",\"up\":false},{\"name\":\"direct\",\"up\":true}";
	A.fd = B.fd = C.fd = -1;
	buf_init(&R.e.tunnel_pem, sizeof(edge_key.pem));
	buf_add_span(&R.e.tunnel_pem, net_key_span(&edge_key));
	assert_int_equal(tunnel_context(&R.e, &why), 0);
	for (unsigned i = 0; i < 3; i++) {
		H.line[i].home = i < 2 ? "alice" : "bob";
		H.line[i].ctx = tls_tunnel_new(net_key_span(i < 2 ? &alice_key : &bob_key), false,
		    alpn, is_edge, NULL, &why);
		assert_non_null(H.line[i].ctx);
	}
	pin("alice", &alice_key, "alice.test");
	return 0;
}

/* A second home, whose handover has nothing to do. */
static void
bob_too(void)
{
	struct home *bob;

	pin("bob", &bob_key, "bob.test");
	bob = homes_by_name(&R.e.homes, "bob");
	assert_non_null(bob->handover = handover_new(&R.e, bob));
}

static int
tear_down(void **state)
{
	struct client *all[] = { &A, &B, &C };
	struct home *bob = homes_by_name(&R.e.homes, "bob");

	for (size_t i = 0; i < 3; i++)
		if (all[i]->fd >= 0)
			close(all[i]->fd);
	for (size_t i = 0; i < 3; i++)
		if (H.line[i].h2 != NULL)
			h2_abort(H.line[i].h2, "the test is over");
	RUN_UNTIL(H.line[0].h2 == NULL && H.line[1].h2 == NULL && H.line[2].h2 == NULL &&
	    R.e.tunnels == NULL);
	RUN_UNTIL(R.e.passages == NULL);
	if (bob != NULL)
		handover_free(&bob->handover);
	rig_down();
	for (size_t i = 0; i < BOARD_SERVICES; i++)
		assert_int_equal(R.board.passed[i].open, 0);
	assert_int_equal(R.e.npassages, 0);
	for (size_t i = 0; i < 3; i++)
		SSL_CTX_free(H.line[i].ctx);
	for (unsigned i = 0; i < H.n; i++)
		free(H.visit[i]);
	return 0;
}

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

/* A stranger who speaks too early is heard by whoever serves him. */
static void
stranger(struct client *c)
{
	call(c, "mx");
	say(c, STRANGER "EHLO early\r\n");
}

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
	loop_run_ms(100);
	passages_sweep(&R.e);
	assert_false(heard(&A, "220"));
	loop_run_ms(250);
	passages_sweep(&R.e);
	is_held(&A, 1);
	assert_int_equal(board("mx")->why[BR_LATE], 1);
	RUN_UNTIL(H.visit[0]->closed);
}

static void
a_backend_that_closes_without_a_word(void **state)
{
	struct visit *v;

	H.status = 200;
	dial(0);
	stranger(&A);
	v = visitor(1);
	loop_run_ms(400);
	passages_sweep(&R.e);			/* it was reached: its banner may take its time */
	assert_false(heard(&A, "220"));
	v->out_end = true;
	visit_say(v, "");
	is_held(&A, 1);
	assert_int_equal(board("mx")->why[BR_SILENT], 1);
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
		loop_run_ms(350);
		passages_sweep(&R.e);
		RUN_UNTIL(R.e.passages == NULL && H.visit[i]->closed);
	}
	assert_null(R.e.sessions);
}

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
/* What home's next policy says; the clients of "imaps" come from 127.0.0.1. */
static void
ban(struct home *h, const char *net)
{
	struct policy *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->services = calloc(2, sizeof(*p->services));
	p->bans = calloc(1, sizeof(*p->bans));
	assert_true(p->services != NULL && p->bans != NULL);
	strcpy(p->services[0].name, "imaps");
	strcpy(p->services[1].name, "mx");
	p->services[0].up = p->services[1].up = true;
	p->nservices = 2;
	assert_true(netaddr_parse_ip(span_str(net), &p->bans[0].net));
	p->bans[0].bits = 32;
	p->nbans = 1;
	h->nat = 0;			/* home would be where its clients are */
	home_set_policy(h, p, SPAN_LIT("\"tag\""));
	bans_changed(&R.e, h);
}

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
#define PASSAGE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		PASSAGE(a_stream_goes_home),
		PASSAGE(behind_a_balancer_the_client_is_the_headers),
		PASSAGE(bulk_and_passed_have_tunnels_of_their_own),
		PASSAGE(whoever_home_refuses_is_held),
		PASSAGE(a_home_that_does_not_answer_is_not_waited_for),
		PASSAGE(a_backend_that_closes_without_a_word),
		PASSAGE(a_tunnel_that_goes_before_the_first_word),
		PASSAGE(a_tunnel_that_goes_after_it),
		PASSAGE(a_service_that_home_says_is_down),
		PASSAGE(a_client_that_leaves_while_it_waits),
		PASSAGE(a_private_client_is_not_passed),
		PASSAGE(headers_that_are_none),
		PASSAGE(a_strangers_header_is_not_believed),
		PASSAGE(a_balancer_for_itself_is_never_passed),
		PASSAGE(held_mail_has_the_balancers_client_too),
		PASSAGE(a_passed_mail_service_that_is_down_says_421),
		PASSAGE(one_client_has_its_share),
		PASSAGE(names_find_their_home),
		PASSAGE(a_name_that_is_nobodys),
		PASSAGE(a_ban_ends_what_is_passed_and_bars_what_comes),
		PASSAGE(mail_for_several_homes_is_held),
		PASSAGE(going_down_leaves_what_is_passed_its_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
