/* What a bucket's client asks, and what it makes of an answer, by a server on the same loop. */
#include "kit/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "kit/http_server.h"
#include "net/s3.h"

#define KEY	"pending/a b+\xc3\xa4.age"
#define LARGE	(300u << 10)
#define SECRET	"wJalrXUtnFEMI"

enum verb { GET = 0, HEAD, PUT, NEW, DELETE, SAME, COPY, LIST, RULES, VERBS };

static struct http *http;
static struct resolver *resolver;
static struct s3 *s3;
static struct s3_call *call;
static struct s3_walk walk;
static struct s3_answer answer;
static struct why why;
static unsigned done, pages, begun;
static size_t left, size, got;		/* of what is pulled; of what came */
static bool stop, hold, may_again;
static char shown[300];			/* of the head: size and metadata */
static char *large;

static bool
on_head(void *arg, const struct s3_head *h)
{
	int n = snprintf(shown, sizeof(shown), "%llu %.*s", (unsigned long long)h->size,
	    (int)h->etag.n, h->etag.p);

	for (size_t i = 0; i < h->nmeta; i++)
		n += snprintf(shown + n, sizeof(shown) - (size_t)n, " %s=%.*s", h->meta[i].name,
		    (int)h->meta[i].value.n, h->meta[i].value.p);
	return true;
}

static bool
on_body(void *arg, struct span s)
{
	got += s.n;
	if (hold)
		s3_call_pause(call);
	return !stop;
}

static ssize_t
on_pull(void *arg, char *out, size_t room)
{
	size_t n = left < room ? left : room;

	if (stop && left < size)
		return -1;
	if (stop)
		n = 1;
	memset(out, 'b', n);
	left -= n;
	return (ssize_t)n;
}

static bool
on_again(void *arg)
{
	begun++;
	left = size;
	return may_again;
}

static void
on_page(void *arg, const struct s3_page *p)
{
	pages++;
}

static void
on_rules(void *arg, const struct s3_lifecycle *l)
{
	pages++;
}

static void
on_done(void *arg, const struct s3_answer *a)
{
	answer = *a;
	call = NULL;
	done++;
}

static const struct s3_ops ops = {
	on_head, on_body, on_pull, on_again, on_page, on_rules, on_done,
};

static struct s3_call *
begin(enum verb verb)
{
	struct s3_meta meta[] = { { "posthouse-edge", SPAN_LIT("mx1\r\nX: y") },
		{ "posthouse-mac", SPAN_LIT("00ff") } };
	struct s3_put put = { .key = KEY, .size = left = size, .only_new = verb == NEW,
		.meta = meta, .nmeta = 2 };

	done = pages = begun = 0;
	got = 0;
	shown[0] = '\0';
	walk = (struct s3_walk){ .pages = 0 };
	switch (verb) {
	case GET:
		return s3_get(s3, KEY, LARGE, &ops, NULL, &why);
	case HEAD:
		return s3_head(s3, KEY, &ops, NULL, &why);
	case DELETE:
		return s3_delete(s3, KEY, &ops, NULL, &why);
	case SAME:
		return s3_delete_same(s3, KEY, "\"e\"", &ops, NULL, &why);
	case COPY:
		return s3_copy(s3, KEY, "processed/b", &ops, NULL, &why);
	case LIST:
		return s3_list(s3, "pending/", 7, &walk, &ops, NULL, &why);
	case RULES:
		return s3_lifecycle(s3, &ops, NULL, &why);
	default:
		return s3_put(s3, &put, &ops, NULL, &why);
	}
}

static void
ask(enum verb verb)
{
	call = begin(verb);
	assert_non_null(call);
	assert_int_equal(done, 0);		/* never from inside the call */
	RUN_UNTIL(done > 0);
	assert_true(answer.end == S3_DONE || answer.why.text[0] != '\0');
	assert_null(strstr(answer.why.text, SECRET));
}

static int
setup(void **state)
{
	struct s3_keys keys = { "AKIDEXAMPLE", SECRET, "" };
	struct s3_place place = { .bucket = "mail", .region = "auto" };
	struct netaddr at;
	char url[100];

	loop_begin();
	memset(&server, 0, sizeof(server));
	http = http_new(&loop, &why);
	resolver = resolver_new();
	assert_true(http != NULL && resolver != NULL);
	at = http_server_begin(NULL);
	snprintf(url, sizeof(url), "http://%s", netaddr_hostport(&at).s);
	place.endpoint = url;
	s3 = s3_new(http, resolver, &place, &keys, &why);
	assert_non_null(s3);
	large = malloc(LARGE + 200);
	snprintf(large, 200, "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", LARGE);
	memset(large + strlen(large), 'x', LARGE);
	large[strcspn(large, "x") + LARGE] = '\0';
	stop = hold = false;
	may_again = true;
	size = 0;
	return 0;
}

