#ifndef STORE_LEDGER_WORDS_H
#define STORE_LEDGER_WORDS_H

#include <stdbool.h>

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

#endif
