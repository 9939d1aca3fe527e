#include "ctl/ctl.h"

#include <stdio.h>
#include <unistd.h>

#include "ctl/choose.h"
#include "ctl/client.h"
#include "ctl/opts.h"
#include "ctl/role.h"
#include "ctl/text.h"

/* retry, park, unpark, drop: the operator's hand on what is held. */
#define IDS_MAX	1000

static const struct opts_use retry_use = {
	"retry", OPT_CONF | OPT_ROLE | OPT_CONTROL | OPT_JSON | OPT_ALL | OPT_PARKED | OPT_FILTER |
	    OPT_CHOOSE, 0, IDS_MAX,
	"usage: posthouse retry [-c FILE | --edge | --home | --control PATH] [--json] ID...\n"
	"       posthouse retry [...] --all | --parked [FILTER...]\n"
	"\n"
	"Tries now what waits: at an edge all of it, whichever is named.  At home what is parked\n"
	"is tried too where it is named, or with --parked: routed anew, by the mailboxes and\n"
	"keys of today.\n"
	"\n"
	"  -c, --config FILE   the role's configuration\n"
	"      --edge, --home  the role's file in /etc/posthouse\n"
	"      --control PATH  a control socket, whatever its configuration says\n"
	"      --all           all that waits\n"
	"      --parked        all that is parked\n"
	CHOOSE_USAGE
	"      --json          how many, as an object\n"
};

static const struct opts_use park_use = {
	"park", OPT_CONF | OPT_CONTROL | OPT_JSON, 1, IDS_MAX,
	"usage: posthouse park [-c FILE | --control PATH] [--json] ID...\n"
	"\n"
	"At home: is not delivered any more, and kept, until `retry` or `unpark`.\n"
	"\n"
	"  -c, --config FILE   home's configuration; /etc/posthouse/home.conf\n"
	"      --control PATH  a control socket, whatever its configuration says\n"
	"      --json          how many, as an object\n"
};

static const struct opts_use unpark_use = {
	"unpark", OPT_CONF | OPT_CONTROL | OPT_JSON | OPT_TO, 1, IDS_MAX,
	"usage: posthouse unpark [-c FILE | --control PATH] [--json] --to MAILBOX ID...\n"
	"\n"
	"At home: delivers what is parked to this mailbox, whatever its address says.\n"
	"`retry` is what sends it where its address says.\n"
	"\n"
	"  -c, --config FILE   home's configuration; /etc/posthouse/home.conf\n"
	"      --control PATH  a control socket, whatever its configuration says\n"
	"      --to MAILBOX    an existing mailbox\n"
	"      --json          how many, as an object\n"
};

static const struct opts_use drop_use = {
	"drop", OPT_CONF | OPT_ROLE | OPT_CONTROL | OPT_JSON | OPT_YES, 1, IDS_MAX,
	"usage: posthouse drop [-c FILE | --edge | --home | --control PATH] [--json] [--yes]\n"
	"                      ID...\n"
	"\n"
	"Throws held mail away; nobody is told, and it does not come back.\n"
	"At an edge one that is on its way home just now may arrive all the same.\n"
	"\n"
	"  -c, --config FILE   the role's configuration\n"
	"      --edge, --home  the role's file in /etc/posthouse\n"
	"      --control PATH  a control socket, whatever its configuration says\n"
	"      --yes           do not ask; compulsory where nobody can be asked\n"
	"      --json          how many, as an object\n"
};

static json_t *
question(const struct opts *o, const char *act)
{
	json_t *q = json_pack("{s:s, s:s}", "do", "act", "act", act);

	if (o->to != NULL)
		json_object_set_new(q, "to", json_string(o->to));
	return q;
}

/* Each that was named: what fails is said, and the others are done all the same. */
static int
named(const struct asking *a, const struct opts_use *use, const struct opts *o, const char *act,
    unsigned long long *changed)
{
	int rc = CTL_OK;

	for (size_t i = 0; i < o->nargs; i++) {
		json_t *q = question(o, act), *answer;
		struct why why, which;
		struct shown id;

		json_object_set_new(q, "id", json_string(o->args[i]));
		if ((answer = client_ask(a->client, q, &why)) == NULL) {
			why_set(&which, "%.60s: %.440s", shown(span_str(o->args[i]), &id),
			    why.text);
			rc = asking_failed(a, use, o->nargs > 1 ? &which : &why);
			continue;
		}
		*changed += (unsigned long long)json_number(answer, "changed");
		json_decref(answer);
	}
	return rc;
}

/* Page by page, so that none of the role's turns is long. */
static int
chosen(struct client *c, const struct opts *o, const char *act, unsigned long long *changed,
    struct why *why)
{
	struct progress p;
	int64_t at = 0, next;

