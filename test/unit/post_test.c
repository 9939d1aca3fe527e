/* What the way into a mail server makes of what it is given, and of what the server says. */
#include <string.h>

#include "home/post_in.h"
#include "kit/ahead.h"
#include "kit/mail_server.h"

static size_t
commands(const char *verb)
{
	size_t n = 0;

	for (size_t i = 0; i < server.b.nguests; i++) {
		const struct play_guest *g = &server.b.guest[i];
		struct span left = span_of(g->heard, g->nheard);
		const char *at;

		while ((at = memmem(left.p, left.n, verb, strlen(verb))) != NULL) {
			n++;
			left = span_from(left, (size_t)(at - left.p) + strlen(verb));
		}
	}
	return n;
}

static void
a_message_is_one_transaction_whoever_it_is_for(void **state)
{
	hold("<alice@example.org> <bob+tag@example.org> <nobody@example.org>", BODY, FLAWLESS,
	    true);
	mail_server_begin(false);
	live();
	assert_int_equal(server.mails, 1);
	assert_int_equal(server.kept[0][0], 1);
	assert_int_equal(server.kept[0][1], 1);
	assert_int_equal(commands("MAIL FROM:<sender@example.net>"), 1);
	assert_int_equal(commands("RCPT TO:<bob+tag@example.org>"), 1);
	assert_int_equal(commands("RCPT TO:"), 2);
	assert_int_equal(ledger[0].entries[2].state, LEDGER_PARKED);
	mail_server_end();
}

