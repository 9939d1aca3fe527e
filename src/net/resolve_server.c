/*
 * The resolver process's work: questions from channels, answers by libunbound.
 *
 * libunbound runs as one thread (ub_ctx_async), started by the first question,
 * so inside the sandbox.  It does its own network I/O and is spoken to by way of
 * pipes; its results are taken in by ub_process on our loop.
 *
 * What the sandbox must let it do, beyond what a loop with channels needs (traced
 * with libunbound 1.17, libevent 2.1, glibc 2.36):
 *	clone3 or clone, rseq, set_robust_list, mmap, mprotect, munmap, madvise,
 *	brk, sched_yield, futex, rt_sigprocmask, rt_sigaction	the thread and its stack
 *	pipe2, fcntl, read, write, poll, epoll_create1, epoll_ctl, epoll_wait,
 *	eventfd2	the pipes to it, and its event base
 *	socket (AF_INET, AF_INET6; DGRAM, STREAM), bind, connect, sendto, sendmsg,
 *	recvfrom, recvmsg, getsockopt, setsockopt, getsockname, ioctl,
 *	close			questions by UDP and TCP
 *	getrandom, clock_gettime, gettimeofday, getpid, getuid, geteuid, getgid,
 *	getegid		ids, ports, ages; libevent looks whether it is set-uid
 * It opens no file after resolve_server_new: /etc/hosts, /etc/resolv.conf and
 * OpenSSL's configuration are read there.  Of the first two it looks later whether
 * they are still those (resolve_server_watch).
 */
#include "net/resolve.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_mark.h"
#include "net/awake.h"
#include "net/chan.h"
#include "net/libunbound.h"
#include "net/resolve_proto.h"

#define CLASS_IN	1
#define TYPE_A		1
#define TYPE_PTR	12
#define TYPE_AAAA	28
#define NAMES_MAX	3	/* PTR names tried for one address: a stranger sets them */
#define RCODE_NXDOMAIN	3

static const struct libunbound *unbound;	/* since the first resolve_server_new */

struct client;

struct query {
	struct job	*job;
	int		 id;		/* libunbound's */
	bool		 open;
};

/* One question under way. */
struct job {
	struct job	*next, *prev;	/* by age; all have the same time to live */
	struct resolve_server *server;
	struct client	*client;
	uint64_t	 tag;
	int64_t		 due_ms;
	struct query	 q[2];		/* AAAA and A of a host; PTR, then an address of its name */
	unsigned	 type;		/* RM_HOST, RM_NAME */
	struct netaddr	 addr;		/* whose name is asked */
	char		 names[NAMES_MAX][RM_HOSTNAME_MAX + 1];
	unsigned	 nnames, at;
	unsigned char	 addrs[2][RESOLVE_ADDRS_MAX][RM_ADDR_LEN];	/* of q[0] and q[1] */
	unsigned	 naddrs[2];
	bool		 failed;	/* some answer was no answer */
};

struct client {
	struct client	*next, **prev;
	struct resolve_server *server;
	struct chan	*chan;
};

/* A file that libunbound has read, as it was before that. */
struct source {
	const char	*path;
	struct file_mark mark;
};

struct resolve_server {
	struct ub_ctx	*ub;
	struct source	 sources[2];
	size_t		 nsources;
	void		(*changed)(void *);	/* NULL: nobody wants to know */
	void		*changed_arg;
	bool		 outdated;
	uv_poll_t	 poll;
	uv_timer_t	 timer;
	int		 open;		/* handles */
	int64_t		 timeout_ms;
	struct job	 jobs;		/* the ring's own link */
	unsigned	 njobs;
	int64_t		 asked_ms;	/* when the last one came; at first, when it began */
	struct client	*clients;
};

static void arm(struct resolve_server *);

/* --- what was read at start ----------------------------------------------------- */

/* Looked at first, so that a change meanwhile is one. */
static const char *
source(struct resolve_server *s, const char *path)
{
	struct source *one = &s->sources[s->nsources++];

	one->path = path;
	one->mark = file_mark_at(path);
	return path;
}

/* --- the life of a question --------------------------------------------------- */

static void
job_end(struct job *j)
{
	struct resolve_server *s = j->server;
	unsigned i;

	for (i = 0; i < 2; i++)
		if (j->q[i].open)
			unbound->cancel(s->ub, j->q[i].id);
	j->prev->next = j->next;
	j->next->prev = j->prev;
	s->njobs--;
	free(j);
	arm(s);
}

static void
answer(struct job *j, unsigned type, struct span body)
{
	/* False means that the asker does not read us: it has its own end of time. */
	(void)chan_send(j->client->chan, (uint16_t)type, j->tag, &body, 1, -1);
	job_end(j);
}

