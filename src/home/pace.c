#include "home/pace.h"

#define DAY_MS	86400000.0
#define HOUR_MS	3600000.0

void
pace_configure(struct pace *p, int64_t poll_ms, uint64_t month)
{
	p->poll_ms = poll_ms;
	p->per_ms = (double)month / (double)PACE_MONTH_MS;
}

/* Brings what is saved up to now. */
static void
count(struct pace *p, int64_t now_ms)
{
	if (p->counted_ms == 0) {
		p->saved = p->per_ms * HOUR_MS;
		if (p->saved < 1)
			p->saved = 1;
	} else if (now_ms > p->counted_ms) {
		p->saved += p->per_ms * (double)(now_ms - p->counted_ms);
	}
	if (p->saved > p->per_ms * DAY_MS && p->saved > 1)
		p->saved = p->per_ms * DAY_MS > 1 ? p->per_ms * DAY_MS : 1;
	p->counted_ms = now_ms;
}

void
pace_spend(struct pace *p, unsigned requests, int64_t now_ms)
{
	count(p, now_ms);
	p->saved -= requests;
}

int64_t
pace_afford(struct pace *p, int64_t now_ms)
{
	count(p, now_ms);
	if (p->saved >= 1)
		return now_ms;
	if (p->per_ms <= 0)
		return now_ms + PACE_MONTH_MS;
	return now_ms + (int64_t)((1 - p->saved) / p->per_ms) + 1;
}

/* A quarter of the silence since the last mail: a conversation is followed closely. */
static int64_t
by_silence(const struct pace *p, int64_t now_ms)
{
	int64_t wait = (now_ms - p->mail_ms) / 4;

	if (p->mail_ms == 0)
		return p->poll_ms;
	if (wait < PACE_LEAST_MS)
		wait = PACE_LEAST_MS;
	return wait < p->poll_ms ? wait : p->poll_ms;
}

static int64_t
by_failures(const struct pace *p)
{
	int64_t most = p->poll_ms > PACE_FAILED_MS ? p->poll_ms : PACE_FAILED_MS;
	int64_t wait = PACE_LEAST_MS;

	for (unsigned i = 1; i < p->failures && wait < most; i++)
		wait *= 2;
	return wait < most ? wait : most;
}

int64_t
pace_next(struct pace *p, enum pace_found found, int64_t now_ms)
{
	int64_t next = now_ms, afford = pace_afford(p, now_ms);

	p->failures = found == PACE_FAILED ? p->failures + (p->failures < 100) : 0;
	if (found == PACE_MAIL || found == PACE_MORE)
		p->mail_ms = now_ms;
	if (found == PACE_FAILED)
		next = now_ms + by_failures(p);
	else if (found != PACE_MORE)
		next = now_ms + by_silence(p, now_ms);
	return next > afford ? next : afford;
}
