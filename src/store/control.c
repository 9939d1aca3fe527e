#include "store/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/awake.h"
#include "store/control_answer.h"

#define PIECE		65536	/* of a file on its way out */
#define SWEEP_MS	5000
#define GROUPS_MAX	1024
#define FAILED		"{s:b, s:s}"

/* One operator's connection.  It reads a question, or it sends an answer, never both. */
struct operator {
	struct control	*control;
	uv_poll_t	 poll;
	int		 fd;
	bool		 open;			/* false: closing, its slot is not free yet */
	struct instant	 heard;			/* or taken: when something last went on */
	struct buf	 in;
	struct buf	 out;			/* what is not sent yet, from `sent` on */
	size_t		 sent;
	int		 file;			/* the rest of the octets come from here; -1 */
	uint64_t	 left;
	uint64_t	 waits;			/* for the answer to this question; 0 */
};

struct control {
	uv_loop_t	*loop;
	struct writer	*writer;
	uv_poll_t	 poll;
	uv_timer_t	 sweep;
	int		 fd;
	unsigned	 handles;		/* not closed yet; the last one frees */
	bool		 gone;
	struct operator	*operators[CONTROL_CLIENTS_MAX];
};

static void	operator_events(uv_poll_t *, int, int);
static void	answer_late(struct operator *, json_t *);

static void
handle_closed(struct control *c)
{
	if (--c->handles == 0 && c->gone)
		free(c);
}

static void
operator_closed(uv_handle_t *h)
{
	struct operator *o = h->data;
	struct control *c = o->control;

	close(o->fd);
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->operators[i] == o)
			c->operators[i] = NULL;
	free(o);
	handle_closed(c);
}

static void
operator_close(struct operator *o)
{
	if (!o->open)
		return;
	o->open = false;
	if (o->file != -1)
		close(o->file);
	buf_fini(&o->in);
	buf_wipe(&o->out);		/* a pairing token was in it, perhaps */
	uv_close((uv_handle_t *)&o->poll, operator_closed);
}

/* Root, our own user, and whoever is in our group. */
static bool
allowed(int fd)
{
	struct ucred cred;
	gid_t groups[GROUPS_MAX];
	socklen_t n = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == -1)
		return false;
	if (cred.uid == 0 || cred.uid == geteuid() || cred.gid == getegid())
		return true;
	n = sizeof(groups);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n) == -1)
		return false;
	for (size_t i = 0; i < n / sizeof(groups[0]); i++)
		if (groups[i] == getegid())
			return true;
	return false;
}

/* Said without an operator's slot, into the empty buffer of a new socket. */
static void
say_busy(int fd)
{
	static const char line[] = "{\"ok\":false,\"error\":\"too many control connections: other "
	    "commands have them all. End one that hangs (ss -xp shows who they are), or try again "
	    "in a minute, when those that are idle are closed\"}\n";

	if (send(fd, line, sizeof(line) - 1, MSG_NOSIGNAL) == -1)
		log_debug(NULL, "control.refused did not wait for the reason");
}

static void
operator_new(struct control *c, int fd)
{
	const char *reason = NULL;
	struct operator *o = NULL;
	size_t slot = 0;

	while (slot < CONTROL_CLIENTS_MAX && c->operators[slot] != NULL)
		slot++;
	if (!allowed(fd))
		reason = "who";
	else if (slot == CONTROL_CLIENTS_MAX) {
		reason = "busy";
		say_busy(fd);
	} else if ((o = calloc(1, sizeof(*o))) == NULL)
		reason = "memory";
	if (reason != NULL) {
		log_warn(NULL, "control.refused reason=%s", reason);
		close(fd);
		return;
	}
	o->control = c;
	o->fd = fd;
	o->file = -1;
	o->open = true;
	o->heard = awake_now(c->loop);
	buf_init(&o->in, CONTROL_QUESTION_MAX);
	buf_init(&o->out, CONTROL_ANSWER_MAX + PIECE);
	o->poll.data = o;
	if (uv_poll_init(c->loop, &o->poll, fd) != 0) {
		close(fd);
		free(o);
		return;
	}
	c->operators[slot] = o;
	c->handles++;
	uv_poll_start(&o->poll, UV_READABLE, operator_events);
}

static void
on_accept(uv_poll_t *poll, int status, int events)
{
	struct control *c = poll->data;
	int fd = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd != -1)
		operator_new(c, fd);
	else if (errno == EMFILE || errno == ENFILE)
		uv_poll_stop(poll);	/* it would be called again at once; the sweep starts it */
}

static void
on_sweep(uv_timer_t *t)
{
	struct control *c = t->data;
	struct instant now = awake_now(c->loop);

	if (awake_late(c->loop))
		return;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->operators[i] != NULL && c->operators[i]->open &&
		    c->operators[i]->waits != 0 &&
		    instant_ms_since(c->operators[i]->heard, now) > CONTROL_PASSED_MS) {
			answer_late(c->operators[i], json_pack(FAILED, "ok", 0, "error",
			    "the courier does not answer: see posthouse status"));
		} else if (c->operators[i] != NULL &&
		    instant_ms_since(c->operators[i]->heard, now) > CONTROL_IDLE_MS)
			operator_close(c->operators[i]);
	uv_poll_start(&c->poll, UV_READABLE, on_accept);
}

/* The next octets of a file into out. False: it is shorter than its row says, or cannot be read. */
static bool
refill(struct operator *o)
{
	size_t want = o->left < PIECE ? (size_t)o->left : PIECE;
	char *to;
	ssize_t n;

	buf_clear(&o->out);
	o->sent = 0;
	if ((to = buf_room(&o->out, want)) == NULL || (n = read(o->file, to, want)) <= 0) {
		log_error(NULL, "control.content reason=short");
		return false;
	}
	buf_used(&o->out, (size_t)n);
	o->left -= (uint64_t)n;
	return true;
}

