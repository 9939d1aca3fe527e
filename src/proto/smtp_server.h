#ifndef PROTO_SMTP_SERVER_H
#define PROTO_SMTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "proto/address.h"
#include "proto/smtp_params.h"
#include "proto/smtp_reply.h"

/*
 * The receiving side of one SMTP conversation (RFC 5321), as a pure machine:
 * bytes in, events out, replies into a buffer.  No sockets, clock or globals.
 *
 * The caller owns the struct and every buffer it passes in.  Spans in an event
 * point into the caller's input or into the session and are good until the next
 * smtp_srv_step; copy what must last.
 *
 * What it enforces by itself: order of commands, syntax, line ends (only CRLF
 * ends a line, only CRLF.CRLF ends data), limits, error count, enhanced codes,
 * chunking (RFC 3030), and that nothing read before a TLS handshake is used
 * after it (RFC 3207 4.2).  What it asks: MAIL, RCPT, before and after the data.
 *
 * STARTTLS: give it all that was read, in one step call as for everything.  What
 * stands behind STARTTLS there is thrown away and the command answered 501 5.5.2;
 * what is given between the 220 and smtp_srv_secured is thrown away too.
 *
 * AUTH (RFC 4954), where SMTP_EXT_AUTH asks for it: PLAIN (RFC 4616) and LOGIN, inside TLS
 * only, and no MAIL without it.  Nobody logs in twice in a session, or a fourth time
 * after three wrong ones.  What was said is compared by the caller and wiped after that.
 *
 * XCLIENT (Postfix's XCLIENT_README), where SMTP_EXT_XCLIENT asks for it: offered after AUTH alone,
 * to whoever logs in, with the attributes of proto/xclient.h; the caller reads them.  A yes
 * begins the session anew at its greeting, but for TLS and the login, which stay.
 *
 * Content that is at fault is read to its end (CRLF.CRLF, or of the chunk), told
 * by SMTP_EV_ABORT when the fault is seen and refused when the end has come.  It
 * is never the end of data in another's eyes that makes commands of content: where
 * the line before the final dot ended in CR CR LF, the session ends after the answer.
 */
struct smtp_limits {			/* each with its default from conf.h */
	/* Octets of a command line with CRLF: 512, RFC 5321 4.5.3.1.4, plus extensions'. */
	size_t		line;		/* at least SMTP_LINE_MIN */
	size_t		recipients;	/* beyond it 452 4.5.3 (4.5.3.1.8: at least 100) */
	uint64_t	size;		/* octets of a message: SIZE, 552 5.3.4 */
	unsigned	errors;		/* 5xx since the last accepted message: so many, then 421 */
	unsigned	commands;	/* since then likewise, so that NOOP for ever ends */
	unsigned	hops;		/* Received lines: loop guard, 554 5.4.6 */
};

#define SMTP_LINE_MIN		64
/*
 * Of a login: a user is called as a host may be (RFC 1035 2.3.4), a password is what a
 * file of ours may hold.  In base64 both fit into a line of 2,048 octets.
 */
#define SMTP_USER_MAX		255
#define SMTP_PASSWORD_MAX	500
#define SMTP_LOGINS_MAX		3	/* refused ones of a session, then 421 */
/*
 * Octets of refused content that are read beyond the limit of size before we hang
 * up instead: enough for a sender that did not look at SIZE to hear his 552.
 */
#define SMTP_DISCARD_SLACK	(16u << 20)

enum smtp_bare_lf {
	SMTP_BARE_REFUSE = 0,		/* bare CR or LF in data: 550 5.6.11 (never smuggled on) */
	SMTP_BARE_NORMALIZE,		/* becomes CRLF, is counted; only CRLF.CRLF ends data */
};

enum smtp_ext {				/* what EHLO announces beyond the fixed set */
	SMTP_EXT_STARTTLS = 1 << 0,
	SMTP_EXT_SMTPUTF8 = 1 << 1,
	SMTP_EXT_DSN      = 1 << 2,
	SMTP_EXT_AUTH     = 1 << 3,	/* compulsory; offered inside TLS only */
	SMTP_EXT_XCLIENT  = 1 << 4,	/* to who has logged in, and nobody else */
};

struct smtp_srv_conf {			/* borrowed for the session's life, shared by all */
	const char	*hostname;	/* in the greeting and EHLO reply */
	struct smtp_limits limits;
	enum smtp_bare_lf bare_lf;
};

