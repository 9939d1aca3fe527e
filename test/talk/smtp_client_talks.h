#ifndef TALK_SMTP_CLIENT_TALKS_H
#define TALK_SMTP_CLIENT_TALKS_H

enum {
	LMTP	 = 1 << 0,
	REMOTE	 = 1 << 1,	/* the connection leaves this machine */
	MUST_TLS = 1 << 2,
	NO_TLS	 = 1 << 3,
	PASSWORD = 1 << 4,	/* of user "me": "secret" */
	XCLIENT	 = 1 << 5,
};

/*
 * Read as a play, a line each: `S` the server says, `C` is what must be heard of the
 * client, `-` the connection breaks.  CRLF is added.
 *
 * Mails, in turn: "sender>recipient,recipient", each "local" or "local[params]", all at
 * b.test; a `:` behind the recipients and what they say of the client ("192.0.2.1 helo").
 * Each message is ".dot", "é" and an empty line.
 *
 * Ends: for each mail a letter a recipient: Delivered, Refused, Later, Uncertain, Sadly
 * not sendable; `t` a handshake, `#` the end, `~` a mail that this connection cannot take.
 */
struct client_talk {
	const char	*name;
	unsigned	 with;
	const char	*mails, *play, *ends;
};

/* Ends with a talk that has no name. */
extern const struct client_talk client_talks[];

#endif
