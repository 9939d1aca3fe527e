/*
 * What is held goes home: a true spool and its writer, the edge's own tunnel, and at
 * its other end a home that does as it is told.  Verdicts have a true SMTP session.
 */
#include "kit/edge_rig.h"

#include <sqlite3.h>

#include "edge/object_out.h"
#include "net/h2.h"
#include "net/tls.h"
#include "kit/net_keys.h"
#include "proto/object_mac.h"

static struct net_key edge_key, home_key;

/* --- a home ------------------------------------------------------------------------------- */

struct put {
	struct put	*next;
	struct tunnel_end *end;
	struct h2_stream *stream;
	struct object_mac *mac;
	char		 id[40];
	char		 mac_text[80];
	bool		 prefer, large, answered;
	size_t		 n;
};

struct tunnel_end {
	struct h2	*h2;
	bool		 ready;
};

static struct {
	SSL_CTX		*ctx;
	struct tunnel_end end[2];
	struct put	*puts;		/* under way */
	unsigned	 nputs, asked, deletes, now, most, large_now, large_most;
	char		 deleted[40];
	unsigned	 hold;	/* so many PUTs are not answered before they are told to be */
	/* What to answer: by what has been taken so far; 0 resets the stream. */
	unsigned	 (*judge)(const struct put *);
	const char	*words;
	unsigned long long epoch, counter;
	char		 taken[4096][40];	/* ids that were answered 201, in their order */
	unsigned	 ntaken;
} H;

static void
respond(struct h2_stream *s, unsigned status, const char *words)
{
	char mark[64];
	struct h2_header headers[] = { { "posthouse-ledger", { mark, 0 } } };
	struct h2_head head = { .status = status, .headers = headers, .nheaders = 1 };

	headers[0].value.n = (size_t)snprintf(mark, sizeof(mark), "%llu.%llu", H.epoch, H.counter);
	assert_true(h2_respond(s, &head, span_str(words), NULL, NULL));
}

static void
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
		struct h2_header etag = { "etag", SPAN_LIT("\"1\"") };
		struct h2_head ok = { .status = 200, .headers = &etag, .nheaders = 1 };

		h2_respond(s, &ok, span_str(policy), NULL, NULL);
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

static void
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

static void
hang_up(unsigned which)
{
	unsigned before = handover_tunnels(R.alice->handover);

	h2_abort(H.end[which].h2, "cut");
	RUN_UNTIL(H.end[which].h2 == NULL && handover_tunnels(R.alice->handover) == before - 1);
}

/* --- the rig ------------------------------------------------------------------------------ */

static unsigned
take(const struct put *p)
{
	return 201;
}

static int
set_up(void **state)
{
	static const char *const alpn[] = { "posthouse/1", NULL };
	struct why why = { "" };
	struct peer peer;

	rig_up("hold { threshold = 64K }\nverdict = 20s\nlimits { handover = 8 }\n");
	memset(&H, 0, sizeof(H));
	H.judge = take;
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

static int
tear_down(void **state)
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

static struct {
	unsigned	 asked, told;
	char		 id[4096][40];
} held;

static void
on_kept(void *arg, enum kept kept, int64_t row, const struct why *why)
{
	assert_int_equal(kept, KEPT);
	held.told++;
}

static void
hold(size_t octets)
{
	static char text[1024];
	struct envelope *env = envelope_new();
	struct spool_meta meta = { .origin = ORIGIN_RECEPTION, .received_ms = 1795232400000,
	    .signer = "mx.edge.test",
		.home = "alice" };
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

static void
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

/* Rows in the spool, but hidden ones; 1,000 at most. */
static int
rows(void)
{
	listed = -1;
	spool_list(R.e.spool, "alice", 0, 1000, on_list, NULL);
	RUN_UNTIL(listed >= 0);
	return listed;
}

/* --- handing over ------------------------------------------------------------------------- */

static void
oldest_first_and_then_gone(void **state)
{
	hold_many(300, 3000);
	assert_int_equal(rows(), 300);
	R.conf->handover = 1;			/* one after the other, so that their order shows */
	dial(0);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 300);
	assert_int_equal(rows(), 0);
	assert_int_equal(H.nputs, 300);		/* none twice */
	for (unsigned i = 0; i < 300; i++)
		assert_string_equal(H.taken[i], held.id[i]);
	/* and what comes later goes by itself */
	hold(100);
	RUN_UNTIL(held.told == 301);
	handover_work(R.alice->handover);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 301);
	assert_int_equal(H.asked, 0);
}

