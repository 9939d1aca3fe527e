#include "conf/conf.h"
#include "conf/table.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The rules of a home's Workers, of the service that they push to, and of their probe. */
#define PUSH_DEFAULT	"127.0.0.1:7480"

const struct conf_worker *
conf_home_worker(const struct conf_home *c, const char *name)
{
	for (size_t i = 0; i < c->nworkers; i++)
		if (strcasecmp(c->workers[i].name, name) == 0)
			return &c->workers[i];
	return NULL;
}

int
conf_home_worker_line(struct span text, size_t worker)
{
	return conf_table_line(&conf_home_table, text,
	    &(struct conf_fault){ .section = "worker", .key = "", .item = worker });
}

const struct conf_home_service *
conf_home_push(const struct conf_home *c)
{
	for (size_t i = 0; i < c->nservices; i++)
		if (c->services[i].nlisten > 0)
			return &c->services[i];
	return NULL;
}

/* A file of one Worker's in the state directory, where none was named. */
static int
file_of(char path[CONF_PATH_MAX], const struct conf_home *c, const struct conf_worker *w,
    const char *what, struct conf_fault *f)
{
	char file[sizeof(w->name) + 16];

	if (path[0] != '\0')
		return 0;
	snprintf(file, sizeof(file), "worker-%s.%s", w->name, what);
	return conf_default_path(path, CONF_PATH_MAX, c->common.state, file, f);
}

/* Where Cloudflare can connect to, and by the name that it verifies. */
static int
smtp_ok(struct conf_worker *w, size_t i, struct conf_fault *f)
{
	const char *colon = strrchr(w->smtp, ':');
	struct netaddr a;

	if (colon == NULL) {
		if (w->nedges > 0)
			snprintf(w->smtp, sizeof(w->smtp), "%s:587", w->edges[0]);
		return 0;
	}
	if (w->nedges == 0)
		return conf_fault_set(f, "worker", "smtp", i, "no edge takes mail from it; write "
		    "edges = {\"mail.example.org\"}, its hostname");
	if (strcmp(colon, ":25") == 0)
		return conf_fault_set(f, "worker", "smtp", i, "Cloudflare opens no connection to "
		    "port 25; let the edge listen on 587, or on any other");
	if (netaddr_parse(span_str(w->smtp), &a))
		return conf_fault_set(f, "worker", "smtp", i, "a Worker connects by the name in "
		    "the certificate, as \"mail.example.org:587\"");
	return 0;
}

static int
worker_ok(const struct conf_home *c, struct conf_worker *w, size_t i, struct conf_fault *f)
{
	/* One name, one key and one grant: whose would an object be that both may sign? */
	for (size_t k = 0; k < c->nedges; k++)
		if (strcasecmp(c->edges[k].name, w->name) == 0)
			return conf_fault_set(f, "worker", "", i, "an edge is called "
			    "\"%s\" too; give the Worker a name of its own", w->name);
	if (w->ndomains == 0)
		return conf_fault_set(f, "worker", "domains", i, "missing; write whose "
		    "mail this Worker may bring, like domains = {\"example.org\"}");
	if (smtp_ok(w, i, f) == -1)
		return -1;
	return file_of(w->mac_key, c, w, "mac", f) == -1 ||
	    file_of(w->token, c, w, "token", f) == -1 ||
	    file_of(w->password, c, w, "smtp", f) == -1 ? -1 : 0;
}

/* A name that is in PROBE_HOSTS, and a port that Cloudflare connects to. */
static int
target_ok(const char *target, struct conf_fault *f)
{
	const char *colon = strrchr(target, ':');
	struct netaddr a;

	if (netaddr_parse(span_str(target), &a))
		return conf_fault_set(f, "probe", "targets", 0, "%s is an address; write the name "
		    "that others know it by, like \"mail.example.org:587\"", target);
	if (strcmp(colon, ":25") == 0)
		return conf_fault_set(f, "probe", "targets", 0, "Cloudflare opens no connection to "
		    "port 25; write another port of %.*s", (int)(colon - target), target);
	return 0;
}

static bool
has_target(const struct conf_probe *p, const char *target)
{
	for (size_t i = 0; i < p->ntargets; i++)
		if (strcasecmp(p->targets[i], target) == 0)
			return true;
	return false;
}

