/* A store's answer is read, and what a refusal means, with what a person can do about it. */
#include "net/s3_in.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define META_MAX	(8u << 10)	/* octets that a store may give: R2's limit */

#define WAIT_MS		10000		/* told to slow down, not for how long */
#define WAIT_LEAST_MS	1000
#define WAIT_MOST_MS	(3600 * 1000)
/* Amazon's limit is 15 minutes, and no store's is below 5. */
#define SKEW_MS		(5 * 60 * 1000)

/* --- a refusal ------------------------------------------------------------------------------ */

/* The codes that stores say, with what to do.  The first that fits: code, status and verb. */
static const struct {
	const char	*code;		/* NULL: any */
	unsigned	 status;	/* 0: any */
	enum s3_end	 end;
	const char	*advice;	/* NULL: what happened says it all */
} codes[] = {
	{ "NoSuchBucket", 0, S3_NO_BUCKET, "make it, or mend `bucket`; is the endpoint that of "
	    "the account it is in?" },
	{ "NoSuchKey", 0, S3_GONE, NULL },
	{ "NoSuchLifecycleConfiguration", 0, S3_GONE, NULL },
	{ "RequestTimeTooSkewed", 0, S3_SKEWED, NULL },
	{ "InvalidAccessKeyId", 0, S3_FORBIDDEN, "the store does not know this access key id: it "
	    "was deleted, or belongs to another store; look at the first line of the credentials" },
	{ "SignatureDoesNotMatch", 0, S3_FORBIDDEN, "the secret is not the one of this access key "
	    "id; copy it anew into the credentials (and is `region` right?)" },
	{ "ExpiredToken", 0, S3_FORBIDDEN, "the session token has expired; use credentials that "
	    "do not" },
	{ "InvalidToken", 0, S3_FORBIDDEN, "the session token is none; leave it out, or copy it "
	    "anew" },
	{ "AccessDenied", 0, S3_FORBIDDEN, "these credentials may not do that in this bucket; "
	    "give them reading, writing, listing and deleting of its objects" },
	{ "PreconditionFailed", 0, S3_EXISTS, NULL },
	{ "ConditionalRequestConflict", 0, S3_EXISTS, NULL },
	{ "SlowDown", 0, S3_SLOW_DOWN, NULL },
	{ "PermanentRedirect", 0, S3_ELSEWHERE, NULL },
	{ "TemporaryRedirect", 0, S3_ELSEWHERE, NULL },
	{ "AuthorizationHeaderMalformed", 0, S3_ELSEWHERE, NULL },
	{ "InvalidRegionName", 0, S3_ELSEWHERE, NULL },
	{ "IllegalLocationConstraintException", 0, S3_ELSEWHERE, NULL },
	{ "RequestTimeout", 0, S3_FAILED, NULL },
	{ "InternalError", 0, S3_FAILED, NULL },
	{ "OperationAborted", 0, S3_FAILED, NULL },
	{ "NotImplemented", 0, S3_UNKNOWN, NULL },
	{ NULL, 401, S3_FORBIDDEN, "the credentials are refused" },
	{ NULL, 403, S3_FORBIDDEN, "these credentials may not do that in this bucket" },
	{ NULL, 405, S3_UNKNOWN, NULL },
	{ NULL, 408, S3_FAILED, NULL },		/* a proxy's, before a slow store */
	{ NULL, 501, S3_UNKNOWN, NULL },
	{ NULL, 412, S3_EXISTS, NULL },
	{ NULL, 429, S3_SLOW_DOWN, NULL },
	{ NULL, 503, S3_SLOW_DOWN, NULL },
};

static enum s3_end
by_status(const struct s3_heard *h)
{
	if (h->status >= 500)
		return S3_FAILED;
	if (h->status == 404)		/* a HEAD has no body to say which */
		return h->verb == S3_GET || h->verb == S3_HEAD || h->verb == S3_DELETE ||
		    h->verb == S3_LIFECYCLE ? S3_GONE : S3_NO_BUCKET;
	if (h->status == 409 && (h->verb == S3_PUT_NEW || h->verb == S3_DELETE))
		return S3_EXISTS;
	return h->status >= 400 ? S3_REFUSED : h->status >= 300 ? S3_ELSEWHERE : S3_STRANGE;
}

/* The store's own words are a stranger's. */
static void
printable(char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || (unsigned char)*s >= 0x7f)
			*s = '?';
}

