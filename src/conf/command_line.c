#include "conf/command_line.h"

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* One word from the front of *in into *out; false where a quote or escape has no end. */
static bool
word(struct span *in, char **out)
{
	char quote = '\0';

	for (; in->n > 0 && (quote != '\0' || !is_blank(*in->p)); *in = span_from(*in, 1)) {
		char c = *in->p;

		if (quote == '\0' && (c == '\'' || c == '"')) {
			quote = c;
		} else if (c == quote) {
			quote = '\0';
		} else if (c == '\\' && quote != '\'') {
			*in = span_from(*in, 1);
			if (in->n == 0)
				return false;
			*(*out)++ = *in->p;
		} else {
			*(*out)++ = c;
		}
	}
	*(*out)++ = '\0';
	return quote == '\0';
}

bool
command_line_parse(struct span in, struct command_line *cl)
{
	char *out = cl->text;
	size_t n = 0;

	cl->argv[0] = NULL;
	/* A word never needs more room than it had, but for the NUL of the last. */
	if (in.n >= sizeof(cl->text) || memchr(in.p, '\0', in.n) != NULL)
		return false;
	for (;;) {
		while (in.n > 0 && is_blank(*in.p))
			in = span_from(in, 1);
		if (in.n == 0)
			break;
		if (n == COMMAND_ARGS_MAX)
			return false;
		cl->argv[n++] = out;
		cl->argv[n] = NULL;
		if (!word(&in, &out))
			return false;
	}
	return n > 0 && cl->argv[0][0] != '\0';
}

const char *
command_line_fault(struct span in)
{
	static const char *const shells[] = { "|", "||", "&", "&&", ";", "<", ">", ">>" };
	struct command_line cl;
	char *out = cl.text;

	if (!command_line_parse(in, &cl))
		return "no command: a quote in it has no end, or it has too many words";
	while (in.n > 0) {
		struct span from = in;

		word(&in, &out);
		for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++)
			if (span_eq(span_of(from.p, from.n - in.n), span_str(shells[i])))
				return "| > & and ; are for a shell, and there is none; write "
				    "sh -c '...', or quote them";
		while (in.n > 0 && is_blank(*in.p))
			in = span_from(in, 1);
	}
	return NULL;
}
