/*
 * Home: what the interlock found, kept for the operator.  In memory: the tunnel says it
 * again to a writer that starts, and tries every service anew when it starts itself.
 */
#include <string.h>

#include "base/clock.h"
#include "store/writer_in.h"

static void
forget(struct writer *w, size_t i)
{
	json_decref(w->interlocks[i].report);
	w->interlocks[i] = w->interlocks[--w->ninterlocks];
}

bool
serve_interlock(struct client *c, struct chan_msg *m)
{
	struct wire_in in = wire_in(m->body);
	struct writer *w = c->w;
	char service[CONF_NAME_MAX];
	struct span text;
	json_t *report;
	size_t i = 0;

	wire_get_text(&in, service, sizeof(service));
	if (in.bad)
		return false;
	text = wire_rest(&in);
	while (i < w->ninterlocks && strcmp(w->interlocks[i].service, service) != 0)
		i++;
	if (text.n == 0) {
		if (i < w->ninterlocks)
			forget(w, i);
		return true;
	}
	report = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(report) || i == CONF_SERVICES_MAX) {
		json_decref(report);
		return false;
	}
	if (i < w->ninterlocks)
		json_decref(w->interlocks[i].report);
	else
		w->ninterlocks++;
	(void)span_copy(span_str(service), w->interlocks[i].service,
	    sizeof(w->interlocks[i].service));
	w->interlocks[i].report = report;
	return true;
}

void
writer_interlock_forget(struct writer *w)
{
	while (w->ninterlocks > 0)
		forget(w, w->ninterlocks - 1);
}

size_t
writer_interlocks(const struct writer *w)
{
	return w->ninterlocks;
}

const json_t *
writer_interlock(const struct writer *w, size_t i)
{
	return w->interlocks[i].report;
}

uint64_t
writer_interlock_run(struct writer *w, bool again)
{
	struct wire_out out = { .n = 0 };
	uint64_t now = (uint64_t)boot_ms();

	/* Above all that a writer before us gave out: the tunnel knows the last of them. */
	if (again) {
		w->interlock_run = w->interlock_run < now ? now : w->interlock_run + 1;
		wire_u64(&out, w->interlock_run);
		writer_tell(w, WE_INTERLOCK, &out, span_of(NULL, 0));
	}
	return w->interlock_run;
}
