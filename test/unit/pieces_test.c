#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/pieces.h"

/* Octets that say where they stand, so that a lost or moved one is seen. */
static char
octet(size_t at)
{
	return (char)(at * 131 >> 3 ^ at);
}

static void
add(struct pieces *q, size_t *in, size_t n)
{
	char *p = malloc(n + 1);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = octet(*in + i);
	assert_true(pieces_add(q, span_of(p, n)));
	free(p);
	*in += n;
}

static void
check(struct span s, size_t *out)
{
	for (size_t i = 0; i < s.n; i++)
		assert_int_equal(s.p[i], octet(*out + i));
	*out += s.n;
}

static void
what_goes_in_comes_out_in_order(void **state)
{
	static const size_t adds[] = {
		0, 1, 4095, 1, 1, PIECE_LARGE - 1, 1, 1, 3 * PIECE_LARGE + 7, 16375, 0, 16375,
	};
	static const size_t takes[] = { 1, 4096, PIECE_LARGE, 16375, 5, 100000 };
	static char to[100000];
	struct pieces q = { 0 };
	size_t in = 0, out = 0;

	for (size_t round = 0; round < 200; round++) {
		size_t n = takes[round % (sizeof(takes) / sizeof(takes[0]))];

		add(&q, &in, adds[round % (sizeof(adds) / sizeof(adds[0]))]);
		if (round % 3 == 0) {
			struct span s = pieces_front(&q);

			check(s, &out);
			pieces_drop(&q, s.n);
		} else
			check(span_of(to, pieces_take(&q, to, n)), &out);
		assert_int_equal(q.n, in - out);
		/* All blocks but the first and the last are full. */
		assert_true(q.memory >= q.n && q.memory <= q.n + 2 * PIECE_LARGE);
	}
	while (q.n > 0)
		check(span_of(to, pieces_take(&q, to, sizeof(to))), &out);
	assert_int_equal(out, in);
	assert_int_equal(q.memory, 0);
	assert_int_equal(pieces_front(&q).n, 0);
	pieces_fini(&q);
}

static void
a_little_takes_little(void **state)
{
	struct pieces q = { 0 };
	size_t in = 0;

	add(&q, &in, 5);
	assert_int_equal(q.memory, PIECE_SMALL);
	add(&q, &in, 5);
	assert_int_equal(q.memory, PIECE_SMALL);
	add(&q, &in, PIECE_SMALL);
	assert_int_equal(q.memory, PIECE_SMALL + PIECE_LARGE);
	pieces_fini(&q);
	assert_int_equal(q.n, 0);
	assert_int_equal(q.memory, 0);
	add(&q, &in, PIECE_SMALL);
	assert_int_equal(q.memory, PIECE_SMALL);
	pieces_fini(&q);
}

/* More blocks than the thread keeps, given back and wanted again. */
static void
blocks_are_used_again(void **state)
{
	struct pieces q[3 * PIECES_KEPT] = { 0 };
	size_t in[3 * PIECES_KEPT] = { 0 };

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 3 * PIECES_KEPT; i++)
			add(&q[i], &in[i], PIECE_LARGE);
		for (size_t i = 0; i < 3 * PIECES_KEPT; i++) {
			size_t out = in[i] - PIECE_LARGE;

			check(pieces_front(&q[i]), &out);
			assert_int_equal(out, in[i]);
			pieces_fini(&q[i]);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_goes_in_comes_out_in_order),
		cmocka_unit_test(a_little_takes_little),
		cmocka_unit_test(blocks_are_used_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
