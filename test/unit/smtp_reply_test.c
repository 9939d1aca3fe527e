#include "proto/smtp_reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define A50	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A450	A50 A50 A50 A50 A50 A50 A50 A50 A50

static const struct {
	const char	*rule;
	unsigned	 code, a, b, c;
	const char	*text, *printed;
} prints[] = {
	{ "one line", 250, 2, 1, 5, "ok", "250 2.1.5 ok\r\n" },
	{ "no enhanced code", 354, 0, 0, 0, "go", "354 go\r\n" },
	{ "several lines", 550, 5, 7, 1, "no\nand no", "550-5.7.1 no\r\n550 5.7.1 and no\r\n" },
	{ "an empty line within", 250, 2, 0, 0, "a\n\nb",
	    "250-2.0.0 a\r\n250-2.0.0\r\n250 2.0.0 b\r\n" },
	{ "an empty line within, plain", 250, 0, 0, 0, "a\n\nb", "250-a\r\n250-\r\n250 b\r\n" },
	{ "no text", 250, 2, 0, 0, "", "250 2.0.0\r\n" },
	{ "nothing but a code", 250, 0, 0, 0, "", "250\r\n" },
	{ "CR and others cannot add a line", 550, 5, 0, 0, "a\rb\tc\x7f\xc3\xb6",
	    "550 5.0.0 a?b?c???\r\n" },
	{ "a long line goes on", 250, 2, 255, 255, A450 A50,
	    "250-2.255.255 " A450
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n250 2.255.255 aaaaaaaaaaaaaa\r\n" },
};

static void
test_print(void **state)
{
	for (size_t i = 0; i < sizeof(prints) / sizeof(prints[0]); i++) {
		struct smtp_reply r = smtp_reply(prints[i].code, prints[i].a, prints[i].b,
		    prints[i].c, "%s", prints[i].text), again;
		struct buf out;

		buf_init(&out, 2048);
		assert_true(smtp_reply_print(&r, &out));
		if (!span_eq(buf_span(&out), span_str(prints[i].printed)))
			fail_msg("%s: %.*s", prints[i].rule, (int)out.n, out.p);
		assert_true(smtp_reply_parse(buf_span(&out), &again));
		assert_int_equal(again.code, r.code);
		assert_memory_equal(again.enhanced, r.enhanced, 3);
		if (strlen(prints[i].text) < 400)
			assert_string_equal(again.text, r.text);
		buf_fini(&out);
	}
}

static void
test_print_full(void **state)
{
	struct smtp_reply r = smtp_reply(250, 2, 0, 0, "%s", A450 A450 A450);
	struct buf out;

	assert_int_equal(strlen(r.text), SMTP_REPLY_TEXT_MAX);
	buf_init(&out, 20);
	assert_false(smtp_reply_print(&r, &out));
	buf_fini(&out);
}

static const struct {
	const char	*rule, *in;
	unsigned	 code, a, b, c;
	const char	*text;		/* NULL: it is no reply */
} parses[] = {
	{ "plain", "250 ok\r\n", 250, 0, 0, 0, "ok" },
	{ "LF will do", "250-a\n250 b\n", 250, 0, 0, 0, "a\nb" },
	{ "enhanced", "550 5.7.26 no\r\n", 550, 5, 7, 26, "no" },
	{ "enhanced of another class is text", "250 5.0.0 odd\r\n", 250, 0, 0, 0, "5.0.0 odd" },
	{ "enhanced above 255 is text", "550 5.7.256 odd\r\n", 550, 0, 0, 0, "5.7.256 odd" },
	{ "enhanced run on is text", "550 5.7.1x\r\n", 550, 0, 0, 0, "5.7.1x" },
	{ "two of three is text", "550 5.7\r\n", 550, 0, 0, 0, "5.7" },
	{ "a later line's own code is text", "550-5.7.1 a\r\n550 5.7.2 b\r\n", 550, 5, 7, 1,
	    "a\n5.7.2 b" },
	{ "a later line without", "550-5.7.1 a\r\n550 b\r\n", 550, 5, 7, 1, "a\nb" },
	{ "bare code", "250\r\n", 250, 0, 0, 0, "" },
	{ "bytes made fit", "250 a\x01\xff\r\n", 250, 0, 0, 0, "a??" },
	{ "CR within", "250 a\rb\r\n", 250, 0, 0, 0, "a?b" },
	{ "nothing", "", 0, 0, 0, 0, NULL },
	{ "no line end", "250 ok", 0, 0, 0, 0, NULL },
	{ "not ended", "250-ok\r\n", 0, 0, 0, 0, NULL },
	{ "two codes", "250-ok\r\n251 ok\r\n", 0, 0, 0, 0, NULL },
	{ "two replies", "250 ok\r\n250 ok\r\n", 0, 0, 0, 0, NULL },
	{ "code too small", "199 ok\r\n", 0, 0, 0, 0, NULL },
	{ "code too large", "600 ok\r\n", 0, 0, 0, 0, NULL },
	{ "no code", "abc ok\r\n", 0, 0, 0, 0, NULL },
	{ "four digits", "2500 ok\r\n", 0, 0, 0, 0, NULL },
	{ "empty line", "\r\n", 0, 0, 0, 0, NULL },
};

static void
test_parse(void **state)
{
	for (size_t i = 0; i < sizeof(parses) / sizeof(parses[0]); i++) {
		struct smtp_reply r;
		bool ok = smtp_reply_parse(span_str(parses[i].in), &r);

		if (ok != (parses[i].text != NULL))
			fail_msg("%s: %d", parses[i].rule, ok);
		if (r.code != parses[i].code || r.enhanced[0] != parses[i].a ||
		    r.enhanced[1] != parses[i].b || r.enhanced[2] != parses[i].c ||
		    strcmp(r.text, ok ? parses[i].text : "") != 0)
			fail_msg("%s: %u %u.%u.%u '%s'", parses[i].rule, r.code, r.enhanced[0],
			    r.enhanced[1], r.enhanced[2], r.text);
	}
}

static void
test_parse_long(void **state)
{
	struct smtp_reply r;
	struct buf in;

	buf_init(&in, 65536);
	for (int i = 0; i < 50; i++)
		buf_add_str(&in, "550-" A450 "\r\n");
	buf_add_str(&in, "550 end\r\n");
	assert_true(smtp_reply_parse(buf_span(&in), &r));
	assert_int_equal(strlen(r.text), SMTP_REPLY_TEXT_MAX);
	buf_fini(&in);
	assert_true(smtp_reply_parse(SPAN_LIT("250 a\0b\r\n"), &r));
	assert_string_equal(r.text, "a?b");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_print_full),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
