#include "store/control_filter.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "store/ledger_words.h"

#define SCAN_MAX	2000	/* rows looked at for one answer: a few milliseconds */
#define ENTRIES_COST	4	/* in rows: what looking into one's deliveries takes */

const char *
control_state(enum conf_role role, const struct db_row *r)
{
	if (role == CONF_EDGE)
		return r->object.meta.verdict ? "verdict" : "held";
	return ledger_state_word(r->state);
}

static int
read_state(struct control_filter *f, enum conf_role role, struct why *why)
{
	if (f->state == NULL)
		return 0;
	if (role == CONF_EDGE)
		return strcmp(f->state, "held") == 0 || strcmp(f->state, "verdict") == 0 ? 0 :
		    why_set(why, "an edge has no mail of that state: write held or verdict");
	f->rows.by_state = true;
	return ledger_state_read(f->state, &f->rows.state) ? 0 :
	    why_set(why, "home has no mail of that state: write " LEDGER_STATE_WORDS);
}

static int
read_class(struct control_filter *f, const char *class, struct why *why)
{
	if (class == NULL)
		return 0;
	if (!park_class_read(class, &f->class))
		return why_set(why, "no such class of parked mail: write " PARK_CLASS_WORDS);
	f->by_class = true;
	f->rows.park = f->class;
	return 0;
}

int
control_filter_read(struct control_filter *f, struct writer *w, const json_t *q, struct why *why)
{
	enum conf_role role = writer_conf(w)->role;
	json_int_t older = json_integer_value(json_object_get(q, "older_ms"));
	json_int_t least = json_integer_value(json_object_get(q, "size"));

	*f = (struct control_filter){ .w = w,
		.state = json_string_value(json_object_get(q, "state")),
		.signer = json_string_value(json_object_get(q, "from")),
		.recipient = json_string_value(json_object_get(q, "recipient")) };
	f->rows.home = json_string_value(json_object_get(q, "home"));
	f->rows.after = json_integer_value(json_object_get(q, "after"));
	f->rows.before_ms = older > 0 ? wall_ms() - older : 0;
	f->rows.least = least > 0 ? (uint64_t)least : 0;
	f->rows.parked = json_is_true(json_object_get(q, "parked"));
	if (role == CONF_EDGE && f->rows.parked)
		return why_set(why, "nothing is parked at an edge: it holds until home takes it");
	if (role == CONF_EDGE && (f->recipient != NULL || f->signer != NULL ||
	    json_object_get(q, "class") != NULL))
		return why_set(why, "what an edge holds is sealed: recipients, classes and the "
		    "edge it came by are known at home; ask there");
	return read_state(f, role, why) == -1 ||
	    read_class(f, json_string_value(json_object_get(q, "class")), why) == -1 ? -1 : 0;
}

/* --- matching ----------------------------------------------------------------------------- */

static bool
is_recipient(const char *want, const struct ledger_entry *e)
{
	const char *at = strrchr(e->recipient, '@');
	size_t local = at != NULL ? (size_t)(at - e->recipient) : strlen(e->recipient);

	if (want[0] == '@')
		return at != NULL && strcasecmp(at, want) == 0;
	if (strchr(want, '@') != NULL)
		return strcasecmp(e->recipient, want) == 0;
	return strcasecmp(e->mailbox, want) == 0 ||
	    (strlen(want) == local && strncasecmp(e->recipient, want, local) == 0);
}

struct match {
	const struct control_filter *f;
	bool		 found;
};

static bool
match_entry(void *arg, const struct ledger_entry *e)
{
	struct match *m = arg;
	const struct control_filter *f = m->f;

	m->found = (f->recipient == NULL || is_recipient(f->recipient, e)) &&
	    (!f->rows.parked || e->state == LEDGER_PARKED) &&
	    (!f->by_class || (e->state == LEDGER_PARKED && e->park == f->class));
	return !m->found;
}

struct walk {
	struct control_filter *f;
	db_row_fn	*fn;
	void		*arg;
	struct why	*why;
	size_t		 n, max, cost, seen;
	int64_t		 last;
	bool		 more, failed;
};

/* 1 it fits, 0 it does not, -1 the database failed */
static int
fits(struct walk *k, const struct db_row *r)
{
	struct control_filter *f = k->f;
	enum conf_role role = writer_conf(f->w)->role;
	struct match m = { .f = f };

	if ((f->state != NULL && strcmp(f->state, control_state(role, r)) != 0) ||
	    (f->rows.before_ms != 0 && r->object.meta.received_ms >= f->rows.before_ms) ||
	    r->object.size < f->rows.least ||
	    (f->signer != NULL && strcasecmp(f->signer, r->object.meta.signer) != 0))
		return 0;
	if (f->recipient == NULL && !f->by_class)
		return 1;
	k->cost += ENTRIES_COST;
	if (db_entries(writer_db(f->w), r->object.row, match_entry, &m, k->why) == -1)
		return -1;
	return m.found;
}

static bool
on_row(void *arg, const struct db_row *r)
{
	struct walk *k = arg;
	int rc;

	if (k->n == k->max || k->cost >= SCAN_MAX) {
		k->more = true;
		return false;
	}
	k->cost++;
	k->seen++;
	k->last = r->object.row;
	if ((rc = fits(k, r)) == -1)
		k->failed = true;
	if (rc == 1) {
		k->n++;
		return k->fn(k->arg, r);
	}
	return rc == 0;
}

int
control_filter_walk(struct control_filter *f, unsigned max, db_row_fn *fn, void *arg,
    int64_t *more, struct why *why)
{
	struct walk k = { .f = f, .fn = fn, .arg = arg, .why = why, .max = max };
	int rc = db_rows(writer_db(f->w), &f->rows, on_row, &k, why);

	/* By what is parked the database looks no further by itself. */
	k.more |= (f->rows.parked || f->by_class) && k.seen == DB_PARK_ROWS;
	*more = k.more ? k.last : 0;
	return k.failed ? -1 : rc;
}

int
control_find(struct writer *w, const json_t *q, struct db_row *r, struct why *why)
{
	const char *text = json_string_value(json_object_get(q, "id"));
	unsigned long long row;
	struct uuid id;
	int rc;

	if (text == NULL)
		return why_set(why, "the question names no id");
	if (uuid_parse(span_str(text), &id))
		rc = db_find(writer_db(w), id, r, why);
	else if (span_u64(span_str(text), INT64_MAX, &row))
		rc = db_row_get(writer_db(w), (int64_t)row, r, why);
	else
		return why_set(why, "that is no id: it looks like "
		    "0198f3a1-7c2d-7e4b-9a51-3f0c2b8d6e17, as queue shows it");
	if (rc == 0)
		return why_set(why, "no such object here: %s", writer_conf(w)->role == CONF_EDGE ?
		    "it may have been handed over; `posthouse log` at home tells" :
		    uuid_parse(span_str(text), &id) ?
		    "it may have been delivered; `posthouse log` tells" :
		    "of what is gone `posthouse log` tells by the UUID");
	return rc == 1 ? 0 : -1;
}
