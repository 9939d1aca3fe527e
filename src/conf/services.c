#include "conf/conf.h"
#include "conf/table.h"

#include <string.h>

/*
 * The rules of an edge's services.  What could only fail later, with a stranger on
 * the line, is refused here in words.
 */

const struct conf_service *
conf_edge_service(const struct conf_edge *c, const char *name)
{
	for (size_t i = 0; i < c->nservices; i++)
		if (strcmp(c->services[i].name, name) == 0)
			return &c->services[i];
	return NULL;
}

uint64_t
conf_edge_quota(const struct conf_edge *c, const char *home)
{
	for (size_t i = 0; i < c->nhomes; i++)
		if (strcmp(c->homes[i].name, home) == 0)
			return c->homes[i].quota;
	return c->hold.quota;
}

bool
conf_service_smtp(const struct conf_service *s)
{
	for (size_t i = 0; i < s->nlisten; i++)
		if (conf_smtp_port(s->listen[i].port))
			return true;
	return conf_smtp_name(s->name) || s->mode == CONF_AUTO;
}

bool
conf_service_tls_first(const struct conf_service *s)
{
	for (size_t i = 0; i < s->nlisten; i++)
		if (s->listen[i].port != 465 && conf_smtp_port(s->listen[i].port))
			return false;
	return strcmp(s->name, "smtp") != 0 && strcmp(s->name, "submission") != 0 &&
	    s->mode != CONF_AUTO;
}

bool
conf_service_tls_at_once(const struct conf_service *s)
{
	for (size_t i = 0; i < s->nlisten; i++)
		if (s->listen[i].port == 465)
			return true;
	return strcmp(s->name, "submissions") == 0;
}

static bool
has_port(const struct conf_service *s, uint16_t port)
{
	for (size_t i = 0; i < s->nlisten; i++)
		if (s->listen[i].port == port)
			return true;
	return false;
}

static bool
names_home(const struct conf_service *s, const char *home)
{
	for (size_t i = 0; i < s->nhomes; i++)
		if (strcmp(s->homes[i], home) == 0)
			return true;
	return false;
}

bool
conf_edge_serves(const struct conf_edge *c, const char *home, const struct conf_service **mail)
{
	*mail = NULL;
	for (size_t i = 0; i < c->nservices; i++) {
		const struct conf_service *s = &c->services[i];
		bool takes_mail = !s->auth && (s->mode != CONF_PASS || conf_service_smtp(s));

		if (takes_mail && *mail == NULL)
			*mail = s;
		if (names_home(s, home) || (takes_mail && s->nhomes == 0))
			return true;
	}
	return false;
}

static int
name_ok(const struct conf_service *s, size_t i, struct conf_fault *f)
{
	if (!conf_service_name_ok(s->name))
		return conf_fault_set(f, "service", "", i,
		    "a service cannot be called \"%s\"; use a to z, 0 to 9, - and _, and no "
		    "name of ours", s->name);
	if (s->nlisten == 0)
		return conf_fault_set(f, "service", "", i,
		    "service \"%s\" has no listen; write listen = {\"[::]:25\"}", s->name);
	return 0;
}

static int
homes_ok(const struct conf_edge *c, const struct conf_service *s, size_t i, struct conf_fault *f)
{
	size_t homes = s->nhomes > 0 ? s->nhomes : c->nhomes;

	if (homes > 1 && conf_service_smtp(s) && !conf_service_tls_first(s))
		return conf_fault_set(f, "service", "home", i,
		    "%zu homes, and a connection that is passed has one: SMTP names nobody before "
		    "RCPT; name one home, or write mode = \"hold\"", homes);
	if (s->default_home[0] == '\0')
		return 0;
	if (conf_service_smtp(s) && !conf_service_tls_first(s))
		return conf_fault_set(f, "service", "default_home", i,
		    "SMTP clients name no home before RCPT; write home = \"%s\"", s->default_home);
	for (size_t n = 0; n < s->nhomes; n++)
		if (strcmp(s->homes[n], s->default_home) == 0)
			return 0;
	return s->nhomes == 0 ? 0 : conf_fault_set(f, "service", "default_home", i,
	    "\"%s\" is none of the homes of this service", s->default_home);
}

/* What is held is SMTP, in which the server speaks first. */
static int
holding_ok(const struct conf_service *s, size_t i, struct conf_fault *f)
{
	static const uint16_t tls[] = { 443, 465, 993, 995 };

	for (size_t n = 0; n < sizeof(tls) / sizeof(tls[0]) && s->mode != CONF_PASS; n++)
		if (has_port(s, tls[n]) && !(s->auth && tls[n] == 465))
			return conf_fault_set(f, "service", "mode", i,
			    "on port %u clients begin with TLS, which this edge cannot hold in "
			    "their home's place; write mode = \"pass\"", (unsigned)tls[n]);
	return 0;
}

