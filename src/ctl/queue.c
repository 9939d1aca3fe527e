#include "ctl/ctl.h"

#include "base/clock.h"
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
	"Lists what is held, oldest first: its age, why it waits, when it is tried next.\n"
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

	if (choose_question(o, question, why) == -1) {
		json_decref(question);
		return -1;
	}
	if ((answer = client_ask(c, question, why)) == NULL)
		return -1;
	json_array_foreach(json_object_get(answer, "objects"), i, object) {
		if (l->table != NULL)
			row(l->table, object);
		else {
			fputs(l->n > 0 ? ",\n  " : "\n  ", stdout);
			if (json_dumpf(object, stdout, JSON_ENSURE_ASCII) == -1) {
				json_decref(answer);
				return why_sys(why, "standard output");
			}
		}
		l->n++;
	}
	more = json_number(answer, "more");
	json_decref(answer);
	return o->count > 0 && l->n >= o->count ? 0 : more;
}

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
list(struct client *c, const struct opts *o, bool edge, struct why *why)
{
	static const char *const headings[] = {
		"ID", ">AGE", ">SIZE", "STATE", "HOME", ">TRIES", ">NEXT", "REASON",
	};
	struct listing l = { .filtered = choose_any(o) };
	int64_t at = 0, next;
	int rc = 0;

	if (!o->json && (l.table = table_new(headings, 8)) == NULL)
		return why_sys(why, "memory");
	if (o->json)
		putchar('[');
	progress_begin(&l.progress);
	while ((next = page(c, o, at, &l, why)) > at) {
		at = next;
		if (!o->json)
			progress_tell(&l.progress, "listed", l.n);
	}
	progress_end(&l.progress);
	if (next == -1)
		rc = -1;
	else if (o->json) {
		fputs(l.n > 0 ? "\n]\n" : "]\n", stdout);
		if (fflush(stdout) == EOF)
			rc = why_sys(why, "standard output");
	} else
		rc = print_table(&l, edge, why);
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
	    list(a.client, &o, a.role.role == CONF_EDGE, &why) == 0)
		rc = CTL_OK;
	else
		rc = opts_failed(&use, &why);
	if (rc == CTL_OK && !o.json && a.role.edge != NULL && a.role.edge->nbuckets > 0)
		printf("New mail is kept in bucket %s: see `posthouse bucket ls`.\n",
		    a.role.edge->bucket[0].name);
	asking_fini(&a);
	return rc;
}
