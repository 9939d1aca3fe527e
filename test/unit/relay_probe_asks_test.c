#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* What is asked, of whom and how often, and what becomes of a visit that does not end well. */
#include "kit/relay_play.h"

static const struct server postfix = {
	.lines = { POSTFIX_START, POSTFIX_TALK, POSTFIX_RCPT, REST },
};
static const struct server open_relay = {
	.lines = { POSTFIX_START, POSTFIX_TALK, { ANY, "RCPT", "250 2.1.5 Ok\r\n" }, REST },
};

static bool
asked_as(const struct relay_probe *p, const char *form, const char *ip)
{
	for (size_t i = 0; i < relay_probe_notes(p); i++) {
		const struct relay_note *n = relay_probe_note(p, i);

		if (n->form != NULL && strcmp(n->form, form) == 0 &&
		    strcmp(netaddr_ip(&relay_probe_visit(p, n->visit)->client).s, ip) == 0)
			return true;
	}
	return false;
}

static void
test_every_form_and_every_address(void **state)
{
	static const char *const addresses[] = { "203.0.113.25", "2001:db8::25", "172.17.0.1",
		"2a00::7" };
	struct relay_setup set = play_setup(&postfix);
	struct talk t = { 0 };
	struct relay_probe *p = play(&postfix, &set, 100, &t);
	unsigned everywhere = 0;

	assert_true(relay_nforms >= 20);
	for (size_t i = 0; i < relay_nforms; i++) {
		const struct relay_form *f = &relay_forms[i];

		assert_true(strlen(f->reason) > 10);
		everywhere += f->everywhere;
		for (size_t a = 0; a < 4; a++)
			if ((a == 0 || f->everywhere) && !asked_as(p, f->name, addresses[a]))
				fail_msg("%s was not asked as %s", f->name, addresses[a]);
	}
	assert_in_range(everywhere, 1, 4);	/* fail2ban's default bans at five */
	relay_probe_free(&p);
}

static void
test_what_does_not_end_is_not_green(void **state)
{
	const struct server *s = &postfix;
	struct relay_setup set = play_setup(s);
	struct talk t = { 0 };
	unsigned visits;
	struct relay_probe *p = play(s, &set, 100, &t);

	relay_probe_free(&p);
	visits = t.visits;
	assert_true(visits > 5);
	for (unsigned n = 0; n < visits; n++) {		/* all but the last n */
		struct relay_result r;
		struct relay_visit v;

		p = relay_probe_new(&set);
		for (unsigned i = 0; i < n && relay_probe_next(p, &v); i++)
			play_visit(s, p, &v, 100, &t);
		relay_probe_judge(p, &r);
		assert_int_equal(r.verdict, RELAY_CANNOT_TELL);
		relay_probe_free(&p);
	}
}

/* A bare LF is tried on the control recipient, and only where it is asked for. */
static void
test_bare_lf(void **state)
{
	static const struct {
		const char	*reply;
		bool		 warns;
	} tries[] = {
		{ NULL, false },
		{ "250 2.0.0 Ok: queued as 1\r\n", true },
		{ "554 5.4.0 Error: too many hops\r\n", true },
		{ "521 5.5.2 mx.example.org Error: bare <LF> received\r\n", false },
		{ "421 4.4.2 timeout exceeded\r\n", false },
	};

	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		struct server s = postfix;
		struct relay_setup set = play_setup(&s);
		struct talk t = { 0 };
		struct relay_probe *p;
		struct relay_result r;
		size_t n = 0;

		while (s.lines[n].says != NULL)
			n++;
		s.lines[n] = (struct line){ ANY, "Received: by posthouse-interlock",
			tries[i].reply };
		set.bare_lf = true;
		p = play(&s, &set, 7, &t);
		relay_probe_judge(p, &r);
		assert_true(t.data);
		assert_int_equal(r.verdict, RELAY_GREEN);
		assert_true(r.bare_lf_tried);
		if (r.bare_lf != tries[i].warns)
			fail_msg("%s", tries[i].reply != NULL ? tries[i].reply : "nothing");
		relay_probe_free(&p);
	}
}

