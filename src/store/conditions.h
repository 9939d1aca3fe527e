#ifndef STORE_CONDITIONS_H
#define STORE_CONDITIONS_H

#include "base/why.h"

/*
 * What somebody must look at now: found in the database and on the scoreboard, which is
 * input, by the thresholds of `alarms {}`.  `status` shows it, and alarms tell it.
 *
 * A key names the condition, and stays while its words change with what is counted in
 * them: a kind, and where there may be several, of whom ("edge/mx1.example.org").
 */
struct writer;

enum condition {
	CONDITION_NOW = 0,
	CONDITION_PATIENT,	/* it happens, and is an alarm once it has lasted unreachable */
	CONDITION_SUMMARY,	/* no alarm: what is told once a day */
};

typedef void condition_fn(void *arg, enum condition, const char *key, const char *text);
/* -1: the database failed, which is one too; all others were told. */
int	conditions(struct writer *, condition_fn *, void *arg, struct why *);

#endif
