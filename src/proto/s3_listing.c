#include "proto/s3_listing.h"

#include <assert.h>
#include <expat.h>
#include <stdlib.h>

#include "base/codec.h"

#define DEPTH_MAX	8		/* LifecycleConfiguration/Rule/Filter/And/Tag/Key is 6 */
#define ELEMENTS_MAX	256		/* of the elements' names, with slashes */
#define TEXT_MAX	4096		/* of one element: a name of S3_KEY_MAX in %XX is 3072 */
#define NAMES_MAX	(S3_PAGE_MAX * (3 * S3_KEY_MAX + 1))
#define DAY_MS		(24LL * 3600 * 1000)

struct s3_doc {
	XML_Parser	 xml;
	enum s3_doc_kind kind;
	size_t		 octets;		/* left to be fed */
	char		 path[ELEMENTS_MAX];	/* of the element we are in, "a/b/c" */
	size_t		 npath;
	unsigned	 depth;
	struct buf	 text;			/* of that element */
	bool		 failed;
	struct why	 why;

	/* S3_DOC_PAGE */
	struct buf	 names;			/* C strings, one behind the other, as they came */
	struct s3_object *objects;
	struct s3_object object;		/* being read, all but its name */
	bool		 has_key, has_size, has_time;
	size_t		 nobjects, unnamed;
	bool		 in_percent, more;
	char		 next[S3_TOKEN_MAX + 1];

	/* S3_DOC_LIFECYCLE */
	struct s3_rule	*rules;
	struct s3_rule	 rule;
	bool		 enabled, tagged;
	size_t		 nrules;

	struct s3_error	 error;
};

static void
fail(struct s3_doc *d, const char *what)
{
	if (!d->failed)
		why_set(&d->why, "the store's answer: %s", what);
	d->failed = true;
	XML_StopParser(d->xml, XML_FALSE);
}

/* --- what the elements mean ------------------------------------------------------------------ */

static bool
is_true(struct span s)
{
	return span_eq_nocase(s, SPAN_LIT("true"));
}

/* Whether names are in %XX may be said behind them: they are kept as they come. */
static void
on_key(struct s3_doc *d, struct span s)
{
	if (d->has_key || s.n == 0 || s.n > 3 * S3_KEY_MAX)
		fail(d, "an object's name is none");
	else if (!buf_add_span(&d->names, s) || !buf_add(&d->names, "", 1))
		fail(d, "memory is out");
	d->has_key = true;
}

static void
on_size(struct s3_doc *d, struct span s)
{
	unsigned long long n;

	if (!(d->has_size = span_u64(s, INT64_MAX, &n)))
		fail(d, "an object's size is no number");
	else
		d->object.size = n;
}

static void
on_modified(struct s3_doc *d, struct span s)
{
	if (!(d->has_time = s3_time(s, &d->object.modified_ms)))
		fail(d, "an object's time is none");
}

static void
on_object_end(struct s3_doc *d, struct span s)
{
	struct s3_object *more;

	if (!d->has_key || !d->has_size || !d->has_time) {
		fail(d, "an object has no name, size or time");
		return;
	}
	if (d->nobjects == S3_PAGE_MAX) {
		fail(d, "a page has more objects than were asked for");
		return;
	}
	/* Doubled: most pages are short. */
	if ((d->nobjects & (d->nobjects - 1)) == 0) {
		more = realloc(d->objects, (d->nobjects == 0 ? 1 : d->nobjects * 2) *
		    sizeof(*more));
		if (more == NULL) {
			fail(d, "memory is out");
			return;
		}
		d->objects = more;
	}
	d->objects[d->nobjects++] = d->object;
	d->object = (struct s3_object){ 0 };
	d->has_key = d->has_size = d->has_time = false;
}

static void
on_more(struct s3_doc *d, struct span s)
{
	d->more = is_true(s);
}

static void
on_next(struct s3_doc *d, struct span s)
{
	if (!span_copy(s, d->next, sizeof(d->next)))
		fail(d, "its continuation token is too long");
}

static void
on_encoding(struct s3_doc *d, struct span s)
{
	d->in_percent = span_eq_nocase(s, SPAN_LIT("url"));
}

static void
on_status(struct s3_doc *d, struct span s)
{
	d->enabled = span_eq_nocase(s, SPAN_LIT("Enabled"));
}

static void
on_prefix(struct s3_doc *d, struct span s)
{
	if (!span_copy(s, d->rule.prefix, sizeof(d->rule.prefix)))
		fail(d, "a rule's prefix is longer than S3 allows");
}

static void
on_days(struct s3_doc *d, struct span s)
{
	unsigned long long n;

	if (!span_u64(s, 100000, &n) || n == 0)
		fail(d, "a rule's days are no number");
	else
		d->rule.age_ms = (int64_t)n * DAY_MS;
}

