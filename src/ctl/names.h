#ifndef CTL_NAMES_H
#define CTL_NAMES_H

#include <uv.h>

#include "base/why.h"
#include "conf/conf.h"
#include "net/resolve.h"

/* Names looked up as a role does it, for a command: both ends of the resolver in this process. */
struct names {
	struct resolve_server *server;
	struct resolver	*resolver;
};

/* -1 with why: to be ended all the same. */
int	names_begin(struct names *, uv_loop_t *, const struct conf_common *, struct why *);
void	names_end(struct names *);		/* what was not answered yet fails */

#endif
