#include "home/post_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "home/opener_in.h"

/* Whether that is the mailbox's name but for case, and for dots where they do not count. */
static bool
is_called(struct span local, struct span name, bool dots)
{
	size_t i = 0, k = 0;

	for (;; i++, k++) {
		while (!dots && i < local.n && local.p[i] == '.')
			i++;
		while (!dots && k < name.n && name.p[k] == '.')
			k++;
		if (i == local.n || k == name.n)
			return i == local.n && k == name.n;
		if (!span_eq_nocase(span_of(local.p + i, 1), span_of(name.p + k, 1)))
			return false;
	}
}

/*
 * The local part for a mailbox that is called so, with or without a tag: as it came, but for dots
 * that the server need not know how to leave out.  False: it is called otherwise.
 */
static bool
by_name(const struct conf_home *conf, struct address *to, struct span name)
{
	const struct router rules = { .domains = conf->domains, .ndomains = conf->ndomains };
	const struct conf_home_domain *d = router_rules(&rules, to->domain);
	struct span local = span_str(to->local);
	char text[sizeof(to->local)];
	int n;

	while (!is_called(local, name, d->dots))
		if (!router_cut_tag(d, &local))
			return false;
	if (span_eq_nocase(local, name))
		return true;
	n = snprintf(text, sizeof(text), "%.*s%s", (int)name.n, name.p, to->local + local.n);
	return n < (int)sizeof(text) && span_copy(span_str(text), to->local, sizeof(to->local));
}

/* As the router has it: granted to an edge, or with a section of its own. */
static bool
ours(const struct courier *c, const char *domain)
{
	const struct router rules = { .domains = c->conf->domains,
		.ndomains = c->conf->ndomains };

	if (router_rules(&rules, domain) != &router_no_rules)
		return true;
	for (size_t i = 0; i < c->edges.n; i++)
		for (size_t k = 0; k < c->edges.list[i]->peer.ndomains; k++)
			if (strcasecmp(c->edges.list[i]->peer.domains[k], domain) == 0)
				return true;
	return false;
}

/*
 * Whom the server is asked for.  Where the router took the local part for a mailbox's
 * name it is the recipient himself, tag and all, as the server has rules for those;
 * where an alias, a catch-all or a role took it, it is that mailbox: an address as it is
 * called, or else in the recipient's domain if that is ours.
 */
static bool
ask_for(const struct shipment *s, const struct ledger_entry *e, struct address *to)
{
	const struct home_edge *edge = edges_find(&s->post->c->edges, s->p.object.meta.signer);
	char path[ADDRESS_PRINT_MAX + 2];
	struct address box;
	struct span name;

	snprintf(path, sizeof(path), "<%s>", e->recipient);
	if (address_parse_path(span_str(path), ADDRESS_FORWARD, true, to) == 0)
		return false;
	/* The operator gave a stranger's mail to a mailbox: no server is asked for a stranger. */
	if (!to->postmaster && edge != NULL && edge->peer.ndomains > 0 &&
	    !ours(s->post->c, to->domain)) {
		span_copy(span_str(edge->peer.domains[0]), to->domain, sizeof(to->domain));
		to->local[0] = '\0';
	}
	snprintf(path, sizeof(path), "<%s>", e->mailbox);
	if (address_parse_path(span_str(path), ADDRESS_FORWARD, true, &box) == 0 || box.postmaster)
		box = (struct address){ .domain = "" };
	name = span_str(box.domain[0] != '\0' ? box.local : e->mailbox);
	if ((box.domain[0] == '\0' || strcmp(box.domain, to->domain) == 0) &&
	    by_name(s->post->c->conf, to, name))
		return true;
	if (box.domain[0] != '\0') {
		*to = box;
		return true;
	}
	if (to->postmaster && (edge == NULL || edge->peer.ndomains == 0))
		return true;		/* RFC 5321 4.5.1: any server takes mail for him */
	if (to->postmaster)
		span_copy(span_str(edge->peer.domains[0]), to->domain, sizeof(to->domain));
	to->postmaster = to->utf8 = false;
	for (const char *p = e->mailbox; *p != '\0'; p++)
		to->utf8 = to->utf8 || (unsigned char)*p > 0x7f;
	return span_copy(span_str(e->mailbox), to->local, sizeof(to->local));
}

static const char *
params_of(const struct envelope *env, const struct ledger_entry *e)
{
	char text[ADDRESS_PRINT_MAX];

	for (size_t i = 0; i < env->nrcpts; i++) {
		address_print(&env->rcpts[i].addr, text, sizeof(text));
		if (strcmp(text, e->recipient) == 0)
			return env->rcpts[i].params;
	}
	return "";
}

