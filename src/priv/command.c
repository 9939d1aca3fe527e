#include "priv/command.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/awake.h"

static void
on_closed(uv_handle_t *h)
{
	struct command_run *r = h->data;
	char error[128] = "";

	if (--r->open > 0)
		return;
	r->going = false;
	if (r->failed != NULL)
		snprintf(error, sizeof(error), "%s", r->failed);
	else if (r->signal != 0)
		snprintf(error, sizeof(error), "it was killed by signal %d", r->signal);
	else if (r->status != 0)
		snprintf(error, sizeof(error), "it ended with status %lld", (long long)r->status);
	r->ops->over(r->arg, error);
}

static void
close_all(struct command_run *r)
{
	uv_close((uv_handle_t *)&r->child, on_closed);
	uv_close((uv_handle_t *)&r->out, on_closed);
	uv_close((uv_handle_t *)&r->timer, on_closed);
}

/* The child is gone and its output read to the end. */
static void
maybe_over(struct command_run *r)
{
	if (r->exited && r->drained && !uv_is_closing((uv_handle_t *)&r->out))
		close_all(r);
}

void
command_kill(struct command_run *r, const char *why)
{
	if (!r->going || uv_is_closing((uv_handle_t *)&r->out))
		return;
	if (r->failed == NULL)
		r->failed = why;
	if (!r->exited)		/* else the group is dead, and its number may be another's */
		kill(-r->child.pid, SIGKILL);
	/* A descendant that left the group may hold the pipe open for ever: not waited for. */
	uv_read_stop((uv_stream_t *)&r->out);
	r->drained = true;
	maybe_over(r);
}

static void
on_exit_(uv_process_t *child, int64_t status, int sig)
{
	struct command_run *r = child->data;

	r->exited = true;
	r->status = status;
	r->signal = sig;
	/* Whatever it left running in its group goes too. */
	kill(-child->pid, SIGKILL);
	maybe_over(r);
}

static void
on_late(uv_timer_t *timer)
{
	struct command_run *r = timer->data;

	if (awake_over(timer, on_late, r->due))
		command_kill(r, r->limits->too_long);
}

static void
on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct command_run *r = handle->data;

	*buf = uv_buf_init(r->piece, sizeof(r->piece));
}

static void
on_read(uv_stream_t *out, ssize_t n, const uv_buf_t *buf)
{
	struct command_run *r = out->data;

	if (n > 0) {
		r->octets += (size_t)n;
		if (r->octets > r->limits->octets)
			command_kill(r, r->limits->too_much);
		else if (!r->ops->output(r->arg, span_of(buf->base, (size_t)n)))
			command_kill(r, "memory is out");
	} else if (n < 0) {
		uv_read_stop(out);
		r->drained = true;
		maybe_over(r);
	}
}

void
command_begin(struct command_run *r, uv_loop_t *loop, const struct command_line *cl,
    char *const *env, const struct command_limits *limits, const struct command_ops *ops, void *arg)
{
	uv_stdio_container_t stdio[3] = {
		{ .flags = UV_IGNORE },
		{ .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
		    .data.stream = (uv_stream_t *)&r->out },
		{ .flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO },
	};
	uv_process_options_t opt = { .exit_cb = on_exit_, .file = cl->argv[0],
		.args = (char **)cl->argv, .env = (char **)env, .stdio_count = 3,
		.stdio = stdio, .flags = UV_PROCESS_DETACHED };
	int rc;

	*r = (struct command_run){ .ops = ops, .limits = limits, .arg = arg, .going = true,
		.open = 3 };
	uv_timer_init(loop, &r->timer);
	uv_pipe_init(loop, &r->out, 0);
	r->timer.data = r->out.data = r->child.data = r;
	if ((rc = uv_spawn(loop, &r->child, &opt)) != 0) {
		snprintf(r->words, sizeof(r->words), "%.60s cannot be run: %s", cl->argv[0],
		    uv_strerror(rc));
		r->failed = r->words;
		close_all(r);
		return;
	}
	awake_timer(&r->timer, on_late, limits->seconds * 1000, &r->due);
	uv_read_start((uv_stream_t *)&r->out, on_room, on_read);
}
