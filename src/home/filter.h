#ifndef HOME_FILTER_H
#define HOME_FILTER_H

#include <stdbool.h>

#include "base/span.h"
#include "base/why.h"
#include "home/opener.h"

/*
 * rspamd, which may judge held mail before it goes to its mailboxes: the opened message is
 * streamed to its POST /checkv2 with the true client's address, name and HELO and the
 * envelope, and what it says is done (proto/rspamd.h).
 *
 *	reject		its sender, if he still waits, hears 550 5.7.1; else parked or junk
 *	soft reject	deferred; but for no longer than FILTER_LATER_MAX_MS after receipt, since
 *			nobody sends it again whose coming back would prove anything
 *	add header	X-Spam: Yes
 *	anything	the lines that it adds are added
 *
 * Mail flows without it: a message on which no word comes in time goes on unjudged, which
 * the log says, and the scoreboard while it lasts.  A filter that is not there, or has failed
 * FILTER_FAILURES_MAX messages in a row, is left alone for a pause that doubles.  One message
 * that it cannot read opens no such gap for others.
 *
 * One for each courier, whose process it shares and which owns it.
 */
#define FILTER_ASKED_MAX	8	/* messages at once: of each half a MiB is in memory */
#define FILTER_FAILURES_MAX	3
#define FILTER_PAUSE_MS		1000	/* the first; it doubles */
#define FILTER_PAUSE_MAX_MS	30000
#define FILTER_LATER_MAX_MS	(60 * 60 * 1000)
#define FILTER_LINES_MAX	(8192 + 16)	/* octets that it may add to a message */

struct courier;
struct filter;

enum filter_said {
	FILTER_GO = 0,		/* it is to be delivered, with its heads; judged or not */
	FILTER_SETTLED,		/* it is not: its entries are deferred, parked or refused */
	FILTER_GONE,		/* from filter_free: the courier ends */
};
/* Once for each parcel, from the loop but for FILTER_GONE. */
typedef void filter_told_fn(void *arg, struct parcel *, enum filter_said);

/* Before the sandbox.  NULL with why. */
struct filter *filter_new(struct courier *, struct why *);
void	filter_free(struct filter **);			/* the loop must run once more */
void	filter_password(struct filter *, struct span);
/* The parcel was looked at and is open; it stays where it is until told. */
void	filter_ask(struct filter *, struct parcel *, filter_told_fn *, void *arg);

#endif
