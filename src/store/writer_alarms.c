/*
 * Looks for conditions every so often and has somebody told of them: by the log, which is
 * ours, and by the herald and the runner, who only know the notice under way.  Who was told
 * of what is kept in STATE/alarms.json (doc/STORE), replaced whole after each notice.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "proto/alarms.h"
#include "proto/notice.h"
#include "store/conditions.h"
#include "store/control_answer.h"
#include "store/peers_file.h"
#include "store/tell.h"
#include "store/writer_in.h"

#define FILE_NAME	"alarms.json"
/* Of a road that fails; it doubles. */
#define PAUSE_MS	30000
#define PAUSE_MAX_MS	(60 * 60 * 1000)
/* It has its own limit; this is for a process that hangs. */
#define LATE_MS		(TELL_MAX_MS + 30000)

enum test { TEST_NONE = 0, TEST_WANTED, TEST_GOING, TEST_TOLD, TEST_FAILED };
static const char *const tests[] = { "none", "wanted", "going", "told", "failed" };

struct road {
	enum alarm_event going;		/* under way; ALARM_NOTHING: nothing is */
	char		 key[ALARM_KEY_MAX];
	uint64_t	 tag;
	struct instant	 since;		/* it is under way, or failed */
	int64_t		 pause_ms;	/* after a failure; 0: it works */
	char		 error[TELL_WHY_MAX];	/* of the last one; "" it worked */
	int64_t		 told_ms;	/* the last that did */
	enum test	 test;
	char		 test_error[TELL_WHY_MAX];
};

struct desk {
	struct writer	*w;
	uv_timer_t	 timer;
	int		 dir;
	struct alarms	 alarms;
	struct road	 roads[ALARM_ROADS];
	struct chan	*tellers[TELLERS];
	uint64_t	 tags;
	bool		 unkept;	/* said that the file cannot be written */
	bool		 crowded;	/* said that there are too many */
};

static const struct conf_alarms *
conf_of(const struct desk *d)
{
	return &d->w->conf.common->alarms;
}

static struct alarm_times
times_of(const struct desk *d)
{
	const struct conf_alarms *a = conf_of(d);

	return (struct alarm_times){ .after_ms = a->after_ms, .repeat_ms = a->repeat_ms,
		.old_ms = a->unreachable_ms > a->after_ms ? a->unreachable_ms : a->after_ms };
}

static bool
configured(const struct desk *d, enum alarm_road r)
{
	const struct conf_alarms *a = conf_of(d);

	return r == ALARM_COMMAND ? a->command[0] != '\0' :
	    r == ALARM_WEBHOOK ? conf_alarms_webhook(a) :
	    r == ALARM_MAIL ? a->mail[0] != '\0' : true;
}

static enum writer_teller
teller_of(enum alarm_road r)
{
	return r == ALARM_COMMAND ? TELLER_RUNNER : TELLER_HERALD;
}

/* --- the file ------------------------------------------------------------------------------- */

static void
keep(struct desk *d)
{
	struct why why = { "memory is out" };
	struct buf text;

	if (!d->alarms.changed)
		return;
	buf_init(&text, ALARMS_FILE_MAX);
	if (!alarms_write(&d->alarms, &text) ||
	    file_replace(d->w->conf.sys, d->dir, FILE_NAME, buf_span(&text), &why) == -1) {
		d->alarms.changed = true;
		if (!d->unkept)
			log_warn(NULL, "alarm.unkept a restart would tell all again: %s", why.text);
		d->unkept = true;
	} else {
		d->unkept = false;
	}
	buf_fini(&text);
}

static void
recall(struct desk *d)
{
	struct why why = { "" }, inner;
	struct buf text;
	int rc;

	buf_init(&text, ALARMS_FILE_MAX);
	rc = file_read(d->w->conf.sys, d->dir, FILE_NAME, &text, &why);
	if (rc == 1 && (rc = alarms_read(&d->alarms, buf_span(&text), &inner)) == -1)
		why_set(&why, FILE_NAME ": %s", inner.text);
	if (rc == -1)
		log_warn(NULL, "alarm.forgotten all are told again: %s", why.text);
	buf_fini(&text);
}

