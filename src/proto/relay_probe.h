#ifndef PROTO_RELAY_PROBE_H
#define PROTO_RELAY_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/netaddr.h"
#include "base/span.h"
#include "base/why.h"
#include "proto/relay_form.h"

/*
 * The interlock's judgement (DESIGN 6): whether a mail server behind a tunnel
 * relays for strangers.  A pure machine that plays the stranger: it says which
 * connection to make next, as whom and with which PROXY header, what to send on it
 * and how long to wait; it takes the replies and at the end gives a verdict.
 *
 * Green is earned, never assumed: in one session, with one sender and HELO, the
 * control recipient was accepted (before the foreign ones and again after them)
 * and every foreign one refused by 5xx or 454 4.7.1; so it was as a documentation
 * address of each family and as every address that must not be trusted; the server
 * showed that it saw the address we gave; and EHLO offers a stranger neither
 * XCLIENT, XFORWARD, nor AUTH without TLS.  Where STARTTLS is offered all of these were
 * asked both in TLS and in the clear, as who is trusted may hang on either: the one way
 * with every form, the other with some.  The first is the clear, but where the port is for
 * people with a password, or the server will hear of no mail before STARTTLS; of such a
 * server it is enough that it refuses everything in the clear, for that reason.
 * A reply that may have another reason (greylisting, a block list, a limit, a domain that
 * DNS does not know) proves nothing, and what is not proved is RELAY_CANNOT_TELL.
 *
 * It never sends DATA, with one exception that is asked for (bare_lf) and delivers
 * nothing.  Fewer than ten RCPT go into one connection, each command after the reply
 * to the one before.
 *
 * What the server says is hostile input: bounded by smtp_reply_reader.h, kept cut and
 * printable.
 */
#define RELAY_RCPTS_MAX		9	/* a connection; anvil and error limits begin at ten */
#define RELAY_ODD_MAX		3	/* of these, forms that may be called a syntax error */
#define RELAY_ADDRESSES_MAX	48	/* that must not be trusted */
#define RELAY_CONTROLS_MAX	4
#define RELAY_VISITS_MAX	128
#define RELAY_NOTES_MAX		2000	/* what was asked and answered, in all visits */
#define RELAY_ASKED_MAX		200	/* of a line that is kept */
#define RELAY_ANSWERED_MAX	240

/* What the machine finds: the first is worst to have believed, so zero is "no proof". */
enum relay_verdict {
	RELAY_CANNOT_TELL = 0,
	RELAY_GREEN,
	RELAY_RELAYS,		/* for any stranger */
	RELAY_TRUSTS,		/* "trusts the tunnel": for an address of ours, or by a command */
	RELAY_IGNORES,		/* "ignores PROXY": it does not see who the client is */
	RELAY_EXPECTS,		/* "expects PROXY": another header than the one it is sent */
	RELAY_VERDICTS
};
const char *relay_verdict_name(enum relay_verdict);	/* "green", "trusts the tunnel" */

/* Why, and so which setting is to be changed (relay_advice.h). */
enum relay_cause {
	RELAY_NO_CAUSE = 0,
	RELAY_ACCEPTED,		/* a foreign recipient, from a stranger */
	RELAY_ACCEPTED_OURS,	/* a foreign recipient, from an address of ours */
	RELAY_OFFERS_XCLIENT,
	RELAY_OFFERS_XFORWARD,
	RELAY_OFFERS_AUTH,	/* without TLS */
	RELAY_OTHER_ADDRESS,	/* it named another address than the one we gave */
	RELAY_NO_HEADER_NEEDED,	/* it serves without a header, or with a broken one */
	RELAY_OTHER_HEADER,	/* it serves with the other version only */
	RELAY_HEADER_WANTED,	/* it is sent none, and serves with one only */
	RELAY_NO_CONTROL,	/* the control recipient was not accepted */
	RELAY_NO_PROOF,		/* a foreign recipient was refused, perhaps for another reason */
	RELAY_NO_ANSWER,	/* no greeting, or it ended in the middle */
	RELAY_TOO_MANY,		/* more addresses than can be tried */
	RELAY_CAUSES
};

enum relay_server {		/* what it seems to be, by its banner and EHLO */
	RELAY_UNKNOWN_SERVER = 0,
	RELAY_POSTFIX,
	RELAY_MAILCOW,
	RELAY_OPENSMTPD,
	RELAY_EXIM,
	RELAY_DOVECOT,
	RELAY_SERVERS
};

/* The header in front of a visit.  version 0: none. */
enum relay_header {
	RELAY_PROPER = 0,
	RELAY_NONE,		/* nothing is said: a server that expects a header keeps silent */
	RELAY_BROKEN,		/* the beginning of one, then what none may have */
};

struct relay_address {
	struct netaddr	ip;
	char		whose[80];	/* "edge mx1.example.org", "home's own" */
};

