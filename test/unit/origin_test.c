#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/codec.h"
#include "home/origin.h"
#include "net/tls.h"
#include "net_keys.h"
#include "proto/policy.h"

/*
 * What an edge asks and hears through a real tunnel, over a spool that answers as
 * each case says.  The spool's functions here stand in for store/spool.h.
 */

/* --- a spool that does as it is told ------------------------------------------------------ */

struct spool_put {
	struct spool_meta meta;
	struct buf	 octets;
};

static struct {
	enum kept	 kept;		/* what a commit is answered */
	int64_t		 row;
	bool		 add_fails, silent;	/* silent: never answers by itself */
	enum outcome	 watched;	/* what a watch tells; PENDING: nothing by itself */
	enum outcome	 over;		/* what the end of the wait tells */
	bool		 watch_dies;	/* the writer dies while it is watched */

	unsigned	 puts, commits, drops, asides, watches, overs, confirms, updates;
	struct spool_meta meta;
	struct buf	 octets;
	struct peer	 update;
	spool_kept_fn	*told;
	void		*told_arg;
	struct {
		ledger_outcome_fn *fn;
		void		*arg;
	} open[32];			/* watches without an answer */
	size_t		 nopen;
} S;

static struct smtp_reply refusal;
static struct tunnel_proc T;

struct spool_put *
spool_put_new(struct spool *s, const struct spool_meta *m)
{
	struct spool_put *p = calloc(1, sizeof(*p));

	p->meta = *m;
	buf_init(&p->octets, 1u << 26);
	S.puts++;
	return p;
}

int
spool_put_add(struct spool_put *p, const void *data, size_t n, struct why *why)
{
	if (S.add_fails)
		return why_set(why, "the disk is full");
	assert_true(buf_add(&p->octets, data, n));
	return 0;
}

static void
put_end(struct spool_put **pp)
{
	buf_fini(&(*pp)->octets);
	free(*pp);
	*pp = NULL;
}

void
spool_put_drop(struct spool_put **pp)
{
	if (*pp == NULL)
		return;
	S.drops++;
	put_end(pp);
}

/* Answers come from the loop, never from inside the call that asked. */
struct later {
	uv_timer_t	 timer;
	void		(*fn)(struct later *);
	spool_kept_fn	*kept;
	spool_done_fn	*done;
	ledger_outcome_fn *outcome;
	enum outcome	 o;
	void		*arg;
};

static void
on_later_closed(uv_handle_t *h)
{
	free(h->data);
}

static void
on_later(uv_timer_t *t)
{
	struct later *l = t->data;
	struct why why = { "as the test says" };

	if (l->kept != NULL)
		l->kept(l->arg, S.kept, S.row, &why);
	else if (l->done != NULL)
		l->done(l->arg, true, NULL);
	else
		l->outcome(l->arg, l->o, l->o == OUTCOME_REFUSED ? &refusal : NULL);
	uv_close((uv_handle_t *)&l->timer, on_later_closed);
}

static void
later(struct later l)
{
	struct later *p = malloc(sizeof(*p));

	*p = l;
	uv_timer_init(T.loop, &p->timer);
	p->timer.data = p;
	uv_timer_start(&p->timer, on_later, 0, 0);
}

void
spool_put_commit(
    struct spool_put **pp, const unsigned char mac[OBJECT_MAC_LEN], spool_kept_fn *told, void *arg)
{
	S.commits++;
	S.meta = (*pp)->meta;
	buf_clear(&S.octets);
	buf_add_span(&S.octets, buf_span(&(*pp)->octets));
	put_end(pp);
	S.told = told;
	S.told_arg = arg;
	if (!S.silent)
		later((struct later){ .kept = told, .arg = arg });
}

void
spool_set_aside(struct spool_put **pp, const char *reason, spool_done_fn *done, void *arg)
{
	S.asides++;
	put_end(pp);
	later((struct later){ .done = done, .arg = arg });
}

void
ledger_watch(struct spool *s, int64_t row, ledger_outcome_fn *fn, void *arg)
{
	S.watches++;
	assert_int_equal(row, S.row);
	if (S.watched != OUTCOME_PENDING || S.watch_dies) {
		later((struct later){ .outcome = fn, .o = S.watched, .arg = arg });
		return;
	}
	assert_true(S.nopen < 32);
	S.open[S.nopen].fn = fn;
	S.open[S.nopen++].arg = arg;
}

