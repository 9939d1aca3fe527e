#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "ctl/identity.h"
#include "ctl/opts.h"
#include "ctl/role.h"
#include "ctl/state.h"

/* worker-config: worker/wrangler.toml as this home wants it, and what to do with the secrets. */
static const char template[] =
#include "ctl/wrangler_template.h"
;

static const struct opts_use use = {
	"worker-config", OPT_CONF, 0, 1,
	"usage: posthouse worker-config [-c FILE] [NAME]\n"
	"\n"
	"At home: prints worker/wrangler.toml, filled in for the Worker of this name in\n"
	"home.conf, or for the only one there; and, on standard error, how to give the Worker\n"
	"its secrets.  No secret is printed.\n"
	"\n"
	"  -c, --config FILE   home's configuration; /etc/posthouse/home.conf\n"
};

#define RECIPIENTS_TEXT	(2 * AGE_TEXT_MAX)

/* What is put in; what the template has and this has not stays as it is. */
struct filled {
	const char	*key;
	const char	*value;		/* NULL: as the template has it */
	bool		 off;		/* the line becomes a comment */
};

static int
which(const struct role *r, const struct opts *o, const struct conf_worker **w, struct why *why)
{
	const struct conf_home *c = r->home;

	if (c->nworkers == 0)
		return why_set(why, "%s has no worker; write worker \"worker.example.org\" { "
		    "domains = {\"example.org\"} }", r->file);
	*w = o->nargs == 1 ? conf_home_worker(c, o->args[0]) : c->nworkers == 1 ? c->workers : NULL;
	if (*w == NULL)
		return why_set(why, o->nargs == 1 ? "%s has no worker of that name" :
		    "%s has several workers; say which", r->file);
	return 0;
}

/* To whom it seals: home's newest key, and the recovery key where there is one. */
static int
recipients(const struct role *r, char out[RECIPIENTS_TEXT], struct why *why)
{
	struct age_recipient newest;
	struct identities ids = { .n = 0 };
	struct account account;
	size_t n;
	int rc;

	if (state_enter(&account, r, r->home->age_key, why) == -1)
		return -1;
	rc = identities_load(&ids, r->home->age_key, why);
	account_leave(&account);
	if (rc == -1)
		return -1;
	memcpy(newest.pub, ids.id[0].pub, sizeof(newest.pub));
	identities_fini(&ids);
	age_recipient_print(&newest, out);
	n = strlen(out);
	if (r->home->recovery[0] != '\0')
		snprintf(out + n, RECIPIENTS_TEXT - n, " %s", r->home->recovery);
	return 0;
}

static const struct filled *
filled_by(const struct filled *f, struct span line)
{
	if (line.n > 0 && line.p[0] == '#')
		line = span_from(line, 1);
	for (; f->key != NULL; f++) {
		size_t n = strlen(f->key);

		if ((f->value != NULL || f->off) && line.n >= n &&
		    memcmp(line.p, f->key, n) == 0 && (line.n == n || line.p[n] == ' '))
			return f;
	}
	return NULL;
}

/* TOML's basic string (toml.io, v1.0.0): a prefix or a URL may have any of these in it. */
static void
print_string(const char *s)
{
	putchar('"');
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if ((unsigned char)*s < 0x20 || *s == 0x7f)
			printf("\\u%04X", (unsigned)(unsigned char)*s);
		else
			putchar(*s);
	}
	putchar('"');
}

