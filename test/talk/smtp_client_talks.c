/* What servers say, as they are and as they lie. */
#include "smtp_client_talks.h"

#include <stddef.h>

#define HI	"S 220 mx\nC EHLO home.test\n"
#define ALL	"S 250-mx\nS 250-PIPELINING\nS 250-SIZE 1000\nS 250-8BITMIME\nS 250-DSN\n" \
		"S 250 SMTPUTF8\n"
#define BARE	"S 250 mx\n"
#define LHI	"S 220 mx\nC LHLO home.test\nS 250-mx\nS 250 PIPELINING\n"
#define BODY	"C ..dot\nC \xc3\xa9\nC \nC .\n"
#define BYE	"C QUIT\nS 221 bye\n"

/* a's message to x, pipelined, up to its end. */
#define MR	"C MAIL FROM:<a@b.test> SIZE=12 BODY=8BITMIME\nC RCPT TO:<x@b.test>\n"
#define SENT	MR "S 250 ok\nS 250 ok\nC DATA\nS 354 go\n" BODY
/* Through LMTP, to x and y. */
#define LSENT	"C MAIL FROM:<a@b.test>\nC RCPT TO:<x@b.test>\nC RCPT TO:<y@b.test>\n" \
		"S 250 ok\nS 250 ok\nS 250 ok\nC DATA\nS 354 go\n" BODY

