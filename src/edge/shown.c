#include "edge/handover_in.h"

#include "base/log.h"
#include "store/ledger_words.h"

/* An old ledger stays one until its operator says otherwise: an object now and then finds out. */
#define STALE_PAUSE_MS	60000

void
handover_mark(const struct h2_head *head, struct ledger_mark *out)
{
	if (ledger_mark_parse(h2_header_get(head, "posthouse-ledger"), out))
		(void)ledger_runs_parse(h2_header_get(head, "posthouse-ledger-runs"), out);
}

struct ledger_mark
handover_top(const struct handover *ho)
{
	return ho->top;
}

struct ledger_mark
handover_refused_ledger(const struct handover *ho)
{
	return ho->stale;
}

void
handover_stale(struct handover *ho, struct ledger_mark mark, const struct why *why)
{
	board_add(edge_board(ho->edge), BC_STALE_LEDGER, 1);
	if (ho->stale.epoch == 0)
		log_error(NULL, "handover.stale home=%s: %s", ho->home->name, why->text);
	ho->stale = mark;
	handover_pause(ho, STALE_PAUSE_MS);
}

static void
on_marked(void *arg, enum marked marked, const struct why *why)
{
	struct handover *ho = arg;
	struct ledger_mark shown = ho->shown;
	bool was = ho->stale.epoch != 0;

	ho->shown = (struct ledger_mark){ .epoch = 0 };
	if (marked == MARKED) {
		ho->stale = (struct ledger_mark){ .epoch = 0 };
		if (was)
			handover_again(ho);
		return;
	}
	ho->top = (struct ledger_mark){ .epoch = 0 };	/* asked anew with the next answer */
	if (marked == MARKED_STALE)
		handover_stale(ho, shown, why);
}

static bool
is_older(const struct ledger_mark *m, const struct ledger_mark *floor)
{
	return m->epoch == floor->epoch && m->counter < floor->counter;
}

bool
handover_overtaken(const struct handover *ho, const struct ledger_mark *m,
    const struct ledger_mark *floor)
{
	return m->epoch == ho->top.epoch && m->counter < ho->top.counter && !is_older(m, floor) &&
	    !ledger_parted(&ho->top, ledger_run(m), m->counter);
}

void
handover_shown(struct handover *ho, struct ledger_mark mark, struct ledger_mark floor)
{
	if (mark.epoch == 0 || ho->shown.epoch != 0)
		return;
	/*
	 * Overtaken, or as it should be: then a PUT's answer brings it to the writer.  Another run
	 * may be a copy's.
	 */
	if (handover_overtaken(ho, &mark, &floor) || (mark.epoch == ho->top.epoch &&
	    !is_older(&mark, &floor) && ledger_run(&mark) == ledger_run(&ho->top)))
		return;
	ho->top = ho->shown = mark;
	spool_mark(ho->edge->spool, ho->home->name, mark, on_marked, ho);
}
