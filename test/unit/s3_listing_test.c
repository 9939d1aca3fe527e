#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What a store's XML means, in whatever pieces it comes; and that no listing goes on for ever. */
#include "proto/s3_keys.h"
#include "proto/s3_listing.h"

#define HEAD	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define LIST(s)	HEAD "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" \
	"<Name>mail</Name>" s "</ListBucketResult>"
#define TIME	"<LastModified>2026-11-21T03:40:00.123Z</LastModified>"
#define ONE(key) "<Contents><Key>" key "</Key>" TIME "<ETag>&quot;x&quot;</ETag><Size>7</Size>" \
	"<Owner><ID>1</ID></Owner></Contents>"

/* Each object's name with a space behind, "~" for one that is left out, then the next token. */
static const struct {
	const char	*name, *xml, *shown;	/* NULL: it is refused */
} pages[] = {
	{ "nothing waits", LIST("<IsTruncated>false</IsTruncated>"), "|" },
	{ "two", LIST(ONE("a") ONE("b/c.age")), "a b/c.age |" },
	{ "there is more", LIST("<IsTruncated>true</IsTruncated><NextContinuationToken>t/+=&amp;"
	    "</NextContinuationToken>" ONE("a")), "a |t/+=&" },
	{ "in %XX", LIST("<EncodingType>url</EncodingType>" ONE("a%20b%2fc%25")), "a b/c% |" },
	{ "in %XX, said behind", LIST(ONE("a%20b") "<EncodingType>url</EncodingType>"), "a b |" },
	{ "no %XX", LIST(ONE("a%20b")), "a%20b |" },
	{ "a name with a NUL, and what is no %XX", LIST("<EncodingType>url</EncodingType>"
	    ONE("a%00") ONE("b%") ONE("c%zz") ONE("d")), "d ~~~|" },
	{ "a token of a listing that is over counts for nothing",
	    LIST("<IsTruncated>false</IsTruncated><NextContinuationToken>t"
	    "</NextContinuationToken>"), "|" },
	{ "names within others are none", LIST("<CommonPrefixes><Prefix>p</Prefix><Key>x</Key>"
	    "</CommonPrefixes>" ONE("a")), "a |" },
	{ "more, but not how", LIST("<IsTruncated>true</IsTruncated>" ONE("a")), NULL },
	{ "an object without a name", LIST("<Contents>" TIME "<Size>7</Size></Contents>"), NULL },
	{ "an object without a size", LIST("<Contents><Key>a</Key>" TIME "</Contents>"), NULL },
	{ "an object without a time", LIST("<Contents><Key>a</Key><Size>7</Size></Contents>"),
	    NULL },
	{ "an object with two names", LIST("<Contents><Key>a</Key><Key>b</Key>" TIME
	    "<Size>7</Size></Contents>"), NULL },
	{ "a size below nothing", LIST("<Contents><Key>a</Key>" TIME "<Size>-7</Size></Contents>"),
	    NULL },
	{ "an error is no empty bucket", HEAD "<Error><Code>InternalError</Code></Error>", NULL },
	{ "a page of the web is none", "<html><body>Log in</body></html>", NULL },
	{ "not XML", "hello", NULL },
	{ "nothing at all", "", NULL },
	{ "cut short", HEAD "<ListBucketResult>" ONE("a"), NULL },
	{ "two documents", LIST("") LIST(""), NULL },
	{ "a document type", "<!DOCTYPE x [<!ENTITY a \"b\">]><ListBucketResult/>", NULL },
	{ "an entity that nobody declared", LIST(ONE("&a;")), NULL },
	{ "nested deeper than any", LIST("<a><b><c><d><e><f><g><h/></g></f></e></d></c></b></a>"),
	    NULL },
};

static void
show(const struct s3_page *p, char *out, size_t max)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < p->n; i++) {
		n += (size_t)snprintf(out + n, max - n, "%s ", p->objects[i].key);
		assert_int_equal(p->objects[i].size, 7);
		assert_int_equal(p->objects[i].modified_ms, 1795232400123);
	}
	for (size_t i = 0; i < p->unnamed; i++)
		n += (size_t)snprintf(out + n, max - n, "~");
	snprintf(out + n, max - n, "|%s", p->next != NULL ? p->next : "");
}

static struct s3_doc *
fed(enum s3_doc_kind kind, const char *xml, size_t piece)
{
	struct s3_doc *d = s3_doc_new(kind);
	struct span s = span_str(xml);
	struct why why;

	assert_non_null(d);
	while (s.n > 0) {
		size_t n = piece < s.n ? piece : s.n;

		(void)s3_doc_feed(d, span_of(s.p, n), &why);	/* what was refused stays so */
		s = span_from(s, n);
	}
	return d;
}

