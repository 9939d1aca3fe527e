#ifndef HERALD_HOOK_H
#define HERALD_HOOK_H

#include "base/span.h"
#include "net/http.h"
#include "net/resolve.h"

/*
 * One notice on its way to the webhook: POST of application/json.  2xx is told, everything
 * else is not, and no redirect is followed: a POST would become another request.  Whichever
 * of its addresses answers first is told: IPv6 may lead nowhere.  At most HOOK_WAIT_MS for
 * all of it, and HOOK_ANSWER_MAX octets of an answer that nobody reads.
 */
#define HOOK_WAIT_MS	20000
#define HOOK_ANSWER_MAX	(64u << 10)

struct hook;

/* error: "", or why not.  Once, from the loop or from inside hook_send. */
typedef void hook_done_fn(void *arg, const char *error);
/* url, token ("" none) and body are borrowed until done. */
void	hook_send(struct http *, struct resolver *, const char *url, const char *token,
	    struct span body, hook_done_fn *, void *arg);

#endif
