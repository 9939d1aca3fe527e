#include "store/control_answer.h"

#include "store/writer.h"

/* alarm: what is wrong, and what became of telling it. */
json_t *
answer_alarm(struct writer *w, const json_t *q)
{
	json_t *o = answer_ok();

	if (json_is_true(json_object_get(q, "test")))
		writer_alarms_test(w);
	writer_alarms_answer(w, o);
	return o;
}
