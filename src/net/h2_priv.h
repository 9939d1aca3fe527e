#ifndef NET_H2_PRIV_H
#define NET_H2_PRIV_H

#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "net/h2.h"
#include "net/later.h"

/*
 * Shared by h2.c (the connection: bytes, time, beginning and end) and
 * h2_stream.c (what happens on it).
 */

/*
 * A DATA frame is pulled to where it is sealed from, by one read of a socket where that
 * fills it.  With its head it is as long as eight TLS records, and as SCRATCH_SIZE, so
 * that one read, one write, one read and one write bring it through both sides; what
 * fills up the room that shorter ones left is no shorter than one record.
 */
#define FRAME_HEAD	9u
#define FRAME_SIZE	(128u << 10)	/* SETTINGS_MAX_FRAME_SIZE (RFC 9113 6.5.2) */
#define FRAME_DATA	(FRAME_SIZE - FRAME_HEAD)
#define FRAME_LEAST	((16u << 10) - FRAME_HEAD)

struct h2_field {
	uint32_t	name, value, value_n;	/* where they lie in block */
};

struct h2 {
	uv_loop_t	*loop;
	uv_timer_t	 timer;
	struct laters	*laters;
	struct later	 later;
	struct conn	*conn;		/* NULL once it is closed */
	nghttp2_session	*session;	/* NULL until secured */
	const struct h2_ops *ops;
	void		*arg;
	bool		(*secured)(void *, struct h2 *, SSL *);
	void		*secured_arg;
	bool		 client;
	bool		 ready;
	bool		 leaving;	/* no new streams, by either side's wish */
	bool		 over;		/* closed is due */
	bool		 finished;	/* closed was told */
	bool		 aborted;	/* no last words */
	bool		 late;		/* for its TLS handshake */
	struct why	 why;		/* text empty: none */

	char		*out;		/* frames being gathered, of which there are out_n octets */
	size_t		 out_n;
	bool		 out_full;

	struct h2_stream *streams;
	struct h2_stream *came;		/* those whose owners are told when this read is over */
	unsigned	 nstreams;
	uint32_t	 credit;	/* of the connection, not yet given back */

	/* The head that is coming in: one at a time, as RFC 9113 4.3 has it. */
	struct buf	 block;
	struct h2_field	 fields[H2_HEADERS_MAX];
	size_t		 nfields;
	struct h2_field	 method, path, authority;
	unsigned	 status;

	unsigned	 ping_ms;
	uint64_t	 heard_ms;	/* of the last octet; these by awake_now */
	bool		 doubted;	/* asked by a PING, and nothing heard since */
	uint64_t	 ping_ms_at;	/* of the last PING */
	uint64_t	 ping_ns;	/* the same by the clock, 0: answered */
	int64_t		 rtt_us;
};

struct h2_stream {
	struct h2	*h2;
	struct h2_stream *next, **prev;
	struct h2_stream *came_next, **came_prev;	/* prev NULL: not among h2->came */
	struct later	 later;		/* a reset to be told, a pull to be tried again */
	const struct h2_stream_ops *ops;	/* NULL: nobody's, or told closed */
	void		*arg;
	h2_pull_fn	*pull;
	void		*pull_arg;
	char		*body;		/* a short response, and where we are in it */
	uint32_t	 body_off, body_n;
	uint32_t	 credit;	/* not yet given back */
	uint32_t	 window;	/* what the peer may have under way, and with our owner */
	uint64_t	 held;		/* octets that the owner has not taken */
	uint64_t	 held_ms;	/* loop time since when */
	int32_t		 id;
	bool		 connect;	/* and not refused */
	bool		 head_in, end_in, answered, end_out;
	bool		 reset;		/* by us: mute */
	bool		 told;
	bool		 pulling, again;
};

/* h2.c */
void	h2_kick(struct h2 *);				/* frames were submitted: send them soon */
void	h2_end(struct h2 *, const char *why);		/* why NULL: in good order */
void	h2_gathered(struct h2 *, size_t n);	/* octets more lie behind out_n */

/* h2_stream.c */
void	h2_callbacks(nghttp2_session_callbacks *);
void	h2_streams_end(struct h2 *);			/* tells each, and frees it */
void	h2_streams_came(struct h2 *);			/* the read is over */

#endif
