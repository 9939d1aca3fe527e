/* What is opened as it runs is there, and what is missing is said by its name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "home/libmicrohttpd.h"
#include "net/libcurl.h"
#include "net/libunbound.h"
#include "net/library.h"

struct calls {
	__typeof__(strlen)	*strlen;
	__typeof__(strlen)	*other;
};

static void
all_three_are_there_and_open_once(void **state)
{
	struct why why = { "" };
	const struct libcurl *curl = libcurl_open(&why);
	const struct libmicrohttpd *mhd = libmicrohttpd_open(&why);
	const struct libunbound *unbound = libunbound_open(&why);

	assert_string_equal(why.text, "");
	assert_ptr_equal(libcurl_open(&why), curl);
	assert_ptr_equal(libmicrohttpd_open(&why), mhd);
	assert_ptr_equal(libunbound_open(&why), unbound);
	assert_string_equal(curl->easy_strerror(CURLE_OK), "No error");
	assert_string_equal(unbound->strerror(0), "no error");
}

static void
a_library_that_is_missing_is_named(void **state)
{
	static const struct library_call call = { "strlen", offsetof(struct calls, strlen) };
	struct calls calls = { NULL, NULL };
	struct why why;

	assert_int_equal(library_open("libnobody.so.7", &call, 1, &calls, &why), -1);
	assert_non_null(strstr(why.text, "library libnobody.so.7: "));
	assert_null(calls.strlen);
}

static void
a_library_that_is_too_old_is_named_with_what_it_lacks(void **state)
{
	static const struct library_call call[] = {
		{ "strlen", offsetof(struct calls, strlen) },
		{ "strlen_of_tomorrow", offsetof(struct calls, other) },
	};
	struct calls calls = { NULL, NULL };
	struct why why;

	assert_int_equal(library_open("libc.so.6", call, 2, &calls, &why), -1);
	assert_string_equal(why.text,
	    "library libc.so.6: it has no strlen_of_tomorrow, so it is too old");
	assert_int_equal(library_open("libc.so.6", call, 1, &calls, &why), 0);
	assert_int_equal(calls.strlen("four"), 4);
	assert_null(calls.other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_three_are_there_and_open_once),
		cmocka_unit_test(a_library_that_is_missing_is_named),
		cmocka_unit_test(a_library_that_is_too_old_is_named_with_what_it_lacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
