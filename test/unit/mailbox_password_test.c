/* Passwords that follow from a key, and the counters that rotate them. */
#include "proto/mailbox_password.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static const struct secret key = { .b = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17,
	18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32 }, .set = true };

/* By Python's hmac and base64.b32encode. */
static const struct {
	const char	*user;
	uint64_t	 counter;
	const char	*password;
} known[] = {
	{ "alice", 0, "ywvfjubki2bavpii6obykaubzo" },
	{ "Alice", 1, "vwllf5bilm2zma6ppwuuujnx3m" },
	{ "bob@example.org", 0, "bpyvb4wdgxbi2fdqkcx62bbrlo" },
	{ "j\xc3\xbc" "rgen", 12345678901, "zesksfnrk3clm47qtj4i3c54jx" },
};

static void
the_same_user_and_counter_have_the_same_password_everywhere(void **state)
{
	char out[MAILBOX_PASSWORD_LEN + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		assert_true(mailbox_password(&key, span_str(known[i].user), known[i].counter, out));
		assert_string_equal(out, known[i].password);
	}
}

static void
only_the_whole_password_of_that_user_and_counter_is_right(void **state)
{
	char right[MAILBOX_PASSWORD_LEN + 1], wrong[MAILBOX_PASSWORD_LEN + 1];
	struct secret other = key, none = { .set = false };
	struct span alice = SPAN_LIT("alice");

	(void)state;
	assert_true(mailbox_password(&key, alice, 1, right));
	assert_true(mailbox_password_is(&key, alice, 1, span_str(right)));
	assert_true(mailbox_password_is(&key, SPAN_LIT("ALICE"), 1, span_str(right)));
	assert_false(mailbox_password_is(&key, alice, 0, span_str(right)));
	assert_false(mailbox_password_is(&key, alice, 2, span_str(right)));
	assert_false(mailbox_password_is(&key, SPAN_LIT("bob"), 1, span_str(right)));
	assert_false(mailbox_password_is(&key, SPAN_LIT("alice@a.test"), 1, span_str(right)));
	assert_false(mailbox_password_is(&key, alice, 1, span_of(right, MAILBOX_PASSWORD_LEN - 1)));
	assert_false(mailbox_password_is(&key, alice, 1, span_of(right, sizeof(right))));
	assert_false(mailbox_password_is(&key, alice, 1, SPAN_LIT("")));
	for (size_t i = 0; i < MAILBOX_PASSWORD_LEN; i++) {
		memcpy(wrong, right, sizeof(wrong));
		wrong[i] ^= 1;
		assert_false(mailbox_password_is(&key, alice, 1, span_str(wrong)));
	}
	other.b[31] ^= 1;
	assert_false(mailbox_password_is(&other, alice, 1, span_str(right)));
	assert_false(mailbox_password_is(&none, alice, 1, span_str(right)));
}

static void
what_is_no_mailbox_has_no_password(void **state)
{
	static const char *const names[] = { "", ".", "../alice", "-x", "a b", "a/b", "a@b@c" };
	char out[MAILBOX_PASSWORD_LEN + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_false(mailbox_password(&key, span_str(names[i]), 0, out));
		assert_string_equal(out, "");
	}
	assert_false(mailbox_password(&key, span_of("a\0b", 3), 0, out));
}

static void
counters_are_read(void **state)
{
	static const struct {
		const char	*text;
		int		 rc;
		uint64_t	 counter;
	} cases[] = {
		{ "", 0, 0 },
		{ "bob 7\n", 0, 0 },
		{ "# kept\n\nbob 7\nalice 3\n", 0, 3 },
		{ "alice 3", 0, 3 },			/* no newline at the end */
		{ "alice 9\nalice 3\n", 0, 9 },
		{ "alice@a.test 3\n", 0, 0 },
		{ "alice\n", -1, 0 },
		{ "alice x\n", -1, 0 },
		{ "alice -3\n", -1, 0 },
		{ "alice 3 4\n", -1, 0 },
		{ "alice  3\n", -1, 0 },
		{ "Alice 3\n", -1, 0 },			/* it would not be found */
		{ "alice 99999999999999999999\n", -1, 0 },
		{ "../x 3\n", -1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct why why;
		uint64_t counter;
		int rc = mailbox_counter(span_str(cases[i].text), SPAN_LIT("aLice"), &counter,
		    &why);

		assert_int_equal(rc, cases[i].rc);
		if (rc == 0)
			assert_int_equal(counter, cases[i].counter);
	}
}

static void
rotating_one_leaves_all_others(void **state)
{
	struct why why;
	uint64_t counter;
	struct buf out;

	(void)state;
	buf_init(&out, 1024);
	assert_int_equal(mailbox_counter_next(SPAN_LIT("# kept\nbob 7\nalice 2\ncarol 1\n"),
	    SPAN_LIT("Alice"), &out, &counter, &why), 0);
	assert_int_equal(counter, 3);
	assert_int_equal(buf_add(&out, "", 1), 1);
	assert_string_equal(out.p, "# kept\nbob 7\ncarol 1\nalice 3\n");
	buf_clear(&out);
	assert_int_equal(mailbox_counter_next(SPAN_LIT("alice 9223372036854775807\n"),
	    SPAN_LIT("alice"), &out, &counter, &why), -1);
	buf_fini(&out);
	buf_init(&out, 8);
	assert_int_equal(mailbox_counter_next(SPAN_LIT(""), SPAN_LIT("alice"), &out, &counter,
	    &why), -1);
	buf_fini(&out);
}

static void
a_login_is_whole_or_not_there(void **state)
{
	static const char text[] = "alice\0pa ss\nword\0Y123456\0";
	struct mailbox_login login;

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++)
		assert_int_equal(mailbox_login(span_of(text, n), '\0', &login), n >= 17);
	assert_true(span_eq(login.user, SPAN_LIT("alice")));
	assert_true(span_eq(login.password, SPAN_LIT("pa ss\nword")));
	assert_true(mailbox_login(SPAN_LIT("bob\nx\n"), '\n', &login));
	assert_true(span_eq(login.user, SPAN_LIT("bob")));
	assert_true(span_eq(login.password, SPAN_LIT("x")));
	assert_false(mailbox_login(SPAN_LIT("bob\nx"), '\n', &login));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_user_and_counter_have_the_same_password_everywhere),
		cmocka_unit_test(only_the_whole_password_of_that_user_and_counter_is_right),
		cmocka_unit_test(what_is_no_mailbox_has_no_password),
		cmocka_unit_test(counters_are_read),
		cmocka_unit_test(rotating_one_leaves_all_others),
		cmocka_unit_test(a_login_is_whole_or_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
