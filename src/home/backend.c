#include "home/backend.h"

#include <stdlib.h>
#include <unistd.h>

#include "home/dialer.h"

enum speaks_for {
	FOR_OTHERS = 0,			/* who was named */
	FOR_ITSELF,
};

struct backend_call {
	struct tunnel_proc *tunnel;
	enum conf_proxy	 proxy;
	enum speaks_for	 speaks;
	struct netaddr	 from, to;
	const struct conn_ops *ops;
	backend_opened_fn *done;	/* NULL: cancelled */
	void		*arg;
};

/* --- judging ------------------------------------------------------------------------------ */

/* RFC 1918, RFC 6598 (shared by a provider's customers), RFC 4193. */
static bool
is_private(const struct netaddr *a)
{
	static const struct netaddr_net nets[] = {
		{ { 10 }, 8, false }, { { 172, 16 }, 12, false }, { { 192, 168 }, 16, false },
		{ { 100, 64 }, 10, false }, { { 0xfc }, 7, true },
	};

	return netaddr_in_any(a, nets, sizeof(nets) / sizeof(nets[0]));
}

static bool
is_edge(const struct tunnel_proc *t, const struct netaddr *a)
{
	for (size_t i = 0; i < EDGES_MAX; i++)
		if (t->dialers[i] != NULL && dialer_has_address(t->dialers[i], a))
			return true;
	return false;
}

const char *
backend_refuses(const struct tunnel_proc *t, const struct conf_home_service *s,
    const struct proxy_header *h)
{
	const struct netaddr *a = &h->from;

	if (h->command == PROXY_LOCAL)
		return "LOCAL: the edge speaks for itself, which it may not";
	if (h->family != PROXY_TCP4 && h->family != PROXY_TCP6)
		return "the header names no client";
	if (!t->own.known)
		return "this machine's own addresses are not known";
	if (own_addrs_has(&t->own, a))
		return "it is an address of this machine";
	if (is_edge(t, a))
		return "it is an edge's address";
	if (is_private(a))
		return s->allow_private ? NULL
		    : "it is a private address; allow_private passes such, if it is no mail server";
	if (!netaddr_is_global(a))
		return "it is no global unicast address";
	if (own_addrs_near(&t->own, a) && !s->allow_private)
		return "it lies in a network of this machine; allow_private passes such, if it is "
		    "no mail server";
	return NULL;
}

/* --- opening ------------------------------------------------------------------------------ */

static void
say_who(struct backend_call *c, struct conn *conn)
{
	struct buf header;

	if (c->proxy == CONF_PROXY_NONE)
		return;
	buf_init(&header, PROXY_HEADER_MAX);
	if (c->speaks == FOR_ITSELF &&
	    (!conn_local(conn, &c->from) || !conn_peer(conn, &c->to)))
		conn_abort(conn);		/* gone again; closed tells */
	else if (!proxy_header_write(c->proxy == CONF_PROXY_V1 ? 1 : 2, &c->from, &c->to, &header))
		conn_abort(conn);
	else
		conn_write(conn, header.p, header.n);
	buf_fini(&header);
}

static void
on_dialled(void *arg, int fd, const struct why *why)
{
	struct backend_call *c = arg;
	struct conn *conn = NULL;
	struct why w;

	if (c->done == NULL) {
		if (fd != -1)
			close(fd);
		free(c);
		return;
	}
	if (fd != -1 && (conn = conn_new(c->tunnel->loop, fd, c->ops, c->arg, &w)) == NULL)
		why = &w;
	if (conn != NULL)
		say_who(c, conn);
	c->done(c->arg, conn, why);
	free(c);
}

static struct backend_call *
dial(struct tunnel_proc *t, const struct conf_home_service *s, struct backend_call how,
    struct why *why)
{
	struct backend_call *c = malloc(sizeof(*c));

	if (c == NULL) {
		why_set(why, "memory is out");
		return NULL;
	}
	*c = how;
	c->tunnel = t;
	c->proxy = s->proxy;
	if (conn_dial(t->loop, &s->backend, BACKEND_CONNECT_MS, on_dialled, c, why) == 0)
		return c;
	free(c);
	return NULL;
}

struct backend_call *
backend_open_client(struct tunnel_proc *t, const struct conf_home_service *s,
    const struct proxy_header *h, const struct conn_ops *ops, backend_opened_fn *done, void *arg,
    struct why *why)
{
	const char *refused = backend_refuses(t, s, h);

	if (refused != NULL) {
		why_set(why, "%s", refused);
		return NULL;
	}
	return dial(t, s, (struct backend_call){ .speaks = FOR_OTHERS, .from = h->from,
	    .to = h->to, .ops = ops, .done = done, .arg = arg }, why);
}

struct backend_call *
backend_open_self(struct tunnel_proc *t, const struct conf_home_service *s,
    const struct conn_ops *ops, backend_opened_fn *done, void *arg, struct why *why)
{
	return dial(t, s, (struct backend_call){ .speaks = FOR_ITSELF, .ops = ops, .done = done,
	    .arg = arg }, why);
}

struct backend_call *
backend_open_probe(struct tunnel_proc *t, const struct conf_home_service *s,
    const struct netaddr *from, const struct netaddr *to, const struct conn_ops *ops,
    backend_opened_fn *done, void *arg, struct why *why)
{
	return dial(t, s, (struct backend_call){ .speaks = FOR_OTHERS, .from = *from, .to = *to,
	    .ops = ops, .done = done, .arg = arg }, why);
}

void
backend_cancel(struct backend_call **cp)
{
	if (*cp != NULL)
		(*cp)->done = NULL;
	*cp = NULL;
}
