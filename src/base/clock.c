#include "base/clock.h"

#include <stdio.h>
#include <time.h>

struct instant
instant_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (struct instant){ (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec };
}

int64_t
instant_ms_since(struct instant earlier, struct instant later)
{
	return (later.ns - earlier.ns) / 1000000;
}

int64_t
wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static struct tm
utc(int64_t ms)
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm = { 0 };

	gmtime_r(&t, &tm);
	return tm;
}

void
wall_rfc5322(int64_t ms, char *out, size_t max)
{
	static const char day[] = "SunMonTueWedThuFriSat";
	static const char mon[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm tm = utc(ms);

	/* Not strftime: these names are English whatever the locale is. */
	snprintf(out, max, "%.3s, %d %.3s %d %02d:%02d:%02d +0000", day + tm.tm_wday * 3,
	    tm.tm_mday, mon + tm.tm_mon * 3, tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void
wall_iso(int64_t ms, char *out, size_t max)
{
	struct tm tm = utc(ms);

	snprintf(out, max, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
	    tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms % 1000));
}