	progress_begin(&p);
	do {
		json_t *q = question(o, act), *answer;

		json_object_set_new(q, "all", json_true());
		json_object_set_new(q, "after", json_integer(at));
		choose_question(o, q);
		if ((answer = client_ask(c, q, why)) == NULL) {
			progress_end(&p);
			return -1;
		}
		*changed += (unsigned long long)json_number(answer, "changed");
		next = json_number(answer, "more");
		json_decref(answer);
		at = next > at ? next : 0;
		progress_tell(&p, "done", *changed);
	} while (at > 0);
	progress_end(&p);
	return 0;
}

static void
tell(const struct opts *o, const char *done, unsigned long long changed)
{
	if (o->json)
		printf("{\"changed\": %llu}\n", changed);
	else if (o->nargs > 1 || o->all || o->parked)
		printf("%llu %s\n", changed, done);
}

/* A mailbox by mistake would be a new one, which nobody reads. */
static bool
there_is(struct client *c, const char *mailbox, struct why *why)
{
	json_t *answer = client_ask(c,
	    json_pack("{s:s, s:s}", "do", "route", "mailbox", mailbox), why);

	json_decref(answer);
	return answer != NULL;
}

static int
run(const struct opts_use *use, const struct opts *o, const char *act, const char *done)
{
	struct asking a = { .client = NULL };
	unsigned long long changed = 0;
	struct why why;
	int rc = CTL_OK;

	if (asking_connect(&a, o, &why) == -1) {
		rc = opts_failed(use, &why);
	} else {
		if (o->to != NULL && !there_is(a.client, o->to, &why))
			rc = opts_failed(use, &why);
		else if (o->nargs > 0)
			rc = named(&a, use, o, act, &changed);
		else if (chosen(a.client, o, act, &changed, &why) == -1)
			rc = asking_failed(&a, use, &why);
		if (rc == CTL_OK || changed > 0)
			tell(o, done, changed);
	}
	asking_fini(&a);
	return rc;
}

int
ctl_retry(int argc, char **argv)
{
	struct opts o;
	int rc = opts_parse(argc, argv, &retry_use, &o);

	if (rc != -1 || (rc = choose_ids(&retry_use, &o)) != -1)
		return rc;
	if (o.count > 0)
		return opts_misused(&retry_use, "-n is for queue", NULL);
	if ((o.nargs > 0) + o.all + o.parked != 1)
		return opts_misused(&retry_use, "an ID, --all or --parked, one of them", NULL);
	if (o.nargs > 0 && choose_any(&o))
		return opts_misused(&retry_use, "filters go with --all or --parked", NULL);
	return run(&retry_use, &o, o.all ? "retry" : "retry-parked", "tried now");
}

int
ctl_park(int argc, char **argv)
{
	struct opts o;
	int rc = opts_parse(argc, argv, &park_use, &o);

	if (rc != -1 || (rc = choose_ids(&park_use, &o)) != -1)
		return rc;
	o.role = CONF_HOME;
	return run(&park_use, &o, "park", "parked");
}

int
ctl_unpark(int argc, char **argv)
{
	struct opts o;
	int rc = opts_parse(argc, argv, &unpark_use, &o);

	if (rc != -1 || (rc = choose_ids(&unpark_use, &o)) != -1)
		return rc;
	o.role = CONF_HOME;
	if (o.to == NULL)
		return opts_misused(&unpark_use, "--to MAILBOX is missing", NULL);
	return run(&unpark_use, &o, "unpark", "sent to the mailbox");
}

/* Whether a person says yes; without a terminal only --yes does. */
static bool
sure(const struct opts *o)
{
	char line[16];

	if (o->yes)
		return true;
	if (!isatty(STDIN_FILENO))
		return false;
	fprintf(stderr, "Throw away %zu message%s for good? [y/N] ", o->nargs,
	    o->nargs == 1 ? "" : "s");
	return fgets(line, sizeof(line), stdin) != NULL && (line[0] == 'y' || line[0] == 'Y');
}

int
ctl_drop(int argc, char **argv)
{
	struct opts o;
	int rc = opts_parse(argc, argv, &drop_use, &o);

	if (rc != -1 || (rc = choose_ids(&drop_use, &o)) != -1)
		return rc;
	if (!sure(&o)) {
		if (isatty(STDIN_FILENO))
			fputs("Nothing was done.\n", stderr);
		else
			return opts_misused(&drop_use, "nobody can be asked: say --yes", NULL);
		return CTL_FAILED;
	}
	return run(&drop_use, &o, "drop", "thrown away");
}
