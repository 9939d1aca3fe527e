#ifndef PRIV_SECRETS_H
#define PRIV_SECRETS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/file_mark.h"
#include "base/span.h"
#include "base/why.h"
#include "conf/conf.h"
#include "priv/account.h"

/*
 * The secret files of a role, in the parent's memory from their reading to its
 * end, so that a process can be started again while a file is being replaced.
 * They are checked before they are taken (modes, owners, that a key fits its
 * certificate), in a forked process: OpenSSL's memory and its parsing of files
 * that others can write stay out of the one process that may be root.
 */
#define SECRETS_MAX (9 + 3 * CONF_WORKERS_MAX + 2 * CONF_BUCKETS_MAX)

struct secret_file {
	char		 name[300];	/* as PM_SECRET has it */
	const char	*key;		/* in the configuration, for messages */
	char		 path[CONF_PATH_MAX];
	/* tunnel-next, age-retired: there only because of a rotation. */
	bool		 optional;
	bool		 public;	/* a certificate: anyone may read it */
	struct buf	 text;		/* empty: an optional one that is not there */
	struct file_mark mark;	/* of what was read */
	struct file_mark seen;	/* of the file when it was last looked at */
};

struct secrets {
	struct secret_file file[SECRETS_MAX];
	size_t		 n;
};

/* Reads and checks all of them. On -1 nothing is held. */
int	secrets_load(struct secrets *, const struct account *, const struct conf_edge *,
	    const struct conf_home *, struct why *);
void	secrets_fini(struct secrets *);		/* wipes */
/*
 * The same look at each of them, for a person: fn is told of every file once, with why NULL if a
 * start would take it; of an optional one that is not there it is told nothing.  Keeps nothing.
 */
typedef void secrets_look_fn(void *arg, const struct secret_file *, const struct why *);
void	secrets_look(const struct account *, const struct conf_edge *, const struct conf_home *,
	    secrets_look_fn *, void *arg);
/*
 * Whether a file differs from what was read and has stood still since the last
 * look: one that is being written waits for its end.
 */
bool	secrets_changed(struct secrets *);
/*
 * Removes the retired age identities, which home's courier says nothing needs any more:
 * if they were written before that moment, for what edges may still hold.  1: gone, 0: not yet.
 */
int	secrets_drop_retired(const struct secrets *, const char *state, int64_t before_ms,
	    struct why *);
/* What is there now is refused, and not looked at again until it changes once more. */
void	secrets_settle(struct secrets *);

#endif
