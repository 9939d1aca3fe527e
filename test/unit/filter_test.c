/* What the courier makes of a filter's word, and of its silence, over a real Maildir. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "kit/courier_play.h"

#include "base/clock.h"
#include "home/filter.h"
#include "kit/http_server.h"
#include "kit/loop.h"

#define JSON(text)	"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" text
#define CLEAN		JSON("{\"action\":\"no action\"}")
#define SPAM		JSON("{\"action\":\"reject\"," \
			    "\"messages\":{\"smtp_message\":\"Gtube pattern\"}}")
#define LATER		JSON("{\"action\":\"soft reject\"}")

static int
setup(void **state)
{
	struct netaddr at;

	courier_setup(state);
	board = (struct scoreboard){ .started_ms = 0 };
	at = http_server_begin(NULL);
	server.says = CLEAN;
	snprintf(conf.filter.rspamd, sizeof(conf.filter.rspamd), "%s", netaddr_hostport(&at).s);
	conf.filter.timeout_ms = 10000;
	conf.filter.size = 1u << 20;
	return 0;
}

static int
teardown(void **state)
{
	http_server_end();
	return courier_teardown(state);
}

static unsigned
in_junk(const char *user)
{
	char path[200];
	struct dirent *e;
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/%s/.Junk/new", dir, user);
	if ((d = opendir(path)) == NULL)
		return 0;
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void
it_is_told_what_it_judges_by(void **state)
{
	const char *text;

	hold("<Alice+x@example.org> <bob@example.org>", BODY, FLAWLESS, true);
	live();
	assert_true(buf_add(&server.heard, "", 1));
	text = server.heard.p;
	assert_ptr_equal(strstr(text, "POST /checkv2 HTTP/1.1\r\n"), text);
	assert_non_null(strstr(text, "\r\nFrom: <sender@example.net>\r\n"));
	assert_non_null(strstr(text, "\r\nRcpt: <Alice+x@example.org>\r\n"
	    "Rcpt: <bob@example.org>\r\n"));
	assert_non_null(strstr(text, "\r\nHelo: client.example\r\n"));
	assert_non_null(strstr(text, "\r\nQueue-Id: "));
	assert_null(strstr(text, "\r\nIP: "));		/* nobody's address is not told */
	assert_null(strstr(text, "\r\nHostname: "));
	assert_null(strstr(text, "\r\nUser: "));
	assert_non_null(strstr(text, "\r\n\r\n" BODY));
	assert_int_equal(server.served, 1);
	read_mail();
	assert_int_equal(got[0][0] + got[0][1], 2);
}

static void
its_lines_are_on_top_below_ours(void **state)
{
	char want[400];

	server.says = JSON("{\"action\":\"add header\",\"milter\":{\"add_headers\":"
	    "{\"X-Spamd-Bar\":\"+++\"}}}");
	hold("<alice@example.org>", BODY, FLAWLESS, false);
	live();
	read_mail();
	snprintf(want, sizeof(want),
	    "Return-Path: <sender@example.net>\nDelivered-To: alice@example.org\n"
	    "X-Posthouse-Id: %s\nX-Spam: Yes\nX-Spamd-Bar: +++\nReceived: from client.example\n"
	    "Subject: hello\n\n.dot\nlast\n", uuid_text(ledger[0].object.meta.id).s);
	assert_string_equal(last_text, want);
	assert_int_equal(in_junk("alice"), 0);
}

static const struct {
	const char	*name, *says;
	bool		 verdict, junk, old;
	enum ledger_state state;
	enum park_class	park;
	const char	*words;		/* of the reply */
	unsigned	 inbox, folder;	/* how many lie there */
} words[] = {
	{ "clean", CLEAN, false, false, false, LEDGER_DELIVERED, PARK_NONE, "", 1, 0 },
	{ "refused while the sender waits", SPAM, true, false, false, LEDGER_REFUSED, PARK_NONE,
	    "Gtube pattern", 0, 0 },
	{ "the same where it would be junk", SPAM, true, true, false, LEDGER_REFUSED, PARK_NONE,
	    "Gtube pattern", 0, 0 },
	{ "refused after 250", SPAM, false, false, false, LEDGER_PARKED, PARK_POLICY,
	    "Gtube pattern", 0, 0 },
	{ "the same where it is junk", SPAM, false, true, false, LEDGER_DELIVERED, PARK_NONE, "", 0,
	    1 },
	{ "discarded: nothing is thrown away", JSON("{\"action\":\"discard\"}"), false, false,
	    false, LEDGER_PARKED, PARK_POLICY, "Rejected", 0, 0 },
	{ "later", LATER, false, false, false, LEDGER_DEFERRED, PARK_NONE, "Try again", 0, 0 },
	{ "later while the sender waits", LATER, true, false, false, LEDGER_DEFERRED, PARK_NONE,
	    "Try again", 0, 0 },
	{ "greylisted for an hour and more", JSON("{\"action\":\"greylist\"}"), false, false, true,
	    LEDGER_DELIVERED, PARK_NONE, "", 1, 0 },
	{ "no password", "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", false, false, false,
	    LEDGER_DELIVERED, PARK_NONE, "", 1, 0 },
	{ "no rspamd", JSON("<html>"), false, false, false, LEDGER_DELIVERED, PARK_NONE, "", 1, 0 },
	{ "a word that does not end", JSON("{\"action\":\"reject\",\"messages\":{"), false, false,
	    false, LEDGER_DELIVERED, PARK_NONE, "", 1, 0 },
	{ "no HTTP", "554 go away\r\n", false, false, false, LEDGER_DELIVERED, PARK_NONE, "", 1,
	    0 },
};

