#include "ctl/opts.h"

#include <stdio.h>
#include <string.h>

#include "base/span.h"
#include "base/utf8.h"
#include "conf/table.h"
#include "ctl/ctl.h"
#include "ctl/text.h"
#include "store/ledger_words.h"

static const struct option_rule {
	const char	*name;
	const char	*brief;		/* "-c", or NULL */
	unsigned	 bit;
	bool		 value;
} rules[] = {
	{ "--config", "-c", OPT_CONF, true },
	{ "--edge", NULL, OPT_ROLE, false },
	{ "--home", NULL, OPT_ROLE, false },
	{ "--json", NULL, OPT_JSON, false },
	{ "--state", NULL, OPT_FILTER, true },
	{ "--of", NULL, OPT_FILTER, true },
	{ "--count", "-n", OPT_FILTER, true },
	{ "--object", NULL, OPT_OBJECT, false },
	{ "--age", NULL, OPT_ROTATE, false },
	{ "--tunnel", NULL, OPT_ROTATE, false },
	{ "--finish", NULL, OPT_ROTATE, false },
	{ "--force", NULL, OPT_FORCE, false },
	{ "--check", NULL, OPT_CHECK, true },
	{ "--control", NULL, OPT_CONTROL, true },
	{ "--by", NULL, OPT_BY, true },
	{ "--for", NULL, OPT_FOR, true },
	{ "--all", NULL, OPT_ALL, false },
	{ "--from", NULL, OPT_CHOOSE, true },
	{ "--class", NULL, OPT_CHOOSE, true },
	{ "--recipient", NULL, OPT_CHOOSE, true },
	{ "--older", NULL, OPT_CHOOSE, true },
	{ "--size", NULL, OPT_CHOOSE, true },
	{ "--parked", NULL, OPT_PARKED, false },
	{ "--to", NULL, OPT_TO, true },
	{ "--yes", NULL, OPT_YES, false },
	{ "--test", NULL, OPT_TEST, false },
	{ "--rotate", NULL, OPT_ANEW, false },
	{ "--accept", NULL, OPT_ACCEPT, false },
	{ "--once", NULL, OPT_ONCE, false },
};

/* As in a configuration, so that 1h is an hour and 5M five times 1,048,576 here too. */
static const struct conf_key older = { .name = "--older", .type = CT_TIME,
    .size = sizeof(int64_t), .most = 36500 * (uint64_t)CONF_DAY };
/* 100 years of 365.25 days, which fail2ban makes of `bantime = 100y`. */
static const struct conf_key for_time = { .name = "--for", .type = CT_TIME,
    .size = sizeof(int64_t), .least = CONF_SECOND, .most = 36525 * (uint64_t)CONF_DAY };
static const struct conf_key size = { .name = "--size", .type = CT_SIZE,
    .size = sizeof(uint64_t), .most = CONF_T };

int
opts_failed(const struct opts_use *use, const struct why *why)
{
	struct shown text;

	if (text_reader_gone(why))
		return CTL_FAILED;
	fprintf(stderr, "posthouse %s: %s\n", use->name, shown(span_str(why->text), &text));
	return CTL_FAILED;
}

int
opts_misused(const struct opts_use *use, const char *what, const char *arg)
{
	/* The lines that say how the command is written: all above the first empty one. */
	const char *end = strstr(use->usage, "\n\n");
	struct shown words, text;

	fprintf(stderr, "posthouse %s: %s%s%s\n%.*sTry `posthouse %s --help`.\n", use->name,
	    shown(span_str(what), &words), arg != NULL ? " " : "",
	    arg != NULL ? shown(span_str(arg), &text) : "",
	    end != NULL ? (int)(end - use->usage) + 1 : 0, use->usage, use->name);
	return CTL_USAGE;
}

/* A value by the rules of a configuration: -1, or the exit code. */
static int
store(const struct opts_use *use, const struct conf_key *key, const char *value, void *out)
{
	struct why why, named;

	if (conf_value_store(key, out, span_str(value), &why) == 0)
		return -1;
	why_set(&named, "%s: %.400s", key->name, why.text);
	return opts_misused(use, named.text, NULL);
}

/* A state of either role: which of them is meant is known to whoever is asked. */
static int
state(const struct opts_use *use, const char *value, struct opts *o)
{
	enum ledger_state s;

	if (strcmp(value, "held") != 0 && strcmp(value, "verdict") != 0 &&
	    !ledger_state_read(value, &s))
		return opts_misused(use, "--state is one of held or verdict at an edge, "
		    LEDGER_STATE_WORDS " at home, not", value);
	o->state = value;
	return -1;
}

static int
filter(const struct opts_use *use, const char *name, const char *value, struct opts *o)
{
	if (strcmp(name, "state") == 0)
		return state(use, value, o);
	if (strcmp(name, "of") == 0)
		o->of = value;
	else if (!span_u64(span_str(value), 100000000, &o->count) || o->count == 0)
		return opts_misused(use, "-n takes a number above 0, not", value);
	return -1;
}

static int
choose(const struct opts_use *use, const char *name, const char *value, struct opts *o)
{
	enum park_class class;

	if (strcmp(name, "older") == 0) {
		o->older = value;
		return store(use, &older, value, &o->older_ms);
	}
	if (strcmp(name, "size") == 0) {
		o->size = value;
		return store(use, &size, value, &o->octets);
	}
	if (strcmp(name, "class") == 0 && !park_class_read(value, &class))
		return opts_misused(use, "--class is one of " PARK_CLASS_WORDS ", not", value);
	*(name[0] == 'f' ? &o->from : name[0] == 'c' ? &o->class : &o->recipient) = value;
	return -1;
}

