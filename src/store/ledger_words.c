#include "store/ledger_words.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const states[] = {
	[LEDGER_QUEUED] = "queued",
	[LEDGER_SENDING] = "sending",
	[LEDGER_STAGED] = "staged",
	[LEDGER_DELIVERED] = "delivered",
	[LEDGER_DEFERRED] = "deferred",
	[LEDGER_PARKED] = "parked",
	[LEDGER_UNCERTAIN] = "uncertain",
	[LEDGER_REFUSED] = "refused",
};

static const struct {
	const char	*word, *phrase;
} classes[] = {
	[PARK_NONE] = { "", "" },
	[PARK_POLICY] = { "policy", "policy" },
	[PARK_REFUSED] = { "refused", "refused" },
	[PARK_FOREIGN_RECIPIENT] = { "foreign", "foreign recipient" },
	[PARK_MALFORMED] = { "malformed", "malformed" },
	[PARK_UNSEALABLE] = { "unsealable", "no key opens it" },
	[PARK_FORGED] = { "forged", "forged" },
	[PARK_OPERATOR] = { "operator", "by the operator" },
};

static const char *const origins[] = {
	[ORIGIN_NONE] = "",
	[ORIGIN_RECEPTION] = "reception",
	[ORIGIN_TUNNEL] = "tunnel",
	[ORIGIN_BUCKET] = "bucket",
	[ORIGIN_PUSH] = "push",
	[ORIGIN_SUBMISSION] = "submission",
};

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

const char *
ledger_state_word(enum ledger_state s)
{
	return (size_t)s < COUNT(states) ? states[s] : "unknown";
}

const char *
park_class_word(enum park_class c)
{
	return (size_t)c < COUNT(classes) ? classes[c].word : "unknown";
}

const char *
park_class_phrase(enum park_class c)
{
	return (size_t)c < COUNT(classes) ? classes[c].phrase : "unknown";
}

const char *
origin_word(enum spool_origin o)
{
	return (size_t)o < COUNT(origins) ? origins[o] : "unknown";
}

bool
ledger_state_read(const char *word, enum ledger_state *out)
{
	for (size_t i = 0; i < COUNT(states); i++)
		if (i != LEDGER_DELIVERED && strcmp(states[i], word) == 0) {
			*out = (enum ledger_state)i;
			return true;
		}
	return false;
}

bool
park_class_read(const char *word, enum park_class *out)
{
	for (size_t i = PARK_NONE + 1; i < COUNT(classes); i++)
		if (strcmp(classes[i].word, word) == 0) {
			*out = (enum park_class)i;
			return true;
		}
	return false;
}

/* "A.B" */
static bool
two_numbers(struct span s, unsigned long long max, unsigned long long *a, unsigned long long *b)
{
	const char *dot = s.n > 0 ? memchr(s.p, '.', s.n) : NULL;

	return dot != NULL && span_u64(span_of(s.p, (size_t)(dot - s.p)), max, a) &&
	    span_u64(span_from(s, (size_t)(dot - s.p) + 1), INT64_MAX, b);
}

bool
ledger_mark_parse(struct span s, struct ledger_mark *out)
{
	unsigned long long epoch, counter;

	if (!two_numbers(s, INT64_MAX, &epoch, &counter) || epoch == 0)
		return false;
	out->epoch = epoch;
	out->counter = counter;
	return true;
}

void
ledger_runs_print(const struct ledger_mark *m, char out[LEDGER_RUNS_TEXT])
{
	size_t n = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < m->nruns; i++)
		n += (size_t)snprintf(out + n, LEDGER_RUNS_TEXT - n, "%s%" PRIu32 ".%" PRIu64,
		    i > 0 ? " " : "", m->runs[i].run, m->runs[i].first);
}

bool
ledger_runs_parse(struct span s, struct ledger_mark *out)
{
	unsigned long long run, first, above = (unsigned long long)INT64_MAX + 1;
	unsigned n = 0;

	out->nruns = 0;
	for (bool more = true; more; n++) {
		const char *end = s.n > 0 ? memchr(s.p, ' ', s.n) : NULL;
		struct span word = span_of(s.p, end != NULL ? (size_t)(end - s.p) : s.n);

		if (n == LEDGER_RUNS || !two_numbers(word, UINT32_MAX, &run, &first) ||
		    run == 0 || first == 0 || first >= above)
			return false;
		out->runs[n] = (struct ledger_run){ (uint32_t)run, first };
		above = first;
		more = end != NULL;
		s = more ? span_from(s, word.n + 1) : s;
	}
	out->nruns = n;
	return true;
}

bool
ledger_parted(const struct ledger_mark *m, uint32_t run, uint64_t counter)
{
	uint64_t last = m->counter;

	if (run == 0)
		return false;
	/* A ledger that has had a run names one for good. */
	if (m->nruns == 0)
		return true;
	for (unsigned i = 0; i < m->nruns; i++) {
		if (m->runs[i].run == run)
			return counter > last;
		last = m->runs[i].first - 1;
	}
	/* One that we never had began after our oldest; one that we forgot ended before it. */
	return counter > last;
}