void
ledger_verdict_over(struct spool *s, int64_t row, ledger_outcome_fn *fn, void *arg)
{
	S.overs++;
	assert_int_equal(row, S.row);
	later((struct later){ .outcome = fn, .o = S.over, .arg = arg });
}

void
ledger_confirm_refused(
    struct spool *s, const char *signer, struct uuid id, spool_done_fn *done, void *arg)
{
	S.confirms++;
	assert_string_equal(signer, "mx1.example.org");
	later((struct later){ .done = done, .arg = arg });
}

void
spool_peer_update(struct spool *s, const struct peer *p, spool_done_fn *done, void *arg)
{
	S.updates++;
	S.update = *p;
}

/* --- the tunnel --------------------------------------------------------------------------- */

static struct net_key home_key, edge_key;
static uv_loop_t loop;
static uv_timer_t patience;
static bool timed_out;
static struct scoreboard board;
static struct proc proc;
static struct conf_home conf;
static struct h2 *home_h2, *edge_h2;
static struct origin *origin;
static SSL_CTX *home_ctx, *edge_ctx;

#define RUN_UNTIL(cond) do {						\
	timed_out = false;						\
	uv_timer_start(&patience, on_patience, 20000, 0);		\
	while (!(cond) && !timed_out)					\
		uv_run(&loop, UV_RUN_ONCE);				\
	uv_timer_stop(&patience);					\
	assert_true(cond);						\
} while (0)

static void
on_patience(uv_timer_t *t)
{
	timed_out = true;
}

static void
on_request(void *arg, struct h2_stream *s, const struct h2_head *head, bool has_body)
{
	origin_request(origin, s, head, has_body);
}

static void
on_home_closed(void *arg, const struct why *why)
{
	home_h2 = NULL;
	origin_free(&origin);
}

static void
on_edge_closed(void *arg, const struct why *why)
{
	edge_h2 = NULL;
}

static bool edge_ready;

static void
on_edge_ready(void *arg)
{
	edge_ready = true;
}

static const struct h2_ops home_ops = { .request = on_request, .closed = on_home_closed };
static const struct h2_ops edge_ops = { .ready = on_edge_ready, .closed = on_edge_closed };

static bool
any_pin(void *arg, const struct pin *pin, const char *alpn)
{
	return true;
}

static void
tcp_pair(int fds[2])
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(sin);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(l, (struct sockaddr *)&sin, n), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&sin, &n), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&sin, n), 0);
	fds[1] = accept(l, NULL, NULL);
	assert_true(fds[1] >= 0);
	close(l);
}

static struct peer
paired(void)
{
	struct peer p = {
		.name = "mx1.example.org", .home = "alice", .npins = 1, .nmac = 2, .ndomains = 1
	};
	unsigned char key[2][SECRET_LEN] = { { 1 }, { 2 } };

	secret_set(&p.mac[0], key[0]);
	secret_set(&p.mac[1], key[1]);
	span_copy(SPAN_LIT("example.org"), p.domains[0], sizeof(p.domains[0]));
	return p;
}

static int
setup(void **state)
{
	static const char *const alpn[] = { "posthouse/1", NULL };
	struct peer p = paired();
	struct why why = { "" };
	int fds[2];

	uv_loop_init(&loop);
	uv_timer_init(&loop, &patience);
	uv_unref((uv_handle_t *)&patience);
	memset(&S, 0, sizeof(S));
	buf_init(&S.octets, 1u << 26);
	S.kept = KEPT;
	S.row = 7;
	refusal = smtp_reply(550, 5, 1, 1, "no such mailbox here");
	memset(&board, 0, sizeof(board));
	conf.hold.quota = 1 << 24;
	proc = (struct proc){ .loop = &loop, .home = &conf, .board = &board };
	T = (struct tunnel_proc){ .proc = &proc, .loop = &loop, .mark = { 5, 41 }, .spool_up = true,
		.peers_known = true, .npins = 1, .backend = { .smtputf8 = true, .dsn = true } };
	assert_non_null(edges_paired(&T.edges, &conf, p.name, &p));
	edge_ctx = tls_tunnel_new(net_key_span(&edge_key), true, alpn, any_pin, NULL, &why);
	home_ctx = tls_tunnel_new(net_key_span(&home_key), false, alpn, any_pin, NULL, &why);
	tcp_pair(fds);
	edge_ready = false;
	edge_h2 = h2_new(&loop, fds[1], edge_ctx, true, true, &edge_ops, NULL, &why);
	home_h2 = h2_new(&loop, fds[0], home_ctx, false, false, &home_ops, NULL, &why);
	assert_non_null(edge_h2);
	assert_non_null(home_h2);
	origin = origin_new(&T, "mx1.example.org", home_h2);
	RUN_UNTIL(edge_ready);
	return 0;
}

