#ifndef PROTO_RELAY_IN_H
#define PROTO_RELAY_IN_H

#include "proto/address.h"
#include "proto/relay_probe.h"
#include "proto/smtp_reply_reader.h"

/*
 * Inside of the probe: relay_probe.c chooses its connections, relay_ask.c what is said on one, and
 * relay_judge.c judges.
 */

enum relay_phase {		/* why a visit is made */
	PH_START = 0,
	PH_STRANGER,		/* every form, as a stranger */
	PH_STRANGER_OTHER,	/* some forms, in TLS if that was in the clear, or the reverse */
	PH_STRANGER6,
	PH_STRANGER6_OTHER,
	PH_HELO,		/* as a stranger who says in EHLO that he is one of us */
	PH_UNTRUSTED,		/* some forms, as each address that must not be trusted */
	PH_UNTRUSTED_OTHER,	/* after each of these */
	PH_SILENT,		/* without a header: it must not serve */
	PH_BROKEN,		/* with a broken one: nor then */
	PH_BARE_LF,
	PH_WHICH_NONE,		/* what is sent is not served: what would be? */
	PH_WHICH_V2,
	PH_WHICH_V1,
	PH_DONE,
};

enum relay_step {		/* what was asked, so what a reply answers */
	ST_GREETING = 0,
	ST_EHLO,
	ST_STARTTLS,
	ST_TLS,
	ST_MAIL,
	ST_CONTROL,
	ST_UNKNOWN,
	ST_FOREIGN,
	ST_AGAIN,		/* the control recipient, at the end */
	ST_RSET,
	ST_DATA,
	ST_BARE_LF,
	ST_QUIT,
	ST_OVER,
};

struct relay_talk {		/* what belongs to one visit */
	enum relay_step	 step;
	bool		 tls, tls_asked, tls_agreed;
	bool		 greeted;
	bool		 served;		/* EHLO was answered 250 */
	bool		 helo_refused;		/* for good */
	bool		 starttls, auth;	/* offered by EHLO */
	bool		 both;			/* STARTTLS is: this address is asked both ways */
	bool		 wants_tls;		/* before it hears of any mail */
	bool		 named;			/* EHLO named the address we gave */
	enum relay_cause ehlo;			/* what EHLO shows and must not */
	enum relay_sender sender;		/* of the transaction; RELAY_SENDERS: none */
	bool		 mail_ok, data_ok;
	bool		 sender_refused;	/* no recipient is welcome with this sender */
	size_t		 rcpts, odd;		/* asked */
	size_t		 control_at;		/* the one being tried */
	bool		 control_ok;		/* accepted from a stranger's sender */
	bool		 again_ok;		/* and once more at the end */
	bool		 locked;		/* it asks for a password, or first for TLS */
	bool		 unknown_asked, unknown_ok;
	const struct relay_form *asking;
	size_t		 form;			/* but for PH_STRANGER */
	bool		 ending, last;
	bool		 blamed;		/* something of it was found wrong */
};

struct relay_probe {
	struct relay_setup s;
	struct relay_names names;
	char		 literal[80];
	enum relay_phase phase;
	struct relay_visit visits[RELAY_VISITS_MAX];
	unsigned	 nvisits;
	struct relay_talk t;
	struct reply_reader reader;
	struct buf	 says, asked;
	struct relay_note *notes;
	size_t		 nnotes, cap;
	size_t		 form;			/* the next that a stranger asks */
	size_t		 address;		/* the next to be */
	size_t		 helo;			/* names of PH_HELO that were begun with */
	int		 control;		/* the one that was accepted; -1: none yet */
	bool		 stuck;			/* a visit as a stranger got nowhere */
	bool		 served[RELAY_BROKEN + 1];	/* by header */
	bool		 other_served;		/* with a header that is not configured */
	bool		 secures;		/* STARTTLS first, then every form */
	bool		 starttls;		/* offered to the client of this phase */
	bool		 secured;		/* and used for it */
	bool		 unnamed;		/* EHLO did not name the address we gave */
	bool		 locked, catch_all, bare_lf, bare_lf_tried;
	char		 banner[RELAY_ANSWERED_MAX];
	char		 host[ADDRESS_DOMAIN_MAX + 1];	/* the banner's first word, or "" */
	char		 hello[RELAY_ANSWERED_MAX];
	unsigned	 causes;
};

/* --- relay_probe.c --- */
/* The phase asks once more what was asked as this client, the other way. */
bool	relay_other_way(enum relay_phase);

/* --- relay_ask.c: into says, and asked --- */
void	relay_ask_ehlo(struct relay_probe *);	/* TLS has begun */
/* The reply to t.step is whole and judged: what comes next. */
void	relay_ask(struct relay_probe *);

/* --- relay_judge.c --- */
void	relay_blame(struct relay_probe *, enum relay_cause);
/* The reply to t.step is whole, or what came is none: what it means. */
void	relay_judge_reply(struct relay_probe *, const struct reply_ev *);
/* The visit is over. */
void	relay_judge_end(struct relay_probe *, const struct why *);

#endif
