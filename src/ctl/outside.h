#ifndef CTL_OUTSIDE_H
#define CTL_OUTSIDE_H

#include <uv.h>

#include "base/buf.h"
#include "base/secret.h"
#include "conf/conf.h"
#include "ctl/finding.h"
#include "ctl/names.h"
#include "ctl/role.h"
#include "net/http.h"

/*
 * `doctor` asking somebody outside, by HTTP and with a token: one request after another to one
 * address, on a loop of its own.  Whoever waits is told twice a second.
 */
#define OUTSIDE_BEARER	(sizeof("Bearer ") + 2 * SECRET_LEN)

struct outside {
	const struct findings *to;
	uv_loop_t	 loop;
	uv_timer_t	 timer;		/* whoever waits is told that it goes on */
	struct names	 names;
	struct http	*http;
	struct netaddr	 addrs[RESOLVE_ADDRS_MAX];	/* of the URL's host */
	size_t		 naddrs;
	char		 bearer[OUTSIDE_BEARER];	/* what outside_token read */
	const char	*field;		/* of the answer's head, to be kept; NULL: none */
	/* of the last request */
	struct buf	 answer;
	char		 value[100];	/* of that field; "": it has none */
	unsigned	 status;
	struct why	 why;
	enum http_end	 end;
	bool		 over;
};

/* -1 with why: nothing was begun, and outside_end is not due. */
int	outside_begin(struct outside *, const struct findings *, struct why *);
/* A token file, as the role's account sees it; name: the configuration's for it.  -1 with why. */
int	outside_token(struct outside *, const struct role *, const char *name, const char *path,
	    struct why *);
/* Where the host of the URL is, which all requests have.  -1 with why. */
int	outside_find(struct outside *, const struct role *, const char *url, struct why *);
/* True: an answer, in status, answer and value.  False: there is no whole one, and why says why. */
bool	outside_ask(struct outside *, const char *method, const char *url, int64_t wait_ms);
/* The first line of the answer's text, cut. */
struct span outside_said(const struct outside *);
void	outside_end(struct outside *);

#endif