static void
a_page_means_one_thing_however_it_is_cut(void **state)
{
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		for (size_t piece = 1; piece <= strlen(pages[i].xml) + 1; piece++) {
			struct s3_doc *d = fed(S3_DOC_PAGE, pages[i].xml, piece);
			struct s3_page page;
			struct why why = { "" };
			char shown[200];
			int rc = s3_doc_page(d, &page, &why);

			if ((rc == 0) != (pages[i].shown != NULL))
				fail_msg("%s, by %zu: %s", pages[i].name, piece, why.text);
			assert_true(rc == 0 || (why.text[0] != '\0' && page.n == 0));
			if (rc == 0) {
				show(&page, shown, sizeof(shown));
				assert_string_equal(shown, pages[i].shown);
			}
			s3_doc_free(&d);
		}
}

/* As much as somebody may say, and then some more. */
static int
page_of(size_t n, size_t name, const char *filler, size_t fillers)
{
	struct s3_doc *d = fed(S3_DOC_PAGE, "<ListBucketResult>", 99);
	struct s3_page page;
	struct why why;
	char xml[5000];
	int rc;

	for (size_t i = 0; i < n; i++) {
		snprintf(xml, sizeof(xml), "<Contents><Key>%0*zu</Key>" TIME "<Size>1</Size>"
		    "</Contents>", (int)name, i);
		(void)s3_doc_feed(d, span_str(xml), &why);
	}
	for (size_t i = 0; i < fillers; i++)
		(void)s3_doc_feed(d, span_str(filler), &why);
	(void)s3_doc_feed(d, SPAN_LIT("</ListBucketResult>"), &why);
	rc = s3_doc_page(d, &page, &why);
	assert_true(rc == -1 || page.n + page.unnamed == n);
	s3_doc_free(&d);
	return rc;
}

static void
a_page_has_its_limits(void **state)
{
	assert_int_equal(page_of(S3_PAGE_MAX, S3_KEY_MAX, "", 0), 0);
	assert_int_equal(page_of(S3_PAGE_MAX + 1, 10, "", 0), -1);
	assert_int_equal(page_of(1, 3 * S3_KEY_MAX, "", 0), 0);		/* left out */
	assert_int_equal(page_of(1, 3 * S3_KEY_MAX + 1, "", 0), -1);
	assert_int_equal(page_of(0, 0, "<x>0123456789</x>", 100000), 0);
	assert_int_equal(page_of(0, 0, "<x>0123456789</x>", S3_PAGE_OCTETS / 17), -1);
}

/* Pages as they come, and whether the walk is refused at the last of them. */
static const struct {
	const char	*name;
	struct { const char *key, *next; } page[4];
	bool		 bad;
} walks[] = {
	{ "a walk", { { "a", "1" }, { "b", "2" }, { "c", NULL } }, false },
	{ "the last page may be empty", { { "a", "1" }, { "", NULL } }, false },
	{ "the same object twice", { { "a", "1" }, { "a", "2" } }, true },
	{ "back again", { { "b", "1" }, { "a", "2" } }, true },
	{ "a page that leads to itself", { { "a", "1" }, { "b", "1" } }, true },
	{ "empty, and more", { { "a", "1" }, { "", "2" } }, true },
	{ "empty from the first, and more", { { "", "1" } }, true },
};

static void
a_listing_that_goes_in_circles_is_none(void **state)
{
	for (size_t i = 0; i < sizeof(walks) / sizeof(walks[0]); i++) {
		struct s3_walk w = { .pages = 0 };
		struct why why;
		int rc = 0;

		for (size_t k = 0; k < 4 && walks[i].page[k].key != NULL && rc == 0; k++) {
			struct s3_object o = { .key = walks[i].page[k].key };
			struct s3_page p = { &o, o.key[0] != '\0', 0, walks[i].page[k].next };

			assert_false(w.over);
			rc = s3_walk_on(&w, &p, &why);
		}
		if ((rc == -1) != walks[i].bad || w.over == walks[i].bad)
			fail_msg("%s", walks[i].name);
	}
}

#define RULES(s) HEAD "<LifecycleConfiguration>" s "</LifecycleConfiguration>"
#define RULE(status, s)	"<Rule><ID>r</ID><Status>" status "</Status>" s "</Rule>"
#define DAYS(n)	"<Expiration><Days>" n "</Days></Expiration>"
#define NOW	1795232400000		/* 2026-11-21T03:40:00Z */