/* --- telling -------------------------------------------------------------------------------- */

static void	road_go(struct desk *, enum alarm_road);

static void
settled(struct desk *d, enum alarm_road r, const char *error)
{
	struct road *road = &d->roads[r];
	enum alarm_event event = road->going;

	road->going = ALARM_NOTHING;
	if (event == ALARM_TEST) {
		road->test = error[0] == '\0' ? TEST_TOLD : TEST_FAILED;
		(void)span_copy(span_str(error), road->test_error, sizeof(road->test_error));
	}
	if (error[0] != '\0') {
		log_warn(NULL, "alarm.untold road=%s event=%s key=%s: %s", alarm_road_name(r),
		    alarm_event_name(event), log_safe(span_str(road->key)).s, error);
		if (event == ALARM_TEST)
			return;		/* it was for whoever asked */
		road->since = instant_now();
		road->pause_ms = road->pause_ms == 0 ? PAUSE_MS :
		    road->pause_ms * 2 < PAUSE_MAX_MS ? road->pause_ms * 2 : PAUSE_MAX_MS;
		(void)span_copy(span_str(error), road->error, sizeof(road->error));
		return;
	}
	if (r != ALARM_LOG)
		log_info(NULL, "alarm.told road=%s event=%s key=%s", alarm_road_name(r),
		    alarm_event_name(event), log_safe(span_str(road->key)).s);
	road->pause_ms = 0;
	road->error[0] = '\0';
	road->told_ms = wall_ms();
	if (event != ALARM_TEST)
		alarms_told(&d->alarms, r, road->key, event, road->told_ms);
}

static void
by_log(struct desk *d, const struct notice *n)
{
	char text[sizeof(n->detail)];

	log_escape_words(span_str(n->detail), text, sizeof(text));
	log_line(n->event == ALARM_RAISED || n->event == ALARM_REPEATED ? LOG_ERROR : LOG_INFO,
	    NULL, "alarm.%s key=%s: %s", alarm_event_name(n->event),
	    log_safe(span_str(n->key)).s, text);
	settled(d, ALARM_LOG, "");
}

/* Under way from here on; a is NULL for a test. */
static void
tell(struct desk *d, enum alarm_road r, const struct alarm *a, enum alarm_event event)
{
	const struct conf_common *c = d->w->conf.common;
	struct road *road = &d->roads[r];
	struct notice n = { .event = event, .since_ms = a != NULL ? a->since_ms : 0,
		.at_ms = wall_ms() };
	const char number = (char)r;
	struct buf json;

	(void)span_copy(span_str(a != NULL ? a->key : "test"), n.key, sizeof(n.key));
	(void)span_copy(span_str(a != NULL ? a->text : "a test of how alarms are told; nothing is "
	    "wrong"), n.detail, sizeof(n.detail));
	(void)span_copy(span_str(c->hostname), n.host, sizeof(n.host));
	(void)span_copy(span_str(d->w->conf.role == CONF_EDGE ? "edge" : "home"), n.role,
	    sizeof(n.role));
	(void)span_copy(span_str(n.key), road->key, sizeof(road->key));
	road->going = event;
	road->tag = ++d->tags;
	road->since = instant_now();
	if (r == ALARM_LOG) {
		by_log(d, &n);
		return;
	}
	buf_init(&json, NOTICE_MAX);
	if (!notice_json(&n, &json) || !chan_send(d->tellers[teller_of(r)], TELL_NOTICE, road->tag,
	    (const struct span[]){ { &number, 1 }, buf_span(&json) }, 2, -1))
		settled(d, r, "memory is out");
	buf_fini(&json);
}