/* 1: all is sent, 0: the operator must read first, -1: gone. */
static int
send_some(struct operator *o)
{
	/* At most a few pieces in a turn: the writer has other work. */
	for (int i = 0; i < 16; i++) {
		ssize_t n;

		if (o->sent == o->out.n) {
			if (o->left == 0)
				return 1;
			if (!refill(o))
				return -1;
		}
		n = send(o->fd, o->out.p + o->sent, o->out.n - o->sent, MSG_NOSIGNAL);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
		o->sent += (size_t)n;
		o->heard = awake_now(o->control->loop);
	}
	return 0;
}

/* The line and what follows it become what is to be sent. */
static bool
take_answer(struct operator *o, struct control_answer *a)
{
	char *line = a->line != NULL ? json_dumps(a->line, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
	bool ok = line != NULL;

	json_decref(a->line);
	if (ok) {
		buf_add_str(&o->out, line);
		buf_add_str(&o->out, "\n");
		explicit_bzero(line, strlen(line));
		free(line);
	}
	buf_add(&o->out, a->octets.p, a->octets.n);
	o->file = a->fd;
	o->left = a->fd != -1 ? a->noctets : 0;
	if (a->octets.max > 0)
		buf_wipe(&a->octets);
	return ok && !o->out.failed;
}

/* Answers the first whole question, if there is one. False: the connection must end. */
static bool
answer_next(struct operator *o)
{
	struct control_answer a;
	char *end = o->in.n > 0 ? memchr(o->in.p, '\n', o->in.n) : NULL;

	if (end == NULL)
		return o->in.n < o->in.max;
	control_answer(o->control->writer, span_of(o->in.p, (size_t)(end - o->in.p)), &a);
	buf_drop(&o->in, (size_t)(end - o->in.p) + 1);
	if ((o->waits = a.question) != 0)
		return true;
	buf_wipe(&o->out);
	buf_init(&o->out, CONTROL_ANSWER_MAX + PIECE + a.octets.n);
	o->sent = 0;
	return take_answer(o, &a);
}

static bool
hear(struct operator *o)
{
	size_t room = o->in.max - o->in.n;
	char *to = room > 0 ? buf_room(&o->in, room) : NULL;
	ssize_t n;

	if (to == NULL)
		return false;
	n = recv(o->fd, to, room, 0);
	if (n == -1)
		return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
	buf_used(&o->in, (size_t)n);
	o->heard = awake_now(o->control->loop);
	return n > 0;
}

/* An answer that came later than its question. */
static void
answer_late(struct operator *o, json_t *line)
{
	struct control_answer a = { .line = line, .fd = -1 };

	o->waits = 0;
	o->heard = awake_now(o->control->loop);
	buf_wipe(&o->out);
	buf_init(&o->out, CONTROL_ANSWER_MAX + PIECE);
	o->sent = 0;
	if (take_answer(o, &a))
		uv_poll_start(&o->poll, UV_WRITABLE, operator_events);
	else
		operator_close(o);
}

void
control_told(struct control *c, uint64_t question, struct span json)
{
	json_t *line = json_loadb(json.p, json.n, 0, NULL);

	if (line == NULL)
		line = json_pack(FAILED, "ok", 0, "error", "what home answered is no answer");
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->operators[i] != NULL && c->operators[i]->open &&
		    c->operators[i]->waits == question && question != 0) {
			answer_late(c->operators[i], line);
			return;
		}
	json_decref(line);
}

static void
operator_events(uv_poll_t *poll, int status, int events)
{
	struct operator *o = poll->data;
	bool sending = o->sent < o->out.n || o->left > 0;

	if (status < 0 || (!sending && (!hear(o) || !answer_next(o)))) {
		operator_close(o);
		return;
	}
	while (o->sent < o->out.n || o->left > 0) {
		int rc = send_some(o);

		if (rc == 0)
			break;
		if (o->file != -1 && rc == 1) {
			close(o->file);
			o->file = -1;
		}
		/* Several questions may have come at once. */
		if (rc == -1 || !answer_next(o)) {
			operator_close(o);
			return;
		}
	}
	/* Who waits for an answer asks nothing more; that he is gone shows when it comes. */
	if (o->waits != 0)
		uv_poll_stop(poll);
	else
		uv_poll_start(poll, o->sent < o->out.n || o->left > 0 ? UV_WRITABLE : UV_READABLE,
		    operator_events);
}

struct control *
control_new(uv_loop_t *loop, struct writer *w, int listen_fd)
{
	struct control *c = calloc(1, sizeof(*c));

	/* uv_poll_init makes it non-blocking. */
	if (c == NULL || uv_poll_init(loop, &c->poll, listen_fd) != 0) {
		free(c);
		close(listen_fd);
		return NULL;
	}
	c->loop = loop;
	c->writer = w;
	c->fd = listen_fd;
	c->handles = 2;
	c->poll.data = c->sweep.data = c;
	uv_timer_init(loop, &c->sweep);
	uv_unref((uv_handle_t *)&c->sweep);
	uv_timer_start(&c->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
	uv_poll_start(&c->poll, UV_READABLE, on_accept);
	return c;
}

static void
on_closed(uv_handle_t *h)
{
	handle_closed(h->data);
}

void
control_free(struct control **cp)
{
	struct control *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	c->gone = true;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->operators[i] != NULL)
			operator_close(c->operators[i]);
	uv_poll_stop(&c->poll);
	close(c->fd);
	uv_close((uv_handle_t *)&c->poll, on_closed);
	uv_close((uv_handle_t *)&c->sweep, on_closed);
}
