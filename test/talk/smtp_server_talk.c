/*
 * Conversations with the SMTP machine, each in every cut: in pieces of 1, 2, 3...
 * octets and in two pieces at every place.  Whatever the cut, the same replies,
 * the same messages and the same endings must come of it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proto/smtp_server.h"

#define LOG_MAX	65536

enum {
	DSN       = SMTP_EXT_DSN,
	UTF8      = SMTP_EXT_SMTPUTF8,
	TLS       = SMTP_EXT_STARTTLS,
	NORMALIZE = 1 << 8,		/* beside the extensions */
	FULL      = 1 << 9,		/* whole replies are compared, not only codes */
	MAILS     = 1 << 10,		/* and the events of MAIL and RCPT are written down */
};

#define E	"EHLO a\r\n"
#define MR	"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n"
#define EMR	E MR
#define END	"\r\n.\r\n"
#define Q	"QUIT\r\n"
#define L60	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define R2	"Received: x\r\nReceived: y\r\n"

/*
 * Read as a play: what the client says, what must come back, what arrives.  The
 * limits are: lines of 512, 3 recipients, 100 octets, 6 errors, 20 commands, 2 hops.
 *
 * The caller in it refuses by what it is told: a local part that starts with "no"
 * 550, with "later" 451, "hang" 421; data for "full" 452 and for "never" 554;
 * a message that holds "SPAM" 550.
 *
 * Arrived: messages accepted in "()"; "!" an abort; "#" where the session ended.
 */
