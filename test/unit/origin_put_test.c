#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What an edge hears of the objects that it gives. */
#include "home/origin_put.h"
#include "kit/origin_play.h"

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
	assert_int_equal(play.octets.n, sizeof(big));
	assert_memory_equal(play.octets.p, big, sizeof(big));
	assert_string_equal(play.meta.signer, "mx1.example.org");
	assert_string_equal(play.meta.home, "alice");
	assert_string_equal(uuid_text(play.meta.id).s, id_text);
	assert_int_equal(play.meta.origin, ORIGIN_TUNNEL);
	assert_false(play.meta.verdict);
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

		play.kept = v->kept;
		play.row = v->row;
		play.watched = v->watched;
		play.over = v->over;
		play.watch_dies = v->dies;
		play.watches = play.overs = 0;
		a = put("sealed", 6, 1, v->prefer);
		if (a.status != v->status || play.watches != v->watches || play.overs != v->overs)
			fail_msg(
			    "%s: %u, %u watched, %u over", v->name, a.status, play.watches,
			    play.overs);
		if (play.meta.verdict != (v->prefer[0] != '\0'))
			fail_msg("%s: the row has verdict %d", v->name, play.meta.verdict);
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
	assert_int_equal(play.asides, 1);
	assert_int_equal(play.commits, 0);
	assert_int_equal(board.count[BC_FORGED], 1);
	assert_int_equal(board.count[BC_RECEIVED], 0);
}

/* It must not say that there is something to look at. */
static void
what_cannot_be_set_aside_is_not_said_to_be(void **state)
{
	struct ask a;

	play.aside_fails = true;
	a = put("sealed", 6, 3, "");
	assert_int_equal(a.status, 403);
	assert_non_null(strstr(a.answer, "not kept"));
	assert_int_equal(play.commits, 0);
}

static void
an_edge_without_a_key_gives_nothing(void **state)
{
	edges_paired(&T.intake.edges, &conf, "mx1.example.org", NULL);
	assert_int_equal(put("sealed", 6, 1, "").status, 403);
	assert_int_equal(play.commits + play.asides, 0);
}

/* A worker of the configuration, for that domain, to be let in at that edge. */
static void
with_worker(const char *domain, const char *edge)
{
	struct conf_worker *w = &conf.workers[0];

	*w = (struct conf_worker){ .name = "w.example.org", .ndomains = 1, .nedges = 1 };
	span_copy(span_str(domain), w->domains[0], sizeof(w->domains[0]));
	span_copy(span_str(edge), w->edges[0], sizeof(w->edges[0]));
	conf.nworkers = 1;
	edges_configure(&T.intake.edges, &conf);
}

static void
what_a_worker_handed_to_an_edge_is_the_workers(void **state)
{
	with_worker("example.org", "mx1.example.org");
	assert_int_equal(put_for("W.example.org", "sealed", 6, 1).status, 201);
	assert_string_equal(play.meta.signer, "w.example.org");
	assert_int_equal(play.meta.origin, ORIGIN_PUSH);
	assert_string_equal(uuid_text(play.meta.id).s, id_text);
	/* Its own, on the same tunnel, is its own. */
	assert_int_equal(put("other", 5, 1, "").status, 201);
	assert_string_equal(play.meta.signer, "mx1.example.org");
	assert_int_equal(play.meta.origin, ORIGIN_TUNNEL);
	/* And it vouches by its key, or not at all. */
	assert_int_equal(put_for("w.example.org", "sealed", 6, 3).status, 403);
	assert_int_equal(play.asides, 1);
	conf.nworkers = 0;
}

static void
an_edge_speaks_for_nobody_whom_it_was_not_given(void **state)
{
	static const char *const names[] = { "w.example.org", "mx1.example.org", "mx2.example.org",
		"nobody" };
	struct peer other = paired();

	span_copy(SPAN_LIT("mx2.example.org"), other.name, sizeof(other.name));
	edges_paired(&T.intake.edges, &conf, "mx2.example.org", &other);
	with_worker("example.org", "mx2.example.org");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(put_for(names[i], "sealed", 6, 1).status, 403);
	with_worker("elsewhere.example", "mx1.example.org");	/* not this edge's domain */
	assert_int_equal(put_for("w.example.org", "sealed", 6, 1).status, 403);
	conf.nworkers = 0;
	edges_configure(&T.intake.edges, &conf);		/* it left the configuration */
	assert_int_equal(put_for("w.example.org", "sealed", 6, 1).status, 403);
	assert_int_equal(play.commits + play.asides, 0);
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
	assert_int_equal(play.commits, 0);
}

