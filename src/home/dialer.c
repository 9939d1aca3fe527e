#include "home/dialer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "home/origin.h"
#include "net/awake.h"
#include "net/h2.h"
#include "net/tls.h"

#define PAUSE_LEAST_MS	500
#define PAUSE_MOST_MS	10000	/* an edge that is away may be back at any moment */
#define PAUSE_TURNED_MS	60000	/* one that turns us away waits for somebody who pairs again */
#define DIAL_MS		10000		/* TCP, for each address */
#define SHAKE_MS	15000		/* TLS and the edge's SETTINGS */
#define PORT_DEFAULT	7443
#define LINES_MAX	CONF_TUNNELS_MAX

static const char *const alpn[] = { "posthouse/1", NULL };

enum line_state {
	LINE_PAUSED = 0,		/* its timer runs */
	LINE_RESOLVING,
	LINE_DIALLING,
	LINE_SHAKING,
	LINE_UP,
	LINE_LEAVING,			/* another has its place; what is open on it goes on */
};

struct line {				/* one tunnel, or the attempt at it */
	struct dialer	*dialer;
	enum line_state	 state;
	uv_timer_t	 timer;		/* a pause, or the end of patience with a handshake */
	struct instant	 due;		/* of that patience */
	struct netaddr	 addr[RESOLVE_ADDRS_MAX];
	size_t		 naddr, at;
	unsigned	 failures;	/* since it was last up */
	bool		 retired;	/* not dialled again; freed when nothing is owed to it */
	bool		 closing;
	bool		 late;		/* the handshake took too long: nobody ended it */
	struct h2	*h2;
	struct origin	*origin;
	struct line	*next;		/* of those that leave */
};

struct dialer {
	struct tunnel_proc *tunnel;
	struct home_edge *edge;		/* gone (NULL) once the dialer is given up */
	SSL_CTX		*ctx;
	struct line	*lines[LINES_MAX];
	struct line	*leaving;
	char		 dialled[300];	/* the address that the lines were made for */
	char		 error[BOARD_WORDS];
	bool		 turned_away;	/* error: a handshake that ended, by a key it seems */
	bool		 wrong_pin;	/* the last handshake showed another key */
	struct pin	 shown;
	unsigned	 nlines;	/* not freed yet, retired ones too */
	unsigned	 up;
	bool		 given_up;
};

static void	line_start(struct line *);

/* --- the scoreboard ----------------------------------------------------------------------- */

static void
show(struct dialer *d)
{
	struct board_peer *p;
	const char *error = d->error;
	bool refused = false;
	int64_t rtt = 0;

	if (d->given_up)
		return;
	if (d->up > 0) {
		refused = d->edge->refused.epoch != 0 &&
		    d->edge->refused.epoch == d->tunnel->mark.epoch;
		error = refused ? DIALER_REFUSED : "";
	}
	p = &d->tunnel->proc->board->peer[d->edge->row];
	for (size_t i = 0; i < LINES_MAX; i++) {
		const struct line *l = d->lines[i];

		if (l == NULL || l->state != LINE_UP)
			continue;
		rtt = h2_rtt_us(l->h2);
		span_copy(span_str(netaddr_hostport(&l->addr[l->at]).s), p->at, sizeof(p->at));
	}
	span_copy(span_str(d->edge->name), p->name, sizeof(p->name));
	span_copy(span_str(d->edge->peer.address), p->address, sizeof(p->address));
	span_copy(span_str(error), p->error, sizeof(p->error));
	p->alarm = refused || (d->up == 0 && d->turned_away);
	if (p->connections != d->up)
		p->since_ms = wall_ms();
	p->connections = d->up;
	p->rtt_us = rtt;
}

void
dialer_tick(struct dialer *d)
{
	show(d);
	for (size_t i = 0; i < LINES_MAX; i++)
		if (d->lines[i] != NULL && d->lines[i]->origin != NULL)
			origin_tick(d->lines[i]->origin);
	for (struct line *l = d->leaving; l != NULL; l = l->next)
		if (l->origin != NULL)
			origin_tick(l->origin);
}

/* --- one attempt after the other ---------------------------------------------------------- */

static void
on_line_closed(uv_handle_t *timer)
{
	struct line *l = timer->data;
	struct dialer *d = l->dialer;

	free(l);
	if (--d->nlines == 0 && d->given_up) {
		SSL_CTX_free(d->ctx);
		free(d);
	}
}

static void
line_end(struct line *l)
{
	struct dialer *d = l->dialer;

	for (size_t i = 0; i < LINES_MAX; i++)
		if (d->lines[i] == l)
			d->lines[i] = NULL;
	for (struct line **at = &d->leaving; *at != NULL; at = &(*at)->next)
		if (*at == l) {
			*at = l->next;
			break;
		}
	if (l->closing)
		return;
	l->closing = true;
	uv_close((uv_handle_t *)&l->timer, on_line_closed);
}

