#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What a filter's answer means, and that it adds what it may and no more. */
#include "proto/rspamd.h"

#define ADDS(heads)	"{\"action\":\"no action\",\"milter\":{\"add_headers\":" heads "}}"

static const struct {
	const char	*name, *json;
	int		 action;	/* -1: no answer */
	const char	*words, *heads;
} answers[] = {
	{ "clean", "{\"action\":\"no action\"}", RSPAMD_PASS, "", "" },
	{ "suspect", "{\"action\":\"add header\"}", RSPAMD_SUSPECT, "", "" },
	{ "we rewrite no subject", "{\"action\":\"rewrite subject\",\"subject\":\"*** SPAM\"}",
	    RSPAMD_SUSPECT, "", "" },
	{ "later", "{\"action\":\"soft reject\",\"messages\":{\"smtp_message\":\"Try again\"}}",
	    RSPAMD_LATER, "Try again", "" },
	{ "greylisted", "{\"action\":\"greylist\"}", RSPAMD_LATER, "", "" },
	{ "refused", "{\"messages\":{\"smtp_message\":\"Gtube pattern\"},\"action\":\"reject\"}",
	    RSPAMD_REJECT, "Gtube pattern", "" },
	{ "nothing is thrown away", "{\"action\":\"discard\"}", RSPAMD_REJECT, "", "" },
	{ "an operator's own action", "{\"action\":\"feed the cat\"}", RSPAMD_PASS, "", "" },
	{ "an error", "{\"error\":\"no\"}", -1, "", "" },
	{ "no JSON", "<html>", -1, "", "" },
	{ "no object", "[]", -1, "", "" },
	{ "nothing", "", -1, "", "" },
	{ "cut short", "{\"action\":\"no action\"", -1, "", "" },
	{ "headers in every form", ADDS("{\"X-A\":\"1\",\"X-B\":{\"value\":\"2\",\"order\":0},"
	    "\"X-C\":[\"3\",{\"value\":\"4\"}]}"), RSPAMD_PASS, "",
	    "X-A: 1\r\nX-B: 2\r\nX-C: 3\r\nX-C: 4\r\n" },
	{ "folded", ADDS("{\"X-A\":\"1;\\n\\t2\"}"), RSPAMD_PASS, "", "X-A: 1;\r\n\t2\r\n" },
	{ "a value begins no line of its own", ADDS("{\"X-A\":\"1\\r\\nSubject: 2\\n\\n3\\n\"}"),
	    RSPAMD_PASS, "", "X-A: 1\r\n\tSubject: 2\r\n\t3\r\n" },
	{ "a name neither", ADDS("{\"X\\r\\nB\":\"1\",\"X:\":\"1\",\"\":\"1\",\"X Y\":\"1\"}"),
	    RSPAMD_PASS, "", "" },
	{ "ours are ours", ADDS("{\"return-path\":\"1\",\"X-Posthouse-ID\":\"1\"}"), RSPAMD_PASS,
	    "", "" },
	{ "the sender's are his", ADDS("{\"From\":\"1\",\"subject\":\"1\",\"Content-Type\":\"1\","
	    "\"X-From\":\"2\"}"), RSPAMD_PASS, "", "X-From: 2\r\n" },
	{ "printable ASCII", ADDS("{\"X-A\":\"\\u0007\\u00fc\"}"), RSPAMD_PASS, "",
	    "X-A: ???\r\n" },
	{ "no text", ADDS("{\"X-A\":7,\"X-B\":{\"value\":null},\"X-C\":[[\"1\"]]}"), RSPAMD_PASS,
	    "", "" },
	{ "a NUL", ADDS("{\"X-A\":\"\\u0000\"}"), RSPAMD_PASS, "", "X-A: ?\r\n" },
	{ "octets that are no UTF-8", ADDS("{\"X-A\":\"\xff\xc3\"}"), RSPAMD_PASS, "",
	    "X-A: ??\r\n" },
	{ "what does not count need not be JSON",
	    " { \"x\\\"\" : [\"\xff]}\\\"\", {\"action\":\"reject\"}] , "
	    "\"action\" : \"greylist\"\t} \r\n",
	    RSPAMD_LATER, "", "" },
	{ "what counts must be", "{\"action\": \"reject\" now}", -1, "", "" },
	{ "more behind it", "{\"action\":\"reject\"}{", -1, "", "" },
	{ "brackets that were not opened", "{\"x\":],\"action\":\"reject\"}", -1, "", "" },
	{ "no headers", "{\"action\":\"reject\",\"milter\":{\"add_headers\":7},\"messages\":[]}",
	    RSPAMD_REJECT, "", "" },
};

