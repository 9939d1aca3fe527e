#include "proto/relay_probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "proto/relay_advice.h"

/*
 * Servers as tables: to what a client says, the first line that fits is the answer.
 * The replies are as Postfix 3.7, exim 4.96 and OpenSMTPD 6.8 gave them.
 */
enum who {
	ANY = 0,
	STRANGER,		/* a documentation address */
	OURS,			/* one that must not be trusted */
	BARE,			/* no header, or a broken one */
	LATER,			/* once a recipient was asked for in this connection */
	IN_TLS,			/* that STARTTLS began */
	OURS_IN_TLS,
	OURS_CLEAR,
	FIRST,			/* of all connections */
	AS_US,			/* it says in EHLO that it is one of us */
};

struct line {
	enum who	 who;
	const char	*says;		/* how it begins; "" the greeting */
	const char	*answer;	/* NULL: it ends; $A: the client's address */
};

#define POSTFIX_EHLO	"250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n" \
			"250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 CHUNKING\r\n"
#define POSTFIX_START	{ BARE, "", "421 4.3.0 mx.example.org Server local error\r\n" }, \
			{ ANY, "", "220 mx.example.org ESMTP Postfix (Debian/GNU)\r\n" }
#define POSTFIX_TALK	{ ANY, "EHLO", POSTFIX_EHLO }, \
			{ ANY, "MAIL", "250 2.1.0 Ok\r\n" }
#define POSTFIX_RCPT	{ ANY, "RCPT TO:<postmaster@example.org>", "250 2.1.5 Ok\r\n" }, \
			{ ANY, "RCPT TO:<posthouse-0102", "550 5.1.1 User unknown\r\n" }, \
			{ ANY, "RCPT", "454 4.7.1 <x>: Relay access denied\r\n" }
#define TLS_TALK	{ IN_TLS, "EHLO", POSTFIX_EHLO }, \
			{ ANY, "EHLO", "250-mx.example.org\r\n250 STARTTLS\r\n" }, \
			{ ANY, "STARTTLS", "220 2.0.0 Ready to start TLS\r\n" }, \
			{ ANY, "MAIL", "250 2.1.0 Ok\r\n" }
#define TLS_FIRST	{ IN_TLS, "EHLO", POSTFIX_EHLO }, \
			{ ANY, "EHLO", "250-mx.example.org\r\n250 STARTTLS\r\n" }, \
			{ ANY, "STARTTLS", "220 2.0.0 Ready to start TLS\r\n" }, \
			{ IN_TLS, "MAIL", "250 2.1.0 Ok\r\n" }, \
			{ ANY, "MAIL", "530 5.7.0 Must issue a STARTTLS command first\r\n" }
#define EXIM_START	{ ANY, "", "220 mx.example.org ESMTP Exim 4.96\r\n" }
#define EXIM_TALK	{ ANY, "MAIL", "250 OK\r\n" }
#define EXIM_RCPT	{ ANY, "RCPT TO:<postmaster@example.org>", "250 Accepted\r\n" }, \
			{ ANY, "RCPT", "550 relay not permitted\r\n" }
#define REST		{ ANY, "RSET", "250 2.0.0 Ok\r\n" }, \
			{ ANY, "QUIT", "221 2.0.0 Bye\r\n" }, \
			{ ANY, "DATA", "354 End data with <CR><LF>.<CR><LF>\r\n" }

