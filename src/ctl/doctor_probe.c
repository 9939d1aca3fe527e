#include "ctl/doctor.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/codec.h"
#include "ctl/names.h"
#include "ctl/state.h"
#include "net/http.h"
#include "proto/key_lines.h"

#define LOOK_MS		15000	/* the Worker gives itself 8 s */
#define ANSWER_MAX	(64u << 10)
#define TOKEN_MAX	4096
#define WAIT_MS		500

/* One look after another, on a loop of its own: a Worker has few connections. */
struct ask {
	const struct conf_home *home;
	const struct findings *to;
	uv_loop_t	 loop;
	uv_timer_t	 timer;		/* whoever waits is told that it goes on */
	struct names	 names;
	struct http	*http;
	struct netaddr	 addrs[RESOLVE_ADDRS_MAX];	/* of probe.url's host */
	size_t		 naddrs;
	char		 bearer[sizeof("Bearer ") + 2 * SECRET_LEN];
	/* of the look under way */
	struct buf	 answer;
	enum http_end	 end;
	unsigned	 status;
	struct why	 why;
	bool		 over;
};

/* --- what is needed to ask ----------------------------------------------------------------- */

static int
token_good(const char *path, char bearer[sizeof("Bearer ") + 2 * SECRET_LEN], struct why *why)
{
	struct secret keys[KEY_LINES_MAX];
	struct buf text;
	struct stat st;
	size_t n;

	if (stat(path, &st) == -1)
		return why_sys(why, "probe.token %s", path);
	if (!S_ISREG(st.st_mode))
		return why_set(why, "probe.token %s: not a plain file", path);
	if ((st.st_mode & 0077) != 0)
		return why_set(why, "probe.token %s: others may read or write it (mode %04o); "
		    "chmod 600 it", path, (unsigned)st.st_mode & 07777);
	if (read_file(path, TOKEN_MAX, &text, why) == -1)
		return -1;
	n = key_lines_read(buf_span(&text), keys);
	buf_wipe(&text);
	if (n == 0)
		return why_set(why, "probe.token %s: it has to hold 64 hexadecimal digits; "
		    "posthouse keygen makes one where none is", path);
	memcpy(bearer, "Bearer ", 7);
	hex_encode(keys[0].b, SECRET_LEN, bearer + 7);
	for (size_t i = 0; i < KEY_LINES_MAX; i++)
		secret_fini(&keys[i]);
	return 0;
}

static int
token_read(struct ask *a, const struct role *r, struct why *why)
{
	struct account account;
	int rc;

	if (state_enter(&account, r, a->home->probe.token, why) == -1)
		return -1;
	rc = token_good(a->home->probe.token, a->bearer, why);
	account_leave(&account);
	return rc;
}

static void
until_over(struct ask *a)
{
	while (!a->over)
		uv_run(&a->loop, UV_RUN_DEFAULT);
}

static void
over(struct ask *a)
{
	a->over = true;
	uv_stop(&a->loop);		/* it may not have slept yet in this round, and must not */
}

static void
on_addrs(void *arg, const struct netaddr *addrs, size_t n, const struct why *why)
{
	struct ask *a = arg;

	a->naddrs = n;
	if (n > 0)
		memcpy(a->addrs, addrs, n * sizeof(*addrs));
	else
		why_set(&a->why, "its address is not to be found: %.200s",
		    why != NULL ? why->text : "no answer");
	over(a);
}

static int
find_worker(struct ask *a, struct why *why)
{
	struct conf_url u;

	if (!conf_url_parse(span_str(a->home->probe.url), &u, why))
		return -1;
	a->over = false;
	resolve_host(a->names.resolver, u.host, u.port, on_addrs, a);
	until_over(a);
	if (a->naddrs == 0)
		*why = a->why;
	return a->naddrs > 0 ? 0 : -1;
}

/* --- one look ------------------------------------------------------------------------------ */

static bool
on_body(void *arg, struct span s)
{
	struct ask *a = arg;

	return buf_add_span(&a->answer, s);
}

static void
on_done(void *arg, enum http_end end, unsigned status, const struct why *why)
{
	struct ask *a = arg;

	a->end = end;
	a->status = status;
	if (end != HTTP_ANSWERED)
		a->why = *why;
	over(a);
}

