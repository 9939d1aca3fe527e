#include "ctl/ctl.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "ctl/client.h"
#include "ctl/opts.h"
#include "ctl/role.h"
#include "ctl/text.h"

/* status: one page on how a role is. */
#define PAGE_MAX	(1u << 20)

static const struct opts_use use = {
	"status", OPT_CONF | OPT_ROLE | OPT_CONTROL | OPT_JSON, 0, 0,
	"usage: posthouse status [-c FILE | --edge | --home | --control PATH] [--json]\n"
	"\n"
	"Shows what a running edge or home holds, its peers, its processes and what it has\n"
	"counted since it started.  What someone must look at comes first.\n"
	"\n"
	"  -c, --config FILE   the role's configuration\n"
	"      --edge, --home  the role's file in /etc/posthouse\n"
	"      --control PATH  a control socket, whatever its configuration says\n"
	"      --json          the same as one JSON object\n"
};

static void
line(struct buf *out, const char *what, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void
line(struct buf *out, const char *what, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_addf(out, "%-10s %s\n", what, text);
}

static void
alarms(const json_t *s, bool colour, struct buf *out)
{
	const json_t *list = json_object_get(s, "alarms"), *a;
	struct shown text;
	size_t i;

	json_array_foreach(list, i, a) {
		const char *words = json_string_value(a);

		buf_addf(out, "%sALARM%s      %s\n", colour ? TEXT_ALARM : "",
		    colour ? TEXT_PLAIN : "", shown(span_str(words != NULL ? words : ""), &text));
	}
}

static void
summary(const json_t *s, struct buf *out)
{
	const json_t *held = json_object_get(s, "held"), *disk = json_object_get(s, "disk"), *n;
	const json_t *counts = json_object_get(s, "counters");
	int64_t now = wall_ms(), oldest = json_number(held, "oldest_ms");
	struct shown host, version;
	const char *state;

	line(out, json_text(s, "role")[0] == 'e' ? "edge" : "home", "%s, posthouse %s, up %s",
	    shown(span_str(json_text(s, "hostname")), &host),
	    shown(span_str(json_text(s, "version")), &version),
	    brief_age(now - json_number(s, "started_ms")).s);
	if (json_number(held, "objects") == 0)
		line(out, "held", "nothing");
	else
		line(out, "held", "%lld object%s, %s, the oldest for %s",
		    (long long)json_number(held, "objects"),
		    json_number(held, "objects") == 1 ? "" : "s",
		    brief_size((uint64_t)json_number(held, "octets")).s, brief_age(now - oldest).s);
	json_object_foreach((json_t *)json_object_get(s, "states"), state, n)
		if (json_integer_value(n) > 0) {
			struct shown name;

			line(out, "", "%lld %s", (long long)json_integer_value(n),
			    shown(span_str(state), &name));
		}
	line(out, "disk", "%s free; %lld%% of the quota of %s used",
	    brief_size((uint64_t)json_number(disk, "free")).s,
	    (long long)json_number(disk, "percent"),
	    brief_size((uint64_t)json_number(disk, "quota")).s);
	if (json_number(counts, "connections") > 0 || json_number(counts, "memory") > 0)
		line(out, "now", "%lld SMTP connection%s, %s of mail in memory",
		    (long long)json_number(counts, "connections"),
		    json_number(counts, "connections") == 1 ? "" : "s",
		    brief_size((uint64_t)json_number(counts, "memory")).s);
	if (json_number(s, "aside") > 0)
		line(out, "aside", "%lld foreign, forged or damaged files in aside/",
		    (long long)json_number(s, "aside"));
}

/* home: where held mail goes, and what to know about that. */
static void
delivery(const json_t *s, struct buf *out)
{
	static const struct {
		const char *identity, *words;
	} all[] = {
		{ "xclient", ", which is told the sender's address by XCLIENT" },
		{ "proxy", ", which is told the sender's address by PROXY" },
		{ "none", ", which is not told the sender's address" },
	};
	const json_t *d = json_object_get(s, "delivery"), *note;
	const char *by = json_text(d, "by"), *words = "";
	struct shown to, text;
	size_t i;

	if (d == NULL)
		return;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strcmp(json_text(d, "identity"), all[i].identity) == 0)
			words = all[i].words;
	line(out, "delivery", "%s%s%s", strcmp(by, "maildir") == 0 ? "into Maildirs in " :
	    strcmp(by, "lmtp") == 0 ? "by LMTP to " : "by SMTP to ",
	    shown(span_str(json_text(d, "to")), &to), words);
	json_array_foreach(json_object_get(d, "notes"), i, note)
		if (json_is_string(note))
			line(out, "", "%s", shown(span_str(json_string_value(note)), &text));
}

/* An edge has none. */
static void
filter(const json_t *s, struct buf *out)
{
	const json_t *f = json_object_get(s, "filter");
	struct shown where;

	if (f == NULL)
		return;
	line(out, "filter", "%s%s", json_text(f, "rspamd")[0] == '\0' ? "none" :
	    shown(span_str(json_text(f, "rspamd")), &where),
	    json_text(f, "trouble")[0] == '\0' ? "" : ": mail is delivered unjudged");
}