static const struct server {
	const char	*rule;
	struct line	 lines[24];
	enum relay_verdict verdict;
	enum relay_cause cause;
	const char	*evidence;	/* in what was asked */
	unsigned	 version;	/* 0: 2 */
	bool		 no_header, submission, tls, catch_all, locked;
	enum relay_server server;
} servers[] = {
	{ "Postfix behind PROXY is opened", { POSTFIX_START, POSTFIX_TALK, POSTFIX_RCPT, REST },
	    RELAY_GREEN, RELAY_NO_CAUSE, "posthouse-interlock@gmail.com",
	    .server = RELAY_POSTFIX },
	{ "exim names the address and is opened", { EXIM_START,
	    { ANY, "EHLO", "250-mx.example.org Hello mx1.edge.test [$A]\r\n250 HELP\r\n" },
	    EXIM_TALK, EXIM_RCPT, REST },
	    RELAY_GREEN, .server = RELAY_EXIM },
	{ "OpenSMTPD names it without a banner", { { ANY, "", "220 mx ready\r\n" },
	    { ANY, "EHLO", "250-mx Hello mx1.edge.test [$A], pleased to meet you\r\n250 HELP\r\n" },
	    EXIM_TALK, EXIM_RCPT, REST },
	    RELAY_GREEN, .server = RELAY_OPENSMTPD },
	{ "who takes everything relays", { POSTFIX_START, POSTFIX_TALK,
	    { ANY, "RCPT", "250 2.1.5 Ok\r\n" }, REST },
	    RELAY_RELAYS, RELAY_ACCEPTED, "posthouse-interlock@gmail.com", .catch_all = true,
	    .server = RELAY_POSTFIX },
	{ "so does who lets postmaster@ through", { POSTFIX_START, POSTFIX_TALK,
	    { ANY, "RCPT TO:<postmaster@gmail.com>", "250 2.1.5 Ok\r\n" }, POSTFIX_RCPT, REST },
	    RELAY_RELAYS, RELAY_ACCEPTED, "postmaster@gmail.com", .server = RELAY_POSTFIX },
	{ "and who routes the local part on", { POSTFIX_START, POSTFIX_TALK,
	    { ANY, "RCPT TO:<posthouse-interlock%gmail.com@example.org>", "250 2.1.5 Ok\r\n" },
	    POSTFIX_RCPT, REST },
	    RELAY_RELAYS, RELAY_ACCEPTED, "%gmail.com@example.org", .server = RELAY_POSTFIX },
	{ "unless it takes every local part", { POSTFIX_START, POSTFIX_TALK,
	    { ANY, "RCPT TO:<posthouse-interlock%gmail.com@example.org>", "250 2.1.5 Ok\r\n" },
	    { ANY, "RCPT TO:<posthouse-0102", "250 2.1.5 Ok\r\n" }, POSTFIX_RCPT, REST },
	    RELAY_GREEN, .catch_all = true, .server = RELAY_POSTFIX },
	{ "but what is not ours is not excused by that", { POSTFIX_START, POSTFIX_TALK,
	    { ANY, "RCPT TO:<@example.org,@gmail.com:", "250 2.1.5 Ok\r\n" },
	    { ANY, "RCPT TO:<posthouse-0102", "250 2.1.5 Ok\r\n" }, POSTFIX_RCPT, REST },
	    RELAY_RELAYS, RELAY_ACCEPTED, "@example.org,@gmail.com:", .server = RELAY_POSTFIX },
	{ "who relays for our own address trusts the tunnel", { POSTFIX_START, POSTFIX_TALK,
	    { OURS, "RCPT", "250 2.1.5 Ok\r\n" }, POSTFIX_RCPT, REST },
	    RELAY_TRUSTS, RELAY_ACCEPTED_OURS, "gmail.com", .server = RELAY_POSTFIX },
	{ "XCLIENT for an address of ours", { POSTFIX_START,
	    { OURS, "EHLO", "250-mx.example.org\r\n250 XCLIENT NAME ADDR\r\n" }, POSTFIX_TALK,
	    POSTFIX_RCPT, REST },
	    RELAY_TRUSTS, RELAY_OFFERS_XCLIENT, "EHLO", .server = RELAY_POSTFIX },
	{ "XFORWARD, in whatever case", { POSTFIX_START,
	    { ANY, "EHLO", "250-mx.example.org\r\n250-xforward name\r\n250 HELP\r\n" },
	    POSTFIX_TALK, POSTFIX_RCPT, REST },
	    RELAY_TRUSTS, RELAY_OFFERS_XFORWARD, "EHLO", .server = RELAY_POSTFIX },
	{ "AUTH without TLS", { POSTFIX_START,
	    { ANY, "EHLO", "250-mx.example.org\r\n250-AUTH=LOGIN PLAIN\r\n250 HELP\r\n" },
	    POSTFIX_TALK, POSTFIX_RCPT, REST },
	    RELAY_TRUSTS, RELAY_OFFERS_AUTH, "EHLO", .server = RELAY_POSTFIX },
	{ "AUTH within TLS is as it should be", { POSTFIX_START,
	    { ANY, "EHLO", "250-mx.example.org\r\n250-AUTH PLAIN\r\n250 HELP\r\n" },
	    POSTFIX_TALK, POSTFIX_RCPT, REST },
	    RELAY_GREEN, .tls = true, .server = RELAY_POSTFIX },
	{ "Postfix without PROXY: the header's QUIT ends it", {
	    { ANY, "", "220 mx.example.org ESMTP Postfix\r\n" },
	    { BARE, "EHLO", POSTFIX_EHLO }, { ANY, "EHLO", "500 5.5.2 Error: bad syntax\r\n" },
	    { BARE, "MAIL", "250 2.1.0 Ok\r\n" }, { BARE, "RCPT", "250 2.1.5 Ok\r\n" }, REST },
	    RELAY_IGNORES, RELAY_NO_HEADER_NEEDED, "EHLO", .server = RELAY_POSTFIX },
	{ "the same with version 1: its answers come one late", {
	    { BARE, "", "220 mx.example.org ESMTP Postfix\r\n" },
	    { ANY, "", "220 mx.example.org ESMTP Postfix\r\n502 5.5.2 Error: command not "
	    "recognized\r\n" }, POSTFIX_TALK, { ANY, "RCPT", "250 2.1.5 Ok\r\n" }, REST },
	    RELAY_IGNORES, RELAY_NO_HEADER_NEEDED, "EHLO", .version = 1,
	    .server = RELAY_POSTFIX },
	{ "a server that serves with and without a header", {
	    { ANY, "", "220 mx.example.org ESMTP\r\n" }, POSTFIX_TALK, POSTFIX_RCPT, REST },
	    RELAY_IGNORES, RELAY_NO_HEADER_NEEDED, "EHLO", .server = RELAY_UNKNOWN_SERVER },
	{ "a server that greets without a header and serves nobody", {
	    { ANY, "", "220 mx.example.org ESMTP\r\n" },
	    { BARE, "EHLO", "503 Command refused, required Proxy negotiation failed\r\n" },
	    POSTFIX_TALK, POSTFIX_RCPT, REST }, RELAY_GREEN, .server = RELAY_UNKNOWN_SERVER },
	{ "a proxy in between that keeps the header to itself", { EXIM_START,
	    { ANY, "EHLO", "250 mx.example.org Hello mx1.edge.test [127.0.0.1]\r\n" },
	    EXIM_TALK, EXIM_RCPT, REST },
	    RELAY_IGNORES, RELAY_OTHER_ADDRESS, "EHLO", .server = RELAY_EXIM },
	{ "its own name may be an address", { EXIM_START,
	    { ANY, "EHLO", "250 [198.51.100.3] Hello mx1.edge.test [$A]\r\n" },
	    EXIM_TALK, EXIM_RCPT, REST },
	    RELAY_GREEN, .server = RELAY_EXIM },
	{ "a server for version 2, sent version 1", { { BARE, "", NULL },
	    { ANY, "", "220 mx.example.org ESMTP OpenSMTPD\r\n" },
	    { ANY, "EHLO", "250 mx Hello mx1.edge.test [$A], pleased to meet you\r\n" },
	    EXIM_TALK, EXIM_RCPT, REST },
	    RELAY_EXPECTS, RELAY_OTHER_HEADER, "EHLO", .version = 1,
	    .server = RELAY_OPENSMTPD },
	{ "a server for PROXY, sent none", { POSTFIX_START, POSTFIX_TALK, POSTFIX_RCPT, REST },
	    RELAY_EXPECTS, RELAY_HEADER_WANTED, "EHLO", .no_header = true,
	    .server = RELAY_POSTFIX },
	{ "a server without PROXY, sent none, is never cleared", {
	    { ANY, "", "220 mx.example.org ESMTP Postfix\r\n" }, POSTFIX_TALK, POSTFIX_RCPT, REST },
	    RELAY_IGNORES, RELAY_NO_HEADER_NEEDED, "EHLO", .no_header = true,
	    .server = RELAY_POSTFIX },
	{ "greylisting proves nothing", { POSTFIX_START, POSTFIX_TALK,
	    { ANY, "RCPT", "450 4.2.0 <x>: Recipient address rejected: Greylisted\r\n" }, REST },
	    RELAY_CANNOT_TELL, RELAY_NO_CONTROL, "alice@example.org",
	    .server = RELAY_POSTFIX },
	{ "nor does a block list of addresses that nobody has", { POSTFIX_START, POSTFIX_TALK,
	    { ANY, "RCPT", "554 5.7.1 Service unavailable; Client host [$A] blocked\r\n" },
	    REST },
	    RELAY_CANNOT_TELL, RELAY_NO_CONTROL, "alice@example.org",
	    .server = RELAY_POSTFIX },
	{ "nor one that looks at home's addresses only", { POSTFIX_START, POSTFIX_TALK,
	    { OURS, "RCPT", "554 5.7.1 Client host blocked\r\n" }, POSTFIX_RCPT, REST },
	    RELAY_CANNOT_TELL, RELAY_NO_CONTROL, "postmaster@example.org",
	    .server = RELAY_POSTFIX },
	{ "nor a server that refuses our own recipient as well, after a while", { POSTFIX_START,
	    POSTFIX_TALK, { LATER, "RCPT", "550 5.7.1 too many recipients\r\n" }, POSTFIX_RCPT,
	    REST },
	    RELAY_CANNOT_TELL, RELAY_NO_CONTROL, "postmaster@example.org",
	    .server = RELAY_POSTFIX },
	{ "nor a foreign recipient that is deferred", { POSTFIX_START, POSTFIX_TALK,
	    { ANY, "RCPT TO:<abuse@", "451 4.3.0 Try again\r\n" }, POSTFIX_RCPT, REST },
	    RELAY_CANNOT_TELL, RELAY_NO_PROOF, "abuse@gmail.com", .server = RELAY_POSTFIX },
	{ "454 without 4.7.1 is deferred, too", { POSTFIX_START, POSTFIX_TALK,
	    { ANY, "RCPT TO:<abuse@", "454 4.3.0 Try again\r\n" }, POSTFIX_RCPT, REST },
	    RELAY_CANNOT_TELL, RELAY_NO_PROOF, "abuse@gmail.com", .server = RELAY_POSTFIX },
	{ "nor a domain that its DNS does not know", { POSTFIX_START, POSTFIX_TALK,
	    { ANY, "RCPT TO:<posthouse-interlock@gmail.com>",
	    "550 5.1.2 <x@gmail.com>: Recipient address rejected: Domain not found\r\n" },
	    POSTFIX_RCPT, REST },
	    RELAY_CANNOT_TELL, RELAY_NO_PROOF, "posthouse-interlock@gmail.com",
	    .server = RELAY_POSTFIX },
	{ "5.1.2 that speaks of relaying is a refusal", { POSTFIX_START, POSTFIX_TALK,
	    { ANY, "RCPT TO:<posthouse-interlock@gmail.com>", "550 5.1.2 Relay not allowed.\r\n" },
	    POSTFIX_RCPT, REST }, RELAY_GREEN, .server = RELAY_POSTFIX },
	{ "a stranger's sender is refused", { POSTFIX_START, { ANY, "EHLO", POSTFIX_EHLO },
	    { ANY, "MAIL", "450 4.1.8 Sender address rejected: Domain not found\r\n" }, REST },
	    RELAY_CANNOT_TELL, RELAY_NO_CONTROL, "MAIL FROM", .server = RELAY_POSTFIX },
	{ "our own domain as a sender may be refused", { POSTFIX_START,
	    { ANY, "MAIL FROM:<postmaster@example.org>", "553 5.7.1 not logged in\r\n" },
	    POSTFIX_TALK, POSTFIX_RCPT, REST }, RELAY_GREEN, .server = RELAY_POSTFIX },
	{ "but not deferred", { POSTFIX_START,
	    { ANY, "MAIL FROM:<postmaster@example.org>", "451 4.7.1 later\r\n" },
	    POSTFIX_TALK, POSTFIX_RCPT, REST },
	    RELAY_CANNOT_TELL, RELAY_NO_PROOF, "MAIL FROM:<postmaster@example.org>",
	    .server = RELAY_POSTFIX },
	{ "it hangs up in the middle", { POSTFIX_START, POSTFIX_TALK,
	    { ANY, "RCPT TO:<abuse@", NULL }, POSTFIX_RCPT, REST },
	    RELAY_CANNOT_TELL, RELAY_NO_ANSWER, "abuse@", .server = RELAY_POSTFIX },
	{ "it has had enough of us", { POSTFIX_START, POSTFIX_TALK,
	    { ANY, "RCPT TO:<abuse@", "421 4.7.0 Error: too many errors\r\n" }, POSTFIX_RCPT,
	    REST },
	    RELAY_CANNOT_TELL, RELAY_NO_PROOF, "abuse@", .server = RELAY_POSTFIX },
	{ "nobody answers", { { ANY, "", NULL } }, RELAY_CANNOT_TELL, RELAY_NO_ANSWER,
	    .server = RELAY_UNKNOWN_SERVER },
	{ "it has a connection limit", { { ANY, "", "421 4.7.0 Too many connections\r\n" } },
	    RELAY_CANNOT_TELL, RELAY_NO_ANSWER,
	    .server = RELAY_UNKNOWN_SERVER },
	{ "what is no SMTP is not opened either", {
	    { ANY, "", "220 ftp.example.org FTP server ready\r\n" },
	    { ANY, "EHLO", "500 unknown command\r\n" }, REST },
	    RELAY_CANNOT_TELL, RELAY_NO_ANSWER,
	    .server = RELAY_UNKNOWN_SERVER },
	{ "codes that differ within a reply", { { ANY, "", "220-a\r\n250 b\r\n" } },
	    RELAY_CANNOT_TELL, RELAY_NO_ANSWER,
	    .server = RELAY_UNKNOWN_SERVER },
	{ "noise", { { ANY, "", "\x16\x03\x01 no\n" } }, RELAY_CANNOT_TELL, RELAY_NO_ANSWER,
	    .server = RELAY_UNKNOWN_SERVER },
	{ "Dovecot's submission asks everyone for a password", {
	    { BARE, "", NULL }, { ANY, "", "220 mx.example.org Dovecot (Debian) ready.\r\n" },
	    { ANY, "EHLO", "250-mx.example.org\r\n250 AUTH PLAIN\r\n" },
	    { ANY, "MAIL", "530 5.7.0 Authentication required.\r\n" }, REST },
	    RELAY_GREEN, .tls = true, .submission = true, .locked = true,
	    .server = RELAY_DOVECOT },
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
	{ "who relays for a name in EHLO", { POSTFIX_START, POSTFIX_TALK,
	    { AS_US, "RCPT", "250 2.1.5 Ok\r\n" }, POSTFIX_RCPT, REST },
	    RELAY_RELAYS, RELAY_ACCEPTED, "gmail.com", .server = RELAY_POSTFIX },
	{ "for such a name no mail need be taken at all", { POSTFIX_START,
	    { AS_US, "MAIL", "550 5.7.1 that is my name\r\n" }, POSTFIX_TALK, POSTFIX_RCPT, REST },
	    RELAY_GREEN, .server = RELAY_POSTFIX },
	{ "nor anybody be served", { POSTFIX_START,
	    { AS_US, "EHLO", "550 5.7.1 that is my name\r\n" }, POSTFIX_TALK, POSTFIX_RCPT, REST },
	    RELAY_GREEN, .server = RELAY_POSTFIX },
	{ "but put off it proves nothing", { POSTFIX_START,
	    { AS_US, "EHLO", "450 4.7.1 later\r\n" }, POSTFIX_TALK, POSTFIX_RCPT, REST },
	    RELAY_CANNOT_TELL, RELAY_NO_ANSWER, .server = RELAY_POSTFIX },
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

/* --- playing --------------------------------------------------------------------------------- */

static const char *const own[] = { "example.org", "example.net" };

static struct relay_setup
setup(const struct server *s)
{
	static struct relay_address ours[2] = { { .whose = "home's own" },
		{ .whose = "edge mx1" } };
	struct relay_setup set = { .version = s->no_header ? 0 : s->version ? s->version : 2,
		.own = own, .nown = 2, .ncontrols = 2,
		.controls = { "postmaster@example.org", "alice@example.org" },
		.untrusted = ours, .nuntrusted = 2, .helo = "mx1.edge.test",
		.submission = s->submission, .tls = s->tls, .nonce = { 1, 2, 3 } };

	assert_true(netaddr_parse_ip(SPAN_LIT("172.17.0.1"), &ours[0].ip));
	assert_true(netaddr_parse_ip(SPAN_LIT("2a00::7"), &ours[1].ip));
	assert_true(netaddr_parse_ip(SPAN_LIT("127.0.0.1"), &set.backend));
	return set;
}

/* Servers that know version 2 alone do not see a header of version 1. */
static enum who
who(const struct server *s, const struct relay_visit *v)
{
	if (v->header != RELAY_PROPER || (s->cause == RELAY_OTHER_HEADER && v->version == 1))
		return BARE;
	return v->stranger ? STRANGER : OURS;
}

struct talk {
	unsigned	 rcpts, most, visits;
	bool		 data, tls, as_us;
};

static bool
fits(enum who whom, enum who is, const struct talk *t)
{
	switch (whom) {
	case ANY:
		return true;
	case LATER:
		return t->rcpts >= 2;
	case IN_TLS:
		return t->tls;
	case OURS_IN_TLS:
		return is == OURS && t->tls;
	case OURS_CLEAR:
		return is == OURS && !t->tls;
	case FIRST:
		return t->visits == 1;
	case AS_US:
		return t->as_us;
	default:
		return whom == is;
	}
}

static bool
answer(const struct server *s, const struct relay_visit *v, const struct talk *t,
    const char *says, struct buf *out)
{
	enum who is = who(s, v);

	buf_clear(out);
	for (const struct line *l = s->lines; l->says != NULL; l++) {
		if (!fits(l->who, is, t) ||
		    (l->says[0] == '\0') != (says[0] == '\0') ||
		    strncmp(says, l->says, strlen(l->says)) != 0)
			continue;
		for (const char *p = l->answer; p != NULL && *p != '\0'; p++)
			if (p[0] == '$' && p[1] == 'A') {
				buf_add_str(out, netaddr_ip(&v->client).s);
				p++;
			} else
				buf_add(out, p, 1);
		return l->answer != NULL;
	}
	return false;
}

static void
look(const struct server *s, struct talk *t, const char *says)
{
	if (strncmp(says, "RCPT", 4) == 0 && ++t->rcpts > t->most)
		t->most = t->rcpts;
	if (strncmp(says, "EHLO", 4) == 0)
		t->as_us = strstr(says, "edge.test") == NULL;
	if (strncmp(says, "DATA", 4) == 0)
		t->data = true;
}

/* One connection, its answers in pieces of so many octets. */
static void
visit(const struct server *s, struct relay_probe *p, const struct relay_visit *v, size_t piece,
    struct talk *t)
{
	struct why gone = { "the peer closed the connection" };
	struct buf out;
	char says[8192] = "";
	bool ends = false;

	buf_init(&out, 65536);
	t->rcpts = 0;
	t->tls = false;
	relay_probe_begun(p);
	while (!ends && relay_probe_want(p) == RELAY_WANT_REPLY) {
		size_t at = 0;

		ends = !answer(s, v, t, says, &out);
		while (at < out.n && relay_probe_want(p) == RELAY_WANT_REPLY) {
			size_t n = out.n - at < piece ? out.n - at : piece;
			struct span said;

			at += relay_probe_heard(p, span_of(out.p + at, n));
			said = relay_probe_says(p);
			if (said.n == 0)
				continue;
			span_copy(said, says, sizeof(says));
			look(s, t, says);
			if (t->tls && strncmp(says, "EHLO", 4) == 0)
				memcpy(says, "EHLO tls", 8);
		}
		if (relay_probe_want(p) == RELAY_WANT_TLS) {
			t->tls = true;
			relay_probe_secured(p);
			span_copy(relay_probe_says(p), says, sizeof(says));
			memcpy(says, "EHLO tls", 8);
		}
	}
	relay_probe_over(p, ends ? &gone : NULL);
	buf_fini(&out);
}

static struct relay_probe *
play(const struct server *s, const struct relay_setup *set, size_t piece, struct talk *t)
{
	struct relay_probe *p = relay_probe_new(set);
	struct relay_visit v;

	assert_non_null(p);
	while (relay_probe_next(p, &v)) {
		assert_true(++t->visits <= RELAY_VISITS_MAX);
		visit(s, p, &v, piece, t);
	}
	return p;
}

static void
test_servers(void **state)
{
	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++)
		for (size_t piece = 1; piece < 200; piece += piece < 20 ? 1 : 60) {
			const struct server *s = &servers[i];
			struct relay_setup set = setup(s);
			struct talk t = { 0 };
			struct relay_probe *p = play(s, &set, piece, &t);
			struct relay_result r;

			relay_probe_judge(p, &r);
			if (r.verdict != s->verdict || r.cause != s->cause ||
			    r.server != s->server || r.locked != s->locked ||
			    r.catch_all != s->catch_all)
				fail_msg("%s (pieces of %zu): %s, cause %d, server %d, locked %d, "
				    "catch-all %d; %s -> %s", s->rule, piece,
				    relay_verdict_name(r.verdict), r.cause, r.server, r.locked,
				    r.catch_all, r.evidence ? r.evidence->asked : "",
				    r.evidence ? r.evidence->answered : "");
			if (s->evidence != NULL && (r.evidence == NULL ||
			    strstr(r.evidence->asked, s->evidence) == NULL))
				fail_msg("%s: evidence %s -> %s", s->rule,
				    r.evidence ? r.evidence->asked : "none",
				    r.evidence ? r.evidence->answered : "");
			if (t.most > RELAY_RCPTS_MAX || t.data)
				fail_msg("%s: %u RCPT in a connection%s", s->rule, t.most,
				    t.data ? ", and DATA" : "");
			relay_probe_free(&p);
		}
}

