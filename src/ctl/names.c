#include "ctl/names.h"

#include <sys/socket.h>
#include <unistd.h>

#include "net/chan.h"

int
names_begin(struct names *n, uv_loop_t *loop, const struct conf_common *c, struct why *why)
{
	const char *servers[4];
	struct chan *ask, *answer;
	int ends[2];

	*n = (struct names){ .server = NULL };
	for (size_t i = 0; i < c->nnameservers; i++)
		servers[i] = c->nameservers[i];
	n->server = resolve_server_new(loop, servers, c->nnameservers, c->dns_timeout_ms, why);
	if (n->server == NULL)
		return -1;
	if ((n->resolver = resolver_new()) == NULL)
		return why_set(why, "memory is out");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == -1)
		return why_sys(why, "socketpair");
	if ((answer = chan_new(loop, ends[0], why)) == NULL) {
		close(ends[1]);
		return -1;
	}
	resolve_server_client(n->server, answer);
	if ((ask = chan_new(loop, ends[1], why)) == NULL)
		return -1;
	resolver_attach(n->resolver, ask, c->dns_timeout_ms);
	return 0;
}

void
names_end(struct names *n)
{
	resolver_free(&n->resolver);
	resolve_server_free(&n->server);
}
