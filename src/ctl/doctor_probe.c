#include "ctl/doctor.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "ctl/outside.h"

#define LOOK_MS		15000	/* the Worker gives itself 8 s */

/* One look after another: a Worker has few connections. */
struct ask {
	const struct conf_home *home;
	const struct findings *to;
	struct outside	 outside;
};

/* --- one look ------------------------------------------------------------------------------ */

/* As outside_ask. */
static bool
look(struct ask *a, const char *target)
{
	const char *colon = strrchr(target, ':');
	char url[CONF_URL_MAX + 400];

	/* A name in its one spelling has nothing that a query would need to escape. */
	snprintf(url, sizeof(url), "%s/probe?host=%.*s&port=%s", a->home->probe.url,
	    (int)(colon - target), target, colon + 1);
	return outside_ask(&a->outside, "GET", url, LOOK_MS);
}

/* --- what came of it ----------------------------------------------------------------------- */

/* What the Worker answers where it looks at nothing (worker/probe.js), and what others would. */
static const struct {
	unsigned	 status;
	enum finding_state state;
	bool		 all;		/* it would answer the next look the same */
	const char	*advice;
} refusals[] = {
	{ 401, FINDING_FAIL, true, "the Worker has another token than probe.token: posthouse "
	    "worker-config says how to put it" },
	{ 403, FINDING_FAIL, false, "write its name into PROBE_HOSTS of "
	    "wrangler.toml, and deploy" },
	{ 404, FINDING_FAIL, true, "give the Worker the secret PROBE_TOKEN, and the route that "
	    "probe.url is" },
	{ 429, FINDING_WARN, true, "ask again in a minute" },
};

/* True: there is no use in a further look. */
static bool
refused(const struct ask *a, const char *check)
{
	struct span said = outside_said(&a->outside);
	unsigned status = a->outside.status;
	enum finding_state state = status >= 500 ? FINDING_WARN : FINDING_FAIL;
	const char *advice = "is probe.url the Worker's address, and its route the Worker's alone?";
	bool all = true;

	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		if (refusals[i].status == status) {
			state = refusals[i].state;
			advice = refusals[i].advice;
			all = refusals[i].all;
		}
	finding_tell(a->to, state, all ? "probe" : check, advice, "%.200s answered %u: %.*s",
	    a->home->probe.url, status, (int)said.n, said.p);
	return all;
}

/* The first addresses that DNS has of it, as the Worker's resolver says; "": none. */
struct addresses {
	char	s[200];
	bool	asked;		/* it said something of both, so that none is none */
};

static struct addresses
addresses_of(const json_t *dns)
{
	static const char *const types[] = { "A", "AAAA" };
	struct addresses out = { .asked = true };
	size_t at = 0;

	for (size_t t = 0; t < 2; t++) {
		const json_t *of = json_object_get(dns, types[t]), *one;
		const json_t *status = json_object_get(of, "status");
		size_t i;

		/* RFC 1035 4.1.1: no error, or no such name. */
		out.asked &= json_is_integer(status) && (json_integer_value(status) == 0 ||
		    json_integer_value(status) == 3);
		json_array_foreach(json_object_get(of, "answers"), i, one) {
			const char *s = json_string_value(one);
			struct netaddr a;

			/* What leads to it, a CNAME, stands there, too. */
			if (s == NULL || !netaddr_parse_ip(span_str(s), &a) ||
			    at + strlen(s) + 3 > sizeof(out.s))
				continue;
			at += (size_t)snprintf(out.s + at, sizeof(out.s) - at, "%s%s",
			    at > 0 ? ", " : "", netaddr_ip(&a).s);
		}
	}
	return out;
}

/* Whether a greeting by SMTP is due there, before TLS. */
static bool
greets(const struct conf_home *c, const char *target)
{
	const char *port = strrchr(target, ':') + 1;
	unsigned long long n = 0;

	if (!span_u64(span_str(port), 65535, &n) || n == 465)
		return false;
	for (size_t i = 0; i < c->nworkers; i++)
		if (strcasecmp(c->workers[i].smtp, target) == 0)
			return true;
	return conf_smtp_port((uint16_t)n);
}