static void
say_elsewhere(const struct s3_heard *h, const char *region, char *out, size_t max)
{
	if (region[0] != '\0')
		snprintf(out, max, "the bucket is in another region: write region = \"%s\"%s",
		    region, h->status / 100 == 3 ? " and the endpoint of that region" : "");
	else if (h->error.endpoint[0] != '\0')
		snprintf(out, max, "the bucket is elsewhere: write the endpoint of %.200s",
		    h->error.endpoint);
	else
		snprintf(out, max, "the bucket is elsewhere, or in another region: `endpoint` and "
		    "`region` must be its own (https:// if it was http://?)");
}

static void
say_skewed(const struct s3_heard *h, int64_t skew_ms, char *out, size_t max)
{
	int64_t s = (skew_ms < 0 ? -skew_ms : skew_ms) / 1000;

	if (h->date_ms != 0 && s < SKEW_MS / 1000)
		snprintf(out, max, "this machine's clock was wrong, and has been set since");
	else if (skew_ms == 0)
		snprintf(out, max, "this machine's clock is wrong; set it (is NTP running?)");
	else
		snprintf(out, max, "this machine's clock is %" PRId64 " h %" PRId64 " min %s the "
		    "store's; set it (is NTP running?)", s / 3600, s / 60 % 60,
		    skew_ms < 0 ? "behind" : "ahead of");
}

static void
judge(const struct s3_heard *h, struct s3_answer *a)
{
	char code[S3_CODE_MAX], message[121], advice[400] = "", region[64];
	int64_t off = h->date_ms == 0 ? 0 : h->signed_ms - h->date_ms;
	size_t i, n = sizeof(codes) / sizeof(codes[0]);

	span_copy(span_str(h->error.code), code, sizeof(code));
	span_copy(span_str(h->error.message), message, sizeof(message));
	span_copy(span_str(h->error.region[0] != '\0' ? h->error.region : h->region), region,
	    sizeof(region));
	printable(code);
	printable(message);
	printable(region);
	for (i = 0; i < n; i++)
		if ((codes[i].code == NULL || strcmp(codes[i].code, code) == 0) &&
		    (codes[i].status == 0 || codes[i].status == h->status))
			break;
	*a = (struct s3_answer){ .end = i < n ? codes[i].end : by_status(h), .status = h->status };
	if (a->end == S3_EXISTS && h->verb == S3_DELETE)
		a->end = S3_CHANGED;
	/* A HEAD's refusal has no code, and not every store says what it dislikes. */
	if (h->status == 403 && (off > SKEW_MS || off < -SKEW_MS))
		a->end = S3_SKEWED;
	memcpy(a->code, code, sizeof(code));
	if (a->end == S3_SLOW_DOWN)
		a->wait_ms = h->retry_ms < 0 ? WAIT_MS : h->retry_ms < WAIT_LEAST_MS ?
		    WAIT_LEAST_MS : h->retry_ms > WAIT_MOST_MS ? WAIT_MOST_MS : h->retry_ms;
	if (a->end == S3_SKEWED) {
		a->skew_ms = h->date_ms == 0 ? 0 : h->now_ms - h->date_ms;
		say_skewed(h, a->skew_ms, advice, sizeof(advice));
	} else if (a->end == S3_ELSEWHERE)
		say_elsewhere(h, region, advice, sizeof(advice));
	else if (a->end == S3_NO_BUCKET)
		snprintf(advice, sizeof(advice), "there is no bucket \"%s\" here: %s", h->bucket,
		    codes[0].advice);
	else if (i < n && codes[i].advice != NULL)
		snprintf(advice, sizeof(advice), "%s", codes[i].advice);
	else if (message[0] != '\0')
		snprintf(advice, sizeof(advice), "it says: %s", message);
	why_set(&a->why, "%s answered %u%s%s%s%s", h->endpoint, h->status,
	    code[0] != '\0' ? " " : "", code, advice[0] != '\0' ? ": " : "", advice);
}

/* --- an answer, as it comes ------------------------------------------------------------------ */

/* An HTTP date (RFC 9110 5.6.7) in any of its three forms; 0: it is none. */
static int64_t
date_ms(struct span s)
{
	static const char *const forms[] = { "%a, %d %b %Y %H:%M:%S GMT",
		"%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y" };
	char text[64];

	if (!span_copy(s, text, sizeof(text)))
		return 0;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct tm t = { 0 };
		const char *end = strptime(text, forms[i], &t);

		if (end != NULL && *end == '\0')
			return (int64_t)timegm(&t) * 1000;
	}
	return 0;
}

