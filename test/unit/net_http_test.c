/* What is asked and answered over HTTP, by a server on the same loop. */
#include "kit/loop.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kit/http_server.h"
#include "net/http.h"

#define ANSWER	"HTTP/1.1 200 OK\r\nX-Kind: a  \r\nContent-Length: 5\r\n\r\nhello"
#define LARGE	(3u << 20)

static struct http *http;
static struct netaddr at;
static struct buf body;
static char kind[16];
static size_t left, most;		/* of what is pulled */
static bool no_rest, unwanted;
static unsigned done, status;
static enum http_end end;
static struct why why;

static ssize_t
pull(void *arg, char *out, size_t room)
{
	size_t n = left < room ? left : room;

	most = room > most ? room : most;
	if (no_rest && left < LARGE / 2)
		return -1;
	memset(out, 'b', n);
	left -= n;
	return (ssize_t)n;
}

static void
head(void *arg, struct span name, struct span value)
{
	if (span_eq_nocase(name, SPAN_LIT("x-kind")))
		span_copy(value, kind, sizeof(kind));
}

static bool
take(void *arg, struct span s)
{
	buf_add_span(&body, s);
	return !unwanted;
}

static void
on_done(void *arg, enum http_end e, unsigned s, const struct why *w)
{
	end = e;
	status = s;
	why = *w;
	done++;
}

static const struct http_ops post = { .pull = pull, .head = head, .body = take, .done = on_done };
static const struct http_ops get = { .head = head, .body = take, .done = on_done };

static struct http_request
request(const char *method)
{
	return (struct http_request){ .method = method, .url = "http://filter/checkv2", .to = at,
		.size = left, .wait_ms = 10000, .answer_max = 1000 };
}

static struct http_call *
ask_as(const struct http_request *r, const struct http_ops *ops)
{
	struct http_call *c = http_call_new(http, r, ops, NULL, &why);

	assert_non_null(c);
	assert_true(http_call_field(c, "From", SPAN_LIT("<a@b>\r\nUser: root")));
	assert_true(http_call_go(c, &why));
	return c;
}

static void
ask(const char *method, const struct http_ops *ops)
{
	struct http_request r = request(method);

	ask_as(&r, ops);
	assert_int_equal(done, 0);		/* never from inside the call */
	RUN_UNTIL(done > 0);
}

static int
setup(void **state)
{
	loop_begin();
	/* Whatever the environment says. */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	http = http_new(&loop, &why);
	assert_non_null(http);
	at = http_server_begin(NULL);
	server.says = ANSWER;
	buf_init(&body, 1u << 20);
	left = most = done = 0;
	status = 0;
	no_rest = unwanted = false;
	kind[0] = '\0';
	return 0;
}

static int
teardown(void **state)
{
	http_free(&http);
	http_server_end();
	buf_fini(&body);
	loop_end();
	return 0;
}

static void
a_body_is_pulled_as_it_goes(void **state)
{
	const char *text;

	left = LARGE;
	ask("POST", &post);
	assert_int_equal(end, HTTP_ANSWERED);
	assert_int_equal(status, 200);
	assert_string_equal(kind, "a");
	assert_true(span_eq(buf_span(&body), SPAN_LIT("hello")));
	assert_int_equal(left, 0);
	assert_true(most <= 65536);
	buf_add(&server.heard, "", 1);
	text = server.heard.p;
	assert_ptr_equal(strstr(text, "POST /checkv2 HTTP/1.1\r\n"), text);
	assert_non_null(strstr(text, "\r\nHost: filter\r\n"));
	assert_non_null(strstr(text, "\r\nContent-Length: 3145728\r\n"));
	assert_null(strstr(text, "Expect"));
	assert_null(strstr(text, "chunked"));
}

static void
nobody_adds_a_field_by_a_value(void **state)
{
	ask("GET", &get);
	buf_add(&server.heard, "", 1);
	assert_non_null(strstr(server.heard.p, "\r\nFrom: <a@b>??User: root\r\n"));
	assert_ptr_equal(strstr(server.heard.p, "GET "), server.heard.p);
}

/* What the server says or does, and how that ends. */
static const struct {
	const char	*name, *says;
	enum http_end	 end;
	unsigned	 status;
	const char	*words;
} ends[] = {
	{ "an error is an answer", "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", HTTP_ANSWERED,
	    403, "" },
	{ "no redirect is followed", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n"
	    "Content-Length: 0\r\n\r\n", HTTP_ANSWERED, 302, "" },
	{ "an interim answer is none", "HTTP/1.1 103 Early\r\nX-Kind: b\r\n\r\n" ANSWER,
	    HTTP_ANSWERED, 200, "" },
	{ "cut short", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", HTTP_BROKEN, 0,
	    "" },
	{ "cut in its head", "HTTP/1.1 200 OK\r\nX-Kind: a\r\n", HTTP_BROKEN, 0, "" },
	{ "no HTTP at all", "220 mail.example ESMTP\r\n", HTTP_BROKEN, 0, "" },
	{ "not a word", "", HTTP_BROKEN, 0, "" },
};

