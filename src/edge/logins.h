#ifndef EDGE_LOGINS_H
#define EDGE_LOGINS_H

#include "conf/conf.h"
#include "edge/homes.h"
#include "proto/smtp_reply.h"

/*
 * Who may hand mail over at a service that asks for a login: those whom the homes behind it
 * name in their policies (proto/login.h).  An edge that has heard of no policy lets nobody in,
 * and says that it cannot tell.
 */

/* NULL with the reply to give; or the home that vouches for him, and his name as it says it. */
struct home *logins_find(const struct homes *, const struct conf_service *, struct span user,
    struct span password, const char **name, struct smtp_reply *);
/* Whether that home still names him. */
bool	logins_named(const struct home *, const char *name);

#endif
