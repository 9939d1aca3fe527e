#ifndef NET_H2_H
#define NET_H2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/span.h"
#include "base/why.h"
#include "net/conn.h"

/*
 * One HTTP/2 connection (RFC 9113) on nghttp2 over TLS.  Either side may be the
 * HTTP client: in the tunnel it is the edge, which was dialled; in pairing it
 * is home.
 *
 * The order of things:
 *	h2_new		takes a connected descriptor and starts the TLS handshake
 *	h2_on_secured	its hook runs when the handshake is done, before any HTTP/2:
 *			it looks at ALPN and pin, may change owner and HTTP role
 *	ops->ready	the peer's SETTINGS came.  Requests may be made from the
 *			hook's return on; they wait for nothing
 *	ops->closed	once, whatever happened, a failed handshake too
 *
 * Every callback comes from the loop, none from inside a call made here but the
 * pulling of bodies, which comes when there is room for octets.  So every call is
 * allowed in every callback.  Each stream's closed comes once, the connection's
 * closed once and after those of its streams; a pointer is good until then.
 *
 * Windows: H2_CONN_WINDOW a connection; a stream begins with H2_WINDOW_FIRST, and
 * has more, up to H2_WINDOW, while its owner takes octets within H2_PROMPT_MS, and
 * less again when it does not.  Credit is returned at 1/16 of the window: of the
 * connection on receipt, of the stream when the owner says it has taken the octets
 * (h2_consumed): one stalled stream never stalls another.  The price is memory at
 * its owner, who caps the sum: H2_WINDOW_FIRST for a stream that was slow from the
 * beginning, H2_WINDOW at most.  Output is coalesced into writes of 64 KiB and
 * more.  PING every H2_PING_MS when nothing was heard; nothing in as long again
 * ends the connection.  The stream-reset limit of nghttp2 is raised: visitors
 * may reset, the tunnel stays.
 */
/*
 * 100 ms x 335 Mbit/s: a usual tcp_wmem lets no tunnel go beyond.  It is what a conn
 * queues, too.
 */
#define H2_WINDOW	(4u << 20)
#define H2_WINDOW_FIRST	(256u << 10)	/* doubles with each round trip while that helps */
#define H2_PROMPT_MS	20	/* beyond it a larger window would only make a longer queue */
#define H2_CONN_WINDOW	(32u << 20)
/* SETTINGS_MAX_CONCURRENT_STREAMS, and taken for granted until the peer's arrive. */
#define H2_STREAMS	10000
#define H2_PING_MS	15000
#define H2_HANDSHAKE_MS	10000		/* for TLS, from the descriptor on */
#define H2_HEADERS_MAX	32
#define H2_HEAD_MAX	16384	/* octets of all header fields: SETTINGS_MAX_HEADER_LIST_SIZE */
#define H2_REPLY_MAX	4096		/* octets of a short response body */

struct h2;
struct h2_stream;

struct h2_header {
	const char	*name;		/* lower case */
	struct span	 value;
};

/*
 * A request or response head; good during the call.  CONNECT has method and
 * authority alone (RFC 9113 8.5); what its 2xx opens is done when both sides have
 * ended theirs, and not before.
 */
struct h2_head {
	struct span	 method, path, authority;	/* requests */
	unsigned	 status;			/* responses */
	const struct h2_header *headers;
	size_t		 nheaders;
};
struct span h2_header_get(const struct h2_head *, const char *name);	/* empty span if absent */

/*
 * Where an outgoing body comes from: fill up to max octets.  Returns the count;
 * sets *eof with the last ones.  0 without *eof: nothing now, h2_stream_resume
 * will say when.  -1: give up (the stream is reset).  Never called after the
 * stream's closed.
 */
typedef ssize_t h2_pull_fn(void *arg, void *out, size_t max, bool *eof);