static int
teardown(void **state)
{
	if (edge_h2 != NULL)
		h2_abort(edge_h2, "the test is over");
	if (home_h2 != NULL)
		h2_abort(home_h2, "the test is over");
	RUN_UNTIL(edge_h2 == NULL && home_h2 == NULL);
	for (size_t i = 0; i < S.nopen; i++)		/* the writer goes */
		S.open[i].fn(S.open[i].arg, OUTCOME_PENDING, NULL);
	uv_close((uv_handle_t *)&patience, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);	/* nothing left behind */
	SSL_CTX_free(edge_ctx);
	SSL_CTX_free(home_ctx);
	edges_fini(&T.edges);
	buf_fini(&S.octets);
	return 0;
}

/* --- an edge's requests ------------------------------------------------------------------- */

struct ask {
	struct h2_stream *s;
	const char	*body;
	size_t		 n, sent;
	bool		 hold;		/* the end of the body is not sent */
	unsigned	 status;
	char		 ledger[64], etag[64];
	char		 answer[4096];
	size_t		 nanswer;
	bool		 closed;
};

static void
on_head(void *arg, const struct h2_head *head)
{
	struct ask *a = arg;

	a->status = head->status;
	span_copy(h2_header_get(head, "posthouse-ledger"), a->ledger, sizeof(a->ledger));
	span_copy(h2_header_get(head, "etag"), a->etag, sizeof(a->etag));
}

static void
on_data(void *arg, struct span s)
{
	struct ask *a = arg;

	assert_true(s.n < sizeof(a->answer) - a->nanswer);
	memcpy(a->answer + a->nanswer, s.p, s.n);
	a->nanswer += s.n;
	h2_consumed(a->s, s.n);
}

static void
on_closed(void *arg, const struct why *why)
{
	struct ask *a = arg;

	a->closed = true;
	a->s = NULL;
}

static const struct h2_stream_ops ask_ops = {
	.head = on_head, .data = on_data, .closed = on_closed
};

static ssize_t
pull(void *arg, void *out, size_t max, bool *eof)
{
	struct ask *a = arg;
	size_t n = a->n - a->sent < max ? a->n - a->sent : max;

	memcpy(out, a->body + a->sent, n);
	a->sent += n;
	*eof = !a->hold && a->sent == a->n;
	return (ssize_t)n;
}

static void
ask(struct ask *a, const char *method, const char *path, const struct h2_header *headers, size_t n)
{
	struct h2_head head = { .method = span_str(method),
		.path = span_str(path),
		.authority = SPAN_LIT("alice"),
		.headers = headers,
		.nheaders = n };

	a->s = h2_request(edge_h2, &head, a->body != NULL ? pull : NULL, a, &ask_ops, a);
	assert_non_null(a->s);
}

static const char id_text[] = "01890a5d-ac96-774b-bcce-b302099a8057";

static void
sign(const char *body, size_t n, unsigned char key0, char hex[2 * OBJECT_MAC_LEN + 1])
{
	struct object_mac *m = object_mac_new();
	unsigned char key[SECRET_LEN] = { key0 }, mac[OBJECT_MAC_LEN];
	struct secret secret = { .set = false };
	struct uuid id;

	assert_true(uuid_parse(span_str(id_text), &id));
	secret_set(&secret, key);
	object_mac_add(m, body, n);
	assert_true(object_mac_end(m, &secret, id, mac));
	object_mac_free(&m);
	secret_fini(&secret);
	hex_encode(mac, sizeof(mac), hex);
}

