#include "ctl/ctl.h"

#include "base/clock.h"
#include "ctl/bucket_one.h"
#include "ctl/choose.h"
#include "ctl/client.h"
#include "ctl/opts.h"
#include "ctl/role.h"
#include "ctl/text.h"

/* show: everything that is known of one object without opening it. */
static const struct opts_use use = {
	"show", OPT_CONF | OPT_ROLE | OPT_CONTROL | OPT_JSON, 1, 1,
	"usage: posthouse show [-c FILE | --edge | --home | --control PATH] [--json] ID\n"
	"\n"
	"Shows one held object: where it came from, what was tried and what was answered.\n"
	"ID is its UUID, or the number of its row.  Where an edge has its spool in a bucket it\n"
	"may be the UUID of what waits there: the store knows less of it.\n"
	"\n"
	"  -c, --config FILE   the role's configuration\n"
	"      --edge, --home  the role's file in /etc/posthouse\n"
	"      --control PATH  a control socket, whatever its configuration says\n"
	"      --json          the same as one JSON object\n"
};

static void
value(const char *key, const json_t *v)
{
	struct shown name, text;

	shown(span_str(key), &name);
	if (json_is_string(v) && json_string_length(v) > 0)
		printf("%-14s  %s\n", name.s,
		    shown(span_of(json_string_value(v), json_string_length(v)), &text));
	else if (json_is_integer(v))
		printf("%-14s  %lld\n", name.s, (long long)json_integer_value(v));
	else if (json_is_boolean(v))
		printf("%-14s  %s\n", name.s, json_is_true(v) ? "yes" : "no");
}

static int
deliveries(const json_t *list, struct why *why)
{
	static const char *const headings[] = {
		"PART", "RECIPIENT", "MAILBOX", "STATE", "NEXT TRY", "REASON",
	};
	struct table *t;
	const json_t *e;
	struct buf out;
	size_t i;
	int rc = 0;

	if (json_array_size(list) == 0)
		return 0;
	if ((t = table_new(headings, 6)) == NULL)
		return why_sys(why, "memory");
	json_array_foreach(list, i, e) {
		char part[24];

		snprintf(part, sizeof(part), "%lld", (long long)json_number(e, "part"));
		table_str(t, part);
		table_str(t, json_text(e, "recipient"));
		table_str(t, json_text(e, "mailbox"));
		table_str(t, json_text(e, "state"));
		table_str(t, json_text(e, "next"));
		table_str(t, json_text(e, "reason"));
	}
	buf_init(&out, 4u << 20);
	buf_add_str(&out, "\n");
	if (!table_print(t, text_colour(stdout), &out))
		rc = why_set(why, "too many deliveries to show as a table; use --json");
	else if (fwrite(out.p, 1, out.n, stdout) != out.n)
		rc = why_sys(why, "standard output");
	buf_fini(&out);
	table_free(&t);
	return rc;
}

/* Moments are there twice: for people, and in milliseconds for programs. */
static bool
ends_ms(const char *key)
{
	size_t n = strlen(key);

	return n >= 3 && strcmp(key + n - 3, "_ms") == 0;
}

static int
print(json_t *object, bool json, struct why *why)
{
	const char *key;
	json_t *v;

	if (json)
		return text_json(object, why);
	json_object_foreach(object, key, v)
		if (!json_is_array(v) && !ends_ms(key))
			value(key, v);
	printf("%-14s  %s\n", "age", brief_age(wall_ms() - json_number(object, "received_ms")).s);
	return deliveries(json_object_get(object, "deliveries"), why);
}

/* What it holds itself, else what waits in the bucket that is its spool. */
static int
show(struct asking *a, const struct opts *o, struct why *why)
{
	const struct conf_bucket *b;
	struct why words;
	json_t *there;
	int rc;

	if (asking_begin(a, o, json_pack("{s:s, s:s}", "do", "show", "id", o->args[0]), why) == 0)
		return print(json_object_get(a->answer, "object"), o->json, why);
	if ((b = bucket_spool(&a->role)) == NULL)
		return -1;
	if ((rc = bucket_show(a->role.common, b, o->args[0], &there, &words)) != 1) {
		bucket_nor(b, rc, &words, why);
		return -1;
	}
	rc = print(there, o->json, why);
	json_decref(there);
	return rc;
}

int
ctl_show(int argc, char **argv)
{
	struct asking a = { .client = NULL };
	struct opts o;
	struct why why;
	int rc = opts_parse(argc, argv, &use, &o);

	if (rc != -1 || (rc = choose_ids(&use, &o)) != -1)
		return rc;
	rc = show(&a, &o, &why) == 0 ? CTL_OK : opts_failed(&use, &why);
	asking_fini(&a);
	return rc;
}
