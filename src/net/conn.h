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
 * by conn_write.  No buffer is held while it is idle; those that bytes pass
 * through belong to the thread.  TLS is fed from memory and written in few large
 * pieces (that is what made the prototype fast), and nothing read before a
 * handshake is given out after it.
 *
 * All callbacks come from the loop, none from inside a call made here, so any
 * call is allowed in any callback.  A conn lives until its closed has returned.
 */
struct conn;

struct conn_ops {
	/*
	 * Octets that came; good during the call.  Returns how many were used; the rest is
	 * kept and given again, in front of new ones, after conn_resume.  Less than all
	 * therefore means: paused (unless conn_resume was called meanwhile).
	 */
	size_t	(*read)(void *arg, struct span);
	/*
	 * In place of read: something came, or the end did, and lies with the kernel until
	 * conn_take brings it to where it is needed.  Not called again before that found
	 * less than it had room for.  For a plain connection only.
	 */
	void	(*ready)(void *arg);
	/* All that was written is in the kernel; only after conn_queued was not 0.  Optional. */
	void	(*drained)(void *arg);
	/* The handshake is done.  Optional while no TLS is asked for. */
	void	(*secured)(void *arg);
	/* The peer will send no more.  Optional: else it is a close. */
	void	(*eof)(void *arg);
	/*
	 * The last call; conn frees itself after it.  why: what the peer or the network did,
	 * "the peer closed the connection" too; NULL after conn_close or conn_abort.
	 */
	void	(*closed)(void *arg, const struct why *);
};

/* Takes a connected descriptor, on failure too.  NULL with why. */
struct conn *conn_new(uv_loop_t *, int fd, const struct conn_ops *, void *arg, struct why *);
/* Starts TLS now; octets held back or read but unused are thrown away first (RFC 3207 4.2). */
int	conn_tls(struct conn *, SSL_CTX *, bool server, struct why *);
/* Another owner from here on.  What the first left unused comes to it, after conn_resume. */
void	conn_own(struct conn *, const struct conn_ops *, void *arg);
/*
 * TCP asks an idle peer after so long whether it is still there, and ends the
 * connection when it has been silent three times, half a minute apart.
 */
void	conn_keepalive(struct conn *, unsigned idle_s);
/*
 * When the peer resets, or what we write finds it gone, what it said before that is
 * still given, and closed comes behind it.  Without this it is lost: nobody should
 * serve a client that hears no answer.
 */
void	conn_hear_out(struct conn *, bool on);
SSL	*conn_ssl(struct conn *);			/* NULL while plain */
/*
 * Goes to the kernel at once; what it does not take is copied.  Gather, then
 * write: each call is a system call.  With TLS not before secured.  False: too
 * much is queued, memory is out or it is closing; closed follows.
 */
bool	conn_write(struct conn *, const void *, size_t);
#define CONN_SPANS 4
bool	conn_writev(struct conn *, const struct span *, unsigned n);	/* n <= CONN_SPANS */
size_t	conn_queued(const struct conn *);
/*
 * Octets that came, to where the owner wants them; ops have a ready.  Less than max: no
 * more now, and ready will say when there are.  *ended: nor ever, as the peer said so
 * (eof is not called).  What is not taken keeps the peer waiting, and costs no memory.
 */
size_t	conn_take(struct conn *, char *to, size_t max, bool *ended);
void	conn_resume(struct conn *);	/* read again, after a short count */
/*
 * What is queued is sent, then closed; callbacks stop but closed.  A peer that
 * takes none of it for CONN_LINGER_MS loses it, and conn_abort may still follow.
 */
void	conn_close(struct conn *);
void	conn_abort(struct conn *);	/* now, with a reset; callbacks stop but closed */
/* Half-close, after what is queued: no more writes; reads go on. */
void	conn_shutdown(struct conn *);
bool	conn_peer(const struct conn *, struct netaddr *);
bool	conn_local(const struct conn *, struct netaddr *);
#define CONN_QUEUE_MAX	(4u << 20)	/* octets a peer that does not read may make us hold */
#define CONN_LINGER_MS	30000
/*
 * Octets asked of the kernel at a time, so the most that a paused connection can
 * hold back.  CONN_READ is the default; at most SCRATCH_SIZE + SCRATCH_MORE for a trusted
 * peer in a hurry, said before conn_tls, which then reads into a buffer of the connection's own.
 */
#define CONN_READ	(16u << 10)
void	conn_set_read(struct conn *, size_t);

/*
 * Connect to an address; done exactly once, fd >= 0 (whose it is then)
 * or -1 and why. Returns -1 with why at once if it cannot start.
 */
typedef void conn_dial_fn(void *arg, int fd, const struct why *);
int	conn_dial(uv_loop_t *, const struct netaddr *, unsigned timeout_ms, conn_dial_fn *done,
    void *arg, struct why *);

/* The same to a unix socket, whose path fits an address. */
int	conn_dial_unix(uv_loop_t *, const char *path, unsigned timeout_ms, conn_dial_fn *done,
    void *arg, struct why *);

#endif
