#include "herald/hook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "conf/conf.h"

struct hook {
	struct http	*http;
	const char	*url, *token;
	struct span	 body;		/* what is not sent of it */
	hook_done_fn	*done;
	void		*arg;
};

static void
end(struct hook *h, const char *error)
{
	hook_done_fn *done = h->done;
	void *arg = h->arg;

	free(h);
	done(arg, error);
}

static ssize_t
on_pull(void *arg, char *out, size_t room)
{
	struct hook *h = arg;
	size_t n = h->body.n < room ? h->body.n : room;

	memcpy(out, h->body.p, n);
	h->body = span_from(h->body, n);
	return (ssize_t)n;
}

static void
on_done(void *arg, enum http_end how, unsigned status, const struct why *why)
{
	struct hook *h = arg;
	char words[200];

	if (how == HTTP_ANSWERED && status / 100 == 2)
		words[0] = '\0';
	else if (how == HTTP_ANSWERED && status / 100 == 3)
		snprintf(words, sizeof(words), "it answered %u, a redirect, which is not "
		    "followed: write the URL that it leads to", status);
	else if (how == HTTP_ANSWERED)
		snprintf(words, sizeof(words), "it answered %u", status);
	else if (how == HTTP_LATE)
		snprintf(words, sizeof(words), "no whole answer in %d s", HOOK_WAIT_MS / 1000);
	else
		snprintf(words, sizeof(words), "%.180s", why->text);
	end(h, words);
}

static const struct http_ops ops = { .pull = on_pull, .done = on_done };

static void
on_resolved(void *arg, const struct netaddr *addrs, size_t n, const struct why *why)
{
	struct hook *h = arg;
	struct http_request r = { .method = "POST", .url = h->url, .size = h->body.n,
		.wait_ms = HOOK_WAIT_MS, .answer_max = HOOK_ANSWER_MAX };
	struct http_call *call;
	struct why words = { "" };
	char bearer[600];
	bool ok;

	if (n == 0) {
		why_set(&words, "its address is not to be found: %.150s",
		    why != NULL ? why->text : "no answer");
		end(h, words.text);
		return;
	}
	r.to = addrs[0];
	r.others = addrs + 1;
	r.nothers = n - 1;
	if ((call = http_call_new(h->http, &r, &ops, h, &words)) == NULL) {
		end(h, words.text);
		return;
	}
	snprintf(bearer, sizeof(bearer), "Bearer %s", h->token);
	ok = http_call_field(call, "Content-Type", SPAN_LIT("application/json")) &&
	    http_call_field(call, "User-Agent", SPAN_LIT("posthouse")) &&
	    (h->token[0] == '\0' ||
	    http_call_field(call, "Authorization", span_str(bearer)));	/* RFC 6750 2.1 */
	explicit_bzero(bearer, sizeof(bearer));
	if (!ok)
		why_set(&words, "memory is out");
	if (!ok || !http_call_go(call, &words)) {
		http_call_cancel(&call);
		end(h, words.text);
	}
}

void
hook_send(struct http *http, struct resolver *resolver, const char *url, const char *token,
    struct span body, hook_done_fn *done, void *arg)
{
	struct hook *h = calloc(1, sizeof(*h));
	struct conf_url u;
	struct why why;

	if (h == NULL) {
		done(arg, "memory is out");
		return;
	}
	*h = (struct hook){ .http = http, .url = url, .token = token, .body = body, .done = done,
		.arg = arg };
	if (!conf_url_parse(span_str(url), &u, &why))
		end(h, why.text);
	else
		resolve_host(resolver, u.host, u.port, on_resolved, h);
}
