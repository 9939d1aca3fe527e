/* What a store's refusal means, and what a person can do about it. */
#include "net/s3_in.h"

#include <inttypes.h>
#include <stdio.h>

#define WAIT_MS		10000		/* told to slow down, not for how long */
#define WAIT_LEAST_MS	1000
#define WAIT_MOST_MS	(3600 * 1000)
/* Amazon's limit is 15 minutes, and no store's is below 5. */
#define SKEW_MS		(5 * 60 * 1000)

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
	if (h->status == 409 && h->verb == S3_PUT_NEW)
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

void
s3_judge(const struct s3_heard *h, struct s3_answer *a)
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