/* What is next on this road, if anything may go on it now. */
static void
road_go(struct desk *d, enum alarm_road r)
{
	const struct alarm_times times = times_of(d);
	struct road *road = &d->roads[r];
	struct instant now = instant_now();
	const struct alarm *a;
	enum alarm_event event;

	if (road->going != ALARM_NOTHING && instant_ms_since(road->since, now) > LATE_MS)
		settled(d, r, "no answer from the process that tells it");
	if (road->going != ALARM_NOTHING || !configured(d, r) ||
	    (r != ALARM_LOG && d->tellers[teller_of(r)] == NULL))
		return;
	if (road->test == TEST_WANTED) {
		road->test = TEST_GOING;
		tell(d, r, NULL, ALARM_TEST);
		return;
	}
	if (road->pause_ms > 0 && instant_ms_since(road->since, now) < road->pause_ms)
		return;
	if ((a = alarms_due(&d->alarms, r, &times, wall_ms(), &event)) != NULL)
		tell(d, r, a, event);
}

static void
roads_go(struct desk *d)
{
	for (int r = 0; r < ALARM_LOG; r++)
		road_go(d, (enum alarm_road)r);
	for (size_t i = 0; i < d->alarms.n; i++)	/* each once at most */
		road_go(d, ALARM_LOG);
	keep(d);
}

static void
on_told(void *arg, struct chan_msg *m)
{
	struct desk *d = arg;
	char words[TELL_WHY_MAX];

	log_escape_words(m->body, words, sizeof(words));
	for (int r = 0; m->type == TELL_DONE && r < ALARM_LOG; r++)
		if (d->roads[r].going != ALARM_NOTHING && d->roads[r].tag == m->tag) {
			settled(d, (enum alarm_road)r, words);
			roads_go(d);
			return;
		}
}

static void
teller_gone(struct desk *d, enum writer_teller t)
{
	chan_free(&d->tellers[t]);
	for (int r = 0; r < ALARM_LOG; r++)
		if (teller_of((enum alarm_road)r) == t && d->roads[r].going != ALARM_NOTHING)
			settled(d, (enum alarm_road)r, "the process that tells it ended");
}

static void
on_herald_gone(void *arg, const struct why *why)
{
	teller_gone(arg, TELLER_HERALD);
}

static void
on_runner_gone(void *arg, const struct why *why)
{
	teller_gone(arg, TELLER_RUNNER);
}

void
writer_teller(struct writer *w, enum writer_teller t, struct chan *chan)
{
	struct desk *d = w->desk;

	if (d->tellers[t] != NULL)
		teller_gone(d, t);
	d->tellers[t] = chan;
	chan_start(chan, on_told, t == TELLER_HERALD ? on_herald_gone : on_runner_gone, d);
	roads_go(d);
}

/* --- looking -------------------------------------------------------------------------------- */

/* A road that does not work is a condition as well, which the others tell. */
static void
roads_say(const struct desk *d, condition_fn *fn, void *arg)
{
	char text[ALARM_TEXT_MAX];

	for (int r = 0; r < ALARM_LOG; r++) {
		if (!configured(d, (enum alarm_road)r) || d->roads[r].pause_ms == 0)
			continue;
		snprintf(text, sizeof(text), "alarms are not told by %s: %s; tried again within "
		    "%lld s", alarm_road_name((enum alarm_road)r), d->roads[r].error,
		    (long long)(d->roads[r].pause_ms / 1000));
		fn(arg, CONDITION_NOW, alarm_road_key((enum alarm_road)r), text);
	}
}

static void
on_condition(void *arg, enum condition c, const char *key, const char *text)
{
	struct desk *d = arg;
	const struct conf_alarms *a = conf_of(d);

	if (alarms_seen(&d->alarms, key, text, c == CONDITION_SUMMARY,
	    c == CONDITION_PATIENT ? a->unreachable_ms : a->after_ms, wall_ms()) || d->crowded)
		return;
	d->crowded = true;
	log_error(NULL, "alarm.crowded more than %d at once: see posthouse status", ALARMS_MAX);
}

static void
look(struct desk *d)
{
	const struct alarm_times times = times_of(d);
	struct why why;

	alarms_look(&d->alarms);
	(void)conditions(d->w, on_condition, d, &why);	/* what failed is one of them */
	roads_say(d, on_condition, d);
	alarms_looked(&d->alarms, &times, wall_ms());
	roads_go(d);
}

static void
on_timer(uv_timer_t *t)
{
	look(t->data);
}