static const struct talk {
	const char	*name;
	unsigned	 with;
	const char	*says, *codes, *arrives;
} talks[] = {
	/* Order of play. */
	{ "greeting and goodbye", FULL, Q,
	    "220 mx.test ESMTP Posthouse\r\n221 2.0.0 Goodbye\r\n", "#" },
	{ "EHLO says what there is", FULL | DSN | UTF8 | TLS, "EHLO a.test\r\n",
	    "220 mx.test ESMTP Posthouse\r\n"
	    "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 100\r\n250-8BITMIME\r\n250-CHUNKING\r\n250-STARTTLS\r\n"
	    "250-SMTPUTF8\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES\r\n", "" },
	{ "EHLO is silent about what there is not", FULL, "EHLO a.test\r\n",
	    "220 mx.test ESMTP Posthouse\r\n"
	    "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 100\r\n250-8BITMIME\r\n250-CHUNKING\r\n"
	    "250 ENHANCEDSTATUSCODES\r\n", "" },
	{ "HELO", FULL, "HELO a\r\n", "220 mx.test ESMTP Posthouse\r\n250 mx.test\r\n", "" },
	{ "a message", 0, EMR "DATA\r\nhi" END Q, "220 250 250 250 354 250 221 ", "(hi\r\n)#" },
	{ "a message after HELO", 0, "HELO a\r\n" MR "DATA\r\nhi" END, "220 250 250 250 354 250 ", "(hi\r\n)" },
	{ "an empty message", 0, EMR "DATA\r\n.\r\n", "220 250 250 250 354 250 ", "()" },
	{ "a message of one empty line", 0, EMR "DATA\r\n" END, "220 250 250 250 354 250 ", "(\r\n)" },
	{ "nothing outlives the message it belonged to", 0,
	    EMR "DATA\r\nhi" END "DATA\r\nRCPT TO:<x@b.test>\r\nBDAT 2 LAST\r\nxx" Q,
	    "220 250 250 250 354 250 503 503 503 221 ", "(hi\r\n)#" },
	{ "two messages", 0, EMR "DATA\r\n1" END MR "DATA\r\n2" END,
	    "220 250 250 250 354 250 250 250 354 250 ", "(1\r\n)(2\r\n)" },
	{ "EHLO first", 0, MR "DATA\r\nSTARTTLS\r\n" Q, "220 503 503 503 503 221 ", "#" },
	{ "one MAIL at a time", 0, E "MAIL FROM:<>\r\nMAIL FROM:<>\r\n", "220 250 250 503 ", "" },
	{ "RSET forgets", 0, EMR "RSET\r\nDATA\r\n", "220 250 250 250 250 503 ", "!" },
	{ "RSET with nothing to forget", 0, "RSET\r\n" E "RSET\r\n", "220 250 250 250 ", "" },
	{ "EHLO forgets", 0, EMR E "DATA\r\n", "220 250 250 250 250 503 ", "!" },
	{ "a bad EHLO does not", 0, EMR "EHLO\r\nDATA\r\nx" END, "220 250 250 250 501 354 250 ", "(x\r\n)" },
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
	    "250 ENHANCEDSTATUSCODES\r\n502 5.5.1 No login here: this server only receives\r\n", "" },
	{ "unknown verbs", FULL, "FOO\r\n\r\n MAIL\r\n",
	    "220 mx.test ESMTP Posthouse\r\n500 5.5.2 No such command\r\n500 5.5.2 No such command\r\n"
	    "500 5.5.2 No such command\r\n", "" },
	{ "not implemented", 0, "EXPN x\r\nETRN x\r\nTURN\r\nSTARTTLS\r\n", "220 502 502 502 503 ", "" },
	{ "commands that stand alone", 0, EMR "DATA x\r\nRSET x\r\nQUIT x\r\n",
	    "220 250 250 250 501 501 221 ", "!#" },
	{ "names", 0, "EHLO\r\nEHLO a b\r\nEHLO a\xc3\xb6\r\nEHLO [IPv6:::1]\r\nHELO x_y\r\n",
	    "220 501 501 501 250 250 ", "" },

	/* What the caller decides. */
	{ "a refused sender", 0, E "MAIL FROM:<no@b.test>\r\nRCPT TO:<c@d.test>\r\n", "220 250 550 503 ", "" },
	{ "a refused recipient", 0, E "MAIL FROM:<>\r\nRCPT TO:<no@d.test>\r\nDATA\r\n", "220 250 250 550 503 ", "" },
	{ "one refused, one later, one taken", 0,
	    E "MAIL FROM:<>\r\nRCPT TO:<no@d.test>\r\nRCPT TO:<later@d.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nx" END,
	    "220 250 250 550 451 250 354 250 ", "(x\r\n)" },
	{ "a refused message", 0, EMR "DATA\r\nSPAM" END MR, "220 250 250 250 354 550 250 250 ", "" },
	{ "no room for data", 0, E "MAIL FROM:<>\r\nRCPT TO:<full@d.test>\r\nDATA\r\n" MR,
	    "220 250 250 250 452 250 250 ", "!" },
	{ "no room for a chunk", 0, E "MAIL FROM:<>\r\nRCPT TO:<full@d.test>\r\nBDAT 6\r\nQUIT\r\n" MR,
	    "220 250 250 250 452 250 250 ", "!" },
	{ "the caller hangs up", 0, EMR "RCPT TO:<hang@d.test>\r\nNOOP\r\n", "220 250 250 250 421 ", "!#" },
	{ "what the caller is told", MAILS | DSN | UTF8,
	    E "MAIL FROM:<> SIZE=7 BODY=8BITMIME  RET=HDRS ENVID=q+2Bq SMTPUTF8\r\n"
	    "RCPT TO:<@x.test:\"c\"@D.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c@d.test\r\n"
	    "RCPT TO: <Postmaster>\r\n",
	    "220 250 250 250 250 ",
	    "M<>{}[SIZE=7 BODY=8BITMIME  RET=HDRS ENVID=q+2Bq SMTPUTF8]7"
	    "R<@x.test:\"c\"@D.test>{c@d.test}[NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c@d.test]"
	    "R<Postmaster>{Postmaster}[]" },

	/* Syntax of MAIL and RCPT. */
	{ "bad senders", 0, E "MAIL\r\nMAIL FROM\r\nMAIL TO:<>\r\nMAIL FROM:a@b.test\r\nMAIL FROM:<a@b>x\r\n",
	    "220 250 501 501 501 501 501 ", "" },
	{ "bad recipients", FULL,
	    "HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<>\r\nRCPT FROM:<a@b>\r\nRCPT TO:<bob>\r\n",
	    "220 mx.test ESMTP Posthouse\r\n250 mx.test\r\n250 2.1.0 Fine\r\n"
	    "501 5.1.3 That is no recipient address\r\n501 5.5.4 Say RCPT TO:<address>\r\n"
	    "501 5.1.3 That is no recipient address\r\n", "" },
	{ "SIZE", 0, E "MAIL FROM:<> SIZE=101\r\nMAIL FROM:<> SIZE=99999999999999999999\r\nMAIL FROM:<> SIZE=\r\n"
	    "MAIL FROM:<> SIZE=-1\r\nMAIL FROM:<> SIZE\r\nMAIL FROM:<> SIZE=100\r\n",
	    "220 250 552 552 501 501 501 250 ", "" },
	{ "SIZE that no number holds", 0, E "MAIL FROM:<> SIZE=999999999999999999999\r\n", "220 250 501 ", "" },
	{ "BODY", 0, E "MAIL FROM:<> BODY=BINARYMIME\r\nMAIL FROM:<> BODY\r\nMAIL FROM:<> body=7bit\r\n",
	    "220 250 501 501 250 ", "" },
	{ "said twice", 0, E "MAIL FROM:<> SIZE=1 SIZE=1\r\n", "220 250 501 ", "" },
	{ "not announced", 0,
	    E "MAIL FROM:<> SMTPUTF8\r\nMAIL FROM:<> RET=FULL\r\nMAIL FROM:<> ENVID=x\r\nMAIL FROM:<> AUTH=<>\r\n",
	    "220 250 555 555 555 555 ", "" },
	{ "not announced for recipients", 0, EMR "RCPT TO:<a@b.test> NOTIFY=NEVER\r\nRCPT TO:<a@b.test> SIZE=1\r\n",
	    "220 250 250 250 555 555 ", "" },
	{ "not known", FULL, "HELO a\r\nMAIL FROM:<> X=1\r\nMAIL FROM:<> =1\r\n",
	    "220 mx.test ESMTP Posthouse\r\n250 mx.test\r\n"
	    "555 5.5.4 Parameter unknown or not announced: X\r\n"
	    "555 5.5.4 Parameter unknown or not announced: \r\n", "" },
	{ "DSN of senders", DSN,
	    E "MAIL FROM:<> RET=ALL\r\nMAIL FROM:<> ENVID=\r\nMAIL FROM:<> ENVID=a+2b\r\nMAIL FROM:<> ENVID=a=b\r\n"
	    "MAIL FROM:<> RET=full ENVID=a+2B\r\n", "220 250 501 501 501 501 250 ", "" },
	{ "DSN of recipients", DSN,
	    EMR "RCPT TO:<c@d.test> NOTIFY=\r\nRCPT TO:<c@d.test> NOTIFY=NEVER,DELAY\r\n"
	    "RCPT TO:<c@d.test> NOTIFY=DELAY,DELAY\r\nRCPT TO:<c@d.test> NOTIFY=DELAY,\r\n"
	    "RCPT TO:<c@d.test> ORCPT=x\r\n", "220 250 250 250 501 501 501 501 501 ", "" },
	{ "DSN taken", DSN, EMR "RCPT TO:<c@d.test> NOTIFY=never\r\nRCPT TO:<c@d.test> NOTIFY=failure,delay,success\r\n",
	    "220 250 250 250 250 250 ", "" },
	{ "other than ASCII needs SMTPUTF8", UTF8,
	    E "MAIL FROM:<\xc3\xb6@b.test>\r\nMAIL FROM:<\xc3\xb6@b.test> SMTPUTF8\r\nRCPT TO:<\xc3\xb6@b.test>\r\n"
	    "RSET\r\nMAIL FROM:<>\r\nRCPT TO:<a@\xc3\xb6.test>\r\n",
	    "220 250 553 250 250 250 250 553 ", "!" },
	{ "SMTPUTF8 stands alone", UTF8, E "MAIL FROM:<> SMTPUTF8=1\r\n", "220 250 501 ", "" },
	{ "too many recipients", 0, EMR "RCPT TO:<c@d.test>\r\nRCPT TO:<c@d.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\nx" END,
	    "220 250 250 250 250 250 452 354 250 ", "(x\r\n)" },

	/* Lines. */
	{ "bare LF in a command", FULL, "NOOP\nNOOP\r\nNOOP\r\n",
	    "220 mx.test ESMTP Posthouse\r\n500 5.5.2 Only CRLF may end a line: a CR or LF stood alone\r\n"
	    "250 2.0.0 Still here\r\n", "" },
	{ "bare CR in a command", 0, "NOOP\rNOOP\r\nNOOP\r\n", "220 500 250 ", "" },
	{ "CR CR LF in a command", 0, "NOOP\r\r\nNOOP\r\n", "220 500 250 ", "" },
	{ "LF CR in a command", 0, "NOOP\n\rNOOP\r\nNOOP\r\n", "220 500 250 ", "" },
	{ "only LF is never a line", 0, "EHLO a\nMAIL FROM:<>\nRCPT TO:<c@d.test>\nDATA\nx\n.\nQUIT\n", "220 500 ", "" },
	{ "NUL in a command would be cut by C", 0, "MAIL FROM:<>\r\nNO\tOP\r\n", "220 503 500 ", "" },
	{ "a line of 512", 0, "NOOP " L60 L60 L60 L60 L60 L60 L60 L60 "xxxxxxxxxxxxxxxxxxxxxxxxx\r\nNOOP\r\n",
	    "220 250 250 ", "" },
	{ "a line of 513", 0, "NOOP " L60 L60 L60 L60 L60 L60 L60 L60 "xxxxxxxxxxxxxxxxxxxxxxxxxx\r\nNOOP\r\n",
	    "220 500 250 ", "" },
	{ "a long line is one error", 0, L60 L60 L60 L60 L60 L60 L60 L60 L60 L60 L60 L60 "\n\r\r \r\nNOOP\r\n",
	    "220 500 250 ", "" },
	{ "too many errors", 0, E "A\r\nA\r\nA\r\nA\r\nA\r\nA\r\nNOOP\r\n", "220 250 500 500 500 500 500 500 421 ", "#" },
	{ "refused recipients are errors too", 0, EMR "RCPT TO:<no@d.test>\r\nRCPT TO:<no@d.test>\r\nRCPT TO:<no@d.test>\r\n"
	    "RCPT TO:<no@d.test>\r\nRCPT TO:<no@d.test>\r\nRCPT TO:<no@d.test>\r\nDATA\r\n",
	    "220 250 250 250 550 550 550 550 550 550 421 ", "!#" },
	{ "a message makes good", 0, E "A\r\nA\r\nA\r\nA\r\nA\r\n" MR "DATA\r\nx" END "A\r\nA\r\nA\r\nA\r\nA\r\nNOOP\r\n",
	    "220 250 500 500 500 500 500 250 250 354 250 500 500 500 500 500 250 ", "(x\r\n)" },
	{ "too many commands", 0, EMR "NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n"
	    "NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n",
	    "220 250 250 250 250 250 250 250 250 250 250 250 250 250 250 250 250 250 250 250 250 421 ", "!#" },

	/* Data: dots and the one end. */
	{ "dots undone", 0, EMR "DATA\r\n..\r\n.a\r\n..b\r\n...\r\nc.\r\nd." END,
	    "220 250 250 250 354 250 ", "(.\r\na\r\n.b\r\n..\r\nc.\r\nd.\r\n)" },
	{ "a dot first and a dot last", 0, EMR "DATA\r\n..\r\n.\r\n", "220 250 250 250 354 250 ", "(.\r\n)" },
	{ "eight bits pass", 0, EMR "DATA\r\n\xff\x80\x01\x7f" END, "220 250 250 250 354 250 ", "(\xff\x80\x01\x7f\r\n)" },

	/* Smuggling: each would end data in another's eyes, and NOOP would be a command. */
	{ "LF . LF", 0, EMR "DATA\r\na\n.\nNOOP\r\n.\r\n" Q, "220 250 250 250 354 550 221 ", "!#" },
	{ "LF . CR LF", 0, EMR "DATA\r\na\n.\r\nNOOP\r\n.\r\n" Q, "220 250 250 250 354 550 221 ", "!#" },
	{ "CR LF . LF", 0, EMR "DATA\r\na\r\n.\nNOOP\r\n.\r\n" Q, "220 250 250 250 354 550 221 ", "!#" },
	{ "CR . CR LF", 0, EMR "DATA\r\na\r.\r\nNOOP\r\n.\r\n" Q, "220 250 250 250 354 550 221 ", "!#" },
	{ "CR . CR", 0, EMR "DATA\r\na\r.\rNOOP\r\n.\r\n" Q, "220 250 250 250 354 550 221 ", "!#" },
	{ "CR . LF", 0, EMR "DATA\r\na\r.\nNOOP\r\n.\r\n" Q, "220 250 250 250 354 550 221 ", "!#" },
	{ "LF . CR", 0, EMR "DATA\r\na\n.\rNOOP\r\n.\r\n" Q, "220 250 250 250 354 550 221 ", "!#" },
	{ "CR LF . CR", 0, EMR "DATA\r\na\r\n.\rNOOP\r\n.\r\n" Q, "220 250 250 250 354 550 221 ", "!#" },
	{ "CR LF . CR CR LF", 0, EMR "DATA\r\na\r\n.\r\r\nNOOP\r\n.\r\n" Q, "220 250 250 250 354 550 221 ", "!#" },
	{ "LF LF . LF", 0, EMR "DATA\r\na\n\n.\nNOOP\r\n.\r\n" Q, "220 250 250 250 354 550 221 ", "!#" },
	{ "LF CR . LF CR", 0, EMR "DATA\r\na\n\r.\n\rNOOP\r\n.\r\n" Q, "220 250 250 250 354 550 221 ", "!#" },
	{ "a dot at once, then LF", 0, EMR "DATA\r\n.\nNOOP\r\n.\r\n" Q, "220 250 250 250 354 550 221 ", "!#" },
	{ "a bare LF behind a dot undone", 0, EMR "DATA\r\n..\nNOOP\r\n.\r\n" Q, "220 250 250 250 354 550 221 ", "!#" },
	{ "CR CR LF . CR LF ends, and nothing behind it is believed", 0,
	    EMR "DATA\r\na\r\r\n.\r\nMAIL FROM:<>\r\n.\r\n" Q, "220 250 250 250 354 550 ", "!#" },
	{ "CR CR CR LF . CR LF the same", 0,
	    EMR "DATA\r\na\r\r\r\n.\r\nMAIL FROM:<>\r\n", "220 250 250 250 354 550 ", "!#" },
	{ "CR CR LF in the middle is a fault like others", 0,
	    EMR "DATA\r\na\r\r\nb\r\n.\r\n" Q, "220 250 250 250 354 550 221 ", "!#" },
	{ "CR CR LF CR LF . CR LF ends as it should", 0,
	    EMR "DATA\r\na\r\r\n\r\n.\r\n" Q, "220 250 250 250 354 550 221 ", "!#" },

	/* The same where bare line ends are made good: the dots stay content. */
	{ "normalized: LF . LF", NORMALIZE, EMR "DATA\r\na\n.\nNOOP\r\n.\r\n" Q,
	    "220 250 250 250 354 250 221 ", "(a\r\n.\r\nNOOP\r\n)#" },
	{ "normalized: LF . CR LF", NORMALIZE, EMR "DATA\r\na\n.\r\nNOOP\r\n.\r\n" Q,
	    "220 250 250 250 354 250 221 ", "(a\r\n.\r\nNOOP\r\n)#" },
	{ "normalized: CR LF . LF loses its stuffing only", NORMALIZE, EMR "DATA\r\na\r\n.\nNOOP\r\n.\r\n" Q,
	    "220 250 250 250 354 250 221 ", "(a\r\n\r\nNOOP\r\n)#" },
	{ "normalized: CR . CR", NORMALIZE, EMR "DATA\r\na\r.\rNOOP\r\n.\r\n" Q,
	    "220 250 250 250 354 250 221 ", "(a\r\n.\r\nNOOP\r\n)#" },
	{ "normalized: CR . LF", NORMALIZE, EMR "DATA\r\na\r.\nNOOP\r\n.\r\n" Q,
	    "220 250 250 250 354 250 221 ", "(a\r\n.\r\nNOOP\r\n)#" },
	{ "normalized: CR LF . CR", NORMALIZE, EMR "DATA\r\na\r\n.\rNOOP\r\n.\r\n" Q,
	    "220 250 250 250 354 250 221 ", "(a\r\n\r\nNOOP\r\n)#" },
	{ "normalized: CR LF . CR CR LF", NORMALIZE, EMR "DATA\r\na\r\n.\r\r\nNOOP\r\n.\r\n" Q,
	    "220 250 250 250 354 250 221 ", "(a\r\n\r\n\r\nNOOP\r\n)#" },
	{ "normalized: LF LF . . LF", NORMALIZE, EMR "DATA\r\na\n\n..\nNOOP\r\n.\r\n" Q,
	    "220 250 250 250 354 250 221 ", "(a\r\n\r\n..\r\nNOOP\r\n)#" },
	{ "normalized: LF CR", NORMALIZE, EMR "DATA\r\na\n\rb\r\n.\r\n" Q,
	    "220 250 250 250 354 250 221 ", "(a\r\n\r\nb\r\n)#" },
	{ "normalized: CR CR LF . CR LF is taken, and nothing behind it believed", NORMALIZE,
	    EMR "DATA\r\na\r\r\n.\r\nMAIL FROM:<>\r\n", "220 250 250 250 354 250 ", "(a\r\n\r\n)#" },
	{ "normalized: CR CR LF and a stuffed dot", NORMALIZE, EMR "DATA\r\na\r\r\n..b\r\n.\r\n" Q,
	    "220 250 250 250 354 250 221 ", "(a\r\n\r\n.b\r\n)#" },
	{ "normalized: CR CR LF and a dot undone", NORMALIZE, EMR "DATA\r\na\r\r\n.b\r\n.\r\n" Q,
	    "220 250 250 250 354 250 221 ", "(a\r\n\r\nb\r\n)#" },
	{ "normalized: a CR at the end of data", NORMALIZE, EMR "DATA\r\na\r" END Q,
	    "220 250 250 250 354 250 ", "(a\r\n\r\n)#" },

	/* Faults of content. */
	{ "Received lines, two allowed", 0, EMR "DATA\r\n" R2 "\r\nx" END, "220 250 250 250 354 250 ",
	    "(" R2 "\r\nx\r\n)" },
	{ "Received lines, three", 0, EMR "DATA\r\n" R2 "rEcEiVeD: z\r\n\r\nx" END Q, "220 250 250 250 354 554 221 ", "!#" },
	{ "Received lines in the body are text", 0, EMR "DATA\r\n\r\n" R2 "Received: z" END,
	    "220 250 250 250 354 250 ", "(\r\n" R2 "Received: z\r\n)" },
	{ "other lines are no Received", 0, EMR "DATA\r\n" R2 "Receive: a\r\n Received: b\r\nXReceived: c\r\nReceived" END,
	    "220 250 250 250 354 250 ", "(" R2 "Receive: a\r\n Received: b\r\nXReceived: c\r\nReceived\r\n)" },
	{ "a stuffed Received counts", 0, EMR "DATA\r\n" R2 ".Received: z" END, "220 250 250 250 354 554 ", "!" },
	{ "size to the octet", 0, EMR "DATA\r\n" L60 "\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" END,
	    "220 250 250 250 354 250 ", "(" L60 "\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n)" },
	{ "one octet more", 0, EMR "DATA\r\n" L60 "\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" END MR,
	    "220 250 250 250 354 552 250 250 ", "!" },
	{ "dots undone do not count", 0, EMR "DATA\r\n." L60 "\r\n.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" END,
	    "220 250 250 250 354 250 ", "(" L60 "\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n)" },
	{ "the first fault counts: size", 0, EMR "DATA\r\n" L60 L60 "\n" END, "220 250 250 250 354 552 ", "!" },
	{ "the first fault counts: bare", 0, EMR "DATA\r\n\n" L60 L60 END, "220 250 250 250 354 550 ", "!" },
	{ "a refused message is read to its true end", 0, EMR "DATA\r\n" L60 L60 "\r\n..\r\n.x\r\n\n.\r\nRSET" END MR,
	    "220 250 250 250 354 552 250 250 ", "!" },

	/* Chunks. */
	{ "chunks", FULL, "HELO a\r\n" MR "BDAT 4\r\na\r\nbBDAT 3 LAST\r\n\r\nc" Q,
	    "220 mx.test ESMTP Posthouse\r\n250 mx.test\r\n250 2.1.0 Fine\r\n250 2.1.5 Fine\r\n"
	    "250 2.0.0 4 octets so far\r\n250 2.0.0 Kept\r\n221 2.0.0 Goodbye\r\n", "(a\r\nb\r\nc)#" },
	{ "nothing LAST", 0, EMR "BDAT 0 LAST\r\n", "220 250 250 250 250 ", "()" },
	{ "nothing, then nothing LAST", 0, EMR "BDAT 0\r\nBDAT 3\r\nx\r\nBDAT 0 LAST\r\n", "220 250 250 250 250 250 250 ",
	    "(x\r\n)" },
	{ "dots are dots in chunks", 0, EMR "BDAT 12 LAST\r\n.\r\n..\r\n\r\n.\r\n" Q, "220 250 250 250 250 221 ",
	    "(.\r\n..\r\n\r\n.\r\n)#" },
	{ "lower case and more space", 0, EMR "bdat  3  last\r\nx\r\n", "220 250 250 250 250 ", "(x\r\n)" },
	{ "CR and LF in two chunks are CRLF", 0, EMR "BDAT 2\r\nx\rBDAT 2 LAST\r\n\ny", "220 250 250 250 250 250 ",
	    "(x\r\ny)" },
	{ "CR and LF with an empty chunk between", 0, EMR "BDAT 2\r\nx\rBDAT 0\r\nBDAT 2 LAST\r\n\ny",
	    "220 250 250 250 250 250 250 ", "(x\r\ny)" },
	{ "CR at a chunk's end and no LF", 0, EMR "BDAT 2\r\nx\rBDAT 2 LAST\r\nyz" Q, "220 250 250 250 250 550 221 ", "!#" },
	{ "CR at the very end", 0, EMR "BDAT 2 LAST\r\nx\r" Q, "220 250 250 250 550 221 ", "!#" },
	{ "CR before nothing LAST", 0, EMR "BDAT 2\r\nx\rBDAT 0 LAST\r\n" Q, "220 250 250 250 250 550 221 ", "!#" },
	{ "bare LF in a chunk", 0, EMR "BDAT 3\r\nx\nyBDAT 2 LAST\r\nab" Q, "220 250 250 250 550 503 221 ", "!#" },
	{ "bare LF at a chunk's start", 0, EMR "BDAT 1\r\nxBDAT 1 LAST\r\n\n" Q, "220 250 250 250 250 550 221 ", "!#" },
	{ "normalized chunks", NORMALIZE, EMR "BDAT 6\r\na\nb\rc\rBDAT 2 LAST\r\nd\r" Q, "220 250 250 250 250 250 221 ",
	    "(a\r\nb\r\nc\r\nd\r\n)#" },
	{ "octets of a refused chunk are no commands", 0, EMR "RSET\r\nBDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
	    "220 250 250 250 250 503 503 250 ", "!" },
	{ "chunk without MAIL", 0, E "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "220 250 503 250 ", "" },
	{ "chunk before EHLO", 0, "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "220 503 250 ", "" },
	{ "chunk without RCPT leaves the MAIL", 0, E "MAIL FROM:<>\r\nBDAT 6\r\nQUIT\r\nRCPT TO:<c@d.test>\r\nBDAT 0 LAST\r\n",
	    "220 250 250 503 250 250 ", "()" },
	{ "DATA between chunks", 0, EMR "BDAT 1\r\nxDATA\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.test>\r\nNOOP\r\nBDAT 1 LAST\r\ny",
	    "220 250 250 250 250 503 503 503 250 250 ", "(xy)" },
	{ "RSET between chunks", 0, EMR "BDAT 1\r\nxRSET\r\nBDAT 1 LAST\r\ny", "220 250 250 250 250 250 503 ", "!" },
	{ "EHLO between chunks", 0, EMR "BDAT 1\r\nx" E, "220 250 250 250 250 250 ", "!" },
	{ "QUIT between chunks", 0, EMR "BDAT 1\r\nx" Q, "220 250 250 250 250 221 ", "!#" },
	{ "a chunk too many", 0, EMR "BDAT 60\r\n" L60 "BDAT 41 LAST\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" MR,
	    "220 250 250 250 250 552 250 250 ", "!" },
	{ "a chunk of just what is left", 0, EMR "BDAT 60\r\n" L60 "BDAT 40 LAST\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
	    "220 250 250 250 250 250 ", "(" L60 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx)" },
	{ "a chunk larger than anyone reads", 0, EMR "BDAT 99999999999\r\nQUIT\r\n", "220 250 250 250 552 ", "!#" },
	{ "out of turn and larger than anyone reads", 0, E "BDAT 18446744073709551615\r\nQUIT\r\n", "220 250 503 ", "#" },
	{ "a size that cannot be read ends the session", 0, EMR "BDAT 6x\r\nQUIT\r\n", "220 250 250 250 501 ", "!#" },
	{ "a size that no number holds ends the session", 0, EMR "BDAT 99999999999999999999 LAST\r\nQUIT\r\n",
	    "220 250 250 250 501 ", "!#" },
	{ "no size ends the session", 0, EMR "BDAT\r\nNOOP\r\n", "220 250 250 250 501 ", "!#" },
	{ "bad word after a size", 0, EMR "BDAT 6 FIRST\r\nQUIT\r\nBDAT 0 LAST\r\n", "220 250 250 250 501 250 ", "()" },
	{ "what comes behind a chunk refused for now is refused for now", 0,
	    E "MAIL FROM:<>\r\nRCPT TO:<full@d.test>\r\nBDAT 2\r\nxxBDAT 2\r\nxxBDAT 2 LAST\r\nxxRSET\r\nBDAT 0\r\n",
	    "220 250 250 250 452 452 452 250 503 ", "!" },
	{ "a refusal for now is forgotten with EHLO", 0,
	    E "MAIL FROM:<>\r\nRCPT TO:<full@d.test>\r\nBDAT 2\r\nxx" E "BDAT 0\r\n",
	    "220 250 250 250 452 250 503 ", "!" },
	{ "a refusal for now is forgotten with the next message", 0,
	    E "MAIL FROM:<>\r\nRCPT TO:<full@d.test>\r\nBDAT 2\r\nxx" MR "BDAT 1 LAST\r\nxBDAT 0\r\n",
	    "220 250 250 250 452 250 250 250 503 ", "!(x)" },
	{ "a chunk refused for good", 0, E "MAIL FROM:<>\r\nRCPT TO:<never@d.test>\r\nBDAT 2\r\nxxBDAT 2 LAST\r\nxx" MR,
	    "220 250 250 250 554 503 250 250 ", "!" },
	{ "Received over chunks", 0, EMR "BDAT 28\r\n" R2 "REBDAT 9 LAST\r\nceived: z", "220 250 250 250 250 554 ", "!" },
	{ "a refused message in chunks", 0, EMR "BDAT 4 LAST\r\nSPAM" MR, "220 250 250 250 550 250 250 ", "" },

	/* STARTTLS where it may not be; where it may, see test_starttls. */
	{ "TLS is not offered", 0, E "STARTTLS\r\n", "220 250 502 ", "" },
	{ "STARTTLS stands alone", TLS, E "STARTTLS now\r\n", "220 250 501 ", "" },
	{ "STARTTLS inside a transaction", TLS, EMR "STARTTLS\r\n", "220 250 250 250 503 ", "" },
};

static const struct smtp_srv_conf confs[2] = {
	{ "mx.test", { 512, 3, 100, 6, 20, 2 }, SMTP_BARE_REFUSE },
	{ "mx.test", { 512, 3, 100, 6, 20, 2 }, SMTP_BARE_NORMALIZE },
};

struct play {
	struct smtp_srv	*srv;
	unsigned	 with;
	struct buf	 codes, arrived, body;
	struct smtp_reply verdict;	/* on the data of this transaction */
	bool		 starttls, closed;
};

static bool
starts(const struct address *a, const char *s)
{
	return strncmp(a->local, s, strlen(s)) == 0;
}

static struct smtp_reply
decide(struct play *p, const struct smtp_ev *ev)
{
	if (ev->type == SMTP_EV_EOM)
		return p->body.n > 0 && memmem(p->body.p, p->body.n, "SPAM", 4) != NULL ? smtp_reply(550, 5, 7, 1, "No") :
									  smtp_reply(250, 2, 0, 0, "Kept");
	if (ev->type == SMTP_EV_BEGIN)
		return p->verdict.code != 0 ? p->verdict : smtp_reply(354, 0, 0, 0, "Go on");
	if (starts(ev->addr, "no"))
		return smtp_reply(550, 5, 1, 1, "No");
	if (starts(ev->addr, "later"))
		return smtp_reply(451, 4, 7, 1, "Later");
	if (starts(ev->addr, "hang"))
		return smtp_reply(421, 4, 7, 0, "Away");
	if (starts(ev->addr, "full"))
		p->verdict = smtp_reply(452, 4, 3, 1, "Full");
	if (starts(ev->addr, "never"))
		p->verdict = smtp_reply(554, 5, 7, 1, "Never");
	return ev->type == SMTP_EV_MAIL ? smtp_reply(250, 2, 1, 0, "Fine") : smtp_reply(250, 2, 1, 5, "Fine");
}

static void
note_mail(struct play *p, const struct smtp_ev *ev)
{
	char addr[ADDRESS_PRINT_MAX];

	address_print(ev->addr, addr, sizeof(addr));
	buf_addf(&p->arrived, "%c%.*s{%s}[%.*s]", ev->type == SMTP_EV_MAIL ? 'M' : 'R', (int)ev->path.n, ev->path.p,
	    addr, (int)ev->arg.n, ev->arg.p);
	if (ev->type == SMTP_EV_MAIL)
		buf_addf(&p->arrived, "%llu", (unsigned long long)smtp_srv_declared_size(p->srv));
}

static void
take_reply(struct play *p)
{
	struct span out = smtp_srv_out(p->srv);

	if ((p->with & FULL) != 0)
		buf_add_span(&p->codes, out);
	for (size_t i = 0; (p->with & FULL) == 0 && i + 4 < out.n; i = (size_t)((char *)memchr(out.p + i, '\n',
	    out.n - i) - out.p) + 1)
		if (out.p[i + 3] == ' ')
			buf_add(&p->codes, out.p + i, 4);
	smtp_srv_out_used(p->srv, out.n);
}

static void
answer(struct play *p, const struct smtp_ev *ev)
{
	struct smtp_reply r;

	if (ev->type == SMTP_EV_MAIL)
		p->verdict.code = 0;
	r = decide(p, ev);
	if (ev->type == SMTP_EV_EOM && r.code == 250) {
		buf_add(&p->arrived, "(", 1);
		buf_add_span(&p->arrived, buf_span(&p->body));
		buf_add(&p->arrived, ")", 1);
	}
	if (ev->type != SMTP_EV_MAIL && ev->type != SMTP_EV_RCPT)
		buf_clear(&p->body);
	smtp_srv_answer(p->srv, &r);
}

/* A piece of input, given from memory of its own so that a sanitizer sees who reads behind it. */
static void
hear(struct play *p, const char *s, size_t n)
{
	char *piece = malloc(n > 0 ? n : 1);
	size_t used = 0;

	memcpy(piece, s, n);
	for (;;) {
		struct smtp_ev ev;

		used += smtp_srv_step(p->srv, piece + used, n - used, &ev);
		if (ev.type == SMTP_EV_NONE || ev.type == SMTP_EV_CLOSE || ev.type == SMTP_EV_STARTTLS) {
			if (ev.type == SMTP_EV_CLOSE && !p->closed)
				buf_add(&p->arrived, "#", 1);
			p->closed = ev.type == SMTP_EV_CLOSE;
			p->starttls = p->starttls || ev.type == SMTP_EV_STARTTLS;
			if (used != n)
				abort();
			break;
		}
		if ((p->with & MAILS) != 0 && (ev.type == SMTP_EV_MAIL || ev.type == SMTP_EV_RCPT))
			note_mail(p, &ev);
		if (ev.type == SMTP_EV_REPLY) {
			take_reply(p);
		} else if (ev.type == SMTP_EV_BODY) {
			if (ev.arg.n == 0)
				abort();
			buf_add_span(&p->body, ev.arg);
		} else if (ev.type == SMTP_EV_ABORT) {
			buf_add(&p->arrived, "!", 1);
			buf_clear(&p->body);
		} else if (ev.type != SMTP_EV_HELO) {
			answer(p, &ev);
		}
	}
	free(piece);
}

static void
play_init(struct play *p, unsigned with)
{
	*p = (struct play){ .with = with };
	buf_init(&p->codes, LOG_MAX);
	buf_init(&p->arrived, LOG_MAX);
	buf_init(&p->body, LOG_MAX);
	if ((p->srv = smtp_srv_new(&confs[(with & NORMALIZE) != 0], with & 0xff)) == NULL)
		abort();
	hear(p, "", 0);
}

static void
play_fini(struct play *p)
{
	smtp_srv_free(&p->srv);
	buf_fini(&p->codes);
	buf_fini(&p->arrived);
	buf_fini(&p->body);
}

static bool
went_well(const struct play *p, const char *name, size_t cut, const char *codes, const char *arrives)
{
	if (span_eq(buf_span(&p->codes), span_str(codes)) && span_eq(buf_span(&p->arrived), span_str(arrives)))
		return true;
	printf("%s, cut %zu:\n said %.*s\n not  %s\n got  %.*s\n not  %s\n", name, cut, (int)p->codes.n, p->codes.p,
	    codes, (int)p->arrived.n, p->arrived.p, arrives);
	return false;
}

/* Pieces of `piece` octets each, after a first one of `first`. */
static bool
play(const struct talk *t, size_t first, size_t piece)
{
	size_t n = strlen(t->says);
	struct play p;
	bool ok;

	play_init(&p, t->with);
	for (size_t at = 0; at < n;) {
		size_t k = at == 0 && first > 0 ? first : piece;

		k = k < n - at ? k : n - at;
		hear(&p, t->says + at, k);
		at += k;
	}
	ok = went_well(&p, t->name, first > 0 ? first : piece, t->codes, t->arrives);
	play_fini(&p);
	return ok;
}

/* NUL cannot stand in the table above. */
static bool
test_nul(void)
{
	static const char data[] = EMR "DATA\r\na\r\n\0.\r\nNOOP" END EMR "BDAT 3 LAST\r\na\0b" "NO\0OP\r\n" Q;
	bool ok = true;

	for (size_t piece = 1; piece < sizeof(data); piece++) {
		struct play p;

		play_init(&p, 0);
		for (size_t at = 0; at < sizeof(data) - 1; at += piece)
			hear(&p, data + at, piece < sizeof(data) - 1 - at ? piece : sizeof(data) - 1 - at);
		ok = went_well(&p, "NUL", piece, "220 250 250 250 354 554 250 250 250 554 500 221 ", "!!#") && ok;
		play_fini(&p);
	}
	return ok;
}

/* What is said in the clear around STARTTLS, and how the session goes on inside TLS. */
static bool
test_starttls(void)
{
	static const struct {
		const char	*name, *says, *later, *secured, *codes, *arrives;
	} cases[] = {
		{ "all is forgotten", E "STARTTLS\r\n", "", MR E "STARTTLS\r\n", "220 250 220 503 503 250 502 ", "" },
		{ "behind it in one piece", E "STARTTLS\r\n" MR, NULL, "", "220 250 501 ", "" },
		{ "half a line behind it", E "STARTTLS\r\nNOO", NULL, "", "220 250 501 ", "" },
		{ "behind it a little later", E "STARTTLS\r\n", "RSET\r\nNO", "OP\r\nNOOP\r\n", "220 250 220 500 250 ", "" },
		{ "pipelined before it", E "NOOP\r\nSTARTTLS\r\n", "", E MR "DATA\r\nx" END,
		    "220 250 250 220 250 250 250 354 250 ", "(x\r\n)" },
	};
	bool ok = true;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct play p;

		play_init(&p, TLS);
		hear(&p, cases[i].says, strlen(cases[i].says));
		if (p.starttls != (cases[i].later != NULL)) {
			printf("%s: STARTTLS %d\n", cases[i].name, p.starttls);
			ok = false;
		} else if (p.starttls) {
			hear(&p, cases[i].later, strlen(cases[i].later));
			smtp_srv_secured(p.srv);
			ok = smtp_srv_helo(p.srv).n == 0 && !smtp_srv_esmtp(p.srv) && ok;
			hear(&p, cases[i].secured, strlen(cases[i].secured));
		}
		ok = went_well(&p, cases[i].name, 0, cases[i].codes, cases[i].arrives) && ok;
		play_fini(&p);
	}
	return ok;
}

