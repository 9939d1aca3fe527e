#include "net/resolve.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/chan.h"
#include "net/resolve_proto.h"

/* The side that asks.  A question waits until its answer or the channel's end. */
struct resolve_ask {
	struct resolve_ask *next, **prev;
	uint64_t	 tag;
	resolve_name_fn	*name;		/* one of the two */
	resolve_addrs_fn *addrs;
	void		*arg;
	uint16_t	 port;
};

struct resolver {
	struct chan	*chan;
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
unlink_ask(struct resolve_ask *a)
{
	if (a->next != NULL)
		a->next->prev = a->prev;
	*a->prev = a->next;
}

/* The only way a question ends but by its cancelling. */
static void
answer(struct resolver *r, struct resolve_ask *a, const struct netaddr *addrs, size_t n,
    const char *name, const char *failed)
{
	struct resolve_ask ask = *a;
	struct why why = { 0 };

	unlink_ask(a);
	free(a);
	r->n--;
	if (ask.name != NULL) {
		ask.name(ask.arg, name);
		return;
	}
	if (n == 0)
		why_set(&why, "names: %s", failed);
	ask.addrs(ask.arg, addrs, n, n == 0 ? &why : NULL);
}

static void
fail_all(struct resolver *r, const char *why)
{
	size_t i;

	for (i = 0; i < RESOLVE_BUCKETS; i++)
		while (r->asks[i] != NULL)
			answer(r, r->asks[i], NULL, 0, "", why);
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

static void
on_close(void *arg, const struct why *why)
{
	struct resolver *r = arg;

	chan_free(&r->chan);
	fail_all(r, "the resolver process is gone; it is being started again");
}

void
resolver_attach(struct resolver *r, struct chan *chan)
{
	/* Told while none is there: who asks again at once fails too, instead of going round. */
	chan_free(&r->chan);
	fail_all(r, "the resolver process was replaced");
	if ((r->chan = chan) != NULL)
		chan_start(chan, on_msg, on_close, r);
}

void
resolver_free(struct resolver **rp)
{
	struct resolver *r = *rp;

	if (r == NULL)
		return;
	*rp = NULL;
	chan_free(&r->chan);
	fail_all(r, "this process is ending");
	free(r);
}

static struct resolve_ask *
ask(struct resolver *r, unsigned type, struct span body)
{
	struct resolve_ask *a;
	struct resolve_ask **bucket;

	if (r->chan == NULL || r->n == RESOLVE_ASKS_MAX || (a = calloc(1, sizeof(*a))) == NULL)
		return NULL;
	a->tag = ++r->last_tag;
	if (!chan_send(r->chan, (uint16_t)type, a->tag, &body, 1, -1)) {
		free(a);
		return NULL;
	}
	bucket = &r->asks[a->tag % RESOLVE_BUCKETS];
	if ((a->next = *bucket) != NULL)
		a->next->prev = &a->next;
	a->prev = bucket;
	*bucket = a;
	r->n++;
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
		why_set(&why, "names: %s", r->chan == NULL ? "the resolver process is not running" :
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
