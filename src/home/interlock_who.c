#include "home/interlock_in.h"

#include <stdio.h>

#include "home/dialer.h"

/* As whom a mail server is asked, and for whom. */

/*
 * Loopback and link-local addresses, which every server trusts, and with reason: no
 * connection from outside can have one, and home lets no edge claim it (backend_refuses).
 */
static bool
never_a_client(const struct netaddr *a)
{
	static const struct netaddr_net link_local[] = {
		{ { 169, 254 }, 16, false }, { { 0xfe, 0x80 }, 10, true },
	};

	return netaddr_is_loopback(a) ||
	    netaddr_in_any(a, link_local, sizeof(link_local) / sizeof(link_local[0]));
}

static void
add_address(struct untrusted *u, const struct netaddr *a, const char *whose)
{
	struct relay_address *to;

	for (size_t i = 0; i < u->n; i++)
		if (netaddr_same_ip(&u->list[i].ip, a))
			return;
	if (never_a_client(a))
		return;
	if (u->n > RELAY_ADDRESSES_MAX)
		return;			/* one too many is enough for the probe to say so */
	to = &u->list[u->n++];
	to->ip = *a;
	to->ip.port = 0;
	span_copy(span_str(whose), to->whose, sizeof(to->whose));
}

void
interlock_untrusted(const struct tunnel_proc *t, struct untrusted *u)
{
	const struct conf_home *conf = tunnel_conf(t);
	struct netaddr list[DIALER_ADDRESSES_MAX], a;
	char whose[80];

	u->n = 0;
	for (size_t i = 0; i < t->intake.edges.n; i++) {
		const struct home_edge *e = t->intake.edges.list[i];
		size_t n = t->dialers[e->row] == NULL ? 0 :
		    dialer_addresses(t->dialers[e->row], list, DIALER_ADDRESSES_MAX);

		snprintf(whose, sizeof(whose), "edge %.60s", e->name);
		for (size_t k = 0; k < n; k++)
			add_address(u, &list[k], whose);
		snprintf(whose, sizeof(whose), "home, to %.60s", e->name);
		if (e->sees_us)
			add_address(u, &e->sees, whose);
	}
	for (size_t i = 0; i < t->own.n; i++)
		add_address(u, &t->own.list[i].addr, "home itself");
	for (size_t i = 0; i < conf->ninterlock_addresses; i++)
		if (netaddr_parse_ip(span_str(conf->interlock_addresses[i]), &a))
			add_address(u, &a, "home.conf");
}

bool
interlock_covered(const struct tunnel_proc *t, const struct item *it)
{
	static struct untrusted now;	/* too large for the stack, and used in this call only */

	interlock_untrusted(t, &now);
	for (size_t i = 0; i < now.n; i++) {
		bool had = false;

		for (size_t k = 0; k < it->ntried && !had; k++)
			had = netaddr_same_ip(&it->tried[k], &now.list[i].ip);
		if (!had)
			return false;
	}
	return true;
}

static void
add_control(struct run *r, const char *local, const char *domain)
{
	size_t n = r->setup.ncontrols;

	if (n == RELAY_CONTROLS_MAX)
		return;
	snprintf(r->controls[n], sizeof(r->controls[n]), "%s%s%s", local,
	    domain != NULL ? "@" : "", domain != NULL ? domain : "");
	r->setup.controls[n] = r->controls[n];
	r->setup.ncontrols++;
}

void
interlock_names(const struct tunnel_proc *t, struct run *r)
{
	const struct conf_home *conf = tunnel_conf(t);

	for (size_t i = 0; i < t->intake.edges.n; i++) {
		const struct home_edge *e = t->intake.edges.list[i];

		if (r->setup.helo == NULL)
			r->setup.helo = e->name;
		for (size_t k = 0; k < e->peer.ndomains && r->setup.nown < RUN_DOMAINS_MAX; k++)
			r->own[r->setup.nown++] = e->peer.domains[k];
	}
	for (size_t i = 0; i < r->setup.nown; i++) {
		span_copy(span_str(r->own[i]), r->domains[i], sizeof(r->domains[i]));
		r->own[i] = r->domains[i];
	}
	snprintf(r->helo, sizeof(r->helo), "%s", r->setup.helo != NULL ? r->setup.helo :
	    conf->common.hostname);
	r->setup.helo = r->helo;
	r->setup.own = r->own;
	if (conf->interlock_control[0] != '\0')
		add_control(r, conf->interlock_control, NULL);
	if (r->setup.nown == 0)
		return;
	add_control(r, "postmaster", r->own[0]);
	for (size_t i = 0; i < conf->nusers && i < 2; i++)
		add_control(r, conf->users[i], r->own[0]);
}
