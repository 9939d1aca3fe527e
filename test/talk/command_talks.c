/* Commands: their order, their syntax, and the limits of lines and sessions. */
#include "smtp_talks.h"

#include <stddef.h>

const struct talk command_talks[] = {
	/* Order of play. */
	{ "greeting and goodbye", FULL, Q,
	    "220 mx.test ESMTP Posthouse\r\n221 2.0.0 Goodbye\r\n", "#" },
	{ "EHLO says what there is", FULL | DSN | UTF8 | TLS, "EHLO a.test\r\n",
	    "220 mx.test ESMTP Posthouse\r\n"
	    "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 100\r\n250-8BITMIME\r\n250-CHUNKING\r\n"
	    "250-STARTTLS\r\n250-SMTPUTF8\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES\r\n", "" },
	{ "EHLO is silent about what there is not", FULL, "EHLO a.test\r\n",
	    "220 mx.test ESMTP Posthouse\r\n"
	    "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 100\r\n250-8BITMIME\r\n250-CHUNKING\r\n"
	    "250 ENHANCEDSTATUSCODES\r\n", "" },
	{ "HELO", FULL, "HELO a\r\n", "220 mx.test ESMTP Posthouse\r\n250 mx.test\r\n", "" },
	{ "a message", 0, EMR "DATA\r\nhi" END Q, "220 250 250 250 354 250 221 ", "(hi\r\n)#" },
	{ "a message after HELO", 0, "HELO a\r\n" MR "DATA\r\nhi" END, "220 250 250 250 354 250 ",
	    "(hi\r\n)" },
	{ "an empty message", 0, EMR "DATA\r\n.\r\n", "220 250 250 250 354 250 ", "()" },
	{ "a message of one empty line", 0, EMR "DATA\r\n" END, "220 250 250 250 354 250 ",
	    "(\r\n)" },
	{ "nothing outlives the message it belonged to", 0,
	    EMR "DATA\r\nhi" END "DATA\r\nRCPT TO:<x@b.test>\r\nBDAT 2 LAST\r\nxx" Q,
	    "220 250 250 250 354 250 503 5.5.1 503 5.5.1 503 5.5.1 221 ", "(hi\r\n)#" },
	{ "two messages", 0, EMR "DATA\r\n1" END MR "DATA\r\n2" END,
	    "220 250 250 250 354 250 250 250 354 250 ", "(1\r\n)(2\r\n)" },
	{ "EHLO first", 0, MR "DATA\r\nSTARTTLS\r\n" Q,
	    "220 503 5.5.1 503 5.5.1 503 5.5.1 503 5.5.1 221 ", "#" },
	{ "one MAIL at a time", 0, E "MAIL FROM:<>\r\nMAIL FROM:<>\r\n", "220 250 250 503 5.5.1 ",
	    "" },
	{ "RSET forgets", 0, EMR "RSET\r\nDATA\r\n", "220 250 250 250 250 503 5.5.1 ", "!" },
	{ "RSET with nothing to forget", 0, "RSET\r\n" E "RSET\r\n", "220 250 250 250 ", "" },
	{ "EHLO forgets", 0, EMR E "DATA\r\n", "220 250 250 250 250 503 5.5.1 ", "!" },
	{ "a bad EHLO does not", 0, EMR "EHLO\r\nDATA\r\nx" END,
	    "220 250 250 250 501 5.5.4 354 250 ",
	    "(x\r\n)" },
	{ "QUIT forgets", 0, EMR Q, "220 250 250 250 221 ", "!#" },
	{ "nothing is read behind QUIT", 0, Q EMR, "220 221 ", "#" },
	{ "lower case", 0, "ehlo a\r\nmail from:<a@b.test>\r\nrcpt to:<c@d.test>\r\ndata\r\nx" END,
	    "220 250 250 250 354 250 ", "(x\r\n)" },
	{ "spaces at the end", 0, "EHLO a \r\nRSET  \r\nNOOP\t\r\n", "220 250 250 250 ", "" },
	{ "small talk", FULL, "NOOP x y\r\nVRFY bob\r\nVRFY\r\nHELP\r\n",
	    "220 mx.test ESMTP Posthouse\r\n250 2.0.0 Still here\r\n"
	    "252 2.5.2 Not telling; send the message and see\r\n501 5.5.4 Say VRFY address\r\n"
	    "214 2.0.0 EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT STARTTLS\r\n", "" },
	{ "no login", FULL, E "AUTH PLAIN AGEAYgBj\r\n",
	    "220 mx.test ESMTP Posthouse\r\n"
	    "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 100\r\n250-8BITMIME\r\n250-CHUNKING\r\n"
	    "250 ENHANCEDSTATUSCODES\r\n502 5.5.1 No login here: this server only receives\r\n",
	    "" },
	{ "unknown verbs", FULL, "FOO\r\n\r\n MAIL\r\n",
	    "220 mx.test ESMTP Posthouse\r\n500 5.5.2 No such command\r\n"
	    "500 5.5.2 No such command\r\n500 5.5.2 No such command\r\n", "" },
	{ "not implemented", 0, "EXPN x\r\nETRN x\r\nTURN\r\nSTARTTLS\r\n",
	    "220 502 5.5.1 502 5.5.1 502 5.5.1 503 5.5.1 ",
	    "" },
	{ "commands that stand alone", 0, EMR "DATA x\r\nRSET x\r\nQUIT x\r\n",
	    "220 250 250 250 501 5.5.4 501 5.5.4 221 ", "!#" },
	{ "names", 0, "EHLO\r\nEHLO a b\r\nEHLO a\xc3\xb6\r\nEHLO [IPv6:::1]\r\nHELO x_y\r\n",
	    "220 501 5.5.4 501 5.5.4 501 5.5.4 250 250 ", "" },

	/* What the caller decides. */
	{ "a refused sender", 0, E "MAIL FROM:<no@b.test>\r\nRCPT TO:<c@d.test>\r\n",
	    "220 250 550 5.1.1 503 5.5.1 ", "" },
	{ "a refused recipient", 0, E "MAIL FROM:<>\r\nRCPT TO:<no@d.test>\r\nDATA\r\n",
	    "220 250 250 550 5.1.1 503 5.5.1 ", "" },
	{ "one refused, one later, one taken", 0,
	    E "MAIL FROM:<>\r\nRCPT TO:<no@d.test>\r\nRCPT TO:<later@d.test>\r\n"
	    "RCPT TO:<c@d.test>\r\nDATA\r\nx" END,
	    "220 250 250 550 5.1.1 451 4.7.1 250 354 250 ", "(x\r\n)" },
	{ "a refused message", 0, EMR "DATA\r\nSPAM" END MR,
	    "220 250 250 250 354 550 5.7.1 250 250 ",
	    "" },
	{ "no room for data", 0, E "MAIL FROM:<>\r\nRCPT TO:<full@d.test>\r\nDATA\r\n" MR,
	    "220 250 250 250 452 4.3.1 250 250 ", "!" },
	{ "no room for a chunk", 0, E "MAIL FROM:<>\r\nRCPT TO:<full@d.test>\r\nBDAT 6\r\nQUIT\r\n"
	    MR,
	    "220 250 250 250 452 4.3.1 250 250 ", "!" },
	{ "the caller hangs up", 0, EMR "RCPT TO:<hang@d.test>\r\nNOOP\r\n",
	    "220 250 250 250 421 4.7.0 ",
	    "!#" },
	{ "what the caller is told", MAILS | DSN | UTF8,
	    E "MAIL FROM:<> SIZE=7 BODY=8BITMIME  RET=HDRS ENVID=q+2Bq SMTPUTF8\r\n"
	    "RCPT TO:<@x.test:\"c\"@D.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c@d.test\r\n"
	    "RCPT TO: <Postmaster>\r\n",
	    "220 250 250 250 250 ",
	    "M<>{}[SIZE=7 BODY=8BITMIME  RET=HDRS ENVID=q+2Bq SMTPUTF8]7"
	    "R<@x.test:\"c\"@D.test>{c@d.test}[NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c@d.test]"
	    "R<Postmaster>{Postmaster}[]" },

	/* Syntax of MAIL and RCPT. */
	{ "bad senders", 0,
	    E "MAIL\r\nMAIL FROM\r\nMAIL TO:<>\r\nMAIL FROM:a@b.test\r\nMAIL FROM:<a@b>x\r\n",
	    "220 250 501 5.5.4 501 5.5.4 501 5.5.4 501 5.1.7 501 5.1.7 ", "" },
	{ "bad recipients", FULL,
	    "HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<>\r\nRCPT FROM:<a@b>\r\nRCPT TO:<bob>\r\n",
	    "220 mx.test ESMTP Posthouse\r\n250 mx.test\r\n250 2.1.0 Fine\r\n"
	    "501 5.1.3 That is no recipient address\r\n501 5.5.4 Say RCPT TO:<address>\r\n"
	    "501 5.1.3 That is no recipient address\r\n", "" },
	{ "SIZE", 0,
	    E "MAIL FROM:<> SIZE=101\r\nMAIL FROM:<> SIZE=99999999999999999999\r\n"
	    "MAIL FROM:<> SIZE=\r\n"
	    "MAIL FROM:<> SIZE=-1\r\nMAIL FROM:<> SIZE\r\nMAIL FROM:<> SIZE=100\r\n",
	    "220 250 552 5.3.4 552 5.3.4 501 5.5.4 501 5.5.4 501 5.5.4 250 ", "" },
	{ "SIZE that no number holds", 0, E "MAIL FROM:<> SIZE=999999999999999999999\r\n",
	    "220 250 501 5.5.4 ", "" },
	{ "BODY", 0,
	    E "MAIL FROM:<> BODY=BINARYMIME\r\nMAIL FROM:<> BODY\r\nMAIL FROM:<> body=7bit\r\n",
	    "220 250 501 5.5.4 501 5.5.4 250 ", "" },
	{ "said twice", 0, E "MAIL FROM:<> SIZE=1 SIZE=1\r\n", "220 250 501 5.5.4 ", "" },
	{ "not announced", 0,
	    E "MAIL FROM:<> SMTPUTF8\r\nMAIL FROM:<> RET=FULL\r\nMAIL FROM:<> ENVID=x\r\n"
	    "MAIL FROM:<> AUTH=<>\r\n",
	    "220 250 555 5.5.4 555 5.5.4 555 5.5.4 555 5.5.4 ", "" },
	{ "not announced for recipients", 0,
	    EMR "RCPT TO:<a@b.test> NOTIFY=NEVER\r\nRCPT TO:<a@b.test> SIZE=1\r\n",
	    "220 250 250 250 555 5.5.4 555 5.5.4 ", "" },
	{ "not known", FULL, "HELO a\r\nMAIL FROM:<> X=1\r\nMAIL FROM:<> =1\r\n",
	    "220 mx.test ESMTP Posthouse\r\n250 mx.test\r\n"
	    "555 5.5.4 Parameter unknown or not announced: X\r\n"
	    "555 5.5.4 Parameter unknown or not announced: \r\n", "" },
	{ "DSN of senders", DSN,
	    E "MAIL FROM:<> RET=ALL\r\nMAIL FROM:<> ENVID=\r\nMAIL FROM:<> ENVID=a+2b\r\n"
	    "MAIL FROM:<> ENVID=a=b\r\n"
	    "MAIL FROM:<> RET=full ENVID=a+2B\r\n",
	    "220 250 501 5.5.4 501 5.5.4 501 5.5.4 501 5.5.4 250 ", "" },
	{ "DSN of recipients", DSN,
	    EMR "RCPT TO:<c@d.test> NOTIFY=\r\nRCPT TO:<c@d.test> NOTIFY=NEVER,DELAY\r\n"
	    "RCPT TO:<c@d.test> NOTIFY=DELAY,DELAY\r\nRCPT TO:<c@d.test> NOTIFY=DELAY,\r\n"
	    "RCPT TO:<c@d.test> ORCPT=x\r\n",
	    "220 250 250 250 501 5.5.4 501 5.5.4 501 5.5.4 501 5.5.4 501 5.5.4 ", "" },
	{ "the type of an original recipient", DSN,
	    EMR "RCPT TO:<c@d.test> ORCPT=;c@d.test\r\nRCPT TO:<c@d.test> ORCPT=a\tb;c@d.test\r\n"
	    "RCPT TO:<c@d.test> ORCPT=a\377;c@d.test\r\nRCPT TO:<c@d.test> ORCPT=a.b;c@d.test\r\n"
	    "RCPT TO:<c@d.test> ORCPT=utf-8;c@d.test\r\n",
	    "220 250 250 250 501 5.5.4 501 5.5.4 501 5.5.4 501 5.5.4 250 ",
	    "" },
	{ "DSN taken", DSN,
	    EMR "RCPT TO:<c@d.test> NOTIFY=never\r\n"
	    "RCPT TO:<c@d.test> NOTIFY=failure,delay,success\r\n",
	    "220 250 250 250 250 250 ", "" },
	{ "a report of success is asked for, for each recipient", DSN,
	    E "MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test> NOTIFY=SUCCESS\r\n"
	    "RCPT TO:<mute@d.test>\r\nRCPT TO:<mute@d.test> NOTIFY=delay,success\r\n"
	    "RCPT TO:<mute@d.test> NOTIFY=FAILURE,DELAY\r\n",
	    "220 250 250 250 250 455 4.5.4 250 ", "" },
	{ "other than ASCII needs SMTPUTF8", UTF8,
	    E "MAIL FROM:<\xc3\xb6@b.test>\r\nMAIL FROM:<\xc3\xb6@b.test> SMTPUTF8\r\n"
	    "RCPT TO:<\xc3\xb6@b.test>\r\nRSET\r\nMAIL FROM:<>\r\nRCPT TO:<a@\xc3\xb6.test>\r\n",
	    "220 250 553 5.6.7 250 250 250 250 553 5.6.7 ", "!" },
	{ "SMTPUTF8 stands alone", UTF8, E "MAIL FROM:<> SMTPUTF8=1\r\n", "220 250 501 5.5.4 ",
	    "" },
	{ "too many recipients", 0,
	    EMR "RCPT TO:<c@d.test>\r\nRCPT TO:<c@d.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nx" END,
	    "220 250 250 250 250 250 452 4.5.3 354 250 ", "(x\r\n)" },

	/* Lines. */
	{ "bare LF in a command", FULL, "NOOP\nNOOP\r\nNOOP\r\n",
	    "220 mx.test ESMTP Posthouse\r\n"
	    "500 5.5.2 Only CRLF may end a line: a CR or LF stood alone\r\n"
	    "250 2.0.0 Still here\r\n", "" },
	{ "bare CR in a command", 0, "NOOP\rNOOP\r\nNOOP\r\n", "220 500 5.5.2 250 ", "" },
	{ "CR CR LF in a command", 0, "NOOP\r\r\nNOOP\r\n", "220 500 5.5.2 250 ", "" },
	{ "LF CR in a command", 0, "NOOP\n\rNOOP\r\nNOOP\r\n", "220 500 5.5.2 250 ", "" },
	{ "only LF is never a line", 0,
	    "EHLO a\nMAIL FROM:<>\nRCPT TO:<c@d.test>\nDATA\nx\n.\nQUIT\n", "220 500 5.5.2 ", "" },
	{ "NUL in a command would be cut by C", 0, "MAIL FROM:<>\r\nNO\tOP\r\n",
	    "220 503 5.5.1 500 5.5.2 ",
	    "" },
	{ "a line of 512", 0, "NOOP " L60 L60 L60 L60 L60 L60 L60 L60
	    "xxxxxxxxxxxxxxxxxxxxxxxxx\r\nNOOP\r\n",
	    "220 250 250 ", "" },
	{ "a line of 513", 0, "NOOP " L60 L60 L60 L60 L60 L60 L60 L60
	    "xxxxxxxxxxxxxxxxxxxxxxxxxx\r\nNOOP\r\n",
	    "220 500 5.5.2 250 ", "" },
	{ "a long line is one error", 0, L60 L60 L60 L60 L60 L60 L60 L60 L60 L60 L60 L60
	    "\n\r\r \r\nNOOP\r\n",
	    "220 500 5.5.2 250 ", "" },
	{ "too many errors", 0, E "A\r\nA\r\nA\r\nA\r\nA\r\nA\r\nNOOP\r\n",
	    "220 250 500 5.5.2 500 5.5.2 500 5.5.2 500 5.5.2 500 5.5.2 500 5.5.2 421 4.7.0 ", "#" },
	{ "refused recipients are errors too", 0,
	    EMR "RCPT TO:<no@d.test>\r\nRCPT TO:<no@d.test>\r\nRCPT TO:<no@d.test>\r\n"
	    "RCPT TO:<no@d.test>\r\nRCPT TO:<no@d.test>\r\nRCPT TO:<no@d.test>\r\nDATA\r\n",
	    "220 250 250 250 550 5.1.1 550 5.1.1 550 5.1.1 550 5.1.1 550 5.1.1 550 5.1.1 "
	    "421 4.7.0 ", "!#" },
	{ "a message makes good", 0, E "A\r\nA\r\nA\r\nA\r\nA\r\n" MR "DATA\r\nx" END
	    "A\r\nA\r\nA\r\nA\r\nA\r\nNOOP\r\n",
	    "220 250 500 5.5.2 500 5.5.2 500 5.5.2 500 5.5.2 500 5.5.2 250 250 354 250 500 5.5.2 "
	    "500 5.5.2 500 5.5.2 500 5.5.2 500 5.5.2 250 ", "(x\r\n)" },
	{ "too many commands", 0,
	    EMR "NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n"
	    "NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n",
	    "220 250 250 250 250 250 250 250 250 250 250 250 250 250 250 250 250 250 250 250 250 "
	    "421 4.7.0 ", "!#" },

	/* STARTTLS where it may not be; where it may, see smtp_server_talk.c. */
	{ "TLS is not offered", 0, E "STARTTLS\r\n", "220 250 502 5.5.1 ", "" },
	{ "STARTTLS stands alone", TLS, E "STARTTLS now\r\n", "220 250 501 5.5.4 ", "" },
	{ "STARTTLS inside a transaction", TLS, EMR "STARTTLS\r\n", "220 250 250 250 503 5.5.1 ",
	    "" },
	{ .name = NULL },
};
