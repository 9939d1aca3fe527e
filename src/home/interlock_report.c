#include "home/interlock_in.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "proto/relay_advice.h"

/* What the interlock found, as a line of the log and as JSON for the operator. */

static json_t *
note_json(const struct run *r, const struct relay_note *n)
{
	json_t *o = json_pack("{s:s, s:s, s:b, s:s}", "asked", n->asked, "answered", n->answered,
	    "good", n->cause == RELAY_NO_CAUSE, "form", n->form != NULL ? n->form : "");

	if (n->cause != RELAY_NO_CAUSE)
		json_object_set_new(o, "wrong", json_string(relay_cause_words(n->cause)));
	return o;
}

static json_t *
visit_json(const struct relay_visit *v)
{
	static const char *const headers[] = {
		[RELAY_NONE] = "none", [RELAY_BROKEN] = "broken",
	};
	const char *header = v->header == RELAY_PROPER ? v->version == 1 ? "v1" : "v2" :
	    headers[v->header];

	return json_pack("{s:s, s:s, s:s, s:[]}", "as", netaddr_ip(&v->client).s, "whose",
	    v->whose, "header", header, "lines");
}

static json_t *
visits_json(const struct run *r)
{
	json_t *visits = json_array(), *one = NULL;
	unsigned last = UINT32_MAX;

	for (size_t i = 0; i < relay_probe_notes(r->probe); i++) {
		const struct relay_note *n = relay_probe_note(r->probe, i);

		if (n->visit != last) {
			one = visit_json(relay_probe_visit(r->probe, n->visit));
			json_array_append_new(visits, one);
			last = n->visit;
		}
		json_array_append_new(json_object_get(one, "lines"), note_json(r, n));
	}
	return visits;
}

static json_t *
advice_json(const struct relay_result *res, const struct relay_visit *v)
{
	json_t *list = json_array();
	struct buf line;

	buf_init(&line, 4096);
	for (size_t i = 0; relay_advice(res, i, v, &line); i++) {
		json_array_append_new(list, json_stringn(line.p, line.n));
		buf_clear(&line);
	}
	buf_fini(&line);
	return list;
}

static json_t *
head_json(const struct item *it, const char *verdict)
{
	char now[40];

	wall_iso(wall_ms(), now, sizeof(now));
	return json_pack("{s:s, s:s, s:s, s:b, s:s, s:I, s:I}", "service", it->name, "backend",
	    netaddr_hostport(&it->service->conf.backend).s, "verdict", verdict,
	    "open", interlock_closed(it->interlock, it->service) == NULL, "tested", now,
	    "tested_ms", (json_int_t)wall_ms(), "run", (json_int_t)it->run_done);
}

/* Keeps it, and tells the writer. */
static void
keep(struct item *it, json_t *o)
{
	char *text = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);
	const struct interlock *il = it->interlock;

	/* Evidence stands in front; a table too long for a message goes without the rest. */
	if (text != NULL && strlen(text) > SPOOL_REPORT_MAX) {
		json_array_clear(json_object_get(o, "visits"));
		free(text);
		text = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);
	}
	json_decref(o);
	if (text == NULL)
		return;
	free(it->report);
	it->report = text;
	il->told(il->arg, it->name, span_str(text));
}

static void
say(const struct item *it, const struct relay_result *res, const struct relay_visit *v)
{
	const struct relay_note *n = res->evidence;

	if (res->verdict == RELAY_GREEN) {
		log_info(NULL, "interlock.green service=%s server=%s", it->name,
		    res->server != RELAY_UNKNOWN_SERVER ? relay_server_name(res->server) : "-");
		return;
	}
	log_error(NULL, "interlock.closed service=%s verdict=\"%s\" as=%s: %s; asked: %s; "
	    "answered: %s; see posthouse interlock", it->name,
	    relay_verdict_name(res->verdict),
	    v != NULL ? netaddr_ip(&v->client).s : "-", relay_cause_words(res->cause),
	    n != NULL ? n->asked : "", n != NULL ? n->answered : "");
}

void
interlock_report(struct run *r, const struct relay_result *res)
{
	struct item *it = r->item;
	const struct relay_note *n = res->evidence;
	const struct relay_visit *v = n != NULL ? relay_probe_visit(r->probe, n->visit) : NULL;
	json_t *o = head_json(it, relay_verdict_name(res->verdict)), *warnings = json_array();

	/* Of one that is out of reach health has said it; of what is not true any more nobody. */
	if (!r->unreachable && !r->stale)
		say(it, res, v);
	json_object_set_new(o, "cause", json_string(relay_cause_words(res->cause)));
	json_object_set_new(o, "server", json_string(relay_server_name(res->server)));
	json_object_set_new(o, "banner", json_string(res->banner));
	json_object_set_new(o, "control", json_string(res->control));
	json_object_set_new(o, "password", json_boolean(res->locked));
	if (n != NULL)
		json_object_set_new(o, "evidence", json_pack("{s:s, s:s, s:s, s:s}",
		    "as", netaddr_ip(&v->client).s, "whose", v->whose, "asked", n->asked,
		    "answered", n->answered));
	json_object_set_new(o, "advice", advice_json(res, v));
	if (res->bare_lf)
		json_array_append_new(warnings, json_string("it takes a bare LF for the end of a "
		    "message, so that one sender can smuggle in another's mail (Postfix: "
		    "smtpd_forbid_bare_newline = yes)"));
	if (res->catch_all)
		json_array_append_new(warnings, json_string("it takes every local part, so that "
		    "whether it routes user%domain on cannot be seen"));
	json_object_set_new(o, "warnings", warnings);
	json_object_set_new(o, "bare_lf", res->bare_lf_tried ? json_boolean(res->bare_lf) :
	    json_null());
	json_object_set_new(o, "visits", visits_json(r));
	keep(it, o);
}

void
interlock_report_other(struct item *it)
{
	json_t *o;

	it->run_done = it->run_wanted;
	o = head_json(it, "no mail server");
	/* One that does not answer is closed for that, which health tells, and not for us. */
	json_object_set_new(o, "open", json_true());
	keep(it, o);
}
