#include "net/s3_in.h"

#include <assert.h>
#include <curl/curl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/codec.h"
#include "conf/conf.h"
#include "net/later.h"

#define ADDRS_MS	60000		/* how long the endpoint's addresses are believed */
#define URL_MAX		8192		/* a token, a prefix and a key, all in %XX */
#define SLOWEST		16		/* octets of a body a ms, beside S3_CALL_MS */
#define UNSIGNED	"UNSIGNED-PAYLOAD"

struct s3 {
	struct http	*http;
	struct resolver	*resolver;
	struct laters	*laters;
	struct conf_url	 at;
	char		 endpoint[300];		/* as the configuration has it, for words */
	char		 base[600];		/* "https://host:port/bucket/": add a key */
	char		 bucket[S3_BUCKET_MAX + 1];
	char		 region[64];
	struct span	 authorities;
	struct s3_keys	 keys;
	struct netaddr	 addrs[RESOLVE_ADDRS_MAX];
	size_t		 naddrs;		/* 0: to be asked for */
	struct instant	 asked;
	bool		 asking;
	int64_t		 skew_ms;		/* our clock less the store's */
	struct s3_call	*calls;
	bool		 freed;			/* while a question is out, which has no way back */
};

struct s3_call {
	struct s3_call	*next, **at;
	struct s3	*s3;
	struct buf	 url;
	struct buf	 fields;		/* our own: "name\0value\0..." */
	struct http_call *http;			/* NULL: addresses are waited for, or it failed */
	struct later	 failed;
	struct why	 why;			/* of that */
	uint64_t	 size;			/* of our body */
	struct s3_reading in;
};

/* --- a call's end ---------------------------------------------------------------------------- */

static void
call_free(struct s3_call *c)
{
	later_cancel(&c->failed);
	http_call_cancel(&c->http);
	if ((*c->at = c->next) != NULL)
		c->next->at = c->at;
	s3_reading_fini(&c->in);
	buf_fini(&c->url);
	buf_wipe(&c->fields);
	free(c);
}

static void
tell(struct s3_call *c, const struct s3_answer *a)
{
	const struct s3_ops *ops = c->in.ops;
	void *arg = c->in.arg;

	call_free(c);
	ops->done(arg, a);
}

static void
on_failed(struct later *l)
{
	struct s3_call *c = (struct s3_call *)((char *)l - offsetof(struct s3_call, failed));
	struct s3_answer a = { .end = S3_NOT_REACHED, .why = c->why };

	tell(c, &a);
}

/* Never from inside the call that the owner is making. */
static void
fail_later(struct s3_call *c, const struct why *why)
{
	c->why = *why;
	later_add(c->s3->laters, &c->failed);
}

/* --- an answer ------------------------------------------------------------------------------- */

static void
on_field(void *arg, struct span name, struct span value)
{
	struct s3_call *c = arg;

	s3_read_field(&c->in, http_call_status(c->http), name, value);
}

static bool
on_body(void *arg, struct span s)
{
	struct s3_call *c = arg;

	return s3_read_body(&c->in, http_call_status(c->http), s);
}

static void
on_done(void *arg, enum http_end end, unsigned status, const struct why *why)
{
	struct s3_call *c = arg;
	struct s3_answer a;

	c->http = NULL;
	if (end == HTTP_NOT_REACHED)
		c->s3->naddrs = 0;		/* it may have moved */
	s3_read_end(&c->in, end, status, why, &a);
	if (a.end == S3_SKEWED)
		c->s3->skew_ms = a.skew_ms;
	tell(c, &a);
}

/* --- asking ---------------------------------------------------------------------------------- */

static ssize_t
on_pull(void *arg, char *out, size_t room)
{
	struct s3_call *c = arg;
	ssize_t n;

	if (c->in.heard.verb == S3_COPY)
		return 0;
	n = c->in.ops->pull(c->in.arg, out, room);
	c->in.stopped = n < 0;
	return n;
}

static bool
on_again(void *arg)
{
	struct s3_call *c = arg;

	return c->in.heard.verb == S3_COPY ||
	    (c->in.ops->again != NULL && c->in.ops->again(c->in.arg));
}

static const struct http_ops with_body = {
	.pull = on_pull, .again = on_again, .head = on_field, .body = on_body, .done = on_done,
};
static const struct http_ops without = { .head = on_field, .body = on_body, .done = on_done };

static const char *const methods[] = {
	[S3_GET] = "GET", [S3_HEAD] = "HEAD", [S3_PUT] = "PUT", [S3_PUT_NEW] = "PUT",
	[S3_DELETE] = "DELETE", [S3_COPY] = "PUT", [S3_LIST] = "GET", [S3_LIFECYCLE] = "GET",
};