/* Ended from outside, at every octet of a conversation. */
static bool
test_shut(void)
{
	static const char says[] = EMR "DATA\r\nx\r\n.\r\n" MR "BDAT 3\r\nabcBDAT 2\r\nxxRSET\r\nNOOP\r\n";
	const struct smtp_reply timeout = smtp_reply(421, 4, 4, 2, "Timeout");
	bool ok = true;

	for (size_t at = 0; at < sizeof(says); at++) {
		struct play p;
		bool idle;

		play_init(&p, 0);
		hear(&p, says, at);
		idle = smtp_srv_idle(p.srv);
		buf_clear(&p.arrived);
		smtp_srv_shut(p.srv, &timeout);
		smtp_srv_shut(p.srv, &timeout);
		smtp_srv_answer(p.srv, &timeout);
		hear(&p, says, sizeof(says) - 1);
		if (p.codes.n < 4 || memcmp(p.codes.p + p.codes.n - 4, "421 ", 4) != 0 ||
		    !span_eq(buf_span(&p.arrived), idle ? SPAN_LIT("#") : SPAN_LIT("!#"))) {
			printf("shut at %zu, idle %d: %.*s\n", at, idle, (int)p.arrived.n, p.arrived.p);
			ok = false;
		}
		play_fini(&p);
	}
	return ok;
}

