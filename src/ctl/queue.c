#include "ctl/ctl.h"

#include <string.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "ctl/bucket_list.h"
#include "ctl/bucket_one.h"
#include "ctl/choose.h"
#include "ctl/client.h"
#include "ctl/opts.h"
#include "ctl/role.h"
#include "ctl/text.h"
#include "store/control.h"

/* queue: what is held, oldest first.  Pages keep the writer's turns and our memory short. */
static const struct opts_use use = {
	"queue", OPT_CONF | OPT_ROLE | OPT_CONTROL | OPT_JSON | OPT_FILTER | OPT_CHOOSE, 0, 0,
	"usage: posthouse queue [-c FILE | --edge | --home | --control PATH] [--json]\n"
	"                       [FILTER...] [-n COUNT]\n"
	"\n"
	"Lists what is held, oldest first: its age, why it waits, when it is tried next.  Where\n"
	"an edge has its spool in a bucket, what waits there comes last, whichever edge put it\n"
	"there; for which home it is, is sealed.\n"
	"\n"
	"  -c, --config FILE   the role's configuration\n"
	"      --edge, --home  the role's file in /etc/posthouse\n"
	"      --control PATH  a control socket, whatever its configuration says\n"
	CHOOSE_USAGE
	"  -n, --count COUNT   at most so many\n"
	"      --json          an array of objects\n"
};

/* Where the objects of a page go. */
struct listing {
	struct table	*table;			/* NULL: JSON */
	struct progress	 progress;
	unsigned long long n;
	bool		 filtered;
};

static struct brief
next_try(const json_t *o)
{
	int64_t ms = json_number(o, "next_ms") - wall_ms();

	return json_number(o, "next_ms") == 0 ? (struct brief){ "" } : ms <= 0 ?
	    (struct brief){ "now" } : brief_age(ms);
}

static void
row(struct table *t, const json_t *o)
{
	char text[32];

	table_str(t, json_text(o, "id"));
	table_str(t, brief_age(wall_ms() - json_number(o, "received_ms")).s);
	table_str(t, brief_size((uint64_t)json_number(o, "size")).s);
	table_str(t, json_text(o, "state"));
	table_str(t, json_text(o, "home"));
	snprintf(text, sizeof(text), "%lld", (long long)json_number(o, "tries"));
	table_str(t, text);
	table_str(t, next_try(o).s);
	table_str(t, json_text(o, "reason"));
}

static int
add(struct listing *l, const json_t *object, struct why *why)
{
	if (l->table != NULL)
		row(l->table, object);
	else {
		fputs(l->n > 0 ? ",\n  " : "[\n  ", stdout);
		if (json_dumpf(object, stdout, JSON_ENSURE_ASCII) == -1)
			return why_sys(why, "standard output");
	}
	l->n++;
	return 0;
}

/* One page, from `after` on; where the next begins, 0: that was all, -1: failed. */
static int64_t
page(struct client *c, const struct opts *o, int64_t after, struct listing *l, struct why *why)
{
	unsigned long long left = o->count > 0 ? o->count - l->n : CONTROL_QUEUE_PAGE;
	json_t *question = json_pack("{s:s, s:I, s:I}", "do", "queue", "after", (json_int_t)after,
	    "max", (json_int_t)(left < CONTROL_QUEUE_PAGE ? left : CONTROL_QUEUE_PAGE));
	json_t *answer, *object;
	int64_t more;
	size_t i;

	choose_question(o, question);
	if ((answer = client_ask(c, question, why)) == NULL)
		return -1;
	json_array_foreach(json_object_get(answer, "objects"), i, object)
		if (add(l, object, why) == -1) {
			json_decref(answer);
			return -1;
		}
	more = json_number(answer, "more");
	json_decref(answer);
	return o->count > 0 && l->n >= o->count ? 0 : more;
}

/* --- in the bucket that is an edge's spool ------------------------------------------------ */

/*
 * As the edge's own rows are, but that its home is inside the seal.  What has no name of ours is
 * shown by the name that it has.
 */
