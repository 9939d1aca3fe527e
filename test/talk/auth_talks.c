/* AUTH (RFC 4954): who may, when, and that nothing is mailed without it. */
#include "smtp_talks.h"

#include <stddef.h>

#define IN	(AUTH | IN_TLS)
#define RIGHT	"AHdvcmtlcgBvcGVuIHNlc2FtZQ=="		/* \0worker\0open sesame */
#define WRONG	"AHdvcmtlcgBub3RoaW5n"			/* \0worker\0nothing */
#define USER	"d29ya2Vy"
#define PASS	"b3BlbiBzZXNhbWU="

const struct talk auth_talks[] = {
	/* What is offered. */
	{ "in the clear no AUTH is offered", FULL | AUTH | TLS, E,
	    "220 mx.test ESMTP Posthouse\r\n"
	    "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 100\r\n250-8BITMIME\r\n250-CHUNKING\r\n"
	    "250-STARTTLS\r\n250 ENHANCEDSTATUSCODES\r\n", "" },
	{ "in TLS it is, and no second TLS", FULL | IN | TLS, E,
	    "220 mx.test ESMTP Posthouse\r\n"
	    "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 100\r\n250-8BITMIME\r\n250-CHUNKING\r\n"
	    "250-AUTH PLAIN LOGIN\r\n250 ENHANCEDSTATUSCODES\r\n", "" },
	{ "once only", FULL | IN, "EHLO a\r\nAUTH LOGIN " USER "\r\n" PASS "\r\n" E,
	    "220 mx.test ESMTP Posthouse\r\n"
	    "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 100\r\n250-8BITMIME\r\n250-CHUNKING\r\n"
	    "250-AUTH PLAIN LOGIN\r\n250 ENHANCEDSTATUSCODES\r\n"
	    "334 UGFzc3dvcmQ6\r\n235 2.7.0 Welcome\r\n"
	    "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 100\r\n250-8BITMIME\r\n250-CHUNKING\r\n"
	    "250 ENHANCEDSTATUSCODES\r\n", "worker+" },
	{ "an empty challenge has its space", FULL | IN, E "AUTH PLAIN\r\n*\r\n",
	    "220 mx.test ESMTP Posthouse\r\n"
	    "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 100\r\n250-8BITMIME\r\n250-CHUNKING\r\n"
	    "250-AUTH PLAIN LOGIN\r\n250 ENHANCEDSTATUSCODES\r\n334 \r\n"
	    "501 5.7.0 AUTH is called off\r\n", "" },

	/* Who may. */
	{ "PLAIN at once", IN, E "AUTH PLAIN " RIGHT "\r\n" MR "DATA\r\nx" END,
	    "220 250 235 250 250 354 250 ", "worker+(x\r\n)" },
	{ "PLAIN when asked", IN, E "auth plain\r\n" RIGHT "\r\n" MR, "220 250 334 235 250 250 ",
	    "worker+" },
	{ "PLAIN as oneself", IN, E "AUTH PLAIN d29ya2VyAHdvcmtlcgBvcGVuIHNlc2FtZQ==\r\n",
	    "220 250 235 ", "worker+" },
	{ "PLAIN as somebody else", IN, E "AUTH PLAIN cm9vdAB3b3JrZXIAb3BlbiBzZXNhbWU=\r\n",
	    "220 250 501 5.5.4 ", "" },
	{ "LOGIN", IN, E "AUTH LOGIN\r\n" USER "\r\n" PASS "\r\n" MR,
	    "220 250 334 334 235 250 250 ", "worker+" },
	{ "LOGIN with its user", IN, E "AUTH LOGIN " USER "\r\n" PASS "\r\n", "220 250 334 235 ",
	    "worker+" },
	{ "a login outlives EHLO, RSET and a message", IN,
	    E "AUTH PLAIN " RIGHT "\r\n" E MR "RSET\r\n" MR "DATA\r\nx" END MR,
	    "220 250 235 250 250 250 250 250 250 354 250 250 250 ", "worker+!(x\r\n)" },
	{ "MAIL may say AUTH", IN, E "AUTH PLAIN " RIGHT "\r\nMAIL FROM:<a@b.test> AUTH=<>\r\n",
	    "220 250 235 250 ", "worker+" },
	{ "but not to whom no login is offered", 0, E "MAIL FROM:<a@b.test> AUTH=<>\r\n",
	    "220 250 555 5.5.4 ", "" },

	/* Who may not. */
	{ "no mail without a login", IN, E MR "DATA\r\n",
	    "220 250 530 5.7.0 503 5.5.1 503 5.5.1 ", "" },
	{ "no mail without TLS", AUTH | TLS, E MR, "220 250 530 5.7.0 503 5.5.1 ", "" },
	{ "no password in the clear", AUTH | TLS,
	    E "AUTH PLAIN " RIGHT "\r\nAUTH LOGIN\r\n" MR,
	    "220 250 538 5.7.11 538 5.7.11 530 5.7.0 503 5.5.1 ", "" },
	{ "a wrong password", IN, E "AUTH PLAIN " WRONG "\r\n" MR,
	    "220 250 535 5.7.8 530 5.7.0 503 5.5.1 ",
	    "worker-" },
	{ "and then the right one", IN, E "AUTH PLAIN " WRONG "\r\nAUTH PLAIN " RIGHT "\r\n" MR,
	    "220 250 535 5.7.8 235 250 250 ", "worker-worker+" },
	{ "not a fourth time after three wrong ones", IN,
	    E "AUTH PLAIN " WRONG "\r\nAUTH LOGIN " USER "\r\n" USER "\r\nAUTH PLAIN " WRONG "\r\n"
	    "AUTH PLAIN " RIGHT "\r\n", "220 250 535 5.7.8 334 535 5.7.8 535 5.7.8 421 4.7.0 ",
	    "worker-worker-worker-#" },
	{ "who cannot be judged now may come again", IN,
	    E "AUTH PLAIN AGxhdGVyAHg=\r\n" MR "AUTH PLAIN " RIGHT "\r\n",
	    "220 250 454 4.7.0 530 5.7.0 503 5.5.1 235 ", "worker+" },
	{ "not twice", IN, E "AUTH PLAIN " RIGHT "\r\nAUTH PLAIN " RIGHT "\r\nAUTH LOGIN\r\n",
	    "220 250 235 503 5.5.1 503 5.5.1 ", "worker+" },
	{ "not in a transaction, nor before EHLO", IN,
	    "AUTH PLAIN " RIGHT "\r\nHELO a\r\nAUTH PLAIN " RIGHT "\r\n",
	    "220 503 5.5.1 250 503 5.5.1 ", "" },

	/* Exchanges that are none. */
	{ "a way that is not known", IN, E "AUTH CRAM-MD5\r\nAUTH\r\nAUTH PLAINER\r\n",
	    "220 250 504 5.5.4 504 5.5.4 504 5.5.4 ", "" },
	{ "no base64", IN, E "AUTH PLAIN ?\r\nAUTH PLAIN =\r\nAUTH PLAIN AHdvcmtlcgBub3RoaW5\r\n",
	    "220 250 501 5.5.2 501 5.5.2 501 5.5.2 ", "" },
	{ "commands in an exchange are none", IN, E "AUTH PLAIN\r\nQUIT\r\n" "AUTH LOGIN\r\n\r\n"
	    "NOOP\r\n", "220 250 334 501 5.5.4 334 501 5.5.2 250 ", "" },
	{ "called off", IN, E "AUTH LOGIN\r\n*\r\nAUTH LOGIN\r\n" USER "\r\n*\r\nNOOP\r\n",
	    "220 250 334 501 5.7.0 334 334 501 5.7.0 250 ", "" },
	{ "no password", IN, E "AUTH PLAIN AHdvcmtlcgA=\r\n", "220 250 501 5.5.4 ", "" },
	{ "no user", IN, E "AUTH PLAIN AABvcGVuIHNlc2FtZQ==\r\n", "220 250 501 5.5.4 ", "" },
	{ "one part too few", IN, E "AUTH PLAIN d29ya2VyAG9wZW4gc2VzYW1l\r\n",
	    "220 250 501 5.5.4 ", "" },
	{ "one part too many", IN, E "AUTH PLAIN AHdvcgBrZXIAeA==\r\n", "220 250 501 5.5.4 ", "" },
	{ "a NUL in a user", IN, E "AUTH LOGIN d29yAGtlcg==\r\n", "220 250 501 5.5.4 ", "" },
	{ "a line that has no end is not half a password", IN, E "AUTH PLAIN\r\n"
	    L60 L60 L60 L60 L60 L60 L60 L60 L60 "\r\nNOOP\r\n", "220 250 334 500 5.5.2 250 ", "" },
	{ "a lone LF ends no exchange well", IN, E "AUTH LOGIN\r\n" USER "\n" PASS "\r\nNOOP\r\n",
	    "220 250 334 500 5.5.2 250 ", "" },
	{ NULL, 0, NULL, NULL, NULL },
};