static bool
read_cut(struct span json, size_t piece, struct rspamd_answer *a, struct why *why)
{
	struct rspamd_reader r;
	bool ok = true;

	rspamd_read_begin(&r);
	while (ok && json.n > 0) {
		struct span s = span_of(json.p, json.n < piece ? json.n : piece);

		ok = rspamd_read(&r, s);
		json = span_from(json, s.n);
	}
	return rspamd_read_end(&r, a, why);
}

static void
what_an_answer_means(void **state)
{
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
		for (size_t piece = 1; piece <= strlen(answers[i].json) + 1; piece++) {
			struct why why = { "" };
			struct rspamd_answer a;
			bool ok = read_cut(span_str(answers[i].json), piece, &a, &why);

			if (ok != (answers[i].action != -1) || ok != (why.text[0] == '\0') ||
			    (ok && (int)a.action != answers[i].action) ||
			    strcmp(a.words, answers[i].words) != 0 ||
			    !span_eq(buf_span(&a.heads), span_str(answers[i].heads)))
				fail_msg("%s, by %zu: %d, %d \"%s\": %.*s", answers[i].name,
				    piece, ok, a.action, a.words, (int)a.heads.n, a.heads.p);
			buf_fini(&a.heads);
		}
}

/* A long value is folded; one that has no room is left out, and the next may have it. */
static void
what_is_too_long(void **state)
{
	static char json[20000], value[9001];
	struct rspamd_answer a;
	struct why why;

	memset(value, 'y', 9000);
	snprintf(json, sizeof(json), ADDS("{\"X-A\":\"%.2000s\",\"X-B\":\"%s\",\"X-C\":\"1\"}"),
	    value, value);
	assert_true(read_cut(span_str(json), sizeof(json), &a, &why));
	assert_int_equal(a.heads.n, strlen("X-A: \r\n\r\n\t\r\n\tX-C: 1\r\n") + 2000);
	assert_memory_equal(a.heads.p + a.heads.n - 10, "\r\nX-C: 1\r\n", 10);
	assert_memory_equal(a.heads.p + 900, "\r\n\ty", 4);
	buf_fini(&a.heads);
}

/* However much its sender made rspamd say of the message, what counts is heard. */
static void
a_sender_cannot_drown_it(void **state)
{
	static const char *const drowned[] = { "urls", "milter", "messages" };
	static char more[100000];

	memset(more, 'y', sizeof(more));
	for (size_t i = 0; i < sizeof(drowned) / sizeof(drowned[0]); i++) {
		struct rspamd_answer a;
		struct rspamd_reader r;
		struct why why;

		rspamd_read_begin(&r);
		assert_true(rspamd_read(&r, SPAN_LIT("{\"")));
		assert_true(rspamd_read(&r, span_str(drowned[i])));
		assert_true(rspamd_read(&r, SPAN_LIT("\":[\"")));
		for (unsigned k = 0; k < 50; k++) {
			assert_true(rspamd_read(&r, span_of(more, sizeof(more))));
			assert_true(r.kept.cap <= 2 * RSPAMD_MEMBER_MAX);
		}
		assert_true(rspamd_read(&r, SPAN_LIT("\"],\"action\":\"reject\"}")));
		assert_true(rspamd_read_end(&r, &a, &why));
		assert_int_equal(a.action, RSPAMD_REJECT);
		buf_fini(&a.heads);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_an_answer_means),
		cmocka_unit_test(what_is_too_long),
		cmocka_unit_test(a_sender_cannot_drown_it),
	};

	return cmocka_run_group_tests_name("rspamd", tests, NULL, NULL);
}