enum smtp_ev_type {
	SMTP_EV_NONE = 0,	/* all input used; feed more */
	SMTP_EV_REPLY,		/* take out before stepping again: see smtp_srv_out */
	SMTP_EV_HELO,		/* arg: the name given; told only, no answer is owed */
	/* user, and his password in arg.  Answer it: 235, 535, or 454 where nobody can tell. */
	SMTP_EV_AUTH,
	/* arg: attributes as received.  Answer it: 220, or 5xx and all is as before. */
	SMTP_EV_XCLIENT,
	SMTP_EV_MAIL,		/* arg: parameters as received, address in addr.  Answer it. */
	SMTP_EV_RCPT,		/* arg: parameters as received, address in addr.  Answer it. */
	SMTP_EV_BEGIN,		/* DATA or the first BDAT.  Answer it: 354, or 4xx/5xx */
	SMTP_EV_BODY,		/* arg: message octets, dots undone; they go on as they are */
	SMTP_EV_EOM,		/* the message is whole.  Answer it. */
	/*
	 * The transaction ended with no answer owed (RSET, EHLO, refused data, QUIT,
	 * close): forget what it held.  Not told after a MAIL that was refused, nor
	 * after the answer to EOM.
	 */
	SMTP_EV_ABORT,
	SMTP_EV_STARTTLS,	/* flush the replies, then shake hands, then smtp_srv_secured */
	SMTP_EV_CLOSE,		/* flush the replies, then hang up */
};

struct smtp_ev {
	enum smtp_ev_type type;
	struct span	 arg;
	const struct address *addr;	/* MAIL, RCPT: good until the next step */
	struct span	 path;		/* MAIL, RCPT: the path with its brackets, as received */
	/* MAIL, RCPT: what the parameters say; good until the next step */
	const struct smtp_params *params;
	struct span	 user;		/* AUTH: as said, without a NUL */
};

enum smtp_phase {
	SMTP_P_START = 0,	/* connected; our greeting is not out yet */
	SMTP_P_GREETED,		/* 220 said, no EHLO yet */
	SMTP_P_READY,
	SMTP_P_MAIL,		/* a reverse-path was accepted */
	SMTP_P_RCPT,		/* and at least one recipient */
	SMTP_P_DATA,
	SMTP_P_BDAT,		/* inside a chunk's octets */
	SMTP_P_BDAT_MORE,	/* between chunks: only BDAT, RSET, QUIT, NOOP... go on */
	SMTP_P_CLOSED,
};

/* Under 300 octets and the name said in EHLO; buffers come and go with the data in them. */
struct smtp_srv;

/*
 * ext: enum smtp_ext.  NULL when memory is out: say 421 and close.  The greeting is
 * the first SMTP_EV_REPLY.
 */
struct smtp_srv *smtp_srv_new(const struct smtp_srv_conf *, unsigned ext);
void	smtp_srv_free(struct smtp_srv **);
/* Before the first step: this session takes no larger messages than that. */
void	smtp_srv_size_most(struct smtp_srv *, uint64_t);
/* Before the answer to a RCPT: nor this one message, as it goes where less is taken. */
void	smtp_srv_message_most(struct smtp_srv *, uint64_t);
/* The same: nor this one with a header beyond ASCII. */
void	smtp_srv_message_ascii(struct smtp_srv *);
/* Before the first step: the connection began with TLS (RFC 8314 3.3). */
void	smtp_srv_in_tls(struct smtp_srv *);

/*
 * Consumes a part of the input and tells at most one event.  Returns the bytes
 * used (0 while an answer is owed or replies wait).  Call again with the rest
 * until SMTP_EV_NONE with everything used; after the last reply is taken, call
 * again even with nothing, as CLOSE or STARTTLS may follow it.
 */
size_t	smtp_srv_step(struct smtp_srv *, const char *, size_t, struct smtp_ev *);

/*
 * The decision on the AUTH, XCLIENT, MAIL, RCPT, BEGIN or EOM just told.  After it, step again.
 * 421 says so and ends the session.  Ignored once the session is closed.
 */
void	smtp_srv_answer(struct smtp_srv *, const struct smtp_reply *);

/* The replies that wait; the caller sends them and says how much of them it sent. */
struct span smtp_srv_out(struct smtp_srv *);
void	smtp_srv_out_used(struct smtp_srv *, size_t n);

/* After the handshake: forgets everything said before it, and stops offering STARTTLS. */
void	smtp_srv_secured(struct smtp_srv *);
/*
 * Ends the session from outside with a last reply (421 4.4.2 timeout, 421 4.3.2
 * shutdown).  ABORT may come before it.
 */
void	smtp_srv_shut(struct smtp_srv *, const struct smtp_reply *);

enum smtp_phase smtp_srv_phase(const struct smtp_srv *);
bool	smtp_srv_idle(const struct smtp_srv *);	/* no transaction: may be shut at a drain */
bool	smtp_srv_esmtp(const struct smtp_srv *);	/* EHLO rather than HELO */
struct span smtp_srv_helo(const struct smtp_srv *);	/* good until the next EHLO or HELO */
unsigned smtp_srv_bare_lf(const struct smtp_srv *);	/* line ends normalised so far */
/* SIZE= of this transaction, 0 if none was said. */
uint64_t smtp_srv_declared_size(const struct smtp_srv *);

#endif
