#include "net/chan.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/codec.h"
#include "net/later.h"

#define HEAD		16u
#define FLAG_FD		1u
#define BLOCK		(16u << 10)	/* small messages are gathered in blocks of this */
/*
 * So much queued does not wait for the end of the turn: the other process, a writer with a batch
 * to commit, begins while we go on.  Half of it made more commits than it gained time, twice
 * as much left the writer idle behind sessions that are served together.
 */
#define FLUSH_AT	(32u << 10)
#define IN_LEAST	(64u << 10)
#define IN_TURNS	8		/* reads in one turn: others have theirs */
#define FDS_MAX		4		/* come, not yet claimed by a frame: more than is due */
#define IOV		32

/* Octets queued.  A block with a descriptor starts a sendmsg, so that it arrives with its frame. */
struct block {
	struct block	*next;
	size_t		 off, n, cap;
	int		 fd;
	unsigned char	 data[];
};

struct chan {
	uv_poll_t	 poll;
	struct laters	*laters;
	struct later	 later;
	chan_msg_fn	*on_msg;
	chan_close_fn	*on_close;
	void		*arg;
	int		 fd;
	int		 events;	/* what poll waits for */
	bool		 dead;
	struct block	*out, **out_last, *out_tail;
	size_t		 queued;
	unsigned char	*in;		/* [in_off, in_n) is not yet given out */
	size_t		 in_off, in_n, in_cap;
	int		 fds[FDS_MAX];
	unsigned	 nfds;
};

static void on_poll(uv_poll_t *, int, int);
static void on_later(struct later *);

/* Tells libuv only what changed: each change costs two system calls. */
static void
watch(struct chan *c)
{
	int events = 0;

	if (c->on_msg != NULL)
		events |= UV_READABLE;
	if (c->queued > 0)
		events |= UV_WRITABLE;
	if (c->dead || events == c->events)
		return;
	if (events == 0)
		uv_poll_stop(&c->poll);
	else
		uv_poll_start(&c->poll, events, on_poll);
	c->events = events;
}

struct chan *
chan_new(uv_loop_t *loop, int fd, struct why *why)
{
	struct chan *c = calloc(1, sizeof(*c));
	int rc;

	if (c == NULL || (c->laters = laters_hold(loop)) == NULL) {
		free(c);
		close(fd);
		why_set(why, "channel: out of memory");
		return NULL;
	}
	if ((rc = uv_poll_init(loop, &c->poll, fd)) != 0) {
		why_set(why, "channel: %s", uv_strerror(rc));
		laters_drop(c->laters);
		free(c);
		close(fd);
		return NULL;
	}
	c->poll.data = c;
	c->later.fn = on_later;
	c->fd = fd;
	c->out_last = &c->out;
	return c;
}

void
chan_start(struct chan *c, chan_msg_fn *on_msg, chan_close_fn *on_close, void *arg)
{
	c->on_msg = on_msg;
	c->on_close = on_close;
	c->arg = arg;
	watch(c);
}

/* --- writing -------------------------------------------------------------- */

static void
block_drop(struct chan *c)
{
	struct block *b = c->out;

	c->out = b->next;
	if (c->out == NULL) {
		c->out_last = &c->out;
		c->out_tail = NULL;
	}
	c->queued -= b->n - b->off;
	if (b->fd != -1)
		close(b->fd);
	free(b);
}

/*
 * The peer cannot be written to.  What it said before that is still read: the
 * end comes to on_close by way of the reader, in order.
 */
static void
write_failed(struct chan *c)
{
	while (c->out != NULL)
		block_drop(c);
	shutdown(c->fd, SHUT_RDWR);
}

static ssize_t
send_iov(struct chan *c, struct iovec *iov, size_t niov, int fd)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = niov };
	ssize_t n;

	if (fd != -1) {
		struct cmsghdr *h;

		m.msg_control = &control;
		m.msg_controllen = sizeof(control.room);
		h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &fd, sizeof(int));
	}
	do
		n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	return n;
}

static void
flush(struct chan *c)
{
	while (c->out != NULL && !c->dead) {
		struct iovec iov[IOV];
		struct block *b;
		size_t niov = 0, left;
		ssize_t n;

		for (b = c->out; b != NULL && niov < IOV; b = b->next) {
			if (b != c->out && b->fd != -1)
				break;
			iov[niov++] = (struct iovec){ b->data + b->off, b->n - b->off };
		}
		n = send_iov(c, iov, niov, c->out->fd);
		if (n == -1) {
			if (errno != EAGAIN && errno != ENOBUFS)
				write_failed(c);
			break;
		}
		if (c->out->fd != -1) {		/* it travels with the first octet */
			close(c->out->fd);
			c->out->fd = -1;
		}
		for (left = (size_t)n; left > 0;) {
			size_t here = c->out->n - c->out->off;

			if (left < here) {
				c->out->off += left;
				c->queued -= left;
				break;
			}
			left -= here;
			block_drop(c);
		}
	}
	watch(c);
}

