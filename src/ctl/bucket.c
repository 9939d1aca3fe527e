#include "ctl/ctl.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "ctl/bucket_check.h"
#include "ctl/bucket_list.h"
#include "ctl/bucket_one.h"
#include "ctl/opts.h"
#include "ctl/role.h"
#include "ctl/text.h"

/* bucket ls, check, cat: what waits in a store, and whether it could be put there and taken. */
static const struct opts_use use = {
	"bucket", OPT_CONF | OPT_ROLE | OPT_JSON, 1, 3,
	"usage: posthouse bucket ls|check [-c FILE | --edge | --home] [--json] [NAME]\n"
	"       posthouse bucket cat [-c FILE | --edge | --home] ID [NAME] >FILE\n"
	"\n"
	"Asks the buckets of home's configuration, or the one of that NAME, or the bucket that is\n"
	"an edge's spool; neither need be running.\n"
	"\n"
	"  ls      what waits there, oldest first\n"
	"  check   whether the credentials may list, write, read and delete, with an object of\n"
	"          its own below posthouse-check/ that is deleted again; whether the store\n"
	"          honours conditions; when its lifecycle rules delete mail; whether the clocks\n"
	"          agree.  What is wrong is told with what to do, and exit status 1.\n"
	"  cat     the sealed object itself to standard output: an age file\n"
	"\n"
	"  -c, --config FILE   the role's configuration\n"
	"      --edge, --home  the role's file in /etc/posthouse\n"
	"      --json          an array of objects\n"
};

static int
print_json(const struct bucket_list *l, struct why *why)
{
	int64_t now = wall_ms();
	struct shown text;
	char iso[40];

	putchar('[');
	for (size_t i = 0; i < l->n; i++) {
		const struct waiting *w = &l->list[i];
		const char *name = waiting_name(l, w);
		json_t *key = json_string(name), *o;

		if (key == NULL)		/* it is no UTF-8 */
			key = json_string(shown(span_str(name), &text));
		wall_iso(w->modified_ms, iso, sizeof(iso));
		o = json_pack("{s:s, s:o, s:I, s:s, s:I}", "bucket", w->bucket->name, "key", key,
		    "size", (json_int_t)w->size, "modified", iso,
		    "age_s", (json_int_t)((now - w->modified_ms) / 1000));
		fputs(i > 0 ? ",\n  " : "\n  ", stdout);
		if (json_dumpf(o, stdout, JSON_ENSURE_ASCII) == -1) {
			json_decref(o);
			return why_sys(why, "standard output");
		}
		json_decref(o);
	}
	fputs(l->n > 0 ? "\n]\n" : "]\n", stdout);
	return fflush(stdout) == EOF ? why_sys(why, "standard output") : 0;
}

static int
print_table(const struct bucket_list *l, struct why *why)
{
	static const char *const headings[] = { ">AGE", ">SIZE", "BUCKET", "NAME" };
	struct table *t = table_new(headings, 4);
	int64_t now = wall_ms();
	struct buf out;
	int rc = 0;

	if (t == NULL)
		return why_sys(why, "memory");
	for (size_t i = 0; i < l->n; i++) {
		table_str(t, brief_age(now - l->list[i].modified_ms).s);
		table_str(t, brief_size(l->list[i].size).s);
		table_str(t, l->list[i].bucket->name);
		table_str(t, waiting_name(l, &l->list[i]));
	}
	buf_init(&out, 256u << 20);
	if (!table_print(t, text_colour(stdout), &out))
		rc = why_set(why, "too many to show as a table; use --json");
	else if (fwrite(out.p, 1, out.n, stdout) != out.n)
		rc = why_sys(why, "standard output");
	else
		printf("%zu %s, %s, the oldest for %s.\n", l->n, l->n == 1 ? "object" : "objects",
		    brief_size(l->octets).s, brief_age(now - l->list[0].modified_ms).s);
	buf_fini(&out);
	table_free(&t);
	return rc;
}

static int
print(struct bucket_list *l, bool json, struct why *why)
{
	bucket_list_sort(l);
	if (json)
		return print_json(l, why);
	if (l->n > 0)
		return print_table(l, why);
	puts("Nothing waits.");
	return 0;
}

struct which {
	const struct role *role;
	const struct conf_bucket *list;
	size_t		 n;
};

/* Those that can be asked are shown, whatever the others say. */
static int
list(const struct which *w, bool json)
{
	struct bucket_list l;
	struct why why;
	int rc = CTL_OK;

	bucket_list_init(&l);
	for (size_t i = 0; i < w->n; i++)
		if (bucket_list_add(&l, w->role->common, &w->list[i], &why) == -1)
			rc = opts_failed(&use, &why);
	if ((rc == CTL_OK || l.n > 0 || json) && print(&l, json, &why) == -1)
		rc = opts_failed(&use, &why);
	bucket_list_fini(&l);
	return rc;
}

