#include "kit/origin_play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "home/health.h"
#include "kit/net_keys.h"
#include "kit/tcp_pair.h"
#include "net/tls.h"

struct origin_play play;
struct tunnel_proc T;
struct conf_home conf;
struct scoreboard board;
struct h2 *home_h2, *edge_h2;
struct origin *origin;
static struct smtp_reply refusal;
static struct net_key tls_key;
static struct proc proc;
static bool edge_ready;

/* --- a spool that does as it is told ------------------------------------------------------ */

struct spool_put {
	struct spool_meta meta;
	struct buf	 octets;
};

struct spool_put *
spool_put_new(struct spool *s, const struct spool_meta *m)
{
	struct spool_put *p = calloc(1, sizeof(*p));

	p->meta = *m;
	buf_init(&p->octets, 1u << 26);
	play.puts++;
	return p;
}

int
spool_put_add(struct spool_put *p, const void *data, size_t n, struct why *why)
{
	if (play.add_fails)
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
	play.drops++;
	put_end(pp);
}

/* Answers come from the loop, never from inside the call that asked. */
struct soon {
	uv_timer_t	 timer;
	void		(*fn)(struct soon *);
	spool_kept_fn	*kept;
	spool_done_fn	*done;
	ledger_outcome_fn *outcome;
	enum outcome	 o;
	void		*arg;
};

static void
on_soon_closed(uv_handle_t *h)
{
	free(h->data);
}

static void
on_soon(uv_timer_t *t)
{
	struct soon *l = t->data;
	struct why why = { "as the test says" };

	if (l->kept != NULL)
		l->kept(l->arg, play.kept, play.row, &why);
	else if (l->done != NULL)
		l->done(l->arg, !play.aside_fails, &why);
	else
		l->outcome(l->arg, l->o, l->o == OUTCOME_REFUSED ? &refusal : NULL);
	uv_close((uv_handle_t *)&l->timer, on_soon_closed);
}

static void
soon(struct soon l)
{
	struct soon *p = malloc(sizeof(*p));

	*p = l;
	uv_timer_init(T.loop, &p->timer);
	p->timer.data = p;
	uv_timer_start(&p->timer, on_soon, 0, 0);
}

void
spool_put_commit(
    struct spool_put **pp, const unsigned char mac[OBJECT_MAC_LEN], spool_kept_fn *told, void *arg)
{
	play.commits++;
	play.meta = (*pp)->meta;
	buf_clear(&play.octets);
	buf_add_span(&play.octets, buf_span(&(*pp)->octets));
	put_end(pp);
	play.told = told;
	play.told_arg = arg;
	if (!play.silent)
		soon((struct soon){ .kept = told, .arg = arg });
}

void
spool_set_aside(struct spool_put **pp, const char *reason, spool_done_fn *done, void *arg)
{
	play.asides++;
	put_end(pp);
	soon((struct soon){ .done = done, .arg = arg });
}

void
ledger_watch(struct spool *s, int64_t row, ledger_outcome_fn *fn, void *arg)
{
	play.watches++;
	assert_int_equal(row, play.row);
	if (play.watched != OUTCOME_PENDING || play.watch_dies) {
		soon((struct soon){ .outcome = fn, .o = play.watched, .arg = arg });
		return;
	}
	assert_true(play.nopen < 32);
	play.open[play.nopen].fn = fn;
	play.open[play.nopen++].arg = arg;
}

void
ledger_verdict_over(struct spool *s, int64_t row, ledger_outcome_fn *fn, void *arg)
{
	play.overs++;
	assert_int_equal(row, play.row);
	soon((struct soon){ .outcome = fn, .o = play.over, .arg = arg });
}

void
ledger_confirm_refused(
    struct spool *s, const char *signer, struct uuid id, spool_done_fn *done, void *arg)
{
	play.confirms++;
	assert_string_equal(signer, "mx1.example.org");
	soon((struct soon){ .done = done, .arg = arg });
}

void
spool_peer_update(struct spool *s, const struct peer *p, spool_done_fn *done, void *arg)
{
	play.updates++;
	play.update = *p;
}

/* --- the tunnel --------------------------------------------------------------------------- */

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

struct peer
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