/* What follows a value in the template is a comment. */
static void
print_filled(const struct filled *f)
{
	for (struct span rest = span_str(template); rest.n > 0;) {
		const char *lf = memchr(rest.p, '\n', rest.n);
		struct span line = span_of(rest.p, (size_t)(lf - rest.p));
		const struct filled *in = filled_by(f, line);
		const char *open = in != NULL && !in->off ? memchr(line.p, '"', line.n) : NULL;
		const char *shut = open != NULL ?
		    memchr(open + 1, '"', line.n - (size_t)(open + 1 - line.p)) : NULL;

		if (shut != NULL) {
			printf("%s = ", in->key);
			print_string(in->value);
			printf("%.*s\n", (int)(line.p + line.n - shut - 1), shut + 1);
		} else {
			printf("%s%.*s\n", in != NULL && in->off ? "#" : "", (int)line.n, line.p);
		}
		rest = span_from(rest, line.n + 1);
	}
}

#define R2_HOST	".r2.cloudflarestorage.com"

/*
 * Whether a Worker's bucket can be this one: its binding leads to the R2 of its own account and
 * nowhere else.  A store on this machine may be R2's simulator.
 */
static bool
is_r2(const struct conf_url *u)
{
	size_t n = strlen(u->host), tail = sizeof(R2_HOST) - 1;

	return (n > tail && strcasecmp(u->host + n - tail, R2_HOST) == 0) ||
	    strcmp(u->host, "localhost") == 0 || strcmp(u->host, "127.0.0.1") == 0;
}

/* NULL: home fetches from none that a Worker can write to. */
static const struct conf_bucket *
bucket_of(const struct conf_home *c)
{
	struct conf_url u;
	struct why why;

	for (size_t i = 0; i < c->nbuckets; i++)
		if (conf_url_parse(span_str(c->buckets[i].endpoint), &u, &why) && is_r2(&u))
			return &c->buckets[i];
	return NULL;
}

/* "eu" of ACCOUNT.eu.r2.cloudflarestorage.com: each has names of its own for buckets.  Or NULL. */
static const char *
jurisdiction_of(const struct conf_bucket *b, struct conf_url *u)
{
	struct why why;
	char *tail, *dot;

	if (b == NULL || !conf_url_parse(span_str(b->endpoint), u, &why) ||
	    (tail = strcasestr(u->host, R2_HOST)) == NULL)
		return NULL;
	*tail = '\0';
	dot = strrchr(u->host, '.');
	return dot != NULL ? dot + 1 : NULL;
}

/* Whom the probe may look at: each name once, whatever ports it has. */
static const char *
probe_hosts(const struct conf_probe *p, char *out, size_t max)
{
	size_t at = 0;

	if (p->url[0] == '\0')
		return NULL;
	out[0] = '\0';
	for (size_t i = 0; i < p->ntargets; i++) {
		int n = (int)strcspn(p->targets[i], ":");
		bool before = false;

		for (size_t k = 0; k < i; k++)
			before |= strncasecmp(p->targets[k], p->targets[i], (size_t)n + 1) == 0;
		if (!before)
			at += (size_t)snprintf(out + at, max - at, "%s%.*s", at > 0 ? " " : "", n,
			    p->targets[i]);
	}
	return out;
}

static void
say_secret(const char *name, const char *path)
{
	fprintf(stderr, "  head -n 1 %s | npx wrangler secret put %s\n", path, name);
	if (access(path, F_OK) != 0)
		fprintf(stderr, "      (it is not there yet: `posthouse keygen` makes it)\n");
}

static void
say_secrets(const struct conf_worker *w, const struct conf_probe *probe, bool push)
{
	fprintf(stderr, "Its secrets, each by standard input, in the folder of wrangler.toml:\n");
	say_secret("MAC_KEY", w->mac_key);
	if (push)
		say_secret("HTTPS_TOKEN", w->token);
	if (w->nedges > 0)
		say_secret("SMTP_PASSWORD", w->password);
	if (probe->url[0] != '\0')
		say_secret("PROBE_TOKEN", probe->token);
	fprintf(stderr, "  openssl rand -hex 32 | npx wrangler secret put ID_KEY\n"
	    "      (once: with another one a message that comes again gets another name)\n");
}