/* How old the list is by which an edge refuses whom this home does not have. */
static void
list_age(const json_t *p, char *out, size_t max)
{
	int64_t ms = json_number(p, "list_ms");

	if (ms == 0)
		snprintf(out, max, "-");
	else
		snprintf(out, max, "%s%s", brief_age(wall_ms() - ms).s,
		    json_is_true(json_object_get(p, "list_stale")) ? ", stale" : "");
}

static void
peers(const json_t *s, bool colour, struct buf *out)
{
	static const char *const headings[] = {
		"PEER", ">TUNNELS", ">SINCE", ">ROUND TRIP", ">HELD", "LIST", "ADDRESS", "TROUBLE",
	};
	struct table *t = table_new(headings, 8);
	const json_t *p;
	size_t i;

	if (t == NULL)
		return;
	json_array_foreach(json_object_get(s, "peers"), i, p) {
		char text[48];
		int64_t since = json_number(p, "since_ms");

		table_str(t, json_text(p, "name"));
		snprintf(text, sizeof(text), "%lld", (long long)json_number(p, "connections"));
		table_str(t, text);
		table_str(t, since > 0 ? brief_age(wall_ms() - since).s : "-");
		snprintf(text, sizeof(text), "%.1f ms", (double)json_number(p, "rtt_us") / 1000);
		table_str(t, json_number(p, "rtt_us") > 0 ? text : "-");
		snprintf(text, sizeof(text), "%lld", (long long)json_number(p, "held"));
		table_str(t, json_object_get(p, "held") != NULL ? text : "-");
		list_age(p, text, sizeof(text));
		table_str(t, text);
		table_str(t, json_text(p, "address"));
		table_str(t, json_text(p, "error"));
	}
	if (i > 0) {
		buf_add_str(out, "\n");
		table_print(t, colour, out);
	} else if (json_array_size(json_object_get(s, "workers")) == 0) {
		line(out, "peers", "none yet: see posthouse pair --help");
	}
	table_free(&t);
}

static void
workers(const json_t *s, struct buf *out)
{
	const json_t *names = json_object_get(s, "workers"), *push = json_object_get(s, "push");
	char text[400] = "";
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(names) && n < sizeof(text); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i > 0 ? ", " : "",
		    json_string_value(json_array_get(names, i)));
	if (n == 0)
		return;
	line(out, "workers", "%s", text);
	for (size_t i = 0; i < json_array_size(push); i++)
		line(out, i == 0 ? "push" : "", "%s",
		    json_string_value(json_array_get(push, i)));
}

static void
services(const json_t *s, bool colour, struct buf *out)
{
	static const char *const headings[] = {
		"SERVICE", "STATE", ">STREAMS", "BACKEND", "TROUBLE",
	};
	const json_t *list = json_object_get(s, "services"), *one;
	struct table *t;
	size_t i;

	if (json_array_size(list) == 0 || (t = table_new(headings, 5)) == NULL)
		return;
	json_array_foreach(list, i, one) {
		char text[32];

		snprintf(text, sizeof(text), "%lld", (long long)json_number(one, "streams"));
		table_str(t, json_text(one, "name"));
		table_str(t, json_is_true(json_object_get(one, "up")) ? "up" : "closed");
		table_str(t, text);
		table_str(t, json_text(one, "backend"));
		table_str(t, json_text(one, "why"));
	}
	buf_add_str(out, "\n");
	table_print(t, colour, out);
	table_free(&t);
}

/* What a bucket's own rules mean for mail, where that is known and somebody should know it too. */
static void
lifecycles(const json_t *list, struct buf *out)
{
	const json_t *b;
	size_t i;

	json_array_foreach(list, i, b) {
		int64_t expires = json_number(b, "expires_ms"), alarm = json_number(b, "alarm_ms");
		struct shown name;

		shown(span_str(json_text(b, "name")), &name);
		if (expires == 0)
			buf_addf(out, "bucket %s: no lifecycle rule deletes what home never "
			    "takes: it stays for ever\n", name.s);
		else if (expires > 0 && expires <= alarm)
			buf_addf(out, "bucket %s: a lifecycle rule deletes mail that is %s old, "
			    "and alarms.oldest is %s: make the rule longer by days\n",
			    name.s, brief_age(expires).s, brief_age(alarm).s);
	}
}

