#include "ctl/ctl.h"

#include "ctl/client.h"
#include "ctl/opts.h"
#include "ctl/role.h"
#include "ctl/text.h"

/* route: where an address's mail goes, and why. */
static const struct opts_use use = {
	"route", OPT_CONF | OPT_CONTROL | OPT_JSON | OPT_CHOOSE, 1, 1,
	"usage: posthouse route [-c FILE | --control PATH] [--from EDGE] [--json] ADDRESS\n"
	"\n"
	"At home: explains where mail for ADDRESS goes now, step by step, or what is answered.\n"
	"Exit status 0 means a mailbox, 1 that it is refused, deferred or foreign.\n"
	"\n"
	"  -c, --config FILE   home's configuration; /etc/posthouse/home.conf\n"
	"      --control PATH  a control socket, whatever its configuration says\n"
	"      --from EDGE     as if it came by this edge; else by one that has the domain\n"
	"      --json          the same as one JSON object\n"
};

static void
line(const char *before, const char *text, const char *after)
{
	struct shown s;

	printf("%s%s%s", before, shown(span_str(text), &s), after);
}

static int
print(json_t *answer, bool json, struct why *why)
{
	const char *mailbox = json_text(answer, "mailbox");
	const json_t *step;
	size_t i;

	if (json)
		return text_json(answer, why);
	line("", json_text(answer, "address"), "");
	if (json_text(answer, "edge")[0] != '\0')
		line(" by edge ", json_text(answer, "edge"), "");
	puts("");
	json_array_foreach(json_object_get(answer, "steps"), i, step)
		line("    ", json_string_value(step), "\n");
	if (mailbox[0] != '\0')
		json_array_foreach(json_object_get(answer, "mailboxes"), i, step)
			line("mailbox ", json_string_value(step), "\n");
	else {
		line("", json_text(answer, "decision"), "");
		line(": ", json_text(answer, "reply"), "\n");
	}
	return 0;
}

int
ctl_route(int argc, char **argv)
{
	struct asking a = { .client = NULL };
	struct opts o;
	struct why why;
	json_t *q;
	int rc = opts_parse(argc, argv, &use, &o);

	if (rc != -1)
		return rc;
	o.role = CONF_HOME;
	if (o.class != NULL || o.recipient != NULL || o.older != NULL || o.size != NULL)
		return opts_misused(&use, "of the filters only --from", NULL);
	q = json_pack("{s:s, s:s}", "do", "route", "address", o.args[0]);
	if (o.from != NULL)
		json_object_set_new(q, "edge", json_string(o.from));
	if (asking_begin(&a, &o, q, &why) == -1 || print(a.answer, o.json, &why) == -1)
		rc = asking_failed(&a, &use, &why);
	else
		rc = json_text(a.answer, "mailbox")[0] != '\0' ? CTL_OK : CTL_FAILED;
	asking_fini(&a);
	return rc;
}
