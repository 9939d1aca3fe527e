#include "store/control_answer.h"

#include "store/control_filter.h"
#include "store/db.h"
#include "store/ledger_words.h"
#include "store/writer.h"

/* log: an object's story, from the edge to the mailbox; also of one that is gone. */

static const char *const words[] = {
	[EVENT_NONE] = "",
	[EVENT_DEFERRED] = "deferred",
	[EVENT_UNCERTAIN] = "uncertain",
	[EVENT_PARKED] = "parked",
	[EVENT_REFUSED] = "refused",
	[EVENT_DELIVERED] = "delivered",
	[EVENT_RETRIED] = "retried",
	[EVENT_UNPARKED] = "unparked",
	[EVENT_DROPPED] = "dropped",
	[EVENT_EXPIRED] = "expired",
};

static json_t *
event(int64_t at, const char *what)
{
	return json_pack("{s:o, s:I, s:s}", "at", answer_moment(at), "at_ms", (json_int_t)at,
	    "event", what);
}

/* An edge's ids tell when it took the object (UUIDv7); others' do not. */
static void
taken(json_t *events, struct uuid id, const char *signer)
{
	int64_t ms = 0;
	json_t *e;

	if (id.b[6] >> 4 != 7)
		return;
	for (int i = 0; i < 6; i++)
		ms = ms << 8 | id.b[i];
	e = event(ms, "taken");
	json_object_set_new(e, "by", answer_text(signer, 256));
	json_array_append_new(events, e);
}

static bool
add_told(void *arg, const struct db_told *t)
{
	json_t *e = event(t->at_ms, (size_t)t->what < sizeof(words) / sizeof(words[0]) ?
	    words[t->what] : "unknown");

	if (t->times > 1) {
		json_object_set_new(e, "since", answer_moment(t->since_ms));
		json_object_set_new(e, "times", json_integer(t->times));
	}
	if (t->part >= 0)
		json_object_set_new(e, "part", json_integer(t->part));
	if (t->park != PARK_NONE)
		json_object_set_new(e, "class", json_string(park_class_word(t->park)));
	if (t->recipient[0] != '\0')
		json_object_set_new(e, "recipient", answer_text(t->recipient,
		    sizeof(t->recipient)));
	if (t->mailbox[0] != '\0')
		json_object_set_new(e, "mailbox", answer_text(t->mailbox, sizeof(t->mailbox)));
	if (t->text[0] != '\0')
		json_object_set_new(e, "text", answer_text(t->text, sizeof(t->text)));
	return json_array_append_new(arg, e) == 0;
}

static json_t *
story(struct uuid id, const char *signer, uint64_t size, const char *state, json_t *events)
{
	return json_pack("{s:b, s:s, s:o, s:I, s:s, s:o}", "ok", 1, "id", uuid_text(id).s,
	    "signer", answer_text(signer, 256), "size", (json_int_t)size, "state", state,
	    "events", events);
}

static json_t *
of_edge(struct db_row *r)
{
	json_t *events = json_array(), *e;

	json_array_append_new(events, event(r->object.meta.received_ms, "taken"));
	if (r->object.tries > 0) {
		e = json_pack("{s:s, s:I, s:o}", "event", "not handed over", "times",
		    (json_int_t)r->object.tries, "text", answer_text(r->reason,
		    sizeof(r->reason)));
		json_array_append_new(events, e);
	}
	return story(r->object.meta.id, r->object.meta.signer, r->object.size,
	    control_state(CONF_EDGE, r), events);
}

static json_t *
of_home(struct writer *w, struct uuid id, const char *signer, uint64_t size, int64_t came,
    const char *state, int64_t row, enum spool_origin origin)
{
	json_t *events = json_array(), *e;
	struct why why;

	taken(events, id, signer);
	e = event(came, "came home");
	if (origin != ORIGIN_NONE)
		json_object_set_new(e, "by", json_string(origin_word(origin)));
	json_array_append_new(events, e);
	if (row != 0 && db_story_read(writer_db(w), row, add_told, events, &why) == -1) {
		json_decref(events);
		return answer_failed(&why);
	}
	return story(id, signer, size, state, events);
}

json_t *
answer_log(struct writer *w, const json_t *q)
{
	const char *text = json_string_value(json_object_get(q, "id"));
	struct db_row r;
	struct db_gone g;
	struct why why, failed;
	struct uuid id;
	json_t *o;

	if (control_find(w, q, &r, &why) == 0)
		return writer_conf(w)->role == CONF_EDGE ? of_edge(&r) :
		    of_home(w, r.object.meta.id, r.object.meta.signer, r.object.size,
		    r.object.meta.received_ms, control_state(CONF_HOME, &r), r.object.row,
		    r.object.meta.origin);
	if (writer_conf(w)->role == CONF_EDGE || text == NULL ||
	    !uuid_parse(span_str(text), &id))
		return answer_failed(&why);
	switch (db_find_gone(writer_db(w), id, &g, &failed)) {
	case -1:
		return answer_failed(&failed);
	case 0:
		why_set(&why, "no such object: it never came here, or its story is forgotten");
		return answer_failed(&why);
	default:
		o = of_home(w, id, g.signer, g.size, g.received_ms, "gone", g.row, ORIGIN_NONE);
		json_object_set_new(o, "gone", answer_moment(g.gone_ms));
		return o;
	}
}
