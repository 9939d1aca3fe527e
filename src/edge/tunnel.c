#include "edge/tunnel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "edge/ban_poll.h"
#include "edge/claims.h"
#include "edge/handover.h"
#include "edge/home_board.h"
#include "edge/pair_server.h"
#include "net/h2.h"
#include "net/tls.h"

#define POLICY_WAIT_S	55		/* a long poll; shorter than what middle boxes forget */
#define POLICY_RETRY_MS	5000
/* Between two answers: a home that answers at once must not make us spin. */
#define POLICY_REST_MS	500
#define TUNNELS_MAX	(CONF_HOMES_MAX * CONF_TUNNELS_MAX)
#define SHAKING_MAX	256		/* connections that are nobody's yet */

static const char *const alpn[] = { "posthouse/1", "posthouse-pair/1", NULL };

struct tunnel {
	struct tunnel	*next;
	struct edge	*edge;
	struct h2	*h2;
	struct home	*home;		/* NULL until the handshake is done, and while pairing */
	struct pin	 pin;
	struct h2_stream *policy;	/* the long poll */
	struct buf	 doc;
	char		 etag[80];
	unsigned	 status;
	struct order	 order;		/* of the answer */
	unsigned long long said_ms;	/* what home's clock was then; 0: not said */
	struct ledger_mark mark;	/* of the answer */
	struct ledger_mark floor;	/* what had been seen when it was asked for */
	struct instant	 asked;
	uv_timer_t	 retry;
	struct ban_poll	*bans;
	bool		 again;		/* the long poll says what is true no more */
	bool		 answered;	/* once, so that home's ledger was shown on it */
	bool		 leaving;	/* its key was replaced */
	bool		 up;
	bool		 dropped;
};

static void ask_policy(struct tunnel *);

/* --- who may come in ---------------------------------------------------------------------- */

static bool
judge_pin(void *arg, const struct pin *pin, const char *proto)
{
	struct edge *e = arg;

	if (homes_by_pin(&e->homes, pin) != NULL)
		return true;
	return e->pairing && strcmp(proto, "posthouse-pair/1") == 0;
}

int
tunnel_context(struct edge *e, struct why *why)
{
	SSL_CTX *ctx = tls_tunnel_new(buf_span(&e->tunnel_pem), true, alpn, judge_pin, e, why);

	if (ctx == NULL)
		return -1;
	SSL_CTX_free(e->tunnel_tls);
	e->tunnel_tls = ctx;
	return 0;
}

/* --- the scoreboard ----------------------------------------------------------------------- */

static void
show(struct tunnel *t, bool changed, const char *error)
{
	struct board_peer *p = home_board(t->edge, t->home);
	struct netaddr peer;

	if (p == NULL)
		return;
	if (changed)
		p->since_ms = wall_ms();
	p->rtt_us = h2_rtt_us(t->h2);
	if (h2_peer(t->h2, &peer))
		span_copy(span_str(netaddr_hostport(&peer).s), p->address, sizeof(p->address));
	span_copy(span_str(error), p->error, sizeof(p->error));
}

/* --- policy ------------------------------------------------------------------------------- */

/*
 * A home that rotates its keys says the new ones here; it may replace only its own.
 * It says as well by which of ours it knows us: `rotate --finish` asks for that.
 */
static void
take_keys(struct tunnel *t, const struct policy *p)
{
	struct peer next = t->home->paired;

	if (next.name[0] == '\0')
		return;
	for (size_t i = 0; i < p->npins; i++) {
		struct home *other = homes_by_pin(&t->edge->homes, &p->pins[i]);

		/* Its tunnels would become this home's. */
		if (other != NULL && other != t->home) {
			log_error(NULL, "home.keys home=%s refused: it names the key of home %s",
			    t->home->name, other->name);
			peer_fini(&next);
			return;
		}
	}
	if (p->npins > 0) {
		memcpy(next.pins, p->pins, sizeof(next.pins));
		next.npins = p->npins;
	}
	if (p->nrecipients > 0) {
		memcpy(next.recipients, p->recipients, sizeof(next.recipients));
		next.nrecipients = p->nrecipients;
	}
	memcpy(next.ours, p->edge_pins, sizeof(next.ours));
	next.nours = p->nedge_pins;
	if (memcmp(&next, &t->home->paired, sizeof(next)) != 0) {
		log_info(NULL, "home.keys home=%s pins=%zu recipients=%zu ours=%zu", t->home->name,
		    next.npins, next.nrecipients, next.nours);
		spool_peer_update(t->edge->spool, &next, NULL, NULL);
	}
	peer_fini(&next);
}