static int
teardown(void **state)
{
	s3_free(&s3);
	http_free(&http);
	resolver_free(&resolver);
	http_server_end();
	free(large);
	loop_end();
	return 0;
}

/* What an answer means: by its code, by its status, by what was asked. */
#define SAYS(status)	"HTTP/1.1 " status "\r\nContent-Length: 0\r\n\r\n"
#define PAGE	"HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\n<ListBucketResult></ListBucketResult>"
#define CODE(status, code) "HTTP/1.1 " status "\r\nConnection: close\r\n\r\n<Error><Code>" code \
	"</Code></Error>"

static const struct {
	const char	*name;
	enum verb	 verb;
	const char	*says;
	enum s3_end	 end;
	const char	*words;
} answers[] = {
	{ "an object", GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"e\"\r\n"
	    "X-Amz-Meta-Posthouse-MAC: 00ff\r\nx-amz-meta-b:  c \r\n\r\nhello", S3_DONE, "" },
	{ "an empty one", GET, SAYS("200 OK"), S3_DONE, "" },
	{ "one of unknown length", GET, "HTTP/1.1 200 OK\r\n\r\nhello", S3_STRANGE,
	    "how long the object is" },
	{ "one that is too large", GET, "HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\nhello",
	    S3_STRANGE, "larger than we take" },
	{ "no such object", GET, CODE("404 No", "NoSuchKey"), S3_GONE, "404 NoSuchKey" },
	{ "no such bucket", GET, CODE("404 No", "NoSuchBucket"), S3_NO_BUCKET, "\"mail\" here" },
	{ "a HEAD has no code", HEAD, SAYS("404 No"), S3_GONE, "" },
	{ "404 to a listing is the bucket's", LIST, SAYS("404 No"), S3_NO_BUCKET, "" },
	{ "404 to a PUT is the bucket's", PUT, SAYS("404 No"), S3_NO_BUCKET, "" },
	{ "no rules", RULES, CODE("404 No", "NoSuchLifecycleConfiguration"), S3_GONE, "" },
	{ "stored", PUT, "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 0\r\n\r\n",
	    S3_DONE, "" },
	{ "stored, says who stores nothing", PUT, SAYS("200 OK"), S3_STRANGE, "no S3 server" },
	{ "there already", NEW, SAYS("412 Precondition Failed"), S3_EXISTS, "" },
	{ "there at the same time", NEW, CODE("409 Conflict", "ConditionalRequestConflict"),
	    S3_EXISTS, "" },
	{ "no conditions", NEW, SAYS("501 Not Implemented"), S3_UNKNOWN, "" },
	{ "deleted", DELETE, "HTTP/1.1 204 No Content\r\n\r\n", S3_DONE, "" },
	{ "deleted, as it is the same", SAME, "HTTP/1.1 204 No Content\r\n\r\n", S3_DONE, "" },
	{ "another one is there by now", SAME, CODE("412 No", "PreconditionFailed"), S3_CHANGED,
	    "" },
	{ "and without a code", SAME, SAYS("412 No"), S3_CHANGED, "" },
	{ "changed at the same time", SAME, CODE("409 Conflict", "ConditionalRequestConflict"),
	    S3_CHANGED, "" },
	{ "no conditions on a DELETE", SAME, CODE("501 No", "NotImplemented"), S3_UNKNOWN, "" },
	{ "a page", LIST, PAGE, S3_DONE, "" },
	{ "a page of the web", LIST, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n<html/>",
	    S3_STRANGE, "nor an S3 server's" },
	{ "a copy that came to nothing", COPY, "HTTP/1.1 200 OK\r\n\r\n<Error><Code>InternalError"
	    "</Code></Error>", S3_FAILED, "InternalError" },
	{ "a copy", COPY, "HTTP/1.1 200 OK\r\n\r\n<CopyObjectResult></CopyObjectResult>", S3_DONE,
	    "" },
	{ "another secret", GET, CODE("403 No", "SignatureDoesNotMatch"), S3_FORBIDDEN,
	    "the secret is not the one" },
	{ "no words", GET, SAYS("403 No"), S3_FORBIDDEN, "may not do that" },
	{ "a clock", GET, "HTTP/1.1 403 No\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
	    "Content-Length: 0\r\n\r\n", S3_SKEWED, "ahead of the store's" },
	{ "its code", GET, CODE("403 No", "RequestTimeTooSkewed"), S3_SKEWED, "clock is wrong" },
	{ "too much", GET, "HTTP/1.1 429 Slow\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n",
	    S3_SLOW_DOWN, "429" },
	{ "overload", GET, CODE("503 No", "SlowDown"), S3_SLOW_DOWN, "503" },
	{ "broken", GET, SAYS("500 Oh"), S3_FAILED, "500" },
	{ "moved", LIST, "HTTP/1.1 301 Moved\r\nx-amz-bucket-region: eu-1\r\nLocation: /\r\n"
	    "Content-Length: 0\r\n\r\n", S3_ELSEWHERE, "region = \"eu-1\"" },
	{ "unlike any", GET, CODE("418 Tea", "Teapot"), S3_REFUSED, "418 Teapot" },
	{ "what is said in the store's own words", GET, "HTTP/1.1 400 No\r\n\r\n<Error><Code>X\x7f"
	    "</Code><Message>a&#10;b</Message></Error>", S3_REFUSED, "X?: it says: a?b" },
	{ "no HTTP", GET, "220 mail.example ESMTP\r\n", S3_BROKEN, "" },
};

