#include "proto/alarms.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char *const road_keys[ALARM_ROADS] = {
	[ALARM_COMMAND] = "alarms/command", [ALARM_WEBHOOK] = "alarms/webhook",
	[ALARM_MAIL] = "alarms/mail", [ALARM_LOG] = "alarms/log",
};
static const char *const events[ALARM_EVENTS] = {
	[ALARM_NOTHING] = "nothing", [ALARM_RAISED] = "raised", [ALARM_REPEATED] = "repeated",
	[ALARM_CLEARED] = "cleared", [ALARM_SUMMARY] = "summary", [ALARM_TEST] = "test",
};

const char *
alarm_road_name(enum alarm_road r)
{
	return road_keys[r] + sizeof("alarms/") - 1;
}

const char *
alarm_road_key(enum alarm_road r)
{
	return road_keys[r];
}

const char *
alarm_event_name(enum alarm_event e)
{
	return events[e];
}

static struct alarm *
find(const struct alarms *a, const char *key)
{
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->list[i].key, key) == 0)
			return &a->list[i];
	return NULL;
}

const struct alarm *
alarms_find(const struct alarms *a, const char *key)
{
	return find(a, key);
}

void
alarms_fini(struct alarms *a)
{
	free(a->list);
	*a = (struct alarms){ .list = NULL };
}

static struct alarm *
add(struct alarms *a, const char *key)
{
	struct alarm *more;

	if (a->n == a->room) {
		size_t room = a->room == 0 ? 8 : 2 * a->room;

		if (a->n >= ALARMS_MAX ||
		    (more = realloc(a->list, room * sizeof(*more))) == NULL)
			return NULL;
		a->list = more;
		a->room = room;
	}
	a->list[a->n] = (struct alarm){ .since_ms = 0 };
	(void)span_copy(span_str(key), a->list[a->n].key, ALARM_KEY_MAX);
	return &a->list[a->n++];
}

/* How long it is since then, by a clock that may have been set back meanwhile. */
static int64_t
since(int64_t then_ms, int64_t now_ms)
{
	return now_ms > then_ms ? now_ms - then_ms : 0;
}

/* --- looks ---------------------------------------------------------------------------------- */

void
alarms_look(struct alarms *a)
{
	for (size_t i = 0; i < a->n; i++)
		a->list[i].looked = false;
}

bool
alarms_seen(struct alarms *a, const char *key, const char *text, bool summary, int64_t wait_ms,
    int64_t now_ms)
{
	char cut[ALARM_KEY_MAX];
	struct alarm *c;

	(void)span_copy(span_str(key), cut, sizeof(cut));
	if ((c = find(a, cut)) == NULL) {
		if ((c = add(a, cut)) == NULL)
			return false;
		c->since_ms = now_ms;
	}
	(void)span_copy(span_str(text), c->text, sizeof(c->text));
	c->summary = summary;
	c->wait_ms = wait_ms;
	c->looked = true;
	c->old = false;
	c->gone_ms = 0;
	if (c->since_ms > now_ms)
		c->since_ms = now_ms;
	if (since(c->since_ms, now_ms) >= wait_ms)
		c->raised = true;
	return true;
}

static bool
told(const struct alarm *c)
{
	for (int r = 0; r < ALARM_ROADS; r++)
		if (c->told_ms[r] != 0)
			return true;
	return false;
}

void
alarms_looked(struct alarms *a, const struct alarm_times *t, int64_t now_ms)
{
	size_t kept = 0;

	for (size_t i = 0; i < a->n; i++) {
		struct alarm *c = &a->list[i];
		int64_t gone;

		if (!c->looked && (c->gone_ms == 0 || c->gone_ms > now_ms))
			c->gone_ms = now_ms;
		gone = c->looked ? 0 : since(c->gone_ms, now_ms);
		if (!c->looked && gone >= (c->old ? t->old_ms : t->after_ms)) {
			c->raised = false;
			if (!told(c) || c->summary || gone >= ALARM_GIVE_UP_MS) {
				a->changed = a->changed || told(c);
				continue;
			}
		}
		if (kept != i)
			a->list[kept] = *c;
		kept++;
	}
	a->n = kept;
}

/* --- telling -------------------------------------------------------------------------------- */

static enum alarm_event
due(const struct alarm *c, enum alarm_road r, const struct alarm_times *t, int64_t now_ms)
{
	if (!c->raised)
		return c->told_ms[r] != 0 && c->gone_ms != 0 ? ALARM_CLEARED : ALARM_NOTHING;
	/* What may be gone is waited for: it is cleared soon, or told again. */
	if (c->gone_ms != 0)
		return ALARM_NOTHING;
	if (c->told_ms[r] == 0)
		return c->summary ? ALARM_SUMMARY : ALARM_RAISED;
	if (since(c->told_ms[r], now_ms) < t->repeat_ms)
		return ALARM_NOTHING;
	return c->summary ? ALARM_SUMMARY : ALARM_REPEATED;
}