/* Where somebody logs in: for him there is TLS, or there is nothing. */
static int
auth_ok(const struct conf_edge *c, const struct conf_service *s, size_t i, struct conf_fault *f)
{
	if (!s->auth)
		return 0;
	if (s->mode != CONF_HOLD)
		return conf_fault_set(f, "service", "mode", i,
		    "with auth this edge speaks SMTP itself; write mode = \"hold\", or take mode "
		    "away");
	if (c->tls.cert[0] == '\0')
		return conf_fault_set(f, "service", "auth", i,
		    "no password is taken without TLS, and there is no certificate; write "
		    "tls { cert = ... key = ... }");
	if (s->nproxy_from > 0 && conf_service_tls_at_once(s))
		return conf_fault_set(f, "service", "proxy_from", i,
		    "behind a load balancer TLS begins with STARTTLS here; use port 587");
	if (has_port(s, 25))
		return conf_fault_set(f, "service", "listen", i,
		    "on port 25 strangers bring their mail, and nobody logs in; use 587 or 465");
	for (size_t n = 0; n < s->nlisten && has_port(s, 465); n++)
		if (s->listen[n].port != 465)
			return conf_fault_set(f, "service", "listen", i,
			    "on port 465 TLS begins at once, on others with STARTTLS; write a "
			    "service for each");
	return 0;
}

/* Who is believed whatever client he names: a few machines, not half the internet. */
static int
balancers_ok(const struct conf_service *s, size_t i, struct conf_fault *f)
{
	for (size_t n = 0; n < s->nproxy_from; n++) {
		const struct conf_net *net = &s->proxy_from[n];
		bool local = net->net.v6 && (net->net.ip[0] & 0xfe) == 0xfc;	/* RFC 4193 */
		unsigned least = !net->net.v6 ? 8 : local ? 7 : 32;

		if (net->bits < least)
			return conf_fault_set(f, "service", "proxy_from", i,
			    "%s/%u is wider than /%u, and whoever is in it may say that he is "
			    "anybody; write the addresses of your load balancers",
			    netaddr_ip(&net->net).s, net->bits, least);
	}
	return 0;
}

static int
passing_ok(const struct conf_edge *c, const struct conf_service *s, size_t i, struct conf_fault *f)
{
	if (s->mode == CONF_HOLD)
		return 0;
	/* A private address is what a backend's mynetworks trusts: it would relay for it. */
	if (s->allow_private && conf_service_smtp(s))
		return conf_fault_set(f, "service", "allow_private", i,
		    "never for SMTP: servers relay for private addresses; take it away");
	return homes_ok(c, s, i, f);
}

static bool
same_place(const struct netaddr *a, const struct netaddr *b)
{
	return a->port == b->port && netaddr_same_ip(a, b);
}

static int
listeners_ok(const struct conf_edge *c, const struct conf_service *s, size_t i,
    struct conf_fault *f)
{
	for (size_t n = 0; n < s->nlisten; n++) {
		const struct netaddr *a = &s->listen[n];

		for (size_t j = 0; j < i; j++)
			for (size_t m = 0; m < c->services[j].nlisten; m++)
				if (same_place(a, &c->services[j].listen[m]))
					return conf_fault_set(f, "service", "listen", i,
					    "%s is taken by service \"%s\" already",
					    netaddr_hostport(a).s, c->services[j].name);
		for (size_t m = 0; m < c->ntunnel_listen; m++)
			if (same_place(a, &c->tunnel_listen[m]))
				return conf_fault_set(f, "service", "listen", i,
				    "%s is where the tunnel listens", netaddr_hostport(a).s);
	}
	return 0;
}

int
conf_services_settle(struct conf_edge *c, struct conf_fault *f)
{
	if (c->nservices == 0)
		return conf_fault_set(f, "service", "", 0, "no service; write "
		    "service \"smtp\" { listen = {\"[::]:25\"} }");
	if (c->ntunnel_listen == 0)
		return conf_fault_set(f, "tunnel", "listen", 0,
		    "empty; without it no home can come for its mail: write "
		    "listen = {\"[::]:7443\"}");
	for (size_t i = 0; i < c->nservices; i++) {
		struct conf_service *s = &c->services[i];

		if (s->mode == CONF_BY_NAME)
			s->mode = s->auth ? CONF_HOLD :
			    strcmp(s->name, "smtp") == 0 ? CONF_AUTO : CONF_PASS;
		if (name_ok(s, i, f) == -1 || listeners_ok(c, s, i, f) == -1 ||
		    holding_ok(s, i, f) == -1 || auth_ok(c, s, i, f) == -1 ||
		    balancers_ok(s, i, f) == -1 || passing_ok(c, s, i, f) == -1)
			return -1;
	}
	return 0;
}
