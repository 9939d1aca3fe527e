#ifndef KIT_RELAY_PLAY_H
#define KIT_RELAY_PLAY_H

#include "proto/relay_probe.h"

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
#define EXIM_START	{ ANY, "", "220 mx.example.org ESMTP Exim 4.96\r\n" }
#define EXIM_TALK	{ ANY, "MAIL", "250 OK\r\n" }
#define EXIM_RCPT	{ ANY, "RCPT TO:<postmaster@example.org>", "250 Accepted\r\n" }, \
			{ ANY, "RCPT", "550 relay not permitted\r\n" }
#define REST		{ ANY, "RSET", "250 2.0.0 Ok\r\n" }, \
			{ ANY, "QUIT", "221 2.0.0 Bye\r\n" }, \
			{ ANY, "DATA", "354 End data with <CR><LF>.<CR><LF>\r\n" }

struct server {
	const char	*rule;
	struct line	 lines[24];
	enum relay_verdict verdict;
	enum relay_cause cause;
	const char	*evidence;	/* in what was asked */
	unsigned	 version;	/* 0: 2 */
	bool		 no_header, submission, tls, catch_all, locked;
	enum relay_server server;
};

struct talk {			/* what was said to it so far */
	unsigned	 rcpts, most, visits;	/* most: in one connection */
	bool		 data, tls, as_us;
};

/* Our domains are example.org and example.net; 172.17.0.1 and 2a00::7 must not be trusted. */
struct relay_setup play_setup(const struct server *);
/* False: it ends the connection. */
bool	play_answer(const struct server *, const struct relay_visit *, const struct talk *,
    const char *says, struct buf *out);
/* One connection, its answers in pieces of so many octets. */
void	play_visit(const struct server *, struct relay_probe *, const struct relay_visit *,
    size_t piece, struct talk *);
/* All of them.  The caller frees it. */
struct relay_probe *play(const struct server *, const struct relay_setup *, size_t piece,
    struct talk *);
/* Each server is judged as it says, however its answers are cut. */
void	play_all(const struct server *, size_t n);

#endif
