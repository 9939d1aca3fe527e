#include "edge/homes.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"

static const struct conf_edge_home *
configured(const struct conf_edge *conf, const char *name)
{
	for (size_t i = 0; i < conf->nhomes; i++)
		if (strcmp(conf->homes[i].name, name) == 0)
			return &conf->homes[i];
	return NULL;
}

/* What is in force: the pairing, with each thing that the configuration says in its place. */
static void
join(struct home *h, const struct conf_edge_home *c)
{
	peer_fini(&h->peer);
	h->peer = h->paired;
	if (c == NULL)
		return;
	if (c->has_pin) {
		h->peer.pins[0] = c->pin;
		h->peer.npins = 1;
	}
	if (c->nrecipients > 0) {
		memcpy(h->peer.recipients, c->recipients, sizeof(h->peer.recipients));
		h->peer.nrecipients = c->nrecipients;
	}
	if (c->ndomains > 0) {
		memcpy(h->peer.domains, c->domains, sizeof(h->peer.domains));
		h->peer.ndomains = c->ndomains;
	}
}

static struct home *
home_make(struct homes *hs, const char *name)
{
	struct home *h = homes_by_name(hs, name);

	if (h != NULL || hs->n == CONF_HOMES_MAX || (h = calloc(1, sizeof(*h))) == NULL)
		return h;
	span_copy(span_str(name), h->name, sizeof(h->name));
	hs->list[hs->n++] = h;
	return h;
}

static bool
another_has(const struct homes *hs, const struct home *h, const char *domain)
{
	for (size_t i = 0; i < hs->n; i++)
		for (size_t k = 0; hs->list[i] != h && k < hs->list[i]->peer.ndomains; k++)
			if (strcmp(hs->list[i]->peer.domains[k], domain) == 0)
				return true;
	return false;
}

/* A domain has one home.  The first to have it keeps it: a later claim is said and left out. */
static void
claim(const struct homes *hs, struct home *h, const struct conf_edge *conf)
{
	size_t kept = 0;

	join(h, configured(conf, h->name));
	for (size_t i = 0; i < h->peer.ndomains; i++) {
		if (another_has(hs, h, h->peer.domains[i])) {
			log_error(NULL, "home.domain home=%s domain=%s"
			    " is another home's already: not given twice",
			    h->name, h->peer.domains[i]);
			continue;
		}
		if (kept != i)
			memcpy(h->peer.domains[kept], h->peer.domains[i],
			    sizeof(h->peer.domains[0]));
		kept++;
	}
	h->peer.ndomains = kept;
}

void
homes_configure(struct homes *hs, const struct conf_edge *conf)
{
	for (size_t i = 0; i < conf->nhomes; i++)
		home_make(hs, conf->homes[i].name);
	/* All at once: a domain may have moved from one to another. */
	for (size_t i = 0; i < hs->n; i++)
		hs->list[i]->peer.ndomains = 0;
	for (size_t i = 0; i < hs->n; i++)
		claim(hs, hs->list[i], conf);
}

struct home *
homes_paired(struct homes *hs, const struct conf_edge *conf, const char *name, const struct peer *p)
{
	struct home *h = home_make(hs, name);

	if (h == NULL) {
		log_error(NULL, "home.many home=%s not served: %d homes are the most an edge has",
		    name, CONF_HOMES_MAX);
		return NULL;
	}
	if (p != NULL && h->paired.nmac > 0 &&
	    !secret_eq(h->paired.mac[0].b, p->mac[0].b, SECRET_LEN))
		h->anew = instant_now();
	peer_fini(&h->paired);
	if (p != NULL)
		h->paired = *p;
	if (p == NULL) {
		home_set_policy(h, NULL, span_of(NULL, 0));
		home_set_bans(h, NULL, span_of(NULL, 0));
		h->nat = 0;
	}
	claim(hs, h, conf);
	/* What it has given up is for those who asked for it before. */
	for (size_t i = 0; i < hs->n; i++)
		if (hs->list[i] != h)
			claim(hs, hs->list[i], conf);
	return h;
}