static const struct {
	const char	*name, *xml;
	int		 days;		/* of pending/ in one bucket; -1: refused */
} rules[] = {
	{ "none", RULES(""), 0 },
	{ "for all", RULES(RULE("Enabled", "<Prefix></Prefix>" DAYS("7"))), 7 },
	{ "for ours", RULES(RULE("Enabled", "<Filter><Prefix>pending/</Prefix></Filter>"
	    DAYS("7"))), 7 },
	{ "for some of ours", RULES(RULE("Enabled", "<Prefix>pending/0</Prefix>" DAYS("7"))), 7 },
	{ "for others", RULES(RULE("Enabled", "<Prefix>processed/</Prefix>" DAYS("7"))), 0 },
	{ "not now", RULES(RULE("Disabled", DAYS("7"))), 0 },
	{ "the shortest", RULES(RULE("Enabled", DAYS("9")) RULE("Enabled", DAYS("3"))
	    RULE("Enabled", DAYS("5"))), 3 },
	{ "for what bears a tag, as ours does not", RULES(RULE("Enabled", "<Filter><Tag>"
	    "<Key>a</Key><Value>b</Value></Tag></Filter>" DAYS("7"))), 0 },
	{ "one with a tag says nothing of the next", RULES(RULE("Enabled", "<Filter><Tag/></Filter>"
	    DAYS("7")) RULE("Enabled", DAYS("9"))), 9 },
	{ "what ends uploads", RULES(RULE("Enabled", "<AbortIncompleteMultipartUpload>"
	    "<DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload>")), 0 },
	{ "at a date", RULES(RULE("Enabled", "<Expiration><Date>2026-11-26T03:40:00Z</Date>"
	    "</Expiration>")), 5 },
	{ "since a date", RULES(RULE("Enabled", "<Expiration><Date>2026-01-01T00:00:00.000Z</Date>"
	    "</Expiration>")), 1 },
	{ "no number", RULES(RULE("Enabled", DAYS("soon"))), -1 },
	{ "no date", RULES(RULE("Enabled", "<Expiration><Date>soon</Date></Expiration>")), -1 },
	{ "an error", HEAD "<Error><Code>x</Code></Error>", -1 },
};

static void
what_deletes_mail_is_known(void **state)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		for (size_t piece = 1; piece < 50; piece += 7) {
			struct s3_doc *d = fed(S3_DOC_LIFECYCLE, rules[i].xml, piece);
			struct s3_lifecycle l;
			struct why why = { "" };
			int rc = s3_doc_lifecycle(d, &l, &why);
			int64_t age = s3_lifecycle_age(&l, "pending/", NOW);

			if ((rc == -1) != (rules[i].days == -1) ||
			    (rc == 0 && age != rules[i].days * 86400000LL))
				fail_msg("%s: %d, %lld ms: %s", rules[i].name, rc, (long long)age,
				    why.text);
			s3_doc_free(&d);
		}
}

static void
an_error_is_told_in_the_stores_words(void **state)
{
	struct s3_doc *d = fed(S3_DOC_ERROR, HEAD "<Error><Code>PermanentRedirect</Code>"
	    "<Message>Elsewhere</Message><Endpoint>b.s3.example</Endpoint><Region>eu</Region>"
	    "<Detail><Code>no</Code></Detail></Error>", 5);
	struct s3_error e;
	struct why why;

	assert_int_equal(s3_doc_error(d, &e, &why), 0);
	assert_string_equal(e.code, "PermanentRedirect");
	assert_string_equal(e.message, "Elsewhere");
	assert_string_equal(e.endpoint, "b.s3.example");
	assert_string_equal(e.region, "eu");
	s3_doc_free(&d);
	d = fed(S3_DOC_ERROR, "<html/>", 5);
	assert_int_equal(s3_doc_error(d, &e, &why), -1);
	assert_string_equal(e.code, "");
	s3_doc_free(&d);
}

static void
a_copy_that_failed_says_200_and_an_error(void **state)
{
	struct s3_doc *d = fed(S3_DOC_COPY, "<Error><Code>InternalError</Code></Error>", 9);
	struct s3_error e;
	struct why why;

	assert_int_equal(s3_doc_error(d, &e, &why), 0);
	assert_string_equal(e.code, "InternalError");
	s3_doc_free(&d);
	d = fed(S3_DOC_COPY, "<CopyObjectResult><ETag>x</ETag></CopyObjectResult>", 9);
	assert_int_equal(s3_doc_error(d, &e, &why), 0);
	assert_string_equal(e.code, "");
	s3_doc_free(&d);
	d = fed(S3_DOC_COPY, "<CopyObjectResult><ETag>x</ETag>", 9);
	assert_int_equal(s3_doc_error(d, &e, &why), -1);
	s3_doc_free(&d);
}

