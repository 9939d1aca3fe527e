#include "proto/notice.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define LINE_MAX_	76		/* RFC 5322 2.1.1: 78 with CRLF is what is asked for */

static const char *const titles[ALARM_EVENTS] = {
	[ALARM_NOTHING] = "", [ALARM_RAISED] = "ALARM", [ALARM_REPEATED] = "still an ALARM",
	[ALARM_CLEARED] = "well again", [ALARM_SUMMARY] = "daily summary", [ALARM_TEST] = "test",
};

static enum alarm_event
event_parse(const char *name)
{
	for (int e = ALARM_RAISED; name != NULL && e < ALARM_EVENTS; e++)
		if (strcmp(alarm_event_name((enum alarm_event)e), name) == 0)
			return (enum alarm_event)e;
	return ALARM_NOTHING;
}

/* One line of ASCII, whatever it was. */
static void
plain(char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || (unsigned char)*s >= 0x7f)
			*s = '?';
}

/* "posthouse home.example: ALARM: detail": what the forms begin with. */
static void
put_line(const struct notice *n, char *out, size_t max)
{
	snprintf(out, max, "posthouse %s %s: %s: %s", n->role, n->host, titles[n->event],
	    n->detail);
	plain(out);
}

static void
moment(int64_t ms, char out[40])
{
	out[0] = '\0';
	if (ms != 0)
		wall_iso(ms, out, 40);
}

bool
notice_json(const struct notice *n, struct buf *out)
{
	char line[sizeof(n->detail) + sizeof(n->host) + 64], since[40], at[40], detail[
	    sizeof(n->detail)], *text;
	json_t *o;

	put_line(n, line, sizeof(line));
	memcpy(detail, n->detail, sizeof(detail));
	plain(detail);
	moment(n->since_ms, since);
	moment(n->at_ms, at);
	o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:I, s:i}",
	    "text", line, "event", alarm_event_name(n->event), "key", n->key, "detail", detail,
	    "role", n->role, "host", n->host, "since", since, "since_ms",
	    (json_int_t)n->since_ms, "at", at, "at_ms", (json_int_t)n->at_ms, "version", 1);
	text = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(o);
	if (text == NULL)
		return false;
	buf_add_str(out, text);
	free(text);
	return !out->failed;
}

static bool
take(const json_t *o, const char *name, char *out, size_t max)
{
	const char *s = json_string_value(json_object_get(o, name));

	if (s == NULL || !span_copy(span_str(s), out, max))
		return false;
	plain(out);
	return true;
}

int
notice_read(struct span json, struct notice *n, struct why *why)
{
	json_t *o = json.n <= NOTICE_MAX ? json_loadb(json.p, json.n, 0, NULL) : NULL;
	bool ok;

	*n = (struct notice){ .event = event_parse(json_string_value(json_object_get(o,
	    "event"))) };
	ok = n->event != ALARM_NOTHING && take(o, "key", n->key, sizeof(n->key)) &&
	    take(o, "detail", n->detail, sizeof(n->detail)) &&
	    take(o, "host", n->host, sizeof(n->host)) && take(o, "role", n->role, sizeof(n->role));
	n->since_ms = json_integer_value(json_object_get(o, "since_ms"));
	n->at_ms = json_integer_value(json_object_get(o, "at_ms"));
	json_decref(o);
	return ok && n->since_ms >= 0 && n->at_ms > 0 ? 0 : why_set(why, "this is no notice");
}

size_t
notice_environment(const struct notice *n, struct buf *text, char *env[NOTICE_VARS + 1])
{
	char line[sizeof(n->detail) + sizeof(n->host) + 64], since[40], at[40];
	const struct {
		const char	*name, *value;
	} vars[NOTICE_VARS] = {
		{ "EVENT", alarm_event_name(n->event) }, { "KEY", n->key }, { "TEXT", line },
		{ "DETAIL", n->detail }, { "HOST", n->host }, { "ROLE", n->role },
		{ "SINCE", since }, { "AT", at },
	};
	size_t at_[NOTICE_VARS];

	put_line(n, line, sizeof(line));
	moment(n->since_ms, since);
	moment(n->at_ms, at);
	for (size_t i = 0; i < NOTICE_VARS; i++) {
		at_[i] = text->n;
		buf_addf(text, "POSTHOUSE_%s=%s", vars[i].name, vars[i].value);
		buf_add(text, "", 1);
	}
	env[0] = NULL;
	if (text->failed)
		return 0;
	for (size_t i = 0; i < NOTICE_VARS; i++)
		env[i] = text->p + at_[i];
	env[NOTICE_VARS] = NULL;
	return NOTICE_VARS;
}

/* Words into lines; one that is longer than a line stands alone on it. */
static void
fold(struct buf *out, const char *s)
{
	size_t line = 0;

	while (*s != '\0') {
		size_t n = strcspn(s, " ");

		if (line > 0 && line + 1 + n > LINE_MAX_) {
			buf_add_str(out, "\r\n");
			line = 0;
		} else if (line > 0) {
			buf_add_str(out, " ");
			line++;
		}
		buf_add(out, s, n);
		line += n;
		s += n;
		s += strspn(s, " ");
	}
	buf_add_str(out, "\r\n");
}

bool
notice_mail(const struct notice *n, const char *from, const char *to, struct uuid id,
    struct buf *out)
{
	char line[sizeof(n->detail) + sizeof(n->host) + 64], date[40], since[40];

	put_line(n, line, sizeof(line));
	line[140] = '\0';		/* of a subject; all of it is below */
	wall_rfc5322(n->at_ms, date, sizeof(date));
	moment(n->since_ms, since);
	buf_addf(out, "Date: %s\r\nFrom: posthouse <%s>\r\nTo: <%s>\r\nSubject: %s\r\n"
	    "Message-ID: <%s@%s>\r\n", date, from, to, line, uuid_text(id).s, n->host);
	/* RFC 3834: nobody answers it. */
	buf_add_str(out, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
	    "Content-Type: text/plain; charset=us-ascii\r\n\r\n");
	fold(out, n->detail);
	buf_addf(out, "\r\nevent: %s\r\ncondition: %s\r\n", alarm_event_name(n->event), n->key);
	if (since[0] != '\0')
		buf_addf(out, "since: %s\r\n", since);
	buf_addf(out, "%s: %s\r\n\r\nposthouse status shows how it is now.\r\n", n->role, n->host);
	return !out->failed;
}
