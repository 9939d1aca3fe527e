#ifndef EDGE_SESSION_IN_H
#define EDGE_SESSION_IN_H

#include "base/clock.h"
#include "edge/edge.h"
#include "edge/handover.h"
#include "edge/object_out.h"
#include "proto/envelope.h"
#include "proto/pushed_id.h"
#include "proto/xclient.h"

/*
 * Shared by session.c (a connection: bytes, time, beginning and end), message.c (one
 * message on it: what is asked of the machine's events, to the last answer) and worker.c
 * (whoever logs in, for whom he speaks).
 */
enum waiting {			/* why nothing is read now */
	WAIT_NOTHING = 0,
	WAIT_NAME,		/* the client's name, for Received: and the envelope */
	WAIT_SPOOL,		/* the commit */
	WAIT_VERDICT,		/* home's word */
	WAIT_DRAIN,		/* the client reads its replies first */
};

/* A commit under way; outlives the session if the client goes. */
struct pending {
	struct session	*session;	/* NULL: nobody to tell */
	struct home	*home;
	struct spool_object obj;
	struct instant	 began;
	size_t		 nrcpts;
};

/* All that belongs to one message until it is handed to the spool; message_end is its only end. */
struct txn {
	struct envelope	*env;
	size_t		 octets;	/* of it, as counted in the edge's recipients */
	struct home	*home;		/* of the first accepted recipient */
	struct object_out *out;
	/* Of a Worker's: what stands on top.  The object begins behind it. */
	struct pushed_id pushed;
	/* Code 0: all is well; else what to say at the end of data. */
	struct smtp_reply failed;
	struct instant	 began;
};

struct session {
	struct session	*next, *prev;
	struct edge	*edge;
	struct conn	*conn;
	struct smtp_srv	*srv;
	struct terms	*terms;
	char		 service[CONF_NAME_MAX];
	char		 sid[12];
	/* of session_client, once looked up; "" none */
	char		*name;
	/* Who logged in, and the home that vouches for him; NULL: a stranger. */
	char		*user;
	struct home	*user_home;
	/* Whom he speaks for (XCLIENT), addr known; NULL: nobody that he named. */
	struct xclient	*speaks_for;
	struct netaddr	 client;
	struct netaddr	 dest;		/* where it came in; port 0: what its socket says */
	struct txn	*txn;
	struct pending	*pending;
	struct ask	*ask;
	struct resolve_ask *lookup;
	struct instant	 phase_until, end;
	enum waiting	 waiting;
	unsigned	 bare_lf;	/* counted so far */
	bool		 secured, closing, starttls;
	bool		 tls_at_once;
	/* Ends when what it waits for is answered: banned, or the client says no more. */
	bool		 banned, said_all;
};

/* session.c */
void	session_say(struct session *, struct smtp_reply);
/* What was waited for is there and answered: say it, then read on. */
void	session_go_on(struct session *);
/* The listener's service as it is configured now. */
const struct conf_service *session_service(const struct session *);

/* worker.c: the machine's AUTH and XCLIENT */
void	worker_login(struct session *, const struct smtp_ev *);
void	worker_speaks_for(struct session *, const struct smtp_ev *);
/* Whose mail it is: his for whom a Worker speaks, else whoever is connected. */
const struct netaddr *session_client(const struct session *);

/* message.c: the machine's events of these names */
void	message_mail(struct session *, const struct smtp_ev *);
void	message_rcpt(struct session *, const struct smtp_ev *);
void	message_begin(struct session *);
void	message_body(struct session *, struct span octets);
void	message_eom(struct session *);
void	message_end(struct session *);		/* forgets what is not handed to the spool yet */
/* The connection is gone; a commit or a question under way goes on without it. */
void	message_abandon(struct session *);

#endif
