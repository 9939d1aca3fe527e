#ifndef HOME_INTERLOCK_H
#define HOME_INTERLOCK_H

#include "home/health.h"
#include "home/tunnel.h"

/*
 * The open-relay interlock (DESIGN 6): before a mail server of this home is opened
 * to clients, home plays the stranger to it (proto/relay_probe.h) through the same
 * code that passes connections.  There is no way round it and no setting that
 * switches it off.
 *
 * A mail server is tried at home's start, when its configuration changes, when it
 * comes back after being away or was started again, when an address turns up that must not
 * be trusted and was not tried yet, each INTERLOCK_HOUR_MS, and when the operator asks.  In all but
 * the last two it stays closed until it is cleared; in these it stays as it is until
 * the end, and is closed then if it fails.  What cannot be told is not cleared, and
 * tried again after INTERLOCK_AGAIN_MS.  A server that left us without an answer may only have
 * been busy, as one that starts is: it is tried after INTERLOCK_SOON_MS, and after twice as long
 * each time, up to that.
 *
 * A service that is no mail server by name, port and greeting may be one behind TLS:
 * it is asked before it is opened, and again whenever a mail server would be tried; it
 * stays open meanwhile.  One that says nothing in TLS is told QUIT: a server of another kind
 * answers what it does not understand, or hangs up, and one of mail that greets late has
 * INTERLOCK_LATE_MS to do so.
 *
 * What was asked and answered is told as JSON, for `posthouse interlock` and `status`.
 */
#define INTERLOCK_HOUR_MS	(60u * 60 * 1000)
#define INTERLOCK_AGAIN_MS	(60u * 1000)	/* after a verdict that is not green */
#define INTERLOCK_SOON_MS	5000	/* after one that lacks an answer, and nothing else */
#define INTERLOCK_RUN_MS	(5u * 60 * 1000)	/* a whole test; then it cannot be told */
#define INTERLOCK_SILENCE_MS	1500	/* of a service that may be a mail server in TLS */
#define INTERLOCK_SHAKE_MS	10000	/* for its handshake: small machines start up, too */
#define INTERLOCK_LATE_MS	30000	/* once asked: as long as edges wait for a banner */

struct interlock;

/* A report of a service; empty: it is gone. */
typedef void interlock_told_fn(void *arg, const char *service, struct span json);
/* NULL: memory is out. */
struct interlock *interlock_new(struct tunnel_proc *, interlock_told_fn *, void *arg);
void	interlock_free(struct interlock **);
/* The services are as health has them now; everything is tried anew. */
void	interlock_configure(struct interlock *);
/* Once a second: what is due begins. */
void	interlock_tick(struct interlock *);
/* Why no client may reach this service: words, or NULL.  il NULL: no mail server is cleared. */
const char *interlock_closed(const struct interlock *, const struct service *);
/* Its backend does not answer, or is another one: what it proved is forgotten. */
void	interlock_away(struct interlock *, const struct service *);
/* The operator wants all of it now; run numbers his question, and comes back in the answers. */
void	interlock_run(struct interlock *, uint64_t run);
void	interlock_tell(struct interlock *);	/* all reports once more */

#endif
