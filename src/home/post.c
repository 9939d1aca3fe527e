#include "home/post_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/secret.h"
#include "home/courier_batch.h"
#include "home/filter.h"

#define HEAD_OCTETS	(sizeof("X-Posthouse-Id: \r\n") - 1 + 36)
#define NOTE_AGAIN_MS	1000
#define AWAY		"the mail server did not serve a moment ago"

/* --- what is in hand ------------------------------------------------------------------------ */

static void
put(struct shipments *q, struct shipment *s)
{
	s->next = NULL;
	*q->end = s;
	q->end = &s->next;
	q->n++;
}

/* Whichever `at` points to: the first, or a `next`. */
static struct shipment *
take_at(struct shipments *q, struct shipment **at)
{
	struct shipment *s = *at;

	if (s == NULL)
		return NULL;
	if ((*at = s->next) == NULL)
		q->end = at;
	q->n--;
	return s;
}

static struct shipment *
take(struct shipments *q)
{
	return take_at(q, &q->first);
}

static void
disarm(struct post *p, struct shipment *s)
{
	struct shipment **at = &p->armed;

	while (*at != NULL && *at != s)
		at = &(*at)->armed;
	if (*at != NULL)
		*at = s->armed;
}

static void
drop(struct post *p, struct shipment *s)
{
	p->nhand--;
	disarm(p, s);
	shipment_free(&s);
}

static void
on_noted(void *arg, bool ok, const struct why *why)
{
	struct shipment *s = arg;
	struct post *p = s->post;

	if (!s->settled)
		p->narmed--;
	if (s->forgotten || !p->c->up) {
		drop(p, s);
	} else if (!ok) {
		log_error(NULL, "courier.note: %s; tried again",
		    why != NULL ? why->text : "the ledger failed");
		put(&p->stuck, s);
		uv_timer_start(&p->renote, p->renote.timer_cb, NOTE_AGAIN_MS, 0);
	} else if (!s->settled) {
		put(&p->ready, s);
	} else {
		courier_log_settled(p->c, &s->p);
		drop(p, s);
		courier_work(p->c);
	}
	post_go(p);
}

static void
note(struct shipment *s)
{
	if (!s->settled)
		s->post->narmed++;
	ledger_note(s->post->c->spool, s->p.entries, s->p.n, on_noted, s);
}

static void
note_ended(struct post *p)
{
	struct shipment *s;

	uv_timer_stop(&p->gather);
	while ((s = take(&p->ended)) != NULL)
		note(s);
}

static void
on_gather(uv_timer_t *timer)
{
	note_ended(timer->data);
}

static void
on_renote(uv_timer_t *timer)
{
	struct post *p = timer->data;
	size_t n = p->stuck.n;

	while (n-- > 0)
		note(take(&p->stuck));
}

static void
on_judged(void *arg, struct parcel *parcel, enum filter_said said)
{
	struct shipment *s = arg;
	struct post *p = s->post;

	p->njudged--;
	if (said == FILTER_GONE || s->life != p->life) {
		drop(p, s);
		return;
	}
	s->settled = said == FILTER_SETTLED;
	if (!s->settled && p->paused)
		shipment_defer(s, p->pause_ms, AWAY);
	if (s->settled)
		note(s);
	else
		put(&p->waiting, s);
	post_go(p);
}

void
post_take(struct post *p, struct parcel *parcel)
{
	struct shipment *s = shipment_new(p, parcel);

	if (s == NULL)
		courier_out_of_memory();
	p->nhand++;
	s->settled = s->mail.nrcpts == 0;
	s->life = p->life;
	if (!s->settled && p->paused)
		shipment_defer(s, p->pause_ms, AWAY);
	if (s->settled) {
		note(s);
	} else if (p->c->filter != NULL) {
		p->njudged++;
		filter_ask(p->c->filter, &s->p, on_judged, s);
	} else {
		put(&p->waiting, s);
	}
}

unsigned
post_room(const struct post *p)
{
	size_t most = p->c->conf->deliveries;

	return p->paused || p->nhand * 2 > most ? 0 : (unsigned)(most - p->nhand);
}

bool
post_busy(const struct post *p)
{
	return p->nhand > p->waiting.n + p->njudged;
}

void
post_forget(struct post *p)
{
	struct shipments *all[] = { &p->waiting, &p->ready, &p->ended, &p->stuck };
	struct shipment *s;

	p->life++;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		while ((s = take(all[i])) != NULL)
			drop(p, s);
	for (size_t i = 0; i < p->nlanes; i++)
		if ((s = lane_now(p->lanes[i])) != NULL)
			s->forgotten = true;
}

/* --- the destination ------------------------------------------------------------------------ */

static void
on_again(uv_timer_t *timer)
{
	struct post *p = timer->data;

	p->paused = false;
	p->c->work = true;
	courier_work(p->c);
	post_go(p);
}

