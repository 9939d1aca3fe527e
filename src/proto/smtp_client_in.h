#ifndef PROTO_SMTP_CLIENT_IN_H
#define PROTO_SMTP_CLIENT_IN_H

/*
 * Shared by smtp_client.c (the connection: states, timeouts, events), smtp_client_mail.c
 * (one message) and smtp_client_say.c (commands, octet for octet).
 */
#include "proto/smtp_client.h"
#include "proto/smtp_dots.h"
#include "proto/smtp_reply_reader.h"

enum cli_state {			/* what was said, and is not answered */
	CLI_CONNECTED = 0,		/* nothing: it greets first */
	CLI_HELLO,			/* EHLO, LHLO */
	CLI_HELO,
	CLI_STARTTLS,
	CLI_SHAKING,			/* the handshake is the caller's */
	CLI_AUTH,
	CLI_XCLIENT,
	CLI_IDLE,
	CLI_ENVELOPE,			/* MAIL, RCPT */
	CLI_DATA,
	CLI_CONTENT,			/* the message is being said */
	CLI_FINAL,			/* its end was said: the outcome is not known */
	CLI_RSET,
	CLI_QUIT,
	CLI_CLOSED,
	CLI_STATES
};

enum cli_attr {				/* of XCLIENT, as offered */
	CLI_X_NAME = 1 << 0,
	CLI_X_ADDR = 1 << 1,
	CLI_X_PORT = 1 << 2,
	CLI_X_PROTO = 1 << 3,
	CLI_X_HELO = 1 << 4,
};

/* One message.  Zeroing it is what keeps a later field from outliving its message. */
struct cli_txn {
	const struct smtp_cli_mail *mail;	/* NULL: none is under way */
	size_t		 said, heard;	/* places in the envelope: 0 MAIL, then recipients */
	struct smtp_reply no_mail;	/* MAIL was refused so; code 0: it was not */
	size_t		 final;		/* LMTP: the recipient whose answer is next */
	bool		 bdat;
	uint64_t	 left;		/* BDAT: octets that are still to come */
	struct smtp_dots dots;
};

struct smtp_cli {
	const struct smtp_cli_conf *conf;
	enum cli_state	 state;
	struct reply_reader reader;
	struct buf	 out;
	struct smtp_ehlo ehlo;
	unsigned	 xattrs;	/* enum cli_attr */
	bool		 auth_plain, auth_login;	/* offered */
	bool		 secured, authed;
	bool		 plain_refused;	/* STARTTLS was offered and refused */
	unsigned	 auth_step;	/* LOGIN: 0 user, 1 password; 2 all is said */
	struct buf	 who;		/* the XCLIENT line said; empty: none */
	unsigned	 who_attrs;	/* what of it was offered then */
	char		 helo[256];	/* what the next EHLO says */
	struct cli_txn	 txn;
	/* Events that are due, told in this order. */
	bool		 due_starttls, due_content, due_done, due_ready, due_close;
	uint64_t	 turns;
	struct why	 why;
};

/* --- smtp_client.c --- */
void	cli_become(struct smtp_cli *, enum cli_state);
/*
 * It ends here.  reply: the server's words, or NULL; recipients without a result get it,
 * or UNCERTAIN if all was sent.
 */
void	cli_fail(struct smtp_cli *, const struct smtp_reply *, const char *, ...)
	    __attribute__((format(printf, 3, 4)));

/* --- smtp_client_mail.c --- */
void	cli_mail_begin(struct smtp_cli *);		/* the identity is as it should be */
void	cli_mail_fill(struct smtp_cli *);		/* says more of the envelope */
void	cli_mail_heard(struct smtp_cli *, const struct reply_ev *);	/* CLI_ENVELOPE */
void	cli_data_heard(struct smtp_cli *, const struct reply_ev *);
void	cli_early_heard(struct smtp_cli *, const struct reply_ev *);	/* CLI_CONTENT */
void	cli_final_heard(struct smtp_cli *, const struct reply_ev *);
/* Every recipient without a last word gets this one. */
void	cli_settle(struct smtp_cli *, enum smtp_cli_result, const struct smtp_reply *);
void	cli_mail_over(struct smtp_cli *, enum cli_state next);	/* the only way out of one */

/* --- smtp_client_say.c --- */
void	cli_say_hello(struct smtp_cli *, bool helo);
void	cli_say_auth(struct smtp_cli *);		/* the next step of it */
/* The line for this message's client, as far as it is offered; false: memory is out. */
bool	cli_xclient_line(const struct smtp_cli *, unsigned attrs, const struct envelope *,
	    struct buf *);
/* place 0: MAIL, else that recipient's.  False: it is too long for a line. */
bool	cli_envelope_line(const struct smtp_cli *, size_t place, struct buf *);
#endif
