#include "kit/passage_play.h"

#include <errno.h>
#include <openssl/ssl.h>

#include "kit/net_keys.h"
#include "net/tls.h"

struct passage_play H;
struct client A, B, C;
static struct net_key edge_key, alice_key, bob_key;

/* --- homes ----------------------------------------------------------------------------------- */

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

void
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

void
answer(struct visit *v, unsigned status)
{
	struct h2_head head = { .status = status };

	assert_true(status < 300 ? h2_respond(v->s, &head, span_str(""), visit_pull, v) :
	    h2_respond(v->s, &head, span_str("no"), NULL, NULL));
}

void
bans_say(unsigned status, const char *base, const char *etag, const char *list)
{
	struct h2_header headers[] = { { "etag", span_str(etag) },
		{ "delta-base", span_str(base) } };
	struct h2_head head = { .status = status, .headers = headers, .nheaders = 2 };

	assert_true(H.npolls > 0);
	while (H.npolls > 0)
		h2_respond(H.poll[--H.npolls], &head, span_str(list), NULL, NULL);
}

static void
on_bans(struct h2_stream *s, const struct h2_head *head)
{
	struct h2_header etag = { "etag", SPAN_LIT("\"1\"") };
	struct h2_head ok = { .status = 200, .headers = &etag, .nheaders = 1 };

	H.bans_asked++;
	span_copy(h2_header_get(head, "if-none-match"), H.bans_has, sizeof(H.bans_has));
	if (H.bans_has[0] == '\0')
		h2_respond(s, &ok, span_of(NULL, 0), NULL, NULL);
	else
		H.poll[H.npolls++] = s;
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
	if (span_eq(head->path, SPAN_LIT("/policy/bans"))) {
		on_bans(s, head);
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

void
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

void
hang_up(unsigned which)
{
	struct home *h = homes_by_name(&R.e.homes, H.line[which].home);
	size_t before = h->lanes.n;

	H.npolls = 0;
	h2_abort(H.line[which].h2, "cut");
	RUN_UNTIL(H.line[which].h2 == NULL && h->lanes.n == before - 1);
}

struct visit *
visitor(unsigned n)
{
	RUN_UNTIL(H.n == n);
	assert_string_equal(H.visit[n - 1]->method, "CONNECT");
	return H.visit[n - 1];
}

/* --- clients --------------------------------------------------------------------------------- */

void
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

bool
heard(struct client *c, const char *what)
{
	hear(c);
	return strstr(c->text, what) != NULL;
}

bool
ended(struct client *c)
{
	hear(c);
	return c->eof || c->lost;
}

void
say_octets(struct client *c, const void *p, size_t n)
{
	assert_int_equal(send(c->fd, p, n, MSG_NOSIGNAL), (ssize_t)n);
}

void
say(struct client *c, const char *text)
{
	say_octets(c, text, strlen(text));
}

void
stranger(struct client *c)
{
	call(c, "mx");
	say(c, STRANGER "EHLO early\r\n");
}

void
drop(struct client *c)
{
	struct linger reset = { 1, 0 };

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(c->fd);
	c->fd = -1;
}

const struct board_passed *
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

int
passage_play_setup(void **state)
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
	    "limits { streams_client = 4 streams = 6 connect_timeout = 8s }\n");
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

void
bob_too(void)
{
	struct home *bob;

	pin("bob", &bob_key, "bob.test");
	bob = homes_by_name(&R.e.homes, "bob");
	assert_non_null(bob->handover = handover_new(&R.e, bob));
}

int
passage_play_teardown(void **state)
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