static void
answer_empty(struct job *j, const char *code)
{
	if (j->type == RM_HOST)
		answer(j, RM_ADDRS, span_str(code));
	else
		answer(j, RM_HOSTNAME, SPAN_LIT(""));
}

static void on_result(void *, int, struct ub_result *);

static bool
query(struct job *j, unsigned slot, const char *name, int type)
{
	struct query *q = &j->q[slot];

	q->job = j;
	q->open = unbound->resolve_async(j->server->ub, name, type, CLASS_IN, q, on_result,
	    &q->id) == 0;
	return q->open;
}

/* --- what libunbound found ------------------------------------------------------ */

/* Addresses of a result into [0, max), each as it travels. */
static unsigned
addresses(const struct ub_result *r, unsigned char out[][RM_ADDR_LEN], unsigned max)
{
	static const unsigned char mapped[12] = { [10] = 0xff, 0xff };
	unsigned n = 0, i;

	for (i = 0; r->havedata && r->data[i] != NULL && n < max; i++) {
		struct netaddr a = { .v6 = r->qtype == TYPE_AAAA };

		if (r->len[i] == 16 && a.v6)
			memcpy(a.ip, r->data[i], 16);
		else if (r->len[i] == 4 && !a.v6) {
			memcpy(a.ip, mapped, 12);
			memcpy(a.ip + 12, r->data[i], 4);
		} else
			continue;
		rm_put_addr(&a, out[n++]);
	}
	return n;
}

/* A name in wire form as text; false if it is not a host name.  out holds RM_HOSTNAME_MAX + 1. */
static bool
name_text(const unsigned char *p, size_t n, char *out)
{
	size_t i = 0, o = 0;

	while (i < n && p[i] != 0) {
		size_t label = p[i++];

		if (label > 63 || label > n - i || o + label + 1 > RM_HOSTNAME_MAX)
			return false;
		if (o > 0)
			out[o++] = '.';
		memcpy(out + o, p + i, label);
		o += label;
		i += label;
	}
	out[o] = '\0';
	return rm_hostname_ok(span_of(out, o));
}

static void
names(struct job *j, const struct ub_result *r)
{
	unsigned i;

	for (i = 0; r->havedata && r->data[i] != NULL && j->nnames < NAMES_MAX; i++)
		if (name_text((unsigned char *)r->data[i], r->len[i] < 0 ? 0 : (size_t)r->len[i],
		    j->names[j->nnames]))
			j->nnames++;
}

/* Asks whether the next of the names leads back to the address. */
static void
confirm_next(struct job *j)
{
	while (j->at < j->nnames)
		if (query(j, 1, j->names[j->at++], j->addr.v6 ? TYPE_AAAA : TYPE_A))
			return;
	answer_empty(j, "f");
}

static void
on_confirm(struct job *j, const struct ub_result *r)
{
	unsigned n = addresses(r, j->addrs[1], RESOLVE_ADDRS_MAX), i;
	struct netaddr a;

	for (i = 0; i < n; i++)
		if (rm_get_addr(j->addrs[1][i], &a) && netaddr_same_ip(&a, &j->addr)) {
			answer(j, RM_HOSTNAME, span_str(j->names[j->at - 1]));
			return;
		}
	confirm_next(j);
}

static void
host_done(struct job *j)
{
	unsigned char all[RESOLVE_ADDRS_MAX][RM_ADDR_LEN];
	unsigned n = 0, i, max = RESOLVE_ADDRS_MAX;
	/* Many of one family must not crowd the other out. */
	unsigned six = max - (j->naddrs[1] < max / 2 ? j->naddrs[1] : max / 2);

	for (i = 0; i < j->naddrs[0] && i < six; i++)
		memcpy(all[n++], j->addrs[0][i], RM_ADDR_LEN);
	for (i = 0; i < j->naddrs[1] && n < max; i++)
		memcpy(all[n++], j->addrs[1][i], RM_ADDR_LEN);
	if (n > 0)
		answer(j, RM_ADDRS, span_of(all, n * RM_ADDR_LEN));
	else
		answer_empty(j, j->failed ? "f" : "n");
}

static void
on_result(void *arg, int err, struct ub_result *r)
{
	struct query *q = arg;
	struct job *j = q->job;
	unsigned slot = (unsigned)(q - j->q);
	static const struct ub_result nothing;

	q->open = false;
	/* No such name and no such data are answers; everything else is none. */
	if (err != 0 || r == NULL || (r->rcode != 0 && r->rcode != RCODE_NXDOMAIN))
		j->failed = true;
	if (j->type == RM_HOST) {
		j->naddrs[slot] = addresses(r != NULL ? r : &nothing, j->addrs[slot],
		    RESOLVE_ADDRS_MAX);
		if (!j->q[0].open && !j->q[1].open)
			host_done(j);
	} else if (slot == 0) {
		names(j, r != NULL ? r : &nothing);
		confirm_next(j);
	} else
		on_confirm(j, r != NULL ? r : &nothing);
	if (r != NULL)
		unbound->resolve_free(r);
}

