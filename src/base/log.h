#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

/*
 * One line per fact, to standard error (systemd's journal or a terminal):
 *
 *	4f1c smtp.accept peer=192.0.2.7 size=18231 rcpts=2 id=m1 ms=41
 *
 * The event first and stable, then key=value.  A level means an action: error =
 * someone must look, warn = we coped, info = what happened to a message, debug
 * = off unless asked for.  Never a body, an address of a recipient above debug
 * on an edge, a key or a token.  When standard error is the journal, lines are
 * prefixed with "<N>" priorities (sd-daemon(3)).  Controls in the text become spaces.
 */
enum log_level {
	LOG_DEBUG = 0,
	LOG_INFO,
	LOG_WARN,
	LOG_ERROR,
};

/* who: the process, as in "edge.reception"; kept by pointer. */
void	log_init(const char *who, enum log_level least);

bool	log_wants(enum log_level);	/* whether a line of that level is written */
/* sid names the session or is NULL; text is "event key=value ...". */
void	log_line(enum log_level, const char *sid, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));
/* Where nobody asked for it the arguments are not evaluated: they often cost more than the line. */
#define log_debug(...)	(log_wants(LOG_DEBUG) ? log_line(LOG_DEBUG, __VA_ARGS__) : (void)0)
#define log_info(...)	log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...)	log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...)	log_line(LOG_ERROR, __VA_ARGS__)

/*
 * What strangers may make happen as often as they like: the first is said at once, those of the
 * next LOG_OFTEN_MS together at their end, with their number.  Zeroed at first.
 */
#define LOG_OFTEN_MS	10000
struct log_often {
	unsigned	 n;		/* not said yet: its owner counts */
	int64_t		 said_ms;
};
/* After each, once a second and, with INT64_MAX, at the end: how many to say now, or 0. */
unsigned log_often(struct log_often *, int64_t now_ms);

/*
 * Bytes from outside made fit for a log value or a terminal: printable ASCII
 * stays, space and `\` and everything else become \xHH, cut at max with "...".
 * Returns out.
 */
const char *log_escape(struct span, char *out, size_t max);
/* The same for a sentence: space stays.  For the end of a line, and for a reason that is kept. */
const char *log_escape_words(struct span, char *out, size_t max);
struct log_text {
	char s[128];
};
/* For use inside an argument list: log_info(sid, "x helo=%s", log_safe(span).s) */
struct log_text	log_safe(struct span);

#endif
