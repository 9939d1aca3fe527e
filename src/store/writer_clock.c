/* A wall clock that jumps: noticed, said, and kept from throwing anything away. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/writer_in.h"

#define DAY_MIN		(24 * 60)
#define SET_IT		"if that is wrong, set the clock (timedatectl)"
/* Of the longest pause of a delivery: a retry that is later was set by another clock. */
#define RETRIES_MAX	2

struct words {
	char	s[80];
};

static struct words
jump_words(int64_t ms)
{
	long long min = (llabs(ms) + 30000) / 60000;
	struct words w;
	char now[32];

	wall_iso(wall_ms(), now, sizeof(now));
	snprintf(w.s, sizeof(w.s), "%s by %lld d %lld h %lld min, to %s",
	    ms > 0 ? "forward" : "back", min / DAY_MIN, min % DAY_MIN / 60, min % 60, now);
	return w;
}

/*
 * An early try costs one; a late one, as many days as the clock went back.  Also at
 * start: it may have gone back while we did not run.
 */
static void
bring_forward(struct writer *w)
{
	struct why why = { 0 };
	int rc;

	if (w->conf.role != CONF_HOME)
		return;
	rc = db_due_by(w->db, wall_ms() + RETRIES_MAX * w->conf.home->retry_max_ms, &why);
	/* What could not even be read is tried again at the next look. */
	if (rc == -1 && db_changed(w->db))
		writer_failed(w, &why);
	else if (rc == 1) {
		w->noted = true;
		writer_awake(w);
	}
}

void
writer_clock_watch(struct writer *w)
{
	int64_t was = w->clock.jumped_ms, jump = clock_watch_look(&w->clock, boot_ms(), wall_ms());

	if (jump != 0)
		log_warn(NULL, "clock.jumped %s: " SET_IT, jump_words(jump).s);
	/*
	 * A machine that was taken back to a snapshot of its memory goes on in the run of then;
	 * so does each of two that were made of one.
	 */
	if (jump > 0)
		db_runs_new(w->db);
	w->bans_late_ms += jump;
	if (was != 0 && w->clock.jumped_ms == 0)
		log_info(NULL, "clock.sure %s", jump != 0 ? "it is back" : "a day has passed");
}

void
writer_clock_look(struct writer *w)
{
	struct why why = { 0 };

	writer_clock_watch(w);
	(void)writer_bans_settle(w, &why);	/* said, and tried again at the next look */
	bring_forward(w);
}

bool
writer_clock_alarm(struct writer *w, char *text, size_t max)
{
	char now[32];

	writer_clock_watch(w);
	wall_iso(w->clock.wall_ms, now, sizeof(now));
	if (w->clock.wall_ms < CLOCK_FIRST_MS)
		snprintf(text, max, "clock: it says %s, which is over: set it (timedatectl)", now);
	else if (w->clock.jumped_ms != 0)
		snprintf(text, max, "clock: it jumped %s: " SET_IT "; %s",
		    jump_words(w->clock.jumped_ms).s, w->clock.jumped_ms > 0 ?
		    "for a day nothing is thrown away for an age that came of it" :
		    "ages are too small until then, and nothing is lost");
	else
		return false;
	return true;
}

int64_t
writer_surely_ms(const struct writer *w)
{
	return clock_surely_ms(&w->clock);
}