static int
probe_ok(struct conf_home *c, struct conf_fault *f)
{
	struct conf_probe *p = &c->probe;
	bool said = p->ntargets > 0;
	struct conf_url url;
	struct why why;
	char at[300], *path;

	if (p->url[0] == '\0')
		return !said && p->token[0] == '\0' ? 0 : conf_fault_set(f, "probe",
		    said ? "targets" : "token", 0, "there is nobody to ask; write the Worker's "
		    "address, like url = \"https://probe.example.org\"");
	if (!conf_url_parse(span_str(p->url), &url, &why))
		return conf_fault_set(f, "probe", "url", 0, "%s", why.text);
	snprintf(at, sizeof(at), "%s:%u", url.host, (unsigned)url.port);
	if (!url.tls && !conf_local_host(at))
		return conf_fault_set(f, "probe", "url", 0, "a token goes to another machine only "
		    "by https");
	path = strpbrk(strchr(p->url, '/') + 2, "/?#");
	if (path != NULL && strcmp(path, "/") == 0)
		*path = '\0';
	else if (path != NULL)
		return conf_fault_set(f, "probe", "url", 0, "write it without what follows the "
		    "name: the path is the Worker's own");
	for (size_t i = 0; !said && i < c->nworkers && p->ntargets < CONF_PROBE_TARGETS; i++)
		if (c->workers[i].nedges > 0 && !has_target(p, c->workers[i].smtp))
			memcpy(p->targets[p->ntargets++], c->workers[i].smtp,
			    sizeof(p->targets[0]));
	if (p->ntargets == 0)
		return conf_fault_set(f, "probe", "url", 0, "there is nothing to look at, as no "
		    "worker comes by SMTP; write targets = {\"mail.example.org:587\"}");
	for (size_t i = 0; i < p->ntargets; i++)
		if (target_ok(p->targets[i], f) == -1)
			return -1;
	return p->token[0] != '\0' ? 0 : conf_default_path(p->token, sizeof(p->token),
	    c->common.state, "probe.token", f);
}

/* What it hears are tokens and sealed mail, by plain HTTP: TLS is the tunnel's in front of it. */
static int
push_ok(const struct conf_home *c, const struct conf_home_service *s, size_t i,
    struct conf_fault *f)
{
	struct conf_url url;
	struct why why;

	for (size_t k = 0; k < s->nlisten; k++)
		if (netaddr_is_global(&s->listen[k]))
			return conf_fault_set(f, "service", "listen", i, "%s is an address of "
			    "the internet, and tokens would go over it in the clear; listen on "
			    "\"" PUSH_DEFAULT "\" and put an HTTPS tunnel or proxy in front",
			    netaddr_hostport(&s->listen[k]).s);
	if (s->url[0] != '\0' && (!conf_url_parse(span_str(s->url), &url, &why) || !url.tls))
		return conf_fault_set(f, "service", "url", i, "write the address at which the "
		    "tunnel or proxy in front of it is reached, like \"https://push.example.org\"");
	if (c->nworkers == 0)
		return conf_fault_set(f, "service", "", i, "nobody may push; write "
		    "worker \"NAME\" { domains = {...} } for each Worker that may");
	return 0;
}

int
conf_workers_settle(struct conf_home *c, struct conf_fault *f)
{
	for (size_t i = 0; i < c->nworkers; i++)
		if (worker_ok(c, &c->workers[i], i, f) == -1)
			return -1;
	if (probe_ok(c, f) == -1)
		return -1;
	for (size_t i = 0; i < c->nservices; i++) {
		struct conf_home_service *s = &c->services[i];
		bool push = strcmp(s->name, "push") == 0;

		if (s->nlisten > 0 && (!push || s->backend.port != 0))
			return conf_fault_set(f, "service", "listen", i, push ?
			    "it is either passed to a backend or listened for; write one of them" :
			    conf_smtp_name(s->name) ?
			    "home listens for HTTP alone, in service \"push\"; a Worker's SMTP is "
			    "for an edge, which may run beside home (edge-at-home.conf)" :
			    "home listens for Workers alone, in service \"push\"; what edges pass "
			    "has a backend");
		if (!push || s->backend.port != 0)
			continue;
		if (s->nlisten == 0 && netaddr_parse(SPAN_LIT(PUSH_DEFAULT), &s->listen[0]))
			s->nlisten = 1;
		if (push_ok(c, s, i, f) == -1)
			return -1;
	}
	return 0;
}
