#include "store/control_answer.h"

#include "store/writer.h"

/* route: only the courier knows the mailboxes. */
void
answer_route(struct writer *w, const json_t *q, struct control_answer *out)
{
	struct why why;

	if (writer_conf(w)->role != CONF_HOME)
		why_set(&why, "mailboxes are known at home: ask there");
	else if ((out->question = writer_question(w, q)) != 0)
		return;
	else
		why_set(&why, "home is just starting: try again in a moment");
	out->line = answer_failed(&why);
}