static void
look_every(struct desk *d, uint64_t first_ms)
{
	uv_timer_start(&d->timer, on_timer, first_ms, (uint64_t)conf_of(d)->every_ms);
}

/* --- what is shown -------------------------------------------------------------------------- */

struct showing {
	const struct desk *desk;
	json_t		*alarms, *conditions;
};

static void
show(void *arg, enum condition c, const char *key, const char *text)
{
	const struct showing *s = arg;
	const struct alarm *a = alarms_find(&s->desk->alarms, key);
	json_t *o, *told = json_object();

	if (c == CONDITION_SUMMARY || (c == CONDITION_PATIENT && (a == NULL || !a->raised))) {
		json_decref(told);
		return;
	}
	for (int r = 0; a != NULL && r < ALARM_ROADS; r++)
		if (a->told_ms[r] != 0)
			json_object_set_new(told, alarm_road_name((enum alarm_road)r),
			    answer_moment(a->told_ms[r]));
	o = json_pack("{s:o, s:o, s:o, s:I, s:o}", "key", answer_text(key, ALARM_KEY_MAX),
	    "text", answer_text(text, ALARM_TEXT_MAX),
	    "since", answer_moment(a != NULL ? a->since_ms : 0),
	    "since_ms", (json_int_t)(a != NULL ? a->since_ms : 0), "told", told);
	json_array_append_new(s->conditions, o);
	json_array_append_new(s->alarms, answer_text(text, ALARM_TEXT_MAX));
}

void
writer_alarms_answer(struct writer *w, json_t *o)
{
	const struct desk *d = w->desk;
	struct showing s = { d, json_array(), json_array() };
	json_t *roads = json_array();
	struct why why;

	(void)conditions(w, show, &s, &why);
	roads_say(d, show, &s);
	for (int r = 0; r < ALARM_LOG; r++) {
		const struct road *road = &d->roads[r];

		if (!configured(d, (enum alarm_road)r))
			continue;
		json_array_append_new(roads, json_pack("{s:s, s:o, s:I, s:s, s:b, s:s, s:s}",
		    "road", alarm_road_name((enum alarm_road)r),
		    "told", answer_moment(road->told_ms), "told_ms", (json_int_t)road->told_ms,
		    "error", road->error,
		    "ready", d->tellers[teller_of((enum alarm_road)r)] != NULL,
		    "test", tests[road->test], "test_error", road->test_error));
	}
	json_object_set_new(o, "alarms", s.alarms);
	json_object_set_new(o, "conditions", s.conditions);
	json_object_set_new(o, "roads", roads);
}

void
writer_alarms_test(struct writer *w)
{
	for (int r = 0; r < ALARM_LOG; r++)
		if (w->desk->roads[r].test != TEST_GOING && configured(w->desk, (enum alarm_road)r))
			w->desk->roads[r].test = TEST_WANTED;
	roads_go(w->desk);
}

/* --- a desk --------------------------------------------------------------------------------- */

struct desk *
writer_alarms_new(struct writer *w)
{
	struct desk *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->w = w;
	d->dir = w->conf.sys->openat(AT_FDCWD, w->conf.common->state,
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	recall(d);
	uv_timer_init(w->loop, &d->timer);
	d->timer.data = d;
	w->desk = d;
	look_every(d, (uint64_t)conf_of(d)->every_ms);
	return d;
}

/* Looks at once, and a road that failed is tried again: what was wrong with it may be mended. */
void
writer_alarms_reload(struct writer *w)
{
	for (int r = 0; r < ALARM_LOG; r++) {
		struct road *road = &w->desk->roads[r];

		if (road->going == ALARM_NOTHING)
			road->since.ns -= road->pause_ms * 1000000;
	}
	look_every(w->desk, 0);
}

static void
on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

void
writer_alarms_free(struct desk **dp)
{
	struct desk *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	for (int t = 0; t < TELLERS; t++)
		chan_free(&d->tellers[t]);
	if (d->dir != -1)
		d->w->conf.sys->close(d->dir);
	alarms_fini(&d->alarms);
	uv_close((uv_handle_t *)&d->timer, on_timer_closed);
}
