#ifndef PROTO_SMTP_SERVER_IN_H
#define PROTO_SMTP_SERVER_IN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "proto/smtp_content.h"
#include "proto/smtp_params.h"
#include "proto/smtp_reply.h"
#include "proto/smtp_server.h"

/*
 * What the files of the SMTP session share, and nobody else includes:
 *
 *	smtp_server.c	 the session: steps, answers, what is said and how it ends
 *	smtp_commands.c	 lines, and the commands in them
 *	smtp_auth.c	 AUTH, and the lines that answer our challenges
 *	smtp_body.c	 what stands behind DATA and BDAT, kept or refused
 */
enum waiting {				/* told before anything more is read */
	WAIT_ABORT    = 1 << 0,
	WAIT_HELO     = 1 << 1,
	WAIT_STARTTLS = 1 << 2,
};

enum login_step {			/* of AUTH: what the next line is */
	LOGIN_NONE = 0,
	LOGIN_PLAIN,			/* all of PLAIN */
	LOGIN_USER,			/* LOGIN: the user */
	LOGIN_PASSWORD,
};

/* Wiped before it is freed: by the step after its answer, and when the exchange ends. */
struct smtp_login {
	size_t		nuser, npassword;
	char		user[SMTP_USER_MAX], password[SMTP_PASSWORD_MAX];
};

/* What belongs to one message.  It ends in srv_txn_end and nowhere else. */
struct smtp_txn {
	bool		open;		/* the caller holds something for it */
	struct smtp_params params;
	unsigned	rcpts;
	uint64_t	most;		/* octets that its recipients take; 0: the session's */
	bool		ascii_header;	/* they take no other */
	struct smtp_content content;
};

struct smtp_srv {
	const struct smtp_srv_conf *conf;
	unsigned	 ext;
	uint64_t	 size;		/* octets of a message in this session */
	enum smtp_phase	 phase;
	enum smtp_ev_type asked;	/* the decision that is owed */
	unsigned	 waiting;
	unsigned	 errors;
	unsigned	 commands;
	unsigned	 bare_lf;

	bool		 esmtp;
	bool		 secured;
	bool		 authed;
	enum login_step	 login_step;
	struct smtp_login *login;
	unsigned	 logins_refused;
	bool		 handshake;	/* STARTTLS was told: whatever comes is not for us */

	/* The line being read.  `line` holds bytes only where the input ended in it. */
	bool		 line_cr;	/* a CR came: LF must follow */
	bool		 line_bad;	/* answered already; the rest up to CRLF is thrown away */
	bool		 line_whole;	/* used by the command just told; freed at the next step */
	bool		 behind;	/* more input stood behind it */
	bool		 drop_behind;
	struct buf	 line;
	struct address	*addr;		/* of the MAIL or RCPT just told; freed at the next step */
	char		*helo;
	struct buf	 out;

	/* The chunk being read (BDAT). */
	bool		 chunk_last;
	bool		 chunk_drop;	/* its octets are thrown away, then `verdict` is said */
	enum smtp_phase	 chunk_then;	/* the phase after a dropped chunk */
	uint64_t	 chunk_left;

	struct smtp_txn	 txn;
	uint64_t	 discarded;	/* octets of refused content since the last MAIL */
	struct smtp_reply *verdict;	/* on content: said when its end has come */
	unsigned	 refused;	/* a chunk, with this code: those behind it get its class */
};

/* smtp_server.c: every reply goes out here, and every message and session ends here. */
void	srv_txn_end(struct smtp_srv *);
void	srv_hang_up(struct smtp_srv *);
void	srv_say_last(struct smtp_srv *, const struct smtp_reply *);
void	srv_say_reply(struct smtp_srv *, const struct smtp_reply *);
void	srv_say(struct smtp_srv *, unsigned code, unsigned a, unsigned b, unsigned c,
	    const char *text);
void	srv_out_of_memory(struct smtp_srv *);
/* Back to the greeting; TLS and who has logged in stay. */
void	srv_begin_anew(struct smtp_srv *);
/* The event is a question: no step goes on until smtp_srv_answer. */
void	srv_ask(struct smtp_srv *, struct smtp_ev *, enum smtp_ev_type what);

/* smtp_auth.c: AUTH in the table of commands, a line while login_step says so, its end. */
void	srv_on_auth(struct smtp_srv *, struct span arg, struct smtp_ev *);
void	srv_login_line(struct smtp_srv *, struct span line, struct smtp_ev *);
void	srv_login_end(struct smtp_srv *);
/* True, or 530 was said: nobody mails here before he has logged in. */
bool	srv_may_mail(struct smtp_srv *);

/*
 * smtp_commands.c, and below it smtp_body.c.  A step is smtp_srv_step for its part of the
 * input: returns the octets used, tells at most one event.
 */
uint64_t srv_size(const struct smtp_srv *);	/* octets that this message may have */
size_t	srv_line_step(struct smtp_srv *, const char *, size_t, struct smtp_ev *);
size_t	srv_data_step(struct smtp_srv *, const char *, size_t, struct smtp_ev *);
size_t	srv_chunk_step(struct smtp_srv *, const char *, size_t, struct smtp_ev *);
/* All octets of the chunk are read. */
void	srv_chunk_end(struct smtp_srv *, struct smtp_ev *);
/* The message in this chunk is refused, and with it the transaction. */
void	srv_chunk_refuse(struct smtp_srv *, const struct smtp_reply *);
/* BDAT, in the table of commands. */
void	srv_on_bdat(struct smtp_srv *, struct span arg, struct smtp_ev *);

#endif
