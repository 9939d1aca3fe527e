/* XCLIENT: who may speak for another, when, and what is left of the session before it. */
#include "smtp_talks.h"

#include <stddef.h>

#define IN	(AUTH | XCLIENT | IN_TLS)
#define LOGIN	"AUTH PLAIN AHdvcmtlcgBvcGVuIHNlc2FtZQ==\r\n"	/* \0worker\0open sesame */
#define WRONG	"AUTH PLAIN AHdvcmtlcgBub3RoaW5n\r\n"		/* \0worker\0nothing */
#define X	"XCLIENT ADDR=1.2.3.4\r\n"
#define FIXED	"250-mx.test\r\n250-PIPELINING\r\n250-SIZE 100\r\n250-8BITMIME\r\n250-CHUNKING\r\n"
#define GREETS	"220 mx.test ESMTP Posthouse\r\n"

const struct talk xclient_talks[] = {
	/* What is offered. */
	{ "offered after a login, and for as long as it lasts", FULL | IN, E LOGIN E X E,
	    GREETS FIXED "250-AUTH PLAIN LOGIN\r\n250 ENHANCEDSTATUSCODES\r\n"
	    "235 2.7.0 Welcome\r\n"
	    FIXED "250-XCLIENT ADDR PROTO HELO\r\n250 ENHANCEDSTATUSCODES\r\n"
	    GREETS FIXED "250-XCLIENT ADDR PROTO HELO\r\n250 ENHANCEDSTATUSCODES\r\n",
	    "worker+X[ADDR=1.2.3.4]" },
	{ "not where nobody logs in", FULL | XCLIENT | IN_TLS, E X,
	    GREETS FIXED "250 ENHANCEDSTATUSCODES\r\n"
	    "550 5.7.0 Log in first: nobody is taken for another before\r\n", "" },
	{ "not where it is not asked for", AUTH | IN_TLS, E LOGIN X MR,
	    "220 250 235 502 5.5.1 250 250 ",
	    "worker+" },

	/* Who may. */
	{ "a message for another", IN, E LOGIN X E MR "DATA\r\nx" END,
	    "220 250 235 220 250 250 250 354 250 ", "worker+X[ADDR=1.2.3.4](x\r\n)" },
	{ "each for another", IN, E LOGIN X E MR "DATA\r\nx" END "xclient addr=5.6.7.8\r\n" E MR,
	    "220 250 235 220 250 250 250 354 250 220 250 250 250 ",
	    "worker+X[ADDR=1.2.3.4](x\r\n)X[addr=5.6.7.8]" },
	{ "not before a login", IN, E X MR, "220 250 550 5.7.0 530 5.7.0 503 5.5.1 ", "" },
	{ "not after a wrong one", IN, E WRONG X MR,
	    "220 250 535 5.7.8 550 5.7.0 530 5.7.0 503 5.5.1 ", "worker-" },
	{ "not in the clear", AUTH | XCLIENT | TLS, E LOGIN X, "220 250 538 5.7.11 550 5.7.0 ",
	    "" },

	/* When. */
	{ "EHLO must follow", IN, E LOGIN X MR X, "220 250 235 220 503 5.5.1 503 5.5.1 503 5.5.1 ",
	    "worker+X[ADDR=1.2.3.4]" },
	{ "not in a transaction", IN, E LOGIN "MAIL FROM:<a@b.test>\r\n" X "RSET\r\n" X,
	    "220 250 235 250 503 5.5.1 250 220 ", "worker+!X[ADDR=1.2.3.4]" },
	{ "not between chunks", IN, E LOGIN MR "BDAT 1\r\nx" X "BDAT 1 LAST\r\ny",
	    "220 250 235 250 250 250 503 5.5.1 250 ", "worker+(xy)" },
	{ "and no login again", IN, E LOGIN X E LOGIN, "220 250 235 220 250 503 5.5.1 ",
	    "worker+X[ADDR=1.2.3.4]" },

	/* What is wrong changes nothing. */
	{ "a refused one", IN, E LOGIN "XCLIENT HELO=x\r\n" MR "DATA\r\nx" END,
	    "220 250 235 501 5.5.4 250 250 354 250 ", "worker+X[HELO=x](x\r\n)" },
	{ "none at all", IN, E LOGIN "XCLIENT\r\n" MR, "220 250 235 501 5.5.4 250 250 ",
	    "worker+X[]" },
	{ "wrong ones are counted", IN, E LOGIN "XCLIENT x\r\nXCLIENT x\r\nXCLIENT x\r\n"
	    "XCLIENT x\r\nXCLIENT x\r\nXCLIENT x\r\n",
	    "220 250 235 501 5.5.4 501 5.5.4 501 5.5.4 501 5.5.4 501 5.5.4 501 5.5.4 421 4.7.0 ",
	    "worker+X[x]X[x]X[x]X[x]X[x]X[x]#" },
	{ NULL, 0, NULL, NULL, NULL },
};
