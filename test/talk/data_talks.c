/* DATA: dots, its one end, line ends that are none, and faults of what it holds. */
#include "smtp_talks.h"

#include <stddef.h>

const struct talk data_talks[] = {
	/* Data: dots and the one end. */
	{ "dots undone", 0, EMR "DATA\r\n..\r\n.a\r\n..b\r\n...\r\nc.\r\nd." END,
	    "220 250 250 250 354 250 ", "(.\r\na\r\n.b\r\n..\r\nc.\r\nd.\r\n)" },
	{ "a dot first and a dot last", 0, EMR "DATA\r\n..\r\n.\r\n", "220 250 250 250 354 250 ",
	    "(.\r\n)" },
	{ "eight bits pass", 0, EMR "DATA\r\n\xff\x80\x01\x7f" END, "220 250 250 250 354 250 ",
	    "(\xff\x80\x01\x7f\r\n)" },

	/* Smuggling: each would end data in another's eyes, and NOOP would be a command. */
	{ "LF . LF", 0, EMR "DATA\r\na\n.\nNOOP\r\n.\r\n" Q, REFUSED },
	{ "LF . CR LF", 0, EMR "DATA\r\na\n.\r\nNOOP\r\n.\r\n" Q, REFUSED },
	{ "CR LF . LF", 0, EMR "DATA\r\na\r\n.\nNOOP\r\n.\r\n" Q, REFUSED },
	{ "CR . CR LF", 0, EMR "DATA\r\na\r.\r\nNOOP\r\n.\r\n" Q, REFUSED },
	{ "CR . CR", 0, EMR "DATA\r\na\r.\rNOOP\r\n.\r\n" Q, REFUSED },
	{ "CR . LF", 0, EMR "DATA\r\na\r.\nNOOP\r\n.\r\n" Q, REFUSED },
	{ "LF . CR", 0, EMR "DATA\r\na\n.\rNOOP\r\n.\r\n" Q, REFUSED },
	{ "CR LF . CR", 0, EMR "DATA\r\na\r\n.\rNOOP\r\n.\r\n" Q, REFUSED },
	{ "CR LF . CR CR LF", 0, EMR "DATA\r\na\r\n.\r\r\nNOOP\r\n.\r\n" Q, REFUSED },
	{ "LF LF . LF", 0, EMR "DATA\r\na\n\n.\nNOOP\r\n.\r\n" Q, REFUSED },
	{ "LF CR . LF CR", 0, EMR "DATA\r\na\n\r.\n\rNOOP\r\n.\r\n" Q, REFUSED },
	{ "a dot at once, then LF", 0, EMR "DATA\r\n.\nNOOP\r\n.\r\n" Q, REFUSED },
	{ "a bare LF behind a dot undone", 0, EMR "DATA\r\n..\nNOOP\r\n.\r\n" Q, REFUSED },
	{ "CR CR LF . CR LF ends, and nothing behind it is believed", 0,
	    EMR "DATA\r\na\r\r\n.\r\nMAIL FROM:<>\r\n.\r\n" Q, "220 250 250 250 354 550 ", "!#" },
	{ "CR CR CR LF . CR LF the same", 0,
	    EMR "DATA\r\na\r\r\r\n.\r\nMAIL FROM:<>\r\n", "220 250 250 250 354 550 ", "!#" },
	{ "CR CR LF in the middle is a fault like others", 0,
	    EMR "DATA\r\na\r\r\nb\r\n.\r\n" Q, REFUSED },
	{ "CR CR LF CR LF . CR LF ends as it should", 0,
	    EMR "DATA\r\na\r\r\n\r\n.\r\n" Q, REFUSED },

	/* The same where bare line ends are made good: the dots stay content. */
	{ "normalized: LF . LF", NORMALIZE, EMR "DATA\r\na\n.\nNOOP\r\n.\r\n" Q,
	    "220 250 250 250 354 250 221 ", "(a\r\n.\r\nNOOP\r\n)#" },
	{ "normalized: LF . CR LF", NORMALIZE, EMR "DATA\r\na\n.\r\nNOOP\r\n.\r\n" Q,
	    "220 250 250 250 354 250 221 ", "(a\r\n.\r\nNOOP\r\n)#" },
	{ "normalized: CR LF . LF loses its stuffing only", NORMALIZE,
	    EMR "DATA\r\na\r\n.\nNOOP\r\n.\r\n" Q,
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
	    EMR "DATA\r\na\r\r\n.\r\nMAIL FROM:<>\r\n", "220 250 250 250 354 250 ",
	    "(a\r\n\r\n)#" },
	{ "normalized: CR CR LF and a stuffed dot", NORMALIZE, EMR "DATA\r\na\r\r\n..b\r\n.\r\n" Q,
	    "220 250 250 250 354 250 221 ", "(a\r\n\r\n.b\r\n)#" },
	{ "normalized: CR CR LF and a dot undone", NORMALIZE, EMR "DATA\r\na\r\r\n.b\r\n.\r\n" Q,
	    "220 250 250 250 354 250 221 ", "(a\r\n\r\nb\r\n)#" },
	{ "normalized: a CR at the end of data", NORMALIZE, EMR "DATA\r\na\r" END Q,
	    "220 250 250 250 354 250 ", "(a\r\n\r\n)#" },

	/* Faults of content. */
	{ "Received lines, two allowed", 0, EMR "DATA\r\n" R2 "\r\nx" END,
	    "220 250 250 250 354 250 ",
	    "(" R2 "\r\nx\r\n)" },
	{ "Received lines, three", 0, EMR "DATA\r\n" R2 "rEcEiVeD: z\r\n\r\nx" END Q,
	    "220 250 250 250 354 554 221 ", "!#" },
	{ "Received lines in the body are text", 0, EMR "DATA\r\n\r\n" R2 "Received: z" END,
	    "220 250 250 250 354 250 ", "(\r\n" R2 "Received: z\r\n)" },
	{ "other lines are no Received", 0, EMR "DATA\r\n" R2
	    "Receive: a\r\n Received: b\r\nXReceived: c\r\nReceived" END,
	    "220 250 250 250 354 250 ",
	    "(" R2 "Receive: a\r\n Received: b\r\nXReceived: c\r\nReceived\r\n)" },
	{ "a stuffed Received counts", 0, EMR "DATA\r\n" R2 ".Received: z" END,
	    "220 250 250 250 354 554 ", "!" },
	{ "size to the octet", 0, EMR "DATA\r\n" L60 "\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" END,
	    "220 250 250 250 354 250 ", "(" L60 "\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n)" },
	{ "one octet more", 0, EMR "DATA\r\n" L60 "\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	    END MR,
	    "220 250 250 250 354 552 250 250 ", "!" },
	{ "who takes less than others bounds his own message alone", 0, E LITTLE "DATA\r\nab" END
	    LITTLE "DATA\r\nabc" END MR "DATA\r\nabc" END,
	    "220 250 250 250 354 250 250 250 354 552 250 250 354 250 ", "(ab\r\n)!(abc\r\n)" },
	{ "a header beyond ASCII for who honours no SMTPUTF8", UTF8 | FULL,
	    E PLAIN "DATA\r\nA: b\r\n.C: \xc3\xb6\r\n\r\nx" END Q,
	    "220 mx.test ESMTP Posthouse\r\n"
	    "250-mx.test\r\n250-PIPELINING\r\n250-SIZE 100\r\n250-8BITMIME\r\n250-CHUNKING\r\n"
	    "250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES\r\n"
	    "250 2.1.0 Fine\r\n250 2.1.5 Fine\r\n354 Go on\r\n"
	    "554 5.6.9 A header beyond ASCII needs SMTPUTF8, which the recipient's server does not "
	    "honour\r\n221 2.0.0 Goodbye\r\n", "!#" },
	{ "beyond ASCII in the first octet, and in what continues a line", UTF8, E
	    PLAIN "DATA\r\n\xc3\xb6: b\r\n\r\nx" END PLAIN "DATA\r\nA: b\r\n \xc3\xb6" END,
	    "220 250 250 250 354 554 250 250 354 554 ", "!!" },
	{ "a body beyond ASCII is no header", UTF8,
	    E PLAIN "DATA\r\nA: b\r\n\r\n\xc3\xb6" END PLAIN "DATA\r\n\r\n\xc3\xb6" END,
	    "220 250 250 250 354 250 250 250 354 250 ",
	    "(A: b\r\n\r\n\xc3\xb6\r\n)(\r\n\xc3\xb6\r\n)" },
	{ "a header beyond ASCII is another's business", UTF8,
	    E PLAIN "RSET\r\nMAIL FROM:<> SMTPUTF8\r\nRCPT TO:<c@d.test>\r\nDATA\r\n\xc3\xb6" END
	    "MAIL FROM:<>\r\nRCPT TO:<plain@d.test>\r\nDATA\r\n\xc3\xb6" END,
	    "220 250 250 250 250 250 250 354 250 250 250 354 250 ",
	    "!(\xc3\xb6\r\n)(\xc3\xb6\r\n)" },
	{ "beyond ASCII, and Received lines all the same", UTF8,
	    E PLAIN "DATA\r\n" R2 "Received: z\r\n" END PLAIN "DATA\r\n" R2 "\r\n\xc3\xb6" END,
	    "220 250 250 250 354 554 250 250 354 250 ", "!(" R2 "\r\n\xc3\xb6\r\n)" },
	{ "the first fault counts: beyond ASCII", UTF8, E PLAIN "DATA\r\n\xc3\xb6\n" L60 L60 END,
	    "220 250 250 250 354 554 ", "!" },
	{ "the first fault counts: before what is beyond ASCII", UTF8,
	    E PLAIN "DATA\r\na\n\xc3\xb6" END PLAIN "DATA\r\n" L60 L60 "\xc3\xb6" END,
	    "220 250 250 250 354 550 250 250 354 552 ", "!!" },
	{ "dots undone do not count", 0, EMR "DATA\r\n." L60
	    "\r\n.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" END,
	    "220 250 250 250 354 250 ", "(" L60 "\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n)" },
	{ "the first fault counts: size", 0, EMR "DATA\r\n" L60 L60 "\n" END,
	    "220 250 250 250 354 552 ", "!" },
	{ "the first fault counts: bare", 0, EMR "DATA\r\n\n" L60 L60 END,
	    "220 250 250 250 354 550 ", "!" },
	{ "a refused message is read to its true end", 0,
	    EMR "DATA\r\n" L60 L60 "\r\n..\r\n.x\r\n\n.\r\nRSET" END MR,
	    "220 250 250 250 354 552 250 250 ", "!" },
	{ .name = NULL },
};
