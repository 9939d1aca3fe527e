#include "ctl/outside.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/codec.h"
#include "ctl/state.h"
#include "proto/key_lines.h"

#define ANSWER_MAX	(64u << 10)
#define TOKEN_MAX	4096
#define WAIT_MS		500
#define SAID_MAX	100

/* --- the token ----------------------------------------------------------------------------- */

static int
token_good(const char *name, const char *path, char bearer[OUTSIDE_BEARER], struct why *why)
{
	struct secret keys[KEY_LINES_MAX];
	struct buf text;
	struct stat st;
	size_t n;

	if (stat(path, &st) == -1)
		return why_sys(why, "%s %s", name, path);
	if (!S_ISREG(st.st_mode))
		return why_set(why, "%s %s: not a plain file", name, path);
	if ((st.st_mode & 0077) != 0)
		return why_set(why, "%s %s: others may read or write it (mode %04o); "
		    "chmod 600 it", name, path, (unsigned)st.st_mode & 07777);
	if (read_file(path, TOKEN_MAX, &text, why) == -1)
		return -1;
	n = key_lines_read(buf_span(&text), keys);
	buf_wipe(&text);
	if (n == 0)
		return why_set(why, "%s %s: it has to hold 64 hexadecimal digits; "
		    "posthouse keygen makes one where none is", name, path);
	memcpy(bearer, "Bearer ", 7);
	hex_encode(keys[0].b, SECRET_LEN, bearer + 7);
	for (size_t i = 0; i < KEY_LINES_MAX; i++)
		secret_fini(&keys[i]);
	return 0;
}

int
outside_token(struct outside *o, const struct role *r, const char *name, const char *path,
    struct why *why)
{
	struct account account;
	int rc;

	if (state_enter(&account, r, path, why) == -1)
		return -1;
	rc = token_good(name, path, o->bearer, why);
	account_leave(&account);
	return rc;
}

/* --- waiting ------------------------------------------------------------------------------- */

static void
until_over(struct outside *o)
{
	while (!o->over)
		uv_run(&o->loop, UV_RUN_DEFAULT);
}

static void
over(struct outside *o)
{
	o->over = true;
	uv_stop(&o->loop);		/* it may not have slept yet in this round, and must not */
}

static void
on_wait(uv_timer_t *t)
{
	const struct outside *o = t->data;

	o->to->wait(o->to->arg);
}

/* --- where it is --------------------------------------------------------------------------- */

static void
on_addrs(void *arg, const struct netaddr *addrs, size_t n, const struct why *why)
{
	struct outside *o = arg;

	o->naddrs = n;
	if (n > 0)
		memcpy(o->addrs, addrs, n * sizeof(*addrs));
	else
		why_set(&o->why, "its address is not to be found: %.200s",
		    why != NULL ? why->text : "no answer");
	over(o);
}

int
outside_find(struct outside *o, const struct role *r, const char *url, struct why *why)
{
	struct conf_url u;

	if (names_begin(&o->names, &o->loop, r->common, why) == -1 ||
	    (o->http = http_new(&o->loop, why)) == NULL || !conf_url_parse(span_str(url), &u, why))
		return -1;
	o->over = false;
	resolve_host(o->names.resolver, u.host, u.port, on_addrs, o);
	until_over(o);
	if (o->naddrs == 0)
		*why = o->why;
	return o->naddrs > 0 ? 0 : -1;
}

/* --- one request --------------------------------------------------------------------------- */

static void
on_head(void *arg, struct span name, struct span value)
{
	struct outside *o = arg;

	if (o->field != NULL && span_eq_nocase(name, span_str(o->field)) &&
	    !span_copy(value, o->value, sizeof(o->value)))
		o->value[0] = '\0';
}

static bool
on_body(void *arg, struct span s)
{
	struct outside *o = arg;

	return buf_add_span(&o->answer, s);
}

static void
on_done(void *arg, enum http_end end, unsigned status, const struct why *why)
{
	struct outside *o = arg;

	o->end = end;
	o->status = status;
	if (end != HTTP_ANSWERED)
		o->why = *why;
	over(o);
}

bool
outside_ask(struct outside *o, const char *method, const char *url, int64_t wait_ms)
{
	static const struct http_ops ops = { .head = on_head, .body = on_body, .done = on_done };
	struct http_request r = { .method = method, .url = url, .to = o->addrs[0],
		.others = o->addrs + 1, .nothers = o->naddrs - 1, .wait_ms = wait_ms,
		.answer_max = ANSWER_MAX };
	struct http_call *call;

	buf_clear(&o->answer);
	o->value[0] = '\0';
	o->over = false;
	if ((call = http_call_new(o->http, &r, &ops, o, &o->why)) == NULL)
		return false;
	if (!http_call_field(call, "Authorization", span_str(o->bearer)) ||
	    !http_call_go(call, &o->why)) {
		http_call_cancel(&call);
		return false;
	}
	until_over(o);
	return o->end == HTTP_ANSWERED;
}

struct span
outside_said(const struct outside *o)
{
	struct span said = buf_span(&o->answer);
	const char *end = said.n > 0 ? memchr(said.p, '\n', said.n) : NULL;
	size_t n = end != NULL ? (size_t)(end - said.p) : said.n;

	return span_of(n > 0 ? said.p : "", n < SAID_MAX ? n : SAID_MAX);
}

/* --- the whole ------------------------------------------------------------------------------ */

int
outside_begin(struct outside *o, const struct findings *to, struct why *why)
{
	*o = (struct outside){ .to = to };
	if (uv_loop_init(&o->loop) != 0)
		return why_set(why, "memory is out");
	buf_init(&o->answer, ANSWER_MAX);
	uv_timer_init(&o->loop, &o->timer);
	o->timer.data = o;
	uv_timer_start(&o->timer, on_wait, WAIT_MS, WAIT_MS);
	uv_unref((uv_handle_t *)&o->timer);	/* what is asked keeps the loop going */
	return 0;
}

void
outside_end(struct outside *o)
{
	http_free(&o->http);
	names_end(&o->names);
	uv_close((uv_handle_t *)&o->timer, NULL);
	while (uv_run(&o->loop, UV_RUN_DEFAULT) != 0)
		;
	uv_loop_close(&o->loop);
	buf_fini(&o->answer);
	explicit_bzero(o->bearer, sizeof(o->bearer));
}
