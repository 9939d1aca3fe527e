/* The id that a Worker puts on top of a message. */
#include "proto/pushed_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#define ID	"0193e4a0-5c1f-8c62-9a55-3f0d7c8c2a11"

static const struct {
	const char	*name, *says;
	enum pushed_id_is is;
} cases[] = {
	{ "as it is written", "X-Posthouse-Id: " ID "\r\nReceived: x\r\n", PUSHED_ID_THERE },
	{ "field names have no case", "x-posthouse-ID: " ID "\r\n", PUSHED_ID_THERE },
	{ "not the first line", "Received: from a by b with c id d\r\nX-Posthouse-Id: " ID "\r\n",
	    PUSHED_ID_NONE },
	{ "no id", "X-Posthouse-Id: 0193e4a0-5c1f-8c62-9a55-3f0d7c8c2a1x\r\n", PUSHED_ID_NONE },
	{ "something behind it", "X-Posthouse-Id: " ID " (x)\r\n", PUSHED_ID_NONE },
	{ "two spaces", "X-Posthouse-Id:  " ID "\r\n", PUSHED_ID_NONE },
	{ "the message ends before", "X-Posthouse-Id: 0193e4a0", PUSHED_ID_MORE },
	{ "an empty message", "", PUSHED_ID_MORE },
};

static void
only_the_whole_line_on_top_is_taken_off_in_every_cut(void **state)
{
	struct uuid id;

	(void)state;
	assert_true(uuid_parse(SPAN_LIT(ID), &id));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = strlen(cases[i].says);

		for (size_t piece = 1; piece <= n + 1; piece++) {
			struct pushed_id p = { 0 };
			size_t at = 0;

			while (at < n && p.is == PUSHED_ID_MORE)
				at += pushed_id_step(&p, span_of(cases[i].says + at,
				    piece < n - at ? piece : n - at));
			assert_int_equal(p.is, cases[i].is);
			assert_int_equal(at, n < PUSHED_ID_LINE ? n : PUSHED_ID_LINE);
			assert_int_equal(pushed_id_step(&p, SPAN_LIT("")), 0);
			if (p.is == PUSHED_ID_THERE)
				assert_true(uuid_eq(p.id, id));
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_whole_line_on_top_is_taken_off_in_every_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
