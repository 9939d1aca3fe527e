#include "store/writer_in.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* What a turn of the loop owes, and its end: one commit, its effects, and all are answered. */

#define OWED_KEEP	256

static void
owed_fini(struct owed *o)
{
	free(o->reply);
	free(o->text);
	o->reply = NULL;
	o->text = NULL;
}

struct owed *
writer_owe_nobody(struct writer *w)
{
	struct owed *o;

	if (w->nowed == w->owed_cap) {
		w->owed_cap = w->owed_cap == 0 ? 64 : 2 * w->owed_cap;
		if ((w->owed = realloc(w->owed, w->owed_cap * sizeof(*w->owed))) == NULL)
			abort();	/* nobody has been told anything that is not so */
	}
	o = &w->owed[w->nowed++];
	*o = (struct owed){ .client = NULL };
	writer_awake(w);
	return o;
}

struct owed *
writer_owe(struct client *c, uint64_t tag, enum wire_type asked, enum wire_type answer)
{
	struct owed *o = writer_owe_nobody(c->w);

	o->client = c;
	o->tag = tag;
	o->type = answer;
	o->asked = asked;
	return o;
}

void
writer_owed_orphan(struct writer *w, const struct client *c)
{
	for (size_t i = 0; i < w->nowed; i++)
		if (w->owed[i].client == c)
			w->owed[i].client = NULL;
}

void
writer_owed_forget(struct writer *w)
{
	for (size_t i = 0; i < w->nowed; i++)
		owed_fini(&w->owed[i]);
	free(w->owed);
}

static void
nothing(uv_idle_t *h)
{
}

void
writer_awake(struct writer *w)
{
	if (!uv_is_active((uv_handle_t *)&w->awake))
		uv_idle_start(&w->awake, nothing);
}

static void
answer(struct owed *o)
{
	static const struct smtp_reply none;
	struct wire_out w = { .n = 0 };

	if (o->client == NULL || o->type == 0)
		return;
	switch (o->type) {
	case WA_KEPT:
		wire_u8(&w, o->kept);
		wire_u64(&w, (uint64_t)o->row);
		wire_text(&w, o->text != NULL ? o->text : "");
		break;
	case WA_MARKED:
		wire_u8(&w, o->marked);
		wire_text(&w, o->text != NULL ? o->text : "");
		break;
	case WA_OUTCOME:
		wire_u8(&w, o->outcome);
		wire_reply(&w, o->reply != NULL ? o->reply : &none);
		break;
	default:
		wire_u8(&w, o->ok);
		wire_text(&w, o->text != NULL ? o->text : "");
		break;
	}
	(void)writer_send(o->client, o->type, o->tag, &w, span_of(NULL, 0), -1);
}

/* What a commit makes true beside the database. */
static void
take_effect(struct writer *w, struct owed *o)
{
	struct rowmap_item gone;

	if (o->hide && o->client != NULL)
		/* else it is handed over: not lost */
		(void)rowmap_add(&w->hidden, o->row, o->client, 0);
	else if (o->came)
		w->work = true;
	if (o->ends_claim)
		while (rowmap_take(&w->claims, o->row, &gone))
			;
	if (o->asked == WM_NOTE || o->asked == WM_PUT)
		writer_settled(w, o);
}

static void
undone(struct writer *w, struct owed *o, const struct why *why)
{
	switch (o->type) {
	case WA_OUTCOME:
		/* "Pending" would be taken for durable: it is asked again instead. */
		if (o->client != NULL && rowmap_add(&w->retry, o->row, o->client, o->tag))
			writer_retry_soon(w);
		o->type = 0;
		return;
	case WA_KEPT:
		/* so it stays, whatever became of the others */
		if (o->kept == KEPT_FULL)
			return;
		o->kept = db_was_full(w->db) ? KEPT_FULL : NOT_KEPT;
		o->row = 0;
		break;
	case WA_MARKED:
		/* STALE too: what it was measured by may have been undone. */
		o->marked = MARKED_NOT;
		break;
	default:
		o->ok = false;
		break;
	}
	free(o->text);
	o->text = strdup(why->text);
}

static void
tell_ledger(struct writer *w)
{
	struct ledger_mark m = db_ledger_mark(w->db);
	struct wire_out out = { .n = 0 };

	wire_mark(&out, &m);
	writer_tell(w, WE_LEDGER, &out, span_of(NULL, 0));
}

static void
answer_all(struct writer *w)
{
	for (size_t i = 0; i < w->nowed; i++) {
		answer(&w->owed[i]);
		owed_fini(&w->owed[i]);
	}
	w->nowed = 0;
	if (w->owed_cap > OWED_KEEP) {
		free(w->owed);
		w->owed = NULL;
		w->owed_cap = 0;
	}
	if (w->work) {
		w->work = false;
		writer_tell(w, WE_WORK, NULL, span_of(NULL, 0));
	}
}

void
writer_failed(struct writer *w, const struct why *why)
{
	size_t i;

	if (!w->failing)
		log_error(NULL,
		    "store.failing why=\"%s\" note=\"mail is answered 4xx until it works again\"",
		    why->text);
	w->failing = true;
	db_trouble(w->db, why->text);
	for (i = 0; i < w->nowed; i++)
		undone(w, &w->owed[i], why);
	db_rollback(w->db);
	writer_marks_forget(w);
	answer_all(w);
}

int
writer_commit(struct writer *w, struct why *why)
{
	bool changed = db_changed(w->db);

	if (changed && (writer_marks(w, why) == -1 || db_commit(w->db, why) == -1)) {
		writer_failed(w, why);
		return -1;
	}
	if (changed && w->failing) {
		w->failing = false;
		db_trouble(w->db, "");
		log_info(NULL, "store.works");
	}
	for (size_t i = 0; i < w->nowed; i++)
		take_effect(w, &w->owed[i]);
	if (changed && w->conf.role == CONF_HOME)
		tell_ledger(w);
	answer_all(w);
	if (w->noted)
		writer_due(w);
	if (changed) {
		(void)db_idle(w->db, false);
		writer_idle_soon(w);
	}
	return 0;
}
