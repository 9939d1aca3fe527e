#include "base/clock.h"

#include <stdbool.h>
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

int64_t
boot_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
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

void
clock_watch_init(struct clock_watch *w, int64_t boot, int64_t wall)
{
	*w = (struct clock_watch){ .boot_ms = boot, .wall_ms = wall };
}

static bool
is_jump(int64_t ms)
{
	return ms > CLOCK_JUMP_MS || ms < -CLOCK_JUMP_MS;
}

int64_t
clock_watch_look(struct clock_watch *w, int64_t boot, int64_t wall)
{
	int64_t jump = (wall - w->wall_ms) - (boot - w->boot_ms);

	w->boot_ms = boot;
	w->wall_ms = wall;
	if (boot >= w->until_ms)
		w->jumped_ms = 0;
	if (!is_jump(jump))
		return 0;
	w->jumped_ms += jump;
	w->until_ms = boot + CLOCK_DOUBT_MS;
	if (!is_jump(w->jumped_ms))
		w->jumped_ms = 0;
	return jump;
}

int64_t
clock_surely_ms(const struct clock_watch *w)
{
	return w->wall_ms - (w->jumped_ms > 0 ? w->jumped_ms : 0);
}
