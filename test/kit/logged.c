#include "kit/logged.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static char text[100000];
static int fd, before;

void
logged_begin(void)
{
	assert_true((fd = memfd_create("log", MFD_CLOEXEC)) >= 0);
	assert_true((before = dup(STDERR_FILENO)) >= 0);
	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
}

const char *
logged_end(void)
{
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
	close(before);
	close(fd);
	assert_in_range(n, 0, sizeof(text) - 2);
	text[n] = '\0';
	return text;
}

unsigned
logged_times(const char *logged, const char *words)
{
	unsigned n = 0;

	for (const char *at = logged; (at = strstr(at, words)) != NULL; at++)
		n++;
	return n;
}