/* It does not serve: what is in hand waits in the ledger, and everything else there too. */
static void
pause_for(struct post *p, const char *words)
{
	int64_t most = p->c->conf->retry_max_ms;
	struct shipments *all[] = { &p->ready, &p->waiting };
	struct shipment *s;
	uint32_t rnd;

	if (p->paused)
		return;
	most = most < POST_PAUSE_MAX_MS ? most : POST_PAUSE_MAX_MS;
	p->pause_ms = p->pause_ms == 0 ? POST_PAUSE_MS : 2 * p->pause_ms;
	p->pause_ms = p->pause_ms < most ? p->pause_ms : most;
	p->paused = true;
	p->proven = false;
	p->shows = BI_UNKNOWN;
	random_bytes(&rnd, sizeof(rnd));
	uv_timer_start(&p->again, on_again,
	    (uint64_t)p->pause_ms + rnd % (unsigned)(p->pause_ms / 8 + 1), 0);
	log_warn(NULL, "courier.server pause_ms=%lld: %s", (long long)p->pause_ms, words);
	courier_trouble(p->c, words);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		while ((s = take(all[i])) != NULL) {
			disarm(p, s);
			shipment_defer(s, p->pause_ms, words);
			note(s);
		}
}

bool
post_lane_up(struct post *p, const struct smtp_cli *cli, struct why *why)
{
	enum conf_identity identity = p->conf->deliver.identity;
	struct smtp_ehlo offers = smtp_cli_offers(cli);
	bool xclient = smtp_cli_xclient(cli);
	/* It may be configured anew.  Behind PROXY it answers a client, and may mean him alone. */
	bool news = p->shows == BI_UNKNOWN || (p->proxy == 0 &&
	    (offers.offers != p->heard.offers || offers.size != p->heard.size));

	if (identity == CONF_IDENTITY_XCLIENT && !xclient) {
		why_set(why, "the mail server does not offer XCLIENT to us: let it (Postfix: "
		    "smtpd_authorized_xclient_hosts, Dovecot: login_trusted_networks), or write "
		    "another deliver.identity");
		return false;
	}
	if (p->shows == BI_UNKNOWN) {
		p->shows = identity == CONF_IDENTITY_NONE ? BI_NONE :
		    identity == CONF_IDENTITY_PROXY ? BI_PROXY :
		    xclient ? BI_XCLIENT :
		    p->conf->deliver.to == CONF_TO_SERVICE && p->proxy > 0 ? BI_PROXY :
		    BI_NONE;
		log_info(NULL, "courier.server identity=%s size=%llu",
		    board_identity_names[p->shows], (unsigned long long)offers.size);
		if (p->c->board != NULL)
			atomic_store(&p->c->board->identity, p->shows);
	}
	if (news) {
		p->heard = offers;
		p->offers(p->arg, &offers);
	}
	if (!p->proven)
		courier_trouble(p->c, "");
	p->proven = true;
	p->pause_ms = 0;
	return true;
}

void
post_lane_gone(struct post *p, struct lane *l, struct shipment *unsent, const char *words)
{
	for (size_t i = 0; i < p->nlanes; i++)
		if (p->lanes[i] == l)
			p->lanes[i--] = p->lanes[--p->nlanes];
	if (unsent != NULL && unsent->forgotten)
		drop(p, unsent);
	else if (unsent != NULL)
		put(&p->ready, unsent);
	if (words != NULL)
		pause_for(p, words[0] != '\0' ? words : "the mail server ended the connection");
	post_go(p);
}

void
post_lane_waits(struct post *p, struct lane *l)
{
	post_go(p);
}

void
post_untried(struct post *p, struct shipment *s)
{
	put(&p->ready, s);
}

void
post_shipped(struct post *p, struct shipment *s)
{
	disarm(p, s);
	if (s->forgotten) {
		drop(p, s);
		return;
	}
	shipment_results(s);
	for (size_t k = 0; k < s->mail.nrcpts; k++)	/* others had it before */
		if (s->p.entries[s->entry[k]].state == LEDGER_DELIVERED)
			courier_log_delivered(p->c, &s->p, &s->p.entries[s->entry[k]]);
	put(&p->ended, s);
	if (p->ended.n == 1)
		uv_timer_start(&p->gather, on_gather, POST_GATHER_MS, 0);
}

/* --- what goes when ------------------------------------------------------------------------- */

/*
 * By LMTP a mailbox gets one message at a time.  What Dovecot's Sieve test `duplicate` has
 * seen is a file that each delivery reads at its beginning and replaces at its end (2.3.19,
 * tried 2026-11): of two at once into one mailbox one is forgotten, and its second copy is not
 * known for one.
 */