/* What happens to one stream.  The owner sets arg by h2_stream_own. */
struct h2_stream_ops {
	/* Client: the response's head (1xx are skipped) */
	void	(*head)(void *arg, const struct h2_head *);
	void	(*data)(void *arg, struct span);		/* call h2_consumed, now or later */
	void	(*end)(void *arg);	/* the peer's side is complete; ours may go on */
	/*
	 * After one or more of data and end: that was all of what was read at once, and
	 * the octets that data gave are good until this returns.  Not after closed, which
	 * finds them still good.  Optional.
	 */
	void	(*came)(void *arg);
	/*
	 * The stream is over: wholly done (why NULL), reset, or the connection
	 * went.  The last call; pointers die.
	 */
	void	(*closed)(void *arg, const struct why *);
};

struct h2_ops {
	/*
	 * Server: a request came; answer with h2_respond, own it with
	 * h2_stream_own, or h2_reset it.
	 */
	void	(*request)(void *arg, struct h2_stream *, const struct h2_head *, bool has_body);
	void	(*ready)(void *arg);				/* the peer's SETTINGS are here */
	/*
	 * Over, with the reason; NULL where one side said that it goes (GOAWAY), and all was
	 * done.  All its streams were told closed before.  The last call; h2 frees itself
	 * and its conn.
	 */
	void	(*closed)(void *arg, const struct why *);
};

/*
 * Takes fd, on failure too.  tls_server: which end of the handshake we are, the
 * end that was dialled; h2_client: which end of HTTP.  NULL with why.
 */
struct h2 *h2_new(uv_loop_t *, int fd, SSL_CTX *, bool tls_server, bool h2_client,
    const struct h2_ops *, void *arg, struct why *);
void	h2_set_owner(struct h2 *, const struct h2_ops *, void *arg);
/*
 * fn may call h2_set_owner and h2_set_client according to ALPN and pin;
 * false closes.  Set before the loop runs.
 */
void	h2_on_secured(struct h2 *, bool (*fn)(void *arg, struct h2 *, SSL *), void *arg);
void	h2_set_client(struct h2 *, bool h2_client);
void	h2_set_ping(struct h2 *, unsigned ms);	/* instead of H2_PING_MS; before the loop runs */
SSL	*h2_ssl(struct h2 *);			/* not in or after closed */
bool	h2_peer(const struct h2 *, struct netaddr *);
/*
 * A request waits for its answer for so long.  Where nothing at all was heard in that
 * time a PING asks at once, and h2_doubted is true until something is heard: a line
 * that was pulled looks like this long before the connection is given up.
 */
void	h2_doubt(struct h2 *, int64_t waited_ms);
bool	h2_doubted(const struct h2 *);
bool	h2_late(const struct h2 *);		/* in closed: the TLS handshake took too long */
int64_t	h2_rtt_us(const struct h2 *);		/* of the last PING; 0 none yet */

/*
 * Client: a request.  pull NULL: no body.  The body may flow before the response
 * comes, and both at once.  NULL when it cannot be sent (going away, too many
 * streams, memory): nothing is called then.
 */
struct h2_stream *h2_request(struct h2 *, const struct h2_head *, h2_pull_fn *, void *pull_arg,
		    const struct h2_stream_ops *, void *arg);
/*
 * Server: the response.  body: short, copied; pull instead of it for a stream.
 * False: it was answered or reset before, or memory is out.  Where the response
 * ends before the request's body does, the rest of that is called off (RFC 9113
 * 8.1) and the stream is done; only CONNECT may be half closed this way round.
 */
bool	h2_respond(struct h2_stream *, const struct h2_head *, struct span body, h2_pull_fn *,
    void *pull_arg);
void	h2_stream_own(struct h2_stream *, const struct h2_stream_ops *, void *arg);
void	h2_stream_resume(struct h2_stream *);
void	h2_consumed(struct h2_stream *, size_t n);
/* CANCEL, or CONNECT_ERROR where a connection is passed; no callback but closed, soon. */
void	h2_reset(struct h2_stream *);
void	h2_goaway(struct h2 *);			/* no new streams; closes when the last is done */
void	h2_abort(struct h2 *, const char *why);	/* now; no callback but closed, soon */

#endif
