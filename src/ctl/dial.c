#include "ctl/dial.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/names.h"
#include "net/conn.h"
#include "net/resolve.h"
#include "net/tls.h"

#define CONNECT_MS	10000		/* one address */

struct dial {
	uv_loop_t	*loop;
	struct dial_to	 to;
	dial_fn		*done;
	void		*arg;
	struct names	 names;
	SSL_CTX		*ctx;
	struct h2	*h2;
	struct netaddr	 addrs[RESOLVE_ADDRS_MAX];
	size_t		 naddrs, next;
	bool		 wrong_pin, turned_away, told;
	struct why	 last;			/* why the address before this one did not answer */
};

static void
tell(struct dial *d, struct h2 *h2, const struct why *why)
{
	if (d->told)
		return;
	d->told = true;
	d->done(d->arg, h2, why);
}

static void	dial_next(struct dial *);

static bool
accept_pin(void *arg, const struct pin *pin, const char *alpn)
{
	struct dial *d = arg;

	for (size_t i = 0; i < d->to.npins; i++)
		if (pin_eq(pin, &d->to.pins[i]))
			return true;
	d->wrong_pin = true;
	return false;
}

static void
on_ready(void *arg)
{
	struct dial *d = arg;
	struct h2 *h2 = d->h2;

	d->h2 = NULL;			/* the caller's */
	tell(d, h2, NULL);
}

static void
on_closed(void *arg, const struct why *why)
{
	struct dial *d = arg;
	struct why words;

	d->h2 = NULL;
	if (d->wrong_pin)
		why_set(&words, "%s shows another key than it should; nothing was sent to it. Does "
		    "the name lead to the right machine, and was its tunnel.pem made anew? Then "
		    "make a new pairing line there", d->to.address);
	else {
		d->turned_away = true;
		why_set(&words, "%s ended the connection before it began (%s)", d->to.address,
		    why != NULL ? why->text : "closed");
	}
	tell(d, NULL, &words);
}

static const struct h2_ops ops = { .ready = on_ready, .closed = on_closed };

static void
on_connected(void *arg, int fd, const struct why *why)
{
	struct dial *d = arg;
	struct why words;

	if (fd == -1) {
		d->last = *why;
		dial_next(d);
		return;
	}
	if ((d->h2 = h2_new(d->loop, fd, d->ctx, false, d->to.client, &ops, d, &words)) == NULL)
		tell(d, NULL, &words);
}

static void
dial_next(struct dial *d)
{
	struct why words;

	while (d->next < d->naddrs)
		if (conn_dial(d->loop, &d->addrs[d->next++], CONNECT_MS, on_connected, d,
			&d->last) == 0)
			return;
	why_set(&words, "no connection to %s: %.250s. Is edge running there, its tunnel port open "
	    "in the firewall, and the address right?", d->to.address, d->last.text);
	tell(d, NULL, &words);
}

static void
on_addrs(void *arg, const struct netaddr *addrs, size_t n, const struct why *why)
{
	struct dial *d = arg;
	struct why words;

	if (n == 0) {
		why_set(&words, "the name in %s was not found: %.250s", d->to.address,
		    why != NULL ? why->text : "no address");
		tell(d, NULL, &words);
		return;
	}
	d->naddrs = n < RESOLVE_ADDRS_MAX ? n : RESOLVE_ADDRS_MAX;
	memcpy(d->addrs, addrs, d->naddrs * sizeof(addrs[0]));
	dial_next(d);
}

/* host:port, "[v6]:port" or "name:port". */
static int
start(struct dial *d, struct why *why)
{
	const char *alpn[] = { d->to.alpn, NULL }, *colon = strrchr(d->to.address, ':');
	unsigned long long port;
	struct netaddr literal;
	char host[256];

	if ((d->ctx = tls_tunnel_new(d->to.pem, false, alpn, accept_pin, d, why)) == NULL)
		return -1;
	if (netaddr_parse(span_str(d->to.address), &literal)) {
		d->addrs[0] = literal;
		d->naddrs = 1;
		dial_next(d);
		return 0;
	}
	if (colon == NULL ||
	    !span_copy(span_of(d->to.address, (size_t)(colon - d->to.address)), host,
		sizeof(host)) ||
	    !span_u64(span_str(colon + 1), 65535, &port) || port == 0)
		return why_set(why, "%s is not host:port", d->to.address);
	if (names_begin(&d->names, d->loop, &d->to.home->common, why) == -1)
		return -1;
	resolve_host(d->names.resolver, host, (uint16_t)port, on_addrs, d);
	return 0;
}

struct dial *
dial_new(uv_loop_t *loop, const struct dial_to *to, dial_fn *done, void *arg, struct why *why)
{
	struct dial *d = calloc(1, sizeof(*d));

	if (d == NULL) {
		why_sys(why, "memory");
		return NULL;
	}
	d->loop = loop;
	d->to = *to;
	d->done = done;
	d->arg = arg;
	if (start(d, why) == -1) {
		d->told = true;
		dial_free(&d);
		return NULL;
	}
	return d;
}

bool
dial_turned_away(const struct dial *d)
{
	return d != NULL && d->turned_away;
}

void
dial_free(struct dial **dp)
{
	struct dial *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	d->told = true;
	if (d->h2 != NULL)
		h2_abort(d->h2, "no longer wanted");	/* on_closed tells nobody any more */
	names_end(&d->names);
	SSL_CTX_free(d->ctx);
	free(d);
}
