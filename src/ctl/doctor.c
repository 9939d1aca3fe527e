#include "ctl/doctor.h"

#include <stdio.h>

#include <jansson.h>

#include "ctl/bucket_check.h"
#include "ctl/choose.h"
#include "ctl/ctl.h"
#include "ctl/opts.h"
#include "ctl/text.h"

/* doctor: everything that can be looked at from here, with what to do where it is not well. */
static const struct opts_use use = {
	"doctor", OPT_CONF | OPT_ROLE | OPT_JSON, 0, 0,
	"usage: posthouse doctor [-c FILE | --edge | --home] [--json]\n"
	"\n"
	"Looks at a role's configuration, state, disk, key files, pairings, certificate and\n"
	"buckets, and, where it runs, asks it for its peers, services, interlock and alarms;\n"
	"the way home of a Worker, where service \"push\" has its url; a Worker, where home.conf\n"
	"names its probe, what it sees of this home from outside.\n"
	"A line for each thing: ok, warn or fail, what is so, and behind \"->\" what to do.\n"
	"Run it as root, as a start would be; it changes nothing, but that in a bucket it writes\n"
	"an object of its own below posthouse-check/ and deletes it again.\n"
	"Status 0: nothing failed, whatever was warned of.  1: something did.\n"
	"\n"
	"  -c, --config FILE   the role's configuration\n"
	"      --edge, --home  the role's file in /etc/posthouse\n"
	"      --json          an array of objects: check, state, text, advice\n"
};

static const char *const states[] = { "ok", "warn", "fail" };

struct report {
	json_t		*list;		/* NULL: lines on standard output */
	bool		 failed;
	struct progress	 progress;
	const char	*bucket;	/* whose checks these are; NULL: no bucket's */
};

static void
print_line(const struct finding *f, const char *check)
{
	static const char *const colours[] = { "", TEXT_BOLD, TEXT_ALARM };
	bool colour = f->state != FINDING_OK && text_colour(stdout);
	struct shown what, text, advice;

	printf("%s%-4s%s  %-20s  %s", colour ? colours[f->state] : "", states[f->state],
	    colour ? TEXT_PLAIN : "", shown(span_str(check), &what),
	    shown(span_str(f->text), &text));
	if (f->advice[0] != '\0')
		printf("  -> %s", shown(span_str(f->advice), &advice));
	putchar('\n');
	fflush(stdout);
}

static void
on_finding(void *arg, const struct finding *f)
{
	struct report *r = arg;
	struct shown text, advice, what;
	char check[200];

	snprintf(check, sizeof(check), "%s%s%s%s", r->bucket != NULL ? "bucket " : "",
	    r->bucket != NULL ? r->bucket : "", r->bucket != NULL ? " " : "", f->check);
	r->failed |= f->state == FINDING_FAIL;
	progress_end(&r->progress);
	if (r->list == NULL)
		print_line(f, check);
	else
		json_array_append_new(r->list, json_pack("{s:s, s:s, s:s, s:s}", "check",
		    shown(span_str(check), &what), "state", states[f->state], "text",
		    shown(span_str(f->text), &text), "advice",
		    shown(span_str(f->advice), &advice)));
}

static void
on_wait(void *arg)
{
	struct report *r = arg;

	progress_tell(&r->progress, "seconds:",
	    (unsigned long long)instant_ms_since(r->progress.began, instant_now()) / 1000);
}

/* A file that is not right keeps nobody from asking what runs at the role's usual place. */
static void
ask_running(const struct role *role, const struct findings *to)
{
	bool standard, running = false;
	enum conf_role which = role_of_file(role, &standard);
	struct asking a = { .client = NULL };
	struct opts o = { .control = role_control(which) };
	struct why why;

	if (role->common != NULL)
		a.client = client_new(role, &running, &why);
	else if (!standard)
		return;			/* it is not known where */
	else
		(void)asking_connect(&a, &o, &why);
	if (a.client != NULL)
		doctor_running(a.client, which, to);
	else if (running)
		finding_tell_words(to, FINDING_WARN, "running", why.text, "; ", "");
	else
		finding_tell_words(to, FINDING_FAIL, "running", why.text, ": ",
		    "mend the configuration and start it");
	asking_fini(&a);
}

static void
buckets(const struct role *r, struct report *report, const struct findings *to)
{
	const struct conf_bucket *list = r->edge != NULL ? r->edge->bucket : r->home->buckets;
	size_t n = r->edge != NULL ? r->edge->nbuckets : r->home->nbuckets;

	for (size_t i = 0; i < n; i++) {
		report->bucket = list[i].name;
		bucket_check(r, &list[i], to);
	}
	report->bucket = NULL;
}

/* -1 with why: it is not known of which role. */
static int
look(const struct opts *o, struct report *report, struct why *why)
{
	const struct findings to = { on_finding, on_wait, report };
	struct role role;
	bool good = role_load(&role, o, CONF_NO_ROLE, why) == 0;
	int rc = 0;

	if (role.file[0] == '\0')
		rc = -1;
	else if (!good || role_would_start(&role, why) == -1)
		finding_tell(&to, FINDING_FAIL, "configuration", "mend it, and try it with "
		    "posthouse config --check", "%s", why->text);
	else
		finding_tell(&to, FINDING_OK, "configuration", "", "%s, of %s", role.file,
		    role_name(role.role));
	if (good)
		doctor_files(&role, &to);
	if (rc == 0)
		ask_running(&role, &to);
	if (good)
		buckets(&role, report, &to);
	if (good && role.home != NULL) {
		doctor_push(&role, &to);
		doctor_probe(&role, &to);
	}
	role_fini(&role);
	return rc;
}

int
ctl_doctor(int argc, char **argv)
{
	struct report report = { .failed = false };
	struct opts o;
	struct why why;
	int rc = opts_parse(argc, argv, &use, &o);
	bool looked;

	if (rc != -1)
		return rc;
	report.list = o.json ? json_array() : NULL;
	progress_begin(&report.progress);
	looked = look(&o, &report, &why) == 0;
	progress_end(&report.progress);
	if (!looked)
		rc = opts_failed(&use, &why);
	else
		rc = report.failed ? CTL_FAILED : CTL_OK;
	if (looked && report.list != NULL) {
		json_dumpf(report.list, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
		putchar('\n');
	}
	json_decref(report.list);
	return rc;
}