static void
on_policy_head(void *arg, const struct h2_head *head)
{
	struct tunnel *t = arg;

	t->status = head->status;
	t->order = order_parse(h2_header_get(head, "posthouse-order"));
	if (!span_u64(h2_header_get(head, "posthouse-now"), INT64_MAX, &t->said_ms))
		t->said_ms = 0;
	handover_mark(head, &t->mark);
	if (!span_copy(h2_header_get(head, "etag"), t->etag, sizeof(t->etag)))
		t->etag[0] = '\0';
}

static void
on_policy_data(void *arg, struct span s)
{
	struct tunnel *t = arg;

	h2_consumed(t->policy, s.n);
	buf_add_span(&t->doc, s);
}

static void
on_retry(uv_timer_t *timer)
{
	ask_policy(timer->data);
}

static bool
take_policy(struct tunnel *t)
{
	struct why why = { "" };
	struct policy *p;

	if (t->status == 304)
		return true;
	if (t->status != 200 || t->doc.failed) {
		log_warn(NULL, "policy.refused home=%s: answered %u, %zu octets", t->home->name,
		    t->status, t->doc.n);
		return false;
	}
	if (!lanes_later(&t->home->lanes, t->h2, t->order, t->home->policy_order)) {
		log_debug(NULL, "policy.late home=%s: another tunnel brought a later one",
		    t->home->name);
		return true;
	}
	/* The home's other tunnel was answered, too. */
	if (t->home->policy != NULL && t->etag[0] != '\0' && strcmp(t->etag, t->home->etag) == 0) {
		t->home->policy_order = t->order;
		return true;
	}
	if ((p = policy_parse(buf_span(&t->doc), &why)) == NULL) {
		log_warn(NULL, "policy.refused home=%s kept=the last good one: %s", t->home->name,
		    why.text);
		return false;
	}
	if (t->said_ms > 0)
		policy_by_our_clock(p, (int64_t)t->said_ms, wall_ms());
	take_keys(t, p);
	claims_say(t->edge, t->home, p);
	home_set_policy(t->home, p, span_str(t->etag));
	t->home->policy_order = t->order;
	t->home->unsaid[SPOOL_SAID_POLICY] = true;
	return true;
}

static void
on_policy_closed(void *arg, const struct why *why)
{
	struct tunnel *t = arg;
	bool ok = why == NULL && t->up && take_policy(t);

	t->policy = NULL;
	buf_fini(&t->doc);
	if (!t->up)
		return;
	t->answered = t->answered || ok;
	handover_shown(t->home->handover, t->mark, t->floor);
	show(t, false, "");
	if (t->again || (ok && instant_ms_since(t->asked, instant_now()) >= POLICY_REST_MS))
		ask_policy(t);
	else
		uv_timer_start(&t->retry, on_retry, ok ? POLICY_REST_MS : POLICY_RETRY_MS, 0);
}

static const struct h2_stream_ops policy_ops = {
	.head = on_policy_head, .data = on_policy_data, .closed = on_policy_closed,
};

/* Our own, so that home knows the next one before it sees it. */
static void
edge_pins(const struct edge *e, char *out, size_t max)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < e->npins && n < max; i++) {
		char text[PIN_TEXT_MAX];

		pin_print(&e->pins[i], text);
		n += (size_t)snprintf(out + n, max - n, "%s%s", n > 0 ? " " : "", text);
	}
}

/* Which of a home's keys we use already: it drops an old one only then. */
static void
keys_seen(const struct home *h, char *out, size_t max)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < h->peer.npins && n < max; i++) {
		char text[PIN_TEXT_MAX];

		pin_print(&h->peer.pins[i], text);
		n += (size_t)snprintf(out + n, max - n, "%s%s", n > 0 ? " " : "", text);
	}
	for (size_t i = 0; i < h->peer.nrecipients && n < max; i++) {
		char text[AGE_TEXT_MAX];

		age_recipient_print(&h->peer.recipients[i], text);
		n += (size_t)snprintf(out + n, max - n, "%s%s", n > 0 ? " " : "", text);
	}
}