static bool
overtakes(const struct post *p, const struct shipments *q, const struct shipment *s)
{
	for (const struct shipment *o = q->first; p->cli.lmtp && o != s; o = o->next)
		if (shipments_meet(o, s))
			return true;
	return false;
}

static bool
enough_ahead(const struct post *p, const struct shipment *s)
{
	unsigned n = 0;

	for (const struct shipment *o = p->armed; p->cli.lmtp && o != NULL; o = o->armed)
		n += shipments_meet(o, s);
	return n >= POST_AHEAD || overtakes(p, &p->waiting, s);
}

/* Noted ahead, many at a time: a lane that ends one message finds the next. */
static void
arm(struct post *p)
{
	struct shipment **at = &p->waiting.first, *s;
	size_t most = POST_STOCK * (size_t)p->conf->deliver.connections;

	if (p->paused || !p->proven || p->c->draining || p->narmed + p->ready.n > most / 2)
		return;
	while (*at != NULL && p->narmed + p->ready.n < most) {
		if (enough_ahead(p, *at)) {
			at = &(*at)->next;
			continue;
		}
		s = take_at(&p->waiting, at);
		s->armed = p->armed;
		p->armed = s;
		shipment_sending(s);
		note(s);
	}
}

/* What ended goes with what was armed just now, or as soon as nothing else is awaited. */
static void
gather(struct post *p, bool armed)
{
	size_t going = 0;

	for (size_t i = 0; i < p->nlanes; i++)
		going += lane_now(p->lanes[i]) != NULL;
	if (armed || going == 0 || p->ended.n >= p->conf->deliver.connections)
		note_ended(p);
}

/* One that is ready must wait for another into the same mailbox. */
static bool
behind(const struct post *p, const struct shipment *s)
{
	const struct shipment *now;

	for (size_t i = 0; p->cli.lmtp && i < p->nlanes; i++)
		if ((now = lane_now(p->lanes[i])) != NULL && shipments_meet(now, s))
			return true;
	return overtakes(p, &p->ready, s);
}

static struct shipment *
next_mail(struct post *p)
{
	struct shipment **at = &p->ready.first, *s;

	while (*at != NULL && behind(p, *at))
		at = &(*at)->next;
	if ((s = take_at(&p->ready, at)) == NULL)
		return NULL;
	s->mail.size = s->p.heads.n + HEAD_OCTETS + s->p.octets;
	s->mail.xclient = p->shows == BI_XCLIENT;
	return s;
}

static void
hand_out(struct post *p)
{
	struct shipment *s;

	for (size_t i = 0; i < p->nlanes && p->ready.n > 0; i++)
		if (lane_waits(p->lanes[i]) && (s = next_mail(p)) != NULL)
			lane_send(p->lanes[i], s);
}

/* Whether more could go at once than there are connections that wait for mail, or will. */
static bool
short_of_lanes(const struct post *p)
{
	size_t could = 0, coming = 0;

	for (const struct shipment *s = p->ready.first; s != NULL; s = s->next)
		could += !behind(p, s);
	for (size_t i = 0; p->shows != BI_PROXY && i < p->nlanes; i++)
		coming += lane_now(p->lanes[i]) == NULL && !lane_leaves(p->lanes[i]);
	return could > coming;
}

/* Whether one is on its way to where mail goes now, or there. */
static bool
looks(const struct post *p)
{
	for (size_t i = 0; i < p->nlanes; i++)
		if (!lane_leaves(p->lanes[i]))
			return true;
	return false;
}

static void
open_lanes(struct post *p)
{
	bool once = p->shows == BI_PROXY;
	struct why why = { "" };

	while (!p->paused && p->nlanes < p->conf->deliver.connections) {
		struct shipment *s = NULL;
		struct lane *l;

		if (!p->proven ? looks(p) : !short_of_lanes(p))
			return;
		if (p->proven && once)
			s = next_mail(p);
		if ((l = lane_open(p, s, &why)) == NULL) {
			if (s != NULL)
				put(&p->ready, s);
			pause_for(p, why.text);
			return;
		}
		p->lanes[p->nlanes++] = l;
	}
}

void
post_go(struct post *p)
{
	size_t armed;

	if (!p->c->up)
		return;
	armed = p->narmed;
	arm(p);
	hand_out(p);
	open_lanes(p);
	gather(p, p->narmed > armed);
}

/* --- a post --------------------------------------------------------------------------------- */