static bool
add_fields(struct s3_call *c)
{
	const char *p = c->fields.p, *end = p + c->fields.n;

	while (p < end) {
		const char *value = p + strlen(p) + 1;

		if (!http_call_field(c->http, p, span_str(value)))
			return false;
		p = value + strlen(value) + 1;
	}
	return true;
}

/* libcurl says when it is, unless we do: "20261121T034000Z" of the store's clock. */
static bool
add_date(struct s3_call *c)
{
	char iso[40], basic[20];
	size_t n = 0;

	if (c->s3->skew_ms == 0)
		return true;
	wall_iso(c->in.heard.signed_ms, iso, sizeof(iso));
	for (const char *p = iso; *p != '\0' && *p != '.' && n < 15; p++)
		if (*p != '-' && *p != ':')
			basic[n++] = *p;
	basic[n++] = 'Z';
	return http_call_field(c->http, "x-amz-date", span_of(basic, n));
}

static void
go(struct s3_call *c)
{
	struct s3 *s3 = c->s3;
	enum s3_verb verb = c->in.heard.verb;
	bool body = verb == S3_PUT || verb == S3_PUT_NEW || verb == S3_COPY;
	uint64_t size_max = c->in.size_max;
	struct http_sign sign = { s3->region, s3->keys.id, s3->keys.secret };
	struct http_request r = {
		.method = methods[verb], .url = c->url.p, .to = s3->addrs[0],
		.others = s3->addrs + 1, .nothers = s3->naddrs - 1, .size = c->size,
		.wait_ms = S3_CALL_MS + (int64_t)(c->size + size_max) / SLOWEST,
		.stall_ms = S3_STALL_MS, .keep = true, .authorities = s3->authorities,
		.answer_max = size_max > S3_PAGE_OCTETS ? size_max : S3_PAGE_OCTETS,
		.sign = &sign,
	};
	struct why why;

	c->in.heard.now_ms = wall_ms();
	c->in.heard.signed_ms = c->in.heard.now_ms - s3->skew_ms;
	c->http = http_call_new(s3->http, &r, body ? &with_body : &without, c, &why);
	if (c->http != NULL && (!add_fields(c) || !add_date(c))) {
		why_set(&why, "memory is out");
		http_call_cancel(&c->http);
	}
	if (c->http != NULL && !http_call_go(c->http, &why))
		http_call_cancel(&c->http);
	if (c->http == NULL)
		fail_later(c, &why);
}

static bool
waits(const struct s3_call *c)
{
	return c->http == NULL && c->failed.next == NULL;
}

static void
on_addrs(void *arg, const struct netaddr *addrs, size_t n, const struct why *why)
{
	struct s3 *s3 = arg;
	struct why words;

	s3->asking = false;
	if (s3->freed) {
		free(s3);
		return;
	}
	s3->naddrs = n < RESOLVE_ADDRS_MAX ? n : RESOLVE_ADDRS_MAX;
	s3->asked = instant_now();
	if (n > 0)
		memcpy(s3->addrs, addrs, s3->naddrs * sizeof(addrs[0]));
	why_set(&words, "%s: its address is not to be found: %.250s", s3->endpoint,
	    why != NULL ? why->text : "no answer");
	for (struct s3_call *c = s3->calls; c != NULL; c = c->next) {
		if (!waits(c))
			continue;
		if (n > 0)
			go(c);
		else
			fail_later(c, &words);
	}
}

static void
start(struct s3_call *c)
{
	struct s3 *s3 = c->s3;

	if (s3->naddrs > 0 && instant_ms_since(s3->asked, instant_now()) < ADDRS_MS) {
		go(c);
		return;
	}
	if (s3->asking)
		return;
	s3->asking = true;
	resolve_host(s3->resolver, s3->at.host, s3->at.port, on_addrs, s3);
}

/* --- a call is made -------------------------------------------------------------------------- */

static bool
unreserved(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    c == '-' || c == '.' || c == '_' || c == '~';
}

/* As signatures want it: %XX in upper case, and a slash too but in a path. */
static void
add_encoded(struct buf *b, const char *s, bool path)
{
	for (; *s != '\0'; s++)
		if (unreserved((unsigned char)*s) || (path && *s == '/'))
			buf_add(b, s, 1);
		else
			buf_addf(b, "%%%02X", (unsigned char)*s);
}

static void
add_field(struct s3_call *c, const char *name, struct span value)
{
	buf_add(&c->fields, name, strlen(name) + 1);
	buf_add_span(&c->fields, value);
	buf_add(&c->fields, "", 1);
}

/* key NULL: of the bucket itself. */
static struct s3_call *
call_new(struct s3 *s3, enum s3_verb verb, const char *key, const struct s3_ops *ops, void *arg,
    struct why *why)
{
	struct s3_call *c;

