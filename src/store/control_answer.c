#include "store/control_answer.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"

json_t *
answer_ok(void)
{
	return json_pack("{s:b}", "ok", 1);
}

json_t *
answer_failed(const struct why *why)
{
	json_t *o = json_pack("{s:b}", "ok", 0);

	json_object_set_new(o, "error", answer_text(why->text, sizeof(why->text)));
	return o;
}

json_t *
answer_misused(const struct why *why)
{
	json_t *o = answer_failed(why);

	json_object_set_new(o, "misuse", json_true());
	return o;
}

json_t *
answer_text(const char *p, size_t max)
{
	size_t n = strnlen(p, max);
	json_t *s = json_stringn(p, n);
	char safe[1024];

	if (s == NULL)
		s = json_string(log_escape(span_of(p, n), safe, sizeof(safe)));
	return s;
}

json_t *
answer_moment(int64_t ms)
{
	char text[40];

	if (ms == 0)
		return json_null();
	wall_iso(ms, text, sizeof(text));
	return json_string(text);
}

static const struct {
	const char	*what;
	json_t		*(*line)(struct writer *, const json_t *);
	void		(*whole)(struct writer *, const json_t *, struct control_answer *);
} answers[] = {
	{ "status", answer_status, NULL },
	{ "queue", answer_queue, NULL },
	{ "show", answer_show, NULL },
	{ "act", answer_act, NULL },
	{ "log", answer_log, NULL },
	{ "route", NULL, answer_route },
	{ "cat", NULL, answer_cat },
	{ "pair", answer_pair, NULL },
	{ "unpair", answer_unpair, NULL },
	{ "pairings", answer_pairings, NULL },
	{ "peers-reload", answer_peers_reload, NULL },
	{ "interlock", answer_interlock, NULL },
	{ "drain", NULL, answer_drain },
	{ "alarm", answer_alarm, NULL },
	{ "ban", answer_ban, NULL },
	{ "unban", answer_unban, NULL },
	{ "bans", answer_bans, NULL },
};

void
control_answer(struct writer *w, struct span text, struct control_answer *out)
{
	json_t *question = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
	const char *what = json_string_value(json_object_get(question, "do"));
	struct why why;

	*out = (struct control_answer){ .fd = -1 };
	why_set(&why, "the question is not {\"do\":...} with something that is answered here");
	for (size_t i = 0; what != NULL && i < sizeof(answers) / sizeof(answers[0]); i++) {
		if (strcmp(what, answers[i].what) != 0)
			continue;
		if (answers[i].whole != NULL)
			answers[i].whole(w, question, out);
		else
			out->line = answers[i].line(w, question);
		json_decref(question);
		return;
	}
	json_decref(question);
	out->line = answer_failed(&why);
}
