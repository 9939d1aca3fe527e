#ifndef TALK_SMTP_TALKS_H
#define TALK_SMTP_TALKS_H

#include "proto/smtp_server.h"

enum {
	DSN       = SMTP_EXT_DSN,
	UTF8      = SMTP_EXT_SMTPUTF8,
	TLS       = SMTP_EXT_STARTTLS,
	AUTH      = SMTP_EXT_AUTH,
	XCLIENT   = SMTP_EXT_XCLIENT,
	NORMALIZE = 1 << 8,		/* beside the extensions */
	FULL      = 1 << 9,		/* whole replies are compared, not only codes */
	MAILS     = 1 << 10,		/* and the events of MAIL and RCPT are written down */
	IN_TLS    = 1 << 11,		/* from the first octet */
};

#define E	"EHLO a\r\n"
#define MR	"MAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\n"
#define EMR	E MR
#define LITTLE	"MAIL FROM:<a@b.test>\r\nRCPT TO:<little@d.test>\r\n"
#define PLAIN	"MAIL FROM:<a@b.test> SMTPUTF8\r\nRCPT TO:<plain@d.test>\r\n"
#define END	"\r\n.\r\n"
#define Q	"QUIT\r\n"
#define L60	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define R2	"Received: x\r\nReceived: y\r\n"
/* A message refused at its true end, nothing of it taken for commands, and the goodbye. */
#define REFUSED	"220 250 250 250 354 550 5.6.11 221 ", "!#"

/*
 * Read as a play: what the client says, what must come back, what arrives.  The
 * limits are: lines of 512, 3 recipients, 100 octets, 6 errors, 20 commands, 2 hops.
 *
 * The caller in it refuses by what it is told: a local part that starts with "no"
 * 550, with "later" 451, "hang" 421; data for "full" 452 and for "never" 554;
 * a message that holds "SPAM" 550.  For "little" a message may have 4 octets, and for
 * "plain" one with SMTPUTF8 an ASCII header only; "mute" reports no success.
 *
 * The password is "open sesame" for everybody; the user "later" cannot be judged now.
 *
 * XCLIENT is right that speaks of ADDR.
 *
 * Codes: the number of each reply, and of a refusal its enhanced code.
 *
 * Arrived: messages accepted in "()"; "!" an abort; "user+" who logged in,
 * "user-" who could not; "X[...]" what XCLIENT said; "#" where the session ended.
 */
struct talk {
	const char	*name;
	unsigned	 with;
	const char	*says, *codes, *arrives;
};

/* By story; each table ends with a talk that has no name. */
extern const struct talk command_talks[], auth_talks[], xclient_talks[], data_talks[],
    chunk_talks[];

#endif