	if (key != NULL && !s3_key_name(key)) {
		why_set(why, "an object's name that no URL can say");
		return NULL;
	}
	if ((c = calloc(1, sizeof(*c))) == NULL) {
		why_set(why, "memory is out");
		return NULL;
	}
	c->s3 = s3;
	s3_reading_init(&c->in, verb, ops, arg);
	c->in.heard.bucket = s3->bucket;
	c->in.heard.endpoint = s3->endpoint;
	c->failed.fn = on_failed;
	if ((c->next = s3->calls) != NULL)
		c->next->at = &c->next;
	c->at = &s3->calls;
	s3->calls = c;
	buf_init(&c->url, URL_MAX);
	buf_init(&c->fields, URL_MAX + S3_META_OCTETS + sizeof(s3->keys.token));
	buf_add_str(&c->url, s3->base);
	add_encoded(&c->url, key != NULL ? key : "", true);
	if (s3->keys.token[0] != '\0')
		add_field(c, "x-amz-security-token", span_str(s3->keys.token));
	return c;
}

/* Everything is said: it begins, or it is gone with why. */
static struct s3_call *
call_start(struct s3_call *c, const unsigned char *sha256, struct why *why)
{
	static const char nothing[] =	/* SHA-256 of no octets */
	    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
	bool body = c->in.heard.verb == S3_PUT || c->in.heard.verb == S3_PUT_NEW;
	char hex[65];

	if (sha256 != NULL)
		hex_encode(sha256, 32, hex);
	add_field(c, "x-amz-content-sha256", span_str(sha256 != NULL ? hex : body ? UNSIGNED :
	    nothing));
	buf_add(&c->url, "", 1);
	if (c->url.failed || c->fields.failed) {
		why_set(why, "memory is out, or there is more to say than a request can hold");
		call_free(c);
		return NULL;
	}
	start(c);
	return c;
}

struct s3_call *
s3_get(struct s3 *s3, const char *key, uint64_t size_max, const struct s3_ops *ops, void *arg,
    struct why *why)
{
	struct s3_call *c = call_new(s3, S3_GET, key, ops, arg, why);

	if (c == NULL)
		return NULL;
	c->in.size_max = size_max;
	return call_start(c, NULL, why);
}

struct s3_call *
s3_head(struct s3 *s3, const char *key, const struct s3_ops *ops, void *arg, struct why *why)
{
	struct s3_call *c = call_new(s3, S3_HEAD, key, ops, arg, why);

	return c != NULL ? call_start(c, NULL, why) : NULL;
}

/* See struct s3_meta. */
static bool
sorts(const struct s3_put *put)
{
	for (size_t i = 0; i < put->nmeta; i++)
		for (size_t k = 0; k < put->nmeta; k++) {
			size_t n = strlen(put->meta[i].name);

			if (strncmp(put->meta[i].name, put->meta[k].name, n) == 0 &&
			    put->meta[k].name[n] == '-')
				return false;
		}
	return true;
}

struct s3_call *
s3_put(struct s3 *s3, const struct s3_put *put, const struct s3_ops *ops, void *arg,
    struct why *why)
{
	struct s3_call *c = call_new(s3, put->only_new ? S3_PUT_NEW : S3_PUT, put->key, ops, arg,
	    why);
	size_t octets = 0;
	char name[128];

	if (c == NULL)
		return NULL;
	c->size = put->size;
	if (put->only_new)
		add_field(c, "if-none-match", SPAN_LIT("*"));
	assert(put->nmeta <= S3_META_MAX && sorts(put));
	for (size_t i = 0; i < put->nmeta; i++) {
		octets += strlen(put->meta[i].name) + put->meta[i].value.n;
		snprintf(name, sizeof(name), "x-amz-meta-%s", put->meta[i].name);
		add_field(c, name, put->meta[i].value);
	}
	if (octets > S3_META_OCTETS) {
		why_set(why, "more metadata than S3 allows");
		call_free(c);
		return NULL;
	}
	return call_start(c, put->sha256, why);
}

struct s3_call *
s3_delete(struct s3 *s3, const char *key, const struct s3_ops *ops, void *arg, struct why *why)
{
	struct s3_call *c = call_new(s3, S3_DELETE, key, ops, arg, why);

	return c != NULL ? call_start(c, NULL, why) : NULL;
}

struct s3_call *
s3_delete_same(struct s3 *s3, const char *key, const char *etag, const struct s3_ops *ops,
    void *arg, struct why *why)
{
	struct s3_call *c = call_new(s3, S3_DELETE, key, ops, arg, why);

	if (c == NULL)
		return NULL;
	add_field(c, "if-match", span_str(etag));
	return call_start(c, NULL, why);
}

struct s3_call *
s3_copy(struct s3 *s3, const char *from, const char *to, const struct s3_ops *ops, void *arg,
    struct why *why)
{
	struct s3_call *c = call_new(s3, S3_COPY, to, ops, arg, why);
	struct buf source;

