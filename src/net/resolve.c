#include "net/resolve.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/awake.h"
#include "net/chan.h"
#include "net/resolve_proto.h"

/* Beyond the server's own time, which begins once it was started and has read the question. */
#define SPARE_MS	2000
/* A resolver may end just as it is asked; a question that ends it must not do so for ever. */
#define SENT_MOST	2

/* The side that asks.  A question waits for its answer, over more than one channel, or its time. */
struct resolve_ask {
	struct resolve_ask *next, **prev;	/* in its bucket */
	struct resolve_ask *older, *newer;	/* all have the same time to live */
	uint64_t	 tag;
	int64_t		 due_ms;
	resolve_name_fn	*name;		/* one of the two */
	resolve_addrs_fn *addrs;
	void		*arg;
	uint16_t	 port;
	uint16_t	 type;		/* RM_HOST, RM_NAME */
	unsigned	 sent;		/* over so many channels */
	size_t		 n;
	char		 body[];
};

struct resolver {
	struct chan	*chan;
	bool		 expected;	/* the channel is there, or another comes; timer is there */
	uv_timer_t	 timer;
	int64_t		 limit_ms;
	struct resolve_ask *oldest, *newest;
	struct resolve_ask *asks[RESOLVE_BUCKETS];	/* by tag */
	size_t		 n;
	uint64_t	 last_tag;	/* never used again: late answers find nobody */
};

struct resolver *
resolver_new(void)
{
	return calloc(1, sizeof(struct resolver));
}

static void
unlink_ask(struct resolver *r, struct resolve_ask *a)
{
	if (a->next != NULL)
		a->next->prev = a->prev;
	*a->prev = a->next;
	*(a->older != NULL ? &a->older->newer : &r->oldest) = a->newer;
	*(a->newer != NULL ? &a->newer->older : &r->newest) = a->older;
	if (--r->n == 0)
		uv_timer_stop(&r->timer);
}

static void
link_ask(struct resolver *r, struct resolve_ask *a)
{
	struct resolve_ask **bucket = &r->asks[a->tag % RESOLVE_BUCKETS];

	if ((a->next = *bucket) != NULL)
		a->next->prev = &a->next;
	a->prev = bucket;
	*bucket = a;
	if ((a->older = r->newest) != NULL)
		a->older->newer = a;
	else
		r->oldest = a;
	r->newest = a;
	r->n++;
}

/* The only way a question ends but by its cancelling. */
static void
answer(struct resolver *r, struct resolve_ask *a, const struct netaddr *addrs, size_t n,
    const char *name, const char *failed)
{
	struct resolve_ask ask = *a;
	struct why why = { 0 };

	unlink_ask(r, a);
	free(a);
	if (ask.name != NULL) {
		ask.name(ask.arg, name);
		return;
	}
	if (n == 0)
		why_set(&why, "names: %s", failed);
	ask.addrs(ask.arg, addrs, n, n == 0 ? &why : NULL);
}

static int64_t
now_ms(const struct resolver *r)
{
	return awake_ms(r->timer.loop);
}

static void on_timer(uv_timer_t *);

/* One timer for all, at the oldest question's end; too early does no harm. */
static void
arm(struct resolver *r)
{
	int64_t wait;

	if (r->oldest == NULL || uv_is_active((uv_handle_t *)&r->timer))
		return;
	wait = r->oldest->due_ms - now_ms(r);
	uv_timer_start(&r->timer, on_timer, wait > 0 ? (uint64_t)wait : 1, 0);
}

/* Who is told may free r: it stays until the timer is closed, without questions. */
static void
on_timer(uv_timer_t *timer)
{
	struct resolver *r = timer->data;
	int64_t now = now_ms(r);

	while (r->oldest != NULL && r->oldest->due_ms <= now)
		answer(r, r->oldest, NULL, 0, "", r->chan != NULL ? "no answer in time" :
		    "the resolver process is gone, and was not there again in time");
	arm(r);
}

static const char *
words(struct span code)
{
	switch (code.n == 1 ? code.p[0] : 'f') {
	case 'n':
		return "no such host";
	case 't':
		return "no answer in time";
	default:
		return "the look-up failed";
	}
}

/* The resolver has read strangers' packets: whatever it says is checked again. */
static void
on_msg(void *arg, struct chan_msg *m)
{
	struct resolver *r = arg;
	struct resolve_ask *a = r->asks[m->tag % RESOLVE_BUCKETS];
	struct netaddr addrs[RESOLVE_ADDRS_MAX];
	char name[RM_HOSTNAME_MAX + 1];
	size_t n = 0, i;

	while (a != NULL && a->tag != m->tag)
		a = a->next;
	if (a == NULL)
		return;			/* cancelled */
	if (m->type == RM_HOSTNAME && a->name != NULL) {
		if (!rm_hostname_ok(m->body) || !span_copy(m->body, name, sizeof(name)))
			name[0] = '\0';
		answer(r, a, NULL, 0, name, NULL);
		return;
	}
	if (m->type == RM_ADDRS && m->body.n > 0 && m->body.n % RM_ADDR_LEN == 0)
		for (i = 0; i < m->body.n / RM_ADDR_LEN && n < RESOLVE_ADDRS_MAX; i++)
			if (rm_get_addr((const unsigned char *)m->body.p + i * RM_ADDR_LEN,
			    &addrs[n]))
				addrs[n++].port = a->port;
	answer(r, a, addrs, n, "", words(m->body));
}