static void
on_pause_over(uv_timer_t *timer)
{
	line_start(timer->data);
}

uint64_t
dialer_pause(unsigned failures, bool turned_away, uint32_t rnd)
{
	uint64_t most = turned_away ? PAUSE_TURNED_MS : PAUSE_MOST_MS, pause = PAUSE_LEAST_MS;

	for (unsigned i = 0; i < failures && pause < most; i++)
		pause *= 2;
	if (pause > most)
		pause = most;
	return pause - rnd % (pause / 2);
}

/*
 * The one way out of an attempt and of a tunnel: says why, then pauses.  turned_away:
 * a handshake ended, as it will each time until somebody pairs again.
 */
static void
line_failed(struct line *l, bool turned_away, const char *what)
{
	struct dialer *d = l->dialer;
	uint64_t pause;
	uint32_t rnd;

	l->state = LINE_PAUSED;
	if (l->retired) {
		line_end(l);
		return;
	}
	random_bytes(&rnd, sizeof(rnd));
	pause = dialer_pause(l->failures++, turned_away, rnd);
	if (strncmp(d->error, what, sizeof(d->error) - 1) != 0)
		log_warn(NULL, "tunnel.down edge=%s wait_ms=%llu: %s", d->edge->name,
		    (unsigned long long)pause, what);
	span_copy(span_str(what), d->error, sizeof(d->error));
	d->turned_away = turned_away;
	show(d);
	uv_timer_start(&l->timer, on_pause_over, pause, 0);
}

/* The advice stands before the details, which may be cut. */
static void
handshake_words(struct dialer *d, const struct why *said, struct why *words)
{
	const char *where = d->edge->peer.address;
	char pin[PIN_TEXT_MAX];

	if (d->wrong_pin) {
		pin_print(&d->shown, pin);
		why_set(words,
		    "the edge at %s shows another key than the paired one: if it was renewed, pair "
		    "again; if not, somebody stands between; it shows %s",
		    where, pin);
	} else
		why_set(words,
		    "the edge at %s ended the handshake; does it still know this home? else pair "
		    "again: %s",
		    where, said != NULL && said->text[0] != '\0' ? said->text : "closed");
}

static void
on_h2_closed(void *arg, const struct why *why)
{
	struct line *l = arg;
	struct dialer *d = l->dialer;
	bool was_up = l->state == LINE_UP;
	struct why words;

	l->late |= h2_late(l->h2);
	l->h2 = NULL;
	uv_timer_stop(&l->timer);
	if (l->origin != NULL)
		origin_free(&l->origin);
	if (was_up)
		d->up--;
	if (d->given_up || l->retired) {
		l->state = LINE_PAUSED;
		show(d);
		line_end(l);
		return;
	}
	if (was_up) {
		l->failures = 0;
		why_set(&words, "the tunnel to %s ended: %s", d->edge->peer.address,
		    why != NULL && why->text[0] != '\0' ? why->text : "closed by the edge");
	} else if (l->late) {
		why_set(&words, "the edge at %s took the connection, and did not finish the "
		    "handshake in time; is it very busy, or the line between?",
		    d->edge->peer.address);
	} else
		handshake_words(d, why, &words);
	line_failed(l, !was_up && !l->late, words.text);
}

static void
on_h2_ready(void *arg)
{
	struct line *l = arg;
	struct dialer *d = l->dialer;

	if (l->state != LINE_SHAKING)
		return;
	uv_timer_stop(&l->timer);
	l->state = LINE_UP;
	d->up++;
	d->error[0] = '\0';
	log_info(NULL, "tunnel.up edge=%s address=%s tunnels=%u", d->edge->name,
	    netaddr_hostport(&l->addr[l->at]).s, d->up);
	show(d);
}

static void
on_h2_request(void *arg, struct h2_stream *stream, const struct h2_head *head, bool has_body)
{
	struct line *l = arg;

	origin_request(l->origin, stream, head, has_body);
}

static const struct h2_ops line_ops = {
	.request = on_h2_request, .ready = on_h2_ready, .closed = on_h2_closed,
};

static void
on_shake_late(uv_timer_t *timer)
{
	struct line *l = timer->data;

	if (!awake_over(timer, on_shake_late, l->due))
		return;
	l->late = true;
	h2_abort(l->h2, "no TLS and HTTP/2 handshake in time");
}

static void	line_dial(struct line *);

