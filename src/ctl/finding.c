#include "ctl/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/why.h"

void
finding_tell(const struct findings *to, enum finding_state state, const char *check,
    const char *advice, const char *format, ...)
{
	struct why text;
	struct finding f = { state, check, text.text, advice };
	va_list ap;

	va_start(ap, format);
	vsnprintf(text.text, sizeof(text.text), format, ap);
	va_end(ap);
	to->tell(to->arg, &f);
}

void
finding_tell_words(const struct findings *to, enum finding_state state, const char *check,
    const char *words, const char *mark, const char *otherwise)
{
	const char *at = strstr(words, mark);

	if (at == NULL)
		finding_tell(to, state, check, otherwise, "%s", words);
	else
		finding_tell(to, state, check, at + strlen(mark), "%.*s", (int)(at - words), words);
}