/* RFC 9110 10.2.3: seconds, or a date. */
static int64_t
retry_ms(const struct s3_reading *r, struct span s)
{
	unsigned long long n;
	int64_t at;

	if (span_u64(s, 1000000, &n))
		return (int64_t)n * 1000;
	return (at = date_ms(s)) == 0 ? -1 : at > r->heard.now_ms ? at - r->heard.now_ms : 0;
}

static void
add_meta(struct s3_reading *r, struct span name, struct span value)
{
	size_t n = name.n + value.n + 2, at = r->meta.n;

	if (r->head.nmeta == S3_META_MAX || n > META_MAX - at)
		return;
	if (!buf_add_span(&r->meta, name) || !buf_add(&r->meta, "", 1) ||
	    !buf_add_span(&r->meta, value) || !buf_add(&r->meta, "", 1))
		return;
	for (size_t i = at; i < at + name.n; i++)
		if (r->meta.p[i] >= 'A' && r->meta.p[i] <= 'Z')
			r->meta.p[i] += 'a' - 'A';
	r->head.nmeta++;
}

void
s3_read_field(struct s3_reading *r, unsigned status, struct span name, struct span value)
{
	unsigned long long n;

	r->heard.status = status;
	if (span_eq_nocase(name, SPAN_LIT("content-length"))) {
		r->has_size = span_u64(value, INT64_MAX, &n);
		r->head.size = r->has_size ? n : 0;
	} else if (span_eq_nocase(name, SPAN_LIT("etag")))
		span_copy(value, r->etag, sizeof(r->etag));
	else if (span_eq_nocase(name, SPAN_LIT("last-modified")))
		r->head.modified_ms = date_ms(value);
	else if (span_eq_nocase(name, SPAN_LIT("date")))
		r->heard.date_ms = date_ms(value);
	else if (span_eq_nocase(name, SPAN_LIT("retry-after")))
		r->heard.retry_ms = retry_ms(r, value);
	else if (span_eq_nocase(name, SPAN_LIT("x-amz-bucket-region")))
		span_copy(value, r->heard.region, sizeof(r->heard.region));
	else if (span_starts_nocase(name, SPAN_LIT("x-amz-meta-")))
		add_meta(r, span_from(name, 11), value);
}

static bool
strange(struct s3_reading *r, const char *what)
{
	r->strange = true;
	why_set(&r->why, "%s", what);
	return false;
}

/* Once, before the body.  False: the call is to be broken off. */
static bool
tell_head(struct s3_reading *r)
{
	struct s3_head head = r->head;
	const char *p = r->meta.p;

	if (r->head_told)
		return true;
	r->head_told = true;
	if (!r->has_size)
		return strange(r, "the store does not say how long the object is, so that nobody "
		    "could tell whether it is whole");
	if (r->heard.verb == S3_GET && head.size > r->size_max)
		return strange(r, "the object is larger than we take");
	head.etag = span_str(r->etag);
	for (size_t i = 0; i < head.nmeta; i++) {
		head.meta[i].name = p;
		p += strlen(p) + 1;
		head.meta[i].value = span_str(p);
		p += strlen(p) + 1;
	}
	if (r->ops->head == NULL || r->ops->head(r->arg, &head))
		return true;
	r->stopped = true;
	return false;
}

/* What a body is, by what was asked for and whether it was granted. */
static bool
has_doc(const struct s3_reading *r, enum s3_doc_kind *kind)
{
	*kind = r->heard.status / 100 != 2 ? S3_DOC_ERROR : r->heard.verb == S3_COPY ? S3_DOC_COPY :
	    r->heard.verb == S3_LIST ? S3_DOC_PAGE : S3_DOC_LIFECYCLE;
	return r->heard.status / 100 != 2 || r->heard.verb == S3_COPY || r->heard.verb == S3_LIST ||
	    r->heard.verb == S3_LIFECYCLE;
}

bool
s3_read_body(struct s3_reading *r, unsigned status, struct span s)
{
	enum s3_doc_kind kind;

	r->heard.status = status;		/* there may have been no field */
	if (has_doc(r, &kind)) {
		if (r->doc == NULL && !r->doc_bad)
			r->doc_bad = (r->doc = s3_doc_new(kind)) == NULL;
		if (r->doc_bad || s3_doc_feed(r->doc, s, &r->why) == -1)
			r->doc_bad = true;
		/* Of a refusal the status is enough. */
		return !r->doc_bad || kind == S3_DOC_ERROR;
	}
	if (r->heard.verb != S3_GET)
		return true;
	if (!tell_head(r))
		return false;
	r->stopped = !r->ops->body(r->arg, s);
	return !r->stopped;
}

