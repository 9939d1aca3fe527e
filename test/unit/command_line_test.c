#include "conf/command_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Words as they come out, parted by |; NULL: refused. */
static const struct line {
	const char *name, *in, *words;
} lines[] = {
	{ "words", "doveadm user list", "doveadm|user|list" },
	{ "blanks around and between", "  a \t b\n", "a|b" },
	{ "single quotes keep all", "doveadm user '*' 'a \\ \"b'", "doveadm|user|*|a \\ \"b" },
	{ "double quotes keep blanks", "a \"b c\"", "a|b c" },
	{ "a backslash keeps the next", "a\\ b \"x\\\"y\"", "a b|x\"y" },
	{ "quotes join", "a'b'\"c\"", "abc" },
	{ "an empty word is a word", "a '' b", "a||b" },
	{ "nothing is expanded", "echo $HOME *.c `id` | cat", "echo|$HOME|*.c|`id`|||cat" },
	{ "nothing", "", NULL },
	{ "blanks only", "   ", NULL },
	{ "no program", "'' a", NULL },
	{ "an open quote", "a 'b", NULL },
	{ "an open double quote", "a \"b", NULL },
	{ "a backslash at the end", "a\\", NULL },
	{ "too many words",
	    "1 2 3 4 5 6 7 8 9 a b c d e f g h i j k l m n o p q r s t u v w x",
	    NULL },
};

static void
words(void **state)
{
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct command_line cl;
		char got[1200] = "";

		if (command_line_parse(span_str(lines[i].in), &cl) != (lines[i].words != NULL))
			fail_msg("%s: taken or refused wrongly", lines[i].name);
		if (lines[i].words == NULL)
			continue;
		for (size_t k = 0; cl.argv[k] != NULL; k++) {
			strncat(got, k > 0 ? "|" : "", sizeof(got) - strlen(got) - 1);
			strncat(got, cl.argv[k], sizeof(got) - strlen(got) - 1);
		}
		if (strcmp(got, lines[i].words) != 0)
			fail_msg("%s: %s", lines[i].name, got);
	}
}

static void
too_long_or_with_a_nul_is_refused(void **state)
{
	struct command_line cl;
	char text[1100];

	memset(text, 'a', sizeof(text));
	assert_true(command_line_parse(span_of(text, sizeof(text) - 1), &cl));
	assert_false(command_line_parse(span_of(text, sizeof(text)), &cl));
	assert_false(command_line_parse(span_of("a\0b", 3), &cl));
}

static void
a_word_for_a_shell_is_a_fault_unless_it_is_quoted(void **state)
{
	static const char *const good[] = { "doveadm user '*'", "sh -c 'a | b && c'",
		"cut -d '|' /x", "a \"&&\" b", "a b|c 2>&1", "a \\; b" };
	static const char *const bad[] = { "a | b", " | ", "a && b", "a || b", "a ;", "a > /x",
		"a 'b c' >> /x", "a < /x", "a &", "a 'b", "" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (command_line_fault(span_str(good[i])) != NULL)
			fail_msg("%s: refused", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (command_line_fault(span_str(bad[i])) == NULL)
			fail_msg("%s: taken", bad[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(too_long_or_with_a_nul_is_refused),
		cmocka_unit_test(a_word_for_a_shell_is_a_fault_unless_it_is_quoted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
