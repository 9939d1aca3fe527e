/* An operator's question that another process answers, and its answer. */
#include <stdlib.h>
#include <string.h>

#include "store/writer_in.h"

uint64_t
writer_question(struct writer *w, const json_t *question)
{
	char *text = json_dumps(question, JSON_COMPACT);
	struct wire_out out = { .n = 0 };

	if (text == NULL || w->clients == NULL) {
		free(text);
		return 0;
	}
	wire_u64(&out, ++w->questions);
	writer_tell(w, WE_QUESTION, &out, span_str(text));
	free(text);
	return w->questions;
}

bool
serve_answer(struct client *c, struct chan_msg *m)
{
	struct wire_in in = wire_in(m->body);
	uint64_t question = wire_get_u64(&in);

	if (in.bad || in.n > SPOOL_REPORT_MAX)
		return false;
	if (c->w->control != NULL)
		control_told(c->w->control, question, wire_rest(&in));
	return true;
}