/* --- the end of an answer -------------------------------------------------------------------- */

static void
read_refusal(struct s3_reading *r, struct s3_answer *a)
{
	struct why why;

	if (r->doc != NULL && (r->doc_bad || s3_doc_error(r->doc, &r->heard.error, &why) == -1))
		r->heard.error = (struct s3_error){ 0 };
	judge(&r->heard, a);
}

/* A page is the owner's when it leads on. */
static void
read_page(struct s3_reading *r, struct s3_answer *a)
{
	struct s3_page page;

	if (s3_doc_page(r->doc, &page, &r->why) == -1 ||
	    s3_walk_on(r->walk, &page, &r->why) == -1) {
		a->end = S3_STRANGE;
		return;
	}
	r->ops->page(r->arg, &page);
}

static void
read_lifecycle(struct s3_reading *r, struct s3_answer *a)
{
	struct s3_lifecycle rules;

	if (s3_doc_lifecycle(r->doc, &rules, &r->why) == -1)
		a->end = S3_STRANGE;
	else
		r->ops->lifecycle(r->arg, &rules);
}

/* 200 to a copy is said before it is made: the body says what came of it. */
static void
read_copy(struct s3_reading *r, struct s3_answer *a)
{
	struct s3_error e;

	if (s3_doc_error(r->doc, &e, &r->why) == -1)
		a->end = S3_BROKEN;
	else if (e.code[0] != '\0') {
		r->heard.error = e;
		judge(&r->heard, a);
	}
}

/* Whole, and 2xx. */
static void
read_whole(struct s3_reading *r, struct s3_answer *a)
{
	enum s3_doc_kind kind;

	a->end = S3_DONE;
	if (has_doc(r, &kind)) {
		if (r->doc == NULL) {
			why_set(&r->why, "an answer without its body");
			a->end = S3_STRANGE;
		} else if (kind == S3_DOC_PAGE)
			read_page(r, a);
		else if (kind == S3_DOC_LIFECYCLE)
			read_lifecycle(r, a);
		else
			read_copy(r, a);
	} else if ((r->heard.verb == S3_GET || r->heard.verb == S3_HEAD) && !tell_head(r))
		a->end = r->stopped ? S3_STOPPED : S3_STRANGE;
	else if ((r->heard.verb == S3_PUT || r->heard.verb == S3_PUT_NEW) && r->etag[0] == '\0') {
		/* Every S3 server names what it has stored; some captive portal says 200, too. */
		why_set(&r->why, "it says 200, but not the stored object's ETag: this is no S3 "
		    "server");
		a->end = S3_STRANGE;
	}
}

void
s3_read_end(struct s3_reading *r, enum http_end end, unsigned status, const struct why *why,
    struct s3_answer *a)
{
	const char *words = why->text;

	if (end == HTTP_ANSWERED)
		r->heard.status = status;
	*a = (struct s3_answer){ .end = S3_BROKEN, .status = r->heard.status };
	if (end == HTTP_NOT_REACHED)
		a->end = S3_NOT_REACHED;
	else if (r->stopped) {
		a->end = S3_STOPPED;
		words = "no longer wanted";
	} else if (r->heard.status != 0 && r->heard.status / 100 != 2) {
		read_refusal(r, a);
		words = NULL;
	} else if (r->strange || r->doc_bad) {
		a->end = S3_STRANGE;
		words = r->why.text;
	} else if (end == HTTP_ANSWERED) {
		read_whole(r, a);
		words = a->why.text[0] != '\0' ? NULL : r->why.text;
	}
	if (a->end != S3_DONE && words != NULL)
		why_set(&a->why, "%s: %s", r->heard.endpoint, words);
}

void
s3_reading_init(struct s3_reading *r, enum s3_verb verb, const struct s3_ops *ops, void *arg)
{
	*r = (struct s3_reading){ .ops = ops, .arg = arg,
		.heard = { .verb = verb, .retry_ms = -1 } };
	buf_init(&r->meta, META_MAX);
}

void
s3_reading_fini(struct s3_reading *r)
{
	s3_doc_free(&r->doc);
	buf_fini(&r->meta);
}