static void
bounded_and_large_ones_in_half_of_the_places(void **state)
{
	hold_many(30, 300000);
	for (unsigned i = 0; i < 30; i++)
		hold(1000);
	RUN_UNTIL(held.told == 60);
	H.hold = 8;				/* until all places are taken */
	dial(0);
	RUN_UNTIL(H.now == 8);
	loop_run_ms(100);
	assert_int_equal(H.now, 8);
	assert_int_equal(H.large_now, 4);
	H.hold = 0;
	for (struct put *p = H.puts, *next; p != NULL; p = next) {
		next = p->next;
		put_answer(p, 201);
	}
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 60);
	assert_int_equal(H.large_most, 4);
	assert_int_equal(H.most, 8);
	assert_int_equal(H.nputs, 60);
	assert_int_equal(rows(), 0);
}

static unsigned
no_room(const struct put *p)
{
	return 503;
}

static void
home_has_no_room(void **state)
{
	H.judge = no_room;
	H.words = "the disk is full\n";
	hold_many(20, 100);
	dial(0);
	RUN_UNTIL(H.nputs >= 8);
	loop_run_ms(500);
	assert_int_equal(H.nputs, 8);		/* those that were under way, and no more */
	H.judge = take;
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 20);	/* a second, not a minute */
	assert_int_equal(rows(), 0);
}

static char refused[2][40];

static unsigned
not_the_first_two(const struct put *p)
{
	return strcmp(p->id, refused[0]) == 0 || strcmp(p->id, refused[1]) == 0 ? 403 : 201;
}

static void
what_home_refuses_does_not_stop_the_others(void **state)
{
	hold_many(100, 100);
	strcpy(refused[0], held.id[0]);
	strcpy(refused[1], held.id[1]);
	H.judge = not_the_first_two;
	dial(0);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 98);
	loop_run_ms(1500);
	assert_int_equal(H.nputs, 100);		/* they wait, and do not go round */
	assert_int_equal(rows(), 2);
	assert_int_equal(board_get(&R.board, BC_HANDOVER_FAILED), 2);
	/* a new tunnel may lead to a home that was mended */
	H.judge = take;
	dial(1);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 100);
}

static unsigned
reset_the_first(const struct put *p)
{
	return strcmp(p->id, refused[0]) == 0 ? 0 : 201;
}

static void
one_that_breaks_off_does_not_stop_the_others(void **state)
{
	hold_many(50, 100);
	strcpy(refused[0], held.id[0]);
	H.judge = reset_the_first;
	R.conf->handover = 1;
	dial(0);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 49);
	assert_true(H.nputs <= 51);
	H.judge = take;
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 50);
}

static void
the_tunnel_is_cut(void **state)
{
	hold_many(40, 100);
	for (unsigned i = 0; i < 4; i++)
		hold(300000);
	RUN_UNTIL(held.told == 44);
	H.hold = 8;
	dial(0);
	RUN_UNTIL(H.now == 8);
	hang_up(0);
	RUN_UNTIL(!handover_busy(R.alice->handover));
	assert_int_equal(rows(), 44);
	H.hold = 0;
	H.nputs = 0;
	dial(0);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 44);
	assert_int_equal(H.nputs, 44);
	assert_int_equal(rows(), 0);
}

static void
the_writer_is_killed(void **state)
{
	hold_many(40, 100);
	H.hold = 8;
	dial(0);
	RUN_UNTIL(H.now == 8);
	rig_writer_down();
	H.hold = 0;
	for (struct put *p = H.puts, *next; p != NULL; p = next) {
		next = p->next;
		put_answer(p, 201);		/* which nobody can write down */
	}
	loop_run_ms(200);
	rig_writer_up();
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 40);
	assert_int_equal(rows(), 0);
	assert_int_equal(board_get(&R.board, BC_STALE_LEDGER), 0);
}

static void
an_older_ledger(void **state)
{
	hold_many(1, 100);
	dial(0);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 1);
	H.counter = 5;				/* an old copy was restored */
	hold_many(10, 100);
	handover_work(R.alice->handover);
	RUN_UNTIL(board_get(&R.board, BC_STALE_LEDGER) >= 1 && !handover_busy(R.alice->handover));
	loop_run_ms(100);
	assert_int_equal(rows(), 10);
	assert_int_equal(board_get(&R.board, BC_HANDED_OVER), 1);
	H.counter = 500;			/* it was not: home is as it was */
	hang_up(0);
	dial(0);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 11);
	assert_int_equal(rows(), 0);
}

/*
 * Home has it and we cannot note that: our own trouble is no older ledger, and what
 * home has must not go round whole at the speed of the line.
 */
