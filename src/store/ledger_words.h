#ifndef STORE_LEDGER_WORDS_H
#define STORE_LEDGER_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "store/spool.h"

/*
 * The ledger's enumerators in words, for people and for their filters.  A number that is
 * none of ours (a newer program's row, or a damaged one) is "unknown".
 */
const char *ledger_state_word(enum ledger_state);	/* "deferred" */
const char *park_class_word(enum park_class);		/* "foreign"; "" for none */
const char *park_class_phrase(enum park_class);		/* "no key opens it" */
const char *origin_word(enum spool_origin);

bool	ledger_state_read(const char *, enum ledger_state *);
bool	park_class_read(const char *, enum park_class *);
#define LEDGER_STATE_WORDS	"queued, sending, staged, deferred, parked, uncertain or refused"
#define PARK_CLASS_WORDS	"policy, refused, foreign, malformed, unsealable or operator"

/* "EPOCH.COUNTER", as answers name a ledger.  False, and out is left alone: it is none. */
bool	ledger_mark_parse(struct span, struct ledger_mark *out);

/*
 * "RUN.FIRST RUN.FIRST", the present run first, is beside it where home has runs to name: of
 * the mark these are the runs, which the parser above leaves alone.  False, and out has no
 * runs: it is none, as one that names a 0, more than LEDGER_RUNS, or counters that do not fall.
 */
#define LEDGER_RUNS_TEXT	(LEDGER_RUNS * (10 + 1 + 19 + 1))
void	ledger_runs_print(const struct ledger_mark *, char out[LEDGER_RUNS_TEXT]);
bool	ledger_runs_parse(struct span, struct ledger_mark *out);

/*
 * Whether that ledger is another than the one of its epoch that had that counter in that run:
 * its own past ended before, and what it counts since is something else, or it names no run
 * at all.  False also where that cannot be told: which run it was is not known, or so many
 * came since that the list has it no more.
 */
bool	ledger_parted(const struct ledger_mark *, uint32_t run, uint64_t counter);

#endif