static void
what_the_server_says_is_what_the_caller_hears(void **state)
{
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		server.says = ends[i].says;
		done = 0;
		ask("GET", &get);
		if (end != ends[i].end || status != ends[i].status ||
		    (end == HTTP_BROKEN && why.text[0] == '\0'))
			fail_msg("%s: end %d, status %u: %s", ends[i].name, end, status, why.text);
	}
	assert_string_equal(kind, "a");
}

static void
an_answer_without_end_is_broken_off(void **state)
{
	server.says = "HTTP/1.1 200 OK\r\n\r\n";
	server.endless = true;
	ask("GET", &get);
	assert_int_equal(end, HTTP_BROKEN);
	assert_non_null(strstr(why.text, "larger"));
	assert_true(body.n <= 1000);
}

static void
whoever_does_not_want_the_body_breaks_it_off(void **state)
{
	unwanted = true;
	ask("GET", &get);
	assert_int_equal(end, HTTP_BROKEN);
}

static void
a_body_without_its_rest_is_never_sent_whole(void **state)
{
	left = LARGE;
	no_rest = true;
	ask("POST", &post);
	assert_int_equal(end, HTTP_BROKEN);
	assert_non_null(strstr(why.text, "no rest"));
	assert_int_equal(server.served, 0);
}

static void
what_is_answered_before_it_was_sent_is_not_done(void **state)
{
	server.hasty = true;
	left = 16 * LARGE;
	server.says = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
	ask("PUT", &post);
	assert_int_equal(end, HTTP_BROKEN);
	assert_non_null(strstr(why.text, "before the request was whole"));
	assert_true(left > 0);
	left = 16 * LARGE;
	done = 0;
	server.says = "HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
	ask("PUT", &post);
	assert_true(end == HTTP_ANSWERED && status == 413);
}

static void
a_server_that_is_not_there_is_not_reached(void **state)
{
	http_server_end();
	ask("GET", &get);
	assert_int_equal(end, HTTP_NOT_REACHED);
	assert_true(why.text[0] != '\0');
}

static void
a_silent_server_and_one_that_reads_no_more_are_late(void **state)
{
	struct http_request r;

	for (int i = 0; i < 2; i++) {
		server.says = NULL;
		server.reads_max = i == 0 ? 0 : 1000;
		left = i == 0 ? 10 : 16 * LARGE;
		done = 0;
		r = request("POST");
		r.wait_ms = 100;
		ask_as(&r, &post);
		RUN_UNTIL(done > 0);
		assert_int_equal(end, HTTP_LATE);
	}
	assert_true(left > LARGE);		/* it was never pulled */
}

static void
a_call_that_is_cancelled_says_nothing(void **state)
{
	struct http_request r = request("GET");
	struct http_call *c = ask_as(&r, &get);

	http_call_cancel(&c);
	server.says = NULL;
	c = ask_as(&r, &get);
	RUN_UNTIL(server.served == 1);
	http_call_cancel(&c);
	ask_as(&r, &get);		/* and this one ends with its client */
	RUN_UNTIL(server.served == 2);
	http_free(&http);
	RUN_UNTIL(server.open == 0);
	assert_int_equal(done, 0);
	http = http_new(&loop, &why);
}

static void
a_socket_of_this_machine_does_as_well(void **state)
{
	char path[] = "/tmp/posthouse-http-XXXXXX/s";
	struct http_request r;

	path[strlen(path) - 2] = '\0';
	assert_non_null(mkdtemp(path));
	path[strlen(path)] = '/';
	http_server_end();
	http_server_begin(path);
	server.says = ANSWER;
	left = 70000;
	r = request("POST");
	r.path = path;
	ask_as(&r, &post);
	RUN_UNTIL(done > 0);
	assert_int_equal(status, 200);
	unlink(path);
	path[strlen(path) - 2] = '\0';
	rmdir(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(a_body_is_pulled_as_it_goes),
		T(nobody_adds_a_field_by_a_value),
		T(what_the_server_says_is_what_the_caller_hears),
		T(an_answer_without_end_is_broken_off),
		T(whoever_does_not_want_the_body_breaks_it_off),
		T(a_body_without_its_rest_is_never_sent_whole),
		T(what_is_answered_before_it_was_sent_is_not_done),
		T(a_server_that_is_not_there_is_not_reached),
		T(a_silent_server_and_one_that_reads_no_more_are_late),
		T(a_call_that_is_cancelled_says_nothing),
		T(a_socket_of_this_machine_does_as_well),
	};

	return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