static void
buckets(const json_t *s, bool colour, struct buf *out)
{
	bool edge = strcmp(json_text(s, "role"), "edge") == 0;
	const char *const headings[] = {
		"BUCKET", ">WAITING", ">OLDEST", edge ? ">PUT" : ">TAKEN", ">ASIDE", ">LOOKED",
		"TROUBLE",
	};
	const json_t *list = json_object_get(s, "buckets"), *b;
	int64_t now = wall_ms();
	struct table *t;
	size_t i;

	if (json_array_size(list) == 0 || (t = table_new(headings, 7)) == NULL)
		return;
	json_array_foreach(list, i, b) {
		static const char *const columns[] = { "waiting", "taken", "aside" };
		int64_t oldest = json_number(b, "oldest_ms"), looked = json_number(b, "looked_ms");
		char text[3][24];

		for (size_t c = 0; c < 3; c++)
			snprintf(text[c], sizeof(text[c]), "%lld",
			    (long long)json_number(b, columns[c]));
		table_str(t, json_text(b, "name"));
		table_str(t, text[0]);
		table_str(t, oldest > 0 ? brief_age(now - oldest).s : "-");
		table_str(t, text[1]);
		table_str(t, text[2]);
		table_str(t, looked > 0 ? brief_age(now - looked).s : "never");
		table_str(t, json_text(b, "error")[0] != '\0' ? json_text(b, "error") :
		    json_text(b, "aside_why"));
	}
	buf_add_str(out, "\n");
	table_print(t, colour, out);
	table_free(&t);
	lifecycles(list, out);
}

static void
passed(const json_t *s, bool colour, struct buf *out)
{
	static const char *const headings[] = {
		"PASSED", ">OPEN", ">TOTAL", ">HELD", ">REFUSED", "WHY NOT PASSED",
	};
	static const char *const columns[] = { "open", "total", "held", "refused" };
	struct table *t = table_new(headings, 6);
	const json_t *p, *n;
	size_t i;

	if (t == NULL)
		return;
	json_array_foreach(json_object_get(s, "passed"), i, p) {
		const char *name, *holding = json_text(p, "holding");
		char why[256] = "";
		struct shown now;

		table_str(t, json_text(p, "service"));
		for (size_t c = 0; c < sizeof(columns) / sizeof(columns[0]); c++) {
			char text[32];

			snprintf(text, sizeof(text), "%lld", (long long)json_number(p, columns[c]));
			table_str(t, text);
		}
		if (holding[0] != '\0')
			snprintf(why, sizeof(why), "holds now: %s", shown(span_str(holding), &now));
		json_object_foreach((json_t *)json_object_get(p, "why"), name, n) {
			size_t at = strlen(why);
			struct shown word;

			snprintf(why + at, sizeof(why) - at, "%s%s %lld", at > 0 ? ", " : "",
			    shown(span_str(name), &word), (long long)json_integer_value(n));
		}
		table_str(t, why);
	}
	if (i > 0) {
		buf_add_str(out, "\n");
		table_print(t, colour, out);
	}
	table_free(&t);
}

static void
processes(const json_t *s, bool colour, struct buf *out)
{
	static const char *const headings[] = { "PROCESS", ">PID", ">RESTARTS", "SANDBOX" };
	struct table *t = table_new(headings, 4);
	const json_t *p;
	size_t i;

	if (t == NULL)
		return;
	json_array_foreach(json_object_get(s, "processes"), i, p) {
		char text[32];

		table_str(t, json_text(p, "name"));
		snprintf(text, sizeof(text), "%lld", (long long)json_number(p, "pid"));
		table_str(t, text);
		snprintf(text, sizeof(text), "%lld", (long long)json_number(p, "restarts"));
		table_str(t, text);
		table_str(t, json_text(p, "sandbox"));
	}
	buf_add_str(out, "\n");
	table_print(t, colour, out);
	table_free(&t);
}

static void
counters(const json_t *s, bool colour, struct buf *out)
{
	static const char *const headings[] = { "SINCE START", ">COUNT" };
	struct table *t = table_new(headings, 2);
	const char *name;
	bool any = false;
	const json_t *n;

	if (t == NULL)
		return;
	json_object_foreach((json_t *)json_object_get(s, "counters"), name, n) {
		char text[32];

		if (json_integer_value(n) == 0 || strcmp(name, "connections") == 0 ||
		    strcmp(name, "memory") == 0)
			continue;	/* these two are as of now: summary() has them */
		any = true;
		table_str(t, name);
		snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(n));
		table_str(t, text);
	}
	if (any) {
		buf_add_str(out, "\n");
		table_print(t, colour, out);
	}
	table_free(&t);
}

static int
print(json_t *s, bool json, struct why *why)
{
	bool colour = text_colour(stdout);
	struct buf out;

	if (json)
		return text_json(s, why);
	buf_init(&out, PAGE_MAX);
	alarms(s, colour, &out);
	summary(s, &out);
	delivery(s, &out);
	filter(s, &out);
	workers(s, &out);
	peers(s, colour, &out);
	services(s, colour, &out);
	buckets(s, colour, &out);
	passed(s, colour, &out);
	processes(s, colour, &out);
	counters(s, colour, &out);
	return text_page(&out, why);
}

int
ctl_status(int argc, char **argv)
{
	struct opts o;
	int rc = opts_parse(argc, argv, &use, &o);

	return rc != -1 ? rc : asking_show(&use, &o, json_pack("{s:s}", "do", "status"), print);
}