static void
on_date(struct s3_doc *d, struct span s)
{
	if (!s3_time(s, &d->rule.at_ms))
		fail(d, "a rule's date is none");
}

static void
on_tag(struct s3_doc *d, struct span s)
{
	d->tagged = true;
}

static void
on_rule_end(struct s3_doc *d, struct span s)
{
	struct s3_rule rule = d->rule, *more;
	/* Others end uploads or old versions, or move what is there. */
	bool ours = d->enabled && !d->tagged && (rule.age_ms > 0 || rule.at_ms > 0);

	d->rule = (struct s3_rule){ 0 };
	d->enabled = d->tagged = false;
	if (!ours)
		return;
	if (d->nrules == S3_RULES_MAX) {
		fail(d, "it has more lifecycle rules than S3 allows");
		return;
	}
	if ((more = realloc(d->rules, (d->nrules + 1) * sizeof(*more))) == NULL) {
		fail(d, "memory is out");
		return;
	}
	d->rules = more;
	d->rules[d->nrules++] = rule;
}

static void
on_code(struct s3_doc *d, struct span s)
{
	span_copy(s, d->error.code, sizeof(d->error.code));
}

static void
on_message(struct s3_doc *d, struct span s)
{
	span_copy(s, d->error.message, sizeof(d->error.message));
}

static void
on_region(struct s3_doc *d, struct span s)
{
	span_copy(s, d->error.region, sizeof(d->error.region));
}

static void
on_endpoint(struct s3_doc *d, struct span s)
{
	span_copy(s, d->error.endpoint, sizeof(d->error.endpoint));
}

/* Everything that we read of what a store says: where it stands, called at its end. */
static const struct {
	enum s3_doc_kind kind;
	const char	*path;
	void		(*end)(struct s3_doc *, struct span text);
} elements[] = {
#define PAGE	S3_DOC_PAGE, "ListBucketResult/"
	{ PAGE "Contents/Key",			on_key },
	{ PAGE "Contents/Size",			on_size },
	{ PAGE "Contents/LastModified",		on_modified },
	{ PAGE "Contents",			on_object_end },
	{ PAGE "IsTruncated",			on_more },
	{ PAGE "NextContinuationToken",		on_next },
	{ PAGE "EncodingType",			on_encoding },
#undef PAGE
#define RULE	S3_DOC_LIFECYCLE, "LifecycleConfiguration/Rule"
	{ RULE "/Status",			on_status },
	{ RULE "/Prefix",			on_prefix },
	{ RULE "/Filter/Prefix",		on_prefix },
	{ RULE "/Filter/And/Prefix",		on_prefix },
	{ RULE "/Filter/Tag",			on_tag },
	{ RULE "/Filter/And/Tag",		on_tag },
	{ RULE "/Expiration/Days",		on_days },
	{ RULE "/Expiration/Date",		on_date },
	{ RULE,					on_rule_end },
#undef RULE
	{ S3_DOC_ERROR, "Error/Code",		on_code },
	{ S3_DOC_ERROR, "Error/Message",	on_message },
	{ S3_DOC_ERROR, "Error/Region",		on_region },
	{ S3_DOC_ERROR, "Error/Endpoint",	on_endpoint },
	{ S3_DOC_COPY, "Error/Code",		on_code },
	{ S3_DOC_COPY, "Error/Message",		on_message },
};

/* An empty page must never be read out of what is no page. */
static const struct {
	enum s3_doc_kind kind;
	const char	*root;
} roots[] = {
	{ S3_DOC_ERROR, "Error" },
	{ S3_DOC_COPY, "CopyObjectResult" },
	{ S3_DOC_COPY, "Error" },
	{ S3_DOC_PAGE, "ListBucketResult" },
	{ S3_DOC_LIFECYCLE, "LifecycleConfiguration" },
};

static bool
is_root(enum s3_doc_kind kind, const char *name)
{
	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++)
		if (roots[i].kind == kind && strcmp(roots[i].root, name) == 0)
			return true;
	return false;
}

/* --- expat ----------------------------------------------------------------------------------- */

static void XMLCALL
on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct s3_doc *d = arg;
	size_t n = strlen(name);

	buf_clear(&d->text);
	if (d->depth == 0 && !is_root(d->kind, name)) {
		fail(d, "it is not what was asked for, nor an S3 server's");
		return;
	}
	if (++d->depth > DEPTH_MAX || d->npath + n + 2 > sizeof(d->path)) {
		fail(d, "its elements are nested too deeply");
		return;
	}
	if (d->npath > 0)
		d->path[d->npath++] = '/';
	memcpy(d->path + d->npath, name, n + 1);
	d->npath += n;
}

