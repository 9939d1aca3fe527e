#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "home/command_line.h"
#include "home/home.h"
#include "home/mailboxes.h"
#include "priv/proc.h"

/*
 * The helper process of a home: reads the one configured file of mailboxes and runs
 * the one configured command that lists some, when the courier asks, and hands their
 * text back.  It looks every second whether the file is another one.
 *
 * It holds nothing and talks to the courier, which can only say "run it": what
 * is run stands in the configuration of that moment.  No network.  The command gets
 * an empty environment but PATH, nothing on standard input, HELPER_SECONDS, a process
 * group of its own that is killed with it, and no say beyond MAILBOXES_TEXT_MAX
 * octets.  An attacker who owns the command lies about which mailboxes exist.
 */
struct helper {
	struct proc	*proc;
	struct chan	*courier;
	uint64_t	 tag;		/* of the question that is being answered */
	bool		 running;
	bool		 exited, drained;	/* both: the answer is whole */
	int64_t		 status;
	int		 signal;
	size_t		 octets;
	const char	*failed;	/* why it was ended by us */
	uv_process_t	 child;
	uv_pipe_t	 out;
	uv_timer_t	 timer;
	uv_timer_t	 look;		/* at the file */
	struct stat	 seen;		/* the file as it was looked at last */
	char		 piece[HELPER_PIECE];
};

static struct helper *
helper_of(struct proc *p)
{
	struct helper *h = p->arg;

	if (h == NULL) {
		if ((h = calloc(1, sizeof(*h))) == NULL)
			abort();	/* at start: memory is out */
		h->proc = p;
		p->arg = h;
	}
	return h;
}

static void
tell(struct helper *h, const char *error)
{
	struct span part = span_str(error);

	if (error[0] != '\0')
		log_warn(NULL, "helper.failed: %s", error);
	if (h->courier != NULL)
		chan_send(h->courier, HM_RAN, h->tag, &part, 1, -1);
}

static void
on_pipe_closed(uv_handle_t *out)
{
	struct helper *h = out->data;
	char error[128] = "";

	h->running = false;
	if (h->failed != NULL)
		snprintf(error, sizeof(error), "%s", h->failed);
	else if (h->signal != 0)
		snprintf(error, sizeof(error), "it was killed by signal %d", h->signal);
	else if (h->status != 0)
		snprintf(error, sizeof(error), "it ended with status %lld", (long long)h->status);
	if (h->tag != 0)
		tell(h, error);
}

static void
on_child_closed(uv_handle_t *child)
{
	struct helper *h = child->data;

	uv_close((uv_handle_t *)&h->out, on_pipe_closed);
}

/* The child is gone and its output read to the end. */
static void
maybe_over(struct helper *h)
{
	if (!h->exited || !h->drained)
		return;
	uv_timer_stop(&h->timer);
	uv_close((uv_handle_t *)&h->child, on_child_closed);
}

static void
kill_group(struct helper *h, const char *why)
{
	if (h->failed == NULL)
		h->failed = why;
	if (!h->exited)		/* else the group is dead, and its number may be another's */
		kill(-h->child.pid, SIGKILL);
	/* A descendant that left the group may hold the pipe open for ever: not waited for. */
	uv_read_stop((uv_stream_t *)&h->out);
	h->drained = true;
	maybe_over(h);
}

static void
on_exit_(uv_process_t *child, int64_t status, int sig)
{
	struct helper *h = child->data;

	h->exited = true;
	h->status = status;
	h->signal = sig;
	/* Whatever it left running in its group goes too. */
	kill(-child->pid, SIGKILL);
	maybe_over(h);
}

static void
on_late(uv_timer_t *timer)
{
	kill_group(timer->data, "it took longer than 30 s");
}

static void
on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct helper *h = handle->data;

	*buf = uv_buf_init(h->piece, sizeof(h->piece));
}

static void
on_read(uv_stream_t *out, ssize_t n, const uv_buf_t *buf)
{
	struct helper *h = out->data;

	if (n > 0) {
		struct span part = span_of(buf->base, (size_t)n);

		h->octets += (size_t)n;
		if (h->octets > MAILBOXES_TEXT_MAX)
			kill_group(h, "it printed more than 10 MiB");
		else if (h->courier != NULL &&
		    !chan_send(h->courier, HM_OUTPUT, h->tag, &part, 1, -1))
			kill_group(h, "memory is out");
	} else if (n < 0) {
		uv_read_stop(out);
		h->drained = true;
		maybe_over(h);
	}
}

/* --- the file ----------------------------------------------------------------------------- */

#define LOOK_MS	1000

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	    a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void
on_look(uv_timer_t *timer)
{
	struct helper *h = timer->data;
	const char *path = h->proc->home->users_file;
	struct stat st = { 0 };

	if (path[0] == '\0')
		return;
	(void)stat(path, &st);		/* one that is gone is another one, too */
	if (same_file(&st, &h->seen))
		return;
	h->seen = st;
	if (h->courier != NULL)
		chan_send(h->courier, HM_CHANGED, 0, NULL, 0, -1);
}

