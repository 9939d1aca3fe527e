#include "kit/conn_ends.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit/net_keys.h"
#include "kit/tcp_pair.h"
#include "net/later.h"
#include "net/tls.h"

struct conn_ends ends;
static struct net_key key;

static size_t
on_read(void *arg, struct span s)
{
	struct conn_end *e = arg;
	size_t n = e->take != 0 && e->take < s.n ? e->take : s.n;

	assert_true(s.n > 0);
	assert_int_equal(e->closed, 0);
	if (e->deaf)
		return 0;
	e->reads++;
	if (e->n + n > e->cap) {
		e->cap = (e->n + n) * 2;
		e->in = realloc(e->in, e->cap);
		assert_non_null(e->in);
	}
	memcpy(e->in + e->n, s.p, n);
	e->n += n;
	if (e->said != NULL)
		e->said(e);
	return n;
}

static void
on_ready(void *arg)
{
	struct conn_end *e = arg;

	assert_false(e->more);
	assert_int_equal(e->closed, 0);
	e->more = true;
}

static void
on_drained(void *arg)
{
	((struct conn_end *)arg)->drained++;
}

static void
on_secured(void *arg)
{
	((struct conn_end *)arg)->secured++;
}

static void
on_eof(void *arg)
{
	((struct conn_end *)arg)->eofs++;
}

static void
on_closed(void *arg, const struct why *why)
{
	struct conn_end *e = arg;

	e->closed++;
	e->c = NULL;
	e->well = why == NULL;
	snprintf(e->why, sizeof(e->why), "%s", why != NULL ? why->text : "");
}

const struct conn_ops conn_end_ops = {
	.read = on_read, .drained = on_drained, .secured = on_secured, .closed = on_closed,
};
const struct conn_ops conn_end_half = {
	.read = on_read, .drained = on_drained, .secured = on_secured, .eof = on_eof,
	.closed = on_closed,
};
const struct conn_ops conn_end_takes = { .ready = on_ready, .closed = on_closed };

void
ends_meet(const struct conn_ops *o)
{
	struct why why;
	int fds[2];

	tcp_pair(fds);
	ends.a.c = conn_new(&loop, fds[0], o, &ends.a, &why);
	ends.b.c = conn_new(&loop, fds[1], o, &ends.b, &why);
	assert_non_null(ends.a.c);
	assert_non_null(ends.b.c);
}

void
ends_secure(enum ends_kind kind)
{
	struct why why;

	if (kind == ENDS_PLAIN)
		return;
	if (kind == ENDS_TUNNEL) {
		conn_set_read(ends.a.c, SCRATCH_SIZE);
		conn_set_read(ends.b.c, SCRATCH_SIZE);
	}
	assert_int_equal(conn_tls(ends.a.c, ends.client, false, &why), 0);
	assert_int_equal(conn_tls(ends.b.c, ends.server, true, &why), 0);
	RUN_UNTIL(ends.a.secured == 1 && ends.b.secured == 1);
}

int
ends_setup(void **state)
{
	struct why why;

	if (key.n == 0)
		net_key_make(&key, "P-256");
	memset(&ends, 0, sizeof(ends));
	loop_begin();
	ends.server = tls_server_new(net_key_span(&key), net_key_span(&key), &why);
	ends.client = SSL_CTX_new(TLS_client_method());
	assert_non_null(ends.server);
	assert_non_null(ends.client);
	SSL_CTX_set_mode(ends.client, SSL_MODE_RELEASE_BUFFERS);
	return 0;
}

int
ends_teardown(void **state)
{
	if (ends.a.c != NULL)
		conn_abort(ends.a.c);
	if (ends.b.c != NULL)
		conn_abort(ends.b.c);
	RUN_UNTIL(ends.a.c == NULL && ends.b.c == NULL);
	loop_end();
	assert_true(ends.a.closed <= 1 && ends.b.closed <= 1);
	SSL_CTX_free(ends.server);
	SSL_CTX_free(ends.client);
	free(ends.a.in);
	free(ends.b.in);
	return 0;
}

void
ends_again(void **state, enum ends_kind kind, const struct conn_ops *o)
{
	ends_teardown(state);
	ends_setup(state);
	ends_meet(o);
	ends_secure(kind);
}

void
octets_fill(char *p, size_t from, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] = (char)((from + i) * 2654435761u >> 16);
}

void
octets_check(const struct conn_end *e, size_t n)
{
	char *want = malloc(n);

	assert_int_equal(e->n, n);
	octets_fill(want, 0, n);
	assert_memory_equal(e->in, want, n);
	free(want);
}

bool
octets_write(struct conn *c, size_t from, size_t n)
{
	char *p = malloc(n);
	bool ok;

	octets_fill(p, from, n);
	ok = conn_write(c, p, n);
	free(p);
	return ok;
}
