#include "base/why.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What to do about it, where that is the same wherever it comes from. */
static const char *
advice(int error)
{
	switch (error) {
	case ENOSPC:
	case EDQUOT:
		return ": free some room there";
	case EROFS:
		return ": mount it writable";
	default:
		return "";
	}
}

int
why_set(struct why *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->text, sizeof(w->text), fmt, ap);
	va_end(ap);
	return -1;
}

int
why_sys(struct why *w, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	vsnprintf(w->text, sizeof(w->text), fmt, ap);
	va_end(ap);
	n = strlen(w->text);
	snprintf(w->text + n, sizeof(w->text) - n, ": %s%s", strerror(saved),
	    advice(saved));
	errno = saved;
	return -1;
}
