#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What an edge is told of its home, and when. */
#include "base/clock.h"
#include "kit/origin_play.h"
#include "net/tls.h"

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
	edges_paired(&T.intake.edges, &conf, other.name, &other);
	T.mark.counter = 42;
	b = get_policy(
	    a.etag, "", ""); /* another edge's grant and a new message change nothing here */
	assert_int_equal(b.status, 304);
	assert_string_equal(b.ledger, "5.42");
	assert_string_equal(b.runs, "");	/* a ledger that nothing came to yet */
}

static void
policy_says_who_may_log_in_at_that_edge_alone(void **state)
{
	static const char key[] =
	    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
	struct conf_worker *w = &conf.workers[0];
	struct why why = { "" };
	struct policy *p;
	struct ask a;

	*w = (struct conf_worker){ .name = "w.example.org", .ndomains = 1, .nedges = 1,
		.domains = { "example.org" }, .edges = { "mx1.example.org" } };
	conf.nworkers = 1;
	edges_configure(&T.intake.edges, &conf);
	edges_worker_password(&T.intake.edges, "w.example.org", span_str(key));
	a = get_policy("", "", "");
	p = policy_parse(span_of(a.answer, a.nanswer), &why);
	assert_non_null(p);
	assert_int_equal(p->nlogins, 1);
	assert_true(login_is(&p->logins[0], SPAN_LIT("w.example.org"), span_str(key)));
	policy_free(&p);
	span_copy(SPAN_LIT("mx2.example.org"), w->edges[0], sizeof(w->edges[0]));
	a = get_policy(a.etag, "", "");
	assert_int_equal(a.status, 200);
	p = policy_parse(span_of(a.answer, a.nanswer), &why);
	assert_non_null(p);
	assert_int_equal(p->nlogins, 0);
	policy_free(&p);
	conf.nworkers = 0;
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
	edges_paired(&T.intake.edges, &conf, p.name, &p);
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

	T.mark = (struct ledger_mark){ .epoch = 0 };
	ask(&a, "GET", "/policy", NULL, 0);
	RUN_UNTIL(origin->nwaiters == 1);
	T.mark = (struct ledger_mark){ .epoch = 9, .counter = 1 };
	strcpy(T.mark_runs, "7.1");
	origin_policy(origin);
	RUN_UNTIL(a.closed);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.ledger, "9.1");
	assert_string_equal(a.runs, "7.1");
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
	assert_int_equal(play.updates, 1);
	assert_int_equal(play.update.nrecipients, 1);
	assert_memory_equal(play.update.recipients[0].pub, r.pub, 32);
	p = play.update;
	edges_paired(&T.intake.edges, &conf, p.name, &p);
	get_policy("", "", seen);
	assert_int_equal(play.updates, 1);			/* known already */
	age_identity_fini(&id);
}

static void
say_pins(const struct pin *a, const struct pin *b)
{
	char text[PIN_TEXT_MAX], said[2 * PIN_TEXT_MAX];
	struct h2_header h = { "posthouse-edge-pins", { said, 0 } };
	struct ask asked = { .body = NULL };

	pin_print(a, text);
	h.value.n = (size_t)snprintf(said, sizeof(said), "%s", text);
	if (b != NULL) {
		pin_print(b, text);
		h.value.n += (size_t)snprintf(said + h.value.n, sizeof(said) - h.value.n,
		    " %s", text);
	}
	ask(&asked, "GET", "/policy", &h, 1);
	RUN_UNTIL(asked.closed);
}

static void
an_edge_says_where_home_comes_from(void **state)
{
	struct h2_header h = { "posthouse-home-address", SPAN_LIT("2001:db8::7") };
	const struct home_edge *e = T.intake.edges.list[0];
	struct ask good = { .body = NULL }, bad = { .body = NULL };

	assert_false(e->sees_us);
	ask(&good, "GET", "/policy", &h, 1);
	RUN_UNTIL(good.closed);
	assert_true(e->sees_us);
	assert_string_equal(netaddr_ip(&e->sees).s, "2001:db8::7");
	h.value = SPAN_LIT("nowhere");
	ask(&bad, "GET", "/policy", &h, 1);
	RUN_UNTIL(bad.closed);
	assert_string_equal(netaddr_ip(&e->sees).s, "2001:db8::7");
}