const struct alarm *
alarms_due(const struct alarms *a, enum alarm_road r, const struct alarm_times *t, int64_t now_ms,
    enum alarm_event *event)
{
	const struct alarm *first = NULL;

	*event = ALARM_NOTHING;
	for (size_t i = 0; i < a->n; i++) {
		enum alarm_event e = due(&a->list[i], r, t, now_ms);

		if (e == ALARM_NOTHING || strcmp(a->list[i].key, road_keys[r]) == 0 ||
		    (first != NULL && first->told_ms[r] <= a->list[i].told_ms[r]))
			continue;
		first = &a->list[i];
		*event = e;
	}
	return first;
}

void
alarms_told(struct alarms *a, enum alarm_road r, const char *key, enum alarm_event e,
    int64_t now_ms)
{
	struct alarm *c = find(a, key);

	if (c == NULL)
		return;
	c->told_ms[r] = e == ALARM_CLEARED ? 0 : now_ms > 0 ? now_ms : 1;
	a->changed = true;
}

/* --- on disk -------------------------------------------------------------------------------- */

static json_t *
write_one(const struct alarm *c)
{
	json_t *o = json_pack("{s:s, s:s, s:b, s:I, s:{}}", "key", c->key, "text", c->text,
	    "summary", c->summary, "since_ms", (json_int_t)c->since_ms, "told_ms");

	for (int r = 0; r < ALARM_ROADS; r++)
		if (c->told_ms[r] != 0)
			json_object_set_new(json_object_get(o, "told_ms"),
			    alarm_road_name((enum alarm_road)r), json_integer(c->told_ms[r]));
	return o;
}

bool
alarms_write(struct alarms *a, struct buf *out)
{
	json_t *o = json_pack("{s:i, s:[]}", "version", 1, "told");
	char *text;

	for (size_t i = 0; i < a->n; i++)
		if (told(&a->list[i]))
			json_array_append_new(json_object_get(o, "told"), write_one(&a->list[i]));
	text = json_dumps(o, JSON_INDENT(1) | JSON_ENSURE_ASCII);
	json_decref(o);
	if (text == NULL)
		return false;
	buf_add_str(out, text);
	buf_add_str(out, "\n");
	free(text);
	a->changed = out->failed;
	return !out->failed;
}

static bool
moment(const json_t *n, int64_t *ms)
{
	*ms = json_integer_value(n);
	return json_is_integer(n) && *ms > 0;
}

static bool
read_one(struct alarms *a, const json_t *o)
{
	const char *key = json_string_value(json_object_get(o, "key"));
	const char *text = json_string_value(json_object_get(o, "text"));
	const json_t *told_ms = json_object_get(o, "told_ms"), *n;
	struct alarm *c;
	int64_t since_ms;

	if (key == NULL || key[0] == '\0' || strlen(key) >= ALARM_KEY_MAX || text == NULL ||
	    strlen(text) >= ALARM_TEXT_MAX || !moment(json_object_get(o, "since_ms"), &since_ms) ||
	    !json_is_object(told_ms) || find(a, key) != NULL || (c = add(a, key)) == NULL)
		return false;
	(void)span_copy(span_str(text), c->text, sizeof(c->text));
	c->since_ms = since_ms;
	c->summary = json_is_true(json_object_get(o, "summary"));
	c->raised = c->old = true;
	for (int r = 0; r < ALARM_ROADS; r++)
		if ((n = json_object_get(told_ms, alarm_road_name((enum alarm_road)r))) != NULL &&
		    !moment(n, &c->told_ms[r]))
			return false;
	return told(c);
}

int
alarms_read(struct alarms *a, struct span text, struct why *why)
{
	json_error_t e;
	json_t *o = text.n <= ALARMS_FILE_MAX ? json_loadb(text.p, text.n, 0, &e) : NULL;
	const json_t *list = json_object_get(o, "told"), *one;
	size_t i;
	int rc = 0;

	if (json_integer_value(json_object_get(o, "version")) != 1 || !json_is_array(list))
		rc = why_set(why, "no list of alarms that were told");
	else
		json_array_foreach(list, i, one)
			if (!read_one(a, one)) {
				rc = why_set(why, "its entry %zu is none", i + 1);
				break;
			}
	json_decref(o);
	if (rc == -1)
		alarms_fini(a);
	return rc;
}