/* What a strict server waits for never comes: the message has no CRLF.CRLF. */
static void
test_bare_lf_message_has_no_end(void **state)
{
	struct relay_setup set = play_setup(&postfix);
	struct relay_probe *p;
	struct relay_visit v;
	struct buf out;
	struct span said = { 0 };
	unsigned hops = 0;

	set.bare_lf = true;
	p = relay_probe_new(&set);
	buf_init(&out, 65536);
	while (relay_probe_next(p, &v)) {
		char says[32000] = "";

		relay_probe_begun(p);
		while (relay_probe_want(p) == RELAY_WANT_REPLY &&
		    play_answer(&postfix, &v, 0, says, &out)) {
			relay_probe_heard(p, buf_span(&out));
			said = relay_probe_says(p);
			span_copy(said, says, sizeof(says));
		}
		if (strncmp(says, "Received:", 9) == 0) {
			assert_null(strstr(says, "\r\n.\r\n"));
			assert_non_null(strstr(says, "\n.\n"));
			for (const char *h = says; (h = strstr(h, "Received:")) != NULL; h++)
				hops++;
		}
		relay_probe_over(p, NULL);
		assert_true(strncmp(says, "Received:", 9) != 0 ||
		    relay_probe_want(p) == RELAY_WANT_ABORT);
	}
	assert_true(hops > 100);
	buf_fini(&out);
	relay_probe_free(&p);
}

static void
test_foreign_is_not_ours(void **state)
{
	static const char *const google[] = { "GMail.com" };
	struct relay_setup set = play_setup(&postfix);
	struct talk t = { 0 };
	struct relay_probe *p;

	set.own = google;
	set.nown = 1;
	p = play(&open_relay, &set, 100, &t);
	for (size_t i = 0; i < relay_probe_notes(p); i++)
		assert_null(strstr(relay_probe_note(p, i)->asked, "@gmail.com"));
	relay_probe_free(&p);
}

/* A line that never ends, and one after the other without end, are bounded. */
static void
test_floods(void **state)
{
	static const char *const floods[] = { "2", "250-x\r\n", "\n", "220" };
	struct relay_setup set = play_setup(&postfix);

	for (size_t i = 0; i < sizeof(floods) / sizeof(floods[0]); i++) {
		struct relay_probe *p = relay_probe_new(&set);
		struct relay_result r;
		struct relay_visit v;

		while (relay_probe_next(p, &v)) {
			size_t n = 0;

			relay_probe_begun(p);
			while (relay_probe_want(p) == RELAY_WANT_REPLY) {
				relay_probe_heard(p, span_str(floods[i]));
				assert_true(++n < 10000);
			}
			relay_probe_over(p, NULL);
		}
		relay_probe_judge(p, &r);
		assert_int_equal(r.verdict, RELAY_CANNOT_TELL);
		relay_probe_free(&p);
	}
}

static void
test_too_many_addresses(void **state)
{
	static struct relay_address many[RELAY_ADDRESSES_MAX + 1];
	struct relay_setup set = play_setup(&postfix);
	struct talk t = { 0 };
	struct relay_probe *p;
	struct relay_result r;

	for (size_t i = 0; i <= RELAY_ADDRESSES_MAX; i++)
		netaddr_parse_ip(SPAN_LIT("172.17.0.1"), &many[i].ip);
	set.untrusted = many;
	set.nuntrusted = RELAY_ADDRESSES_MAX + 1;
	p = play(&postfix, &set, 100, &t);
	relay_probe_judge(p, &r);
	assert_int_equal(r.cause, RELAY_TOO_MANY);
	assert_int_equal(r.verdict, RELAY_CANNOT_TELL);
	relay_probe_free(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_form_and_every_address),
		cmocka_unit_test(test_what_does_not_end_is_not_green),
		cmocka_unit_test(test_bare_lf),
		cmocka_unit_test(test_bare_lf_message_has_no_end),
		cmocka_unit_test(test_foreign_is_not_ours),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_too_many_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
