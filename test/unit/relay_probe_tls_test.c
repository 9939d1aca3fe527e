#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Servers that speak TLS or want a password, for all or for some. */
#include "kit/relay_play.h"

#define TLS_TALK	{ IN_TLS, "EHLO", POSTFIX_EHLO }, \
			{ ANY, "EHLO", "250-mx.example.org\r\n250 STARTTLS\r\n" }, \
			{ ANY, "STARTTLS", "220 2.0.0 Ready to start TLS\r\n" }, \
			{ ANY, "MAIL", "250 2.1.0 Ok\r\n" }
#define TLS_FIRST	{ IN_TLS, "EHLO", POSTFIX_EHLO }, \
			{ ANY, "EHLO", "250-mx.example.org\r\n250 STARTTLS\r\n" }, \
			{ ANY, "STARTTLS", "220 2.0.0 Ready to start TLS\r\n" }, \
			{ IN_TLS, "MAIL", "250 2.1.0 Ok\r\n" }, \
			{ ANY, "MAIL", "530 5.7.0 Must issue a STARTTLS command first\r\n" }

static const struct server servers[] = {
	{ "Dovecot's submission asks everyone for a password", {
	    { BARE, "", NULL }, { ANY, "", "220 mx.example.org Dovecot (Debian) ready.\r\n" },
	    { ANY, "EHLO", "250-mx.example.org\r\n250 AUTH PLAIN\r\n" },
	    { ANY, "MAIL", "530 5.7.0 Authentication required.\r\n" }, REST },
	    RELAY_GREEN, .tls = true, .submission = true, .locked = true,
	    .server = RELAY_DOVECOT },
	{ "and names no mechanism before STARTTLS", {
	    { BARE, "", NULL }, { ANY, "", "220 mx.example.org Dovecot (Debian) ready.\r\n" },
	    { IN_TLS, "EHLO", "250-mx.example.org\r\n250 AUTH PLAIN\r\n" },
	    { ANY, "EHLO", "250-mx.example.org\r\n250-AUTH \r\n250 STARTTLS\r\n" },
	    { ANY, "STARTTLS", "220 2.0.0 Begin TLS negotiation now.\r\n" },
	    { ANY, "MAIL", "530 5.7.0 Authentication required.\r\n" }, REST },
	    RELAY_GREEN, .submission = true, .locked = true, .server = RELAY_DOVECOT },
	{ "on port 25 that is no answer", {
	    { BARE, "", NULL }, { ANY, "", "220 mx.example.org Dovecot ready.\r\n" },
	    { ANY, "EHLO", "250-mx.example.org\r\n250 AUTH PLAIN\r\n" },
	    { ANY, "MAIL", "530 5.7.0 Authentication required.\r\n" }, REST },
	    RELAY_CANNOT_TELL, RELAY_NO_CONTROL, "MAIL", .tls = true,
	    .server = RELAY_DOVECOT },
	{ "Postfix's submission after STARTTLS", { POSTFIX_START,
	    { ANY, "EHLO tls", "250-mx.example.org\r\n250 AUTH PLAIN\r\n" },
	    { ANY, "EHLO", "250-mx.example.org\r\n250 STARTTLS\r\n" },
	    { ANY, "STARTTLS", "220 2.0.0 Ready to start TLS\r\n" },
	    { ANY, "MAIL", "250 2.1.0 Ok\r\n" },
	    { ANY, "RCPT", "554 5.7.1 <x>: Recipient address rejected: Access denied\r\n" }, REST },
	    RELAY_GREEN, .submission = true, .locked = true, .server = RELAY_POSTFIX },
	{ "that wants TLS and will not begin it now proves no lock", { POSTFIX_START,
	    { ANY, "EHLO", "250-mx.example.org\r\n250 STARTTLS\r\n" },
	    { ANY, "STARTTLS", "454 4.7.0 TLS not available due to local problem\r\n" },
	    { ANY, "MAIL", "530 5.7.0 Must issue a STARTTLS command first\r\n" }, REST },
	    RELAY_CANNOT_TELL, RELAY_NO_PROOF, "STARTTLS", .submission = true,
	    .server = RELAY_POSTFIX },
	{ "a port for passwords that trusts us in the clear alone", { POSTFIX_START, TLS_TALK,
	    { OURS_CLEAR, "RCPT", "250 2.1.5 Ok\r\n" },
	    { ANY, "RCPT", "530 5.7.0 Authentication required\r\n" }, REST },
	    RELAY_TRUSTS, RELAY_ACCEPTED_OURS, "gmail.com", .submission = true, .locked = true,
	    .server = RELAY_POSTFIX },
	{ "who wants TLS before all is asked in TLS", { POSTFIX_START, TLS_FIRST, POSTFIX_RCPT,
	    REST }, RELAY_GREEN, RELAY_NO_CAUSE, "gmail.com", .server = RELAY_POSTFIX },
	{ "exim's access list may want it of a recipient", { EXIM_START,
	    { IN_TLS, "EHLO", "250-mx.example.org Hello mx1.edge.test [$A]\r\n250 HELP\r\n" },
	    { ANY, "EHLO", "250-mx.example.org Hello mx1.edge.test [$A]\r\n250 STARTTLS\r\n" },
	    { ANY, "STARTTLS", "220 TLS go ahead\r\n" }, EXIM_TALK,
	    { IN_TLS, "RCPT TO:<postmaster@example.org>", "250 Accepted\r\n" },
	    { IN_TLS, "RCPT", "550 relay not permitted\r\n" },
	    { ANY, "RCPT", "550 TLS required\r\n" }, REST },
	    RELAY_GREEN, .server = RELAY_EXIM },
	{ "and caught if it relays there", { POSTFIX_START, TLS_FIRST,
	    { ANY, "RCPT", "250 2.1.5 Ok\r\n" }, REST },
	    RELAY_RELAYS, RELAY_ACCEPTED, "gmail.com", .catch_all = true,
	    .server = RELAY_POSTFIX },
	{ "or relays there for us", { POSTFIX_START, TLS_FIRST,
	    { OURS_IN_TLS, "RCPT", "250 2.1.5 Ok\r\n" }, POSTFIX_RCPT, REST },
	    RELAY_TRUSTS, RELAY_ACCEPTED_OURS, "gmail.com", .server = RELAY_POSTFIX },
	{ "or in the clear for us, who need no TLS", { POSTFIX_START,
	    { OURS_CLEAR, "MAIL", "250 2.1.0 Ok\r\n" },
	    { OURS_CLEAR, "RCPT", "250 2.1.5 Ok\r\n" }, TLS_FIRST, POSTFIX_RCPT, REST },
	    RELAY_TRUSTS, RELAY_ACCEPTED_OURS, "gmail.com", .server = RELAY_POSTFIX },
	{ "or in the clear for who says that he is ours", { POSTFIX_START,
	    { ANY, "MAIL FROM:<postmaster@example.org>", "250 2.1.0 Ok\r\n" },
	    TLS_FIRST, { IN_TLS, "RCPT TO:<postmaster@example.org>", "250 2.1.5 Ok\r\n" },
	    { IN_TLS, "RCPT", "554 5.7.1 Relay access denied\r\n" },
	    { ANY, "RCPT", "250 2.1.5 Ok\r\n" }, REST },
	    RELAY_RELAYS, RELAY_ACCEPTED, "gmail.com", .server = RELAY_POSTFIX },
	{ "who wants TLS and greylists in it proves nothing", { POSTFIX_START, TLS_FIRST,
	    { ANY, "RCPT", "450 4.2.0 Greylisted\r\n" }, REST },
	    RELAY_CANNOT_TELL, RELAY_NO_CONTROL, "alice@example.org", .server = RELAY_POSTFIX },
	{ "nor who wants TLS and then does not begin it", { POSTFIX_START,
	    { ANY, "STARTTLS", "454 4.7.0 TLS not available\r\n" }, TLS_FIRST, POSTFIX_RCPT,
	    REST }, RELAY_CANNOT_TELL, RELAY_NO_PROOF, "STARTTLS", .server = RELAY_POSTFIX },
	{ "nor who wants it and does not offer it", { POSTFIX_START,
	    { ANY, "EHLO", POSTFIX_EHLO }, TLS_FIRST, POSTFIX_RCPT, REST },
	    RELAY_CANNOT_TELL, RELAY_NO_CONTROL, "MAIL FROM", .server = RELAY_POSTFIX },
	{ "nor who wants a password there", { POSTFIX_START,
	    { IN_TLS, "MAIL", "530 5.7.0 Authentication required\r\n" }, TLS_FIRST,
	    POSTFIX_RCPT, REST },
	    RELAY_CANNOT_TELL, RELAY_NO_CONTROL, "MAIL FROM", .server = RELAY_POSTFIX },
	{ "trust may need an address and TLS", { POSTFIX_START, TLS_TALK,
	    { OURS_IN_TLS, "RCPT", "250 2.1.5 Ok\r\n" }, POSTFIX_RCPT, REST },
	    RELAY_TRUSTS, RELAY_ACCEPTED_OURS, "gmail.com", .server = RELAY_POSTFIX },
	{ "and TLS may be for that address alone", { POSTFIX_START,
	    { STRANGER, "EHLO", POSTFIX_EHLO }, TLS_TALK,
	    { OURS_IN_TLS, "RCPT", "250 2.1.5 Ok\r\n" }, POSTFIX_RCPT, REST },
	    RELAY_TRUSTS, RELAY_ACCEPTED_OURS, "gmail.com", .server = RELAY_POSTFIX },
	{ "which is no harm where nobody is trusted", { POSTFIX_START,
	    { OURS, "EHLO", POSTFIX_EHLO }, { OURS, "STARTTLS", "502 5.5.1 no such command\r\n" },
	    TLS_TALK, POSTFIX_RCPT, REST }, RELAY_GREEN, .server = RELAY_POSTFIX },
	{ "who offers TLS to one connection and not to the next", { POSTFIX_START,
	    { FIRST, "EHLO", "250-mx.example.org\r\n250 STARTTLS\r\n" },
	    { ANY, "EHLO", POSTFIX_EHLO }, { ANY, "STARTTLS", "502 5.5.1 no such command\r\n" },
	    POSTFIX_TALK, POSTFIX_RCPT, REST },
	    RELAY_CANNOT_TELL, RELAY_NO_PROOF, "STARTTLS", .server = RELAY_POSTFIX },
	{ "a proxy that ends TLS and keeps the header to itself", { EXIM_START,
	    { IN_TLS, "EHLO", "250 mx.example.org Hello mx1.edge.test [127.0.0.1]\r\n" },
	    { ANY, "EHLO", "250-mx.example.org Hello mx1.edge.test [$A]\r\n250 STARTTLS\r\n" },
	    { ANY, "STARTTLS", "220 TLS go ahead\r\n" }, EXIM_TALK, EXIM_RCPT, REST },
	    RELAY_IGNORES, RELAY_OTHER_ADDRESS, "EHLO", .server = RELAY_EXIM },
	{ "STARTTLS for strangers, who are refused in it too", { POSTFIX_START, TLS_TALK,
	    POSTFIX_RCPT, REST }, RELAY_GREEN, .server = RELAY_POSTFIX },
	{ "who relays for whoever speaks TLS", { POSTFIX_START, TLS_TALK,
	    { IN_TLS, "RCPT", "250 2.1.5 Ok\r\n" }, POSTFIX_RCPT, REST },
	    RELAY_RELAYS, RELAY_ACCEPTED, "gmail.com", .server = RELAY_POSTFIX },
	{ "XCLIENT for whoever speaks TLS", { POSTFIX_START,
	    { IN_TLS, "EHLO", "250-mx.example.org\r\n250 XCLIENT NAME ADDR\r\n" }, TLS_TALK,
	    POSTFIX_RCPT, REST },
	    RELAY_TRUSTS, RELAY_OFFERS_XCLIENT, "EHLO", .server = RELAY_POSTFIX },
	{ "what was not asked in TLS is not known", { POSTFIX_START,
	    { ANY, "STARTTLS", "454 4.7.0 too many new TLS sessions\r\n" }, TLS_TALK,
	    POSTFIX_RCPT, REST },
	    RELAY_CANNOT_TELL, RELAY_NO_PROOF, "STARTTLS", .server = RELAY_POSTFIX },
	{ "nor what ended with the handshake", { POSTFIX_START,
	    { IN_TLS, "", NULL }, { IN_TLS, "EHLO", NULL }, TLS_TALK, POSTFIX_RCPT, REST },
	    RELAY_CANNOT_TELL, RELAY_NO_ANSWER, .server = RELAY_POSTFIX },
	{ "a block list is no lock", { POSTFIX_START,
	    { ANY, "EHLO", "250-mx.example.org\r\n250 AUTH PLAIN\r\n" },
	    { ANY, "MAIL", "250 2.1.0 Ok\r\n" },
	    { ANY, "RCPT", "554 5.7.1 Service unavailable; Client host blocked\r\n" }, REST },
	    RELAY_CANNOT_TELL, RELAY_NO_CONTROL, "RCPT", .submission = true, .tls = true,
	    .server = RELAY_POSTFIX },
	{ "locked for strangers, open to who says that he is ours", { POSTFIX_START,
	    { ANY, "EHLO", "250-mx.example.org\r\n250 AUTH PLAIN\r\n" },
	    { ANY, "MAIL FROM:<postmaster@example.org>", "250 2.1.0 Ok\r\n" },
	    { ANY, "MAIL", "530 5.7.0 Authentication required\r\n" },
	    { ANY, "RCPT", "250 2.1.5 Ok\r\n" }, REST },
	    RELAY_RELAYS, RELAY_ACCEPTED, "gmail.com", .submission = true, .tls = true,
	    .locked = true, .server = RELAY_POSTFIX },
	{ "a lock that was not tried to the end is none", { POSTFIX_START,
	    { ANY, "EHLO", "250-mx.example.org\r\n250 AUTH PLAIN\r\n" },
	    { ANY, "MAIL", "250 2.1.0 Ok\r\n" }, { ANY, "RCPT TO:<posthouse", NULL },
	    { ANY, "RCPT", "554 5.7.1 <x>: Recipient address rejected: Access denied\r\n" }, REST },
	    RELAY_CANNOT_TELL, RELAY_NO_ANSWER, .submission = true, .tls = true,
	    .locked = true, .server = RELAY_POSTFIX },
	{ "locked for strangers, open to us", { POSTFIX_START,
	    { ANY, "EHLO", "250-mx.example.org\r\n250 AUTH PLAIN\r\n" },
	    { ANY, "MAIL", "250 2.1.0 Ok\r\n" }, { OURS, "RCPT", "250 2.1.5 Ok\r\n" },
	    { ANY, "RCPT", "554 5.7.1 <x>: Recipient address rejected: Access denied\r\n" }, REST },
	    RELAY_TRUSTS, RELAY_ACCEPTED_OURS, "gmail.com", .submission = true, .tls = true,
	    .locked = true, .server = RELAY_POSTFIX },
};

static void
test_servers(void **state)
{
	play_all(servers, sizeof(servers) / sizeof(servers[0]));
}

/* Where STARTTLS makes two ways of it, in both; and not too often as an address of ours. */
static void
test_both_ways_as_every_address(void **state)
{
	static const struct server s = {
		.lines = { POSTFIX_START, TLS_TALK, POSTFIX_RCPT, REST },
	};
	struct relay_setup set = play_setup(&s);
	struct talk t = { 0 };
	struct relay_probe *p = play(&s, &set, 100, &t);
	unsigned visits = 0, refused = 0;

	for (size_t i = 0; i < relay_probe_notes(p); i++) {
		const struct relay_note *n = relay_probe_note(p, i);
		const struct relay_visit *v = relay_probe_visit(p, n->visit);

		if (v->stranger || v->header != RELAY_PROPER ||
		    strcmp(netaddr_ip(&v->client).s, "172.17.0.1") != 0)
			continue;
		visits += strcmp(n->asked, "MAIL FROM:<postmaster@example.org>") == 0;
		refused += n->form != NULL;
	}
	assert_int_equal(visits, 2);
	assert_int_equal(refused, 4);
	relay_probe_free(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_servers),
		cmocka_unit_test(test_both_ways_as_every_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
