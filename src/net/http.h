#ifndef NET_HTTP_H
#define NET_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "base/netaddr.h"
#include "base/span.h"
#include "base/why.h"

/*
 * A client of HTTP/1.1 (RFC 9112) on the loop, over libcurl's multi interface.  A request's
 * body is pulled as the server takes it, and its answer comes by callback, so that a call
 * costs libcurl's buffers (two of 64 KiB) whatever is carried.
 *
 * No redirect is followed and no proxy used; no variable of the environment and no file of a
 * user counts; no signal is sent or caught.  It asks for no names: the address is the
 * caller's, from the configuration or net/resolve.h.
 *
 * A call has a connection of its own unless it says otherwise.  One that is kept may just
 * have been closed by the server; libcurl then makes another and asks again, once, if the
 * body can be pulled from its beginning or there is none.
 *
 * All callbacks come from the loop, none from inside a call made here; in them any call is
 * allowed, but for http_free, and in pull, again, head and body http_call_cancel.
 */
#define HTTP_KEPT_MAX	32		/* idle connections that are kept, of all servers */

struct http;
struct http_call;

struct http_sign {			/* AWS signature version 4, for the service s3 */
	const char	*region;
	const char	*id, *secret;
};

struct http_request {			/* borrowed during http_call_new */
	const char	*method;	/* "POST" */
	/* http or https; its host is what Host says and TLS checks */
	const char	*url;
	struct netaddr	 to;		/* where that is */
	/* Where else, all with the URL's own port; whichever answers first, to a head start. */
	const struct netaddr *others;
	size_t		 nothers;
	const char	*path;		/* of a unix socket in its place, or NULL */
	uint64_t	 size;		/* of the body, where there is a pull */
	int64_t		 wait_ms;	/* for all of it, from the connection on */
	int64_t		 stall_ms;	/* of these, without an octet moving; 0: as long */
	size_t		 answer_max;	/* octets of the answer's body; more breaks the call off */
	bool		 keep;		/* on a kept connection, and keep it */
	struct span	 authorities;	/* PEM, until done; empty: this machine's */
	/* Signs all fields, which include x-amz-content-sha256; NULL: nothing is signed. */
	const struct http_sign *sign;
};

enum http_end {
	/* No such server, it takes no connection, or TLS does not believe that it is it. */
	HTTP_NOT_REACHED = 0,
	HTTP_ANSWERED,			/* whole; whatever its status */
	HTTP_LATE,			/* wait_ms is over */
	/*
	 * The connection, the answer's form or size, or our pull; or it is shorter than it said, or
	 * a 2xx that came before all of the request had gone.
	 */
	HTTP_BROKEN,
};

struct http_ops {
	/*
	 * Up to room octets of the body; 0: no more, -1: there is no rest, break it off.
	 * NULL: no body.
	 */
	ssize_t	(*pull)(void *arg, char *out, size_t room);
	/* The next pull begins at the body's beginning; false or NULL: it cannot. */
	bool	(*again)(void *arg);
	/* A field of the final answer's head.  Optional. */
	void	(*head)(void *arg, struct span name, struct span value);
	/* Octets of its body; false breaks it off.  Optional. */
	bool	(*body)(void *arg, struct span);
	/* Exactly once, then the call is gone.  status: of HTTP_ANSWERED; why: of the others. */
	void	(*done)(void *arg, enum http_end, unsigned status, const struct why *);
};

/* Before the sandbox.  NULL with why. */
struct http *http_new(uv_loop_t *, struct why *);
uv_loop_t *http_loop(const struct http *);
/* Calls under way end without a word; the loop must run once more. */
void	http_free(struct http **);

/* NULL with why; nothing is sent before _go. */
struct http_call *http_call_new(struct http *, const struct http_request *, const struct http_ops *,
    void *arg, struct why *);
/* A field; what is no printable ASCII or UTF-8 in the value becomes `?`.  False: memory is out. */
bool	http_call_field(struct http_call *, const char *name, struct span value);
/* False with why: nothing was begun, done never comes, and it is to be cancelled. */
bool	http_call_go(struct http_call *, struct why *);
/* Of the final answer, from its first field on; 0 before. */
unsigned http_call_status(const struct http_call *);
/*
 * No octet of the answer's body comes until _resume; what libcurl has read by then, at most
 * 16 KiB, waits in it.  Also from inside body.
 */
void	http_call_pause(struct http_call *);
void	http_call_resume(struct http_call *);
void	http_call_cancel(struct http_call **);	/* done never comes */

#endif
