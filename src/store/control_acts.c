#include "store/control_answer.h"

#include <string.h>

#include "base/log.h"
#include "proto/address.h"
#include "store/control.h"
#include "store/control_filter.h"
#include "store/writer.h"

/* retry, park, unpark and drop: one object, or a page of those that a filter chooses. */

static const struct act {
	const char	*word;
	enum writer_act	 act;
	bool		 edge;		/* it can be done there */
} acts[] = {
	{ "retry", ACT_RETRY, true },
	{ "retry-parked", ACT_RETRY_PARKED, true },
	{ "park", ACT_PARK, false },
	{ "unpark", ACT_UNPARK, false },
	{ "drop", ACT_DROP, true },
};

static int
find_act(struct writer *w, const json_t *q, const struct act **out, struct why *why)
{
	const char *word = json_string_value(json_object_get(q, "act"));

	*out = NULL;
	for (size_t i = 0; word != NULL && i < sizeof(acts) / sizeof(acts[0]); i++)
		if (strcmp(acts[i].word, word) == 0) {
			*out = &acts[i];
			if (writer_conf(w)->role == CONF_EDGE && !acts[i].edge)
				return why_set(why, "mail is parked at home only: an edge holds "
				    "until home takes it");
			return 0;
		}
	return why_set(why, "the question names nothing that can be done");
}

static int
mailbox_ok(const struct act *a, const char *to, struct why *why)
{
	if (a->act != ACT_UNPARK)
		return 0;
	if (to == NULL || to[0] == '\0')
		return why_set(why, "to which mailbox?");
	if (!address_mailbox_ok(span_str(to)))
		return why_set(why, "that cannot be a mailbox's name");
	return 0;
}

/* Nothing is parked there, and nothing has a time of its own. */
static bool
is_edge_retry(const struct writer *w, const struct act *a)
{
	return writer_conf(w)->role == CONF_EDGE &&
	    (a->act == ACT_RETRY || a->act == ACT_RETRY_PARKED);
}

/* As writer_act, with a line in the log. */
static int
act_on(struct writer *w, const struct db_row *r, const struct act *a, const char *to,
    struct why *why)
{
	int rc;

	if (is_edge_retry(w, a))
		return 1;		/* all of them are, at once: writer_again */
	if ((rc = writer_act(w, r->object.row, a->act, to, why)) == 1)
		log_line(a->act == ACT_DROP ? LOG_WARN : LOG_INFO, uuid_text(r->object.meta.id).s,
		    "operator.%s signer=%s size=%llu%s%s", a->word,
		    log_safe(span_str(r->object.meta.signer)).s,
		    (unsigned long long)r->object.size, to != NULL ? " mailbox=" : "",
		    to != NULL ? to : "");
	return rc;
}

static json_t *
finish(struct writer *w, const struct act *a, size_t changed, int64_t more)
{
	struct why why;
	json_t *o;

	if (changed > 0 && writer_commit(w, &why) == -1)
		return answer_failed(&why);
	if (changed > 0 && is_edge_retry(w, a))
		writer_again(w);
	o = answer_ok();
	json_object_set_new(o, "changed", json_integer((json_int_t)changed));
	if (more != 0)
		json_object_set_new(o, "more", json_integer(more));
	return o;
}

static json_t *
act_one(struct writer *w, const json_t *q, const struct act *a, const char *to)
{
	struct db_row r;
	struct why why;

	if (control_find(w, q, &r, &why) == -1 || act_on(w, &r, a, to, &why) != 1)
		return answer_failed(&why);
	return finish(w, a, 1, 0);
}

/* What is changed must not be walked through at the same time. */
struct chosen {
	struct db_row	row[CONTROL_ACTS_PAGE];
	size_t		n;
};

static bool
choose(void *arg, const struct db_row *r)
{
	struct chosen *c = arg;

	c->row[c->n++] = *r;
	return true;
}

static json_t *
act_all(struct writer *w, const json_t *q, const struct act *a, const char *to)
{
	static struct chosen c;		/* one question at a time */
	struct control_filter f;
	size_t changed = 0;
	int64_t more;
	struct why why;

	c.n = 0;
	if (control_filter_read(&f, w, q, &why) == -1)
		return answer_misused(&why);
	if (control_filter_walk(&f, CONTROL_ACTS_PAGE, choose, &c, &more, &why) == -1)
		return answer_failed(&why);
	for (size_t i = 0; i < c.n; i++)
		switch (act_on(w, &c.row[i], a, to, &why)) {
		case -1:
			return answer_failed(&why);
		case 1:
			changed++;
			break;
		default:		/* in somebody's hands, or nothing to do */
			break;
		}
	return finish(w, a, changed, more);
}

json_t *
answer_act(struct writer *w, const json_t *q)
{
	const char *to = json_string_value(json_object_get(q, "to"));
	const struct act *a;
	struct why why;

	if (find_act(w, q, &a, &why) == -1 || mailbox_ok(a, to, &why) == -1)
		return answer_misused(&why);
	return json_is_true(json_object_get(q, "all")) ? act_all(w, q, a, to) :
	    act_one(w, q, a, to);
}