static int
worker_config(const struct role *r, const struct conf_worker *w, struct why *why)
{
	const struct conf_home_service *push = conf_home_push(r->home);
	const struct conf_bucket *b = bucket_of(r->home);
	bool pushes = push != NULL && push->url[0] != '\0';
	const char *colon = strrchr(w->smtp, ':');	/* in all that settle let pass */
	bool by_smtp = w->nedges > 0 && colon != NULL;
	bool usual = b == NULL || strcmp(b->prefix, "pending/") == 0;
	char to[RECIPIENTS_TEXT], ways[32], host[sizeof(w->smtp)] = "";
	char hosts[sizeof(r->home->probe.targets)];
	struct conf_url at;
	const struct filled fill[] = {
		{ "EDGE_NAME", w->name, false },
		{ "RECIPIENTS", to, false },
		{ "WAYS", ways, false },
		{ "HTTPS_URL", pushes ? push->url : NULL, false },
		{ "HTTPS_WAIT", pushes ? "10" : NULL, false },
		{ "SMTP_HOST", by_smtp ? host : NULL, false },
		{ "SMTP_PORT", by_smtp ? colon + 1 : NULL, false },
		{ "SMTP_TLS", by_smtp && strcmp(colon, ":465") == 0 ? "implicit" : NULL, false },
		{ "SMTP_USER", by_smtp ? w->name : NULL, false },
		{ "BUCKET_PREFIX", usual ? NULL : b->prefix, false },
		{ "[[r2_buckets]]", NULL, b == NULL },
		{ "binding", NULL, b == NULL },
		{ "bucket_name", b != NULL ? b->bucket : NULL, b == NULL },
		{ "PROBE_HOSTS", probe_hosts(&r->home->probe, hosts, sizeof(hosts)), false },
		{ "jurisdiction", jurisdiction_of(b, &at), false },
		{ NULL, NULL, false },
	};

	if (!pushes && !by_smtp && b == NULL)
		return why_set(why, "%s has no way for the Worker's mail: write service \"push\" "
		    "{ url = \"https://...\" }, a bucket at R2, or edges of the worker, or "
		    "several of them", r->file);
	if (by_smtp)
		span_copy(span_of(w->smtp, (size_t)(colon - w->smtp)), host, sizeof(host));
	snprintf(ways, sizeof(ways), "%s%s%s%s%s", pushes ? "https" : "",
	    pushes && (by_smtp || b != NULL) ? " " : "", by_smtp ? "smtp" : "",
	    by_smtp && b != NULL ? " " : "", b != NULL ? "r2" : "");
	if (recipients(r, to, why) == -1)
		return -1;
	print_filled(fill);
	if (fflush(stdout) == EOF || ferror(stdout))
		return why_sys(why, "standard output");
	if (push != NULL && !pushes)
		fprintf(stderr, "WAYS has no https: where Workers reach service \"push\" from "
		    "outside is not in %s; write url = \"https://...\" there.\n", r->file);
	if (b == NULL)
		fprintf(stderr, "WAYS has no r2: %s has no bucket at R2, and a Worker can write to "
		    "no other; while home is away senders keep their mail.\n", r->file);
	if (r->home->probe.url[0] != '\0')
		fprintf(stderr, "%s has to lead to this Worker: give it that route, or workers_dev "
		    "= true (worker/README.md, The probe).\n", r->home->probe.url);
	say_secrets(w, &r->home->probe, pushes);
	return 0;
}

int
ctl_worker_config(int argc, char **argv)
{
	const struct conf_worker *w;
	struct opts o;
	struct role role;
	struct why why;
	int rc = opts_parse(argc, argv, &use, &o);

	if (rc != -1)
		return rc;
	if (role_load(&role, &o, CONF_HOME, &why) == 0 && which(&role, &o, &w, &why) == 0 &&
	    worker_config(&role, w, &why) == 0)
		rc = CTL_OK;
	else
		rc = opts_failed(&use, &why);
	role_fini(&role);
	return rc;
}