const struct client_talk client_talks[] = {
	{ "one message, pipelined", 0, "a>x", HI ALL SENT "S 250 2.0.0 kept\n" BYE, "D#" },
	{ "a command at a time where nothing is offered", 0, "a>x,y",
	    HI BARE "C MAIL FROM:<a@b.test>\nS 250 ok\nC RCPT TO:<x@b.test>\nS 250 ok\n"
	    "C RCPT TO:<y@b.test>\nS 250 ok\nC DATA\nS 354 go\n" BODY "S 250 kept\n" BYE, "DD#" },
	{ "two messages on one connection", 0, "a>x;a>x",
	    HI ALL SENT "S 250 kept\n" SENT "S 250 kept\n" BYE, "DD#" },
	{ "an old server", 0, ">x",
	    HI "S 502 what?\nC HELO home.test\nS 250 mx\nC MAIL FROM:<>\nS 250 ok\n"
	    "C RCPT TO:<x@b.test>\nS 250 ok\nC DATA\nS 354 go\n" BODY "S 250 kept\n" BYE, "D#" },
	{ "parameters of the sender's, where they are offered", 0,
	    "a[SIZE=99 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=e1 AUTH=<>]>"
	    "x[NOTIFY=NEVER ORCPT=rfc822;z@b.test]",
	    HI ALL "C MAIL FROM:<a@b.test> SIZE=12 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=e1\n"
	    "C RCPT TO:<x@b.test> NOTIFY=NEVER ORCPT=rfc822;z@b.test\n"
	    "S 250 ok\nS 250 ok\nC DATA\nS 354 go\n" BODY "S 250 kept\n" BYE, "D#" },
	{ "and dropped where they are not", 0,
	    "a[SIZE=99 BODY=8BITMIME SMTPUTF8 RET=HDRS]>x[NOTIFY=NEVER]",
	    HI BARE "C MAIL FROM:<a@b.test>\nS 250 ok\nC RCPT TO:<x@b.test>\nS 250 ok\nC DATA\n"
	    "S 354 go\n" BODY "S 250 kept\n" BYE, "D#" },
	{ "an original recipient beyond ASCII", 0, "a[SMTPUTF8]>x[ORCPT=utf-8;\xc3\xa9@b.test]",
	    HI ALL "C MAIL FROM:<a@b.test> SIZE=12 BODY=8BITMIME SMTPUTF8\n"
	    "C RCPT TO:<x@b.test> ORCPT=utf-8;\xc3\xa9@b.test\n"
	    "S 250 ok\nS 250 ok\nC DATA\nS 354 go\n" BODY "S 250 kept\n" BYE, "D#" },
	{ "and dropped where SMTPUTF8 is not offered", 0,
	    "a[SMTPUTF8 RET=HDRS]>x[NOTIFY=NEVER ORCPT=utf-8;\xc3\xa9@b.test]",
	    HI "S 250-mx\nS 250 DSN\nC MAIL FROM:<a@b.test> RET=HDRS\nS 250 ok\n"
	    "C RCPT TO:<x@b.test> NOTIFY=NEVER\nS 250 ok\nC DATA\nS 354 go\n" BODY
	    "S 250 kept\n" BYE, "D#" },
	{ "an address beyond ASCII", 0, "a>\xc3\xa9",
	    HI ALL "C MAIL FROM:<a@b.test> SIZE=12 BODY=8BITMIME SMTPUTF8\n"
	    "C RCPT TO:<\xc3\xa9@b.test>\nS 250 ok\nS 250 ok\nC DATA\nS 354 go\n" BODY
	    "S 250 kept\n" BYE, "D#" },
	{ "to a server without SMTPUTF8 only the others go", 0, "a>\xc3\xa9,x,\xc3\xb6",
	    HI BARE "C MAIL FROM:<a@b.test>\nS 250 ok\nC RCPT TO:<x@b.test>\nS 250 ok\nC DATA\n"
	    "S 354 go\n" BODY "S 250 kept\n" BYE, "SDS#" },
	{ "and from such a sender nothing", 0, "\xc3\xa9>x;a>\xc3\xa9", HI BARE BYE, "SS#" },
	{ "BDAT where it cannot be mistaken", 0, "a>x",
	    HI "S 250-mx\nS 250-CHUNKING\nS 250-ENHANCEDSTATUSCODES\nS 250 8BITMIME\n"
	    "C MAIL FROM:<a@b.test> BODY=8BITMIME\nS 250 2.1.0 ok\nC RCPT TO:<x@b.test>\n"
	    "S 250 2.1.5 ok\nC BDAT 12 LAST\nC .dot\nC \xc3\xa9\nC \n"
	    "S 250 2.0.0 kept\n" BYE, "D#" },
	{ "RCPT's answer is not BDAT's", 0, "a>x",
	    HI "S 250-mx\nS 250-CHUNKING\nS 250 ENHANCEDSTATUSCODES\n"
	    "C MAIL FROM:<a@b.test>\nS 250 2.1.0 ok\nC RCPT TO:<x@b.test>\n"
	    "S 250 2.1.5 ok\nC BDAT 12 LAST\nC .dot\nC \xc3\xa9\nC \n"
	    "S 250 2.1.5 ok\n", "U#" },

	/* Refusals and delays. */
	{ "one recipient of three", 0, "a>x,y,z",
	    HI ALL "C MAIL FROM:<a@b.test> SIZE=12 BODY=8BITMIME\nC RCPT TO:<x@b.test>\n"
	    "C RCPT TO:<y@b.test>\nC RCPT TO:<z@b.test>\n"
	    "S 250 ok\nS 550-5.1.1 who\nS 550 5.1.1 is that\nS 250 ok\nS 451 not now\nC DATA\n"
	    "S 354 go\n" BODY "S 250 kept\n" BYE, "RDL#" },
	{ "nobody is left: no DATA", 0, "a>x;a>x",
	    HI ALL MR "S 250 ok\nS 550 no\nC RSET\nS 250 ok\n" SENT "S 250 kept\n" BYE, "RD#" },
	{ "MAIL, with what was pipelined behind it", 0, "a>x;a>x",
	    HI ALL MR "S 452 full\nS 503 MAIL first\nC RSET\nS 250 ok\n" SENT
	    "S 250 kept\n" BYE, "LD#" },
	{ "DATA", 0, "a>x",
	    HI ALL MR "S 250 ok\nS 250 ok\nC DATA\nS 554 no\nC RSET\nS 250 ok\n" BYE, "R#" },
	{ "the message", 0, "a>x;a>x",
	    HI ALL SENT "S 554 5.7.1 spam\n" SENT "S 451 later\n" BYE, "RL#" },
	{ "in the middle of the envelope it goes away", 0, "a>x,y",
	    HI BARE "C MAIL FROM:<a@b.test>\nS 250 ok\nC RCPT TO:<x@b.test>\nS 421 away\n", "LL#" },
	{ "530 is about us, and the message waits", 0, "a>x,y",
	    HI BARE "C MAIL FROM:<a@b.test>\nS 530 5.7.0 Must issue a STARTTLS command first\n",
	    "LL#" },
	{ "after the message it goes away", 0, "a>x", HI ALL SENT "S 421 away\n", "L#" },
	{ "it greets with 554", 0, "a>x", "S 554 go away\n", "#" },
	{ "it does not like to be reset", 0, "a>x;a>x",
	    HI ALL MR "S 250 ok\nS 550 no\nC RSET\nS 500 what?\n", "R#" },

	/* The connection breaks. */
	{ "before anything", 0, "a>x", "-\n", "#" },
	{ "in the envelope", 0, "a>x", HI ALL MR "S 250 ok\n-\n", "L#" },
	{ "after the message", 0, "a>x", HI ALL SENT "-\n", "U#" },
	{ "after half an answer", 0, "a>x", HI ALL SENT "S 250-ke\n-\n", "U#" },
	{ "after QUIT", 0, "a>x", HI ALL SENT "S 250 kept\nC QUIT\n-\n", "D#" },

	/* A liar. */
	{ "an answer behind the last one", 0, "a>x",
	    HI ALL MR "S 250 ok\nS 250 ok\nC DATA\nS 550 no\nC RSET\nS 250 ok\n" BYE "S 250 ok\n",
	    "R#" },
	{ "354 is not the answer to MAIL", 0, "a>x", HI ALL MR "S 354 go\n", "L#" },
	{ "250 is not the answer to DATA", 0, "a>x",
	    HI ALL MR "S 250 ok\nS 250 ok\nC DATA\nS 250 ok\n", "L#" },
	{ "354 is not the answer to a message", 0, "a>x", HI ALL SENT "S 354 go\n", "U#" },
	{ "no reply at all", 0, "a>x", HI ALL SENT "S HTTP/1.1 400 Bad Request\n", "U#" },
	{ "two codes in one reply", 0, "a>x", HI ALL SENT "S 250-kept\nS 550 not kept\n", "U#" },
	{ "it speaks between messages", 0, "a>x",
	    HI ALL SENT "S 250 kept\nS 250 and kept\nC QUIT\n", "D#" },

	/* LMTP: an answer a recipient. */
	{ "an answer each", LMTP, "a>x,y", LHI LSENT "S 250 kept\nS 250 kept\n" BYE, "DD#" },
	{ "each its own", LMTP, "a>x,y",
	    LHI LSENT "S 452 4.2.2 full\nS 250 kept\n" BYE, "LD#" },
	{ "it changes its mind", LMTP, "a>x,y",
	    LHI LSENT "S 550 5.1.1 who?\nS 250 2.1.5 kept\n" BYE, "RD#" },
	{ "who was refused before is not answered again", LMTP, "a>x,y,z",
	    LHI "C MAIL FROM:<a@b.test>\nC RCPT TO:<x@b.test>\nC RCPT TO:<y@b.test>\n"
	    "C RCPT TO:<z@b.test>\nS 250 ok\nS 250 ok\nS 550 no\nS 250 ok\nC DATA\nS 354 go\n"
	    BODY "S 250 kept\nS 451 later\n" BYE, "DRL#" },
	{ "too few answers", LMTP, "a>x,y", LHI LSENT "S 250 kept\n-\n", "DU#" },
	{ "too many answers", LMTP, "a>x,y;a>x",
	    LHI LSENT "S 250 kept\nS 250 kept\nC MAIL FROM:<a@b.test>\nC RCPT TO:<x@b.test>\n"
	    "S 250 kept\nS 250 ok\nC DATA\nS 250 ok\n", "DDL#" },
	{ "it goes away between two answers", LMTP, "a>x,y",
	    LHI LSENT "S 250 kept\nS 421 away\n", "DL#" },
	{ "LMTP has no HELO", LMTP, "a>x",
	    "S 220 mx\nC LHLO home.test\nS 500 what?\n", "#" },

	/* TLS and passwords. */
	{ "STARTTLS where it is offered", 0, "a>x",
	    HI "S 250-mx\nS 250-SIZE\nS 250 STARTTLS\nC STARTTLS\nS 220 go\nC EHLO home.test\n"
	    BARE "C MAIL FROM:<a@b.test>\nS 250 ok\nC RCPT TO:<x@b.test>\nS 250 ok\nC DATA\n"
	    "S 354 go\n" BODY "S 250 kept\n" BYE, "tD#" },
	{ "never", NO_TLS, "",
	    HI "S 250-mx\nS 250 STARTTLS\n" BYE, "#" },
	{ "always, and it is not offered", MUST_TLS, "a>x", HI BARE, "#" },
	{ "always, and it is refused", MUST_TLS, "a>x",
	    HI "S 250-mx\nS 250 STARTTLS\nC STARTTLS\nS 454 not now\n", "#" },
	{ "where it is offered and refused, it goes without", 0, "",
	    HI "S 250-mx\nS 250 STARTTLS\nC STARTTLS\nS 454 not now\n" BYE, "#" },
	{ "a password to this machine", PASSWORD, "",
	    HI "S 250-mx\nS 250 AUTH CRAM-MD5 LOGIN PLAIN\nC AUTH PLAIN AG1lAHNlY3JldA==\n"
	    "S 235 2.7.0 yes\n" BYE, "#" },
	{ "in two steps", PASSWORD, "",
	    HI "S 250-mx\nS 250 AUTH LOGIN\nC AUTH LOGIN\nS 334 VXNlcm5hbWU6\nC bWU=\n"
	    "S 334 UGFzc3dvcmQ6\nC c2VjcmV0\nS 235 yes\n" BYE, "#" },
	{ "a third step is none of ours", PASSWORD, "",
	    HI "S 250-mx\nS 250 AUTH LOGIN\nC AUTH LOGIN\nS 334 a\nC bWU=\nS 334 b\nC c2VjcmV0\n"
	    "S 334 and your card number\n", "#" },
	{ "a wrong one", PASSWORD, "",
	    HI "S 250-mx\nS 250 AUTH PLAIN\nC AUTH PLAIN AG1lAHNlY3JldA==\nS 535 no\n", "#" },
	{ "none in the clear to others", PASSWORD | REMOTE, "",
	    HI "S 250-mx\nS 250 AUTH PLAIN\n", "#" },
	{ "but inside TLS, by what is offered there", PASSWORD | REMOTE, "",
	    HI "S 250-mx\nS 250-AUTH LOGIN\nS 250 STARTTLS\nC STARTTLS\nS 220 go\n"
	    "C EHLO home.test\nS 250-mx\nS 250 AUTH PLAIN\nC AUTH PLAIN AG1lAHNlY3JldA==\n"
	    "S 235 yes\n" BYE, "t#" },

	/* XCLIENT. */
	{ "each message in its client's name", XCLIENT, ">x:192.0.2.1 one;>x:2001:db8::1 t=w",
	    HI "S 250-mx\nS 250 XCLIENT NAME ADDR PROTO HELO LOGIN\n"
	    "C XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.1 PROTO=ESMTP HELO=one\nS 220 mx\n"
	    "C EHLO one\nS 250-mx\nS 250-PIPELINING\nS 250 XCLIENT NAME ADDR PROTO HELO LOGIN\n"
	    "C MAIL FROM:<>\nC RCPT TO:<x@b.test>\nS 250 ok\nS 250 ok\nC DATA\nS 354 go\n" BODY
	    "S 250 kept\n"
	    "C XCLIENT NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1 PROTO=ESMTP HELO=t+3Dw\n"
	    "S 220 mx\nC EHLO t=w\nS 250 mx\nC MAIL FROM:<>\nS 250 ok\nC RCPT TO:<x@b.test>\n"
	    "S 250 ok\nC DATA\nS 354 go\n" BODY "S 250 kept\n" BYE, "DD#" },
	{ "the same client again needs no word", XCLIENT, ">x:192.0.2.1 one;>x:192.0.2.1 one",
	    HI "S 250-mx\nS 250 XCLIENT ADDR\nC XCLIENT ADDR=192.0.2.1\nS 220 mx\nC EHLO one\n"
	    "S 250-mx\nS 250-PIPELINING\nS 250 XCLIENT ADDR\n"
	    "C MAIL FROM:<>\nC RCPT TO:<x@b.test>\nS 250 ok\nS 250 ok\nC DATA\nS 354 go\n" BODY
	    "S 250 kept\n"
	    "C MAIL FROM:<>\nC RCPT TO:<x@b.test>\nS 250 ok\nS 250 ok\nC DATA\nS 354 go\n" BODY
	    "S 250 kept\n" BYE, "DD#" },
	{ "offered once only, and the same client", XCLIENT, ">x:192.0.2.1 one;>x:192.0.2.1 one",
	    HI "S 250-mx\nS 250 XCLIENT ADDR\nC XCLIENT ADDR=192.0.2.1\nS 220 mx\nC EHLO one\n"
	    "S 250-mx\nS 250 PIPELINING\n"
	    "C MAIL FROM:<>\nC RCPT TO:<x@b.test>\nS 250 ok\nS 250 ok\nC DATA\nS 354 go\n" BODY
	    "S 250 kept\n"
	    "C MAIL FROM:<>\nC RCPT TO:<x@b.test>\nS 250 ok\nS 250 ok\nC DATA\nS 354 go\n" BODY
	    "S 250 kept\n" BYE, "DD#" },
	{ "offered once only, and another", XCLIENT, ">x:192.0.2.1 one;>x:192.0.2.2 two",
	    HI "S 250-mx\nS 250 XCLIENT ADDR\nC XCLIENT ADDR=192.0.2.1\nS 220 mx\nC EHLO one\n"
	    "S 250-mx\nS 250 PIPELINING\n"
	    "C MAIL FROM:<>\nC RCPT TO:<x@b.test>\nS 250 ok\nS 250 ok\nC DATA\nS 354 go\n" BODY
	    "S 250 kept\n" BYE, "D~#" },
	{ "not wanted", 0, ">x:192.0.2.1 one",
	    HI "S 250-mx\nS 250-PIPELINING\nS 250 XCLIENT ADDR\n"
	    "C MAIL FROM:<>\nC RCPT TO:<x@b.test>\nS 250 ok\nS 250 ok\nC DATA\nS 354 go\n" BODY
	    "S 250 kept\n" BYE, "D#" },
	{ "and refused", XCLIENT, ">x:192.0.2.1 one",
	    HI "S 250-mx\nS 250 XCLIENT ADDR\nC XCLIENT ADDR=192.0.2.1\nS 550 no\n", "L#" },
	{ NULL, 0, NULL, NULL, NULL },
};