static struct ask
put(const char *body, size_t n, unsigned char key, const char *prefer)
{
	struct ask a = { .body = body, .n = n };
	char mac[2 * OBJECT_MAC_LEN + 1], path[64];
	struct h2_header h[] = { { "posthouse-mac", { mac, 64 } }, { "prefer", span_str(prefer) } };

	sign(body, n, key, mac);
	snprintf(path, sizeof(path), "/mail/%s", id_text);
	ask(&a, "PUT", path, h, prefer[0] != '\0' ? 2 : 1);
	RUN_UNTIL(a.closed);
	return a;
}

/* --- tests -------------------------------------------------------------------------------- */

static void
an_object_that_is_kept_is_answered_201(void **state)
{
	static char big[3 << 20];
	struct ask a;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 31 >> 3);
	a = put(big, sizeof(big), 1, "");
	assert_int_equal(a.status, 201);
	assert_string_equal(a.ledger, "5.41");
	assert_int_equal(S.octets.n, sizeof(big));
	assert_memory_equal(S.octets.p, big, sizeof(big));
	assert_string_equal(S.meta.signer, "mx1.example.org");
	assert_string_equal(S.meta.home, "alice");
	assert_string_equal(uuid_text(S.meta.id).s, id_text);
	assert_int_equal(S.meta.origin, ORIGIN_TUNNEL);
	assert_false(S.meta.verdict);
	assert_int_equal(board.count[BC_RECEIVED], 1);
	assert_int_equal(put("two", 3, 2, "").status, 201);	/* both keys of a rotation */
}

/* What the ledger says, and what the edge hears of it. */
static const struct verdict {
	const char	*name, *prefer;
	enum kept	 kept;
	int64_t		 row;
	enum outcome	 watched, over;
	bool		 dies;
	unsigned	 status, watches, overs;
} verdicts[] = {
	{ "kept", "", KEPT, 7, 0, 0, false, 201, 0, 0 },
	{ "kept before", "", KEPT_BEFORE, 7, 0, 0, false, 201, 0, 0 },
	{ "not kept", "", NOT_KEPT, 0, 0, 0, false, 503, 0, 0 },
	{ "full", "", KEPT_FULL, 0, 0, 0, false, 503, 0, 0 },
	{ "full, verdict asked", "wait=5", KEPT_FULL, 0, 0, 0, false, 503, 0, 0 },
	{ "delivered", "wait=5", KEPT, 7, OUTCOME_DELIVERED, 0, false, 200, 1, 0 },
	{ "delivered long ago", "wait=5", KEPT_BEFORE, 0, 0, 0, false, 200, 0, 0 },
	{ "refused", "wait=5", KEPT, 7, OUTCOME_REFUSED, 0, false, 422, 1, 0 },
	{ "refused, asked again", "wait=5", KEPT_BEFORE, 7, OUTCOME_REFUSED, 0, false, 422, 1, 0 },
	{ "parked or deferred: a later refusal is ours, so the ledger must know before 202 is said",
	    "wait=5", KEPT, 7, OUTCOME_ACCEPTED, OUTCOME_ACCEPTED, false, 202, 1, 1 },
	{ "no verdict in time", "wait=0", KEPT, 7, OUTCOME_PENDING, OUTCOME_PENDING, false, 202, 1,
	    1 },
	{ "delivered at the last moment", "wait=0", KEPT, 7, OUTCOME_PENDING, OUTCOME_DELIVERED,
	    false, 200, 1, 1 },
	{ "refused at the last moment", "respond-async, WAIT=0; x=1", KEPT, 7, OUTCOME_PENDING,
	    OUTCOME_REFUSED, false, 422, 1, 1 },
	{ "the writer dies: the edge must ask again without waiting", "wait=5", KEPT, 7,
	    OUTCOME_PENDING, 0, true, 503, 1, 0 },
};

static void
verdicts_become_status_codes(void **state)
{
	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
		const struct verdict *v = &verdicts[i];
		struct ask a;

		S.kept = v->kept;
		S.row = v->row;
		S.watched = v->watched;
		S.over = v->over;
		S.watch_dies = v->dies;
		S.watches = S.overs = 0;
		a = put("sealed", 6, 1, v->prefer);
		if (a.status != v->status || S.watches != v->watches || S.overs != v->overs)
			fail_msg(
			    "%s: %u, %u watched, %u over", v->name, a.status, S.watches, S.overs);
		if (S.meta.verdict != (v->prefer[0] != '\0'))
			fail_msg("%s: the row has verdict %d", v->name, S.meta.verdict);
		if (a.status == 422)
			assert_memory_equal(
			    a.answer, "550 5.1.1 no such mailbox here\r\n", a.nanswer);
	}
}