static void
destination(struct post *p)
{
	const struct conf_deliver_to *d = &p->conf->deliver;
	const char *where = d->to == CONF_TO_LMTP ? d->lmtp : d->smtp;
	const char *colon = strrchr(where, ':');

	p->cli.local = conf_deliver_local(p->conf);
	p->proxy = d->identity == CONF_IDENTITY_PROXY ? 2 : 0;
	if (d->to == CONF_TO_SERVICE) {
		const struct conf_home_service *s = &p->conf->services[d->service];

		p->addr = s->backend;
		p->proxy = s->proxy == CONF_PROXY_NONE ? 0 : s->proxy == CONF_PROXY_V1 ? 1 : 2;
	} else if (where[0] == '/') {
		p->path = where;
	} else if (!netaddr_parse(span_str(where), &p->addr)) {
		span_copy(span_of(where, (size_t)(colon - where)), p->host, sizeof(p->host));
		p->addr.port = conf_deliver_port(p->conf);
	}
}

struct post *
post_new(struct courier *c, post_offers_fn *offers, void *arg, struct why *why)
{
	static const enum smtp_cli_tls tls[] = {
		[CONF_TLS_AUTO] = SMTP_CLI_TLS_OFFERED, [CONF_TLS_OFF] = SMTP_CLI_TLS_NEVER,
		[CONF_TLS_REQUIRE] = SMTP_CLI_TLS_ALWAYS, [CONF_TLS_VERIFY] = SMTP_CLI_TLS_ALWAYS,
	};
	struct post *p = calloc(1, sizeof(*p));
	struct conf_home *conf = malloc(sizeof(*conf));
	const char *name;

	if (p == NULL || conf == NULL || (p->resolver = resolver_new()) == NULL) {
		free(p);
		free(conf);
		why_set(why, "memory is out");
		return NULL;
	}
	*conf = *c->conf;
	p->c = c;
	p->conf = conf;
	p->offers = offers;
	p->arg = arg;
	p->waiting.end = &p->waiting.first;
	p->ready.end = &p->ready.first;
	p->ended.end = &p->ended.first;
	p->stuck.end = &p->stuck.first;
	p->cli = (struct smtp_cli_conf){ .lmtp = conf->deliver.to == CONF_TO_LMTP,
		.tls = tls[conf->deliver.tls], .helo = conf->common.hostname,
		.user = conf->deliver.user, .password = p->password };
	destination(p);
	uv_timer_init(c->loop, &p->again);
	uv_timer_init(c->loop, &p->renote);
	uv_timer_init(c->loop, &p->gather);
	p->again.data = p->renote.data = p->gather.data = p;
	p->renote.timer_cb = on_renote;
	name = p->host[0] != '\0' ? p->host : netaddr_ip(&p->addr).s;
	p->tls = conf->deliver.tls == CONF_TLS_VERIFY ?
	    tls_verify_new(name, conf->deliver.authorities, why) : tls_any_new(why);
	if (p->tls == NULL)
		post_free(&p);
	return p;
}

void
post_reload(struct post *p)
{
	const struct netaddr was = p->addr;
	unsigned proxy = p->proxy;

	*p->conf = *p->c->conf;
	destination(p);
	if (netaddr_same_ip(&was, &p->addr) && proxy == p->proxy)	/* conf.h: the port too */
		return;
	log_info(NULL, "courier.server backend=%s: held mail goes there from now on",
	    netaddr_hostport(&p->addr).s);
	if (p->conf->deliver.tls == CONF_TLS_VERIFY)
		(void)tls_verify_name(p->tls, netaddr_ip(&p->addr).s);
	for (size_t i = 0; i < p->nlanes; i++)
		lane_leave(p->lanes[i]);
	p->proven = false;
	p->shows = BI_UNKNOWN;
	p->pause_ms = 0;
	uv_timer_stop(&p->again);
	on_again(&p->again);
}

static void
on_gather_closed(uv_handle_t *h)
{
	free(h->data);
}

static void
on_renote_closed(uv_handle_t *h)
{
	struct post *p = h->data;

	uv_close((uv_handle_t *)&p->gather, on_gather_closed);
}

/* One after the other: libuv says nothing of the order in which it closes. */
static void
on_again_closed(uv_handle_t *h)
{
	struct post *p = h->data;

	uv_close((uv_handle_t *)&p->renote, on_renote_closed);
}

void
post_free(struct post **pp)
{
	struct post *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	post_forget(p);
	for (size_t i = 0; i < p->nlanes; i++)
		lane_abort(p->lanes[i]);
	resolver_free(&p->resolver);
	SSL_CTX_free(p->tls);
	explicit_bzero(p->password, sizeof(p->password));
	free(p->conf);
	uv_close((uv_handle_t *)&p->again, on_again_closed);
}

void
post_resolver(struct post *p, struct chan *chan)
{
	resolver_attach(p->resolver, chan, p->conf->common.dns_timeout_ms);
}

void
post_password(struct post *p, struct span value)
{
	if (value.n > 0 && value.p[value.n - 1] == '\n')
		value.n--;
	explicit_bzero(p->password, sizeof(p->password));
	span_copy(value, p->password, sizeof(p->password));
}