static void
an_answer_means_one_thing(void **state)
{
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		server.says = answers[i].says;
		ask(answers[i].verb);
		if (answer.end != answers[i].end ||
		    strstr(answer.why.text, answers[i].words) == NULL)
			fail_msg("%s: end %d: %s", answers[i].name, answer.end, answer.why.text);
		if (i == 0)
			assert_string_equal(shown, "5 \"e\" posthouse-mac=00ff b=c");
		if (answer.end == S3_SLOW_DOWN)
			assert_int_equal(answer.wait_ms, answer.status == 429 ? 120000 : 10000);
	}
}

static void
hears(const char *begins, const char *has)
{
	buf_add(&server.heard, "", 1);
	if (strncmp(server.heard.p, begins, strlen(begins)) != 0 ||
	    strstr(server.heard.p, has) == NULL || strstr(server.heard.p, SECRET) != NULL ||
	    strstr(server.heard.p, "\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKID") == NULL)
		fail_msg("%s, %s: %s", begins, has, server.heard.p);
}

static void
a_request_is_said_as_it_was_signed(void **state)
{
	server.says = SAYS("500 Oh");
	ask(GET);
	hears("GET /mail/pending/a%20b%2B%C3%A4.age HTTP/1.1\r\n",
	    "\r\nx-amz-content-sha256: e3b0");
	ask(HEAD);
	hears("HEAD /mail/pending/a%20b", "");
	size = 3;
	ask(NEW);
	hears("PUT /mail/pending/a%20b%2B%C3%A4.age HTTP/1.1\r\n", "\r\nif-none-match: *\r\n");
	hears("PUT", "\r\nx-amz-meta-posthouse-edge: mx1??X: y\r\n");
	hears("PUT", "\r\nContent-Length: 3\r\n");
	ask(PUT);
	assert_null(strstr(server.heard.p, "if-none-match"));
	ask(COPY);
	hears("PUT /mail/processed/b HTTP/1.1\r\n",
	    "\r\nx-amz-copy-source: /mail/pending/a%20b%2B%C3%A4.age\r\n");
	hears("PUT", "\r\nContent-Length: 0\r\n");
	ask(LIST);
	hears("GET /mail/?encoding-type=url&list-type=2&max-keys=7&prefix=pending%2F HTTP/1.1\r\n",
	    "");
	ask(RULES);
	hears("GET /mail/?lifecycle= HTTP/1.1\r\n", "");
}

static void
no_name_leads_elsewhere(void **state)
{
	assert_null(s3_get(s3, "pending/../x", 1, &ops, NULL, &why));
	assert_null(s3_copy(s3, "..", "a", &ops, NULL, &why));
	assert_null(s3_delete(s3, "", &ops, NULL, &why));
}