/* -1, or the exit code. value: NULL unless the rule takes one. */
static int
apply(const struct opts_use *use, const struct option_rule *r, const char *value, struct opts *o)
{
	const char *name = r->name + 2;
	enum conf_role role = strcmp(name, "edge") == 0 ? CONF_EDGE : CONF_HOME;

	switch (r->bit) {
	case OPT_CONF:
		o->conf = value;
		break;
	case OPT_ROLE:
		if (o->role != CONF_NO_ROLE && o->role != role)
			return opts_misused(use, "--edge or --home, not both", NULL);
		o->role = role;
		break;
	case OPT_JSON:
		o->json = true;
		break;
	case OPT_FILTER:
		return filter(use, name, value, o);
	case OPT_OBJECT:
		o->object = true;
		break;
	case OPT_ROTATE:
		*(name[0] == 'a' ? &o->age : name[0] == 't' ? &o->tunnel : &o->finish) = true;
		break;
	case OPT_TEST:
		o->test = true;
		break;
	case OPT_FORCE:
		o->force = true;
		break;
	case OPT_CHECK:
		o->check = value;
		break;
	case OPT_CONTROL:
		o->control = value;
		break;
	case OPT_BY:
		o->by = value;
		break;
	case OPT_FOR:
		o->for_time = value;
		return store(use, &for_time, value, &o->for_ms);
	case OPT_ALL:
		o->all = true;
		break;
	case OPT_CHOOSE:
		return choose(use, name, value, o);
	case OPT_PARKED:
		o->parked = true;
		break;
	case OPT_TO:
		o->to = value;
		break;
	case OPT_YES:
		o->yes = true;
		break;
	case OPT_ANEW:
		o->anew = true;
		break;
	case OPT_ACCEPT:
		o->accept = true;
		break;
	case OPT_ONCE:
		o->once = true;
		break;
	}
	return -1;
}

/* The rule for a word, its value if it stands behind `=`. NULL: no such option for this command. */
static const struct option_rule *
find_rule(const struct opts_use *use, const char *word, const char **value)
{
	*value = NULL;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct option_rule *r = &rules[i];
		size_t n = strlen(r->name);

		if (!(use->bits & r->bit))
			continue;
		if (strcmp(word, r->name) == 0 || (r->brief != NULL && strcmp(word, r->brief) == 0))
			return r;
		if (r->value && strncmp(word, r->name, n) == 0 && word[n] == '=') {
			*value = word + n + 1;
			return r;
		}
	}
	return NULL;
}

/* What stands in a question stands there in JSON. */
static bool
is_utf8(const char *s)
{
	for (size_t n, left = strlen(s); left > 0; s += n, left -= n)
		if ((n = utf8_length((unsigned char)*s)) == 0 || n > left ||
		    !utf8_possible((const unsigned char *)s, n))
			return false;
	return true;
}

/* What is said twice means neither: whoever wrote it may have meant both. */
static int
one_value(const struct opts_use *use, const struct option_rule *r, const char *value,
    uint64_t *said)
{
	uint64_t bit = (uint64_t)1 << (r - rules);

	if (value[0] == '\0')
		return opts_misused(use, "a value must follow", r->name);
	if ((r->bit & (OPT_FILTER | OPT_CHOOSE | OPT_BY | OPT_TO)) && !is_utf8(value))
		return opts_misused(use, "that is no UTF-8:", value);
	if (*said & bit)
		return opts_misused(use, "once is enough; what was meant by the second", r->name);
	*said |= bit;
	return -1;
}

int
opts_parse(int argc, char **argv, const struct opts_use *use, struct opts *o)
{
	bool only_args = false;
	uint64_t said = 0;

	*o = (struct opts){ .args = argv + 1 };
	for (int i = 1; i < argc; i++) {
		const struct option_rule *r;
		const char *value;
		int rc;

		if (only_args || argv[i][0] != '-' || argv[i][1] == '\0') {
			if (o->nargs == use->most)
				return opts_misused(use, "one argument too many:", argv[i]);
			o->args[o->nargs++] = argv[i];	/* never ahead of i - 1 */
			continue;
		}
		if (strcmp(argv[i], "--") == 0) {
			only_args = true;
			continue;
		}
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			fputs(use->usage, stdout);
			return CTL_OK;
		}
		if ((r = find_rule(use, argv[i], &value)) == NULL)
			return opts_misused(use, "unknown option", argv[i]);
		if (r->value && value == NULL) {
			if (++i == argc)
				return opts_misused(use, "a value must follow", r->name);
			value = argv[i];
		}
		if (r->value && (rc = one_value(use, r, value, &said)) != -1)
			return rc;
		if ((rc = apply(use, r, value, o)) != -1)
			return rc;
	}
	if (o->control != NULL && (o->conf != NULL || o->role != CONF_NO_ROLE))
		return opts_misused(use, "--control or a configuration, not both: the socket is "
		    "who is asked", NULL);
	if (o->nargs < use->least)
		return opts_misused(use, "an argument is missing", NULL);
	return -1;
}
