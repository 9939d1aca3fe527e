/* What an edge makes of a message, read back from a true spool with home's own readers. */
#include "kit/edge_rig.h"

#include <dirent.h>

#include "edge/object_out.h"
#include "proto/batch_smtp.h"
#include "proto/object_mac.h"

static int
set_up(void **state)
{
	rig_up("hold { threshold = 64K }\n");
	return 0;
}

static int
tear_down(void **state)
{
	rig_down();
	return 0;
}

/* --- making --------------------------------------------------------------------------------- */

static struct {
	bool		 told;
	enum kept	 kept;
	int64_t		 row;
	struct spool_object obj;
	struct envelope	*env;
} made;

static void
on_kept(void *arg, enum kept kept, int64_t row, const struct why *why)
{
	made.told = true;
	made.kept = kept;
	made.row = row;
}

static struct address
address(const char *path)
{
	struct address a;

	assert_int_equal(address_parse_path(span_str(path), ADDRESS_FORWARD, true, &a),
	    strlen(path));
	return a;
}

static struct object_out *
begin(size_t nrcpts, const char *params, struct why *why)
{
	static const unsigned char rnd[10] = { 5 };
	struct spool_meta meta = { .origin = ORIGIN_RECEPTION, .received_ms = 1795232400000,
	    .signer = "mx.edge.test",
		.home = "alice", .id = uuid_v7(1795232400000, rnd) };
	struct trace trace = { .helo = "client.test", .by = "mx.edge.test", .with = "ESMTP",
	    .id = meta.id,
		.received_ms = meta.received_ms };
	struct address from = address("<sender@far.test>");
	struct object_out *o;

	envelope_free(&made.env);
	memset(&made, 0, sizeof(made));
	assert_non_null(made.env = envelope_new());
	assert_true(netaddr_parse(span_str("192.0.2.7:1234"), &made.env->client));
	assert_true(netaddr_parse(span_str("198.51.100.1:25"), &made.env->dest));
	strcpy(made.env->helo, "client.test");
	strcpy(made.env->edge, "mx.edge.test");
	made.env->esmtp = true;
	made.env->id = meta.id;
	trace.client = made.env->client;
	assert_true(envelope_set_from(made.env, &from, span_str("SIZE=100")));
	for (size_t i = 0; i < nrcpts; i++) {
		char path[64];
		struct address to;

		snprintf(path, sizeof(path), "<r%zu@alice.test>", i);
		to = address(path);
		assert_true(envelope_add_rcpt(made.env, &to, span_str(params)));
	}
	o = object_out_new(&R.e, R.alice, &meta, made.env, &trace, why);
	return o;
}

static void
finish(struct object_out **o)
{
	struct why why = { "" };

	assert_int_equal(object_out_commit(o, &made.obj, on_kept, NULL, &why), 0);
	assert_null(*o);
	RUN_UNTIL(made.told);
}

/* --- reading back ---------------------------------------------------------------------------- */

static struct {
	bool		 told, file;
	struct buf	 sealed;
} got;

static void
on_content(void *arg, int64_t row, struct spool_content *c, const struct why *why)
{
	char piece[8192];
	ssize_t n;

	got.told = true;
	assert_true(c->ok);
	got.file = c->fd >= 0;
	if (c->fd == -1)
		buf_add_span(&got.sealed, c->data);
	while (c->fd >= 0 && (n = read(c->fd, piece, sizeof(piece))) > 0)
		buf_add(&got.sealed, piece, (size_t)n);
	if (c->fd >= 0)
		close(c->fd);
}

/* Everything that home checks; the message's octets in body. */
static void
read_back(struct buf *body)
{
	struct object_mac *mac = object_mac_new();
	struct age_open *open = age_open_new(&R.age, 1);
	struct batch_reader *r = batch_reader_new();
	struct batch_ev ev = { .type = BATCH_EV_NONE };
	const struct envelope *env;
	struct why why = { "" };
	struct buf plain;

	got.told = false;
	buf_init(&got.sealed, 64u << 20);
	buf_init(&plain, 64u << 20);
	buf_init(body, 64u << 20);
	spool_get(R.e.spool, made.row, on_content, NULL);
	RUN_UNTIL(got.told);
	assert_int_equal(got.sealed.n, made.obj.size);
	object_mac_add(mac, got.sealed.p, got.sealed.n);
	assert_true(object_mac_check(mac, &R.mac, 1, made.obj.meta.id, made.obj.mac));
	assert_int_equal(age_open_add(open, got.sealed.p, got.sealed.n, &plain, &why), AGE_OK);
	assert_int_equal(age_open_end(open, &plain, &why), AGE_OK);
	for (size_t at = 0; at < plain.n && ev.type != BATCH_EV_END;) {
		at += batch_reader_step(r, plain.p + at, plain.n - at, &ev);
		if (ev.type == BATCH_EV_BAD)
			fail_msg("%s", batch_reader_why(r));
		if (ev.type == BATCH_EV_BODY)
			buf_add_span(body, ev.arg);
	}
	assert_true(batch_reader_done(r));
	env = batch_reader_envelope(r);
	assert_int_equal(env->nrcpts, made.env->nrcpts);
	assert_string_equal(env->rcpts[env->nrcpts - 1].params,
	    made.env->rcpts[env->nrcpts - 1].params);
	assert_string_equal(env->from_params, "SIZE=100");
	assert_true(netaddr_same_ip(&env->client, &made.env->client));
	/* Inside as outside. */
	assert_string_equal(uuid_text(env->id).s, uuid_text(made.obj.meta.id).s);
	assert_true(body->n > 9 && memcmp(body->p, "Received:", 9) == 0);
	batch_reader_free(&r);
	age_open_free(&open);
	object_mac_free(&mac);
	buf_fini(&plain);
	buf_fini(&got.sealed);
}

