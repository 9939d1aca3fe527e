#include "home/netwatch.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* An interface that comes up says so in several messages; a route is usable only after the last. */
#define SETTLE_MS 300

struct netwatch {
	uv_poll_t	 poll;
	uv_timer_t	 settle;
	int		 fd;
	void		(*changed)(void *);
	void		*arg;
};

static void
on_settled(uv_timer_t *timer)
{
	struct netwatch *w = timer->data;

	w->changed(w->arg);
}

/* Whether the datagram speaks of something that came, not of something that went. */
static bool
is_news(const void *p, size_t n)
{
	const struct nlmsghdr *h;
	unsigned left = (unsigned)n;

	for (h = p; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
		if (h->nlmsg_type == RTM_NEWLINK || h->nlmsg_type == RTM_NEWADDR ||
		    h->nlmsg_type == RTM_NEWROUTE)
			return true;
	return false;
}

static void
on_readable(uv_poll_t *poll, int status, int events)
{
	struct netwatch *w = poll->data;
	_Alignas(struct nlmsghdr) char msg[8192];
	bool news = status < 0;
	ssize_t n;

	/* ENOBUFS: so much happened that some of it was dropped, which is news as well. */
	while ((n = recv(w->fd, msg, sizeof(msg), MSG_DONTWAIT)) > 0 ||
	    (n == -1 && errno == ENOBUFS))
		news = news || n == -1 || is_news(msg, (size_t)n);
	if (news && !uv_is_active((uv_handle_t *)&w->settle))
		uv_timer_start(&w->settle, on_settled, SETTLE_MS, 0);
}

struct netwatch *
netwatch_new(uv_loop_t *loop, void (*changed)(void *), void *arg, struct why *why)
{
	const struct sockaddr_nl all = { .nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
		    RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE };
	struct netwatch *w = calloc(1, sizeof(*w));

	if (w == NULL) {
		why_sys(why, "netwatch");
		return NULL;
	}
	w->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (w->fd == -1 || bind(w->fd, (const void *)&all, sizeof(all)) == -1 ||
	    uv_poll_init(loop, &w->poll, w->fd) != 0) {
		why_sys(why, "netlink socket");
		if (w->fd != -1)
			close(w->fd);
		free(w);
		return NULL;
	}
	uv_timer_init(loop, &w->settle);
	w->poll.data = w->settle.data = w;
	w->changed = changed;
	w->arg = arg;
	uv_poll_start(&w->poll, UV_READABLE, on_readable);
	return w;
}
