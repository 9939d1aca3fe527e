#ifndef NET_SPLICE_H
#define NET_SPLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/why.h"
#include "net/conn.h"
#include "net/h2.h"

/*
 * One passed connection: a conn and the stream of a CONNECT (RFC 9113 8.5), joined
 * both ways, at either end of the tunnel.  Out is towards the stream, in is towards
 * the conn.
 *
 *	splice_new	takes a connected conn; it is not read yet
 *	splice_push	what goes out in front of what the conn says
 *	h2_request or h2_respond, with splice_pull and the splice, then splice_join
 *	splice_read	from here on the conn is read
 *
 * Each side's end is passed on when all before it was: half a connection stays open
 * for the other's answer.  A side that was lost, reset or timed out takes the other
 * with it by a reset, never by an end that would look like a good one; what it had
 * said before goes out first.
 *
 * A conn that does not take what comes for it stops its own stream only, whose
 * window then is all that lies with us (net/h2.h); a conn is read when its stream takes,
 * into the frame, and never ahead.  What all splices hold is bounded: beyond it the one
 * that holds most is ended.
 *
 * No callback comes from inside a call made here.  A splice is good until its closed
 * has returned, or splice_part has.
 */
#define SPLICE_FRONT	(64u << 10)	/* octets of splice_push that the stream has not taken */
/* A conn that took nothing of what lies ready for so long is given up. */
#define SPLICE_STALL_MS	(5 * 60 * 1000)
/*
 * One side has ended and nothing moves: a server that closed wholly looks just
 * like one that waits for the rest, and many a client waits for ever.
 */
#define SPLICE_HALF_MS	(5 * 60 * 1000)
#define SPLICE_KEEPALIVE_S 300		/* idle so long, TCP asks the peer whether it is there */

struct splice;

/* All of a process.  The owner sets the limits, at any time. */
struct splices {
	uv_loop_t	*loop;
	struct splice	*list;
	size_t		 n;
	size_t		 held;		/* octets that wait for a conn or a stream */
	size_t		 held_max;
	int64_t		 idle_ms;	/* longest time in which nothing moves either way */
	int64_t		 total_ms;	/* longest life */
};

void	splices_init(struct splices *, uv_loop_t *);
/* Ends what has run out of its time: call once a second. */
void	splices_sweep(struct splices *);

struct splice_ops {
	/* Client: the stream was answered 2xx.  Optional. */
	void	(*opened)(void *arg);
	/* The conn has something to say again, or its end; splice_pull gives it.  Optional. */
	void	(*speaks)(void *arg);
	/* The first octets came, and will be passed on when this returns.  Optional. */
	void	(*first)(void *arg);
	/*
	 * The stream came to its end without one octet: refused (status, not 2xx),
	 * ended (status 200), or broken (0); why says it.  Optional.  True: the owner
	 * has taken the conn with splice_part, to serve it in another way.  False: it
	 * ends as the stream did, and closed follows.
	 */
	bool	(*nothing)(void *arg, unsigned status, const struct why *);
	/* Both sides are gone; why NULL: each had said its end.  The last call. */
	void	(*closed)(void *arg, const struct why *);
};

/* Takes the conn, not on failure.  NULL: memory is out. */
struct splice *splice_new(struct splices *, struct conn *, const struct splice_ops *, void *arg);
/* False: more than SPLICE_FRONT, or memory is out. */
bool	splice_push(struct splice *, struct span);
/* For h2_request and h2_respond; their argument is the splice. */
h2_pull_fn splice_pull;
extern const struct h2_stream_ops splice_stream_ops;
void	splice_join(struct splice *, struct h2_stream *);
void	splice_read(struct splice *);
/*
 * Octets that came on the stream while it was another's, and are not h2_consumed yet;
 * ended: its end came, too.
 */
void	splice_pour(struct splice *, struct span, bool ended);
/*
 * Gives back the conn of a splice from which nothing was passed in, and forgets the
 * rest; closed does not come.  What the conn said is with it, if splice_read was
 * not called.  NULL: it has ended, and closed comes.
 */
struct conn *splice_part(struct splice **);
void	splice_abort(struct splice *, const char *why);	/* both sides; closed follows */
uint64_t splice_out(const struct splice *);		/* octets of the conn so far */
uint64_t splice_in(const struct splice *);		/* octets of the stream so far */

#endif
