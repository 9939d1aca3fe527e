#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The one piece of state in base/: a process has one log. */
static const char *log_who = "posthouse";
static enum log_level log_min = LOG_INFO;
static bool log_journal;

void
log_init(const char *who, enum log_level least)
{
	log_who = who;
	log_min = least;
	log_journal = getenv("JOURNAL_STREAM") != NULL && !isatty(STDERR_FILENO);
}

bool
log_wants(enum log_level level)
{
	return level >= log_min;
}

void
log_line(enum log_level level, const char *sid, const char *fmt, ...)
{
	static const char *const mark[] = { "<7>", "<6>", "<4>", "<3>" };
	static const char *const word[] = { "debug", "info", "warn", "error" };
	char line[2048];
	va_list ap;
	int n;

	if (!log_wants(level))
		return;
	n = snprintf(line, sizeof(line), "%s%s %s %s ", log_journal ? mark[level] : "", log_who,
	    log_journal ? "-" : word[level], sid != NULL ? sid : "-");
	va_start(ap, fmt);
	n += vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	/* Whatever words of others are in it, as a mail server's reply of several lines. */
	for (int i = 0; i < n; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = ' ';
	line[n++] = '\n';
	/*
	 * One write a line, so that processes sharing the descriptor do not mix.  There is
	 * nobody to tell that it failed.
	 */
	(void)!write(STDERR_FILENO, line, (size_t)n);
}

unsigned
log_often(struct log_often *o, int64_t now_ms)
{
	unsigned n = o->n;

	if (n == 0 || (o->said_ms != 0 && now_ms - o->said_ms < LOG_OFTEN_MS))
		return 0;
	*o = (struct log_often){ .said_ms = now_ms };
	return n;
}

static const char *
escape(struct span s, unsigned char least, char *out, size_t max)
{
	static const char hex[] = "0123456789abcdef";
	size_t o = 0;

	if (max < 8) {
		if (max > 0)
			out[0] = '\0';
		return out;
	}
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (o + 4 + 4 > max) {		/* an escape and "..." with its NUL */
			memcpy(out + o, "...", 3);
			o += 3;
			break;
		}
		if (c >= least && c < 0x7f && c != '\\') {
			out[o++] = (char)c;
		} else {
			out[o++] = '\\';
			out[o++] = 'x';
			out[o++] = hex[c >> 4];
			out[o++] = hex[c & 15];
		}
	}
	out[o] = '\0';
	return out;
}

const char *
log_escape(struct span s, char *out, size_t max)
{
	return escape(s, 0x21, out, max);
}

const char *
log_escape_words(struct span s, char *out, size_t max)
{
	return escape(s, 0x20, out, max);
}

struct log_text
log_safe(struct span s)
{
	struct log_text t;

	log_escape(s, t.s, sizeof(t.s));
	return t;
}