static void
our_own_disk_fails(void **state)
{
	char file[100];
	sqlite3 *other;

	hold_many(3, 100);
	snprintf(file, sizeof(file), "%s/spool.db", R.dir);
	assert_int_equal(sqlite3_open(file, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	dial(0);
	RUN_UNTIL(H.ntaken >= 3);
	loop_run_ms(3000);
	assert_true(H.nputs <= 6);
	assert_int_equal(board_get(&R.board, BC_STALE_LEDGER), 0);
	assert_int_equal(board_get(&R.board, BC_HANDED_OVER), 0);
	sqlite3_close(other);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 3);
	assert_int_equal(rows(), 0);
	assert_int_equal(board_get(&R.board, BC_STALE_LEDGER), 0);
}

/* On two tunnels a later answer may come first: that is no older ledger. */
static void
answers_overtake_each_other(void **state)
{
	hold_many(8, 100);
	H.hold = 8;
	dial(0);
	dial(1);
	RUN_UNTIL(H.now == 8);
	for (struct put *p = H.puts, *next; p != NULL; p = next) {
		next = p->next;
		H.counter -= 2;
		put_answer(p, 201);
		loop_run_ms(20);			/* each mark is lower than the one before */
	}
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 8);
	assert_int_equal(board_get(&R.board, BC_STALE_LEDGER), 0);
}

/* One tunnel goes away in good order: the other takes everything, at once. */
static void
one_tunnel_leaves(void **state)
{
	dial(0);
	dial(1);
	h2_goaway(H.end[0].h2);
	loop_run_ms(50);
	hold_many(30, 100);
	handover_work(R.alice->handover);
	loop_run_ms(500);
	assert_int_equal(board_get(&R.board, BC_HANDED_OVER), 30);
}

/* --- verdicts ----------------------------------------------------------------------------- */

static struct {
	int	 fd;
	char	 text[8192];
	size_t	 n;
} C;

static void
hear(void)
{
	ssize_t n;

	while ((n = recv(C.fd, C.text + C.n, sizeof(C.text) - 1 - C.n, 0)) > 0)
		C.n += (size_t)n;
	C.text[C.n] = '\0';
}

static bool
heard(const char *what)
{
	hear();
	return strstr(C.text, what) != NULL;
}

static void
say(const char *text)
{
	assert_int_equal(send(C.fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

/* A client up to the final dot. */
static void
message(void)
{
	int fds[2];

	tcp_pair(fds);
	C.fd = fds[0];
	C.n = 0;
	session_accept(&R.e, fds[1], &R.conf->services[0]);
	RUN_UNTIL(heard("220 "));
	say("EHLO c.test\r\nMAIL FROM:<s@far.test>\r\nRCPT TO:<x@alice.test>\r\nDATA\r\n");
	RUN_UNTIL(heard("354 "));
	C.n = 0;
	say("Subject: x\r\n\r\nhello\r\n.\r\n");
}

static void
goodbye(void)
{
	close(C.fd);
	RUN_UNTIL(R.e.sessions == NULL);
}

static void
the_verdict_is_taken(void **state)
{
	dial(0);
	message();
	RUN_UNTIL(heard("250 2.0.0"));
	assert_true(heard("handed over"));
	assert_int_equal(H.asked, 1);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 1);
	assert_int_equal(rows(), 0);
	assert_int_equal(H.nputs, 1);
	assert_int_equal(R.e.verdicts, 0);
	goodbye();
	assert_int_equal(board_get(&R.board, BC_ACCEPTED), 1);
}

static unsigned
refuse(const struct put *p)
{
	return p->prefer ? 422 : 202;
}

static void
the_verdict_is_no(void **state)
{
	H.judge = refuse;
	H.words = "550 5.1.1 no such mailbox\r\n";
	dial(0);
	message();
	RUN_UNTIL(heard("550 5.1.1 no such mailbox\r\n"));
	RUN_UNTIL(H.deletes == 1);		/* home hears that the sender was told */
	assert_int_equal(rows(), 0);
	assert_int_equal(H.nputs, 1);
	say("QUIT\r\n");
	RUN_UNTIL(heard("221 "));
	goodbye();
	assert_int_equal(board_get(&R.board, BC_REFUSED), 1);
	assert_int_equal(board_get(&R.board, BC_ACCEPTED), 0);
}

/* Words that are no permanent refusal are no refusal at all. */
static void
a_no_that_is_none(void **state)
{
	H.judge = refuse;
	H.words = "450 4.2.0 later\r\n";
	dial(0);
	message();
	RUN_UNTIL(heard("250 2.0.0"));
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 1);
	assert_int_equal(H.nputs, 2);		/* again, and not asked */
	assert_int_equal(H.asked, 1);
	assert_int_equal(H.deletes, 0);
	goodbye();
}

static void
the_verdict_is_late(void **state)
{
	H.judge = refuse;
	H.words = "550 5.1.1 no such mailbox\r\n";
	H.hold = 1;
	R.conf->verdict_ms = 100;
	dial(0);
	message();
	RUN_UNTIL(H.now == 1);
	RUN_UNTIL(heard("250 2.0.0"));
	assert_int_equal(board_get(&R.board, BC_VERDICTS_LATE), 1);
	assert_int_equal(R.e.verdicts, 0);
	assert_int_equal(H.nputs, 1);
	put_answer(H.puts, 422);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 1);
	assert_int_equal(H.nputs, 2);		/* home is told by another PUT that it was 250 */
	assert_int_equal(H.asked, 1);
	assert_int_equal(H.deletes, 0);
	assert_int_equal(rows(), 0);
	goodbye();
}

