#include "kit/http_server.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kit/loop.h"

#define HEARD_MAX	(4u << 20)

struct http_server server;

struct client {
	uv_stream_t	*stream;
	struct buf	 heard;
	bool		 answered;
	unsigned	 answers;
	uv_shutdown_t	 shutdown;
	char		 room[65536];
};

static union {
	uv_handle_t	 handle;
	uv_stream_t	 stream;
	uv_tcp_t	 tcp;
	uv_pipe_t	 pipe;
} listener;
static bool by_path;
static struct client *clients[64];

static void
on_closed(uv_handle_t *h)
{
	struct client *c = h->data;

	for (size_t i = 0; i < 64; i++)
		if (clients[i] == c)
			clients[i] = NULL;
	server.open--;
	buf_fini(&c->heard);
	free(c->stream);
	free(c);
}

static void
hang_up(struct client *c)
{
	if (!uv_is_closing((uv_handle_t *)c->stream))
		uv_close((uv_handle_t *)c->stream, on_closed);
}

static void
on_written(uv_write_t *w, int status)
{
	struct client *c = w->data;
	static char more[65536];

	if (status == 0 && server.endless) {
		uv_buf_t b = uv_buf_init(memset(more, 'x', sizeof(more)), sizeof(more));

		uv_write(w, c->stream, &b, 1, on_written);
		return;
	}
	free(w);
	if (server.hasty) {		/* the rest of what it was sent is not worth a reset */
		uv_shutdown(&c->shutdown, c->stream, NULL);
		return;
	}
	if (++c->answers > server.answers || status != 0) {
		hang_up(c);
		return;
	}
	c->answered = false;
	buf_clear(&c->heard);
}

/* Whether head and body are there; RFC 9112 6.3 as far as libcurl speaks it. */
static bool
whole(const struct buf *b)
{
	const char *end = memmem(b->p, b->n, "\r\n\r\n", 4);
	const char *length = memmem(b->p, b->n, "Content-Length: ", 16);
	size_t n = length != NULL && length < end ? strtoul(length + 16, NULL, 10) : 0;

	return end != NULL && (server.hasty || b->n >= (size_t)(end + 4 - b->p) + n);
}

static void
on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct client *c = s->data;
	uv_write_t *w;
	uv_buf_t out;

	if (n < 0) {
		hang_up(c);
		return;
	}
	buf_add(&c->heard, b->base, (size_t)n);
	if (server.reads_max > 0 && c->heard.n >= server.reads_max)
		uv_read_stop(s);
	if (c->answered || !whole(&c->heard))
		return;
	c->answered = true;
	buf_clear(&server.heard);
	buf_add_span(&server.heard, buf_span(&c->heard));
	server.served++;
	if (server.answers > 0 && c->answers == server.answers) {
		hang_up(c);
		return;
	}
	if (server.play != NULL)
		server.says = server.play(buf_span(&server.heard));
	if (server.says == NULL)
		return;
	w = malloc(sizeof(*w));
	w->data = c;
	out = uv_buf_init((char *)(uintptr_t)server.says, (unsigned)strlen(server.says));
	uv_write(w, s, &out, 1, on_written);
}

static void
on_room(uv_handle_t *h, size_t n, uv_buf_t *b)
{
	struct client *c = h->data;

	*b = uv_buf_init(c->room, sizeof(c->room));
}

static void
on_client(uv_stream_t *s, int status)
{
	struct client *c = calloc(1, sizeof(*c));

	assert_int_equal(status, 0);
	c->stream = calloc(1, by_path ? sizeof(uv_pipe_t) : sizeof(uv_tcp_t));
	if (by_path)
		uv_pipe_init(&loop, (uv_pipe_t *)c->stream, 0);
	else
		uv_tcp_init(&loop, (uv_tcp_t *)c->stream);
	c->stream->data = c;
	assert_int_equal(uv_accept(s, c->stream), 0);
	server.open++;
	for (size_t i = 0; i < 64; i++)
		if (clients[i] == NULL) {
			clients[i] = c;
			break;
		}
	buf_init(&c->heard, HEARD_MAX);
	if (server.refuses)
		hang_up(c);
	else
		uv_read_start(c->stream, on_room, on_read);
}

struct netaddr
http_server_begin(const char *path)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	struct sockaddr_storage at;
	struct netaddr addr = { .port = 0 };
	int n = sizeof(at);

	server = (struct http_server){ .says = NULL };
	buf_init(&server.heard, HEARD_MAX);
	by_path = path != NULL;
	if (by_path) {
		(void)unlink(path);
		uv_pipe_init(&loop, &listener.pipe, 0);
		assert_int_equal(uv_pipe_bind(&listener.pipe, path), 0);
	} else {
		any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		uv_tcp_init(&loop, &listener.tcp);
		assert_int_equal(uv_tcp_bind(&listener.tcp, (struct sockaddr *)&any, 0), 0);
		uv_tcp_getsockname(&listener.tcp, (struct sockaddr *)&at, &n);
		assert_true(netaddr_from_sockaddr((struct sockaddr *)&at, &addr));
	}
	assert_int_equal(uv_listen(&listener.stream, 64, on_client), 0);
	return addr;
}

void
http_server_end(void)
{
	for (size_t i = 0; i < 64; i++)
		if (clients[i] != NULL)
			hang_up(clients[i]);
	if (!uv_is_closing(&listener.handle))
		uv_close(&listener.handle, NULL);
	loop_turns(3);
	buf_fini(&server.heard);
}