struct checked {
	const struct conf_bucket *bucket;
	json_t		*list;		/* NULL: standard output */
	struct progress	 progress;
	bool		 failed;
};

static void
on_finding(void *arg, const struct finding *f)
{
	static const char *const words[] = { "ok", "warning", "failed" };
	struct checked *c = arg;
	bool red = f->state != FINDING_OK && c->list == NULL && text_colour(stdout);
	struct shown text;
	struct why why;

	why_set(&why, "%s%s%s", f->text, f->advice[0] != '\0' ? ": " : "", f->advice);
	shown(span_str(why.text), &text);
	c->failed |= f->state == FINDING_FAIL;
	progress_end(&c->progress);
	if (c->list == NULL)
		printf("  %s%-7s%s  %-11s  %s\n", red ? TEXT_ALARM : "", words[f->state],
		    red ? TEXT_PLAIN : "", f->check, text.s);
	else
		json_array_append_new(c->list, json_pack("{s:s, s:s, s:s, s:s}", "bucket",
		    c->bucket->name, "step", f->check, "result", words[f->state], "text", text.s));
	fflush(stdout);
}

static void
on_wait(void *arg)
{
	struct checked *c = arg;

	progress_tell(&c->progress, "seconds:",
	    (unsigned long long)instant_ms_since(c->progress.began, instant_now()) / 1000);
}

static int
check(const struct which *w, bool json)
{
	struct checked c = { .list = json ? json_array() : NULL };
	const struct findings to = { on_finding, on_wait, &c };

	for (size_t i = 0; i < w->n; i++) {
		c.bucket = &w->list[i];
		if (!json)
			printf("%s: bucket %s at %s\n", c.bucket->name, c.bucket->bucket,
			    c.bucket->endpoint);
		progress_begin(&c.progress);
		bucket_check(w->role, c.bucket, &to);
		progress_end(&c.progress);
	}
	if (json) {
		json_dumpf(c.list, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
		putchar('\n');
	}
	json_decref(c.list);
	return c.failed ? CTL_FAILED : CTL_OK;
}

/* -1 with why: the configuration has none, or none of that name. */
static int
choose_bucket(struct which *w, const struct role *r, const char *name, struct why *why)
{
	bool edge = r->role == CONF_EDGE;

	*w = (struct which){ r, edge ? r->edge->bucket : r->home->buckets,
		edge ? r->edge->nbuckets : r->home->nbuckets };
	if (w->n == 0)
		return why_set(why, "%s has no bucket \"NAME\" {...}", r->file);
	for (size_t i = 0; name != NULL && i < w->n; i++)
		if (strcmp(w->list[i].name, name) == 0) {
			w->list += i;
			w->n = 1;
			return 0;
		}
	return name == NULL ? 0 : why_set(why, "%s has no bucket \"%.60s\"", r->file, name);
}

static int
cat(const struct which *w, const char *id)
{
	struct why why;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < w->n; i++)
		rc = bucket_cat(w->role->common, &w->list[i], id, &why);
	if (rc == 0)
		rc = why_set(&why, "nothing waits there by the name of %.60s", id);
	return rc == 1 ? CTL_OK : opts_failed(&use, &why);
}

int
ctl_bucket(int argc, char **argv)
{
	struct which which;
	struct role role;
	struct opts o;
	struct why why;
	int rc = opts_parse(argc, argv, &use, &o);
	struct uuid id;
	bool ls, cats;
	size_t most;

	if (rc != -1)
		return rc;
	ls = strcmp(o.args[0], "ls") == 0;
	cats = strcmp(o.args[0], "cat") == 0;
	most = cats ? 3 : 2;
	if (!ls && !cats && strcmp(o.args[0], "check") != 0)
		return opts_misused(&use, "ls, check or cat, not", o.args[0]);
	if (cats && o.nargs == 1)
		return opts_misused(&use, "which object? Its id, please", NULL);
	if (cats && !uuid_parse(span_str(o.args[1]), &id))
		return opts_misused(&use, "an ID is the UUID in a name that ls shows, not",
		    o.args[1]);
	if (o.nargs > most)
		return opts_misused(&use, "too much:", o.args[most]);
	if (cats && isatty(STDOUT_FILENO))
		return opts_misused(&use, "a sealed object is not for a terminal: send it to a "
		    "file or to `age -d`", NULL);
	if (role_load(&role, &o, CONF_NO_ROLE, &why) == -1 ||
	    choose_bucket(&which, &role, o.nargs == most ? o.args[most - 1] : NULL, &why) == -1)
		rc = opts_failed(&use, &why);
	else
		rc = cats ? cat(&which, o.args[1]) : ls ? list(&which, o.json) :
		    check(&which, o.json);
	role_fini(&role);
	return rc;
}