static void
a_wrong_mac_is_set_aside(void **state)
{
	struct ask a = put("sealed", 6, 3, "");

	assert_int_equal(a.status, 403);
	assert_int_equal(S.asides, 1);
	assert_int_equal(S.commits, 0);
	assert_int_equal(board.count[BC_FORGED], 1);
	assert_int_equal(board.count[BC_RECEIVED], 0);
}

static void
an_edge_without_a_key_gives_nothing(void **state)
{
	edges_paired(&T.edges, &conf, "mx1.example.org", NULL);
	assert_int_equal(put("sealed", 6, 1, "").status, 403);
	assert_int_equal(S.commits + S.asides, 0);
}

static const struct bad {
	const char	*name, *method, *path, *header, *value, *body;
	unsigned	 status;
} bads[] = {
	{ "no MAC", "PUT", "/mail/01890a5d-ac96-774b-bcce-b302099a8057", "x", "y", "sealed", 400 },
	{ "half a MAC", "PUT", "/mail/01890a5d-ac96-774b-bcce-b302099a8057", "posthouse-mac",
	    "00ff", "sealed", 400 },
	{ "no body", "PUT", "/mail/01890a5d-ac96-774b-bcce-b302099a8057", "x", "y", NULL, 400 },
	{ "no UUID", "PUT", "/mail/1", "x", "y", "sealed", 404 },
	{ "a path behind the id", "PUT", "/mail/01890a5d-ac96-774b-bcce-b302099a8057/x", "x", "y",
	    "sealed", 404 },
	{ "reading mail", "GET", "/mail/01890a5d-ac96-774b-bcce-b302099a8057", "x", "y", NULL,
	    405 },
	{ "writing policy", "PUT", "/policy", "x", "y", "{}", 405 },
	{ "a query", "GET", "/policy?x", "x", "y", NULL, 404 },
	{ "the root", "GET", "/", "x", "y", NULL, 404 },
	{ "another's name", "PUT", "/pair", "x", "y", "{}", 404 },
};

static void
anything_else_is_refused(void **state)
{
	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		struct h2_header h = { bads[i].header, span_str(bads[i].value) };
		struct ask a = { .body = bads[i].body,
			.n = bads[i].body != NULL ? strlen(bads[i].body) : 0 };

		ask(&a, bads[i].method, bads[i].path, &h, 1);
		RUN_UNTIL(a.closed);
		if (a.status != bads[i].status)
			fail_msg("%s: %u, not %u", bads[i].name, a.status, bads[i].status);
	}
	assert_int_equal(S.commits, 0);
}

static void
what_cannot_be_kept_is_not_taken(void **state)
{
	static char big[(1 << 24) + 1];

	assert_int_equal(put(big, sizeof(big), 1, "").status, 413);
	S.add_fails = true;
	assert_int_equal(put("sealed", 6, 1, "").status, 503);
	S.add_fails = false;
	T.spool_up = false;
	assert_int_equal(put("sealed", 6, 1, "").status, 503);
	T.spool_up = true;
	assert_int_equal(S.commits, 0);
	assert_int_equal(S.drops, S.puts);
	assert_int_equal(put("sealed", 6, 1, "").status, 201);
}

static void
puts_at_once_are_bounded(void **state)
{
	static struct ask asks[ORIGIN_PUTS_MAX];
	char mac[2 * OBJECT_MAC_LEN + 1], path[64];
	struct h2_header h[] = { { "posthouse-mac", { mac, 64 } } };

	sign("sealed", 6, 1, mac);
	for (unsigned i = 0; i < ORIGIN_PUTS_MAX; i++) {
		asks[i] = (struct ask){ .body = "sealed", .n = 6, .hold = true };
		snprintf(path, sizeof(path), "/mail/01890a5d-ac96-774b-bcce-b302099a%04x", i);
		ask(&asks[i], "PUT", path, h, 1);
	}
	RUN_UNTIL(S.puts == ORIGIN_PUTS_MAX);
	assert_int_equal(put("sealed", 6, 1, "").status, 503);
	h2_reset(asks[0].s);
	RUN_UNTIL(S.drops == 1);
	assert_int_equal(put("sealed", 6, 1, "").status, 201);
}