/* Ended while a decision is owed: the answer that comes too late changes nothing. */
static bool
test_shut_asked(void)
{
	static const char says[] = EMR "DATA\r\nx\r\n.\r\n";
	const struct smtp_reply away = smtp_reply(421, 4, 3, 2, "Away"), go = smtp_reply(354, 0, 0, 0, "Go");
	const struct smtp_reply ok = smtp_reply(250, 2, 0, 0, "Fine");
	bool good = true;

	for (unsigned stop = 0; stop < 4; stop++) {	/* MAIL, RCPT, BEGIN, EOM */
		struct smtp_srv *s = smtp_srv_new(&confs[0], 0);
		unsigned asked = 0, aborts = 0;
		size_t used = 0;
		struct smtp_ev ev;

		do {
			used += smtp_srv_step(s, says + used, sizeof(says) - 1 - used, &ev);
			if (ev.type == SMTP_EV_REPLY)
				smtp_srv_out_used(s, smtp_srv_out(s).n);
			else if (ev.type == SMTP_EV_ABORT)
				aborts++;
			else if (ev.type == SMTP_EV_MAIL || ev.type == SMTP_EV_RCPT || ev.type == SMTP_EV_BEGIN ||
			    ev.type == SMTP_EV_EOM) {
				if (asked++ == stop) {
					smtp_srv_shut(s, &away);
					smtp_srv_answer(s, &ok);
					good = span_starts_nocase(smtp_srv_out(s), SPAN_LIT("421 4.3.2")) && good;
				} else {
					smtp_srv_answer(s, ev.type == SMTP_EV_BEGIN ? &go : &ok);
				}
			}
		} while (ev.type != SMTP_EV_CLOSE && ev.type != SMTP_EV_NONE);
		good = ev.type == SMTP_EV_CLOSE && aborts == (stop > 0) && used == sizeof(says) - 1 && good;
		smtp_srv_free(&s);
	}
	if (!good)
		printf("shut while asked\n");
	return good;
}