struct relay_setup {		/* borrowed for the probe's life */
	unsigned	 version;	/* of PROXY, as the service is configured; 0: none */
	const char	*const *own;	/* our domains; the first is asked in forms */
	size_t		 nown;
	/* recipients of ours, tried in this order until one is accepted */
	const char	*controls[RELAY_CONTROLS_MAX];
	size_t		 ncontrols;
	const struct relay_address *untrusted;
	size_t		 nuntrusted;
	const char	*helo;		/* a name that resolves, none of the backend's */
	struct netaddr	 backend;
	/*
	 * A port for people with a password (465, 587, 2525, and not 25): a server that
	 * asks everyone for one, our control recipient's senders too, is safe and may say
	 * so.
	 */
	bool		 submission;
	bool		 tls;		/* every connection is TLS from its start (465) */
	/*
	 * Try a bare-LF end of data on the control recipient as well, which only warns.
	 * The message has more Received lines than any server lets pass (RFC 5321 6.3), and
	 * the connection is reset before a true end: a good server waits for that end, a
	 * lenient one refuses a loop, and neither has anything to deliver.
	 */
	bool		 bare_lf;
	unsigned char	 nonce[8];	/* random: a local part that nobody has */
};

/* One connection to make. */
struct relay_visit {
	enum relay_header header;
	unsigned	 version;	/* of the header, 1 or 2; 0: none */
	struct netaddr	 client;	/* whom it speaks for; its port is set */
	bool		 stranger;	/* a documentation address */
	char		 whose[100];	/* "a stranger", or as the setup says; and which way */
};

/* What is awaited now. */
enum relay_want {
	RELAY_WANT_REPLY = 0,	/* more octets, for at most relay_probe_wait_ms */
	RELAY_WANT_TLS,		/* begin TLS, then relay_probe_secured */
	RELAY_WANT_CLOSE,	/* the visit is over: close, then relay_probe_over */
	RELAY_WANT_ABORT,	/* the same, with a reset: nothing of it may be taken as whole */
};

struct relay_note {		/* asked, and answered */
	unsigned	 visit;
	enum relay_cause cause;	/* RELAY_NO_CAUSE: as it should be */
	const char	*form;		/* its form's name, or NULL */
	char		 asked[RELAY_ASKED_MAX];
	char		 answered[RELAY_ANSWERED_MAX];	/* one line, printable; "" nothing came */
};

struct relay_result {
	enum relay_verdict verdict;
	enum relay_cause cause;
	enum relay_server server;
	const struct relay_note *evidence;	/* NULL: none */
	const char	*control;	/* the recipient that was accepted, "" none */
	bool		 locked;	/* it asks everyone for a password */
	bool		 catch_all;	/* it takes every local part of our domain */
	bool		 bare_lf;	/* it takes a bare LF for an end of data: warn */
	bool		 bare_lf_tried;
	const char	*banner;	/* its first line, printable; "" none */
	/* Each way in which it is not green, at most once: bits of 1 << relay_cause. */
	unsigned	 causes;
};

struct relay_probe;

struct relay_probe *relay_probe_new(const struct relay_setup *);	/* NULL: memory is out */
void	relay_probe_free(struct relay_probe **);

/* The next connection, false when there is none: judge. */
bool	relay_probe_next(struct relay_probe *, struct relay_visit *);
/* It is connected, and the header was sent. */
void	relay_probe_begun(struct relay_probe *);
/*
 * Octets that came, cut anywhere; only while RELAY_WANT_REPLY.  Returns how many were
 * used: not those behind a reply after which something is to be said first.
 */
size_t	relay_probe_heard(struct relay_probe *, struct span);
void	relay_probe_secured(struct relay_probe *);
enum relay_want relay_probe_want(const struct relay_probe *);
/* What is to be sent now, and is forgotten by this; good until the next call. */
struct span relay_probe_says(struct relay_probe *);
int64_t	relay_probe_wait_ms(const struct relay_probe *);
/*
 * The visit is at its end: after RELAY_WANT_CLOSE, or because the server or the
 * network ended it, or nothing came in time; why then says what happened.
 */
void	relay_probe_over(struct relay_probe *, const struct why *why);

void	relay_probe_judge(const struct relay_probe *, struct relay_result *);
/* What goes in front of a RELAY_BROKEN visit: the beginning of a header, then none of one. */
struct span relay_broken_header(unsigned version);

size_t	relay_probe_notes(const struct relay_probe *);
const struct relay_note *relay_probe_note(const struct relay_probe *, size_t);
/* The visit that a note names. */
const struct relay_visit *relay_probe_visit(const struct relay_probe *, unsigned);

#define RELAY_GREETING_MIN 4	/* octets that tell */

/* Whether a greeting is one of SMTP's: it begins with 220 (RFC 5321 4.2). */
static inline bool
relay_greets(struct span in)
{
	return in.n >= RELAY_GREETING_MIN && memcmp(in.p, "220", 3) == 0 &&
	    (in.p[3] == ' ' || in.p[3] == '-');
}

/* Or one of SMTP's that will not serve just now (RFC 5321 3.1, 3.8), and may later. */
static inline bool
relay_declines(struct span in)
{
	return in.n >= RELAY_GREETING_MIN && (memcmp(in.p, "421", 3) == 0 ||
	    memcmp(in.p, "554", 3) == 0) && (in.p[3] == ' ' || in.p[3] == '-');
}

#endif
