#include "store/control_answer.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "proto/smtp_reply.h"
#include "store/control.h"
#include "store/control_filter.h"
#include "store/db.h"
#include "store/ledger_words.h"
#include "store/writer.h"

/* queue, show and cat: what is held, one object, its sealed octets. */
#define QUEUE_REASON_MAX 240	/* octets of an object's; show has each part's whole */

static json_t *
row_json(enum conf_role role, const struct db_row *r)
{
	const struct spool_meta *m = &r->object.meta;
	struct netaddr zero = { .port = 0 };
	json_t *o = json_pack("{s:s, s:I, s:I, s:o, s:o, s:s, s:o, s:I, s:s, s:I, s:o}",
	    "id", uuid_text(m->id).s,
	    "row", (json_int_t)r->object.row,
	    "size", (json_int_t)r->object.size,
	    "home", answer_text(m->home, sizeof(m->home)),
	    "signer", answer_text(m->signer, sizeof(m->signer)),
	    "origin", origin_word(m->origin),
	    "received", answer_moment(m->received_ms),
	    "received_ms", (json_int_t)m->received_ms,
	    "state", control_state(role, r),
	    "tries", (json_int_t)r->object.tries,
	    "reason", answer_text(r->reason, sizeof(r->reason)));

	json_object_set_new(o, "file", json_boolean(r->large));
	if (role == CONF_EDGE && memcmp(m->client_net.ip, zero.ip, sizeof(zero.ip)) != 0)
		json_object_set_new(o, "client_network", json_string(netaddr_cidr(&m->client_net,
		    SPOOL_NET_V4, SPOOL_NET_V6).s));
	if (role == CONF_HOME && r->due_ms > 0) {
		json_object_set_new(o, "next", answer_moment(r->due_ms));
		json_object_set_new(o, "next_ms", json_integer(r->due_ms));
	}
	return o;
}

/* Why a part is not delivered, on one line: what was answered, or why it is parked. */
static json_t *
entry_reason(const struct ledger_entry *e, size_t max)
{
	char line[SMTP_REPLY_TEXT_MAX + 64];
	size_t n;

	if (e->reply.code == 0)
		return json_string(park_class_phrase(e->park));
	n = (size_t)snprintf(line, sizeof(line), "%u ", e->reply.code);
	if (e->reply.enhanced[0] != 0)
		n += (size_t)snprintf(line + n, sizeof(line) - n, "%u.%u.%u ", e->reply.enhanced[0],
		    e->reply.enhanced[1], e->reply.enhanced[2]);
	snprintf(line + n, sizeof(line) - n, "%s", e->reply.text);
	for (char *p = line; *p != '\0'; p++)
		if (*p == '\n')
			*p = ' ';
	return answer_text(line, max < sizeof(line) ? max : sizeof(line));
}

static bool
first_reason(void *arg, const struct ledger_entry *e)
{
	json_t *row = arg;

	if (e->state == LEDGER_DELIVERED || (e->reply.code == 0 && e->park == PARK_NONE))
		return true;
	if (e->park != PARK_NONE)
		json_object_set_new(row, "class", json_string(park_class_word(e->park)));
	json_object_set_new(row, "reason", entry_reason(e, QUEUE_REASON_MAX));
	return false;
}

struct page {
	enum conf_role	role;
	json_t		*rows;
};

static bool
page_row(void *arg, const struct db_row *r)
{
	struct page *p = arg;

	return json_array_append_new(p->rows, row_json(p->role, r)) == 0;
}