/* The last 421 of refused data that does not end, and that no more than promised is read before it. */
static bool
test_endless(void)
{
	static char flood[1 << 16];
	struct play p;
	uint64_t read = 0;
	bool ok;

	memset(flood, 'x', sizeof(flood));
	play_init(&p, 0);
	hear(&p, EMR "DATA\r\n", strlen(EMR "DATA\r\n"));
	while (!p.closed && read < 4 * (uint64_t)SMTP_DISCARD_SLACK) {
		hear(&p, flood, sizeof(flood));
		read += sizeof(flood);
	}
	ok = read < SMTP_DISCARD_SLACK + 4 * sizeof(flood);
	ok = went_well(&p, "data without end", 0, "220 250 250 250 354 552 ", "!#") && ok;
	play_fini(&p);
	return ok;
}

/* A sender that pipelines gets one answer at a time, and costs no memory meanwhile. */
static bool
test_back_pressure(void)
{
	struct smtp_srv *s = smtp_srv_new(&confs[0], 0);
	const char *in = "NOOP\r\nNOOP\r\n" E "MAIL FROM:<>\r\nNOOP\r\n";
	size_t n = strlen(in), used;
	struct smtp_ev ev;
	bool ok = true;

	used = smtp_srv_step(s, in, n, &ev);
	ok = ev.type == SMTP_EV_REPLY && used == 0 && ok;
	ok = smtp_srv_step(s, in, n, &ev) == 0 && ev.type == SMTP_EV_REPLY && ok;
	smtp_srv_out_used(s, 3);
	ok = smtp_srv_step(s, in, n, &ev) == 0 && ev.type == SMTP_EV_REPLY && ok;
	smtp_srv_out_used(s, smtp_srv_out(s).n);
	used = smtp_srv_step(s, in, n, &ev);
	ok = ev.type == SMTP_EV_REPLY && used == 6 && ok;
	while (ev.type != SMTP_EV_MAIL) {
		if (ev.type == SMTP_EV_REPLY)
			smtp_srv_out_used(s, smtp_srv_out(s).n);
		used += smtp_srv_step(s, in + used, n - used, &ev);
	}
	ok = used == n - 6 && ok;
	ok = smtp_srv_step(s, in + used, n - used, &ev) == 0 && ev.type == SMTP_EV_NONE && ok;
	smtp_srv_free(&s);
	if (!ok)
		printf("back pressure\n");
	return ok;
}