/* Where STARTTLS makes two ways of it, in both; and not too often as an address of ours. */
static void
test_both_ways_as_every_address(void **state)
{
	const struct server *s = NULL;
	struct relay_setup set;
	struct talk t = { 0 };
	struct relay_probe *p;
	unsigned visits = 0, refused = 0;

	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++)
		if (strncmp(servers[i].rule, "STARTTLS for strangers, who are", 31) == 0)
			s = &servers[i];
	assert_non_null(s);
	set = setup(s);
	p = play(s, &set, 100, &t);
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
	struct relay_setup set = setup(&servers[0]);
	struct talk t = { 0 };
	struct relay_probe *p = play(&servers[0], &set, 100, &t);
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
	const struct server *s = &servers[0];
	struct relay_setup set = setup(s);
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
			visit(s, p, &v, 100, &t);
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
		struct server s = servers[0];
		struct relay_setup set = setup(&s);
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
	struct relay_setup set = setup(&servers[0]);
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
		    answer(&servers[0], &v, 0, says, &out)) {
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
	struct relay_setup set = setup(&servers[0]);
	struct talk t = { 0 };
	struct relay_probe *p;

	set.own = google;
	set.nown = 1;
	p = play(&servers[3], &set, 100, &t);
	for (size_t i = 0; i < relay_probe_notes(p); i++)
		assert_null(strstr(relay_probe_note(p, i)->asked, "@gmail.com"));
	relay_probe_free(&p);
}

