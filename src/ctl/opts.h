#ifndef CTL_OPTS_H
#define CTL_OPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "conf/conf.h"

/*
 * What may stand on a command's line, in one place, so that -c or --json is
 * written the same way everywhere.
 */
enum opt_bits {
	OPT_CONF = 1 << 0,	/* -c FILE */
	OPT_ROLE = 1 << 1,	/* --edge, --home: the role's file in /etc/posthouse */
	OPT_JSON = 1 << 2,	/* --json */
	OPT_FILTER = 1 << 3,	/* --state STATE, --of HOME, -n COUNT */
	OPT_OBJECT = 1 << 4,	/* --object */
	OPT_ROTATE = 1 << 5,	/* --age, --tunnel, --finish */
	OPT_FORCE = 1 << 6,	/* --force */
	OPT_CHECK = 1 << 7,	/* --check FILE, --check PROTOCOL */
	OPT_CONTROL = 1 << 8,	/* --control PATH: without a configuration */
	OPT_BY = 1 << 9,	/* --by WHO */
	OPT_FOR = 1 << 10,	/* --for TIME */
	OPT_ALL = 1 << 11,	/* --all */
	/* --from EDGE, --class CLASS, --recipient ADDRESS, --older TIME, --size SIZE */
	OPT_CHOOSE = 1 << 12,
	OPT_PARKED = 1 << 13,	/* --parked */
	OPT_TO = 1 << 14,	/* --to MAILBOX */
	OPT_YES = 1 << 15,	/* --yes */
	OPT_ANEW = 1 << 16,	/* --rotate */
	OPT_ACCEPT = 1 << 17,	/* --accept */
	OPT_TEST = 1 << 18,	/* --test */
	OPT_ONCE = 1 << 19,	/* --once */
};

struct opts {
	const char	*conf;
	enum conf_role	 role;
	bool		 json, object, age, tunnel, finish, force, all, parked, yes, anew, accept,
			test, once;
	const char	*state, *of, *check, *control, *by, *for_time, *from, *class, *recipient,
			*older, *size, *to;
	/* older, for_time and size, as they were read */
	int64_t		 older_ms, for_ms;
	uint64_t	 octets;
	unsigned long long count;	/* 0: not said */
	char		**args;
	size_t		 nargs;
};

/* What a command is, for its usage text and its errors. */
struct opts_use {
	const char	*name;
	unsigned	 bits;		/* of enum opt_bits */
	size_t		 least, most;	/* arguments beside options */
	const char	*usage;
};

/*
 * -1: go on.  Otherwise the exit code: --help was printed, or what is wrong was
 * said.  Options may stand among the arguments; `--` ends them.  Values are read
 * here where they mean one thing for every role, so that a bad one asks nobody.
 */
int	opts_parse(int argc, char **argv, const struct opts_use *, struct opts *);

/*
 * "posthouse NAME: text" to standard error; the codes for return.  opts_failed is silent where
 * whoever read standard output has gone away: he knows.  opts_misused adds how it is written.
 */
int	opts_failed(const struct opts_use *, const struct why *);
int	opts_misused(const struct opts_use *, const char *what, const char *arg);

#endif