/* The 422 never came: the sender has his 250, and the message goes home by the next tunnel. */
static void
cut_before_the_verdict(void **state)
{
	H.judge = refuse;
	H.hold = 1;
	dial(0);
	message();
	RUN_UNTIL(H.now == 1);
	hang_up(0);
	RUN_UNTIL(heard("250 2.0.0"));
	assert_int_equal(rows(), 1);		/* no more hidden */
	H.hold = 0;
	dial(0);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 1);
	assert_int_equal(H.asked, 1);
	assert_int_equal(H.deletes, 0);
	goodbye();
}

/* The client is gone when home says no: nobody was told, so home must keep it. */
static void
the_client_does_not_wait(void **state)
{
	H.judge = refuse;
	H.words = "550 5.1.1 no such mailbox\r\n";
	H.hold = 1;
	dial(0);
	message();
	RUN_UNTIL(H.now == 1);
	goodbye();
	put_answer(H.puts, 422);
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 1);
	assert_int_equal(H.nputs, 2);
	assert_int_equal(H.asked, 1);
	assert_int_equal(H.deletes, 0);
	assert_int_equal(rows(), 0);
}

/* The tunnel goes between home's no and the sender's: the sender was told, home is not. */
static void
cut_before_the_delete(void **state)
{
	H.judge = refuse;
	H.words = "550 5.1.1 no such mailbox\r\n";
	H.hold = 1;
	dial(0);
	message();
	RUN_UNTIL(H.now == 1);
	put_answer(H.puts, 422);
	RUN_UNTIL(heard("550 5.1.1"));
	hang_up(0);
	RUN_UNTIL(rows() == 0);
	dial(0);
	loop_run_ms(100);
	assert_int_equal(H.nputs, 1);		/* it is not sent again: nobody was told 250 */
	goodbye();
}

static void
no_more_verdicts_than_allowed(void **state)
{
	R.conf->verdicts = 0;
	dial(0);
	message();
	RUN_UNTIL(heard("250 2.0.0"));
	assert_true(heard("held"));
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 1);	/* it is not hidden for ever */
	assert_int_equal(H.asked, 0);
	goodbye();
}

static void
the_writer_is_killed_meanwhile(void **state)
{
	H.hold = 1;
	dial(0);
	message();
	RUN_UNTIL(H.now == 1);
	rig_writer_down();
	rig_writer_up();
	put_answer(H.puts, 200);
	RUN_UNTIL(heard("250 2.0.0"));
	RUN_UNTIL(board_get(&R.board, BC_HANDED_OVER) == 1);
	assert_int_equal(rows(), 0);
	goodbye();
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(oldest_first_and_then_gone),
		TEST(bounded_and_large_ones_in_half_of_the_places),
		TEST(home_has_no_room),
		TEST(what_home_refuses_does_not_stop_the_others),
		TEST(one_that_breaks_off_does_not_stop_the_others),
		TEST(the_tunnel_is_cut),
		TEST(the_writer_is_killed),
		TEST(an_older_ledger),
		TEST(our_own_disk_fails),
		TEST(answers_overtake_each_other),
		TEST(one_tunnel_leaves),
		TEST(the_verdict_is_taken),
		TEST(the_verdict_is_no),
		TEST(a_no_that_is_none),
		TEST(the_verdict_is_late),
		TEST(cut_before_the_verdict),
		TEST(the_client_does_not_wait),
		TEST(cut_before_the_delete),
		TEST(no_more_verdicts_than_allowed),
		TEST(the_writer_is_killed_meanwhile),
	};

	net_key_make(&edge_key, "ED25519");
	net_key_make(&home_key, "ED25519");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
