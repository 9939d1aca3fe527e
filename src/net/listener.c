#include "net/listener.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* As the kernel looks it up for a connection; one at a wildcard address is found, too. */
static bool
ask(int fd, const struct netaddr *at)
{
	struct {
		struct nlmsghdr	 head;
		struct inet_diag_req_v2 req;
	} q = {
		.head = { .nlmsg_len = sizeof(q), .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		    .nlmsg_flags = NLM_F_REQUEST },
		.req = { .sdiag_family = at->v6 ? AF_INET6 : AF_INET,
		    .sdiag_protocol = IPPROTO_TCP,
		    .id = { .idiag_sport = htons(at->port),
			.idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } },
	};

	memcpy(q.req.id.idiag_src, at->v6 ? at->ip : at->ip + 12, at->v6 ? 16 : 4);
	return send(fd, &q, sizeof(q), 0) == (ssize_t)sizeof(q);
}

uint64_t
listener_at(const struct netaddr *at)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct {
		struct nlmsghdr	 head;
		struct inet_diag_msg msg;
		char		 more[512];
	} answer;
	const uint32_t *cookie = answer.msg.id.idiag_cookie;
	uint64_t n = 0;

	if (fd == -1)
		return 0;
	/* The kernel answers while it is asked: nothing is waited for. */
	if (ask(fd, at) && recv(fd, &answer, sizeof(answer), MSG_DONTWAIT) >=
	    (ssize_t)(sizeof(answer.head) + sizeof(answer.msg)) &&
	    answer.head.nlmsg_type == SOCK_DIAG_BY_FAMILY)
		n = (uint64_t)cookie[1] << 32 | cookie[0];
	close(fd);
	return n;
}