/* Hands it over and ends the last line, if its writer did not.  False: why was told. */
static bool
send_file(struct helper *h)
{
	const char *path = h->proc->home->users_file;
	struct span part = span_of("\n", 1);
	char error[400];
	size_t octets = 0;
	ssize_t n = -1;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd != -1 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
		errno = EINVAL;
	else
		while (fd != -1 && (n = read(fd, h->piece, sizeof(h->piece))) > 0) {
			part = span_of(h->piece, (size_t)n);
			octets += part.n;
			if (octets > MAILBOXES_TEXT_MAX ||
			    !chan_send(h->courier, HM_OUTPUT, h->tag, &part, 1, -1)) {
				errno = EFBIG;
				n = -1;
				break;
			}
		}
	if (n == -1)
		snprintf(error, sizeof(error), "%.256s cannot be read: %s", path, strerror(errno));
	if (fd != -1)
		close(fd);
	part = span_of("\n", 1);
	if (n == -1)
		tell(h, error);
	return n == 0 && chan_send(h->courier, HM_OUTPUT, h->tag, &part, 1, -1);
}

/* --- the command -------------------------------------------------------------------------- */

static void
run_command(struct helper *h)
{
	const struct conf_home *conf = h->proc->home;
	struct command_line cl;
	char path[CONF_PATH_MAX + 8];
	char *env[] = { path, NULL };
	uv_stdio_container_t stdio[3] = {
		{ .flags = UV_IGNORE },
		{ .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
		    .data.stream = (uv_stream_t *)&h->out },
		{ .flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO },
	};
	uv_process_options_t opt = { .exit_cb = on_exit_,
		.env = env,
		.stdio_count = 3,
		.stdio = stdio,
		.flags = UV_PROCESS_DETACHED };
	char error[128];
	int rc;

	if (!command_line_parse(span_str(conf->users_command), &cl)) {
		tell(h,
		    conf->users_command[0] == '\0' ? "none is configured"
						   : "a quote in it has no end");
		return;
	}
	snprintf(path, sizeof(path), "PATH=%s", conf->helper_path);
	opt.file = cl.argv[0];
	opt.args = cl.argv;
	h->exited = h->drained = false;
	h->octets = 0;
	h->failed = NULL;
	uv_pipe_init(h->proc->loop, &h->out, 0);
	h->out.data = h->child.data = h;
	h->running = true;
	if ((rc = uv_spawn(h->proc->loop, &h->child, &opt)) != 0) {
		snprintf(
		    error, sizeof(error), "%.60s cannot be run: %s", cl.argv[0], uv_strerror(rc));
		h->status = 0;
		h->signal = 0;
		tell(h, error);
		h->tag = 0; /* the answer is given: what the closing says is for nobody */
		uv_close((uv_handle_t *)&h->child, on_child_closed);
		return;
	}
	uv_timer_start(&h->timer, on_late, HELPER_SECONDS * 1000, 0);
	uv_read_start((uv_stream_t *)&h->out, on_room, on_read);
}

static void
on_message(void *arg, struct chan_msg *m)
{
	struct helper *h = arg;
	const char *busy = "it is still running for an earlier question";
	struct span part = span_str(busy);

	if (m->type != HM_RUN) {
		log_error(NULL, "courier.message type=%u is none of ours: dropped", m->type);
	} else if (h->running) {
		chan_send(h->courier, HM_RAN, m->tag, &part, 1, -1);
	} else {
		h->tag = m->tag;
		if (h->proc->home->users_file[0] != '\0' && !send_file(h))
			return;
		if (h->proc->home->users_command[0] != '\0')
			run_command(h);
		else
			tell(h, "");
	}
}

static void
on_courier_closed(void *arg, const struct why *why)
{
	struct helper *h = arg;

	chan_free(&h->courier);
}

static void
on_peer_chan(struct proc *p, enum proc_kind kind, struct chan *chan)
{
	struct helper *h = helper_of(p);

	if (kind != PROC_COURIER) {
		chan_free(&chan);
		return;
	}
	if (h->courier != NULL)
		chan_free(&h->courier);
	h->courier = chan;
	if (h->timer.data != NULL)
		chan_start(chan, on_message, on_courier_closed, h);
}

static int
start(struct proc *p, struct why *why)
{
	struct helper *h = helper_of(p);

	if (uv_timer_init(p->loop, &h->timer) != 0 || uv_timer_init(p->loop, &h->look) != 0)
		return why_set(why, "timer");
	h->look.data = h;
	return 0;
}

static void
run(struct proc *p)
{
	struct helper *h = helper_of(p);

	h->timer.data = h;
	(void)stat(p->home->users_file, &h->seen);
	uv_timer_start(&h->look, on_look, LOOK_MS, LOOK_MS);
	if (h->courier != NULL)
		chan_start(h->courier, on_message, on_courier_closed, h);
}

static void
drain(struct proc *p)
{
	struct helper *h = helper_of(p);

	uv_timer_stop(&h->look);
	if (h->running && !h->exited)
		kill(-h->child.pid, SIGKILL);
	uv_stop(p->loop);
}

const struct proc_ops proc_helper = {
	.name = "helper", .start = start, .run = run, .peer = on_peer_chan, .drain = drain,
};
