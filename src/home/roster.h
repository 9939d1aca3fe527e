#ifndef HOME_ROSTER_H
#define HOME_ROSTER_H

#include <stdbool.h>
#include <uv.h>

#include "conf/conf.h"
#include "home/router.h"
#include "net/chan.h"

/*
 * The courier's list of mailboxes: the configured users, and what the helper's
 * command said when it last succeeded.  The command is asked at start, at a
 * reload, every `refresh`, and when an address is unknown to a list older than
 * ROSTER_FRESH_MS; only a list younger than that refuses anybody for good.  A
 * command that fails leaves the last good list in force, beside what a configuration says
 * that was read anew since, and an alarm; so does a text that is junk for the most part, or
 * that names nobody where the last one named somebody.
 */
#define ROSTER_FRESH_MS 60000

struct roster;

/* changed: the first answer is there (known), or the alarm's text is another; from the loop. */
struct roster *roster_new(uv_loop_t *, void (*changed)(void *), void *arg);
void	roster_configure(struct roster *, const struct conf_home *);
void	roster_attach(struct roster *, struct chan *);	/* the helper; takes it */
bool	roster_known(const struct roster *);	/* the command, if any, has been heard once */
/* What to route by now; good until the next return to the loop. */
void	roster_router(struct roster *, const struct conf_home *, const struct edges *,
	    struct router *out);
/*
 * Which list is in force: another one has another number.  learned_ms: when it was last known
 * to be right, by the wall clock; 0: there is none yet.
 */
uint64_t roster_number(const struct roster *, int64_t *learned_ms);
void	roster_missed(struct roster *);		/* somebody has to come later for the list's sake */
const char *roster_alarm(const struct roster *);	/* "" none */
void	roster_free(struct roster **);

#endif