static void
a_tunnel_cut_anywhere_leaves_nothing_half(void **state)
{
	struct ask a = { .body = "sealed", .n = 6, .hold = true };
	char mac[2 * OBJECT_MAC_LEN + 1], path[64];
	struct h2_header h[] = { { "posthouse-mac", { mac, 64 } },
		{ "prefer", SPAN_LIT("wait=60") } };
	struct ask b = { .body = "sealed", .n = 6 }, c = b;

	sign("sealed", 6, 1, mac);
	snprintf(path, sizeof(path), "/mail/%s", id_text);
	ask(&a, "PUT", path, h, 1);			/* in the middle of its body */
	RUN_UNTIL(S.puts == 1);
	ask(&b, "PUT", path, h, 2);			/* waiting for its verdict */
	RUN_UNTIL(S.watches == 1);
	S.silent = true;
	ask(&c, "PUT", path, h, 2);			/* waiting for its commit */
	RUN_UNTIL(S.commits == 2);
	h2_abort(edge_h2, "cut");
	RUN_UNTIL(home_h2 == NULL && edge_h2 == NULL);
	assert_int_equal(S.drops, 1);
	S.told(S.told_arg, KEPT, 8, NULL); /* the answer that nobody waits for any more */
	assert_int_equal(S.watches, 1);
}

static void
a_refusal_is_confirmed(void **state)
{
	struct ask a = { .body = NULL };
	char path[64];

	snprintf(path, sizeof(path), "/mail/%s", id_text);
	ask(&a, "DELETE", path, NULL, 0);
	RUN_UNTIL(a.closed);
	assert_int_equal(a.status, 204);
	assert_int_equal(S.confirms, 1);
	assert_int_equal(a.nanswer, 0);
}

/* --- policy ------------------------------------------------------------------------------- */

static struct ask
get_policy(const char *etag, const char *prefer, const char *seen)
{
	struct ask a = { .body = NULL };
	struct h2_header h[] = { { "if-none-match", span_str(etag) },
		{ "prefer", span_str(prefer) }, { "posthouse-keys-seen", span_str(seen) } };

	ask(&a, "GET", "/policy", h, 3);
	if (prefer[0] == '\0' || etag[0] == '\0')
		RUN_UNTIL(a.closed);
	return a;
}

static void
policy_says_what_was_granted_and_nothing_else(void **state)
{
	struct ask a = get_policy("", "", ""), b;
	struct why why = { "" };
	struct policy *p = policy_parse(span_of(a.answer, a.nanswer), &why);
	struct peer other = paired();

	assert_int_equal(a.status, 200);
	assert_non_null(p);
	assert_int_equal(p->ndomains, 1);
	assert_string_equal(p->domains[0].name, "example.org");
	assert_int_equal(p->epoch, 5);
	assert_int_equal(p->counter, 41);
	assert_true(p->smtputf8);
	assert_true(p->dsn);
	assert_int_equal(p->npins, 1);
	policy_free(&p);
	span_copy(SPAN_LIT("mx2.example.org"), other.name, sizeof(other.name));
	span_copy(SPAN_LIT("secret.example"), other.domains[0], sizeof(other.domains[0]));
	edges_paired(&T.edges, &conf, other.name, &other);
	T.mark.counter = 42;
	b = get_policy(
	    a.etag, "", ""); /* another edge's grant and a new message change nothing here */
	assert_int_equal(b.status, 304);
	assert_string_equal(b.ledger, "5.42");
}