static void
on_dialled(void *arg, int fd, const struct why *why)
{
	struct line *l = arg;
	struct dialer *d = l->dialer;
	struct why w = { "" };

	if (fd == -1 && l->at + 1 < l->naddr && !l->retired) {
		l->at++;
		line_dial(l);
		return;
	}
	if (fd == -1 || l->retired) {
		if (fd != -1)
			close(fd);
		why_set(&w,
		    "%s does not answer: %s; is the edge running, and does its firewall let that "
		    "port in?",
		    netaddr_hostport(&l->addr[l->at]).s, why != NULL ? why->text : "");
		line_failed(l, false, w.text);
		return;
	}
	d->wrong_pin = false;
	l->state = LINE_SHAKING;
	l->late = false;
	l->h2 = h2_new(d->tunnel->loop, fd, d->ctx, false, false, &line_ops, l, &w);
	if (l->h2 != NULL && (l->origin = origin_new(d->tunnel, d->edge->name, l->h2)) == NULL)
		h2_abort(l->h2, "memory is out");
	else if (l->h2 != NULL)
		awake_timer(&l->timer, on_shake_late, SHAKE_MS, &l->due);
	else
		line_failed(l, false, w.text);
}

static void
line_dial(struct line *l)
{
	struct why why = { "" };

	l->state = LINE_DIALLING;
	if (conn_dial(l->dialer->tunnel->loop, &l->addr[l->at], DIAL_MS, on_dialled, l, &why) == -1)
		on_dialled(l, -1, &why);
}

static void
on_resolved(void *arg, const struct netaddr *addrs, size_t n, const struct why *why)
{
	struct line *l = arg;
	struct why words;

	if (n == 0 || l->retired) {
		why_set(&words,
		    "the address of %s is not to be found: %s; check the name and this machine's "
		    "DNS",
		    l->dialer->dialled, why != NULL ? why->text : "no answer");
		line_failed(l, false, words.text);
		return;
	}
	l->naddr = n < RESOLVE_ADDRS_MAX ? n : RESOLVE_ADDRS_MAX;
	memcpy(l->addr, addrs, l->naddr * sizeof(l->addr[0]));
	l->at = 0;
	line_dial(l);
}

/* "host:port", "[::1]:7443" or a host alone. */
static bool
split_address(const char *address, char *host, size_t max, uint16_t *port)
{
	const char *colon = strrchr(address, ':');
	struct span h = span_str(address);
	unsigned long long n = PORT_DEFAULT;
	bool alone = colon == NULL || (strchr(address, ':') != colon && address[0] != '[') ||
	    strchr(colon, ']') != NULL;

	if (!alone) {
		h = span_of(address, (size_t)(colon - address));
		if (!span_u64(span_str(colon + 1), 65535, &n) || n == 0)
			return false;
	}
	if (h.n > 2 && h.p[0] == '[' && h.p[h.n - 1] == ']')
		h = span_of(h.p + 1, h.n - 2);
	*port = (uint16_t)n;
	return h.n > 0 && span_copy(h, host, max);
}

static void
line_start(struct line *l)
{
	struct dialer *d = l->dialer;
	char host[300];
	uint16_t port;

	if (!split_address(d->dialled, host, sizeof(host), &port)) {
		line_failed(l, false,
		    "its address is no host:port: pair again, or write edge { address = ... }");
		return;
	}
	uv_timer_stop(&l->timer);
	l->state = LINE_RESOLVING;
	resolve_host(d->tunnel->resolver, host, port, on_resolved, l);
}

/* --- a dialer ----------------------------------------------------------------------------- */

static bool
pin_known(const struct dialer *d, const struct pin *pin)
{
	for (size_t i = 0; !d->given_up && i < d->edge->peer.npins; i++)
		if (pin_eq(&d->edge->peer.pins[i], pin))
			return true;
	return false;
}

static bool
on_pin(void *arg, const struct pin *pin, const char *proto)
{
	struct dialer *d = arg;
	bool known = pin_known(d, pin);

	d->wrong_pin = !known;
	d->shown = *pin;
	return known && (proto[0] == '\0' || strcmp(proto, alpn[0]) == 0);
}

static bool
line_add(struct dialer *d, size_t i)
{
	struct line *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return false;
	l->dialer = d;
	uv_timer_init(d->tunnel->loop, &l->timer);
	l->timer.data = l;
	d->lines[i] = l;
	d->nlines++;
	line_start(l);
	return true;
}

/* Gives a line up: at once where nothing is owed to it, else when its question is answered. */
static void
line_retire(struct line *l, const char *why)
{
	l->retired = true;
	if (l->state == LINE_PAUSED)
		line_end(l);
	else if (l->h2 != NULL)
		h2_abort(l->h2, why);
}

/*
 * Makes room for another line in its place.  What is under way on it is finished,
 * and a passed connection may take days: nobody waits for that.
 */
static void
line_leave(struct line *l)
{
	struct dialer *d = l->dialer;

	for (size_t i = 0; i < LINES_MAX; i++)
		if (d->lines[i] == l)
			d->lines[i] = NULL;
	l->retired = true;
	l->state = LINE_LEAVING;
	l->next = d->leaving;
	d->leaving = l;
	d->up--;
	origin_finish(l->origin);
	h2_goaway(l->h2);
}

