#include "kit/ahead.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Atomic int64_t ahead_ms;

/* In libc's place, for the libraries too: the program's own comes first. */
int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int64_t ahead = ahead_ms, ns;

	if (syscall(SYS_clock_gettime, id, ts) == -1)
		return -1;
	ns = ts->tv_nsec + ahead % 1000 * 1000000;
	ts->tv_sec += ahead / 1000 + ns / 1000000000;
	ts->tv_nsec = ns % 1000000000;
	return 0;
}
