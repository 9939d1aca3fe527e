#include "ctl/opts.h"

#include <stdio.h>
#include <string.h>

#include "base/span.h"
#include "ctl/ctl.h"
#include "ctl/text.h"

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

int
opts_failed(const struct opts_use *use, const struct why *why)
{
	struct shown text;

	fprintf(stderr, "posthouse %s: %s\n", use->name, shown(span_str(why->text), &text));
	return CTL_FAILED;
}

int
opts_misused(const struct opts_use *use, const char *what, const char *arg)
{
	struct shown text;

	fprintf(stderr, "posthouse %s: %s%s%s\nTry `posthouse %s --help`.\n", use->name, what,
	    arg != NULL ? " " : "", arg != NULL ? shown(span_str(arg), &text) : "", use->name);
	return CTL_USAGE;
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
		if (strcmp(name, "state") == 0)
			o->state = value;
		else if (strcmp(name, "of") == 0)
			o->of = value;
		else if (!span_u64(span_str(value), 100000000, &o->count) || o->count == 0)
			return opts_misused(use, "-n takes a number above 0, not", value);
		break;
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
		break;
	case OPT_ALL:
		o->all = true;
		break;
	case OPT_CHOOSE:
		*(name[0] == 'f' ? &o->from : name[0] == 'c' ? &o->class : name[0] == 'r' ?
		    &o->recipient : name[0] == 'o' ? &o->older : &o->size) = value;
		break;
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

int
opts_parse(int argc, char **argv, const struct opts_use *use, struct opts *o)
{
	bool only_args = false;

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
		if ((rc = apply(use, r, value, o)) != -1)
			return rc;
	}
	if (o->nargs < use->least)
		return opts_misused(use, "an argument is missing", NULL);
	return -1;
}