static void XMLCALL
on_end(void *arg, const XML_Char *name)
{
	struct s3_doc *d = arg;
	size_t n = strlen(name);

	if (d->failed)				/* expat finishes what it was at */
		return;
	for (size_t i = 0; i < sizeof(elements) / sizeof(elements[0]); i++)
		if (elements[i].kind == d->kind && strcmp(elements[i].path, d->path) == 0)
			elements[i].end(d, buf_span(&d->text));
	buf_clear(&d->text);
	d->depth--;
	d->npath -= n + (d->npath > n ? 1 : 0);
	d->path[d->npath] = '\0';
}

static void XMLCALL
on_text(void *arg, const XML_Char *p, int n)
{
	struct s3_doc *d = arg;

	if (!d->failed && !buf_add(&d->text, p, (size_t)n))
		fail(d, "one of its elements is too long");
}

static void XMLCALL
on_doctype(void *arg, const XML_Char *name, const XML_Char *sysid, const XML_Char *pubid, int has)
{
	fail(arg, "it has a document type, which no S3 server sends");
}

struct s3_doc *
s3_doc_new(enum s3_doc_kind kind)
{
	struct s3_doc *d = calloc(1, sizeof(*d));

	if (d == NULL || (d->xml = XML_ParserCreate(NULL)) == NULL) {
		free(d);
		return NULL;
	}
	d->kind = kind;
	d->octets = kind == S3_DOC_PAGE ? S3_PAGE_OCTETS : S3_ERROR_OCTETS;
	buf_init(&d->text, TEXT_MAX);
	buf_init(&d->names, NAMES_MAX);
	XML_SetUserData(d->xml, d);
	XML_SetElementHandler(d->xml, on_start, on_end);
	XML_SetCharacterDataHandler(d->xml, on_text);
	XML_SetStartDoctypeDeclHandler(d->xml, on_doctype);
	return d;
}

void
s3_doc_free(struct s3_doc **dp)
{
	struct s3_doc *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	XML_ParserFree(d->xml);
	buf_fini(&d->text);
	buf_fini(&d->names);
	free(d->objects);
	free(d->rules);
	free(d);
}

static int
parse(struct s3_doc *d, struct span s, bool last, struct why *why)
{
	if (!d->failed && s.n > d->octets)
		fail(d, "it is larger than any should be");
	if (!d->failed) {
		d->octets -= s.n;
		if (XML_Parse(d->xml, s.p, (int)s.n, last) != XML_STATUS_OK)
			fail(d, XML_ErrorString(XML_GetErrorCode(d->xml)));
	}
	if (!d->failed)
		return 0;
	*why = d->why;
	return -1;
}

int
s3_doc_feed(struct s3_doc *d, struct span s, struct why *why)
{
	return parse(d, s, false, why);
}

/* --- at the end ------------------------------------------------------------------------------ */

static int
at_end(struct s3_doc *d, enum s3_doc_kind kind, struct why *why)
{
	assert(d->kind == kind);
	return parse(d, SPAN_LIT(""), true, why);
}

/* %XX undone in place.  False: it is no name that can be asked for. */
static bool
undo_percent(char *name)
{
	size_t n = strlen(name), at = 0;
	unsigned char octet;

	for (size_t i = 0; i < n; i++) {
		if (name[i] != '%')
			octet = (unsigned char)name[i];
		else if (i + 2 < n && hex_decode(span_of(name + i + 1, 2), &octet, 1))
			i += 2;
		else
			return false;
		if (octet == '\0')
			return false;
		name[at++] = (char)octet;
	}
	name[at] = '\0';
	return true;
}

int
s3_doc_page(struct s3_doc *d, struct s3_page *page, struct why *why)
{
	char *name = d->names.p;
	size_t n = 0;

	*page = (struct s3_page){ 0 };
	if (at_end(d, S3_DOC_PAGE, why) == -1)
		return -1;
	if (d->more && d->next[0] == '\0')
		return why_set(why, "the store's answer: there are more objects, but it does not "
		    "say how to ask for them; does it know ListObjectsV2?");
	for (size_t i = 0; i < d->nobjects; i++) {
		char *behind = name + strlen(name) + 1;

		if ((!d->in_percent || undo_percent(name)) && strlen(name) <= S3_KEY_MAX) {
			d->objects[n] = d->objects[i];
			d->objects[n++].key = name;
		}
		name = behind;
	}
	*page = (struct s3_page){ d->objects, n, d->nobjects - n, d->more ? d->next : NULL };
	return 0;
}

int
s3_doc_lifecycle(struct s3_doc *d, struct s3_lifecycle *l, struct why *why)
{
	*l = (struct s3_lifecycle){ 0 };
	if (at_end(d, S3_DOC_LIFECYCLE, why) == -1)
		return -1;
	*l = (struct s3_lifecycle){ d->rules, d->nrules };
	return 0;
}

