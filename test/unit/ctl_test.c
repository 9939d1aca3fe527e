/* What the operator's commands say and understand: options, escapes, sizes, ages, tables. */
#include "ctl/opts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "ctl/ctl.h"
#include "ctl/identity.h"
#include "ctl/text.h"

#define ARGS_MAX 8

static const struct opts_use all = { "test", ~0u, 0, 3, "usage: test\n" };
static const struct opts_use two = { "test", OPT_CONF | OPT_JSON, 1, 2, "usage: test\n" };

static int
parse(const struct opts_use *use, const char *line, char words[256], struct opts *o)
{
	char *argv[ARGS_MAX + 1] = { (char *)"test" }, *save = NULL;
	static char *kept[ARGS_MAX + 1];
	int argc = 1, rc;

	snprintf(words, 256, "%s", line);
	for (char *w = strtok_r(words, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	memcpy(kept, argv, sizeof(argv));
	rc = opts_parse(argc, kept, use, o);
	return rc;
}

static void
options_are_understood(void **state)
{
	char words[256];
	struct opts o;

	assert_int_equal(parse(&all, "-c f a --json b", words, &o), -1);
	assert_string_equal(o.conf, "f");
	assert_true(o.json);
	assert_int_equal(o.nargs, 2);
	assert_string_equal(o.args[0], "a");
	assert_string_equal(o.args[1], "b");
	assert_int_equal(parse(&all, "--config=g --state parked --of alice -n 12", words, &o), -1);
	assert_string_equal(o.conf, "g");
	assert_string_equal(o.state, "parked");
	assert_string_equal(o.of, "alice");
	assert_int_equal(o.count, 12);
	assert_int_equal(parse(&all, "--older 2h --size=5M --for 90s --class policy", words, &o),
	    -1);
	assert_int_equal(o.older_ms, 7200000);
	assert_int_equal(o.octets, 5 * 1048576);
	assert_int_equal(o.for_ms, 90000);
	assert_string_equal(o.class, "policy");
	assert_int_equal(parse(&all, "--state held", words, &o), -1);
	assert_int_equal(parse(&all, "--control /run/x.sock", words, &o), -1);
	assert_string_equal(o.control, "/run/x.sock");
	assert_int_equal(parse(&all, "--edge -- --json -x", words, &o), -1);
	assert_int_equal(o.role, CONF_EDGE);
	assert_false(o.json);
	assert_int_equal(o.nargs, 2);
	assert_string_equal(o.args[1], "-x");
	assert_int_equal(parse(&all, "--age --finish --force --object", words, &o), -1);
	assert_true(o.age && o.finish && o.force && o.object && !o.tunnel);
	assert_int_equal(parse(&all, "-", words, &o), -1);	/* an argument, not an option */
	assert_int_equal(o.nargs, 1);
}

static void
wrong_options_are_refused(void **state)
{
	static const char *const wrong[] = {
		"", "a b c", "a -x", "a --jsonx", "a -c", "a --state=parked", "a --edge",
		"a --json=1", "a --config",
	};
	static const char *const wrong_all[] = {
		"-n 0", "-n x", "-n -1", "--edge --home", "a b c d",
		"--older bogus", "--older 5", "--older=", "--older -1s", "--older 36501d",
		"--size bogus", "--size -1", "--size=", "--for bogus", "--for 0s", "--for 36526d",
		"--state bogus", "--state deferre", "--class bogus", "--of=", "--to=", "--from=",
		"--of a --of b", "--older 1h --older 1h", "-n 1 --count 2", "-c a --config=b",
		"--control x -c y", "--control x --edge", "--home --control=x",
	};
	char words[256];
	struct opts o;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(parse(&two, wrong[i], words, &o), CTL_USAGE);
	for (size_t i = 0; i < sizeof(wrong_all) / sizeof(wrong_all[0]); i++)
		assert_int_equal(parse(&all, wrong_all[i], words, &o), CTL_USAGE);
	assert_int_equal(parse(&two, "--help", words, &o), CTL_OK);
}

static void
text_for_a_line_is_harmless(void **state)
{
	static const struct {
		struct span in;
		const char *out;
	} t[] = {
		{ { "", 0 }, "" },
		{ { "a b", 3 }, "a b" },
		{ { "\033[2J\r\n", 6 }, "\\x1b[2J\\x0d\\x0a" },
		{ { "a\0b", 3 }, "a\\x00b" },
		{ { "\\x1b", 4 }, "\\x5cx1b" },
		{ { "\xc3\xa4\x9b", 3 }, "\xc3\xa4\\x9b" },
		{ { "b\xc3\xbc" "cher@b\xc3\xbc" "cher.example", 23 },
		    "b\xc3\xbc" "cher@b\xc3\xbc" "cher.example" },
		{ { "\xe3\x81\x82\xf0\x9f\x93\xae", 7 }, "\xe3\x81\x82\xf0\x9f\x93\xae" },
		{ { "\xe2\x80\xae" "elbil", 8 }, "\\xe2\\x80\\xae" "elbil" },
	};
	struct shown s;
	char lots[3000];

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_string_equal(shown(t[i].in, &s), t[i].out);
	for (size_t n = 900; n < 1100; n++) {
		memset(lots, '\033', sizeof(lots));
		memset(lots, 'x', n);
		shown(span_of(lots, sizeof(lots)), &s);
		assert_true(strlen(s.s) < sizeof(s.s));
		assert_string_equal(s.s + strlen(s.s) - 3, "...");
	}
}

static void
a_message_on_a_terminal_is_harmless_in_every_cut(void **state)
{
	static const struct {
		const char *in, *out;
	} t[] = {
		{ "a\r\nb\tc\n", "a\nb\tc\n" },
		{ "\r\r\n", "\\x0d\n" },
		{ "x\ry", "x\\x0dy" },
		{ "x\r", "x\\x0d" },
		{ "\033[31m\a\x7f", "\\x1b[31m\\x07\\x7f" },
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x93\xac", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x93\xac" },
		{ "\xc2\x9b" "31m", "\\xc2\\x9b31m" },			/* CSI as a C1 control */
		{ "\xc0\xaf\xe0\x80\x80", "\\xc0\\xaf\\xe0\\x80\\x80" },	/* overlong */
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" },			/* a surrogate */
		{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },
		{ "\xc3\r\n", "\\xc3\n" },
		{ "\xe2\x82", "\\xe2\\x82" },
		{ "\xe2\xc3\xa4", "\\xe2\xc3\xa4" },
		{ "\x9b\xff", "\\x9b\\xff" },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		for (size_t piece = 1; piece <= strlen(t[i].in); piece++) {
			struct term_filter f = { .nheld = 0 };
			struct buf out;

			buf_init(&out, 4096);
			for (size_t at = 0; at < strlen(t[i].in); at += piece) {
				size_t left = strlen(t[i].in) - at;

				term_filter_add(&f,
				    span_of(t[i].in + at, left < piece ? left : piece), &out);
			}
			term_filter_end(&f, &out);
			assert_int_equal(out.n, strlen(t[i].out));
			assert_memory_equal(out.p, t[i].out, out.n);
			buf_fini(&out);
		}
}

static void
sizes_and_ages_in_words(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} sizes[] = {
		{ 0, "0 B" }, { 1023, "1023 B" }, { 1024, "1.0 KB" }, { 10189, "10 KB" },
		{ 10188, "9.9 KB" },
		{ 1023 * 1024, "1023 KB" }, { 1024 * 1024 - 1, "1.0 MB" }, { 5ull << 30, "5.0 GB" },
		{ UINT64_MAX, "16384 PB" },
	};
	static const struct {
		int64_t ms;
		const char *text;
	} ages[] = {
		{ -5000, "0 s" }, { 999, "0 s" }, { 119999, "119 s" }, { 120000, "2 min" },
		{ 7199999, "119 min" }, { 7200000, "2 h" }, { 172799999, "47 h" },
		{ 172800000, "2 days" }, { 86400000ll * 400, "400 days" },
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		assert_string_equal(brief_size(sizes[i].n).s, sizes[i].text);
	for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++)
		assert_string_equal(brief_age(ages[i].ms).s, ages[i].text);
}

static void
tables_are_aligned(void **state)
{
	static const char *const headings[] = { "NAME", ">N", "WORDS" };
	struct table *t = table_new(headings, 3);
	struct buf out;
	static const char want[] =
	    "NAME         N  WORDS\n"
	    "a           10  \n"
	    "longer\\x0a   7  x y\n";

	assert_non_null(t);
	buf_init(&out, 4096);
	table_str(t, "a");
	table_str(t, "10");
	table_str(t, NULL);
	table_str(t, "longer\n");
	table_str(t, "7");
	table_str(t, "x y");
	assert_true(table_print(t, false, &out));
	assert_int_equal(out.n, strlen(want));
	assert_memory_equal(out.p, want, out.n);
	buf_fini(&out);
	table_free(&t);
}

static void
a_missing_age_key_says_how_to_make_it(void **state)
{
	struct identities ids;
	struct why why;

	assert_int_equal(identities_load(&ids, "/nonexistent/age.key", &why), -1);
	assert_non_null(strstr(why.text, "/nonexistent/age.key"));
	assert_non_null(strstr(why.text, "make it with: posthouse keygen --home"));
}

/* What base/utf8.h calls printable; n: of how many octets, 0 if it is not. */
static void
a_character_is_printable_or_it_is_octets(void **state)
{
	static const struct {
		const char	*in;
		size_t		 n;
	} t[] = {
		{ "a", 1 }, { " ", 1 }, { "~", 1 }, { "\\", 1 }, { "", 0 },
		{ "\t", 0 }, { "\r", 0 }, { "\033", 0 }, { "\x7f", 0 },
		{ "\xc3\xa4", 2 }, { "\xc3\xa4x", 2 }, { "\xe2\x82\xac", 3 },
		{ "\xf0\x9f\x93\xae", 4 }, { "\xf3\x9f\xbf\xbd", 4 },
		{ "\xd7\x90", 2 }, { "\xd8\xa7", 2 },	/* letters that run to the left */
		/* no UTF-8 */
		{ "\x80", 0 }, { "\xbf", 0 }, { "\xff", 0 }, { "\xc3", 0 }, { "\xc3x", 0 },
		{ "\xe2\x82", 0 }, { "\xf0\x9f\x93", 0 }, { "\xe2\x82x", 0 },
		{ "\xc0\xaf", 0 }, { "\xc1\x81", 0 }, { "\xe0\x80\xaf", 0 },	/* too long */
		{ "\xf0\x80\x80\xaf", 0 },
		{ "\xed\xa0\x80", 0 }, { "\xed\xbf\xbf", 0 },		/* surrogates */
		{ "\xf4\x90\x80\x80", 0 }, { "\xf5\x80\x80\x80", 0 },	/* beyond the end */
		/* controls */
		{ "\xc2\x80", 0 }, { "\xc2\x9b", 0 }, { "\xc2\x9f", 0 }, { "\xc2\xa0", 0 },
		{ "\xc2\xa1", 2 },
		/* what turns the direction */
		{ "\xd8\x9c", 0 }, { "\xe2\x80\x8e", 0 }, { "\xe2\x80\x8f", 0 },
		{ "\xe2\x80\xaa", 0 }, { "\xe2\x80\xab", 0 }, { "\xe2\x80\xac", 0 },
		{ "\xe2\x80\xad", 0 }, { "\xe2\x80\xae", 0 }, { "\xe2\x81\xa6", 0 },
		{ "\xe2\x81\xa7", 0 }, { "\xe2\x81\xa8", 0 }, { "\xe2\x81\xa9", 0 },
		/* what has no shape, or ends a line */
		{ "\xc2\xad", 0 }, { "\xe2\x80\x8b", 0 }, { "\xe2\x80\x8d", 0 },
		{ "\xe2\x80\xa8", 0 }, { "\xe2\x80\xa9", 0 }, { "\xef\xbb\xbf", 0 },
		{ "\xef\xbf\xbe", 0 }, { "\xf3\xa0\x80\xa1", 0 }, { "\xee\x80\x80", 0 },
		{ "\xe2\x80\xa2", 3 },		/* a bullet, between them */
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_int_equal(utf8_printable(span_str(t[i].in)), t[i].n);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_are_understood),
		cmocka_unit_test(wrong_options_are_refused),
		cmocka_unit_test(a_character_is_printable_or_it_is_octets),
		cmocka_unit_test(text_for_a_line_is_harmless),
		cmocka_unit_test(a_message_on_a_terminal_is_harmless_in_every_cut),
		cmocka_unit_test(sizes_and_ages_in_words),
		cmocka_unit_test(tables_are_aligned),
		cmocka_unit_test(a_missing_age_key_says_how_to_make_it),
	};

	setenv("LC_ALL", "C.UTF-8", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