json_t *
answer_queue(struct writer *w, const json_t *q)
{
	const json_int_t max = json_integer_value(json_object_get(q, "max"));
	struct page p = { .role = writer_conf(w)->role };
	struct control_filter f;
	struct why why;
	json_t *o, *row;
	int64_t more;
	size_t i;

	if (control_filter_read(&f, w, q, &why) == -1)
		return answer_misused(&why);
	p.rows = json_array();
	if (control_filter_walk(&f, max > 0 && max < CONTROL_QUEUE_PAGE ? (unsigned)max :
	    CONTROL_QUEUE_PAGE, page_row, &p, &more, &why) == -1) {
		json_decref(p.rows);
		return answer_failed(&why);
	}
	if (p.role == CONF_HOME)
		json_array_foreach(p.rows, i, row) {
			int64_t at = json_integer_value(json_object_get(row, "row"));

			if (db_entries(writer_db(w), at, first_reason, row, &why) == -1) {
				json_decref(p.rows);
				return answer_failed(&why);
			}
		}
	o = answer_ok();
	json_object_set_new(o, "objects", p.rows);
	if (more != 0)
		json_object_set_new(o, "more", json_integer(more));
	return o;
}

static bool
add_entry(void *arg, const struct ledger_entry *e)
{
	json_t *o = json_pack("{s:I, s:s, s:o, s:o, s:o, s:o}",
	    "part", (json_int_t)e->part,
	    "state", ledger_state_word(e->state),
	    "recipient", answer_text(e->recipient, sizeof(e->recipient)),
	    "mailbox", answer_text(e->mailbox, sizeof(e->mailbox)),
	    "name", answer_text(e->name, sizeof(e->name)),
	    "reason", entry_reason(e, SIZE_MAX));

	if (e->park != PARK_NONE)
		json_object_set_new(o, "parked", json_string(park_class_phrase(e->park)));
	if (e->state == LEDGER_DEFERRED || e->state == LEDGER_UNCERTAIN)
		json_object_set_new(o, "next", answer_moment(e->next_ms));
	return json_array_append_new(arg, o) == 0;
}

json_t *
answer_show(struct writer *w, const json_t *q)
{
	enum conf_role role = writer_conf(w)->role;
	struct db_row r;
	struct why why;
	json_t *o, *object, *list;

	if (control_find(w, q, &r, &why) == -1)
		return answer_failed(&why);
	object = row_json(role, &r);
	if (role == CONF_HOME) {
		list = json_array();
		json_object_set_new(object, "deliveries", list);
		json_object_set_new(object, "provisional", json_boolean(r.object.meta.verdict));
		if (db_entries(writer_db(w), r.object.row, first_reason, object, &why) == -1 ||
		    db_entries(writer_db(w), r.object.row, add_entry, list, &why) == -1) {
			json_decref(object);
			return answer_failed(&why);
		}
	}
	o = answer_ok();
	json_object_set_new(o, "object", object);
	return o;
}

void
answer_cat(struct writer *w, const json_t *q, struct control_answer *out)
{
	json_int_t head = json_integer_value(json_object_get(q, "head"));
	struct db_content content = { .fd = -1 };
	struct db_row r;
	struct why why;
	int rc;

	if (control_find(w, q, &r, &why) == -1) {
		out->line = answer_failed(&why);
		return;
	}
	rc = db_content(writer_db(w), r.object.row, &content, &why);
	if (rc != 1) {
		if (rc == 0)
			why_set(&why, "its octets are not here any more");
		out->line = answer_failed(&why);
		return;
	}
	out->noctets = r.object.size;
	if (head > 0 && (uint64_t)head < out->noctets)
		out->noctets = (uint64_t)head;
	out->fd = content.fd;
	if (content.fd == -1) {
		size_t n = out->noctets < content.data.n ? (size_t)out->noctets : content.data.n;

		buf_init(&out->octets, n > 0 ? n : 1);
		buf_add(&out->octets, content.data.p, n);
		out->noctets = n;
	}
	db_content_end(writer_db(w));
	if (out->octets.failed) {
		why_set(&why, "memory is out");
		out->line = answer_failed(&why);
		return;
	}
	out->line = json_pack("{s:b, s:s, s:I, s:I}", "ok", 1, "id", uuid_text(r.object.meta.id).s,
	    "size", (json_int_t)r.object.size, "octets", (json_int_t)out->noctets);
}