static void
ends_with(const struct buf *body, const void *p, size_t n)
{
	assert_true(body->n > n);
	assert_memory_equal(body->p + body->n - n, p, n);
}

static size_t
large_files(void)
{
	char path[80];
	struct dirent *d;
	size_t n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/large", R.dir);
	assert_non_null(dir = opendir(path));
	while ((d = readdir(dir)) != NULL)
		n += d->d_name[0] != '.';
	closedir(dir);
	return n;
}

/* --- the tests ------------------------------------------------------------------------------- */

static void
small(void **state)
{
	static const char text[] = "Subject: x\r\n\r\nhello\r\n";
	struct why why = { "" };
	struct object_out *o = begin(1, "", &why);
	struct buf body;

	for (size_t i = 0; i < sizeof(text) - 1; i++)	/* as it may come: an octet at a time */
		assert_int_equal(object_out_add(o, span_of(text + i, 1), &why), 0);
	finish(&o);
	assert_int_equal(made.kept, KEPT);
	read_back(&body);
	assert_false(got.file);
	ends_with(&body, text, sizeof(text) - 1);
	buf_fini(&body);
	assert_int_equal(spool_memory(R.e.spool), 0);
}

/* A first line that begins with a blank would be a part of our Received, in its sender's words. */
static void
no_word_of_a_sender_in_our_received(void **state)
{
	static const char text[] = "\tfrom friend (friend [10.0.0.1])\r\nA: b\r\n\r\n";
	struct why why = { "" };
	struct object_out *o = begin(1, "", &why);
	const char *over;
	struct buf body;

	for (size_t i = 0; i < sizeof(text) - 1; i++)
		assert_int_equal(object_out_add(o, span_of(text + i, 1), &why), 0);
	finish(&o);
	read_back(&body);
	assert_non_null(over = memmem(body.p, body.n, "\r\n\r\n", 4));
	assert_int_equal(body.p + body.n - (over + 4), sizeof(text) - 1);
	ends_with(&body, text, sizeof(text) - 1);
	buf_fini(&body);
}

static void
empty(void **state)
{
	struct why why = { "" };
	struct object_out *o = begin(1, "", &why);
	struct buf body;

	finish(&o);
	read_back(&body);
	buf_fini(&body);
}

static void
large(void **state)
{
	struct why why = { "" };
	struct object_out *o = begin(1, "", &why);
	size_t n = 3000000;
	char *text = malloc(n);
	struct buf body;

	for (size_t i = 0; i < n; i++)
		text[i] = (char)(i * 7 + i / 251);
	for (size_t at = 0, piece = 1; at < n; at += piece, piece = piece * 3 % 100003) {
		if (piece > n - at)
			piece = n - at;
		assert_int_equal(object_out_add(o, span_of(text + at, piece), &why), 0);
		assert_true(spool_memory(R.e.spool) <= R.conf->hold.threshold);
	}
	finish(&o);
	assert_int_equal(made.kept, KEPT);
	read_back(&body);
	assert_true(got.file);
	ends_with(&body, text, n);
	buf_fini(&body);
	free(text);
}

/* A head alone may be larger than any step. */
static void
many_recipients(void **state)
{
	char params[901];
	struct why why = { "" };
	struct object_out *o;
	struct buf body;

	memset(params, 'x', sizeof(params) - 1);
	memcpy(params, "ORCPT=rfc822;", 13);
	params[sizeof(params) - 1] = '\0';
	o = begin(ENVELOPE_RCPTS_MAX, params, &why);
	assert_non_null(o);
	assert_int_equal(object_out_add(o, span_str("hello\r\n"), &why), 0);
	finish(&o);
	assert_int_equal(made.kept, KEPT);
	read_back(&body);
	ends_with(&body, "hello\r\n", 7);
	buf_fini(&body);
}

/* Given up in the middle: nothing of it stays. */
static void
given_up(void **state)
{
	struct why why = { "" };
	struct object_out *o = begin(1, "", &why);
	static char text[100000];

	assert_int_equal(object_out_add(o, span_of(text, sizeof(text)), &why), 0);
	assert_int_equal(object_out_add(o, span_of(text, sizeof(text)), &why), 0);
	assert_int_equal(large_files(), 1);
	object_out_free(&o);
	assert_int_equal(large_files(), 0);
	assert_int_equal(spool_memory(R.e.spool), 0);
}

/* A home that was unpaired since RCPT: sealed to nobody would be lost. */
static void
nobody_to_seal_to(void **state)
{
	struct why why = { "" };

	homes_paired(&R.e.homes, R.conf, "alice", NULL);
	assert_null(begin(1, "", &why));
	assert_non_null(strstr(why.text, "alice"));
}

static void
no_room(void **state)
{
	struct why why = { "" };
	struct object_out *o = begin(1, "", &why);
	static char text[200000];

	assert_int_equal(object_out_add(o, span_of(text, sizeof(text)), &why), 0);
	R.conf->hold.quota = 1000;
	rig_writer_down();
	rig_writer_up();
	finish(&o);
	assert_int_equal(made.kept, KEPT_FULL);
	loop_run_ms(50);
	assert_int_equal(large_files(), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(small),
		TEST(no_word_of_a_sender_in_our_received),
		TEST(empty),
		TEST(large),
		TEST(many_recipients),
		TEST(given_up),
		TEST(nobody_to_seal_to),
		TEST(no_room),
	};
	int rc = cmocka_run_group_tests(tests, NULL, NULL);

	envelope_free(&made.env);
	return rc;
}