static void
on_ready(uv_poll_t *poll, int status, int events)
{
	struct resolve_server *s = poll->data;

	unbound->process(s->ub);
}

/* --- time ----------------------------------------------------------------------- */

static int64_t
now_ms(const struct resolve_server *s)
{
	return awake_ms(s->timer.loop);
}

static void
on_timer(uv_timer_t *timer)
{
	struct resolve_server *s = timer->data;
	int64_t now = now_ms(s);

	while (s->jobs.next != &s->jobs && s->jobs.next->due_ms <= now)
		answer_empty(s->jobs.next, "t");
	arm(s);
}

/* One timer for all, at the oldest question's end. */
static void
arm(struct resolve_server *s)
{
	int64_t wait;

	if (s->jobs.next == &s->jobs) {
		uv_timer_stop(&s->timer);
		return;
	}
	if (uv_is_active((uv_handle_t *)&s->timer))
		return;			/* too early does no harm */
	wait = s->jobs.next->due_ms - now_ms(s);
	uv_timer_start(&s->timer, on_timer, wait > 0 ? (uint64_t)wait : 1, 0);
}

/* --- who asks -------------------------------------------------------------------- */

/* "8.7.6.5.in-addr.arpa", or 32 digits under ip6.arpa. */
static void
reverse_name(const struct netaddr *a, char out[80])
{
	static const char hex[] = "0123456789abcdef";
	int i;

	if (!a->v6) {
		snprintf(out, 80, "%u.%u.%u.%u.in-addr.arpa", a->ip[15], a->ip[14], a->ip[13],
		    a->ip[12]);
		return;
	}
	for (i = 15; i >= 0; i--) {
		*out++ = hex[a->ip[i] & 15];
		*out++ = '.';
		*out++ = hex[a->ip[i] >> 4];
		*out++ = '.';
	}
	memcpy(out, "ip6.arpa", sizeof("ip6.arpa"));
}

/* Nothing tells of a change: inotify sees no file that a link leads to. */
static bool
outdated(struct resolve_server *s)
{
	struct file_mark now;

	for (size_t i = 0; s->changed != NULL && !s->outdated && i < s->nsources; i++) {
		now = file_mark_at(s->sources[i].path);
		if (file_mark_same(&now, &s->sources[i].mark))
			continue;
		s->outdated = true;
		s->changed(s->changed_arg);
	}
	return s->outdated;
}

static bool
ask(struct job *j, struct span body)
{
	char name[RM_HOSTNAME_MAX + 1];
	bool six, four;

	if (j->type == RM_NAME) {
		if (body.n != RM_ADDR_LEN || !rm_get_addr((const unsigned char *)body.p, &j->addr))
			return false;
		reverse_name(&j->addr, name);
		return query(j, 0, name, TYPE_PTR);
	}
	if (!rm_hostname_ok(body) || !span_copy(body, name, sizeof(name)))
		return false;
	six = query(j, 0, name, TYPE_AAAA);
	four = query(j, 1, name, TYPE_A);
	return six || four;
}

static void
on_msg(void *arg, struct chan_msg *m)
{
	struct client *c = arg;
	struct resolve_server *s = c->server;
	bool host = m->type == RM_HOST;
	struct job *j;

	if (!host && m->type != RM_NAME)
		return;			/* nobody would know what an answer is to */
	if (outdated(s))
		return;			/* the next process is asked */
	if (s->njobs >= RESOLVE_UNDERWAY || (j = calloc(1, sizeof(*j))) == NULL) {
		struct span body = host ? SPAN_LIT("f") : SPAN_LIT("");

		(void)chan_send(c->chan, host ? RM_ADDRS : RM_HOSTNAME, m->tag, &body, 1, -1);
		return;
	}
	j->server = s;
	j->client = c;
	j->tag = m->tag;
	j->type = host ? RM_HOST : RM_NAME;
	j->due_ms = now_ms(s) + s->timeout_ms;
	j->next = &s->jobs;
	j->prev = s->jobs.prev;
	j->prev->next = j;
	s->jobs.prev = j;
	s->njobs++;
	s->asked_ms = now_ms(s);
	if (ask(j, m->body))
		arm(s);
	else
		answer_empty(j, "f");
}

static void
client_free(struct client *c)
{
	struct resolve_server *s = c->server;
	struct job *j, *next;

	for (j = s->jobs.next; j != &s->jobs; j = next) {
		next = j->next;
		if (j->client == c)
			job_end(j);
	}
	if (c->next != NULL)
		c->next->prev = c->prev;
	*c->prev = c->next;
	chan_free(&c->chan);
	free(c);
}

