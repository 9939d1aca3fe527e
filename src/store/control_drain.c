#include "store/control_answer.h"

#include <string.h>

#include "base/clock.h"
#include "store/writer.h"

/* drain: a look at each bucket now; and the buckets, as `status` shows them. */

void
answer_drain(struct writer *w, const json_t *q, struct control_answer *out)
{
	const struct writer_conf *c = writer_conf(w);
	struct why why;

	if (c->role != CONF_HOME)
		why_set(&why, "buckets are emptied at home: ask there");
	else if (c->home->nbuckets == 0)
		why_set(&why, "no bucket is configured: write a section bucket \"NAME\"");
	else if ((out->question = writer_question(w, q)) != 0)
		return;
	else
		why_set(&why, "home is just starting: try again in a moment");
	out->line = answer_failed(&why);
}

static json_t *
one(struct board_bucket *b, int64_t alarm_ms)
{
	int64_t looked = atomic_load(&b->looked_ms), oldest = atomic_load(&b->oldest_ms),
	    next = atomic_load(&b->next_ms);
	json_t *o = json_pack("{s:o, s:o, s:b, s:b, s:I, s:o, s:I, s:o, s:I}",
	    "name", answer_board_text(b->name, sizeof(b->name)),
	    "error", answer_board_text(b->error, sizeof(b->error)),
	    "alarm", atomic_load(&b->alarm) != 0,
	    "looking", atomic_load(&b->looking) != 0,
	    "looks", (json_int_t)atomic_load(&b->looks),
	    "looked", answer_moment(looked), "looked_ms", (json_int_t)looked,
	    "next", answer_moment(next), "next_ms", (json_int_t)next);

	json_object_set_new(o, "waiting", json_integer(atomic_load(&b->waiting)));
	json_object_set_new(o, "octets", json_integer(atomic_load(&b->octets)));
	json_object_set_new(o, "oldest", answer_moment(oldest));
	json_object_set_new(o, "oldest_ms", json_integer(oldest));
	json_object_set_new(o, "taken", json_integer(atomic_load(&b->taken)));
	json_object_set_new(o, "aside", json_integer(atomic_load(&b->aside)));
	json_object_set_new(o, "aside_name",
	    answer_board_text(b->aside_name, sizeof(b->aside_name)));
	json_object_set_new(o, "aside_why",
	    answer_board_text(b->aside_why, sizeof(b->aside_why)));
	json_object_set_new(o, "expires_ms", json_integer(atomic_load(&b->expires_ms)));
	json_object_set_new(o, "alarm_ms", json_integer(alarm_ms));
	return o;
}

json_t *
answer_buckets(struct scoreboard *b, int64_t alarm_ms)
{
	json_t *list = json_array();

	for (size_t i = 0; b != NULL && i < BOARD_BUCKETS; i++)
		if (b->bucket[i].name[0] != '\0')
			json_array_append_new(list, one(&b->bucket[i], alarm_ms));
	return list;
}
