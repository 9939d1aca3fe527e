#include "ctl/ctl.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "ctl/client.h"
#include "ctl/opts.h"
#include "ctl/text.h"

/* interlock: home asks its own mail servers to relay, now, and shows what they said. */
#define PAGE_MAX	(4u << 20)
#define WAIT_MS		(6 * 60 * 1000)	/* a whole test may take 5 min */
#define LOOK_MS		200

static const struct opts_use use = {
	"interlock", OPT_CONF | OPT_CONTROL | OPT_JSON, 0, 0,
	"usage: posthouse interlock [-c FILE | --control PATH] [--json]\n"
	"\n"
	"At home: plays the stranger to each mail server that edges pass connections to, and\n"
	"shows what was asked, what it answered, and which line of which file to change where a\n"
	"service stays closed.  Nothing is sent or delivered.  It takes some 10 seconds.\n"
	"Status 0: every mail server is green.  1: one is not, or home could not be asked.\n"
	"\n"
	"  -c, --config FILE   home's configuration; /etc/posthouse/home.conf\n"
	"      --control PATH  a control socket, whatever its configuration says\n"
	"      --json          the same as one JSON object\n"
};

/* Whether every configured service has been tried since the question. */
static bool
done(const json_t *answer, int64_t run)
{
	const json_t *list = json_object_get(answer, "services"), *s;
	int64_t n = 0;
	size_t i;

	json_array_foreach(list, i, s)
		n += json_number(s, "run") >= run;
	return n >= json_number(answer, "configured");
}

/* Asks, and asks again until all has been tried, or time is up; the last answer. */
static json_t *
run(struct client *c, struct why *why)
{
	json_t *answer = client_ask(c, json_pack("{s:s, s:b}", "do", "interlock", "run", 1), why);
	int64_t number = json_number(answer, "run"), until = wall_ms() + WAIT_MS;

	while (answer != NULL && !done(answer, number) && wall_ms() < until) {
		struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };

		(void)nanosleep(&pause, NULL);
		json_decref(answer);
		answer = client_ask(c, json_pack("{s:s}", "do", "interlock"), why);
	}
	if (answer != NULL)
		json_object_set_new(answer, "complete", json_boolean(done(answer, number)));
	return answer;
}

static bool
green(const json_t *s)
{
	return json_is_true(json_object_get(s, "open"));
}

static void
lines_of(const json_t *list, const char *before, struct buf *out)
{
	struct shown text;
	const json_t *l;
	size_t i;

	json_array_foreach(list, i, l) {
		const char *words = json_string_value(l);

		buf_addf(out, "  %-9s %s\n", i == 0 ? before : "",
		    shown(span_str(words != NULL ? words : ""), &text));
	}
}

static void
summary(const json_t *s, bool colour, struct buf *out)
{
	const json_t *e = json_object_get(s, "evidence");
	struct shown a, b, c, d;
	bool ok = green(s);

	buf_addf(out, "%s%s%s  %s%s%s", colour ? TEXT_BOLD : "",
	    shown(span_str(json_text(s, "service")), &a), colour ? TEXT_PLAIN : "",
	    colour && !ok ? TEXT_ALARM : "", shown(span_str(json_text(s, "verdict")), &b),
	    colour && !ok ? TEXT_PLAIN : "");
	buf_addf(out, "  %s%s%s, tested %s\n", shown(span_str(json_text(s, "backend")), &c),
	    json_text(s, "server")[0] != '\0' ? ", " : "",
	    shown(span_str(json_text(s, "server")), &a),
	    brief_age(wall_ms() - json_number(s, "tested_ms")).s);
	if (json_text(s, "cause")[0] != '\0')
		buf_addf(out, "  %-9s %s\n", "because",
		    shown(span_str(json_text(s, "cause")), &a));
	if (e != NULL)
		buf_addf(out, "  %-9s as %s (%s): %s\n  %-9s %s\n", "asked",
		    shown(span_str(json_text(e, "as")), &a),
		    shown(span_str(json_text(e, "whose")), &b),
		    shown(span_str(json_text(e, "asked")), &c), "answered",
		    shown(span_str(json_text(e, "answered")), &d));
	if (json_is_true(json_object_get(s, "password")))
		buf_addf(out, "  %-9s it asks everyone for a password\n", "note");
	lines_of(json_object_get(s, "advice"), "change", out);
	lines_of(json_object_get(s, "warnings"), "warning", out);
}

static void
dialogue(const json_t *s, bool colour, struct buf *out)
{
	static const char *const headings[] = { "AS", "HEADER", "ASKED", "ANSWERED", "" };
	struct table *t = table_new(headings, 5);
	const json_t *v, *l;
	size_t i, k;

	if (t == NULL)
		return;
	json_array_foreach(json_object_get(s, "visits"), i, v)
		json_array_foreach(json_object_get(v, "lines"), k, l) {
			const char *asked = json_text(l, "asked");

			table_str(t, k == 0 ? json_text(v, "as") : "");
			table_str(t, k == 0 ? json_text(v, "header") : "");
			table_str(t, asked[0] != '\0' ? asked : "(connects)");
			table_str(t, json_text(l, "answered"));
			table_str(t, json_is_true(json_object_get(l, "good")) ? "" : "<--");
		}
	if (i > 0) {
		buf_add_str(out, "\n");
		table_print(t, colour, out);
	}
	table_free(&t);
}

static int
print(json_t *answer, bool json, struct why *why)
{
	bool colour = text_colour(stdout);
	const json_t *s;
	struct buf out;
	size_t i;

	if (json)
		return text_json(answer, why);
	buf_init(&out, PAGE_MAX);
	json_array_foreach(json_object_get(answer, "services"), i, s) {
		if (i > 0)
			buf_add_str(&out, "\n");
		summary(s, colour, &out);
		dialogue(s, colour, &out);
	}
	if (i == 0)
		buf_add_str(&out, "Nothing is passed to this home: no service in its "
		    "configuration.\n");
	return text_page(&out, why);
}

int
ctl_interlock(int argc, char **argv)
{
	struct asking a = { .client = NULL };
	struct opts o;
	json_t *answer = NULL, *s;
	struct why why;
	size_t i;
	int rc = opts_parse(argc, argv, &use, &o);

	if (rc != -1)
		return rc;
	o.role = CONF_HOME;
	rc = CTL_OK;
	if (asking_connect(&a, &o, &why) == -1 || (answer = run(a.client, &why)) == NULL ||
	    print(answer, o.json, &why) == -1)
		rc = opts_failed(&use, &why);
	json_array_foreach(json_object_get(answer, "services"), i, s)
		if (!green(s))
			rc = CTL_FAILED;
	if (answer != NULL && !json_is_true(json_object_get(answer, "complete"))) {
		why_set(&why, "not every service could be tried: see posthouse status for whether "
		    "their backends answer");
		rc = opts_failed(&use, &why);
	}
	json_decref(answer);
	asking_fini(&a);
	return rc;
}
