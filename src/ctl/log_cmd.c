#include "ctl/ctl.h"

#include <string.h>

#include "base/clock.h"
#include "ctl/choose.h"
#include "ctl/client.h"
#include "ctl/opts.h"
#include "ctl/role.h"
#include "ctl/text.h"

/* log: what became of a message, a line for each thing that happened. */
static const struct opts_use use = {
	"log", OPT_CONF | OPT_ROLE | OPT_CONTROL | OPT_JSON, 1, 1,
	"usage: posthouse log [-c FILE | --edge | --home | --control PATH] [--json] ID\n"
	"\n"
	"Tells a message's story: when an edge took it, when it came home, each thing that\n"
	"became of it there.  At home also of what was delivered, for as long as its id is\n"
	"remembered (hold.max_hold and 30 days), and no more than half a million lines in all.\n"
	"\n"
	"  -c, --config FILE   the role's configuration\n"
	"      --edge, --home  the role's file in /etc/posthouse\n"
	"      --control PATH  a control socket, whatever its configuration says\n"
	"      --json          the same as one JSON object\n"
};

static void
word(const json_t *e, const char *key, const char *before, struct buf *out)
{
	const json_t *v = json_object_get(e, key);
	struct shown text;

	if (json_string_length(v) == 0)
		return;
	buf_add_str(out, before);
	buf_add_str(out, shown(span_of(json_string_value(v), json_string_length(v)), &text));
}

static void
line(const json_t *e, struct buf *out)
{
	const char *at = json_text(e, "at");

	buf_addf(out, "%-24.24s  ", at[0] != '\0' ? at : "");
	word(e, "event", "", out);
	word(e, "class", " as ", out);
	word(e, "by", " by ", out);
	word(e, "recipient", " for ", out);
	word(e, "mailbox", ", mailbox ", out);
	if (json_number(e, "times") > 1)
		buf_addf(out, ", %lld times", (long long)json_number(e, "times"));
	word(e, "since", " since ", out);
	word(e, "text", ": ", out);
	buf_add_str(out, "\n");
}

static int
print(json_t *story, bool json, struct why *why)
{
	const char *state = json_text(story, "state");
	const json_t *e;
	struct buf out;
	size_t i;

	if (json)
		return text_json(story, why);
	buf_init(&out, 8u << 20);
	json_array_foreach(json_object_get(story, "events"), i, e)
		line(e, &out);
	if (strcmp(state, "gone") == 0)
		word(story, "gone", "It is not here any more, since ", &out);
	else
		word(story, "state", "It is here: ", &out);
	buf_add_str(&out, ".\n");
	return text_page(&out, why);
}

int
ctl_log(int argc, char **argv)
{
	struct opts o;
	int rc = opts_parse(argc, argv, &use, &o);

	return rc != -1 || (rc = choose_ids(&use, &o)) != -1 ? rc : asking_show(&use, &o,
	    json_pack("{s:s, s:s}", "do", "log", "id", o.args[0]), print);
}
