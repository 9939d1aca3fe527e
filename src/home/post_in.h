#ifndef HOME_POST_IN_H
#define HOME_POST_IN_H

/*
 * Shared by post.c (what goes when, and what is noted), lane.c (one connection) and
 * shipment.c (one object: its recipients, and what became of them).
 */
#include <openssl/ssl.h>
#include <uv.h>

#include "conf/conf.h"
#include "home/courier.h"
#include "home/post.h"
#include "home/unseal.h"
#include "net/conn.h"
#include "net/resolve.h"
#include "net/tls.h"
#include "proto/smtp_client.h"

struct shipment {			/* one object, from its claim to its last note */
	struct shipment	*next;
	struct shipment	*armed;		/* of those noted as sending and not yet shipped */
	struct post	*post;
	struct parcel	 p;
	struct smtp_cli_mail mail;
	struct smtp_cli_rcpt *rcpts;
	struct address	*addrs;		/* whom the server is asked for, a recipient each */
	size_t		*entry;		/* which of the parcel's it is */
	bool		 settled;	/* what is being noted is its end */
	bool		 forgotten;	/* the writer died: not noted any more */
	unsigned	 life;		/* of the post when it came */
};

struct shipments {			/* in their order */
	struct shipment	*first, **end;
	size_t		 n;
};

struct lane;

struct post {
	struct courier	*c;
	struct conf_home *conf;		/* a copy: the courier's may go meanwhile */
	struct smtp_cli_conf cli;
	char		 password[512];
	SSL_CTX		*tls;
	struct resolver	*resolver;
	char		 host[300];	/* "": by its address */
	const char	*path;		/* of a unix socket, or NULL */
	struct netaddr	 addr;
	unsigned	 proxy;		/* version of the header that it expects; 0 none */
	/* By PROXY: a connection a message, a header in front of it. */
	enum board_identity shows;
	struct smtp_ehlo heard;		/* what it offers, as told */
	struct lane	*lanes[POST_LANES_MAX];
	size_t		 nlanes;
	/* ended: not noted yet; stuck: a note failed */
	struct shipments waiting, ready, ended, stuck;
	struct shipment	*armed;		/* being noted as sending, ready, or in a lane */
	size_t		 nhand, narmed;	/* in hand; of these being noted as sending */
	size_t		 njudged;	/* of these with the filter */
	unsigned	 life;		/* how often all was forgotten */
	uv_timer_t	 again;		/* after a pause */
	uv_timer_t	 renote;	/* what is stuck */
	uv_timer_t	 gather;	/* what is ended */
	bool		 paused, proven;
	int64_t		 pause_ms;
	post_offers_fn	*offers;
	void		*arg;
};

/* --- shipment.c --- */
/* NULL: memory is out, the parcel stays the caller's.  No rcpts: there is nothing to send. */
struct shipment *shipment_new(struct post *, struct parcel *);
void	shipment_free(struct shipment **);
void	shipment_sending(struct shipment *);
/* Whether some mailbox gets both. */
bool	shipments_meet(const struct shipment *, const struct shipment *);
/* Back as it was: it was not sent. */
void	shipment_defer(struct shipment *, int64_t ms, const char *words);
void	shipment_results(struct shipment *);		/* what the server said, into its entries */

/* --- lane.c --- */
struct lane *lane_open(struct post *, struct shipment *, struct why *);
bool	lane_waits(const struct lane *);		/* for mail */
bool	lane_leaves(const struct lane *);		/* see lane_leave */
struct shipment *lane_now(const struct lane *);		/* what it carries, or NULL */
void	lane_send(struct lane *, struct shipment *);
/* The destination is another one: it ends with the message that it carries, or now. */
void	lane_leave(struct lane *);
void	lane_abort(struct lane *);			/* now; nothing is told any more */

/* --- post.c, told by lanes --- */
/* False: it shall not be used, and why says why. */
bool	post_lane_up(struct post *, const struct smtp_cli *, struct why *);
void	post_lane_waits(struct post *, struct lane *);
void	post_shipped(struct post *, struct shipment *);
void	post_untried(struct post *, struct shipment *);	/* not begun: on another connection */
/* It is gone.  words: why it never served, or NULL; unsent: what it was opened for. */
void	post_lane_gone(struct post *, struct lane *, struct shipment *unsent, const char *words);

#endif
