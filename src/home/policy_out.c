#include "home/policy_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/codec.h"
#include "home/health.h"
#include "proto/policy.h"

/* Digests are borrowed, and left away where only their digest counts. */
static void
fill_domain(const struct tunnel_proc *t, const char *name, bool whole, struct policy_domain *d)
{
	for (size_t i = 0; i < t->recipients.n; i++)
		if (strcmp(t->recipients.domains[i].name, name) == 0)
			*d = t->recipients.domains[i];
	span_copy(span_str(name), d->name, sizeof(d->name));
	if (!whole) {
		d->digests = NULL;
		d->ndigests = 0;
	}
}

/* Who may hand mail over at that edge. */
static void
fill_logins(const struct tunnel_proc *t, const struct home_edge *e, struct policy *p,
    struct login logins[CONF_WORKERS_MAX])
{
	p->logins = logins;
	for (size_t i = 0; i < t->intake.edges.n && p->nlogins < CONF_WORKERS_MAX; i++) {
		const struct home_edge *w = t->intake.edges.list[i];

		if (w->login.ndigests > 0 && edge_vouches(tunnel_conf(t), e, w))
			logins[p->nlogins++] = w->login;
	}
}

static bool
print(const struct tunnel_proc *t, const struct home_edge *e, uint64_t counter, bool whole,
    struct buf *out)
{
	const struct delivery *b = &t->delivery;
	struct policy p = { .epoch = t->mark.epoch,
		.counter = counter,
		.stale_after_ms = tunnel_conf(t)->stale_after_ms,
		.smtputf8 = b->smtputf8,
		.dsn = b->dsn,
		.size = b->size };
	struct policy_service services[CONF_SERVICES_MAX];
	struct login logins[CONF_WORKERS_MAX];
	bool ok;

	if (t->mark.epoch == 0)
		return false;
	p.npins = t->npins;
	memcpy(p.pins, t->pins, sizeof(p.pins));
	p.nedge_pins = e->peer.npins;
	memcpy(p.edge_pins, e->peer.pins, sizeof(p.edge_pins));
	p.nrecipients = b->nrecipients;
	memcpy(p.recipients, b->recipients, sizeof(p.recipients));
	if (e->peer.ndomains > 0 &&
	    (p.domains = calloc(e->peer.ndomains, sizeof(*p.domains))) == NULL)
		return false;
	p.ndomains = e->peer.ndomains;
	p.services = services;
	for (; p.nservices < health_count(t->health); p.nservices++) {
		const struct service *s = health_at(t->health, p.nservices);

		span_copy(span_str(s->conf.name), services[p.nservices].name,
		    sizeof(services[0].name));
		services[p.nservices].up = service_up(s);
	}
	fill_logins(t, e, &p, logins);
	for (size_t i = 0; i < p.ndomains; i++)
		fill_domain(t, e->peer.domains[i], whole, &p.domains[i]);
	ok = policy_print(&p, out);
	free(p.domains);
	return ok;
}

bool
policy_out(const struct tunnel_proc *t, const struct home_edge *e, struct buf *json)
{
	return print(t, e, t->mark.counter, true, json);
}

bool
policy_out_etag(const struct tunnel_proc *t, const struct home_edge *e, char etag[POLICY_ETAG_MAX])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char hex[33];
	struct buf b;
	bool ok;

	etag[0] = '\0';
	buf_init(&b, POLICY_OCTETS_MAX);
	ok = print(t, e, 0, false, &b) &&
	    buf_add(&b, t->recipients.digest, sizeof(t->recipients.digest)) &&
	    EVP_Digest(b.p, b.n, digest, NULL, EVP_sha256(), NULL) == 1;
	if (ok) {
		hex_encode(digest, 16, hex);
		snprintf(etag, POLICY_ETAG_MAX, "\"%s\"", hex);
	}
	buf_fini(&b);
	return ok;
}