static void
a_long_poll_is_answered_when_policy_changes(void **state)
{
	static struct ask polls[ORIGIN_WAITERS_MAX + 1];
	struct ask a = get_policy("", "", "");
	struct peer p = paired();

	for (size_t i = 0; i <= ORIGIN_WAITERS_MAX; i++) {
		struct h2_header h[] = { { "if-none-match", span_str(a.etag) },
			{ "prefer", SPAN_LIT("wait=60") } };

		polls[i] = (struct ask){ .body = NULL };
		ask(&polls[i], "GET", "/policy", h, 2);
	}
	RUN_UNTIL(polls[0].closed);			/* the oldest gives way */
	assert_int_equal(polls[0].status, 304);
	assert_int_equal(origin->nwaiters, ORIGIN_WAITERS_MAX);
	p.ndomains = 2;
	span_copy(SPAN_LIT("example.net"), p.domains[1], sizeof(p.domains[1]));
	edges_paired(&T.edges, &conf, p.name, &p);
	origin_policy(origin);
	for (size_t i = 1; i <= ORIGIN_WAITERS_MAX; i++) {
		RUN_UNTIL(polls[i].closed);
		assert_int_equal(polls[i].status, 200);
		assert_string_not_equal(polls[i].etag, a.etag);
	}
	polls[0] = (struct ask){ .body = NULL };
	struct h2_header h[] = { { "if-none-match", span_str(polls[1].etag) },
		{ "prefer", SPAN_LIT("wait=1") } };
	ask(&polls[0], "GET", "/policy", h, 2);
	RUN_UNTIL(polls[0].closed);
	assert_int_equal(polls[0].status, 304);		/* nothing changed within the second */
	assert_int_equal(origin->nwaiters, 0);
}

static void
policy_waits_for_the_ledger(void **state)
{
	struct ask a = { .body = NULL };

	T.mark = (struct ledger_mark){ 0, 0 };
	ask(&a, "GET", "/policy", NULL, 0);
	RUN_UNTIL(origin->nwaiters == 1);
	T.mark = (struct ledger_mark){ 9, 1 };
	origin_policy(origin);
	RUN_UNTIL(a.closed);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.ledger, "9.1");
}

static void
keys_seen_are_kept(void **state)
{
	struct age_identity id;
	struct age_recipient r;
	char text[AGE_TEXT_MAX], seen[200];
	unsigned char key[32] = { 9 };
	struct peer p;

	assert_true(age_identity_from_bytes(key, &id));
	memcpy(r.pub, id.pub, sizeof(r.pub));
	age_recipient_print(&r, text);
	snprintf(seen, sizeof(seen), "sha256:00 %s", text);
	get_policy("", "", seen);
	assert_int_equal(S.updates, 1);
	assert_int_equal(S.update.nrecipients, 1);
	assert_memory_equal(S.update.recipients[0].pub, r.pub, 32);
	p = S.update;
	edges_paired(&T.edges, &conf, p.name, &p);
	get_policy("", "", seen);
	assert_int_equal(S.updates, 1);			/* known already */
	age_identity_fini(&id);
}

static void
finishing_ends_what_waits(void **state)
{
	struct ask a = get_policy("", "", ""), poll = { .body = NULL },
		   b = { .body = "sealed", .n = 6 };
	char mac[2 * OBJECT_MAC_LEN + 1], path[64];
	struct h2_header h[] = { { "if-none-match", span_str(a.etag) },
		{ "prefer", SPAN_LIT("wait=60") }, { "posthouse-mac", { mac, 64 } } };

	sign("sealed", 6, 1, mac);
	snprintf(path, sizeof(path), "/mail/%s", id_text);
	ask(&poll, "GET", "/policy", h, 2);
	ask(&b, "PUT", path, h + 1, 2);
	RUN_UNTIL(S.watches == 1 && origin->nwaiters == 1);
	S.over = OUTCOME_PENDING;
	origin_finish(origin);
	RUN_UNTIL(poll.closed && b.closed);
	assert_int_equal(poll.status, 304);
	assert_int_equal(b.status, 202);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_object_that_is_kept_is_answered_201),
		TEST(verdicts_become_status_codes),
		TEST(a_wrong_mac_is_set_aside),
		TEST(an_edge_without_a_key_gives_nothing),
		TEST(anything_else_is_refused),
		TEST(what_cannot_be_kept_is_not_taken),
		TEST(puts_at_once_are_bounded),
		TEST(a_tunnel_cut_anywhere_leaves_nothing_half),
		TEST(a_refusal_is_confirmed),
		TEST(policy_says_what_was_granted_and_nothing_else),
		TEST(a_long_poll_is_answered_when_policy_changes),
		TEST(policy_waits_for_the_ledger),
		TEST(keys_seen_are_kept),
		TEST(finishing_ends_what_waits),
	};

	net_key_make(&home_key, "ED25519");
	net_key_make(&edge_key, "ED25519");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