static void
times_are_read_to_the_millisecond(void **state)
{
	static const struct { const char *text; int64_t ms; } times[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "1970-03-01T00:00:00Z", 59 * 86400000LL },
		{ "2000-02-29T23:59:59.999Z", 951868799999 },
		{ "2026-11-21T03:40:00.5Z", 1795232400500 },
		{ "2026-11-21T03:40:00.123456Z", 1795232400123 },
		{ "9999-12-31T23:59:59Z", 253402300799000 },
		{ "1969-12-31T23:59:59Z", -1 }, { "2026-13-01T00:00:00Z", -1 },
		{ "2026-11-21T03:40:00", -1 }, { "2026-11-21 03:40:00Z", -1 },
		{ "2026-11-21T03:40:00+01:00", -1 }, { "2026-11-21T03:40:00.1.2Z", -1 },
		{ "", -1 }, { "2026-11-21T24:40:00Z", -1 },
	};

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		int64_t ms;
		bool ok = s3_time(span_str(times[i].text), &ms);

		if (ok != (times[i].ms >= 0) || (ok && ms != times[i].ms))
			fail_msg("%s: %lld", times[i].text, (long long)ms);
	}
}

static void
no_name_leads_out_of_the_bucket(void **state)
{
	static const char *const good[] = { "a", "pending/x.age", "a/", "a//b", "...", ".a/..b" };
	static const char *const bad[] = { "", ".", "..", "a/..", "../a", "a/../b", "a/./b" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(s3_key_name(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(s3_key_name(bad[i]));
	assert_true(s3_bucket_name(SPAN_LIT("my-mail.2")));
	assert_false(s3_bucket_name(SPAN_LIT("a/b")) || s3_bucket_name(SPAN_LIT("..")) ||
	    s3_bucket_name(SPAN_LIT(".mail")) || s3_bucket_name(SPAN_LIT("a?b")));
}

/* A file of credentials; id and secret of what is one are "id" and "se=cret". */
static const struct {
	const char	*name, *text, *token;	/* NULL: it is none */
} files[] = {
	{ "two lines", "id\nse=cret\n", "" },
	{ "without the last end of line, with others'", "id\r\nse=cret", "" },
	{ "comments, empty lines and spaces", "# R2\n\n  id \n\n\tse=cret\n\n", "" },
	{ "as the AWS tools write them", "[default]\naws_access_key_id = id\n"
	    "aws_secret_access_key = se=cret\n", "" },
	{ "short, in another order", "secret_access_key=se=cret\nACCESS_KEY_ID=id\n"
	    "session_token=tok\n", "tok" },
	{ "nothing", "", NULL },
	{ "half", "id\n", NULL },
	{ "three lines", "id\nse=cret\nmore\n", NULL },
	{ "a key twice", "access_key_id=id\naccess_key_id=id\nsecret_access_key=se=cret\n", NULL },
	{ "two users", "[a]\naccess_key_id=id\nsecret_access_key=se=cret\n[b]\n", NULL },
	{ "another key", "access_key_id=id\nsecret=se=cret\n", NULL },
	{ "no secret", "access_key_id=id\nsecret_access_key=\n", NULL },
	{ "a space within", "i d\nse=cret\n", NULL },
	{ "no ASCII", "id\nse=cret\xc3\xa4\n", NULL },
};

static void
credentials_are_two_lines_or_named(void **state)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct s3_keys k;
		struct why why = { "" };
		int rc = s3_keys_parse(span_str(files[i].text), &k, &why);

		if ((rc == 0) != (files[i].token != NULL))
			fail_msg("%s: %s", files[i].name, why.text);
		assert_null(strstr(why.text, "se=cret"));
		assert_string_equal(k.id, rc == 0 ? "id" : "");
		assert_string_equal(k.secret, rc == 0 ? "se=cret" : "");
		if (rc == 0)
			assert_string_equal(k.token, files[i].token);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_means_one_thing_however_it_is_cut),
		cmocka_unit_test(a_page_has_its_limits),
		cmocka_unit_test(a_listing_that_goes_in_circles_is_none),
		cmocka_unit_test(what_deletes_mail_is_known),
		cmocka_unit_test(an_error_is_told_in_the_stores_words),
		cmocka_unit_test(a_copy_that_failed_says_200_and_an_error),
		cmocka_unit_test(times_are_read_to_the_millisecond),
		cmocka_unit_test(no_name_leads_out_of_the_bucket),
		cmocka_unit_test(credentials_are_two_lines_or_named),
	};

	return cmocka_run_group_tests_name("s3_listing", tests, NULL, NULL);
}
