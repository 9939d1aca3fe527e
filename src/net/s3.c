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
#define META_MAX	(8u << 10)	/* octets that a store may give: R2's limit */
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
	enum s3_verb	 verb;
	struct buf	 url;
	struct buf	 fields;		/* our own: "name\0value\0..." */
	struct http_call *http;			/* NULL: addresses are waited for, or it failed */
	struct later	 failed;
	struct why	 why;			/* of that */
	const struct s3_ops *ops;
	void		*arg;
	uint64_t	 size;			/* of our body */
	uint64_t	 size_max;		/* of the answer's */
	struct s3_walk	*walk;
	int64_t		 signed_ms;

	/* Of the answer. */
	struct s3_heard	 heard;
	struct s3_doc	*doc;			/* of a body that is for us */
	bool		 doc_bad, strange, stopped, head_told, has_size;
	struct s3_head	 head;			/* but for meta, which is told from `meta` */
	char		 etag[200];
	struct buf	 meta;			/* "name\0value\0..." */
};

/* --- a call's end ---------------------------------------------------------------------------- */

static void
call_free(struct s3_call *c)
{
	later_cancel(&c->failed);
	http_call_cancel(&c->http);
	if ((*c->at = c->next) != NULL)
		c->next->at = c->at;
	s3_doc_free(&c->doc);
	buf_fini(&c->url);
	buf_wipe(&c->fields);
	buf_fini(&c->meta);
	free(c);
}

