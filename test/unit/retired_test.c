/*
 * When retired age identities may go: a spool of the test's, which answers when it is told to,
 * and a rotation at each moment of a look at what is held.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/secret.h"
#include "home/retired.h"
#include "kit/loop.h"

#define ROWS	2

static struct courier C;
static struct retired R;
static unsigned unneeded;

/* The one question under way. */
static struct {
	spool_list_fn	*list;
	spool_get_fn	*get;
	int64_t		 row;		/* to get, or the one to list after */
} asked;
static struct buf sealed[ROWS];		/* row 1 and so on */

void
spool_list(struct spool *s, const char *home, int64_t after, unsigned max, spool_list_fn *fn,
    void *arg)
{
	asked.list = fn;
	asked.row = after;
}

void
spool_get(struct spool *s, int64_t row, spool_get_fn *fn, void *arg)
{
	asked.get = fn;
	asked.row = row;
}

static bool
answer(void)
{
	struct spool_object rows[ROWS] = { { .row = 0 } };
	spool_list_fn *list = asked.list;
	spool_get_fn *get = asked.get;
	int64_t row = asked.row;
	size_t n = 0;

	asked.list = NULL;
	asked.get = NULL;
	if (list != NULL) {
		while (row < ROWS)
			rows[n++].row = ++row;
		list(&R, true, rows, n);
	} else if (get != NULL) {
		struct spool_content c = { .ok = true, .data = buf_span(&sealed[row - 1]),
			.fd = -1 };

		get(&R, row, &c, NULL);
	}
	return list != NULL || get != NULL;
}

static void
on_unneeded(void *arg)
{
	unneeded++;
}

static struct age_identity
identity(unsigned char n)
{
	unsigned char secret[32] = { [8] = n };
	struct age_identity id;

	assert_true(age_identity_from_bytes(secret, &id));
	return id;
}

static void
hold(int64_t row, struct age_identity id)
{
	unsigned char rnd[AGE_SEAL_RND(1)];
	struct age_recipient to;
	struct age_seal *seal;

	random_bytes(rnd, sizeof(rnd));
	memcpy(to.pub, id.pub, sizeof(to.pub));
	assert_non_null(seal = age_seal_new(&to, 1, rnd));
	buf_init(&sealed[row - 1], 1 << 16);
	assert_true(age_seal_add(seal, "mail", 4, &sealed[row - 1]) &&
	    age_seal_end(seal, &sealed[row - 1]));
	age_seal_free(&seal);
}

static void
rotated_to(struct age_identity now, struct age_identity old)
{
	C.ids[0] = now;
	C.ids[1] = old;
	C.nids = C.nretired = 1;
	retired_changed(&R);
}

/* The look that a change asks for begins: in a second, which is over now. */
static void
look(void)
{
	assert_true(uv_timer_get_due_in(&R.timer) <= 1000);
	uv_timer_start(&R.timer, R.timer.timer_cb, 0, 0);
	loop_turns(1);
	assert_true(asked.list != NULL || asked.get != NULL);
}

static void
look_at_all(void)
{
	look();
	while (answer())
		;
}

static int
set_up(void **state)
{
	loop_begin();
	memset(&C, 0, sizeof(C));
	memset(&asked, 0, sizeof(asked));
	unneeded = 0;
	C.loop = &loop;
	retired_init(&R, &C, on_unneeded, NULL);
	return 0;
}

static int
tear_down(void **state)
{
	for (size_t i = 0; i < ROWS; i++)
		buf_fini(&sealed[i]);
	uv_close((uv_handle_t *)&R.timer, NULL);
	loop_end();
	return 0;
}

static void
they_stay_while_one_object_needs_them(void **state)
{
	hold(1, identity(2));
	hold(2, identity(1));
	rotated_to(identity(2), identity(1));
	look_at_all();
	assert_int_equal(unneeded, 0);
	buf_fini(&sealed[1]);
	hold(2, identity(2));
	rotated_to(identity(2), identity(1));
	look_at_all();
	assert_int_equal(unneeded, 1);
}

/* Each row opens with 2, and then 2 is retired: before the first answer, the second, the third. */
static void
a_rotation_in_the_middle_of_a_look(void **state)
{
	hold(1, identity(2));
	hold(2, identity(2));
	for (int answers = 0; answers <= ROWS + 1; answers++) {
		rotated_to(identity(2), identity(1));
		look();
		for (int i = 0; i < answers; i++)
			assert_true(answer());
		rotated_to(identity(3), identity(2));
		while (answer())
			;
		assert_int_equal(unneeded, 0);
		look_at_all();
		assert_int_equal(unneeded, 0);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(they_stay_while_one_object_needs_them),
		TEST(a_rotation_in_the_middle_of_a_look),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