static void
its_word_is_done(void **state)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		const struct ledger_entry *e = &ledger[0].entries[0];
		unsigned junk;

		server.says = words[i].says;
		conf.filter.on_reject = words[i].junk ? CONF_REJECT_JUNK : CONF_REJECT_PARK;
		hold("<alice@example.org>", BODY, FLAWLESS, i % 2);
		ledger[0].object.meta.verdict = words[i].verdict;
		if (words[i].old)
			ledger[0].object.meta.received_ms -= FILTER_LATER_MAX_MS + 1000;
		live();
		read_mail();
		junk = in_junk("alice");
		if (ledger[0].n != 1 || e->state != words[i].state || e->park != words[i].park ||
		    strstr(e->reply.text, words[i].words) == NULL ||
		    got[0][0] != words[i].inbox || junk != words[i].folder)
			fail_msg("%s: state %d, class %d, %u in the inbox, %u in junk: %s",
			    words[i].name, e->state, e->park, got[0][0], junk, e->reply.text);
		if (words[i].folder > 0)
			assert_string_equal(e->mailbox, "alice/.Junk");
		clean();
	}
}

static void
what_was_junk_once_and_deferred_is_judged_anew(void **state)
{
	hold("<alice@example.org>", BODY, FLAWLESS, false);
	ledger[0].n = 1;
	ledger[0].entries[0] = (struct ledger_entry){ .row = 1, .state = LEDGER_DEFERRED };
	span_copy(SPAN_LIT("alice/.Junk"), ledger[0].entries[0].mailbox, 64);
	span_copy(SPAN_LIT("alice@example.org"), ledger[0].entries[0].recipient, 400);
	deferred_due = true;
	live();
	read_mail();
	assert_int_equal(got[0][0], 1);
	assert_int_equal(in_junk("alice"), 0);
}

/* More than are asked at once, with what cannot be opened between them. */
static void
all_of_a_batch_are_judged(void **state)
{
	conf.deliveries = 60;
	for (unsigned i = 0; i < 30; i++)
		hold(i % 10 == 9 ? "<nobody@example.org>" : "<alice@example.org>", BODY,
		    i % 10 == 5 ? FLAW_TRUNCATED : FLAWLESS, i % 2);
	live();
	read_mail();
	assert_int_equal(server.served, 24);
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(got[i][0], i % 10 != 9 && i % 10 != 5);
}

static void
one_that_does_not_answer_holds_nothing_up(void **state)
{
	unsigned alice = 0;

	server.says = NULL;
	conf.filter.timeout_ms = 50;
	conf.deliveries = 60;
	for (unsigned i = 0; i < 30; i++)
		hold("<alice@example.org>", BODY, FLAWLESS, false);
	live();
	read_mail();
	for (unsigned i = 0; i < 30; i++)
		alice += got[i][0];
	assert_int_equal(alice, 30);
	/* Left alone after the first ones. */
	assert_in_range(server.served, FILTER_FAILURES_MAX, 2 * FILTER_ASKED_MAX);
	assert_non_null(strstr(board.filter, "imed out"));
	assert_int_equal(board_get(&board, BC_UNJUDGED), 30);
}

/* Larger than it is asked about: no trouble of the filter's. */
static void
a_large_one_goes_on_without(void **state)
{
	server.says = SPAM;
	conf.filter.size = 20;
	hold("<alice@example.org>", BODY, FLAWLESS, false);
	live();
	read_mail();
	assert_int_equal(got[0][0], 1);
	assert_int_equal(server.served, 0);
	assert_int_equal(board_get(&board, BC_UNJUDGED), 1);
	assert_string_equal(board.filter, "");
}

static void
the_alarm_ends_when_it_judges_again(void **state)
{
	server.refuses = true;
	hold("<alice@example.org>", BODY, FLAWLESS, false);
	birth();
	work_begins();
	RUN_UNTIL(idle());
	assert_string_not_equal(board.filter, "");
	server.refuses = false;
	hold("<alice@example.org>", BODY, FLAWLESS, false);
	courier_events.work(&C);
	RUN_UNTIL(idle() && ledger[1].n > 0);
	assert_string_equal(board.filter, "");
	assert_int_equal(board_get(&board, BC_JUDGED), 1);
	death();
	read_mail();
	assert_int_equal(got[0][0] + got[1][0], 2);
}

/* What is with the filter when the writer dies is the next life's. */
static void
who_forgets_asks_again(void **state)
{
	server.says = NULL;
	hold("<alice@example.org>", BODY, FLAWLESS, false);
	birth();
	work_begins();
	RUN_UNTIL(server.served == 1);
	courier_events.attached(&C, false);
	death();			/* with the question open */
	read_mail();
	assert_int_equal(got[0][0], 0);
	server.says = CLEAN;
	live();
	read_mail();
	assert_int_equal(got[0][0], 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(it_is_told_what_it_judges_by),
		T(its_lines_are_on_top_below_ours),
		T(its_word_is_done),
		T(what_was_junk_once_and_deferred_is_judged_anew),
		T(all_of_a_batch_are_judged),
		T(one_that_does_not_answer_holds_nothing_up),
		T(a_large_one_goes_on_without),
		T(the_alarm_ends_when_it_judges_again),
		T(who_forgets_asks_again),
	};

	log_init("filter_test", LOG_ERROR + 1);
	return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