/* One end of the tunnel, with its own key; who shows which is not the matter here. */
static struct h2 *
end_new(int fd, bool edge, const struct h2_ops *ops)
{
	static const char *const alpn[] = { "posthouse/1", NULL };
	struct why why = { "" };
	SSL_CTX *ctx = tls_tunnel_new(net_key_span(&tls_key), edge, alpn, any_pin, NULL, &why);
	struct h2 *h2;

	assert_non_null(ctx);
	h2 = h2_new(&loop, fd, ctx, edge, edge, ops, NULL, &why);
	assert_non_null(h2);
	SSL_CTX_free(ctx);		/* the connection has its own hold on it */
	return h2;
}

static void
on_health(void *arg)
{
	if (origin != NULL)
		origin_policy(origin);
}

int
origin_setup(void **state)
{
	struct peer p = paired();
	int fds[2];

	if (tls_key.n == 0)
		net_key_make(&tls_key, "ED25519");
	loop_begin();
	memset(&play, 0, sizeof(play));
	buf_init(&play.octets, 1u << 26);
	play.kept = KEPT;
	play.row = 7;
	refusal = smtp_reply(550, 5, 1, 1, "no such mailbox here");
	memset(&board, 0, sizeof(board));
	conf.hold.quota = 1 << 24;
	proc = (struct proc){ .loop = &loop, .home = &conf, .board = &board };
	T = (struct tunnel_proc){ .proc = &proc, .loop = &loop,
		.mark = { .epoch = 5, .counter = 41 },
		.intake = { .proc = &proc, .up = true, .known = true }, .npins = 1,
		.delivery = { .smtputf8 = true, .dsn = true } };
	T.health = health_new(&T, on_health, NULL);
	assert_non_null(edges_paired(&T.intake.edges, &conf, p.name, &p));
	tcp_pair(fds);
	edge_ready = false;
	edge_h2 = end_new(fds[1], true, &edge_ops);
	home_h2 = end_new(fds[0], false, &home_ops);
	origin = origin_new(&T, "mx1.example.org", home_h2);
	RUN_UNTIL(edge_ready);
	return 0;
}

int
origin_teardown(void **state)
{
	if (edge_h2 != NULL)
		h2_abort(edge_h2, "the test is over");
	if (home_h2 != NULL)
		h2_abort(home_h2, "the test is over");
	RUN_UNTIL(edge_h2 == NULL && home_h2 == NULL);
	for (size_t i = 0; i < play.nopen; i++)		/* the writer goes */
		play.open[i].fn(play.open[i].arg, OUTCOME_PENDING, NULL);
	health_free(&T.health);
	loop_end();
	edges_fini(&T.intake.edges);
	home_bans_fini(&T.bans);
	buf_fini(&play.octets);
	return 0;
}

/* --- an edge's requests ------------------------------------------------------------------- */

const char id_text[] = "01890a5d-ac96-774b-bcce-b302099a8057";

static void
on_head(void *arg, const struct h2_head *head)
{
	struct ask *a = arg;

	a->status = head->status;
	span_copy(h2_header_get(head, "posthouse-ledger"), a->ledger, sizeof(a->ledger));
	span_copy(h2_header_get(head, "posthouse-ledger-runs"), a->runs, sizeof(a->runs));
	span_copy(h2_header_get(head, "etag"), a->etag, sizeof(a->etag));
	span_copy(h2_header_get(head, "delta-base"), a->base, sizeof(a->base));
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

void
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

void
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
put_with(const char *body, size_t n, unsigned char key, const char *name, const char *value)
{
	struct ask a = { .body = body, .n = n };
	char mac[2 * OBJECT_MAC_LEN + 1], path[64];
	struct h2_header h[] = { { "posthouse-mac", { mac, 64 } }, { name, span_str(value) } };

	sign(body, n, key, mac);
	snprintf(path, sizeof(path), "/mail/%s", id_text);
	ask(&a, "PUT", path, h, value[0] != '\0' ? 2 : 1);
	RUN_UNTIL(a.closed);
	return a;
}

struct ask
put(const char *body, size_t n, unsigned char key, const char *prefer)
{
	return put_with(body, n, key, "prefer", prefer);
}

struct ask
put_for(const char *signer, const char *body, size_t n, unsigned char key)
{
	return put_with(body, n, key, "posthouse-signer", signer);
}
