#ifndef HOME_POST_H
#define HOME_POST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"
#include "base/why.h"
#include "home/opener.h"
#include "proto/smtp_ehlo.h"

/*
 * Held mail goes to the mail server that home's configuration names, by SMTP or LMTP:
 *
 *	claimed and looked at -> judged, where there is a filter (home/filter.h) -> waits,
 *	oldest first -> `sending` noted -> one transaction for all of its recipients ->
 *	each one's end noted
 *
 * It is at least once, as SMTP is (RFC 1047): a message that was sent whole and not
 * answered is `uncertain` and goes again, under the same X-Posthouse-Id.  `sending` is
 * durable before the first octet, so that a crash cannot make it look untried.
 *
 * A commit costs more than a message.  So while mail is under way ends are gathered, one for
 * each connection at most and not for long, and noted with the next to be sent.  A crash
 * meanwhile makes them uncertain, as it does those whose answer is still on its way.
 *
 * Connections are kept between messages, several at once; by LMTP no two carry mail for one
 * mailbox, and it gets its mail in order.  A destination that does not
 * serve is left alone for a pause that doubles; what was in hand is deferred until then
 * with its words, and nothing more is claimed.  At its start one connection is made
 * without mail, so that edges announce no more than the server honours.
 *
 * One for each courier, whose process it shares and which owns it.
 */
#define POST_PAUSE_MS		1000		/* the first; it doubles */
#define POST_PAUSE_MAX_MS	(5 * 60 * 1000)
#define POST_IDLE_MS		10000		/* a connection without mail ends */
#define POST_MAILS_MAX		200		/* on one connection: servers want an end */
#define POST_LANES_MAX		64
#define POST_AHEAD		2		/* by LMTP, of a mailbox: one goes, one is ready */
#define POST_STOCK		4		/* noted as `sending` ahead, for each connection */
#define POST_GATHER_MS		10		/* an end waits for others so long */

struct courier;
struct chan;
struct post;

/* Called when what the server offers was heard. */
typedef void post_offers_fn(void *arg, const struct smtp_ehlo *);

/* Before the sandbox.  NULL with why. */
struct post *post_new(struct courier *, post_offers_fn *, void *arg, struct why *);
void	post_free(struct post **);			/* the loop must run three times more */
void	post_resolver(struct post *, struct chan *);	/* takes it */
void	post_password(struct post *, struct span);

/* courier.conf is another one: the backend of a service may be elsewhere. */
void	post_reload(struct post *);

/* How many more objects it would have; 0 while the destination is left alone. */
unsigned post_room(const struct post *);
/* Takes the parcel, whatever is to be done with it. */
void	post_take(struct post *, struct parcel *);
void	post_go(struct post *);		/* there may be something to do */
/* The writer died: it knows best what was noted, and gives the rest again. */
void	post_forget(struct post *);
bool	post_busy(const struct post *);

#endif