/* False with a->why: no whole answer. */
static bool
look(struct ask *a, const char *target)
{
	static const struct http_ops ops = { .body = on_body, .done = on_done };
	const char *colon = strrchr(target, ':');
	char url[CONF_URL_MAX + 400];
	struct http_request r = { .method = "GET", .url = url, .to = a->addrs[0],
		.others = a->addrs + 1, .nothers = a->naddrs - 1, .wait_ms = LOOK_MS,
		.answer_max = ANSWER_MAX };
	struct http_call *call;

	/* A name in its one spelling has nothing that a query would need to escape. */
	snprintf(url, sizeof(url), "%s/probe?host=%.*s&port=%s", a->home->probe.url,
	    (int)(colon - target), target, colon + 1);
	buf_clear(&a->answer);
	a->over = false;
	if ((call = http_call_new(a->http, &r, &ops, a, &a->why)) == NULL)
		return false;
	if (!http_call_field(call, "Authorization", span_str(a->bearer)) ||
	    !http_call_go(call, &a->why)) {
		http_call_cancel(&call);
		return false;
	}
	until_over(a);
	return a->end == HTTP_ANSWERED;
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
	struct span said = buf_span(&a->answer);
	enum finding_state state = a->status >= 500 ? FINDING_WARN : FINDING_FAIL;
	const char *advice = "is probe.url the Worker's address, and its route the Worker's alone?";
	const char *end = said.n > 0 ? memchr(said.p, '\n', said.n) : NULL;
	size_t n = end != NULL ? (size_t)(end - said.p) : said.n;
	bool all = true;

	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		if (refusals[i].status == a->status) {
			state = refusals[i].state;
			advice = refusals[i].advice;
			all = refusals[i].all;
		}
	finding_tell(a->to, state, all ? "probe" : check, advice, "%.200s answered %u: %.*s",
	    a->home->probe.url, a->status, (int)(n < 100 ? n : 100), n > 0 ? said.p : "");
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
		    a->home->probe.url, a->why.text);
		return true;
	}
	if (a->status != 200)
		return refused(a, check);
	said = buf_span(&a->answer);
	answer = json_loadb(said.n > 0 ? said.p : "", said.n, 0, NULL);
	seen(a, check, target, answer);
	json_decref(answer);
	return false;
}

/* --- all of it ------------------------------------------------------------------------------ */

static void
on_wait(uv_timer_t *t)
{
	const struct ask *a = t->data;

	a->to->wait(a->to->arg);
}

static void
ask_all(struct ask *a, const struct role *r)
{
	const struct conf_probe *p = &a->home->probe;
	struct why why;

	uv_timer_init(&a->loop, &a->timer);
	a->timer.data = a;
	uv_timer_start(&a->timer, on_wait, WAIT_MS, WAIT_MS);
	uv_unref((uv_handle_t *)&a->timer);	/* what is asked keeps the loop going */
	if (token_read(a, r, &why) == -1)
		finding_tell_words(a->to, FINDING_FAIL, "probe", why.text, "; ",
		    "posthouse keygen makes it, worker-config says how to give it to the Worker");
	else if (names_begin(&a->names, &a->loop, r->common, &why) == -1 ||
	    (a->http = http_new(&a->loop, &why)) == NULL || find_worker(a, &why) == -1)
		finding_tell(a->to, FINDING_WARN, "probe", "is probe.url right, and does this "
		    "machine reach the internet?", "%.200s cannot be asked: %.200s", p->url,
		    why.text);
	else
		for (size_t i = 0; i < p->ntargets && !look_at(a, p->targets[i]); i++)
			;
	http_free(&a->http);
	names_end(&a->names);
	uv_close((uv_handle_t *)&a->timer, NULL);
	while (uv_run(&a->loop, UV_RUN_DEFAULT) != 0)
		;
}

void
doctor_probe(const struct role *r, const struct findings *to)
{
	struct ask a = { .home = r->home, .to = to };

	if (r->home->probe.url[0] == '\0')
		return;
	if (uv_loop_init(&a.loop) != 0) {
		finding_tell(to, FINDING_WARN, "probe", "", "memory is out");
		return;
	}
	buf_init(&a.answer, ANSWER_MAX);
	ask_all(&a, r);
	uv_loop_close(&a.loop);
	buf_fini(&a.answer);
	explicit_bzero(a.bearer, sizeof(a.bearer));
}