/* An answer that breaks off anywhere, and its whole form: of nothing less it is said to be done. */
static const struct { enum verb verb; const char *says; } wholes[] = {
	{ GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"e\"\r\n\r\nhello" },
	{ PUT, "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 0\r\n\r\n" },
	{ DELETE, "HTTP/1.1 204 No Content\r\nx-amz-request-id: 1\r\n\r\n" },
	{ COPY, "HTTP/1.1 200 OK\r\n\r\n<CopyObjectResult></CopyObjectResult>" },
	{ LIST, "HTTP/1.1 200 OK\r\n\r\n<ListBucketResult></ListBucketResult>" },
	{ HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" },
	{ RULES, "HTTP/1.1 200 OK\r\n\r\n<LifecycleConfiguration></LifecycleConfiguration>" },
};

static void
an_answer_that_is_cut_anywhere_is_none(void **state)
{
	char says[200];

	for (size_t i = 0; i < sizeof(wholes) / sizeof(wholes[0]); i++)
		for (size_t n = 0; n <= strlen(wholes[i].says); n++) {
			snprintf(says, sizeof(says), "%.*s", (int)n, wholes[i].says);
			server.says = says;
			ask(wholes[i].verb);
			if ((answer.end == S3_DONE) != (n == strlen(wholes[i].says)) ||
			    (answer.end != S3_DONE && pages > 0))
				fail_msg("verb %d cut at %zu of %zu: end %d: %s", wholes[i].verb, n,
				    strlen(wholes[i].says), answer.end, answer.why.text);
		}
}

static void
a_body_waits_while_its_reader_does(void **state)
{
	server.says = large;
	hold = true;
	call = begin(GET);
	RUN_UNTIL(got > 0);
	loop_run_ms(50);
	assert_true(got <= 2 * 16384);
	assert_int_equal(done, 0);
	for (size_t before = got; done == 0; before = got) {
		s3_call_resume(call);
		assert_int_equal(got, before);		/* not from inside */
		RUN_UNTIL(done > 0 || got > before);
	}
	assert_int_equal(answer.end, S3_DONE);
	assert_int_equal(got, LARGE);
}

static void
whoever_has_enough_stops_it(void **state)
{
	server.says = large;
	stop = true;
	ask(GET);
	assert_int_equal(answer.end, S3_STOPPED);
	size = 100;
	ask(PUT);
	assert_int_equal(answer.end, S3_STOPPED);
}

/* Each request but the first finds a connection that is closed when it has come. */
static void
a_put_goes_again_from_its_beginning_or_not_at_all(void **state)
{
	server.says = "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 0\r\n\r\n";
	server.answers = 1;
	size = 70000;
	ask(PUT);
	assert_int_equal(answer.end, S3_DONE);
	ask(PUT);
	assert_int_equal(answer.end, S3_DONE);
	assert_true(begun > 0 && left == 0);
	assert_int_equal(server.served, 3);
	may_again = false;
	ask(PUT);
	assert_int_equal(answer.end, S3_BROKEN);
	assert_int_equal(server.served, 4);
}

static void
after_a_wrong_clock_requests_are_dated_by_the_stores(void **state)
{
	server.says = "HTTP/1.1 403 No\r\nDate: Thu, 01 Jan 2026 10:00:00 GMT\r\n"
	    "Content-Length: 0\r\n\r\n";
	ask(GET);
	assert_int_equal(answer.end, S3_SKEWED);
	assert_true(llabs(wall_ms() - answer.skew_ms - 1767261600000) < 20000);
	ask(GET);
	hears("GET", "\r\nx-amz-date: 20260101T10000");
	assert_int_equal(answer.end, S3_FORBIDDEN);	/* it was not the clock, then */
}

static void
nobody_hears_of_a_call_that_is_given_up(void **state)
{
	call = begin(GET);			/* before it has begun */
	s3_call_cancel(&call);
	server.says = NULL;
	call = begin(GET);
	RUN_UNTIL(server.served == 1);
	s3_call_cancel(&call);
	begin(LIST);				/* and this one ends with its client */
	RUN_UNTIL(server.served == 2);
	s3_free(&s3);
	RUN_UNTIL(server.open == 0);
	assert_int_equal(done, 0);
}

static void
a_store_without_an_address_is_not_reached(void **state)
{
	struct s3_keys keys = { "a", SECRET, "t" };
	struct s3_place place = { .endpoint = "https://s3.example.net", .bucket = "mail",
		.region = "auto", .virtual_host = true };

	s3_free(&s3);
	s3 = s3_new(http, resolver, &place, &keys, &why);
	assert_non_null(s3);
	ask(PUT);				/* nobody knows names here */
	assert_int_equal(answer.end, S3_NOT_REACHED);
	place.bucket = "a/b";
	assert_null(s3_new(http, resolver, &place, &keys, &why));
	place.endpoint = "s3.example.net";
	assert_null(s3_new(http, resolver, &place, &keys, &why));
}

static void
a_server_that_is_gone_is_not_reached(void **state)
{
	http_server_end();
	ask(LIST);
	assert_int_equal(answer.end, S3_NOT_REACHED);
	http_server_begin(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(an_answer_means_one_thing),
		T(a_request_is_said_as_it_was_signed),
		T(no_name_leads_elsewhere),
		T(an_answer_that_is_cut_anywhere_is_none),
		T(a_body_waits_while_its_reader_does),
		T(whoever_has_enough_stops_it),
		T(a_put_goes_again_from_its_beginning_or_not_at_all),
		T(after_a_wrong_clock_requests_are_dated_by_the_stores),
		T(nobody_hears_of_a_call_that_is_given_up),
		T(a_store_without_an_address_is_not_reached),
		T(a_server_that_is_gone_is_not_reached),
	};

	return cmocka_run_group_tests_name("s3", tests, NULL, NULL);
}
