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
 * Frame (numbers in network order): u32 length of body, u16 type, u16 flags (1: a
 * descriptor rides with it), u64 tag, body.  Messages keep their order.  A peer that
 * sends a frame over CHAN_BODY_MAX, a flag without a descriptor, or a descriptor
 * without a flag is less trusted than it ought to be: the channel closes (on_close).
 */
#define CHAN_BODY_MAX	(1u << 20)	/* an object up to 256 KiB and a page of list entries fit */
#define CHAN_PARTS_MAX	16
/* What a process that does not read may make us hold: 4 budgets of objects in memory. */
#define CHAN_QUEUE_MAX	(64u << 20)

struct chan;
struct chan_msg {
	uint16_t	type;
	uint64_t	tag;
	struct span	body;		/* good during the call */
	int		fd;	/* -1: none; the callee sets -1 to take it, else it is closed */
};
typedef void chan_msg_fn(void *arg, struct chan_msg *);
/*
 * The other end went, or misbehaved.  Told once, after every message
 * that came before; call chan_free.
 */
typedef void chan_close_fn(void *arg, const struct why *);

/* Takes fd (a connected SOCK_STREAM unix socket), on failure too.  NULL with why. */
struct chan *chan_new(uv_loop_t *, int fd, struct why *);
/* Nothing is read before. */
void	chan_start(struct chan *, chan_msg_fn *, chan_close_fn *, void *arg);
/*
 * Queues a message; parts are copied unless they can be written at once; fd >= 0
 * is taken, -1: none.  False when memory is out or CHAN_QUEUE_MAX reached (the
 * message is not sent, fd is closed).  A peer that is gone is told by on_close
 * alone.  Many sends in one loop turn leave in few system calls.
 */
bool	chan_send(struct chan *, uint16_t type, uint64_t tag, const struct span *parts,
    size_t nparts, int fd);
/* Now, as far as the kernel takes it: for what must not be overtaken on another way. */
void	chan_flush(struct chan *);
uv_loop_t *chan_loop(const struct chan *);
size_t	chan_queued(const struct chan *);	/* octets not yet taken by the kernel */
/*
 * What is queued is written as far as the kernel takes it now.  May be
 * called from its own callbacks.
 */
void	chan_free(struct chan **);

#endif