/* Whom it speaks for, as the server may be told: not known, if he is no stranger's address. */
static void
known_client(struct shipment *s)
{
	struct envelope *env = s->p.env;

	/*
	 * A mail server trusts private addresses and its own; an edge that says that a
	 * client had such a one must not get that trust for him.
	 */
	if (netaddr_is_global(&env->client))
		return;
	env->client = (struct netaddr){ .port = 0 };
	env->client_name[0] = '\0';
}

struct shipment *
shipment_new(struct post *post, struct parcel *p)
{
	struct shipment *s = calloc(1, sizeof(*s));
	size_t room = p->n > 0 ? p->n : 1;

	if (s == NULL)
		return NULL;
	s->rcpts = calloc(room, sizeof(*s->rcpts));
	s->addrs = calloc(room, sizeof(*s->addrs));
	s->entry = calloc(room, sizeof(*s->entry));
	if (s->rcpts == NULL || s->addrs == NULL || s->entry == NULL) {
		shipment_free(&s);
		return NULL;
	}
	s->post = post;
	s->p = *p;
	*p = (struct parcel){ .entries = NULL };
	s->mail = (struct smtp_cli_mail){ .env = s->p.env, .rcpts = s->rcpts,
		.eight_bit = s->p.eight_bit };
	for (size_t i = 0; s->p.env != NULL && i < s->p.n; i++) {
		const struct ledger_entry *e = &s->p.entries[i];
		size_t k = s->mail.nrcpts;

		if (!entry_open(e) || e->mailbox[0] == '\0' || !ask_for(s, e, &s->addrs[k]))
			continue;
		s->rcpts[k].addr = &s->addrs[k];
		s->rcpts[k].params = params_of(s->p.env, e);
		s->entry[k] = i;
		s->mail.nrcpts++;
	}
	if (s->p.env != NULL)
		known_client(s);
	return s;
}

void
shipment_free(struct shipment **sp)
{
	struct shipment *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	parcel_fini(&s->p);
	free(s->rcpts);
	free(s->addrs);
	free(s->entry);
	free(s);
}

void
shipment_sending(struct shipment *s)
{
	for (size_t k = 0; k < s->mail.nrcpts; k++)
		s->p.entries[s->entry[k]].state = LEDGER_SENDING;
}

bool
shipments_meet(const struct shipment *a, const struct shipment *b)
{
	for (size_t i = 0; i < a->mail.nrcpts; i++)
		for (size_t k = 0; k < b->mail.nrcpts; k++)
			if (strcmp(a->p.entries[a->entry[i]].mailbox,
			    b->p.entries[b->entry[k]].mailbox) == 0)
				return true;
	return false;
}

void
shipment_defer(struct shipment *s, int64_t ms, const char *words)
{
	struct smtp_reply reply = smtp_reply(451, 4, 4, 1, "%s", words);

	for (size_t k = 0; k < s->mail.nrcpts; k++) {
		struct ledger_entry *e = &s->p.entries[s->entry[k]];

		e->state = LEDGER_DEFERRED;
		e->next_ms = wall_ms() + ms;
		e->reply = reply;
	}
	s->settled = true;
}

void
shipment_results(struct shipment *s)
{
	struct opener *o = &s->post->c->opener;

	o->now_ms = wall_ms();
	for (size_t k = 0; k < s->mail.nrcpts; k++) {
		const struct smtp_cli_rcpt *r = &s->rcpts[k];
		struct ledger_entry *e = &s->p.entries[s->entry[k]];

		switch (r->result) {
		case SMTP_CLI_DELIVERED:
			e->state = LEDGER_DELIVERED;
			e->reply = r->reply;	/* its name in the server's queue and log */
			break;
		case SMTP_CLI_LATER:
			parcel_defer(o, &s->p, s->entry[k], OPENER_RETRY_MS, &r->reply);
			break;
		case SMTP_CLI_UNCERTAIN:
			parcel_defer(o, &s->p, s->entry[k], OPENER_RETRY_MS, &r->reply);
			e->state = LEDGER_UNCERTAIN;
			break;
		case SMTP_CLI_REFUSED:
			/* While the sender waits he can hear it himself (store/spool.h). */
			e->state = s->p.object.meta.verdict ? LEDGER_REFUSED : LEDGER_PARKED;
			e->park = s->p.object.meta.verdict ? PARK_NONE : park_class_of(&r->reply);
			e->reply = r->reply;
			break;
		case SMTP_CLI_UNSENDABLE:
			e->state = LEDGER_PARKED;
			e->park = PARK_REFUSED;
			e->reply = r->reply;
			break;
		}
	}
	s->settled = true;
}
