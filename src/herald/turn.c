#include "herald/turn.h"

#include "base/log.h"
#include "proto/notice.h"
#include "store/tell.h"

static void
go(struct turn *t, struct chan *asker, uint64_t tag)
{
	t->going = true;
	t->asker = asker;
	t->tag = tag;
}

bool
turn_take(struct turn *t, struct chan *asker, const struct chan_msg *m)
{
	struct span error = SPAN_LIT("memory is out");

	if (!t->going) {
		go(t, asker, m->tag);
		return true;
	}
	if (t->asker != NULL || t->next_asker != NULL) {
		log_error(NULL, "alarm.message type=%u is not for now: dropped", m->type);
		return false;
	}
	buf_init(&t->next, 1 + NOTICE_MAX);
	if (!buf_add_span(&t->next, m->body)) {
		buf_fini(&t->next);
		chan_send(asker, TELL_DONE, m->tag, &error, 1, -1);
		return false;
	}
	t->next_asker = asker;
	t->next_tag = m->tag;
	return false;
}

bool
turn_over(struct turn *t, const char *error, struct buf *out)
{
	struct span part = span_str(error);

	if (t->asker != NULL)
		chan_send(t->asker, TELL_DONE, t->tag, &part, 1, -1);
	t->asker = NULL;
	t->going = false;
	if (t->next_asker == NULL)
		return false;
	go(t, t->next_asker, t->next_tag);
	t->next_asker = NULL;
	*out = t->next;
	t->next = (struct buf){ 0 };
	return true;
}

void
turn_gone(struct turn *t)
{
	t->asker = NULL;
	if (t->next_asker != NULL)
		buf_fini(&t->next);
	t->next_asker = NULL;
}
