/* Edge: what homes said last is taken from the process that hears it, and told to the next. */
#include <string.h>

#include "base/log.h"
#include "store/said.h"
#include "store/writer_in.h"

static bool
configured(const struct writer *w, const char *name)
{
	for (size_t i = 0; i < w->conf.edge->nhomes; i++)
		if (strcmp(w->conf.edge->homes[i].name, name) == 0)
			return true;
	return false;
}

/* Paired or configured: others have no domains here, and what they said counts for nothing. */
static bool
is_home(const struct writer *w, const char *name)
{
	return configured(w, name) || peers_find(w->peers, name) != NULL;
}

/* It comes in pieces; one that follows no first one is the rest of what a writer before us had. */
bool
serve_said(struct client *c, struct chan_msg *m)
{
	struct wire_in in = wire_in(m->body);
	char name[PAIRING_NAME_MAX + 1];
	struct why why = { 0 };
	enum spool_said what;
	bool first, last;

	wire_get_text(&in, name, sizeof(name));
	what = (enum spool_said)wire_get_enum(&in, SPOOL_SAID_KINDS - 1);
	first = wire_get_enum(&in, 1);
	last = wire_get_enum(&in, 1);
	if (in.bad)
		return false;
	if (first) {
		buf_fini(&c->said);
		buf_init(&c->said, SPOOL_SAID_MAX);
	}
	if (c->said.max == 0)
		return true;
	if (!buf_add_span(&c->said, wire_rest(&in)))
		return false;
	if (!last)
		return true;
	/* Below the reserve only deletes write. */
	if (is_home(c->w, name) && c->w->room_told > 0 &&
	    said_put(c->w->conf.sys, c->w->conf.common->state, name, what, buf_span(&c->said),
	    &why) == -1)
		log_warn(NULL, "said.unkept home=%s: %s", name, why.text);
	buf_fini(&c->said);
	c->said = (struct buf){ .max = 0 };
	return true;
}

void
writer_said_forget(struct writer *w, const char *home)
{
	if (w->conf.role == CONF_EDGE)
		said_forget(w->conf.sys, w->conf.common->state, home);
}

static void
tell(struct client *c, const char *name)
{
	for (unsigned what = 0; what < SPOOL_SAID_KINDS; what++) {
		struct wire_out out = { .n = 0 };
		int fd = said_open(c->w->conf.sys, c->w->conf.common->state, name,
		    (enum spool_said)what);

		wire_text(&out, name);
		wire_u8(&out, what);
		if (fd != -1)
			(void)writer_send(c, WE_SAID, 0, &out, span_of(NULL, 0), fd);
	}
}

void
writer_greet_said(struct client *c)
{
	const struct writer *w = c->w;

	if (w->conf.role != CONF_EDGE)
		return;
	for (size_t i = 0; i < w->conf.edge->nhomes; i++)
		tell(c, w->conf.edge->homes[i].name);
	for (size_t i = 0; i < peers_count(w->peers); i++) {
		const char *name = peers_at(w->peers, i)->name;

		if (!configured(w, name))
			tell(c, name);
	}
}
