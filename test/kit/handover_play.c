#include "kit/handover_play.h"

#include "edge/object_out.h"
#include "kit/net_keys.h"
#include "net/tls.h"
#include "proto/object_mac.h"

struct handover_play H;
struct held_mail held;
static struct net_key edge_key, home_key;

/* How many. */
static size_t
mark_headers(struct h2_header h[2], char *text, size_t max)
{
	int n = snprintf(text, max, "%llu.%llu", H.epoch, H.counter);

	h[0] = (struct h2_header){ "posthouse-ledger", span_of(text, (size_t)n) };
	if (H.runs == NULL)
		return 1;
	h[1] = (struct h2_header){ "posthouse-ledger-runs", span_str(H.runs) };
	return 2;
}

static void
respond(struct h2_stream *s, unsigned status, const char *words)
{
	char mark[64];
	struct h2_header headers[2];
	struct h2_head head = { .status = status, .headers = headers };

	head.nheaders = mark_headers(headers, mark, sizeof(mark));
	assert_true(h2_respond(s, &head, span_str(words), NULL, NULL));
}

void
put_answer(struct put *p, unsigned status)
{
	p->answered = true;
	if (status == 0) {
		h2_reset(p->stream);
		return;
	}
	if (status / 100 == 2) {
		unsigned char mac[OBJECT_MAC_LEN];
		struct uuid id;

		for (int i = 0; i < OBJECT_MAC_LEN; i++)
			assert_int_equal(sscanf(p->mac_text + 2 * i, "%2hhx", &mac[i]), 1);
		assert_true(uuid_parse(span_str(p->id), &id));
		assert_true(object_mac_check(p->mac, &R.mac, 1, id, mac));
		H.counter++;
		strcpy(H.taken[H.ntaken++], p->id);
	}
	respond(p->stream, status, status / 100 == 2 ? "" : H.words);
}

static void
put_data(void *arg, struct span s)
{
	struct put *p = arg;

	p->n += s.n;
	object_mac_add(p->mac, s.p, s.n);
	h2_consumed(p->stream, s.n);
}

static void
put_end(void *arg)
{
	struct put *p = arg;

	if (H.nputs > H.hold && !p->answered)
		put_answer(p, H.judge(p));
}

static void
put_closed(void *arg, const struct why *why)
{
	struct put *p = arg, **at;

	for (at = &H.puts; *at != p; at = &(*at)->next)
		;
	*at = p->next;
	H.now--;
	H.large_now -= p->large;
	object_mac_free(&p->mac);
	free(p);
}

static const struct h2_stream_ops put_ops = { .data = put_data, .end = put_end,
    .closed = put_closed };

static void
on_put(struct tunnel_end *end, struct h2_stream *s, const struct h2_head *head)
{
	struct put *p = calloc(1, sizeof(*p));
	unsigned long long length;

	assert_non_null(p);
	p->end = end;
	p->stream = s;
	p->mac = object_mac_new();
	assert_true(span_copy(span_from(head->path, 6), p->id, sizeof(p->id)));
	assert_true(span_copy(h2_header_get(head, "posthouse-mac"), p->mac_text,
	    sizeof(p->mac_text)));
	assert_true(span_u64(h2_header_get(head, "content-length"), UINT32_MAX, &length));
	p->prefer = h2_header_get(head, "prefer").n > 0;
	p->large = length > R.conf->hold.threshold;
	p->next = H.puts;
	H.puts = p;
	H.nputs++;
	H.asked += p->prefer;
	H.now++;
	H.large_now += p->large;
	if (H.now > H.most)
		H.most = H.now;
	if (H.large_now > H.large_most)
		H.large_most = H.large_now;
	h2_stream_own(s, &put_ops, p);
}

static void
on_request(void *arg, struct h2_stream *s, const struct h2_head *head, bool has_body)
{
	static const char policy[] = "{\"version\":1,\"epoch\":\"1\",\"counter\":\"1\"}";

	if (span_eq(head->method, SPAN_LIT("PUT"))) {
		on_put(arg, s, head);
	} else if (span_eq(head->method, SPAN_LIT("DELETE"))) {
		H.deletes++;
		assert_true(span_copy(span_from(head->path, 6), H.deleted, sizeof(H.deleted)));
		respond(s, 204, "");
	} else if (h2_header_get(head, "if-none-match").n == 0) {
		char mark[64];
		struct h2_header headers[3] = { { "etag", SPAN_LIT("\"1\"") } };
		struct h2_head ok = { .status = 200, .headers = headers };

		ok.nheaders = 1 + mark_headers(&headers[1], mark, sizeof(mark));
		h2_respond(s, &ok, span_eq(head->path, SPAN_LIT("/policy")) ? span_str(policy) :
		    span_of(NULL, 0), NULL, NULL);
	} else if (h2_header_get(head, "prefer").n == 0) {
		respond(s, 304, "");
	}			/* else the long poll: it waits for ever */
}

static void
on_ready(void *arg)
{
	((struct tunnel_end *)arg)->ready = true;
}

static void
on_closed(void *arg, const struct why *why)
{
	((struct tunnel_end *)arg)->h2 = NULL;
}

