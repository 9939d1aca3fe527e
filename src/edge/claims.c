#include "edge/claims.h"

#include "base/log.h"
#include "edge/recipient.h"

struct claimed {
	const char	*first;
	size_t		 n;
};

static void
note(struct claimed *c, const char *name)
{
	if (c->n++ == 0)
		c->first = name;
}

static void
say(const struct home *h, const char *what, const struct claimed *c)
{
	if (c->n > 0)
		log_warn(NULL, "policy.claim home=%s %s=%s more=%zu: not this home's here;"
		    " what it says of it is not believed", h->name, what,
		    log_safe(span_str(c->first)).s, c->n - 1);
}

void
claims_say(const struct edge *e, const struct home *h, const struct policy *p)
{
	struct claimed domains = { 0 }, services = { 0 };

	for (size_t i = 0; i < p->ndomains; i++)
		if (homes_by_domain(&e->homes, p->domains[i].name) != h)
			note(&domains, p->domains[i].name);
	/* A service that this edge does not have may be for another edge. */
	for (size_t i = 0; i < p->nservices; i++) {
		const struct conf_service *s = conf_edge_service(edge_conf(e),
		    p->services[i].name);

		if (s != NULL && !recipient_serves(s, h))
			note(&services, p->services[i].name);
	}
	say(h, "domain", &domains);
	say(h, "service", &services);
}