/* The parts from octet `from` on, into the queue. */
static bool
enqueue(struct chan *c, const struct iovec *iov, size_t niov, size_t from, size_t total, int fd)
{
	struct block *b = c->out_tail;
	size_t need = total - from, i;

	if (b == NULL || fd != -1 || b->cap - b->n < need) {
		size_t cap = need < BLOCK ? BLOCK : need;

		if ((b = malloc(sizeof(*b) + cap)) == NULL)
			return false;
		*b = (struct block){ .cap = cap, .fd = fd };
		*c->out_last = b;
		c->out_last = &b->next;
		c->out_tail = b;
	}
	for (i = 0; i < niov; i++) {
		size_t skip = from < iov[i].iov_len ? from : iov[i].iov_len;
		size_t rest = iov[i].iov_len - skip;

		from -= skip;
		if (rest > 0)
			memcpy(b->data + b->n, (char *)iov[i].iov_base + skip, rest);
		b->n += rest;
	}
	c->queued += need;
	return true;
}

bool
chan_send(struct chan *c, uint16_t type, uint64_t tag, const struct span *parts, size_t nparts,
    int fd)
{
	unsigned char head[HEAD];
	struct iovec iov[1 + CHAN_PARTS_MAX];
	size_t total = 0, i, niov = 0;
	ssize_t n = 0;

	assert(nparts <= CHAN_PARTS_MAX);
	iov[niov++] = (struct iovec){ head, HEAD };
	for (i = 0; i < nparts; i++) {
		total += parts[i].n;
		if (parts[i].n > 0)
			iov[niov++] = (struct iovec){ (void *)(uintptr_t)parts[i].p, parts[i].n };
	}
	assert(total <= CHAN_BODY_MAX);
	put_u32(head, (uint32_t)total);
	put_u16(head + 4, type);
	put_u16(head + 6, fd != -1 ? FLAG_FD : 0);
	put_u64(head + 8, tag);
	total += HEAD;

	if (c->dead || c->queued + total > CHAN_QUEUE_MAX)
		goto refuse;
	/* Something large goes at once, behind what waits: written straight from where it lies. */
	if (total >= FLUSH_AT && fd == -1) {
		flush(c);
		if (c->out == NULL)
			n = send_iov(c, iov, niov, -1);
		if (n == -1 && errno != EAGAIN && errno != ENOBUFS) {
			write_failed(c);
			goto refuse;
		}
		if (n == -1)
			n = 0;
		if ((size_t)n == total)
			return true;
	}
	if (!enqueue(c, iov, niov, (size_t)n, total, fd)) {
		if (n > 0)		/* half a frame is out: nothing can follow it */
			write_failed(c);
		goto refuse;
	}
	if (c->queued >= FLUSH_AT && (c->events & UV_WRITABLE) == 0)
		flush(c);
	else
		later_add(c->laters, &c->later);
	return true;
refuse:
	if (fd != -1)
		close(fd);
	return false;
}

void
chan_flush(struct chan *c)
{
	if (!c->dead && (c->events & UV_WRITABLE) == 0)
		flush(c);
}

uv_loop_t *
chan_loop(const struct chan *c)
{
	return c->poll.loop;
}

size_t
chan_queued(const struct chan *c)
{
	return c->queued;
}

/* --- reading -------------------------------------------------------------- */

/* The one way to the owner's on_close; what is left of c is its to free. */
static void
ended(struct chan *c, const char *text)
{
	struct why why = { 0 };

	why_set(&why, "channel: %s", text);
	c->events = 0;
	uv_poll_stop(&c->poll);
	later_cancel(&c->later);
	c->on_msg = NULL;	/* nothing more is read before the owner frees us */
	if (c->on_close != NULL) {
		chan_close_fn *told = c->on_close;

		c->on_close = NULL;
		told(c->arg, &why);
	}
}

