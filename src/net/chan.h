#ifndef NET_CHAN_H
#define NET_CHAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/span.h"
#include "base/why.h"

/*
 * A channel between two of our own processes: framed messages, each with an
 * optional descriptor, over a unix stream socket, on a libuv loop.
 *
 * Frame: u32 length of body, u16 type, u16 flags (1: a descriptor rides with
 * it), u64 tag, body.  Messages keep their order.  A peer that sends a frame
 * over CHAN_BODY_MAX, a flag without a descriptor, or a descriptor without a
 * flag is less trusted than it ought to be: the channel closes (on_close).
 */
#define CHAN_BODY_MAX	(1u << 20)	/* an object up to 256 KiB and a page of list entries fit */

struct chan;
struct chan_msg {
	uint16_t	type;
	uint64_t	tag;
	struct span	body;		/* good during the call */
	int		fd;		/* -1: none; the callee sets -1 to take it, else it is closed */
};
typedef void chan_msg_fn(void *arg, struct chan_msg *);
typedef void chan_close_fn(void *arg, const struct why *);	/* the other end went, or misbehaved; call chan_free */

/* Takes fd (a connected SOCK_STREAM unix socket). NULL with why. */
struct chan *chan_new(uv_loop_t *, int fd, struct why *);
void	chan_start(struct chan *, chan_msg_fn *, chan_close_fn *, void *arg);	/* nothing is read before */
/*
 * Queues a message; parts are copied unless they can be written at once; fd >= 0
 * is taken.  False when memory is out (the message is not sent, fd is closed).
 * Many sends in one loop turn leave in few system calls.
 */
bool	chan_send(struct chan *, uint16_t type, uint64_t tag, const struct span *parts, size_t nparts, int fd);
size_t	chan_queued(const struct chan *);	/* octets not yet taken by the kernel */
void	chan_pause(struct chan *, bool paused);	/* stop reading: back-pressure */
/* Takes the descriptor back out, for handing the end on; nothing may be queued. */
int	chan_release(struct chan **);
void	chan_free(struct chan **);		/* may be called from its own callbacks */

#endif
