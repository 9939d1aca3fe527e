#ifndef PRIV_GROUND_H
#define PRIV_GROUND_H

#include <stddef.h>

#include "base/scoreboard.h"
#include "base/why.h"
#include "conf/conf.h"
#include "priv/account.h"

/*
 * What the parent prepares before the first process: directories, a lock so that
 * one state has one parent, the control socket, public listeners, the scoreboard.
 * All of it is kept for as long as the parent lives and handed to each process as
 * a copy of the descriptor.
 */
#define GROUND_LOCK	"lock"	/* in the state; also of who changes that while no role runs */
#define GROUND_LISTEN_MAX	((CONF_SERVICES_MAX + 1) * CONF_LISTEN_MAX)

struct ground_listener {
	char	service[CONF_NAME_MAX];
	int	fd;
};

struct ground {
	int		 lock;
	int		 control;
	/* its directory is root's alone, not the account's */
	bool		 control_by_root;
	struct ground_listener listeners[GROUND_LISTEN_MAX];
	size_t		 nlisteners;
	struct scoreboard *board;
	int		 board_fd;
};

/* One of edge, home is NULL. */
int	ground_make(struct ground *, const struct account *, const struct conf_edge *,
	    const struct conf_home *, struct why *);
/*
 * -1 while a restore of the state is cut off: its key files may be missing, and that is not
 * what is wrong.
 */
int	ground_whole(const struct conf_common *, struct why *);
void	ground_close(struct ground *, const struct account *, const struct conf_common *);
/* A directory for a process, read-only as descriptors of directories are: "large", "maildir". */
int	ground_dir(const struct account *, const struct conf_edge *, const struct conf_home *,
	    const char *name, struct why *);

#endif
