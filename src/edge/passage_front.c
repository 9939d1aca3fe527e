#include <string.h>

#include "base/log.h"
#include "edge/passage_in.h"
#include "proto/proxy_header.h"

/* What is read of a connection before it is passed or held. */

static const struct conf_service *
service_of(const struct passage *p)
{
	return conf_edge_service(edge_conf(p->edge), p->service);
}

static void
bad_header(struct passage *p, const char *words)
{
	const struct conf_service *s = service_of(p);

	if (s != NULL)
		passage_refuse(p, s, BR_HEADER, words);
	else
		conn_close(p->conn);
}

/* A balancer that speaks for itself, or for nobody: it wants to know whether we are there. */
static void
for_itself(struct passage *p)
{
	const struct conf_service *s = service_of(p);

	log_debug(p->sid, "pass.local service=%s peer=%s", p->service, netaddr_ip(&p->client).s);
	if (s != NULL)
		passage_not_passed(p, s, BR_HEADER, "a load balancer, for itself");
	else
		conn_close(p->conn);
}

/* How much of the octets is the header's; the rest stays with the conn, for whoever gets it. */
static size_t
read_header(struct passage *p, struct span s)
{
	size_t before = p->early.n, room = PROXY_HEADER_MAX - before, used = 0;
	struct span some = span_of(s.p, s.n < room ? s.n : room);
	struct proxy_header h;
	struct why why = { "" };
	enum proxy_result r;

	if (!buf_add_span(&p->early, some)) {
		bad_header(p, "out of memory");
		return s.n;
	}
	r = proxy_header_read(buf_span(&p->early), &h, &used, &why);
	if (r == PROXY_MORE && p->early.n < PROXY_HEADER_MAX)
		return some.n;
	buf_fini(&p->early);
	if (r != PROXY_DONE) {
		bad_header(p, r == PROXY_BAD ? why.text : "it does not end");
		return s.n;
	}
	if (h.command == PROXY_LOCAL || (h.family != PROXY_TCP4 && h.family != PROXY_TCP6)) {
		for_itself(p);
		return used - before;
	}
	p->client = h.from;
	p->dest = h.to;
	passage_go(p, NULL);
	return used - before;
}

/* All of it is kept: it is the stream's, from its first octet. */
static size_t
read_hello(struct passage *p, struct span s)
{
	size_t room = PASSAGE_EARLY - p->early.n;
	struct span some = span_of(s.p, s.n < room ? s.n : room);
	const struct conf_service *service = service_of(p);

	if (service == NULL || !buf_add_span(&p->early, some)) {
		conn_close(p->conn);
		return s.n;
	}
	switch (client_hello_step(&p->hello, some.p, some.n)) {
	case CLIENT_HELLO_MORE:
		if (p->early.n == PASSAGE_EARLY)	/* not so: it takes no more itself */
			conn_close(p->conn);
		break;
	case CLIENT_HELLO_NAME:
		passage_go(p, p->hello.name);
		break;
	case CLIENT_HELLO_NONE:
		passage_go(p, "");
		break;
	case CLIENT_HELLO_BAD:
		passage_refuse(p, service, BR_NAME, p->hello.why);
		break;
	}
	return some.n;
}

size_t
passage_read(void *arg, struct span s)
{
	struct passage *p = arg;

	switch (p->phase) {
	case P_HEADER:
		return read_header(p, s);
	case P_NAME:
		return read_hello(p, s);
	default:
		return s.n;
	}
}
