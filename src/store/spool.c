#include "store/spool.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "store/spool_in.h"

/* --- questions -------------------------------------------------------------------- */

/*
 * Memory: a question that cannot be made cannot be answered either, and every
 * answer is owed.  The process ends and its parent starts it anew; nothing that was
 * promised is lost by that.
 */
struct ask *
ask_new(struct spool *s, enum wire_type type, const struct wire_out *head, void *arg)
{
	struct ask *a = calloc(1, sizeof(*a));
	struct asks *l = &s->kinds[type];

	if (a == NULL)
		abort();
	buf_init(&a->body, WIRE_ENTRIES_MAX * 2048u);
	buf_init(&a->content, WIRE_INLINE_MAX);
	if (head != NULL && !buf_add_span(&a->body, wire_span(head)))
		abort();
	a->type = (uint16_t)type;
	a->tag = (uint64_t)type << 56 | ++s->tags;
	a->arg = arg;
	a->prev = l->last;
	*l->last = a;
	l->last = &a->next;
	return a;
}

static void
unlink_ask(struct spool *s, struct ask *a)
{
	*a->prev = a->next;
	if (a->next != NULL)
		a->next->prev = a->prev;
	else
		s->kinds[a->type].last = a->prev;
}

void
ask_free(struct spool *s, struct ask **ap)
{
	struct ask *a = *ap;

	s->memory -= a->octets;
	buf_fini(&a->body);
	buf_fini(&a->content);
	free(a->cut);
	free(a);
	*ap = NULL;
}

/* False: the channel takes no more now. */
static bool
send_ask(struct spool *s, struct ask *a)
{
	size_t from = a->cuts_sent > 0 ? a->cut[a->cuts_sent - 1] : 0;
	struct span part[2];

	for (; a->cuts_sent < a->ncuts; a->cuts_sent++) {
		part[0] = span_of(a->body.p + from, a->cut[a->cuts_sent] - from);
		if (!chan_send(s->chan, WM_NOTE_PART, a->tag, part, 1, -1))
			return false;
		from = a->cut[a->cuts_sent];
	}
	part[0] = span_from(buf_span(&a->body), from);
	part[1] = buf_span(&a->content);
	if (!chan_send(s->chan, a->type, a->tag, part, 2, -1))
		return false;
	a->sent = true;
	buf_fini(&a->body);
	buf_fini(&a->content);
	return true;
}

static void
flush(struct spool *s)
{
	while (s->unsent != NULL && s->chan != NULL) {
		struct ask *a = s->unsent;

		if (!send_ask(s, a))
			return;
		if ((s->unsent = a->next_unsent) == NULL)
			s->unsent_last = &s->unsent;
		a->next_unsent = NULL;
		/* to these nothing comes back */
		if (a->type == WM_RELEASE || a->type == WM_FAILED ||
		    a->type == WM_INTERLOCK || a->type == WM_ANSWER ||
		    a->type == WM_SAID) {
			unlink_ask(s, a);
			ask_free(s, &a);
		}
	}
}

void
ask_go(struct spool *s, struct ask *a)
{
	*s->unsent_last = a;
	s->unsent_last = &a->next_unsent;
	flush(s);
}

/* --- the writer comes and goes ------------------------------------------------------ */

static struct ask *
first_sent(struct asks *l)
{
	struct ask *a;

	/* A note of several parts may be half sent: the next writer gets all of it again. */
	for (a = l->first; a != NULL; a = a->next)
		if (a->sent)
			return a;
		else
			a->cuts_sent = 0;
	return NULL;
}

static void
down(struct spool *s, const struct why *why)
{
	bool was_up = s->up;

	chan_free(&s->chan);
	s->up = false;
	s->room = UINT64_MAX;
	free(s->parts);
	s->parts = NULL;
	s->nparts = 0;
	if (was_up && s->events->attached != NULL)
		s->events->attached(s->arg, false);
	/* What an answer asks anew is not sent, so this ends. */
	for (unsigned k = 0; k < SPOOL_KINDS; k++) {
		struct ask *a;

		while (s->chan == NULL && (a = first_sent(&s->kinds[k])) != NULL) {
			unlink_ask(s, a);
			ask_fail(s, a, why);
			ask_free(s, &a);
		}
	}
}

static void
on_close(void *arg, const struct why *why)
{
	struct spool *s = arg;

	log_warn(NULL, "spool.down why=\"%s\"", why->text);
	down(s, why);
}

struct ask *
spool_asked(struct spool *s, uint64_t tag)
{
	struct ask *a;

	if (tag >> 56 >= SPOOL_KINDS)
		return NULL;
	for (a = s->kinds[tag >> 56].first; a != NULL; a = a->next)
		if (a->tag == tag)
			return a->sent ? a : NULL;
	return NULL;
}

static void
on_msg(void *arg, struct chan_msg *m)
{
	struct spool *s = arg;
	struct why why = { 0 };

	if (!spool_answer(s, m)) {
		why_set(&why, "spool: the writer said what is no answer (type %u)", m->type);
		log_error(NULL, "spool.down why=\"%s\"", why.text);
		down(s, &why);
		return;
	}
	flush(s);
}

void
spool_answered(struct spool *s, struct ask *a)
{
	unlink_ask(s, a);
}

void
spool_attach(struct spool *s, struct chan *chan)
{
	struct why why = { 0 };

	if (s->chan != NULL) {
		why_set(&why, "spool: the writer was replaced");
		down(s, &why);
	}
	if (chan == NULL)
		return;
	s->chan = chan;
	chan_start(chan, on_msg, on_close, s);
	flush(s);
}

struct spool *
spool_new(const struct spool_events *events, void *arg, int dirfd, uint64_t budget,
    uint64_t threshold)
{
	struct spool *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->sys = &sys_real;
	s->events = events;
	s->arg = arg;
	s->dirfd = dirfd;
	s->room = UINT64_MAX;
	s->budget = budget;
	s->threshold = threshold < WIRE_INLINE_MAX ? threshold : WIRE_INLINE_MAX;
	s->unsent_last = &s->unsent;
	for (unsigned k = 0; k < SPOOL_KINDS; k++)
		s->kinds[k].last = &s->kinds[k].first;
	return s;
}

/* Whoever asked is gone as well: nobody is answered. */
void
spool_free(struct spool **sp)
{
	struct spool *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	chan_free(&s->chan);
	for (unsigned k = 0; k < SPOOL_KINDS; k++)
		while (s->kinds[k].first != NULL) {
			struct ask *a = s->kinds[k].first;

			unlink_ask(s, a);
			ask_free(s, &a);
		}
	free(s->parts);
	spool_peers_free(s);
	free(s);
}

uint64_t
spool_room(const struct spool *s)
{
	return s->room;
}

uint64_t
spool_memory(const struct spool *s)
{
	return s->memory;
}
