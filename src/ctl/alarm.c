#include "ctl/ctl.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "ctl/client.h"
#include "ctl/opts.h"
#include "ctl/role.h"
#include "ctl/text.h"

/* alarm: what is wrong, by which roads somebody is told of it, and a test of them. */
#define WAIT_MS		150000		/* the slowest road has its own limit before that */
#define START_MS	5000		/* a process that a reload has just called for */
#define LOOK_MS		100
#define PAGE_MAX	(1u << 20)

static const struct opts_use use = {
	"alarm", OPT_CONF | OPT_ROLE | OPT_CONTROL | OPT_JSON | OPT_TEST, 0, 0,
	"usage: posthouse alarm [-c FILE | --edge | --home | --control PATH] [--test] [--json]\n"
	"\n"
	"Shows what is wrong at a running edge or home, since when and by which roads somebody\n"
	"was told.  With --test each road of the configuration (alarms {}) tells that it is a\n"
	"test; exit status 0 then means that all did, 1 that one did not or that there is none.\n"
	"\n"
	"  -c, --config FILE   the role's configuration\n"
	"      --edge, --home  the role's file in /etc/posthouse\n"
	"      --control PATH  a control socket, whatever its configuration says\n"
	"      --test          tell a test by command, webhook and mail, as configured\n"
	"      --json          the same as one JSON object\n"
};

static const json_t *
roads(const json_t *answer)
{
	return json_object_get(answer, "roads");
}

static bool
under_way(const json_t *answer, int64_t ms)
{
	const json_t *r;
	size_t i;

	json_array_foreach(roads(answer), i, r)
		if ((ms < WAIT_MS && strcmp(json_text(r, "test"), "going") == 0) ||
		    (ms < (json_is_true(json_object_get(r, "ready")) ? WAIT_MS : START_MS) &&
		    strcmp(json_text(r, "test"), "wanted") == 0))
			return true;
	return false;
}

/* The answer once all roads have done what they can; -1 with why. */
static int
wait_test(struct asking *a, struct why *why)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
	struct instant began = instant_now();

	while (under_way(a->answer, instant_ms_since(began, instant_now()))) {
		nanosleep(&pause, NULL);
		json_decref(a->answer);
		a->answer = client_ask(a->client, json_pack("{s:s}", "do", "alarm"), why);
		if (a->answer == NULL)
			return -1;
	}
	return 0;
}

static void
conditions(const json_t *answer, bool colour, struct buf *out)
{
	const json_t *list = json_object_get(answer, "conditions"), *c, *at;
	struct shown text;
	const char *road;
	size_t i;

	json_array_foreach(list, i, c) {
		int64_t since = json_number(c, "since_ms");
		const json_t *told = json_object_get(c, "told");

		buf_addf(out, "%sALARM%s  %s\n", colour ? TEXT_ALARM : "", colour ? TEXT_PLAIN : "",
		    shown(span_str(json_text(c, "key")), &text));
		buf_addf(out, "       %s\n", shown(span_str(json_text(c, "text")), &text));
		if (since > 0)
			buf_addf(out, "       for %s", brief_age(wall_ms() - since).s);
		else
			buf_add_str(out, "       just now");
		json_object_foreach((json_t *)told, road, at)
			buf_addf(out, ", told by %s", shown(span_str(road), &text));
		buf_add_str(out, "\n");
	}
	if (json_array_size(list) == 0)
		buf_add_str(out, "nothing is wrong\n");
}

static void
print_roads(const json_t *answer, bool test, bool colour, struct buf *out)
{
	static const char *const headings[] = { "ROAD", ">LAST TOLD", "STATE" };
	struct table *t = table_new(headings, 3);
	const json_t *r;
	size_t i;

	if (t == NULL)
		return;
	json_array_foreach(roads(answer), i, r) {
		int64_t ms = json_number(r, "told_ms");
		const char *error = json_text(r, test ? "test_error" : "error");
		const char *state = json_text(r, "test");

		table_str(t, json_text(r, "road"));
		table_str(t, ms > 0 ? brief_age(wall_ms() - ms).s : "-");
		table_str(t, error[0] != '\0' ? error :
		    test && strcmp(state, "told") == 0 ? "the test was told" :
		    test && !json_is_true(json_object_get(r, "ready")) ?
		    "its process does not run: see the log" : test ? "no answer" : "works");
	}
	buf_add_str(out, "\n");
	if (i > 0)
		table_print(t, colour, out);
	else
		buf_add_str(out, "nobody is told: see alarms in posthouse.conf(5)\n");
	table_free(&t);
}

static bool
all_told(const json_t *answer)
{
	const json_t *r;
	size_t i;

	json_array_foreach(roads(answer), i, r)
		if (strcmp(json_text(r, "test"), "told") != 0)
			return false;
	return json_array_size(roads(answer)) > 0;
}

static int
print(json_t *answer, const struct opts *o, struct why *why)
{
	bool colour = text_colour(stdout);
	struct buf out;

	if (o->json)
		return text_json(answer, why);
	buf_init(&out, PAGE_MAX);
	conditions(answer, colour, &out);
	print_roads(answer, o->test, colour, &out);
	return text_page(&out, why);
}

int
ctl_alarm(int argc, char **argv)
{
	struct asking a = { .client = NULL };
	struct opts o;
	struct why why;
	int rc = opts_parse(argc, argv, &use, &o);

	if (rc != -1)
		return rc;
	if (asking_begin(&a, &o, json_pack("{s:s, s:b}", "do", "alarm", "test", o.test),
	    &why) == -1 || wait_test(&a, &why) == -1 || print(a.answer, &o, &why) == -1)
		rc = opts_failed(&use, &why);
	else
		rc = !o.test || all_told(a.answer) ? CTL_OK : CTL_FAILED;
	asking_fini(&a);
	return rc;
}
