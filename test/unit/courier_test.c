/* What the courier makes of what it is given, over a real Maildir. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kit/courier_play.h"

static void
a_message_has_its_lines_on_top_and_lf(void **state)
{
	char want[400];

	hold("<Alice+x@Example.ORG>", BODY, FLAWLESS, false);
	live();
	read_mail();
	assert_int_equal(got[0][0], 1);
	assert_int_equal(ledger[0].entries[0].state, LEDGER_DELIVERED);
	snprintf(want, sizeof(want),
	    "Return-Path: <sender@example.net>\nDelivered-To: Alice+x@example.org\n"
	    "X-Posthouse-Id: %s\nReceived: from client.example\nSubject: hello\n\n.dot\nlast\n",
	    uuid_text(ledger[0].object.meta.id).s);
	assert_string_equal(last_text, want);
}

static void
recipients_of_one_mailbox_are_one_delivery(void **state)
{
	hold("<alice@example.org> <bob@example.org> <ALICE+x@example.org> <postmaster>", BODY,
	    FLAWLESS, false);
	live();
	read_mail();
	assert_int_equal(ledger[0].n, 2);
	assert_int_equal(got[0][0], 1);
	assert_int_equal(got[0][1], 1);
	assert_int_equal(got[0][2], 0);
}

/* What cannot be delivered, what becomes of it, and that the rest goes on. */
static const struct fate {
	const char	*name, *rcpts;
	enum flaw	 flaw;
	bool		 verdict;
	enum ledger_state state;
	enum park_class	park;
	const char	*words;
} fates[] = {
	{ "nobody", "<dave@example.org>", FLAWLESS, false, LEDGER_PARKED, PARK_POLICY,
	    "no such mailbox" },
	{ "nobody, and the sender waits", "<dave@example.org> <erin@example.org>", FLAWLESS, true,
	    LEDGER_REFUSED, PARK_NONE, "no such mailbox" },
	{ "nobody and somebody, and the sender waits: he will hear 250",
	    "<dave@example.org> <bob@example.org>", FLAWLESS, true, LEDGER_PARKED, PARK_POLICY,
	    "no such mailbox" },
	{ "a domain that this edge was not granted", "<alice@example.com>", FLAWLESS, false,
	    LEDGER_PARKED, PARK_FOREIGN_RECIPIENT, "no domain" },
	{ "the same while the sender waits: it is the edge that is wrong", "<alice@example.com>",
	    FLAWLESS, true, LEDGER_PARKED, PARK_FOREIGN_RECIPIENT, "no domain" },
	{ "truncated", "<alice@example.org>", FLAW_TRUNCATED, false, LEDGER_PARKED, PARK_MALFORMED,
	    "truncated" },
	{ "another id inside", "<alice@example.org>", FLAW_OTHER_ID, false, LEDGER_PARKED,
	    PARK_MALFORMED, "another id" },
	{ "another edge inside", "<alice@example.org>", FLAW_OTHER_EDGE, false, LEDGER_PARKED,
	    PARK_MALFORMED, "another edge" },
	{ "sealed to another", "<alice@example.org>", FLAW_OTHER_KEY, false, LEDGER_PARKED,
	    PARK_UNSEALABLE, "put the old one back" },
	{ "a bit is wrong", "<alice@example.org>", FLAW_BIT, false, LEDGER_PARKED, PARK_MALFORMED,
	    "" },
	{ "not sealed at all", "<alice@example.org>", FLAW_GARBAGE, false, LEDGER_PARKED,
	    PARK_MALFORMED, "" },
	{ "gone from the disk", "<alice@example.org>", FLAW_GONE, false, LEDGER_PARKED,
	    PARK_MALFORMED, "gone" },
};

/* Whose recipients are not known yet as the disk failed has them when it does not. */
static void
what_could_not_be_read_is_read_again(void **state)
{
	struct held *h = &ledger[0];

	hold("<alice@example.org> <bob@example.org>", BODY, FLAWLESS, true);
	h->unreadable = true;
	live();
	assert_int_equal(h->n, 1);
	assert_int_equal(h->entries[0].state, LEDGER_DEFERRED);
	assert_non_null(strstr(h->entries[0].reply.text, "reading the held object"));
	deferred_due = true;
	live();
	assert_int_equal(h->n, 1);
	assert_int_equal(h->entries[0].state, LEDGER_DEFERRED);
	h->unreadable = false;
	live();
	assert_int_equal(h->n, 2);
	read_mail();
	assert_int_equal(got[0][0], 1);
	assert_int_equal(got[0][1], 1);
}