	if (c == NULL)
		return NULL;
	if (!s3_key_name(from)) {
		why_set(why, "an object's name that no URL can say");
		call_free(c);
		return NULL;
	}
	buf_init(&source, URL_MAX);
	buf_addf(&source, "/%s/", s3->bucket);
	add_encoded(&source, from, true);
	add_field(c, "x-amz-copy-source", buf_span(&source));
	c->fields.failed |= source.failed;
	buf_fini(&source);
	return call_start(c, NULL, why);
}

struct s3_call *
s3_list(struct s3 *s3, const char *prefix, unsigned most, struct s3_walk *walk,
    const struct s3_ops *ops, void *arg, struct why *why)
{
	struct s3_call *c = call_new(s3, S3_LIST, NULL, ops, arg, why);

	if (c == NULL)
		return NULL;
	c->in.walk = walk;
	/* In the order of their names, as what is signed is. */
	if (walk->token[0] != '\0') {
		buf_add_str(&c->url, "?continuation-token=");
		add_encoded(&c->url, walk->token, false);
	}
	buf_addf(&c->url, "%cencoding-type=url&list-type=2&max-keys=%u&prefix=",
	    walk->token[0] != '\0' ? '&' : '?', most < S3_PAGE_MAX ? most : S3_PAGE_MAX);
	add_encoded(&c->url, prefix, false);
	return call_start(c, NULL, why);
}

struct s3_call *
s3_lifecycle(struct s3 *s3, const struct s3_ops *ops, void *arg, struct why *why)
{
	struct s3_call *c = call_new(s3, S3_LIFECYCLE, NULL, ops, arg, why);

	if (c == NULL)
		return NULL;
	buf_add_str(&c->url, "?lifecycle=");
	return call_start(c, NULL, why);
}

void
s3_call_pause(struct s3_call *c)
{
	if (c->http != NULL)
		http_call_pause(c->http);
}

void
s3_call_resume(struct s3_call *c)
{
	if (c->http != NULL)
		http_call_resume(c->http);
}

void
s3_call_cancel(struct s3_call **cp)
{
	struct s3_call *c = *cp;

	*cp = NULL;
	if (c != NULL)
		call_free(c);
}

/* --- a bucket -------------------------------------------------------------------------------- */

static int
set_place(struct s3 *s3, const struct s3_place *p, struct why *why)
{
	const char *host = s3->at.host;
	char named[sizeof(s3->at.host)];
	bool v6;

	if (!conf_url_parse(span_str(p->endpoint), &s3->at, why))
		return -1;
	if (!s3_bucket_name(span_str(p->bucket)))
		return why_set(why, "\"%s\" is no bucket's name", p->bucket);
	span_copy(span_str(p->bucket), s3->bucket, sizeof(s3->bucket));
	if (!span_copy(span_str(p->region), s3->region, sizeof(s3->region)))
		return why_set(why, "the region's name is too long");
	snprintf(s3->endpoint, sizeof(s3->endpoint), "%s:%u", host, s3->at.port);
	if (p->virtual_host) {
		if ((size_t)snprintf(named, sizeof(named), "%s.%s", p->bucket, host) >=
		    sizeof(named))
			return why_set(why, "bucket and endpoint are too long a name together");
		memcpy(s3->at.host, named, sizeof(named));
	}
	v6 = strchr(host, ':') != NULL;
	snprintf(s3->base, sizeof(s3->base), "%s://%s%s%s:%u/%s%s", s3->at.tls ? "https" : "http",
	    v6 ? "[" : "", host, v6 ? "]" : "", s3->at.port, p->virtual_host ? "" : p->bucket,
	    p->virtual_host ? "" : "/");
	s3->authorities = p->authorities;
	return 0;
}

struct s3 *
s3_new(struct http *http, struct resolver *resolver, const struct s3_place *p,
    const struct s3_keys *keys, struct why *why)
{
	struct s3 *s3 = calloc(1, sizeof(*s3));

	why_set(why, "memory is out");
	if (s3 == NULL || set_place(s3, p, why) == -1 ||
	    (s3->laters = laters_hold(http_loop(http))) == NULL) {
		free(s3);
		return NULL;
	}
	s3->http = http;
	s3->resolver = resolver;
	s3->keys = *keys;
	return s3;
}

void
s3_keys_change(struct s3 *s3, const struct s3_keys *keys)
{
	s3->keys = *keys;
}

void
s3_free(struct s3 **sp)
{
	struct s3 *s3 = *sp;

	*sp = NULL;
	if (s3 == NULL)
		return;
	while (s3->calls != NULL)
		call_free(s3->calls);
	laters_drop(s3->laters);
	s3_keys_fini(&s3->keys);
	if (s3->asking)
		s3->freed = true;		/* on_addrs frees it */
	else
		free(s3);
}