static void
an_edges_next_key_is_believed_beside_the_one_it_shows(void **state)
{
	const struct pin next = { { 7 } }, other = { { 8 } };
	struct pin shown;
	struct ask told = { .body = NULL };
	struct why why = { "" };
	struct policy *p;
	struct peer peer;

	assert_true(tls_peer_pin(h2_ssl(home_h2), &shown));
	say_pins(&next, NULL);
	say_pins(&next, &other);
	assert_int_equal(play.updates, 0);	/* it would shut out whoever says it */
	say_pins(&shown, &next);
	assert_int_equal(play.updates, 1);
	assert_int_equal(play.update.npins, 2);
	assert_true(pin_eq(&play.update.pins[1], &next));

	/* Said back only once it is kept. */
	peer = play.update;
	edges_paired(&T.intake.edges, &conf, peer.name, &peer);
	ask(&told, "GET", "/policy", NULL, 0);
	RUN_UNTIL(told.closed);
	assert_non_null(p = policy_parse(span_of(told.answer, told.nanswer), &why));
	assert_int_equal(p->nedge_pins, 2);
	assert_true(pin_eq(&p->edge_pins[1], &next));
	policy_free(&p);
	say_pins(&shown, NULL);
	assert_int_equal(play.updates, 2);
	assert_int_equal(play.update.npins, 1);
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
	RUN_UNTIL(play.watches == 1 && origin->nwaiters == 1);
	play.over = OUTCOME_PENDING;
	origin_finish(origin);
	RUN_UNTIL(poll.closed && b.closed);
	assert_int_equal(poll.status, 304);
	assert_int_equal(b.status, 202);
}

/* One piece of what the writer tells: a ban, or its end. */
static bool
told(const char *net, unsigned bits, int64_t until_ms, bool lifted, bool anew, int64_t now_ms)
{
	struct spool_ban b = { .on = { .bits = bits, .until_ms = until_ms }, .lifted = lifted };

	assert_true(netaddr_parse_ip(span_str(net), &b.on.net));
	return home_bans_take(&T.bans, &(struct spool_bans){ &b, 1, anew, true }, now_ms);
}

/* What the writer says first: nobody is banned. */
static void
told_nobody(void)
{
	assert_true(home_bans_take(&T.bans, &(struct spool_bans){ NULL, 0, true, true }, 1));
}

/* etag "": the whole; wait "": at once. */
static void
ask_bans(struct ask *a, const char *etag, const char *wait)
{
	struct h2_header h[] = { { "if-none-match", span_str(etag) },
		{ "prefer", span_str(wait) }, { "a-im", SPAN_LIT("changes") } };

	*a = (struct ask){ .body = NULL };
	ask(a, "GET", "/policy/bans", h, 3);
	if (wait[0] == '\0')
		RUN_UNTIL(a->closed);
}

/* A ban of ten minutes, some seconds later at most. */
#define TEN_MINUTES	"\x1e{\"net\":\"192.0.2.0/24\",\"for_ms\":5"

