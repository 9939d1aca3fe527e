#include "ctl/octets.h"

#include <errno.h>
#include <unistd.h>

int
octets_write(int fd, struct span s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		s = span_from(s, (size_t)n);
	}
	return 0;
}

int
octets_print(struct span s, struct why *why)
{
	return octets_write(STDOUT_FILENO, s) == 0 ? 0 : why_sys(why, "standard output");
}

ssize_t
octets_read(int fd, char *p, size_t max)
{
	size_t n = 0;

	while (n < max) {
		ssize_t got = read(fd, p + n, max - n);

		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			return -1;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return (ssize_t)n;
}
