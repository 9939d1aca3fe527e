#ifndef NET_CONN_H
#define NET_CONN_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "base/netaddr.h"
#include "base/span.h"
#include "base/why.h"

/*
 * A stream connection on the loop, plain or TLS: bytes in by callback, bytes out
 * by conn_write.  No buffer is held while it is idle; the read buffer belongs to
 * the loop.  With TLS, memory BIOs and few large writes (that is what made the
 * prototype fast), and nothing read before a handshake is given out after it.
 */
struct conn;

struct conn_ops {
	/*
	 * Octets that came; good during the call.  Returns how many were used; the rest is
	 * kept and given again, in front of new ones, after conn_resume.  Less than all
	 * therefore means: paused.
	 */
	size_t	(*read)(void *arg, struct span);
	void	(*drained)(void *arg);			/* all that was written is in the kernel */
	void	(*secured)(void *arg);			/* the handshake is done */
	void	(*eof)(void *arg);			/* the peer will send no more (optional: else it is a close) */
	/* Gone: by the peer, an error (why) or conn_close being done.  The last call; conn frees itself after it. */
	void	(*closed)(void *arg, const struct why *);
};

/* Takes a connected descriptor.  NULL with why. */
struct conn *conn_new(uv_loop_t *, int fd, const struct conn_ops *, void *arg, struct why *);
/* Starts TLS now; octets held back or read but unused are thrown away first (RFC 3207 4.2). */
int	conn_tls(struct conn *, SSL_CTX *, bool server, struct why *);
SSL	*conn_ssl(struct conn *);			/* NULL while plain */
bool	conn_write(struct conn *, const void *, size_t);	/* copies what the kernel does not take; false: memory out or too much queued */
size_t	conn_queued(const struct conn *);
void	conn_resume(struct conn *);			/* read again, after a short count from read */
void	conn_pause(struct conn *);
void	conn_close(struct conn *);			/* what is queued is sent, then closed; callbacks stop but closed */
void	conn_abort(struct conn *);			/* now, with a reset */
void	conn_shutdown(struct conn *);			/* half-close: no more writes; reads go on */
bool	conn_peer(const struct conn *, struct netaddr *);
bool	conn_local(const struct conn *, struct netaddr *);
#define CONN_QUEUE_MAX	(4u << 20)	/* octets a peer that does not read may make us hold */

/* Connect to an address; done exactly once, fd >= 0 or why. Returns -1 with why at once if it cannot start. */
typedef void conn_dial_fn(void *arg, int fd, const struct why *);
int	conn_dial(uv_loop_t *, const struct netaddr *, unsigned timeout_ms, conn_dial_fn *done, void *arg, struct why *);

#endif
