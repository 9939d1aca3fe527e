#include "store/ledger_words.h"

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

bool
ledger_mark_parse(struct span s, struct ledger_mark *out)
{
	const char *dot = s.n > 0 ? memchr(s.p, '.', s.n) : NULL;
	unsigned long long epoch, counter;

	if (dot == NULL || !span_u64(span_of(s.p, (size_t)(dot - s.p)), INT64_MAX, &epoch) ||
	    !span_u64(span_from(s, (size_t)(dot - s.p) + 1), INT64_MAX, &counter))
		return false;
	*out = (struct ledger_mark){ epoch, counter };
	return true;
}