static void
ask_policy(struct tunnel *t)
{
	char wait[24], seen[1024], pins[2 * PIN_TEXT_MAX], old[48];
	struct ledger_mark refused;
	struct h2_header headers[6];
	struct netaddr peer;
	struct netaddr_text home;
	struct h2_head head = { .method = SPAN_LIT("GET"), .path = SPAN_LIT("/policy"),
		.authority = span_str(t->home->name), .headers = headers };

	if (t->policy != NULL || !t->up || t->leaving || t->edge->draining)
		return;
	t->again = false;
	snprintf(wait, sizeof(wait), "wait=%d", POLICY_WAIT_S);
	keys_seen(t->home, seen, sizeof(seen));
	headers[head.nheaders++] = (struct h2_header){ "posthouse-keys-seen", span_str(seen) };
	edge_pins(t->edge, pins, sizeof(pins));
	headers[head.nheaders++] = (struct h2_header){ "posthouse-edge-pins", span_str(pins) };
	if (h2_peer(t->h2, &peer)) {
		home = netaddr_ip(&peer);
		headers[head.nheaders++] = (struct h2_header){ "posthouse-home-address",
		    span_str(home.s) };
	}
	refused = handover_refused_ledger(t->home->handover);
	if (refused.epoch != 0) {
		snprintf(old, sizeof(old), "%llu.%llu", (unsigned long long)refused.epoch,
		    (unsigned long long)refused.counter);
		headers[head.nheaders++] = (struct h2_header){ "posthouse-ledger-refused",
		    span_str(old) };
	}
	/*
	 * What we hold already need not come again; without one the answer comes at once, and so
	 * does a tunnel's first: home may have come back with an older ledger.
	 */
	if (t->home->policy != NULL && t->home->etag[0] != '\0') {
		headers[head.nheaders++] = (struct h2_header){ "if-none-match",
		    span_str(t->home->etag) };
		if (t->answered)
			headers[head.nheaders++] = (struct h2_header){ "prefer", span_str(wait) };
	}
	buf_init(&t->doc, POLICY_OCTETS_MAX);
	t->status = 0;
	t->mark = (struct ledger_mark){ .epoch = 0 };
	t->floor = handover_top(t->home->handover);
	t->asked = instant_now();
	t->policy = h2_request(t->h2, &head, NULL, NULL, &policy_ops, t);
	if (t->policy == NULL)
		uv_timer_start(&t->retry, on_retry, POLICY_RETRY_MS, 0);
}

/* --- a tunnel's life ---------------------------------------------------------------------- */

static void
free_tunnel(uv_handle_t *timer)
{
	struct tunnel *t = timer->data;

	buf_fini(&t->doc);
	free(t);
}

static void
tunnel_end(struct tunnel *t)
{
	for (struct tunnel **at = &t->edge->tunnels; *at != NULL; at = &(*at)->next)
		if (*at == t) {
			*at = t->next;
			break;
		}
	t->up = false;
	ban_poll_free(&t->bans);
	uv_close((uv_handle_t *)&t->retry, free_tunnel);
}

static void
on_closed(void *arg, const struct why *why)
{
	struct tunnel *t = arg;

	if (t->up) {
		handover_down(t->home->handover, t->h2);
		show(t, true, why != NULL ? why->text : "closed");
		log_info(NULL, "tunnel.down home=%s: %s", t->home->name,
		    why != NULL ? why->text : "closed");
	} else {
		log_info(NULL, "tunnel.refused: %s", why != NULL ? why->text : "closed");
	}
	tunnel_end(t);
}

static void
on_ready(void *arg)
{
	struct tunnel *t = arg;
	struct netaddr from;

	if (t->home == NULL || t->up)
		return;
	if (!handover_up(t->home->handover, t->h2)) {
		h2_abort(t->h2, "this home has too many tunnels");
		return;
	}
	t->up = true;
	if (h2_peer(t->h2, &from) && home_came_from(t->home, &from))
		t->home->unsaid[SPOOL_SAID_FROM] = true;
	log_info(NULL, "tunnel.up home=%s", t->home->name);
	show(t, true, "");
	ask_policy(t);
	if ((t->bans = ban_poll_new(t->edge, t->home, t->h2)) == NULL)
		h2_abort(t->h2, "memory is out");
}

static const struct h2_ops tunnel_ops = { .ready = on_ready, .closed = on_closed };

/* One home keeps no other out: its oldest tunnel, which a dead line may have left, makes way. */
static void
make_way(struct edge *e, const struct home *h)
{
	struct tunnel *oldest = NULL;
	size_t n = 0;

	for (struct tunnel *t = e->tunnels; t != NULL; t = t->next)
		if (h != NULL && t->home == h && !t->dropped) {
			oldest = t;
			n++;
		}
	if (n < CONF_TUNNELS_MAX)
		return;
	oldest->dropped = true;
	h2_abort(oldest->h2, "this home has too many tunnels, and this is the oldest");
}

