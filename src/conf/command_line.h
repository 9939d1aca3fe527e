#ifndef CONF_COMMAND_LINE_H
#define CONF_COMMAND_LINE_H

#include <stdbool.h>

#include "base/span.h"

/*
 * A configured command as an argument vector, without a shell: words parted by
 * blanks; '...' and "..." keep blanks, a backslash keeps the next character
 * (inside "..." too, inside '...' nothing is special).  Nothing is expanded: no
 * variables, no globs, no pipes; what needs them says `sh -c '...'` itself.
 */
#define COMMAND_ARGS_MAX 32

struct command_line {
	char	*argv[COMMAND_ARGS_MAX + 1];	/* NULL-terminated; point into text */
	char	 text[1100];
};

/* False: nothing in it, a quote without its end, too many words or too long. */
bool	command_line_parse(struct span, struct command_line *);
/*
 * What is wrong with a configured one, or NULL: also a word for a shell, not quoted, that the
 * command would get as an argument.
 */
const char *command_line_fault(struct span);

#endif