static const struct h2_ops home_ops = { .request = on_request, .ready = on_ready,
    .closed = on_closed };

static bool
is_edge(void *arg, const struct pin *pin, const char *proto)
{
	return true;
}

void
dial(unsigned which)
{
	struct tunnel_end *end = &H.end[which];
	struct why why = { "" };
	unsigned before = handover_tunnels(R.alice->handover);
	int fds[2];

	tcp_pair(fds);
	end->ready = false;
	end->h2 = h2_new(&loop, fds[0], H.ctx, false, false, &home_ops, end, &why);
	assert_non_null(end->h2);
	tunnel_accept(&R.e, fds[1]);
	RUN_UNTIL(handover_tunnels(R.alice->handover) == before + 1);
}

void
hang_up(unsigned which)
{
	unsigned before = handover_tunnels(R.alice->handover);

	h2_abort(H.end[which].h2, "cut");
	RUN_UNTIL(H.end[which].h2 == NULL && handover_tunnels(R.alice->handover) == before - 1);
}

/* --- the rig ------------------------------------------------------------------------------ */

unsigned
take_all(const struct put *p)
{
	return 201;
}

int
handover_play_setup(void **state)
{
	static const char *const alpn[] = { "posthouse/1", NULL };
	struct why why = { "" };
	struct peer peer;

	if (home_key.n == 0) {
		net_key_make(&edge_key, "ED25519");
		net_key_make(&home_key, "ED25519");
	}
	rig_up("hold { threshold = 64K }\nverdict = 20s\nlimits { handover = 8 }\n");
	memset(&H, 0, sizeof(H));
	H.judge = take_all;
	H.words = "";
	H.epoch = 77;
	H.counter = 100;
	buf_init(&R.e.tunnel_pem, sizeof(edge_key.pem));
	buf_add_span(&R.e.tunnel_pem, net_key_span(&edge_key));
	assert_int_equal(tunnel_context(&R.e, &why), 0);
	assert_non_null(H.ctx = tls_tunnel_new(net_key_span(&home_key), false, alpn, is_edge, NULL,
	    &why));
	peer = R.alice->paired;
	assert_int_equal(tls_pem_pin(net_key_span(&home_key), &peer.pins[0], &why), 0);
	peer.npins = 1;
	homes_paired(&R.e.homes, R.conf, "alice", &peer);
	return 0;
}

int
handover_play_teardown(void **state)
{
	for (unsigned i = 0; i < 2; i++)
		if (H.end[i].h2 != NULL)
			h2_abort(H.end[i].h2, "the test is over");
	RUN_UNTIL(H.end[0].h2 == NULL && H.end[1].h2 == NULL && R.e.tunnels == NULL);
	rig_down();
	SSL_CTX_free(H.ctx);
	assert_null(H.puts);
	return 0;
}

/* --- mail that is held -------------------------------------------------------------------- */

static void
on_kept(void *arg, enum kept kept, int64_t row, const struct why *why)
{
	assert_int_equal(kept, KEPT);
	held.told++;
}

void
hold(size_t octets)
{
	static char text[1024];
	struct envelope *env = envelope_new();
	struct spool_meta meta = { .origin = ORIGIN_RECEPTION, .received_ms = 1795232400000,
	    .signer = "mx.edge.test",
		.home = "alice", .verdict = held.hidden };
	unsigned char rnd[10];
	struct trace trace = { .helo = "x", .by = "mx.edge.test", .with = "SMTP" };
	struct spool_object obj;
	struct address a;
	struct object_out *o;
	struct why why;

	random_bytes(rnd, sizeof(rnd));
	meta.id = trace.id = env->id = uuid_v7(meta.received_ms, rnd);
	address_parse_path(span_str("<x@alice.test>"), ADDRESS_FORWARD, false, &a);
	strcpy(env->edge, "mx.edge.test");
	envelope_set_from(env, &a, span_str(""));
	envelope_add_rcpt(env, &a, span_str(""));
	assert_non_null(o = object_out_new(&R.e, R.alice, &meta, env, &trace, &why));
	for (; octets > 0; octets -= octets < sizeof(text) ? octets : sizeof(text))
		assert_int_equal(object_out_add(o,
		    span_of(text, octets < sizeof(text) ? octets : sizeof(text)), &why), 0);
	strcpy(held.id[held.asked++], uuid_text(meta.id).s);
	assert_int_equal(object_out_commit(&o, &obj, on_kept, NULL, &why), 0);
	envelope_free(&env);
}

void
hold_many(unsigned n, size_t octets)
{
	held.asked = held.told = 0;
	for (unsigned i = 0; i < n; i++)
		hold(octets);
	RUN_UNTIL(held.told == n);
}

static int listed;

static void
on_list(void *arg, bool ok, const struct spool_object *o, size_t n)
{
	assert_true(ok);
	listed = (int)n;
}

int
rows(void)
{
	listed = -1;
	spool_list(R.e.spool, "alice", 0, 1000, on_list, NULL);
	RUN_UNTIL(listed >= 0);
	return listed;
}
