#include "ctl/doctor.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/text.h"

/* Names are cut: a heading that a peer chose must not push the rest out of sight. */
#define CHECK_MAX	80
struct heading {
	char	s[CHECK_MAX];
};

static struct heading
heading(const char *what, const char *whose)
{
	struct heading h;

	snprintf(h.s, sizeof(h.s), "%s %.60s", what, whose);
	return h;
}

/* The words of an alarm of that kind and name, or NULL. */
static const char *
alarm_of(const json_t *status, const char *kind, const char *whose)
{
	const json_t *list = json_object_get(status, "conditions"), *c;
	size_t i, n = strlen(kind);

	json_array_foreach(list, i, c) {
		const char *key = json_text(c, "key");

		if (strncmp(key, kind, n) == 0 && key[n] == '/' && strcmp(key + n + 1, whose) == 0)
			return json_text(c, "text");
	}
	return NULL;
}

static void
itself(const json_t *s, const struct findings *to)
{
	const char *version = json_text(s, "version");

	if (strcmp(version, POSTHOUSE_VERSION) != 0)
		finding_tell(to, FINDING_WARN, "running", "restart it", "what runs is posthouse "
		    "%.60s, and this one is " POSTHOUSE_VERSION, version);
	else
		finding_tell(to, FINDING_OK, "running", "", "for %s",
		    brief_age(wall_ms() - json_number(s, "started_ms")).s);
}

/* --- peers ---------------------------------------------------------------------------------- */

static void
peer(const json_t *s, const json_t *p, bool edge, const struct findings *to)
{
	const char *kind = edge ? "home" : "edge", *name = json_text(p, "name");
	const char *alarm = alarm_of(s, kind, name), *error = json_text(p, "error");
	struct heading what = heading(kind, name);

	if (alarm != NULL)
		finding_tell(to, FINDING_FAIL, what.s, edge ? "does it run, and does it reach this "
		    "edge's tunnel port? Its doctor tells more" : "does it run, and does this "
		    "machine reach it? Its doctor tells more", "%s", alarm);
	else if (json_number(p, "connections") == 0)
		finding_tell(to, FINDING_WARN, what.s, "it may have just gone, or come: ask again",
		    "not connected%s%.300s", error[0] != '\0' ? ": " : "", error);
	else
		finding_tell(to, FINDING_OK, what.s, "", "connected for %s",
		    brief_age(wall_ms() - json_number(p, "since_ms")).s);
	if (json_is_true(json_object_get(p, "list_stale")))
		finding_tell(to, FINDING_WARN, what.s, "is it connected, and does it have its list "
		    "of mailboxes?", "its list of recipients is %s old: nobody is refused by it "
		    "any more", brief_age(wall_ms() - json_number(p, "list_ms")).s);
}

/* --- services ------------------------------------------------------------------------------- */

/* What home found of the mail server behind a service, and which line to change. */
static void
interlock(const json_t *r, const struct findings *to)
{
	const json_t *list = json_object_get(r, "advice"), *warning;
	const char *advice = json_string_value(json_array_get(list, 0));
	const char *cause = json_text(r, "cause");
	struct heading what = heading("interlock", json_text(r, "service"));
	size_t i;

	if (!json_is_true(json_object_get(r, "open")))
		finding_tell(to, FINDING_FAIL, what.s, advice != NULL ? advice :
		    "posthouse interlock shows what was asked and answered",
		    "closed, the verdict is \"%.60s\"%s%.300s", json_text(r, "verdict"),
		    cause[0] != '\0' ? ": " : "", cause);
	else
		finding_tell(to, FINDING_OK, what.s, "", "%s", json_text(r, "verdict"));
	json_array_foreach(json_object_get(r, "warnings"), i, warning)
		if (json_is_string(warning))
			finding_tell_words(to, FINDING_WARN, what.s, json_string_value(warning),
			    "; ", "");
}

/* Whether the interlock has closed it: then that it is closed is said there. */
static bool
interlocked(const json_t *reports, const char *service)
{
	const json_t *r;
	size_t i;

	json_array_foreach(reports, i, r)
		if (strcmp(json_text(r, "service"), service) == 0)
			return !json_is_true(json_object_get(r, "open"));
	return false;
}

