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
 * caller's, from the configuration or net/resolve.h.  Each call has a connection of its own:
 * one that was kept may just have been closed by the server, and a body cannot be pulled a
 * second time.
 *
 * All callbacks come from the loop, none from inside a call made here; in them any call is
 * allowed, but for http_free, and in pull, head and body http_call_cancel.
 */
struct http;
struct http_call;

struct http_request {			/* borrowed during http_call_new */
	const char	*method;	/* "POST" */
	/* http or https; its host is what Host says and TLS checks */
	const char	*url;
	struct netaddr	 to;		/* where that is */
	const char	*path;		/* of a unix socket in its place, or NULL */
	uint64_t	 size;		/* of the body, where there is a pull */
	int64_t		 wait_ms;	/* for all of it, from the connection on */
	size_t		 answer_max;	/* octets of the answer's body; more breaks the call off */
};

enum http_end {
	HTTP_NOT_REACHED = 0,		/* there is no such server, or it takes no connection */
	HTTP_ANSWERED,			/* whole; whatever its status */
	HTTP_LATE,			/* wait_ms is over */
	HTTP_BROKEN,			/* the connection, the answer's form or size, or our pull */
};

struct http_ops {
	/*
	 * Up to room octets of the body; 0: no more, -1: there is no rest, break it off.
	 * NULL: no body.
	 */
	ssize_t	(*pull)(void *arg, char *out, size_t room);
	/* A field of the final answer's head.  Optional. */
	void	(*head)(void *arg, struct span name, struct span value);
	/* Octets of its body; false breaks it off.  Optional. */
	bool	(*body)(void *arg, struct span);
	/* Exactly once, then the call is gone.  status: of HTTP_ANSWERED; why: of the others. */
	void	(*done)(void *arg, enum http_end, unsigned status, const struct why *);
};

/* Before the sandbox.  NULL with why. */
struct http *http_new(uv_loop_t *, struct why *);
/* Calls under way end without a word; the loop must run once more. */
void	http_free(struct http **);

/* NULL with why; nothing is sent before _go. */
struct http_call *http_call_new(struct http *, const struct http_request *, const struct http_ops *,
    void *arg, struct why *);
/* A field; what is no printable ASCII or UTF-8 in the value becomes `?`.  False: memory is out. */
bool	http_call_field(struct http_call *, const char *name, struct span value);
/* False with why: nothing was begun, done never comes, and it is to be cancelled. */
bool	http_call_go(struct http_call *, struct why *);
void	http_call_cancel(struct http_call **);	/* done never comes */

#endif