/*
 * What is asked by those who are told here waits for the next channel with the others.  They
 * may free r, and with it all questions: begin anew behind each.
 */
static void
channel_ended(struct resolver *r)
{
	struct resolve_ask *a;

	chan_free(&r->chan);
	for (a = r->oldest; a != NULL;)
		if (a->sent == SENT_MOST) {
			answer(r, a, NULL, 0, "", "the resolver process ended twice meanwhile");
			a = r->oldest;
		} else {
			a = a->newer;
		}
}

static void
on_close(void *arg, const struct why *why)
{
	channel_ended(arg);
}

static bool
send_ask(struct resolver *r, struct resolve_ask *a)
{
	struct span body = span_of(a->body, a->n);

	a->sent++;
	return chan_send(r->chan, a->type, a->tag, &body, 1, -1);
}

void
resolver_attach(struct resolver *r, struct chan *chan, int64_t timeout_ms)
{
	struct resolve_ask *a;

	if (!r->expected) {
		uv_timer_init(chan_loop(chan), &r->timer);
		r->timer.data = r;
		r->expected = true;
	}
	r->limit_ms = timeout_ms + SPARE_MS;
	if (r->chan != NULL)
		channel_ended(r);
	if (!r->expected) {		/* freed by who was told */
		chan_free(&chan);
		return;
	}
	r->chan = chan;
	chan_start(chan, on_msg, on_close, r);
	for (a = r->oldest; a != NULL; a = a->newer)
		(void)send_ask(r, a);	/* false: its time will end it */
}

static void
on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

void
resolver_free(struct resolver **rp)
{
	struct resolver *r = *rp;

	if (r == NULL)
		return;
	*rp = NULL;
	if (!r->expected) {		/* nothing was ever asked */
		free(r);
		return;
	}
	r->expected = false;	/* who asks again at once fails too, instead of going round */
	chan_free(&r->chan);
	while (r->oldest != NULL)
		answer(r, r->oldest, NULL, 0, "", "this process is ending");
	uv_close((uv_handle_t *)&r->timer, on_timer_closed);
}

static struct resolve_ask *
ask(struct resolver *r, uint16_t type, struct span body)
{
	struct resolve_ask *a;

	if (!r->expected || r->n == RESOLVE_ASKS_MAX ||
	    (a = calloc(1, sizeof(*a) + body.n)) == NULL)
		return NULL;
	a->tag = ++r->last_tag;
	a->due_ms = now_ms(r) + r->limit_ms;
	a->type = type;
	a->n = body.n;
	memcpy(a->body, body.p, body.n);
	if (r->chan != NULL && !send_ask(r, a)) {
		free(a);
		return NULL;
	}
	link_ask(r, a);
	arm(r);
	return a;
}

void
resolve_host(struct resolver *r, const char *host, uint16_t port, resolve_addrs_fn *done, void *arg)
{
	struct span name = span_str(host);
	struct resolve_ask *a = NULL;
	struct netaddr literal;
	struct why why;

	if (netaddr_parse_ip(name, &literal)) {
		literal.port = port;
		done(arg, &literal, 1, NULL);
		return;
	}
	if (name.n > 1 && name.p[name.n - 1] == '.')
		name.n--;
	if (!rm_hostname_ok(name))
		why_set(&why, "names: \"%s\" is neither a host name nor an address",
		    log_safe(name).s);
	else if ((a = ask(r, RM_HOST, name)) == NULL)
		why_set(&why, "names: %s", !r->expected ? "the resolver process is not running" :
		    "too many questions wait");
	if (a == NULL) {
		done(arg, NULL, 0, &why);
		return;
	}
	a->addrs = done;
	a->arg = arg;
	a->port = port;
}

struct resolve_ask *
resolve_name(struct resolver *r, const struct netaddr *of, resolve_name_fn *done, void *arg)
{
	unsigned char addr[RM_ADDR_LEN];
	struct resolve_ask *a;

	rm_put_addr(of, addr);
	if ((a = ask(r, RM_NAME, span_of(addr, sizeof(addr)))) == NULL) {
		done(arg, "");
		return NULL;
	}
	a->name = done;
	a->arg = arg;
	return a;
}

/*
 * The question's place stays taken until its answer: a stranger who connects and
 * goes must not ask without bound.
 */
static void
nobody(void *arg, const char *name)
{
}

void
resolve_cancel(struct resolve_ask **ap)
{
	if (*ap != NULL)
		(*ap)->name = nobody;
	*ap = NULL;
}