static void
seen(const struct ask *a, const char *check, const char *target, const json_t *answer)
{
	const json_t *tcp = json_object_get(answer, "tcp");
	const json_t *connected = json_object_get(tcp, "connected");
	const char *greeting = json_text(tcp, "greeting");
	struct addresses at = addresses_of(json_object_get(answer, "dns"));

	if (!json_is_boolean(connected))
		finding_tell(a->to, FINDING_FAIL, "probe", "is probe.url the Worker's address?",
		    "%.200s answered, but not what a probe does", a->home->probe.url);
	else if (json_is_false(connected) && at.s[0] == '\0' && at.asked)
		finding_tell(a->to, FINDING_FAIL, check, "give that name a record A or AAAA, not "
		    "proxied by Cloudflare", "DNS has no address of it");
	else if (json_is_false(connected))
		finding_tell(a->to, FINDING_FAIL, check, "does the router let that port in, and "
		    "does what listens there run? (No private address is connected to, and none of "
		    "Cloudflare's own)", "nobody outside can connect to it%s%s: %.200s",
		    at.s[0] != '\0' ? " at " : "", at.s, json_text(tcp, "why"));
	else if (greets(a->home, target) && strncmp(greeting, "220", 3) != 0)
		finding_tell(a->to, FINDING_WARN, check, "is it the edge that answers there, and "
		    "is it well?", "it can be connected to from outside, and says \"%.100s\" where "
		    "SMTP begins with 220", greeting);
	else
		finding_tell(a->to, FINDING_OK, check, "", "it can be connected to from outside%s"
		    "%s, in %lld ms%s%.100s", at.s[0] != '\0' ? " at " : "", at.s,
		    (long long)json_number(tcp, "ms"), greeting[0] != '\0' ? ": " : "", greeting);
}

/* True: as of refused. */
static bool
look_at(struct ask *a, const char *target)
{
	char check[sizeof(a->home->probe.targets[0]) + 8];
	struct span said;
	json_t *answer;

	snprintf(check, sizeof(check), "probe %s", target);
	if (!look(a, target)) {
		finding_tell(a->to, FINDING_WARN, "probe", "is probe.url right, and does this "
		    "machine reach the internet?", "%.200s cannot be asked: %.200s",
		    a->home->probe.url, a->outside.why.text);
		return true;
	}
	if (a->outside.status != 200)
		return refused(a, check);
	said = buf_span(&a->outside.answer);
	answer = json_loadb(said.n > 0 ? said.p : "", said.n, 0, NULL);
	seen(a, check, target, answer);
	json_decref(answer);
	return false;
}

/* --- all of it ------------------------------------------------------------------------------ */

static void
ask_all(struct ask *a, const struct role *r)
{
	const struct conf_probe *p = &a->home->probe;
	struct why why;

	if (outside_token(&a->outside, r, "probe.token", p->token, &why) == -1)
		finding_tell_words(a->to, FINDING_FAIL, "probe", why.text, "; ",
		    "posthouse keygen makes it, worker-config says how to give it to the Worker");
	else if (outside_find(&a->outside, r, p->url, &why) == -1)
		finding_tell(a->to, FINDING_WARN, "probe", "is probe.url right, and does this "
		    "machine reach the internet?", "%.200s cannot be asked: %.200s", p->url,
		    why.text);
	else
		for (size_t i = 0; i < p->ntargets && !look_at(a, p->targets[i]); i++)
			;
}

void
doctor_probe(const struct role *r, const struct findings *to)
{
	struct ask a = { .home = r->home, .to = to };
	struct why why;

	if (r->home->probe.url[0] == '\0')
		return;
	if (outside_begin(&a.outside, to, &why) == -1) {
		finding_tell(to, FINDING_WARN, "probe", "", "%s", why.text);
		return;
	}
	ask_all(&a, r);
	outside_end(&a.outside);
}