static void
on_close(void *arg, const struct why *why)
{
	client_free(arg);
}

void
resolve_server_client(struct resolve_server *s, struct chan *chan)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		chan_free(&chan);
		return;
	}
	c->server = s;
	c->chan = chan;
	if ((c->next = s->clients) != NULL)
		c->next->prev = &c->next;
	c->prev = &s->clients;
	s->clients = c;
	chan_start(chan, on_msg, on_close, c);
}

void
resolve_server_watch(struct resolve_server *s, void (*changed)(void *), void *arg)
{
	s->changed = changed;
	s->changed_arg = arg;
}

int64_t
resolve_server_idle_ms(const struct resolve_server *s)
{
	return s->njobs > 0 ? 0 : now_ms(s) - s->asked_ms;
}

/* --- libunbound --------------------------------------------------------------------- */

/*
 * Small, as a mail server asks for few names twice.  No validator: nothing here
 * rests on a name being true, and without a trust anchor it would only cost.
 */
static const struct {
	const char *name, *value;
} options[] = {
	{ "module-config:", "iterator" },
	{ "do-not-query-localhost:", "no" },	/* a local resolver is the usual one */
	{ "msg-cache-size:", "256k" },
	{ "msg-cache-slabs:", "1" },
	{ "rrset-cache-size:", "256k" },
	{ "rrset-cache-slabs:", "1" },
	{ "infra-cache-numhosts:", "200" },
	{ "infra-cache-slabs:", "1" },
	{ "outgoing-range:", "128" },		/* sockets at a time */
	{ "num-queries-per-thread:", "1024" },
};

static int
configure(struct resolve_server *s, const char *const *servers, size_t n, struct why *why)
{
	size_t i;
	int rc;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if ((rc = unbound->ctx_set_option(s->ub, options[i].name, options[i].value)) != 0)
			return why_set(why, "names: libunbound: %s %s", options[i].name,
			    unbound->strerror(rc));
	for (i = 0; i < n; i++) {
		struct netaddr a;
		char text[80];

		/* libunbound writes a port after "@". */
		if (netaddr_parse(span_str(servers[i]), &a))
			snprintf(text, sizeof(text), "%s@%u", netaddr_ip(&a).s, a.port);
		else
			snprintf(text, sizeof(text), "%s", servers[i]);
		if ((rc = unbound->ctx_set_fwd(s->ub, text)) != 0)
			return why_set(why, "names: server %s: %s", servers[i],
			    unbound->strerror(rc));
	}
	/* Neither file need be there: without servers libunbound asks the root itself. */
	if (n == 0)
		(void)unbound->ctx_resolvconf(s->ub, source(s, "/etc/resolv.conf"));
	(void)unbound->ctx_hosts(s->ub, source(s, "/etc/hosts"));
	if ((rc = unbound->ctx_async(s->ub, 1)) != 0)
		return why_set(why, "names: libunbound: %s", unbound->strerror(rc));
	return 0;
}

struct resolve_server *
resolve_server_new(uv_loop_t *loop, const char *const *servers, size_t n, int64_t timeout_ms,
    struct why *why)
{
	struct resolve_server *s;
	int rc;

	if ((unbound = libunbound_open(why)) == NULL)
		return NULL;
	if ((s = calloc(1, sizeof(*s))) == NULL || (s->ub = unbound->ctx_create()) == NULL) {
		free(s);
		why_set(why, "names: out of memory");
		return NULL;
	}
	s->jobs.next = s->jobs.prev = &s->jobs;
	s->timeout_ms = timeout_ms;
	s->asked_ms = now_ms(s);
	if ((rc = configure(s, servers, n, why)) == 0 &&
	    (rc = uv_poll_init(loop, &s->poll, unbound->fd(s->ub))) != 0)
		why_set(why, "names: %s", uv_strerror(rc));
	if (rc != 0) {
		unbound->ctx_delete(s->ub);
		free(s);
		return NULL;
	}
	uv_timer_init(loop, &s->timer);
	s->open = 2;
	s->poll.data = s->timer.data = s;
	uv_poll_start(&s->poll, UV_READABLE, on_ready);
	return s;
}

static void
on_closed(uv_handle_t *h)
{
	struct resolve_server *s = h->data;

	if (--s->open > 0)
		return;
	unbound->ctx_delete(s->ub);
	free(s);
}

void
resolve_server_free(struct resolve_server **sp)
{
	struct resolve_server *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	while (s->clients != NULL)
		client_free(s->clients);
	uv_close((uv_handle_t *)&s->poll, on_closed);
	uv_close((uv_handle_t *)&s->timer, on_closed);
}