void
homes_fini(struct homes *hs)
{
	for (size_t i = 0; i < hs->n; i++) {
		struct home *h = hs->list[i];

		peer_fini(&h->peer);
		peer_fini(&h->paired);
		policy_free(&h->policy);
		netset_free(&h->bans);
		free(h);
	}
	*hs = (struct homes){ .n = 0 };
}

struct home *
homes_by_name(const struct homes *hs, const char *name)
{
	for (size_t i = 0; i < hs->n; i++)
		if (strcmp(hs->list[i]->name, name) == 0)
			return hs->list[i];
	return NULL;
}

struct home *
homes_by_domain(const struct homes *hs, const char *domain)
{
	for (size_t i = 0; i < hs->n; i++)
		for (size_t k = 0; k < hs->list[i]->peer.ndomains; k++)
			if (strcmp(hs->list[i]->peer.domains[k], domain) == 0)
				return hs->list[i];
	return NULL;
}

struct home *
homes_by_pin(const struct homes *hs, const struct pin *pin)
{
	for (size_t i = 0; i < hs->n; i++)
		for (size_t k = 0; k < hs->list[i]->peer.npins; k++)
			if (pin_eq(&hs->list[i]->peer.pins[k], pin))
				return hs->list[i];
	return NULL;
}

bool
home_can_hold(const struct home *h)
{
	return h->peer.nrecipients > 0 && h->peer.nmac > 0;
}

uint64_t
home_takes(const struct home *h)
{
	return h->policy != NULL ? h->policy->size : 0;
}

bool
home_smtputf8(const struct home *h)
{
	return h->policy != NULL && h->policy->smtputf8;
}

bool
home_dsn(const struct home *h)
{
	return h->policy != NULL && h->policy->dsn;
}

void
home_set_policy(struct home *h, struct policy *p, struct span etag)
{
	policy_free(&h->policy);
	h->policy = p;
	h->policy_order = (struct order){ .run = 0 };
	if (!span_copy(etag, h->etag, sizeof(h->etag)))
		h->etag[0] = '\0';
}

void
home_set_bans(struct home *h, struct netset *bans, struct span etag)
{
	netset_free(&h->bans);
	h->bans = bans;
	h->bans_order = (struct order){ .run = 0 };
	if (!span_copy(etag, h->bans_etag, sizeof(h->bans_etag)))
		h->bans_etag[0] = '\0';
}

bool
bans_apply(struct netset *set, const struct ban_change *c, int64_t now_ms)
{
	const struct policy_ban *b = &c->on;

	if (c->lifted) {
		(void)netset_remove(set, &b->net, b->bits);
		return true;
	}
	return netset_add(set, &b->net, b->bits, b->until_ms) ||
	    (netset_expire(set, now_ms) > 0 && netset_add(set, &b->net, b->bits, b->until_ms));
}

bool
home_came_from(struct home *h, const struct netaddr *a)
{
	struct netaddr net = netaddr_network(a, 32, 64);
	size_t i = 0;

	while (i < h->nat && !netaddr_same_ip(&h->at[i], &net))
		i++;
	if (i == 0 && h->nat > 0)
		return false;
	if (i == h->nat && h->nat < HOME_AT_MAX)
		h->nat++;
	if (i == HOME_AT_MAX)
		i--;			/* the one that was not seen for longest goes */
	memmove(h->at + 1, h->at, i * sizeof(h->at[0]));
	h->at[0] = net;
	return true;
}

bool
home_is_at(const struct home *h, const struct netaddr *a)
{
	struct netaddr net = netaddr_network(a, 32, 64);

	for (size_t i = 0; i < h->nat; i++)
		if (netaddr_same_ip(&h->at[i], &net))
			return true;
	return false;
}

bool
home_bans(const struct home *h, const struct netaddr *client, int64_t now_ms)
{
	return h->bans != NULL && netset_find(h->bans, client, now_ms) != NULL &&
	    !home_is_at(h, client);
}