/* Whatever ends a name here, the server hears of the tag, and of nobody whom it does not know. */
static void
a_tag_goes_with_its_name(void **state)
{
	static const struct {
		const char	*tag, *box, *to, *asked;
		bool		 dots;
	} rows[] = {
		{ "+", "bob", "BOB+x", "BOB+x", true }, { "-", "bob", "bob-x-y", "bob-x-y", true },
		{ "-", "bob", "bob+x", NULL, true }, { "", "bob", "bob+x", NULL, true },
		{ "-", "long-tag", "long-tag-x", "long-tag-x", true },
		{ "+", "j.smith", "JSmith+J.S", "j.smith+J.S", false },
		{ "+", "jsmith", "j.smith", "jsmith", false },
		{ "+", "jsmith", "j.smith", NULL, true }, { "-", "bob", "sales-x", "bob", true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct conf_home_domain *d = &conf.domains[0];
		char line[200];

		memset(d, 0, sizeof(*d));
		span_copy(SPAN_LIT("example.org"), d->name, sizeof(d->name));
		span_copy(span_str(rows[i].tag), d->tag, sizeof(d->tag));
		d->dots = rows[i].dots;
		span_copy(SPAN_LIT("sales"), d->aliases[0].from, sizeof(d->aliases[0].from));
		span_copy(SPAN_LIT("bob"), d->aliases[0].to, sizeof(d->aliases[0].to));
		conf.ndomains = d->naliases = 1;
		span_copy(span_str(rows[i].box), conf.users[1], sizeof(conf.users[1]));
		snprintf(line, sizeof(line), "<%s@example.org>", rows[i].to);
		print_message("%s in %s\n", line, rows[i].box);
		hold(line, BODY, FLAWLESS, false);
		mail_server_begin(false);
		live();
		snprintf(line, sizeof(line), "RCPT TO:<%s@example.org>\r\n",
		    rows[i].asked != NULL ? rows[i].asked : "");
		assert_int_equal(commands("RCPT TO:"), rows[i].asked != NULL);
		assert_int_equal(commands(line), rows[i].asked != NULL);
		mail_server_end();
	}
}

/* What an operator gave to a mailbox: never to a stranger's server, nor to nobody for ever. */
static void
what_is_given_to_a_mailbox_is_asked_for_in_a_domain_of_ours(void **state)
{
	static const struct {
		const char	*came, *recipient, *asked;
	} rows[] = {
		{ "<x@foreign.example>", "x@foreign.example", "alice@example.org" },
		{ "<alice@foreign.example>", "alice@foreign.example", "alice@example.org" },
		{ "<x@second.org>", "x@second.org", "alice@second.org" },
		/* parked before anybody had looked into it */
		{ "<x@second.org>", "", "alice@second.org" },
		{ "<x@foreign.example>", "", "alice@example.org" },
		{ "<alice+x@example.org>", "", "alice+x@example.org" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = hold(rows[i].came, BODY, FLAWLESS, false);
		struct ledger_entry *e = &ledger[n].entries[0];
		char line[200];

		print_message("%s, as %s\n", rows[i].came, rows[i].recipient);
		*e = (struct ledger_entry){ .row = ledger[n].object.row };
		span_copy(span_str(rows[i].recipient), e->recipient, sizeof(e->recipient));
		span_copy(SPAN_LIT("alice"), e->mailbox, sizeof(e->mailbox));
		ledger[n].n = 1;
		mail_server_begin(false);
		live();
		snprintf(line, sizeof(line), "RCPT TO:<%s>\r\n", rows[i].asked);
		assert_int_equal(commands("RCPT TO:"), 1);
		assert_int_equal(commands(line), 1);
		assert_int_equal(e->state, LEDGER_DELIVERED);
		clean();
		mail_server_end();
	}
}

/* Only who is listed is known to be one person wherever he is written to. */
static void
one_name_in_two_domains_is_two_where_the_server_decides(void **state)
{
	conf.callout = true;
	hold("<info@example.org> <Info@second.org> <INFO@example.org> <bob@example.org> "
	    "<bob@second.org> <postmaster@example.org> <postmaster@second.org>",
	    BODY, FLAWLESS, false);
	mail_server_begin(false);
	live();
	assert_int_equal(commands("RCPT TO:"), 5);
	assert_int_equal(commands("RCPT TO:<info@example.org>"), 1);
	assert_int_equal(commands("RCPT TO:<Info@second.org>"), 1);
	assert_int_equal(commands("RCPT TO:<bob@"), 1);
	assert_int_equal(commands("RCPT TO:<postmaster@"), 2);
	mail_server_end();
}

static void
connections_are_kept_and_no_more_are_made_than_may_be(void **state)
{
	for (int i = 0; i < 12; i++)
		hold("<alice@example.org>", BODY, FLAWLESS, false);
	mail_server_begin(false);
	live();
	assert_int_equal(server.mails, 12);
	assert_true(server.b.nguests <= 2);
	assert_int_equal(commands("EHLO home.test"), server.b.nguests);
	mail_server_end();
}

/* All is over; most: of ends that waited to be noted, which none does with nothing under way. */
static bool
watched(size_t *most)
{
	bool going = false;

	for (size_t i = 0; i < C.post->nlanes; i++)
		going = going || lane_now(C.post->lanes[i]) != NULL;
	if (C.post->ended.n > *most)
		*most = C.post->ended.n;
	assert_true(going || C.post->ended.n == 0);
	return C.post->nhand == 0 && server.mails > 0;
}

static void
ends_wait_for_one_another_and_a_lone_one_for_nobody(void **state)
{
	size_t most = 0;

	hold("<alice@example.org>", BODY, FLAWLESS, false);
	mail_server_begin(false);
	birth();
	work_begins();
	RUN_UNTIL((answer_all(), watched(&most)));
	assert_int_equal(most, 0);
	for (int i = 0; i < 40; i++)
		hold("<alice@example.org>", BODY, FLAWLESS, false);
	courier_events.work(&C);
	RUN_UNTIL((answer_all(), watched(&most) && server.mails == 41));
	assert_in_range(most, 1, conf.deliver.connections - 1);
	death();
	for (size_t i = 0; i < nledger; i++)
		assert_int_equal(ledger[i].entries[0].state, LEDGER_DELIVERED);
	mail_server_end();
}

static void
by_lmtp_each_recipient_has_a_word_of_his_own(void **state)
{
	hold("<alice@example.org> <bob@example.org>", BODY, FLAWLESS, false);
	mail_server_begin(true);
	server.fault = FAULT_LATER;
	server.at = 4;			/* LHLO, MAIL, alice, bob */
	live();
	assert_int_equal(server.kept[0][0], 1);
	assert_int_equal(server.kept[0][1], 0);
	assert_int_equal(ledger[0].entries[0].state, LEDGER_DELIVERED);
	assert_int_equal(ledger[0].entries[1].state, LEDGER_DEFERRED);
	assert_int_equal(ledger[0].entries[1].reply.code, 451);
	deferred_due = true;
	live();
	assert_int_equal(server.kept[0][0], 1);		/* whoever has it is not asked again */
	assert_int_equal(server.kept[0][1], 1);
	mail_server_end();
}

/* What came to an end is never said to be whole, so that its octets are looked at first. */
static void
what_is_damaged_is_parked_and_never_sent(void **state)
{
	hold("<alice@example.org>", BODY, FLAW_TRUNCATED, false);
	hold("<alice@example.org>", BODY, FLAW_BIT, true);
	hold("<alice@example.org>", BODY, FLAW_OTHER_KEY, false);
	hold("<alice@example.com>", BODY, FLAWLESS, false);
	mail_server_begin(false);
	live();
	assert_int_equal(server.mails, 0);
	assert_int_equal(commands("MAIL"), 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(ledger[i].entries[0].state, LEDGER_PARKED);
	mail_server_end();
}

static void
nothing_is_tried_where_no_server_is(void **state)
{
	struct conf_deliver_to gone;

	mail_server_begin(false);
	gone = conf.deliver;
	mail_server_end();
	conf.deliver = gone;
	hold("<alice@example.org>", BODY, FLAWLESS, false);
	live();
	assert_int_equal(ledger[0].entries[0].state, LEDGER_DEFERRED);
	/* 4.4.1: the ledger does not count it as a try. */
	assert_int_equal(ledger[0].entries[0].reply.enhanced[1], 4);
	assert_int_equal(ledger[0].entries[0].reply.enhanced[2], 1);
	assert_non_null(strstr(alarm_text, "refused"));
	memset(&conf.deliver, 0, sizeof(conf.deliver));
}

static void
a_reload_takes_the_service_to_another_place(void **state)
{
	struct netaddr there;

	mail_server_begin(false);
	there = server.b.at;
	conf.deliver.to = CONF_TO_SERVICE;
	conf.nservices = 1;
	conf.services[0].proxy = CONF_PROXY_NONE;
	assert_true(netaddr_parse(SPAN_LIT("127.0.0.2:1"), &conf.services[0].backend));
	conf.services[0].backend.port = there.port;
	birth();
	conf.services[0].backend = there;
	post_reload(C.post);
	hold("<alice@example.org>", BODY, FLAWLESS, false);
	courier_events.attached(&C, true);
	courier_events.peers_known(&C);
	RUN_UNTIL((answer_all(), server.mails == 1));
	death();
	conf.nservices = 0;
	mail_server_end();
}

/* An octet now and then is no answer: here it has the ten seconds that a QUIT may take. */
static void
a_server_that_drips_has_its_time_and_no_more(void **state)
{
	struct netaddr there;

	mail_server_begin(false);
	server.fault = FAULT_DRIP;
	server.at = 6;			/* EHLO, MAIL, RCPT, DATA, its end, QUIT */
	there = server.b.at;
	conf.deliver.to = CONF_TO_SERVICE;
	conf.nservices = 1;
	conf.services[0].proxy = CONF_PROXY_NONE;
	conf.services[0].backend = there;
	birth();
	hold("<alice@example.org>", BODY, FLAWLESS, false);
	courier_events.attached(&C, true);
	courier_events.peers_known(&C);
	RUN_UNTIL((answer_all(), server.mails == 1 && C.post->nhand == 0));
	assert_true(netaddr_parse(SPAN_LIT("127.0.0.2:1"), &conf.services[0].backend));
	post_reload(C.post);		/* it leaves there */
	RUN_UNTIL(server.step == 6);
	RUN_UNTIL(server.b.open == 0);
	death();
	conf.nservices = 0;
	mail_server_end();
}

/* What RFC 5321, 4.5.3.2 gives each of its answers, in minutes; the greeting is step 0. */
static void
a_server_that_says_nothing_has_its_time_and_no_more(void **state)
{
	static const struct {
		const char	*what;
		unsigned	 minutes;
		bool		 uncertain;
	} steps[] = {
		{ "waiting for its greeting", 5, false }, { "saying EHLO", 5, false },
		{ "saying MAIL", 5, false }, { "saying MAIL", 5, false },
		{ "saying DATA", 2, false }, { "sending the end of data", 10, true },
	};

	for (unsigned at = 0; at < sizeof(steps) / sizeof(steps[0]); at++) {
		const struct ledger_entry *e = &ledger[0].entries[0];

		mail_server_begin(false);
		server.b.greeting = at == 0 ? "" : server.b.greeting;
		server.fault = FAULT_SILENT;
		server.at = at;
		birth();
		hold("<alice@example.org>", BODY, FLAWLESS, false);
		courier_events.attached(&C, true);
		courier_events.peers_known(&C);
		RUN_UNTIL((answer_all(), server.step == at && server.b.open == 1));
		loop_run_ms(50);
		answer_all();
		ahead_ms += steps[at].minutes * 60000 - 5000;
		loop_turns(3);
		answer_all();
		assert_int_equal(server.b.open, 1);	/* it is waited for */
		ahead_ms += 5000;
		loop_turns(3);
		RUN_UNTIL((answer_all(), e->state == LEDGER_DEFERRED ||
		    e->state == LEDGER_UNCERTAIN));
		assert_int_equal(e->state == LEDGER_UNCERTAIN, steps[at].uncertain);
		if (strstr(e->reply.text, "no answer in time") == NULL ||
		    strstr(e->reply.text, steps[at].what) == NULL)
			fail_msg("%u: %s", at, e->reply.text);
		RUN_UNTIL(server.b.open == 0);
		server.b.greeting = "220 mx ESMTP\r\n";
		server.at = 0;				/* it has come to itself */
		death();
		deferred_due = true;
		live();
		assert_int_equal(e->state, LEDGER_DELIVERED);
		assert_int_equal(server.mails, 1);
		deferred_due = false;
		clean();
		mail_server_end();
	}
}

static void
a_writer_that_dies_takes_its_notes_along_and_nothing_is_lost(void **state)
{
	for (int i = 0; i < 6; i++)
		hold("<alice@example.org> <bob@example.org>", BODY, FLAWLESS, i % 2);
	mail_server_begin(false);
	birth();
	courier_events.attached(&C, true);
	courier_events.peers_known(&C);
	RUN_UNTIL((answer_all(), server.mails >= 2));
	courier_events.attached(&C, false);
	death();
	deferred_due = true;
	live();
	for (size_t i = 0; i < 6; i++) {
		assert_true(server.kept[i][0] >= 1 && server.kept[i][1] >= 1);
		assert_true(server.kept[i][0] + server.kept[i][1] - 2 <= ledger[i].unsure);
		assert_int_equal(ledger[i].entries[0].state, LEDGER_DELIVERED);
		assert_int_equal(ledger[i].entries[1].state, LEDGER_DELIVERED);
	}
	mail_server_end();
}

/* What was claimed is the next writer's to give, also where a connection is made for it. */
static void
what_a_dead_writer_gave_is_not_begun(void **state)
{
	static const char greeting[] = "220 mx ESMTP\r\n";
	const struct ledger_entry *e = &ledger[0].entries[0];

	for (int greets = 0; greets < 2; greets++) {
		mail_server_begin(false);
		conf.deliver.to = CONF_TO_SERVICE;
		conf.nservices = 1;
		conf.services[0].proxy = CONF_PROXY_V1;		/* a connection a message */
		conf.services[0].backend = server.b.at;
		hold("<alice@example.org>", BODY, FLAWLESS, false);
		birth();
		courier_events.attached(&C, true);
		courier_events.peers_known(&C);
		RUN_UNTIL((answer_all(), commands("QUIT") == 1));
		server.b.greeting = "";
		RUN_UNTIL((answer_all(), server.b.nguests == 2));
		assert_int_equal(e->state, LEDGER_SENDING);
		courier_events.attached(&C, false);
		claim_lost(&ledger[0]);
		server.b.greeting = greeting;
		deferred_due = true;
		courier_events.attached(&C, true);
		RUN_UNTIL((answer_all(), e->state == LEDGER_DELIVERED));
		if (greets)
			conn_write(server.b.guest[1].conn, greeting, strlen(greeting));
		else
			conn_close(server.b.guest[1].conn);
		RUN_UNTIL((answer_all(), C.post->nhand == 0));
		assert_int_equal(server.kept[0][0], 1);
		assert_int_equal(C.post->paused, !greets);
		death();
		deferred_due = false;
		conf.nservices = 0;
		clean();
		mail_server_end();
	}
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, courier_setup, courier_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_message_is_one_transaction_whoever_it_is_for),
		TEST(a_tag_goes_with_its_name),
		TEST(what_is_given_to_a_mailbox_is_asked_for_in_a_domain_of_ours),
		TEST(one_name_in_two_domains_is_two_where_the_server_decides),
		TEST(connections_are_kept_and_no_more_are_made_than_may_be),
		TEST(ends_wait_for_one_another_and_a_lone_one_for_nobody),
		TEST(by_lmtp_each_recipient_has_a_word_of_his_own),
		TEST(what_is_damaged_is_parked_and_never_sent),
		TEST(nothing_is_tried_where_no_server_is),
		TEST(a_reload_takes_the_service_to_another_place),
		TEST(a_server_that_drips_has_its_time_and_no_more),
		TEST(a_server_that_says_nothing_has_its_time_and_no_more),
		TEST(a_writer_that_dies_takes_its_notes_along_and_nothing_is_lost),
		TEST(what_a_dead_writer_gave_is_not_begun),
	};

	log_init("test", LOG_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