static json_t *
waiting_row(const struct bucket_list *list, const struct waiting *w)
{
	const char *name = waiting_name(list, w);
	size_t n = strlen(w->bucket->prefix);
	struct uuid u;
	struct shown text;
	char iso[40], reason[100];
	bool ours;

	name += strncmp(name, w->bucket->prefix, n) == 0 ? n : 0;	/* a store may lie */
	ours = s3_held_name(span_str(name), &u);
	wall_iso(w->modified_ms, iso, sizeof(iso));
	snprintf(reason, sizeof(reason), "%s %s", ours ? "in bucket" : "no mail of ours in bucket",
	    w->bucket->name);
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:I, s:s}",
	    "id", ours ? uuid_text(u).s : shown(span_str(name), &text),
	    "home", "", "bucket", w->bucket->name, "state", "held",
	    "size", (json_int_t)w->size,
	    "received", iso, "received_ms", (json_int_t)w->modified_ms, "reason", reason);
}

static int
add_waiting(const struct bucket_list *list, const struct opts *o, struct listing *l,
    struct why *why)
{
	int64_t now = wall_ms();
	json_t *object;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < list->n && (o->count == 0 || l->n < o->count); i++) {
		const struct waiting *w = &list->list[i];

		if (now - w->modified_ms < o->older_ms || w->size < o->octets)
			continue;
		if ((object = waiting_row(list, w)) == NULL)
			return why_set(why, "memory is out");
		rc = add(l, object, why);
		json_decref(object);
	}
	return rc;
}

static int
in_bucket(const struct role *r, const struct conf_bucket *b, const struct opts *o,
    struct listing *l, struct why *why)
{
	struct bucket_list list;
	int rc;

	if ((o->state != NULL && strcmp(o->state, "held") != 0) ||
	    (o->count > 0 && l->n >= o->count))
		return 0;
	if (o->of != NULL)
		return why_set(why, "what waits in bucket %s does not say for which home it is; "
		    "leave --of out to see all of it", b->name);
	bucket_list_init(&list);
	if ((rc = bucket_list_add(&list, r->common, b, why)) == 0) {
		bucket_list_sort(&list);
		rc = add_waiting(&list, o, l, why);
	}
	bucket_list_fini(&list);
	return rc;
}

/* --- all of it ------------------------------------------------------------------------------ */

static int
print_table(const struct listing *l, bool edge, struct why *why)
{
	struct buf out;
	int rc = 0;

	if (l->n == 0) {
		puts(l->filtered ? "Nothing fits." : edge ? "Nothing is held." : "Nothing waits.");
		return 0;
	}
	buf_init(&out, 256u << 20);
	if (!table_print(l->table, text_colour(stdout), &out))
		rc = why_set(why, "too many to show as a table; use -n COUNT or --json");
	else if (fwrite(out.p, 1, out.n, stdout) != out.n)
		rc = why_sys(why, "standard output");
	buf_fini(&out);
	return rc;
}

static int
print(const struct listing *l, bool edge, struct why *why)
{
	if (l->table != NULL)
		return print_table(l, edge, why);
	fputs(l->n > 0 ? "\n]\n" : "[]\n", stdout);
	return fflush(stdout) == EOF ? why_sys(why, "standard output") : 0;
}

static int
list(const struct asking *a, const struct opts *o, struct why *why)
{
	static const char *const headings[] = {
		"ID", ">AGE", ">SIZE", "STATE", "HOME", ">TRIES", ">NEXT", "REASON",
	};
	const struct conf_bucket *b = bucket_spool(&a->role);
	struct listing l = { .filtered = choose_any(o) };
	int64_t at = 0, next;
	struct why words;
	int rc = 0;

	if (!o->json && (l.table = table_new(headings, 8)) == NULL)
		return why_sys(why, "memory");
	progress_begin(&l.progress);
	while ((next = page(a->client, o, at, &l, why)) > at) {
		at = next;
		if (!o->json)
			progress_tell(&l.progress, "listed", l.n);
	}
	progress_end(&l.progress);
	if (next == -1)
		rc = -1;
	else if (b != NULL)
		rc = in_bucket(&a->role, b, o, &l, why);
	/* A store that cannot be asked hides nothing of what lies here. */
	if (next != -1 && (rc == 0 || l.n > 0 || o->json) &&
	    print(&l, a->role.role == CONF_EDGE, &words) == -1)
		rc = why_set(why, "%s", words.text);
	table_free(&l.table);
	return rc;
}

int
ctl_queue(int argc, char **argv)
{
	struct opts o;
	struct asking a = { .client = NULL };
	struct why why;
	int rc = opts_parse(argc, argv, &use, &o);

	if (rc != -1)
		return rc;
	if (asking_connect(&a, &o, &why) == 0 &&
	    list(&a, &o, &why) == 0)
		rc = CTL_OK;
	else
		rc = asking_failed(&a, &use, &why);
	asking_fini(&a);
	return rc;
}