static void
tell(struct s3_call *c, const struct s3_answer *a)
{
	const struct s3_ops *ops = c->ops;
	void *arg = c->arg;

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

/* --- what is heard --------------------------------------------------------------------------- */

/* An HTTP date (RFC 9110 5.6.7); 0: it is none. */
static int64_t
date_ms(struct span s)
{
	char text[64];
	time_t t;

	if (!span_copy(s, text, sizeof(text)) || (t = curl_getdate(text, NULL)) <= 0)
		return 0;
	return (int64_t)t * 1000;
}

/* RFC 9110 10.2.3: seconds, or a date. */
static int64_t
retry_ms(const struct s3_call *c, struct span s)
{
	unsigned long long n;
	int64_t at;

	if (span_u64(s, 1000000, &n))
		return (int64_t)n * 1000;
	return (at = date_ms(s)) == 0 ? -1 : at > c->heard.now_ms ? at - c->heard.now_ms : 0;
}

static void
add_meta(struct s3_call *c, struct span name, struct span value)
{
	size_t n = name.n + value.n + 2, at = c->meta.n;

	if (c->head.nmeta == S3_META_MAX || n > META_MAX - at)
		return;
	if (!buf_add_span(&c->meta, name) || !buf_add(&c->meta, "", 1) ||
	    !buf_add_span(&c->meta, value) || !buf_add(&c->meta, "", 1))
		return;
	for (size_t i = at; i < at + name.n; i++)
		if (c->meta.p[i] >= 'A' && c->meta.p[i] <= 'Z')
			c->meta.p[i] += 'a' - 'A';
	c->head.nmeta++;
}

static void
on_field(void *arg, struct span name, struct span value)
{
	struct s3_call *c = arg;
	unsigned long long n;

	if (span_eq_nocase(name, SPAN_LIT("content-length"))) {
		c->has_size = span_u64(value, INT64_MAX, &n);
		c->head.size = c->has_size ? n : 0;
	} else if (span_eq_nocase(name, SPAN_LIT("etag")))
		span_copy(value, c->etag, sizeof(c->etag));
	else if (span_eq_nocase(name, SPAN_LIT("last-modified")))
		c->head.modified_ms = date_ms(value);
	else if (span_eq_nocase(name, SPAN_LIT("date")))
		c->heard.date_ms = date_ms(value);
	else if (span_eq_nocase(name, SPAN_LIT("retry-after")))
		c->heard.retry_ms = retry_ms(c, value);
	else if (span_eq_nocase(name, SPAN_LIT("x-amz-bucket-region")))
		span_copy(value, c->heard.region, sizeof(c->heard.region));
	else if (span_starts_nocase(name, SPAN_LIT("x-amz-meta-")))
		add_meta(c, span_from(name, 11), value);
	c->heard.status = http_call_status(c->http);
}

static bool
strange(struct s3_call *c, const char *what)
{
	c->strange = true;
	why_set(&c->why, "%s", what);
	return false;
}

/* Once, before the body.  False: the call is to be broken off. */
static bool
tell_head(struct s3_call *c)
{
	struct s3_head head = c->head;
	const char *p = c->meta.p;

	if (c->head_told)
		return true;
	c->head_told = true;
	if (!c->has_size)
		return strange(c, "the store does not say how long the object is, so that nobody "
		    "could tell whether it is whole");
	if (c->verb == S3_GET && head.size > c->size_max)
		return strange(c, "the object is larger than we take");
	head.etag = span_str(c->etag);
	for (size_t i = 0; i < head.nmeta; i++) {
		head.meta[i].name = p;
		p += strlen(p) + 1;
		head.meta[i].value = span_str(p);
		p += strlen(p) + 1;
	}
	if (c->ops->head == NULL || c->ops->head(c->arg, &head))
		return true;
	c->stopped = true;
	return false;
}

/* What a body is, by what was asked for and whether it was granted. */
static bool
has_doc(const struct s3_call *c, enum s3_doc_kind *kind)
{
	*kind = c->heard.status / 100 != 2 ? S3_DOC_ERROR : c->verb == S3_COPY ? S3_DOC_COPY :
	    c->verb == S3_LIST ? S3_DOC_PAGE : S3_DOC_LIFECYCLE;
	return c->heard.status / 100 != 2 || c->verb == S3_COPY || c->verb == S3_LIST ||
	    c->verb == S3_LIFECYCLE;
}

static bool
on_body(void *arg, struct span s)
{
	struct s3_call *c = arg;
	enum s3_doc_kind kind;

	c->heard.status = http_call_status(c->http);	/* there may have been no field */
	if (has_doc(c, &kind)) {
		if (c->doc == NULL && !c->doc_bad)
			c->doc_bad = (c->doc = s3_doc_new(kind)) == NULL;
		if (c->doc_bad || s3_doc_feed(c->doc, s, &c->why) == -1)
			c->doc_bad = true;
		/* Of a refusal the status is enough. */
		return !c->doc_bad || kind == S3_DOC_ERROR;
	}
	if (c->verb != S3_GET)
		return true;
	if (!tell_head(c))
		return false;
	c->stopped = !c->ops->body(c->arg, s);
	return !c->stopped;
}

/* --- the end of an answer -------------------------------------------------------------------- */

static void
judge(struct s3_call *c, struct s3_answer *a)
{
	struct why why;

	if (c->doc != NULL && (c->doc_bad || s3_doc_error(c->doc, &c->heard.error, &why) == -1))
		c->heard.error = (struct s3_error){ 0 };
	s3_judge(&c->heard, a);
	if (a->end == S3_SKEWED)
		c->s3->skew_ms = a->skew_ms;
}

/* A page is the owner's when it leads on. */
static void
read_page(struct s3_call *c, struct s3_answer *a)
{
	struct s3_page page;

	if (s3_doc_page(c->doc, &page, &c->why) == -1 ||
	    s3_walk_on(c->walk, &page, &c->why) == -1) {
		a->end = S3_STRANGE;
		return;
	}
	c->ops->page(c->arg, &page);
}

static void
read_lifecycle(struct s3_call *c, struct s3_answer *a)
{
	struct s3_lifecycle rules;

	if (s3_doc_lifecycle(c->doc, &rules, &c->why) == -1)
		a->end = S3_STRANGE;
	else
		c->ops->lifecycle(c->arg, &rules);
}

/* 200 to a copy is said before it is made: the body says what came of it. */
static void
read_copy(struct s3_call *c, struct s3_answer *a)
{
	struct s3_error e;

	if (s3_doc_error(c->doc, &e, &c->why) == -1)
		a->end = S3_BROKEN;
	else if (e.code[0] != '\0') {
		c->heard.error = e;
		s3_judge(&c->heard, a);
	}
}

/* Whole, and 2xx. */
static void
read_answer(struct s3_call *c, struct s3_answer *a)
{
	enum s3_doc_kind kind;

	a->end = S3_DONE;
	if (has_doc(c, &kind)) {
		if (c->doc == NULL) {
			why_set(&c->why, "an answer without its body");
			a->end = S3_STRANGE;
		} else if (kind == S3_DOC_PAGE)
			read_page(c, a);
		else if (kind == S3_DOC_LIFECYCLE)
			read_lifecycle(c, a);
		else
			read_copy(c, a);
	} else if ((c->verb == S3_GET || c->verb == S3_HEAD) && !tell_head(c))
		a->end = c->stopped ? S3_STOPPED : S3_STRANGE;
	else if ((c->verb == S3_PUT || c->verb == S3_PUT_NEW) && c->etag[0] == '\0') {
		/* Every S3 server names what it has stored; some captive portal says 200, too. */
		why_set(&c->why, "it says 200, but not the stored object's ETag: this is no S3 "
		    "server");
		a->end = S3_STRANGE;
	}
}

static void
on_done(void *arg, enum http_end end, unsigned status, const struct why *why)
{
	struct s3_call *c = arg;
	struct s3_answer a = { .end = S3_BROKEN, .status = c->heard.status };
	const char *words = why->text;

	if (end == HTTP_ANSWERED)
		c->heard.status = a.status = status;
	c->http = NULL;
	if (end == HTTP_NOT_REACHED) {
		a.end = S3_NOT_REACHED;
		c->s3->naddrs = 0;		/* it may have moved */
	} else if (c->stopped)
		a.end = S3_STOPPED;
	else if (c->heard.status != 0 && c->heard.status / 100 != 2) {
		judge(c, &a);
		words = NULL;
	} else if (c->strange || c->doc_bad) {
		a.end = S3_STRANGE;
		words = c->why.text;
	} else if (end == HTTP_ANSWERED) {
		read_answer(c, &a);
		words = a.why.text[0] != '\0' ? NULL : c->why.text;
	}
	if (a.end == S3_STOPPED)
		words = "no longer wanted";
	if (a.end != S3_DONE && words != NULL)
		why_set(&a.why, "%s: %s", c->s3->endpoint, words);
	tell(c, &a);
}

/* --- asking ---------------------------------------------------------------------------------- */

static ssize_t
on_pull(void *arg, char *out, size_t room)
{
	struct s3_call *c = arg;
	ssize_t n;

	if (c->verb == S3_COPY)
		return 0;
	n = c->ops->pull(c->arg, out, room);
	c->stopped = n < 0;
	return n;
}

static bool
on_again(void *arg)
{
	struct s3_call *c = arg;

	return c->verb == S3_COPY || (c->ops->again != NULL && c->ops->again(c->arg));
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
	wall_iso(c->signed_ms, iso, sizeof(iso));
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
	bool body = c->verb == S3_PUT || c->verb == S3_PUT_NEW || c->verb == S3_COPY;
	struct http_sign sign = { s3->region, s3->keys.id, s3->keys.secret };
	struct http_request r = {
		.method = methods[c->verb], .url = c->url.p, .to = s3->addrs[0],
		.others = s3->addrs + 1, .nothers = s3->naddrs - 1, .size = c->size,
		.wait_ms = S3_CALL_MS + (int64_t)(c->size + c->size_max) / SLOWEST,
		.stall_ms = S3_STALL_MS, .keep = true, .authorities = s3->authorities,
		.answer_max = c->size_max > S3_PAGE_OCTETS ? c->size_max : S3_PAGE_OCTETS,
		.sign = &sign,
	};
	struct why why;

	c->heard = (struct s3_heard){ .verb = c->verb, .retry_ms = -1, .now_ms = wall_ms(),
		.bucket = s3->bucket, .endpoint = s3->endpoint };
	c->heard.signed_ms = c->signed_ms = c->heard.now_ms - s3->skew_ms;
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
	c->verb = verb;
	c->ops = ops;
	c->arg = arg;
	c->failed.fn = on_failed;
	if ((c->next = s3->calls) != NULL)
		c->next->at = &c->next;
	c->at = &s3->calls;
	s3->calls = c;
	buf_init(&c->url, URL_MAX);
	buf_init(&c->fields, URL_MAX + S3_META_OCTETS + sizeof(s3->keys.token));
	buf_init(&c->meta, META_MAX);
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
	bool body = c->verb == S3_PUT || c->verb == S3_PUT_NEW;
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
	c->size_max = size_max;
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
	c->walk = walk;
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