static void
service(const json_t *s, const json_t *one, const struct findings *to)
{
	const char *name = json_text(one, "name"), *alarm = alarm_of(s, "backend", name);
	struct heading what = heading("service", name);

	if (json_is_true(json_object_get(one, "up")))
		finding_tell(to, FINDING_OK, what.s, "", "%.200s answers",
		    json_text(one, "backend"));
	else if (alarm != NULL)
		finding_tell(to, FINDING_FAIL, what.s, "does that server run, and is the address "
		    "right?", "%s", alarm);
	else
		finding_tell(to, FINDING_WARN, what.s, "it is tried again within the minute: ask "
		    "again", "closed to clients: %.300s", json_text(one, "why"));
}

static void
services(struct client *c, const json_t *s, const struct findings *to)
{
	struct why why;
	json_t *answer = client_ask(c, json_pack("{s:s}", "do", "interlock"), &why);
	const json_t *reports = json_object_get(answer, "services"), *one;
	size_t i;

	if (answer == NULL)
		finding_tell(to, FINDING_FAIL, "interlock", "", "%s", why.text);
	json_array_foreach(json_object_get(s, "services"), i, one)
		if (!interlocked(reports, json_text(one, "name")))
			service(s, one, to);
	json_array_foreach(reports, i, one)
		interlock(one, to);
	if ((json_int_t)json_array_size(reports) < json_number(answer, "configured"))
		finding_tell(to, FINDING_WARN, "interlock", "ask again, or run posthouse interlock",
		    "not every service was tested yet");
	json_decref(answer);
}

/* --- alarms --------------------------------------------------------------------------------- */

/* What is to do where an alarm's own words do not say it. */
static const struct {
	const char	*kind, *advice;
} kinds[] = {
	{ "filter", "does rspamd run, and is filter.rspamd its address?" },
	{ "process", "see the log of the role; a restart begins anew" },
	{ "process/courier", "mend what it names, the mail server or the list of mailboxes: it is "
	    "tried again by itself" },
	{ "keys", "if its operator meant it, pair anew: unpair, then pair" },
	{ "store", "is the disk well, and does the role's user own the state?" },
	{ "spool", "is the disk well, and does the role's user own the state?" },
	{ "ledger", "is the disk well, and does the role's user own the state?" },
	{ "bucket", "posthouse bucket check tells more" },
};

static bool
of_kind(const char *key, const char *kind)
{
	size_t n = strlen(kind);

	return strncmp(key, kind, n) == 0 && (key[n] == '\0' || key[n] == '/');
}

static bool
has_peer(const json_t *status, const char *name)
{
	const json_t *p;
	size_t i;

	json_array_foreach(json_object_get(status, "peers"), i, p)
		if (strcmp(json_text(p, "name"), name) == 0)
			return true;
	return false;
}

/* Whether what it is about was told in a line of its own. */
static bool
told(const json_t *status, const char *key)
{
	const char *whose = strchr(key, '/');

	return of_kind(key, "backend") || of_kind(key, "interlock") || (whose != NULL &&
	    (of_kind(key, "edge") || of_kind(key, "home")) && has_peer(status, whose + 1));
}

static void
alarm_finding(const json_t *status, const json_t *condition, const struct findings *to)
{
	const char *key = json_text(condition, "key"), *advice = "";

	if (told(status, key))
		return;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (of_kind(key, kinds[i].kind))
			advice = kinds[i].advice;
	finding_tell(to, FINDING_FAIL, "alarm", advice, "%s", json_text(condition, "text"));
}

void
doctor_running(struct client *c, enum conf_role role, const struct findings *to)
{
	struct why why;
	json_t *s = client_ask(c, json_pack("{s:s}", "do", "status"), &why);
	const json_t *one;
	size_t i;

	if (s == NULL) {
		finding_tell(to, FINDING_FAIL, "running", "", "%s", why.text);
		return;
	}
	itself(s, to);
	json_array_foreach(json_object_get(s, "peers"), i, one)
		peer(s, one, role == CONF_EDGE, to);
	if (role == CONF_HOME)
		services(c, s, to);
	json_array_foreach(json_object_get(s, "conditions"), i, one)
		alarm_finding(s, one, to);
	json_decref(s);
}
