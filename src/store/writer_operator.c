/* What the operator does to what is held, and what he is told of what is parked. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/writer_in.h"

#define DAY_MS	(24 * 3600 * 1000LL)

static int
in_hands(struct writer *w, int64_t row, struct why *why)
{
	if (rowmap_find(&w->claims, row) != NULL) {
		why_set(why, "it is being delivered just now: try again in a moment");
		return 1;
	}
	if (rowmap_find(&w->hidden, row) != NULL) {
		why_set(why, "its sender waits for home's word just now: try again in a moment");
		return 1;
	}
	return 0;
}

static int
change(struct writer *w, int64_t row, enum writer_act act, const char *mailbox,
    struct db_noted *noted, struct why *why)
{
	*noted = (struct db_noted){ 0 };
	switch (act) {
	case ACT_RETRY:
		return db_retry(w->db, row, false, noted, why);
	case ACT_RETRY_PARKED:
		return db_retry(w->db, row, true, noted, why);
	case ACT_PARK:
		return db_park(w->db, row, noted, why);
	case ACT_UNPARK:
		return db_unpark(w->db, row, mailbox, noted, why);
	case ACT_DROP:
		/* Whoever waits for home's word is told that it was taken. */
		noted->outcome = OUTCOME_ACCEPTED;
		return db_discard(w->db, row, why);
	}
	return 0;
}

int
writer_act(struct writer *w, int64_t row, enum writer_act act, const char *mailbox,
    struct why *why)
{
	struct db_noted noted;
	struct owed *o;
	int rc;

	if (in_hands(w, row, why))
		return 0;
	if ((rc = change(w, row, act, mailbox, &noted, why)) == -1) {
		writer_failed(w, why);
		return -1;
	}
	if (rc == 0)
		return 0;
	o = writer_owe_nobody(w);
	o->row = row;
	o->asked = WM_NOTE;
	o->outcome = noted.outcome;
	w->work = w->noted = true;
	return 1;
}

void
writer_again(struct writer *w)
{
	writer_tell(w, WE_AGAIN, NULL, span_of(NULL, 0));
}

void
writer_parked_look(struct writer *w)
{
	struct instant now = instant_now();
	struct db_parked p;
	struct why why;
	uint64_t stays = 0;

	if (w->conf.role != CONF_HOME ||
	    (w->parked_said.ns != 0 && instant_ms_since(w->parked_said, now) < DAY_MS) ||
	    db_parked(w->db, &p, &why) == -1)
		return;
	w->parked_said = now;
	for (int i = PARK_POLICY + 1; i < PARK_OPERATOR; i++)
		stays += p.objects[i];
	if (p.objects[PARK_POLICY] + p.objects[PARK_OPERATOR] + stays == 0)
		return;
	log_info(NULL, "parked.summary policy=%" PRIu64 " next_expires_in_days=%lld stays=%" PRIu64
	    " operator=%" PRIu64, p.objects[PARK_POLICY], p.first_ms == 0 ? -1 : (long long)
	    ((p.first_ms + w->conf.home->parked_keep_ms - wall_ms()) / DAY_MS), stays,
	    p.objects[PARK_OPERATOR]);
}