int
s3_doc_error(struct s3_doc *d, struct s3_error *e, struct why *why)
{
	*e = (struct s3_error){ 0 };
	if (at_end(d, d->kind == S3_DOC_COPY ? S3_DOC_COPY : S3_DOC_ERROR, why) == -1)
		return -1;
	*e = d->error;
	return 0;
}

/* --- what follows from it -------------------------------------------------------------------- */

int
s3_walk_on(struct s3_walk *w, const struct s3_page *page, struct why *why)
{
	const char *next = page->next != NULL ? page->next : "";

	for (size_t i = 0; i < page->n; i++) {
		if ((w->pages > 0 || i > 0) && strcmp(page->objects[i].key, w->last) <= 0)
			return why_set(why, "the store's listing goes back: an object comes twice "
			    "or out of order, so that it might never end");
		span_copy(span_str(page->objects[i].key), w->last, sizeof(w->last));
	}
	if (page->next != NULL && (page->n + page->unnamed == 0 || strcmp(next, w->token) == 0))
		return why_set(why, "the store's listing does not get on: %s, so that it might "
		    "never end", page->n + page->unnamed == 0 ? "a page is empty and says that "
		    "there is more" : "a page leads to itself");
	span_copy(span_str(next), w->token, sizeof(w->token));
	w->pages++;
	w->over = page->next == NULL;
	return 0;
}

static bool
begins(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

int64_t
s3_lifecycle_age(const struct s3_lifecycle *l, const char *prefix, int64_t now_ms)
{
	int64_t least = 0;

	for (size_t i = 0; i < l->n; i++) {
		const struct s3_rule *r = &l->rules[i];
		int64_t age = r->age_ms > 0 ? r->age_ms :
		    r->at_ms - now_ms > DAY_MS ? r->at_ms - now_ms : DAY_MS;

		if ((begins(prefix, r->prefix) || begins(r->prefix, prefix)) &&
		    (least == 0 || age < least))
			least = age;
	}
	return least;
}

bool
s3_bucket_name(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] < 'a' || s.p[i] > 'z') && (s.p[i] < 'A' || s.p[i] > 'Z') &&
		    (s.p[i] < '0' || s.p[i] > '9') && s.p[i] != '-' && s.p[i] != '_' &&
		    (s.p[i] != '.' || i == 0))
			return false;
	return s.n >= 3 && s.n <= S3_BUCKET_MAX;
}

bool
s3_held_name(struct span name, struct uuid *id)
{
	return name.n == 40 && memcmp(name.p + 36, ".age", 4) == 0 &&
	    uuid_parse(span_of(name.p, 36), id);
}

bool
s3_key_name(const char *key)
{
	size_t n;

	if (key[0] == '\0' || strlen(key) > S3_KEY_MAX)
		return false;
	for (const char *p = key; ; p += n + 1) {
		n = strcspn(p, "/");
		if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		if (p[n] == '\0')
			return true;
	}
}

/* Digits of that many, in their range. */
static bool
digits(struct span s, size_t at, size_t n, unsigned least, unsigned most, unsigned *out)
{
	unsigned long long v;

	if (at + n > s.n || !span_u64(span_of(s.p + at, n), most, &v) || v < least)
		return false;
	*out = (unsigned)v;
	return true;
}

bool
s3_time(struct span s, int64_t *ms)
{
	unsigned year, month, day, hour, minute, second, thousandth = 0, scale = 100;
	size_t i = 19;
	int64_t y, days;

	*ms = 0;
	if (s.n < 20 || s.p[4] != '-' || s.p[7] != '-' || s.p[10] != 'T' || s.p[13] != ':' ||
	    s.p[16] != ':' || s.p[s.n - 1] != 'Z' ||
	    !digits(s, 0, 4, 1970, 9999, &year) || !digits(s, 5, 2, 1, 12, &month) ||
	    !digits(s, 8, 2, 1, 31, &day) || !digits(s, 11, 2, 0, 23, &hour) ||
	    !digits(s, 14, 2, 0, 59, &minute) || !digits(s, 17, 2, 0, 60, &second))
		return false;
	if (s.p[i] == '.')
		for (i++; i < s.n - 1 && s.p[i] >= '0' && s.p[i] <= '9'; i++, scale /= 10)
			thousandth += (unsigned)(s.p[i] - '0') * scale;
	if (i != s.n - 1)
		return false;
	/* Days since 1970, with years that begin in March so that the leap day comes last. */
	y = (int64_t)year - (month <= 2);
	days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * ((month + 9) % 12) + 2) / 5 + day - 1 -
	    719468;
	*ms = (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + thousandth;
	return true;
}
