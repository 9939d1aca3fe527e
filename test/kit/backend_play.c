#include "kit/backend_play.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static size_t
on_read(void *arg, struct span in)
{
	struct play_guest *g = arg;
	size_t n = sizeof(g->heard) - g->nheard < in.n ? sizeof(g->heard) - g->nheard : in.n;
	size_t header = g->all < g->of->skip ? g->of->skip - g->all : 0;

	kit_busy++;
	memcpy(g->heard + g->nheard, in.p, n);
	g->nheard += n;
	g->all += in.n;
	if (g->of->echo && in.n > header)
		conn_write(g->conn, in.p + header, in.n - header);
	if (g->of->hears != NULL)
		g->of->hears(g, in);
	kit_busy--;
	return in.n;
}

static void
on_eof(void *arg)
{
	struct play_guest *g = arg;

	g->eof = true;
	conn_close(g->conn);
}

static void
on_closed(void *arg, const struct why *why)
{
	struct play_guest *g = arg;

	g->conn = NULL;
	g->of->open--;
}

/* A test began TLS: what is heard comes in it. */
static void
on_secured(void *arg)
{
}

static const struct conn_ops ops = {
	.read = on_read, .eof = on_eof, .secured = on_secured, .closed = on_closed,
};

static void
on_guest(uv_poll_t *poll, int status, int events)
{
	struct play_backend *b = poll->data;
	struct play_guest *g;
	struct why why;
	int fd = accept4(b->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd == -1)
		return;
	assert_true(b->nguests < PLAY_GUESTS);
	kit_busy++;
	g = &b->guest[b->nguests++];
	*g = (struct play_guest){ .of = b };
	g->conn = conn_new(&loop, fd, &ops, g, &why);
	assert_non_null(g->conn);
	b->open++;
	if (b->rude)
		conn_close(g->conn);
	else if (b->greeting != NULL)
		conn_write(g->conn, b->greeting, strlen(b->greeting));
	kit_busy--;
}

void
play_backend_begin(struct play_backend *b)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	int one = 1;

	if (b->at.port == 0)
		assert_true(netaddr_parse(SPAN_LIT("127.0.0.1:0"), &b->at));
	b->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(b->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	netaddr_to_sockaddr(&b->at, &ss);
	assert_int_equal(bind(b->fd, (struct sockaddr *)&ss, sizeof(struct sockaddr_in)), 0);
	assert_int_equal(listen(b->fd, 64), 0);
	assert_int_equal(getsockname(b->fd, (struct sockaddr *)&ss, &n), 0);
	assert_true(netaddr_from_sockaddr((struct sockaddr *)&ss, &b->at));
	uv_poll_init(&loop, &b->poll, b->fd);
	b->poll.data = b;
	uv_poll_start(&b->poll, UV_READABLE, on_guest);
	b->up = true;
}

static void
on_deaf(uv_handle_t *poll)
{
	struct play_backend *b = poll->data;

	b->up = false;
}

void
play_backend_end(struct play_backend *b)
{
	if (!b->up)
		return;
	uv_close((uv_handle_t *)&b->poll, on_deaf);
	close(b->fd);
	RUN_UNTIL(!b->up);
}

void
play_backend_hang_up(struct play_backend *b)
{
	for (size_t i = 0; i < b->nguests; i++)
		if (b->guest[i].conn != NULL)
			conn_abort(b->guest[i].conn);
	RUN_UNTIL(b->open == 0);
}