/* The certificate has been judged; which protocol and whose tunnel this is. */
static bool
on_secured(void *arg, struct h2 *h2, SSL *ssl)
{
	struct tunnel *t = arg;
	char proto[32];

	if (!tls_peer_pin(ssl, &t->pin))
		return false;
	if (strcmp(tls_alpn(ssl, proto, sizeof(proto)), "posthouse-pair/1") == 0) {
		h2_set_client(h2, false);
		if (!pair_server(t->edge, h2, &t->pin))
			return false;
		tunnel_end(t);		/* the connection is the pairing's now */
		return true;
	}
	make_way(t->edge, homes_by_pin(&t->edge->homes, &t->pin));
	t->home = homes_by_pin(&t->edge->homes, &t->pin);
	return t->home != NULL && t->home->handover != NULL;
}

/*
 * Whether there is room for one more.  Strangers cannot keep the homes out: where
 * too many connections are nobody's yet the oldest of them goes, and a home needs
 * its place for a few round trips only.
 */
static bool
make_room(struct edge *e)
{
	struct tunnel *oldest = NULL;
	size_t homes = 0, shaking = 0;

	for (struct tunnel *t = e->tunnels; t != NULL; t = t->next) {
		homes += t->home != NULL;
		if (t->home != NULL || t->dropped)
			continue;
		shaking++;
		oldest = t;
	}
	if (shaking >= SHAKING_MAX) {
		oldest->dropped = true;
		h2_abort(oldest->h2, "too many handshakes at once");
	}
	return homes < TUNNELS_MAX;
}

void
tunnel_accept(struct edge *e, int fd)
{
	struct tunnel *t;
	struct why why = { "" };

	if (!make_room(e)) {
		log_warn(NULL, "tunnel.many most=%d: closed a new one", TUNNELS_MAX);
		close(fd);
		return;
	}
	if (e->tunnel_tls == NULL || (t = calloc(1, sizeof(*t))) == NULL) {
		log_warn(NULL, "tunnel.refused: %s",
		    e->tunnel_tls == NULL ? "no tunnel key" : "memory is out");
		close(fd);
		return;
	}
	t->edge = e;
	buf_init(&t->doc, POLICY_OCTETS_MAX);
	uv_timer_init(e->loop, &t->retry);
	t->retry.data = t;
	t->h2 = h2_new(e->loop, fd, e->tunnel_tls, true, true, &tunnel_ops, t, &why);
	if (t->h2 == NULL) {
		log_warn(NULL, "tunnel.refused: %s", why.text);
		uv_close((uv_handle_t *)&t->retry, free_tunnel);
		return;
	}
	h2_on_secured(t->h2, on_secured, t);
	t->next = e->tunnels;
	e->tunnels = t;
}

void
tunnels_recheck(struct edge *e)
{
	for (struct tunnel *t = e->tunnels, *next; t != NULL; t = next) {
		next = t->next;
		if (t->home != NULL && homes_by_pin(&e->homes, &t->pin) != t->home)
			h2_abort(t->h2, "its key is not this home's any more");
	}
}

static void
take_pins(struct edge *e)
{
	const struct buf *pems[] = { &e->tunnel_pem, &e->next_pem };
	struct why why = { "" };

	e->npins = 0;
	for (size_t i = 0; i < 2; i++) {
		struct pin *pin = &e->pins[e->npins];

		if (pems[i]->n == 0)
			continue;
		if (tls_pem_pin(buf_span(pems[i]), pin, &why) == -1)
			log_error(NULL, "tunnel.key: %s", why.text);
		else if (e->npins == 0 || !pin_eq(pin, &e->pins[0]))
			e->npins++;	/* the same: a finish that was cut off */
	}
}

void
tunnels_rekey(struct edge *e, bool renewed)
{
	take_pins(e);
	for (struct tunnel *t = e->tunnels, *next; t != NULL; t = next) {
		next = t->next;
		t->again = t->up;
		t->leaving = t->leaving || (renewed && t->up);
		if (t->policy != NULL)
			h2_reset(t->policy);
		if (t->leaving) {
			ban_poll_stop(t->bans);
			h2_goaway(t->h2);
		}
	}
}

void
tunnels_drain(struct edge *e)
{
	for (struct tunnel *t = e->tunnels, *next; t != NULL; t = next) {
		next = t->next;
		if (t->policy != NULL)
			h2_reset(t->policy);
		ban_poll_stop(t->bans);
		h2_goaway(t->h2);
	}
}
