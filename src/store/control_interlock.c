#include "store/control_answer.h"

#include "conf/conf.h"
#include "store/writer.h"

/* interlock: what the tunnel process found, which is input; it is only handed on. */

json_t *
answer_interlock(struct writer *w, const json_t *q)
{
	const struct conf_home *home = writer_conf(w)->home;
	json_t *o, *list = json_array();
	struct why why;

	if (writer_conf(w)->role != CONF_HOME) {
		json_decref(list);
		why_set(&why, "the interlock runs at home, which knows the mail server");
		return answer_failed(&why);
	}
	o = answer_ok();
	json_object_set_new(o, "configured", json_integer((json_int_t)(home->nservices -
	    (conf_home_push(home) != NULL))));
	json_object_set_new(o, "run", json_integer((json_int_t)writer_interlock_run(w,
	    json_is_true(json_object_get(q, "run")))));
	for (size_t i = 0; i < writer_interlocks(w); i++)
		json_array_append(list, (json_t *)writer_interlock(w, i));
	json_object_set_new(o, "services", list);
	return o;
}
