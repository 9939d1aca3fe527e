#ifndef STORE_SAID_H
#define STORE_SAID_H

#include "base/span.h"
#include "base/why.h"
#include "store/spool.h"
#include "store/sys.h"

/*
 * What each home said last, kept by an edge over its own restart: STATE/policies/NAME, the
 * document of GET /policy, STATE/bans/NAME, the sequence of GET /policy/bans as it was at
 * the file's time of change, and STATE/addresses/NAME, where it dialled from.  A file a
 * home, 0600, replaced whole.  Synchronous; the writer process owns them.  Losing one costs
 * what an edge knew while its home is away, never mail.
 *
 * home is a name that is paired or configured: a safe path component.
 */
int	said_put(const struct sys *, const char *state, const char *home, enum spool_said,
	    struct span text, struct why *);
/* For reading; -1: there is none, or it cannot be opened, which is logged. */
int	said_open(const struct sys *, const char *state, const char *home, enum spool_said);
void	said_forget(const struct sys *, const char *state, const char *home);	/* all of it */

#endif