/* Gives out whole frames.  False: the channel is over, or its owner freed it. */
static bool
frames(struct chan *c)
{
	while (!c->dead && c->on_msg != NULL && c->in_n - c->in_off >= HEAD) {
		const unsigned char *head = c->in + c->in_off;
		size_t body = get_u32(head);
		struct chan_msg m = {
			.type = get_u16(head + 4), .tag = get_u64(head + 8), .fd = -1,
		};

		if (body > CHAN_BODY_MAX || (get_u16(head + 6) & ~FLAG_FD) != 0) {
			ended(c, "a message over the limit, or of no known form, came");
			return false;
		}
		if (c->in_n - c->in_off < HEAD + body)
			break;
		if (get_u16(head + 6) & FLAG_FD) {
			if (c->nfds == 0) {
				ended(c, "a message came without its descriptor");
				return false;
			}
			m.fd = c->fds[0];
			memmove(c->fds, c->fds + 1, --c->nfds * sizeof(c->fds[0]));
		}
		m.body = span_of(head + HEAD, body);
		c->in_off += HEAD + body;
		c->on_msg(c->arg, &m);
		if (m.fd != -1)
			close(m.fd);
	}
	if (c->dead || c->on_msg == NULL)
		return false;
	if (c->in_off == c->in_n)
		c->in_off = c->in_n = 0;
	/* A descriptor belongs to a frame that has begun and says so. */
	if (c->nfds > 0 && (c->in_n == 0 || (c->in_n - c->in_off >= HEAD &&
	    (get_u16(c->in + c->in_off + 6) & FLAG_FD) == 0))) {
		ended(c, "a descriptor came without its message");
		return false;
	}
	return true;
}

/* Room for the frame that is coming in, and for more. */
static bool
make_room(struct chan *c)
{
	size_t have = c->in_n - c->in_off, want = IN_LEAST;
	unsigned char *p;

	if (have >= HEAD && get_u32(c->in + c->in_off) + HEAD > want)
		want = get_u32(c->in + c->in_off) + HEAD;
	if (c->in_off > 0) {
		memmove(c->in, c->in + c->in_off, have);
		c->in_n = have;
		c->in_off = 0;
	}
	if (want < have + 1)
		want = have + 1;
	/* A large one's buffer is given back once it is through. */
	if (c->in_cap >= want && (c->in_cap == IN_LEAST || have > 0))
		return true;
	if (c->in_cap == want)
		return true;
	if ((p = realloc(c->in, want)) == NULL)
		return false;
	c->in = p;
	c->in_cap = want;
	return true;
}

static ssize_t
receive(struct chan *c)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { c->in + c->in_n, c->in_cap - c->in_n };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control.room),
	};
	struct cmsghdr *h;
	ssize_t n;
	bool excess = false;

	do
		n = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return -1;
	for (h = CMSG_FIRSTHDR(&m); h != NULL; h = CMSG_NXTHDR(&m, h)) {
		size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int), i;

		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
			if (c->nfds < FDS_MAX)
				c->fds[c->nfds++] = fd;
			else {
				close(fd);
				excess = true;
			}
		}
	}
	if (excess || (m.msg_flags & MSG_CTRUNC) != 0) {
		errno = EPROTO;
		return -1;
	}
	return n;
}

static void
readable(struct chan *c)
{
	unsigned turn;

	for (turn = 0; turn < IN_TURNS; turn++) {
		bool full;
		ssize_t n;

		if (!make_room(c)) {
			ended(c, "out of memory");
			return;
		}
		n = receive(c);
		if (n == -1 && errno == EAGAIN)
			break;
		if (n <= 0) {
			ended(c, n == -1 && errno == EPROTO ?
			    "descriptors came that no message asked for" :
			    "the other process is gone");
			return;
		}
		c->in_n += (size_t)n;
		full = c->in_n == c->in_cap;
		/* After every read: where nothing more comes, poll tells of none that is here. */
		if (!frames(c))
			return;
		if (!full)	/* the socket is empty, or a descriptor's frame ended the read */
			break;
	}
	if (c->in_n == 0 && c->in_cap > IN_LEAST) {
		free(c->in);
		c->in = NULL;
		c->in_cap = 0;
	}
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
	struct chan *c = poll->data;

	if (status < 0) {
		/* libuv stopped the handle for an error: reading says which, in its turn. */
		c->events = 0;
		if (c->on_msg == NULL)
			return;
		events = UV_READABLE;
	}
	if (events & UV_WRITABLE)
		flush(c);
	if (!c->dead && (events & UV_READABLE) && c->on_msg != NULL)
		readable(c);
	if (!c->dead)
		watch(c);
}

static void
on_later(struct later *l)
{
	struct chan *c = (struct chan *)((char *)l - offsetof(struct chan, later));

	flush(c);
	if (!c->dead)
		watch(c);
}

/* --- ending --------------------------------------------------------------- */

static void
on_poll_closed(uv_handle_t *h)
{
	struct chan *c = h->data;

	free(c->in);
	free(c);
}

static void
finish(struct chan *c)
{
	c->dead = true;
	later_cancel(&c->later);
	uv_poll_stop(&c->poll);
	while (c->out != NULL)
		block_drop(c);
	while (c->nfds > 0)
		close(c->fds[--c->nfds]);
	close(c->fd);
	laters_drop(c->laters);
	uv_close((uv_handle_t *)&c->poll, on_poll_closed);
}

void
chan_free(struct chan **cp)
{
	struct chan *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	flush(c);		/* last words */
	finish(c);
}