static void
what_cannot_be_delivered_is_kept_and_named(void **state)
{
	const size_t n = sizeof(fates) / sizeof(fates[0]);

	for (size_t i = 0; i < n; i++)
		ledger[hold(fates[i].rcpts, BODY, fates[i].flaw, i % 2)].object.meta.verdict =
		    fates[i].verdict;
	hold("<carol@example.org>", BODY, FLAWLESS, false);
	live();
	read_mail();
	for (size_t i = 0; i < n; i++) {
		const struct ledger_entry *e = &ledger[i].entries[0];

		if (ledger[i].n == 0 || e->state != fates[i].state || e->park != fates[i].park ||
		    strstr(e->reply.text, fates[i].words) == NULL)
			fail_msg("%s: state %d, class %d: %s", fates[i].name, e->state, e->park,
			    e->reply.text);
		assert_int_equal(got[i][0], 0);
		assert_false(ledger[i].claimed);
	}
	assert_int_equal(got[2][1], 1);
	assert_int_equal(got[n][2], 1);
}

/* What was granted to its edge is not known then: nothing of it is said to be foreign. */
static void
an_edge_that_was_unpaired_has_its_mail_wait(void **state)
{
	const struct ledger_entry *e = ledger[0].entries;

	hold("<alice@example.org> <alice@example.com>", BODY, FLAWLESS, false);
	unpaired = true;
	live();
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(e[i].state, LEDGER_DEFERRED);
		assert_non_null(strstr(e[i].reply.text, "not known here any more"));
	}
	unpaired = false;
	deferred_due = true;
	live();
	read_mail();
	assert_int_equal(got[0][0], 1);
	assert_int_equal(e[1].state, LEDGER_PARKED);
	assert_int_equal(e[1].park, PARK_FOREIGN_RECIPIENT);
}

static void
more_mailboxes_than_files_at_once(void **state)
{
	char rcpts[2000] = "";

	conf.nusers = 37;
	for (unsigned i = 0; i < 37; i++) {
		size_t n = strlen(rcpts);

		snprintf(conf.users[i], sizeof(conf.users[i]), "user%u", i);
		snprintf(
		    rcpts + n, sizeof(rcpts) - n, "%s<user%u@example.org>", i > 0 ? " " : "", i);
	}
	hold(rcpts, BODY, FLAWLESS, true);
	live();
	read_mail();
	for (unsigned i = 0; i < 37; i++)
		assert_int_equal(got[0][i], 1);
}

static void
a_large_message_streams(void **state)
{
	static char body[900001], want[900001];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(body) - 1; i++) {
		body[i] = i % 70 == 68 ? '\r' : i % 70 == 69 ? '\n' : (char)('a' + i % 26);
		if (body[i] != '\r')
			want[n++] = body[i];
	}
	hold("<bob@example.org>", body, FLAWLESS, true);
	live();
	read_mail();
	assert_int_equal(got[0][1], 1);
	assert_true(strlen(last_text) > n);
	assert_string_equal(last_text + strlen(last_text) - n, want);
}

static void
a_ledger_that_cannot_write_is_asked_again(void **state)
{
	hold("<alice@example.org>", BODY, FLAWLESS, false);
	birth();
	courier_events.attached(&C, true);
	courier_events.peers_known(&C);
	ledger_fails = true;
	answer_all();
	read_mail();
	assert_int_equal(got[0][0], 0);			/* not staged: not published */
	ledger_fails = false;
	assert_true(uv_is_active((uv_handle_t *)&C.retry));
	C.retry.timer_cb(&C.retry);
	answer_all();
	read_mail();
	assert_int_equal(got[0][0], 1);
	assert_int_equal(ledger[0].entries[0].state, LEDGER_DELIVERED);
	assert_false(courier_busy(&C));
	death();
}

static void
a_writer_that_dies_is_believed_when_it_is_back(void **state)
{
	hold("<alice@example.org>", BODY, FLAWLESS, false);
	birth();
	courier_events.attached(&C, true);
	courier_events.peers_known(&C);
	ledger_fails = true;
	answer_all();
	courier_events.attached(&C, false);
	assert_false(courier_busy(&C));
	ledger_fails = false;
	ledger[0].claimed = false;
	courier_events.attached(&C, true);
	answer_all();
	read_mail();
	assert_int_equal(got[0][0], 1);
	death();
}

