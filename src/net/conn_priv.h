#ifndef NET_CONN_PRIV_H
#define NET_CONN_PRIV_H

#include <stdint.h>

#include "base/pieces.h"
#include "net/conn.h"
#include "net/later.h"

/*
 * Shared by conn.c (the socket, what is held and queued, the end) and
 * conn_tls.c (what OpenSSL makes of it).
 */

/* Octets that the owner has not taken yet, in a block of their own: [off, n). */
struct hold {
	char		*p;
	uint32_t	 off, n;
};

struct conn {
	uv_poll_t	 poll;
	struct laters	*laters;
	struct later	 later;
	const struct conn_ops *ops;
	void		*arg;
	SSL		*ssl;
	struct span	 feed;		/* what the BIO reads from, during a call */
	struct hold	 raw;		/* as it came */
	struct hold	 plain;		/* deciphered; comes before what raw holds */
	struct pieces	 queue;		/* waits for the kernel */
	uint32_t	 read_size;
	struct why	*why;
	int		 fd;
	int		 events;	/* what poll waits for */
	bool		 paused;
	bool		 ready;		/* ops->ready was called, and conn_take has more */
	bool		 idle;		/* an event came since then, and conn_take was not called */
	/* conn_resume was called since the last read callback began. */
	bool		 resumed;
	/* conn_tls was called since then: what is left of it must go. */
	bool		 discard;
	bool		 shaking;	/* in the handshake */
	bool		 direct;	/* TLS reads the socket itself (conn_tls_read) */
	bool		 eof;		/* nothing more will come */
	bool		 shut;		/* nothing more will be written */
	bool		 closing;	/* conn_close or conn_abort: no callback but closed */
	bool		 hear_out;	/* conn_hear_out */
	bool		 broken;	/* why says how; what came before is still given */
	bool		 over;		/* closed is due */
};

/* conn.c */
void	conn_watch(struct conn *);	/* what libuv must look out for may have changed */
/* It ends by what somebody else did; closed follows. */
void	conn_fail(struct conn *, const struct why *);
void	conn_fail_text(struct conn *, const char *);
bool	conn_put(struct conn *, const char *, size_t);	/* to the kernel, the rest to the queue */
size_t	conn_give(struct conn *, const char *, size_t);	/* to the owner; how much it used */
/* A copy of what was not used. */
void	conn_hold(struct conn *, struct hold *, const char *, size_t);
void	conn_hold_drop(struct hold *);
void	conn_peer_eof(struct conn *, bool clean);

/* conn_tls.c */
/* Octets from the wire; how many went in. */
size_t	conn_tls_take(struct conn *, const char *, size_t);
/* Of a direct one: at most so many reads of the socket; the last one's result, and errno. */
ssize_t	conn_tls_read(struct conn *, unsigned reads);
bool	conn_tls_write(struct conn *, const char *, size_t);
void	conn_tls_end(struct conn *);	/* close_notify, where there is TLS to end */

#endif
