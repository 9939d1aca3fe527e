/* Who may hand mail over: the digest that an edge has of a password. */
#include "proto/login.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/codec.h"

#define NAME	"worker.example.org"
#define RIGHT	SPAN_LIT("open sesame")

/* By Python's hashlib. */
#define DIGEST	"6534647bf581805acd110dccc24c073832aec94d96619fa04c92fd404b6c62d3"

static struct login
login_with(const char *digest)
{
	struct login l = { .name = NAME, .ndigests = 1 };

	assert_true(hex_decode(span_str(digest), l.digests[0], LOGIN_DIGEST_LEN));
	return l;
}

static void
the_digest_is_the_same_everywhere(void **state)
{
	unsigned char out[LOGIN_DIGEST_LEN];
	char hex[2 * LOGIN_DIGEST_LEN + 1];

	(void)state;
	assert_true(login_digest(SPAN_LIT("Worker.Example.ORG"), RIGHT, out));
	hex_encode(out, sizeof(out), hex);
	assert_string_equal(hex, DIGEST);
}

static void
only_that_user_with_that_password_is_let_in(void **state)
{
	struct login l = login_with(DIGEST);
	char long_name[300];

	(void)state;
	memset(long_name, 'x', sizeof(long_name));
	assert_true(login_is(&l, SPAN_LIT(NAME), RIGHT));
	assert_true(login_is(&l, SPAN_LIT("WORKER.example.org"), RIGHT));
	assert_false(login_is(&l, SPAN_LIT(NAME), SPAN_LIT("open sesam")));
	assert_false(login_is(&l, SPAN_LIT(NAME), SPAN_LIT("Open sesame")));
	assert_false(login_is(&l, SPAN_LIT(NAME), SPAN_LIT("")));
	assert_false(login_is(&l, SPAN_LIT("other.example.org"), RIGHT));
	assert_false(login_is(&l, span_of(long_name, sizeof(long_name)), RIGHT));
	assert_false(login_is(&l, SPAN_LIT(""), RIGHT));
}

static void
without_a_digest_nobody_is_and_with_two_either_password_counts(void **state)
{
	struct login l = login_with(DIGEST);

	(void)state;
	l.ndigests = 0;
	assert_false(login_is(&l, SPAN_LIT(NAME), RIGHT));
	memcpy(l.digests[1], l.digests[0], LOGIN_DIGEST_LEN);
	memset(l.digests[0], 0, LOGIN_DIGEST_LEN);
	l.ndigests = 1;
	assert_false(login_is(&l, SPAN_LIT(NAME), RIGHT));
	l.ndigests = 2;
	assert_true(login_is(&l, SPAN_LIT(NAME), RIGHT));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_digest_is_the_same_everywhere),
		cmocka_unit_test(only_that_user_with_that_password_is_let_in),
		cmocka_unit_test(without_a_digest_nobody_is_and_with_two_either_password_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
