#include "conf/parse_in.h"

#include <string.h>

/* Whether a word goes on at i: the two slashes of /srv//mail begin no comment. */
static bool
in_word(struct span s, size_t i)
{
	if (i == 0 || strchr(" \t\r\n={}(),;\"'", s.p[i - 1]) != NULL)
		return false;
	return !(i > 1 && s.p[i - 2] == '*' && s.p[i - 1] == '/');	/* a comment's end */
}

size_t
conf_skip(struct span s, size_t i)
{
	size_t from = i;
	char c = s.p[i], next = i + 1 < s.n ? s.p[i + 1] : '\0';

	if (c == '/' && in_word(s, i))
		return 0;
	if (c == '#' || (c == '/' && next == '/')) {
		while (i < s.n && s.p[i] != '\n')
			i++;
	} else if (c == '/' && next == '*') {
		i += 2;
		while (i < s.n && !(s.p[i - 1] == '*' && s.p[i] == '/' && i > from + 2))
			i++;
		i++;
	} else if (c == '"' || c == '\'') {
		for (i++; i < s.n && s.p[i] != c; i++)
			if (s.p[i] == '\\')
				i++;
		i++;
	}
	return (i < s.n ? i : s.n) - from;
}

void
conf_blank_comments(char *s, size_t n)
{
	for (size_t i = 0, end; i < n; i = end) {
		bool quoted = s[i] == '"' || s[i] == '\'';

		end = i + conf_skip(span_of(s, n), i);
		for (size_t j = i; j < end && !quoted; j++)
			if (s[j] != '\n')
				s[j] = ' ';
		if (end == i)
			end++;
	}
}

/* Behind a backslash in double quotes: what libconfuse makes something of, and no NUL. */
static bool
escape_known(struct span s)
{
	static const char hex[] = "0123456789abcdefABCDEF", octal[] = "01234567";
	bool x = s.n > 0 && s.p[0] == 'x';
	size_t most = x ? 2 : 3;
	bool zero = true;

	if (s.n > 0 && s.p[0] != '\0' && strchr("\"\\\nnrtbfaev", s.p[0]) != NULL)
		return true;
	if (x)
		s = span_from(s, 1);
	for (size_t i = 0; i < most; i++) {
		if (i == s.n || s.p[i] == '\0' || strchr(x ? hex : octal, s.p[i]) == NULL)
			break;
		zero = zero && s.p[i] == '0';
	}
	return !zero;
}

static int
escape_refused(const char *file, int line, struct span s, struct why *why)
{
	char c = s.n > 0 && s.p[0] > ' ' && s.p[0] < 0x7f ? s.p[0] : '?';

	if (c == 'u' || c == 'U')
		return why_set(why, "%s:%d: \"\\%c\" is no escape here; write the character "
		    "itself, in UTF-8", file, line, c);
	return why_set(why, "%s:%d: \"\\%c\" is no escape here; write \"\\\\\" for a backslash, "
	    "or the value in single quotes", file, line, c);
}

/* Whether the quoted text has its end; libconfuse takes the rest of the file for it. */
static bool
quote_closed(struct span q)
{
	size_t i = 1;

	while (i < q.n && q.p[i] != q.p[0])
		i += q.p[i] == '\\' ? 2 : 1;
	return i < q.n;
}

int
conf_plain_text(const char *file, struct span text, struct why *why)
{
	int line = 1, opened = 0;
	size_t depth = 0;

	for (size_t i = 0, n; i < text.n; i += n) {
		bool quoted = false, single = text.p[i] == '\'', escaped = false;
		int began = line;

		n = conf_skip(text, i);
		if (n == 0)
			n = 1;
		else
			quoted = text.p[i] == '"' || single;
		if (quoted && !quote_closed(span_of(text.p + i, n)))
			return why_set(why, "%s:%d: the text that this quote begins has no end; "
			    "close it with another", file, line);
		if (n == 1 && text.p[i] == '*')		/* libconfuse leaves it out */
			return why_set(why, "%s:%d: \"*\" stands in quotes only; write the whole "
			    "value in double quotes", file, line);
		for (size_t j = i; j < i + n; j++) {
			if (escaped)
				escaped = false;
			else if (quoted && !single && text.p[j] == '\\') {
				if (!escape_known(span_from(text, j + 1)))
					return escape_refused(file, line, span_from(text, j + 1),
					    why);
				escaped = true;
			}
			if (text.p[j] == '\0')
				return why_set(why, "%s:%d: a NUL octet; this is no text file",
				    file, line);
			if (text.p[j] == '$' && (n == 1 || (quoted && !single)) && j + 1 < text.n &&
			    text.p[j + 1] == '{')
				return why_set(why,
				    "%s:%d: ${...} is not filled in here; write the value "
				    "itself, or a command that needs it in single quotes", file,
				    line);
			line += text.p[j] == '\n';
		}
		if (n > 1 && text.p[i] == '/' && text.p[i + 1] == '*' &&
		    (n < 4 || text.p[i + n - 2] != '*' || text.p[i + n - 1] != '/'))
			return why_set(why, "%s:%d: this \"/*\" is never closed; add a \"*/\"",
			    file, began);
		if (n == 1 && text.p[i] == '{' && depth++ == 0)
			opened = line;
		if (n == 1 && text.p[i] == '}' && depth > 0)
			depth--;
	}
	if (depth > 0)
		return why_set(why, "%s:%d: this \"{\" is never closed; add a \"}\"", file, opened);
	return 0;
}