static bool
begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static void
a_ban_is_told_at_once_and_alone(void **state)
{
	static struct ask first, poll, other, b;	/* some are closed by the teardown */
	struct ask policy = get_policy("", "", "");
	struct h2_header h[] = { { "if-none-match", span_str(policy.etag) },
		{ "prefer", SPAN_LIT("wait=60") } };
	int64_t until = boot_ms() + 600000;

	ask_bans(&b, "", "");
	assert_int_equal(b.status, 503);		/* the writer has not said */
	told_nobody();
	ask_bans(&first, "", "");
	assert_int_equal(first.status, 200);
	assert_int_equal(first.nanswer, 0);
	ask(&other, "GET", "/policy", h, 2);
	ask_bans(&poll, first.etag, "wait=60");
	loop_run_ms(20);
	assert_false(poll.closed);
	assert_true(told("192.0.2.0", 24, until, false, false, 1000));
	origin_policy(origin);
	RUN_UNTIL(poll.closed);
	assert_int_equal(poll.status, 226);
	assert_string_not_equal(poll.etag, first.etag);
	assert_string_equal(poll.base, first.etag);
	assert_true(begins(poll.answer, TEN_MINUTES));
	assert_false(other.closed);			/* the rest is as it was */
	/* Its end by the clock is no change; another writer that says it all again neither. */
	assert_false(told("192.0.2.0", 24, until + 3, false, true, until + 1000));
	ask_bans(&b, poll.etag, "");
	assert_int_equal(b.status, 304);
	assert_true(told("2001:db8::", 32, 0, false, false, 6000));
	assert_true(told("192.0.2.0", 24, 0, true, false, 6000));
	ask_bans(&b, first.etag, "");			/* all that happened since */
	assert_int_equal(b.status, 226);
	assert_true(begins(b.answer, TEN_MINUTES));
	assert_non_null(strstr(b.answer, "}\n\x1e{\"net\":\"2001:db8::/32\",\"for_ms\":0}\n"
	    "\x1e{\"net\":\"192.0.2.0/24\",\"lifted\":true}\n"));
	ask_bans(&b, "\"0123456789abcdef-0\"", "");	/* another home's life */
	assert_int_equal(b.status, 200);
	assert_string_equal(b.answer, "\x1e{\"net\":\"2001:db8::/32\",\"for_ms\":0}\n");
	/* Who does not know changes has the whole. */
	h[0].value = span_str(first.etag);
	b = (struct ask){ .body = NULL };
	ask(&b, "GET", "/policy/bans", h, 1);
	RUN_UNTIL(b.closed);
	assert_int_equal(b.status, 200);
}

static void
more_changes_than_are_kept(void **state)
{
	static struct ask first, b;

	told_nobody();
	ask_bans(&first, "", "");
	for (unsigned i = 0; i < BAN_CHANGES_MAX; i++)
		assert_true(told("192.0.2.1", 32, 0, i % 2 == 1, false, 1));
	assert_true(told("192.0.2.2", 32, 0, false, false, 1));
	ask_bans(&b, first.etag, "");
	assert_int_equal(b.status, 200);
	assert_string_equal(b.answer, "\x1e{\"net\":\"192.0.2.2/32\",\"for_ms\":0}\n");
	assert_true(told("192.0.2.0", 24, 0, false, true, 1));	/* another list altogether */
	ask_bans(&first, b.etag, "");
	assert_int_equal(first.status, 200);
}

/* 100,000 come in pieces: half of them must not be told as all. */
static void
bans_in_pieces_are_whole_before_they_are_told(void **state)
{
	struct spool_ban b = { .on = { .bits = 32 } };
	struct netaddr old;

	told_nobody();
	assert_true(told("192.0.2.1", 32, 0, false, false, 1));
	assert_true(netaddr_parse_ip(SPAN_LIT("198.51.100.1"), &b.on.net));
	assert_false(home_bans_take(&T.bans, &(struct spool_bans){ &b, 1, true, false }, 1));
	assert_true(netaddr_parse_ip(SPAN_LIT("192.0.2.1"), &old));
	assert_non_null(netset_find(T.bans.now, &old, 1));
	b.on.net.ip[15] = 2;
	assert_true(home_bans_take(&T.bans, &(struct spool_bans){ &b, 1, false, true }, 1));
	assert_int_equal(netset_count(T.bans.now), 2);
	assert_null(netset_find(T.bans.now, &old, 1));
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, origin_setup, origin_teardown)
	const struct CMUnitTest tests[] = {
		TEST(policy_says_what_was_granted_and_nothing_else),
		TEST(policy_says_who_may_log_in_at_that_edge_alone),
		TEST(a_long_poll_is_answered_when_policy_changes),
		TEST(policy_waits_for_the_ledger),
		TEST(keys_seen_are_kept),
		TEST(an_edge_says_where_home_comes_from),
		TEST(an_edges_next_key_is_believed_beside_the_one_it_shows),
		TEST(a_ban_is_told_at_once_and_alone),
		TEST(more_changes_than_are_kept),
		TEST(bans_in_pieces_are_whole_before_they_are_told),
		TEST(finishing_ends_what_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
