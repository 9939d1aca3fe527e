#ifndef PROTO_SMTP_CLIENT_H
#define PROTO_SMTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/why.h"
#include "proto/envelope.h"
#include "proto/smtp_ehlo.h"
#include "proto/smtp_reply.h"

/*
 * The sending side of one SMTP (RFC 5321) or LMTP (RFC 2033) conversation, as a pure
 * machine: the server's octets in, events out, what is to be said in a bounded buffer.
 * No sockets, clock or globals; the caller watches smtp_cli_wait_ms.
 *
 * One connection carries any number of messages, one after the other:
 *
 *	smtp_cli_new -> READY -> smtp_cli_mail -> CONTENT -> smtp_cli_body ...
 *	    -> smtp_cli_end -> DONE -> READY -> ... -> smtp_cli_quit -> CLOSE
 *
 * After every call, and when output was taken, smtp_cli_step tells what comes next;
 * call it until it says NONE with all input used.  DONE always comes for a message that
 * was begun, whatever became of the connection, and CLOSE at the end of every one.
 *
 * What the server says is hostile input, bounded by smtp_reply_reader.h.  Its order is
 * believed only where it cannot be mistaken: DATA's 354 parts a message's answers from
 * all that came before; a final 2xx that speaks of an address (x.1.x) is somebody
 * else's answer, and a reply that nobody asked for ends the connection.  Where the end
 * of a message is in doubt it is UNCERTAIN: we err to a second copy.
 */
#define SMTP_CLI_OUT_MAX	(64u << 10)	/* octets that wait for the caller */
#define SMTP_CLI_LINE_MAX	2048	/* of a command: a path, and parameters as received */

enum smtp_cli_result {			/* of one recipient */
	SMTP_CLI_LATER = 0,	/* 4xx, or no connection: the server does not have it */
	SMTP_CLI_DELIVERED,
	SMTP_CLI_REFUSED,	/* 5xx: reply has all of it */
	SMTP_CLI_UNCERTAIN,	/* everything was sent, and no answer came (RFC 1047) */
	SMTP_CLI_UNSENDABLE,	/* an address beyond ASCII, and a server without SMTPUTF8 */
};

struct smtp_cli_rcpt {
	/* By the caller; borrowed until DONE. */
	const struct address *addr;
	const char	*params;	/* as received */
	/* By the machine, good from DONE on. */
	enum smtp_cli_result result;
	struct smtp_reply reply;	/* the server's last word on it, or ours */
	bool		 accepted;	/* RCPT had a 2xx */
	bool		 decided;	/* result is the last word */
};

struct smtp_cli_mail {			/* borrowed until DONE */
	/* Reverse-path, its parameters and, with xclient, who is spoken for. */
	const struct envelope *env;
	struct smtp_cli_rcpt *rcpts;
	size_t		 nrcpts;	/* at least one */
	uint64_t	 size;		/* octets that will come by smtp_cli_body, exactly */
	bool		 eight_bit;	/* some are beyond ASCII */
	bool		 xclient;	/* speak for the client, where that is offered */
};

enum smtp_cli_tls {
	SMTP_CLI_TLS_OFFERED = 0,	/* where the server offers it */
	SMTP_CLI_TLS_ALWAYS,		/* or nothing is sent */
	SMTP_CLI_TLS_NEVER,
};

struct smtp_cli_conf {			/* borrowed for the connection's life */
	bool		 lmtp;
	/* The connection does not leave this machine: a password may go without TLS. */
	bool		 local;
	enum smtp_cli_tls tls;
	const char	*helo;		/* what is said in EHLO, but for a client by XCLIENT */
	const char	*user, *password;	/* user "": no AUTH */
};

enum smtp_cli_ev {
	SMTP_CLI_NONE = 0,	/* all input used; feed more */
	SMTP_CLI_STARTTLS,	/* flush, shake hands (conn_tls), then smtp_cli_secured */
	SMTP_CLI_READY,		/* smtp_cli_mail or smtp_cli_quit may come */
	SMTP_CLI_CONTENT,	/* smtp_cli_body, then smtp_cli_end */
	SMTP_CLI_DONE,		/* each recipient has its result; the mail is the caller's again */
	SMTP_CLI_CLOSE,		/* flush and hang up; told once.  smtp_cli_why says why */
};

struct smtp_cli;

struct smtp_cli *smtp_cli_new(const struct smtp_cli_conf *);	/* NULL: memory is out */
void	smtp_cli_free(struct smtp_cli **);

/* Uses a part of the input and tells at most one event; returns the octets used. */
size_t	smtp_cli_step(struct smtp_cli *, const char *, size_t, enum smtp_cli_ev *);

/* What is to be said; the caller sends it and says how much of it. */
struct span smtp_cli_out(const struct smtp_cli *);
void	smtp_cli_out_used(struct smtp_cli *, size_t n);

/* After the handshake.  All that the server said before it is forgotten (RFC 3207 4.2). */
void	smtp_cli_secured(struct smtp_cli *);

/*
 * After READY.  False: this connection has taken another client's place by XCLIENT and
 * does not offer to take one more, as Postfix never does; nothing was begun: quit and
 * connect again.
 */
bool	smtp_cli_mail(struct smtp_cli *, const struct smtp_cli_mail *);
/* After CONTENT: octets of the message; how many were used.  Fewer than all: out is full. */
size_t	smtp_cli_body(struct smtp_cli *, const char *, size_t);
/*
 * The message is whole.  False: out is full, take of it and call again.  Nothing but
 * this ever makes a message whole: a caller that cannot go on calls smtp_cli_lost, and
 * closes without flushing.
 */
bool	smtp_cli_end(struct smtp_cli *);
void	smtp_cli_quit(struct smtp_cli *);		/* after READY */
/* The connection ended, timed out or is given up: results, then CLOSE. */
void	smtp_cli_lost(struct smtp_cli *, const char *why);

/* Longest wait for what the server does next (4.5.3.2); 0: nothing is awaited. */
int64_t	smtp_cli_wait_ms(const struct smtp_cli *);
/*
 * How often the server ended a reply, or took what was said: while it stands still, so does
 * the wait, whatever octets come.
 */
uint64_t smtp_cli_turns(const struct smtp_cli *);
/* Of the last EHLO or LHLO. */
struct smtp_ehlo smtp_cli_offers(const struct smtp_cli *);
/* Whether XCLIENT is offered with ADDR. */
bool	smtp_cli_xclient(const struct smtp_cli *);
const char *smtp_cli_why(const struct smtp_cli *);	/* after CLOSE; "" after our QUIT */

/* What a client may be called in our EHLO: his word with `?` for what is not printable. */
void	smtp_cli_helo_of(const struct envelope *, const char *ours, char out[256]);

/* A server's words for good or for now: the one place that turns codes into results. */
enum smtp_cli_result smtp_cli_judge(const struct smtp_reply *);

#endif