/* Line ends made good are counted over messages, taken or not, and only where they are made good. */
static bool
test_bare_lf(void)
{
	static const char says[] = EMR "DATA\r\na\nb\rc\r\n.\r\n" MR "BDAT 3\r\na\nbRSET\r\n" MR "DATA\r\n\n";
	static const unsigned counts[] = { 0, 4 };
	bool ok = true;

	for (unsigned normalize = 0; normalize < 2; normalize++) {
		struct play p;

		play_init(&p, normalize != 0 ? NORMALIZE : 0);
		hear(&p, says, sizeof(says) - 1);
		if (smtp_srv_bare_lf(p.srv) != counts[normalize]) {
			printf("bare_lf %u\n", smtp_srv_bare_lf(p.srv));
			ok = false;
		}
		play_fini(&p);
	}
	return ok;
}

/* Good content is told in one piece however many lines it has. */
static bool
test_spans(void)
{
	static const struct smtp_srv_conf conf = { "mx.test", { 512, 3, 1u << 20, 6, 20, 2 }, SMTP_BARE_REFUSE };
	struct smtp_srv *s = smtp_srv_new(&conf, 0);
	const struct smtp_reply yes = smtp_reply(250, 2, 0, 0, "Fine");
	struct buf in;
	size_t used = 0;
	unsigned bodies = 0;
	struct smtp_ev ev = { 0 };

	buf_init(&in, 1u << 20);
	buf_add_str(&in, EMR "DATA\r\n");
	for (int i = 0; i < 500; i++)
		buf_add_str(&in, i == 250 ? "..dot\r\n" : "a line of text like any other\r\n");
	buf_add_str(&in, ".\r\n");
	while (ev.type != SMTP_EV_EOM) {
		used += smtp_srv_step(s, in.p + used, in.n - used, &ev);
		bodies += ev.type == SMTP_EV_BODY;
		if (ev.type == SMTP_EV_REPLY)
			smtp_srv_out_used(s, smtp_srv_out(s).n);
		else if (ev.type == SMTP_EV_MAIL || ev.type == SMTP_EV_RCPT || ev.type == SMTP_EV_BEGIN)
			smtp_srv_answer(s, &yes);
	}
	buf_fini(&in);
	smtp_srv_free(&s);
	if (bodies != 2)
		printf("%u spans\n", bodies);
	return bodies == 2;
}

int
main(void)
{
	unsigned played = 0, failed = 0;

	for (size_t i = 0; i < sizeof(talks) / sizeof(talks[0]); i++) {
		size_t n = strlen(talks[i].says);
		bool ok = true;

		for (size_t cut = 1; ok && cut <= n; cut++, played++)
			ok = play(&talks[i], 0, cut) && play(&talks[i], cut, n);
		failed += !ok;
	}
	failed += !test_nul();
	failed += !test_starttls();
	failed += !test_shut();
	failed += !test_shut_asked();
	failed += !test_endless();
	failed += !test_back_pressure();
	failed += !test_bare_lf();
	failed += !test_spans();
	printf("%u played, %u failed\n", played, failed);
	return played == 0 || failed > 0;
}