int
dialer_configure(struct dialer *d, bool new_key, struct why *why)
{
	size_t want = tunnel_conf(d->tunnel)->connections;
	bool moved = strcmp(d->dialled, d->edge->peer.address) != 0;

	if (new_key) {
		SSL_CTX *ctx =
		    tls_tunnel_new(buf_span(&d->tunnel->pem), false, alpn, on_pin, d, why);

		if (ctx == NULL)
			return -1;
		SSL_CTX_free(d->ctx);		/* connections hold their own reference */
		d->ctx = ctx;
	}
	span_copy(span_str(d->edge->peer.address), d->dialled, sizeof(d->dialled));
	for (size_t i = 0; i < LINES_MAX; i++) {
		struct line *l = d->lines[i];
		struct pin pin;

		if (l != NULL && (i >= want || moved)) {
			line_retire(l,
			    i >= want ? "fewer connections are configured"
				      : "the edge's address changed");
			d->lines[i] = NULL;
		} else if (l != NULL && l->state == LINE_UP && tls_peer_pin(h2_ssl(l->h2), &pin) &&
		    !pin_known(d, &pin)) {
			h2_abort(l->h2, "its key is no longer a paired one");
		} else if (l != NULL && l->state == LINE_UP && new_key) {
			line_leave(l);		/* dialled anew, with the new key */
		}
		if (i < want && d->lines[i] == NULL && !d->tunnel->draining && !line_add(d, i))
			return why_set(why, "edge %s: memory is out", d->edge->name);
	}
	show(d);
	return 0;
}

struct dialer *
dialer_new(struct tunnel_proc *t, struct home_edge *e, struct why *why)
{
	struct dialer *d = calloc(1, sizeof(*d));

	if (d == NULL) {
		why_sys(why, "edge %s", e->name);
		return NULL;
	}
	d->tunnel = t;
	d->edge = e;
	if (dialer_configure(d, true, why) == -1)
		dialer_free(&d, why->text);
	return d;
}

void
dialer_wake(struct dialer *d)
{
	for (size_t i = 0; i < LINES_MAX; i++) {
		struct line *l = d->lines[i];

		if (l == NULL || l->state == LINE_UP || d->tunnel->draining)
			continue;
		l->failures = 0;	/* also of an attempt that began before and will fail */
		if (l->state == LINE_PAUSED)
			line_start(l);
	}
}

void
dialer_policy(struct dialer *d)
{
	for (size_t i = 0; i < LINES_MAX; i++)
		if (d->lines[i] != NULL && d->lines[i]->state == LINE_UP)
			origin_policy(d->lines[i]->origin);
}

void
dialer_drain(struct dialer *d)
{
	for (size_t i = 0; i < LINES_MAX; i++) {
		struct line *l = d->lines[i];

		if (l == NULL)
			continue;
		l->retired = true;
		if (l->state == LINE_PAUSED) {
			line_end(l);
		} else if (l->state == LINE_UP) {
			origin_finish(l->origin);
			h2_goaway(l->h2);
		} else if (l->h2 != NULL) {
			h2_abort(l->h2, "shutting down");
		}
	}
}

bool
dialer_has_address(const struct dialer *d, const struct netaddr *a)
{
	for (size_t i = 0; i < LINES_MAX; i++)
		for (size_t n = 0; d->lines[i] != NULL && n < d->lines[i]->naddr; n++)
			if (netaddr_same_ip(&d->lines[i]->addr[n], a))
				return true;
	return false;
}

size_t
dialer_addresses(const struct dialer *d, struct netaddr *out, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < LINES_MAX; i++)
		for (size_t k = 0; d->lines[i] != NULL && k < d->lines[i]->naddr && n < max; k++)
			out[n++] = d->lines[i]->addr[k];
	return n;
}

bool
dialer_busy(const struct dialer *d)
{
	return d->nlines > 0;
}

void
dialer_free(struct dialer **dp, const char *why)
{
	struct dialer *d = *dp;
	struct board_peer *p = &d->tunnel->proc->board->peer[d->edge->row];

	*dp = NULL;
	p->connections = 0;
	p->alarm = 0;
	p->since_ms = wall_ms();
	p->at[0] = p->address[0] = '\0';
	span_copy(span_str(why), p->error, sizeof(p->error));
	d->given_up = true;
	for (size_t i = 0; i < LINES_MAX; i++)
		if (d->lines[i] != NULL)
			line_retire(d->lines[i], why);
	for (struct line *l = d->leaving; l != NULL; l = l->next)
		line_retire(l, why);
	if (d->nlines == 0) {
		SSL_CTX_free(d->ctx);
		free(d);
	}
}