static void
what_cannot_be_kept_is_not_taken(void **state)
{
	static char big[(1 << 24) + 1];

	assert_int_equal(put(big, sizeof(big), 1, "").status, 413);
	play.add_fails = true;
	assert_int_equal(put("sealed", 6, 1, "").status, 503);
	play.add_fails = false;
	T.intake.up = false;
	assert_int_equal(put("sealed", 6, 1, "").status, 503);
	T.intake.up = true;
	assert_int_equal(play.commits, 0);
	assert_int_equal(play.drops, play.puts);
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
	RUN_UNTIL(play.puts == ORIGIN_PUTS_MAX);
	assert_int_equal(put("sealed", 6, 1, "").status, 503);
	h2_reset(asks[0].s);
	RUN_UNTIL(play.drops == 1);
	assert_int_equal(put("sealed", 6, 1, "").status, 201);
}

/* An edge that hangs, or means to: PINGs are answered, and no octet comes. */
static void
what_does_not_move_is_called_off(void **state)
{
	static struct ask held[ORIGIN_PUTS_MAX - 1];
	struct ask waits = { .body = "sealed", .n = 6 };
	char mac[2 * OBJECT_MAC_LEN + 1], path[64];
	struct h2_header h[] = { { "posthouse-mac", { mac, 64 } },
		{ "prefer", SPAN_LIT("wait=3600") } };
	struct instant at = instant_now();

	sign("sealed", 6, 1, mac);
	snprintf(path, sizeof(path), "/mail/%s", id_text);
	ask(&waits, "PUT", path, h, 2);			/* it is whole: home is slow */
	RUN_UNTIL(play.watches == 1);
	for (unsigned i = 0; i < ORIGIN_PUTS_MAX - 1; i++) {
		held[i] = (struct ask){ .body = "sealed", .n = 6, .hold = true };
		snprintf(path, sizeof(path), "/mail/01890a5d-ac96-774b-bcce-b302099a%04x", i);
		ask(&held[i], "PUT", path, h, 1);
	}
	RUN_UNTIL(play.puts == ORIGIN_PUTS_MAX);
	at.ns += (ORIGIN_STILL_MS - 1) * 1000000LL;	/* they came later than that */
	origin_put_sweep(origin, at);
	loop_turns(20);
	assert_int_equal(play.drops, 0);
	at = instant_now();
	at.ns += ORIGIN_STILL_MS * 1000000LL;
	origin_put_sweep(origin, at);
	RUN_UNTIL(play.drops == ORIGIN_PUTS_MAX - 1);
	for (unsigned i = 0; i < ORIGIN_PUTS_MAX - 1; i++) {
		RUN_UNTIL(held[i].closed);
		assert_int_equal(held[i].status, 0);	/* it may come again */
	}
	assert_false(waits.closed);
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
	RUN_UNTIL(play.puts == 1);
	ask(&b, "PUT", path, h, 2);			/* waiting for its verdict */
	RUN_UNTIL(play.watches == 1);
	play.silent = true;
	ask(&c, "PUT", path, h, 2);			/* waiting for its commit */
	RUN_UNTIL(play.commits == 2);
	h2_abort(edge_h2, "cut");
	RUN_UNTIL(home_h2 == NULL && edge_h2 == NULL);
	assert_int_equal(play.drops, 1);
	play.told(play.told_arg, KEPT, 8, NULL); /* the answer that nobody waits for any more */
	assert_int_equal(play.watches, 1);
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
	assert_int_equal(play.confirms, 1);
	assert_int_equal(a.nanswer, 0);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, origin_setup, origin_teardown)
	const struct CMUnitTest tests[] = {
		TEST(an_object_that_is_kept_is_answered_201),
		TEST(verdicts_become_status_codes),
		TEST(a_wrong_mac_is_set_aside),
		TEST(what_cannot_be_set_aside_is_not_said_to_be),
		TEST(an_edge_without_a_key_gives_nothing),
		TEST(what_a_worker_handed_to_an_edge_is_the_workers),
		TEST(an_edge_speaks_for_nobody_whom_it_was_not_given),
		TEST(anything_else_is_refused),
		TEST(what_cannot_be_kept_is_not_taken),
		TEST(puts_at_once_are_bounded),
		TEST(what_does_not_move_is_called_off),
		TEST(a_tunnel_cut_anywhere_leaves_nothing_half),
		TEST(a_refusal_is_confirmed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