/* The process ends when the ledger says `staged`: before the rename, or behind it. */
static void
dies_staged(bool renamed)
{
	const struct ledger_entry *e = &ledger[0].entries[0];
	char path[300];

	for (unsigned at = 1;; at++) {
		assert_true(at < 200);
		clean();
		hold("<alice@example.org>", BODY, FLAWLESS, false);
		how = HIT_KILL;
		calls = 0;
		hit_at = at;
		live();
		how = HIT_NOTHING;
		snprintf(path, sizeof(path), "%s/alice/new/%s", dir, e->name);
		if (e->state == LEDGER_STAGED && (access(path, F_OK) == 0) == renamed)
			return;
	}
}

/* Off for a day, and what a reader did meanwhile in alice's mailbox. */
static const struct {
	const char	*name, *then;		/* what the reader did, in alice's mailbox */
	bool		 renamed, late;
	unsigned	 copies;		/* that he finds */
} sleeps[] = {
	{ "tidied, soon after: he must have read it", "rm tmp/*", false, false, 0 },
	{ "untouched", ":", false, true, 1 },
	{ "tidied", "rm tmp/*", false, true, 1 },
	{ "in new", ":", true, true, 1 },
	{ "seen and kept", "mv new/* \"cur/$(basename new/*):2,S\"", true, true, 0 },
	{ "read and gone: a second copy, never none", "rm new/*", true, true, 1 },
	{ "gone with what it lay in: nobody knows yet", "rm -r cur new/*", true, true, 0 },
};

static void
what_a_reader_tidied_away_comes_anew(void **state)
{
	for (size_t i = 0; i < sizeof(sleeps) / sizeof(sleeps[0]); i++) {
		struct ledger_entry *e = &ledger[0].entries[0];
		char cmd[200];

		dies_staged(sleeps[i].renamed);
		if (sleeps[i].late)
			e->next_ms -= MAILDIR_TMP_MS;
		snprintf(cmd, sizeof(cmd), "cd %s/alice && %s", dir, sleeps[i].then);
		assert_int_equal(system(cmd), 0);
		live();
		deferred_due = true;
		live();
		deferred_due = false;
		memset(got, 0, sizeof(got));
		read_mail();
		if (got[0][0] != sleeps[i].copies)
			fail_msg("%s: %u copies", sleeps[i].name, got[0][0]);
	}
}

static void
one_broken_mailbox_stops_nobody_else(void **state)
{
	char path[128];
	FILE *f;

	/* A file where alice's folder ought to be. */
	snprintf(path, sizeof(path), "%s/alice", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	hold("<alice@example.org> <bob@example.org>", BODY, FLAWLESS, false);
	hold("<alice@example.org>", BODY, FLAWLESS, false);
	for (size_t i = 0; i < 20; i++)
		hold("<carol@example.org>", BODY, FLAWLESS, false);
	birth();
	courier_events.attached(&C, true);
	courier_events.peers_known(&C);
	answer_all();
	read_mail();
	assert_int_equal(got[0][1], 1);
	for (size_t i = 2; i < 22; i++)
		assert_int_equal(got[i][2], 1);
	assert_int_equal(ledger[0].entries[0].state, LEDGER_DEFERRED);
	assert_int_equal(ledger[1].entries[0].state, LEDGER_DEFERRED);
	assert_true(ledger[1].entries[0].next_ms > wall_ms());
	assert_non_null(strstr(alarm_text, "alice"));
	assert_int_equal(unlink(path), 0);
	deferred_due = true;
	courier_events.work(&C);
	answer_all();
	read_mail();
	assert_int_equal(got[0][0], 1);
	assert_int_equal(got[0][1], 1);
	assert_int_equal(got[1][0], 1);
	assert_string_equal(alarm_text, "");
	death();
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, courier_setup, courier_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_message_has_its_lines_on_top_and_lf),
		TEST(recipients_of_one_mailbox_are_one_delivery),
		TEST(what_could_not_be_read_is_read_again),
		TEST(what_cannot_be_delivered_is_kept_and_named),
		TEST(an_edge_that_was_unpaired_has_its_mail_wait),
		TEST(more_mailboxes_than_files_at_once),
		TEST(a_large_message_streams),
		TEST(a_ledger_that_cannot_write_is_asked_again),
		TEST(a_writer_that_dies_is_believed_when_it_is_back),
		TEST(what_a_reader_tidied_away_comes_anew),
		TEST(one_broken_mailbox_stops_nobody_else),
	};

	log_init("test", LOG_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