/* A line that never ends, and one after the other without end, are bounded. */
static void
test_floods(void **state)
{
	static const char *const floods[] = { "2", "250-x\r\n", "\n", "220" };
	struct relay_setup set = setup(&servers[0]);

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
	struct relay_setup set = setup(&servers[0]);
	struct talk t = { 0 };
	struct relay_probe *p;
	struct relay_result r;

	for (size_t i = 0; i <= RELAY_ADDRESSES_MAX; i++)
		netaddr_parse_ip(SPAN_LIT("172.17.0.1"), &many[i].ip);
	set.untrusted = many;
	set.nuntrusted = RELAY_ADDRESSES_MAX + 1;
	p = play(&servers[0], &set, 100, &t);
	relay_probe_judge(p, &r);
	assert_int_equal(r.cause, RELAY_TOO_MANY);
	assert_int_equal(r.verdict, RELAY_CANNOT_TELL);
	relay_probe_free(&p);
}

/* Every verdict but green says what to change; an unknown server's says it for all. */
static void
test_advice(void **state)
{
	struct relay_visit v = { .version = 2 };
	struct buf out;

	assert_true(netaddr_parse_ip(SPAN_LIT("172.17.0.1"), &v.client));
	buf_init(&out, 65536);
	for (int c = RELAY_NO_CAUSE + 1; c < RELAY_CAUSES; c++) {
		struct relay_result r = { .cause = (enum relay_cause)c };

		assert_true(relay_advice(&r, 0, &v, &out));
		assert_true(strlen(relay_cause_words(r.cause)) > 10);
	}
	assert_null(memmem(out.p, out.n, "$A", 2));
	assert_null(memmem(out.p, out.n, "$V", 2));
	for (int s = RELAY_POSTFIX; s < RELAY_SERVERS; s++) {
		struct relay_result r = { .cause = RELAY_ACCEPTED_OURS,
			.server = (enum relay_server)s };

		buf_clear(&out);
		assert_true(relay_advice(&r, 0, &v, &out));
		assert_non_null(memmem(out.p, out.n, "172.17.0.1", 10));
		assert_int_equal(strncmp(out.p, relay_server_name(r.server),
		    strlen(relay_server_name(r.server))), 0);
		assert_false(relay_advice(&r, 1, &v, &out));
	}
	struct relay_result unknown = { .cause = RELAY_ACCEPTED };
	size_t n = 0;

	while (relay_advice(&unknown, n, &v, &out))
		n++;
	assert_int_equal(n, RELAY_SERVERS - 1);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_servers),
		cmocka_unit_test(test_every_form_and_every_address),
		cmocka_unit_test(test_both_ways_as_every_address),
		cmocka_unit_test(test_what_does_not_end_is_not_green),
		cmocka_unit_test(test_bare_lf),
		cmocka_unit_test(test_bare_lf_message_has_no_end),
		cmocka_unit_test(test_foreign_is_not_ours),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_too_many_addresses),
		cmocka_unit_test(test_advice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
