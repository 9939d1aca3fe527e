#include "ctl/ctl.h"

#include <stdlib.h>

#include "base/clock.h"
#include "ctl/client.h"
#include "ctl/opts.h"
#include "ctl/text.h"
#include "net/own_addrs.h"
#include "proto/policy.h"

/* ban, unban, bans: whom home does not want to hear from, at any of its edges. */
static const struct opts_use ban_use = {
	"ban", OPT_CONF | OPT_CONTROL | OPT_FOR | OPT_BY, 1, 1,
	"usage: posthouse ban [-c FILE | --control PATH] [--for TIME] [--by WHO]\n"
	"                     ADDRESS|NETWORK\n"
	"\n"
	"At home: every edge refuses clients from there, for this home, within a second, and\n"
	"ends their connections.  A ban of the same network by the same WHO is renewed.\n"
	"\n"
	"  -c, --config FILE   home's configuration; /etc/posthouse/home.conf\n"
	"      --control PATH  a control socket, whatever its configuration says\n"
	"      --for TIME      how long: a number with s, m, h or d; else until unban\n"
	"      --by WHO        one word that tells apart who bans: a jail of fail2ban, say\n"
};

static const struct opts_use unban_use = {
	"unban", OPT_CONF | OPT_CONTROL | OPT_ALL | OPT_BY, 0, 1,
	"usage: posthouse unban [-c FILE | --control PATH] [--by WHO]\n"
	"                       ADDRESS|NETWORK | --all\n"
	"\n"
	"At home: lifts bans.  A network is named as `posthouse bans` shows it.\n"
	"\n"
	"  -c, --config FILE   home's configuration; /etc/posthouse/home.conf\n"
	"      --control PATH  a control socket, whatever its configuration says\n"
	"      --all           every network\n"
	"      --by WHO        only the bans that WHO made\n"
};

static const struct opts_use bans_use = {
	"bans", OPT_CONF | OPT_CONTROL | OPT_JSON, 0, 0,
	"usage: posthouse bans [-c FILE | --control PATH] [--json]\n"
	"\n"
	"At home: who is banned, by whom and for how long, oldest first.\n"
	"\n"
	"  -c, --config FILE   home's configuration; /etc/posthouse/home.conf\n"
	"      --control PATH  a control socket, whatever its configuration says\n"
	"      --json          an array of objects\n"
};

/* -1: it can be banned, by the look of it.  Else the exit code. */
static int
net_arg(const struct opts_use *use, const char *text)
{
	struct policy_ban b;
	struct why why, named;

	if (policy_ban_parse(span_str(text), &b, &why))
		return -1;
	why_set(&named, "%.60s: %.400s", text, why.text);
	return opts_misused(use, named.text, NULL);
}

/* A ban of our own address would close our edges to everybody at home. */
static int
spare_ourselves(const char *text, struct why *why)
{
	struct own_addrs own = { .n = 0 };
	struct policy_ban b;
	int rc = 0;

	if (!policy_ban_parse(span_str(text), &b, why) || own_addrs_read(&own, why) == -1)
		return -1;
	for (size_t i = 0; i < own.n && rc == 0; i++)
		if (netaddr_in(&own.list[i].addr, &b.net, b.bits))
			rc = why_set(why, "%s is this machine's own address: it is never banned",
			    netaddr_ip(&own.list[i].addr).s);
	own_addrs_fini(&own);
	return rc;
}

int
ctl_ban(int argc, char **argv)
{
	struct asking a = { .client = NULL };
	struct opts o;
	struct why why;
	json_t *q;
	int rc = opts_parse(argc, argv, &ban_use, &o);

	if (rc != -1 || (rc = net_arg(&ban_use, o.args[0])) != -1)
		return rc;
	o.role = CONF_HOME;
	if (spare_ourselves(o.args[0], &why) == -1)
		return opts_failed(&ban_use, &why);
	q = json_pack("{s:s, s:s, s:I}", "do", "ban", "net", o.args[0],
	    "for_ms", (json_int_t)o.for_ms);
	if (o.by != NULL)
		json_object_set_new(q, "by", json_string(o.by));
	if (asking_begin(&a, &o, q, &why) == 0)
		rc = CTL_OK;
	else
		rc = asking_failed(&a, &ban_use, &why);
	asking_fini(&a);
	return rc;
}

int
ctl_unban(int argc, char **argv)
{
	struct asking a = { .client = NULL };
	struct opts o;
	struct why why;
	json_t *q;
	int rc = opts_parse(argc, argv, &unban_use, &o);

	if (rc != -1)
		return rc;
	o.role = CONF_HOME;
	if (o.all == (o.nargs == 1))
		return opts_misused(&unban_use, "an address or --all, one of them", NULL);
	if (!o.all && (rc = net_arg(&unban_use, o.args[0])) != -1)
		return rc;
	q = json_pack("{s:s}", "do", "unban");
	if (!o.all)
		json_object_set_new(q, "net", json_string(o.args[0]));
	if (o.by != NULL)
		json_object_set_new(q, "by", json_string(o.by));
	rc = CTL_OK;
	if (asking_begin(&a, &o, q, &why) == -1)
		rc = asking_failed(&a, &unban_use, &why);
	else if (json_number(a.answer, "lifted") == 0)
		puts(o.all ? "Nobody was banned." : "It was not banned.");
	else if (json_text(a.answer, "still")[0] != '\0')
		printf("%s.\n", json_text(a.answer, "still"));
	asking_fini(&a);
	return rc;
}

/* Where the bans of a page go. */
struct listing {
	struct table	*table;			/* NULL: JSON */
	unsigned long long n;
};

static void
row(struct table *t, const json_t *b)
{
	int64_t now = wall_ms(), until = json_number(b, "until_ms");

	table_str(t, json_text(b, "net"));
	table_str(t, brief_age(now - json_number(b, "made_ms")).s);
	table_str(t, until > 0 ? brief_age(until - now).s : "for ever");
	table_str(t, json_text(b, "by"));
}

/* One page, from `after` on; where the next begins, 0: that was all, -1: failed. */
static int64_t
page(struct client *c, int64_t after, struct listing *l, struct why *why)
{
	json_t *answer = client_ask(c,
	    json_pack("{s:s, s:I}", "do", "bans", "after", (json_int_t)after), why), *ban;
	int64_t more;
	size_t i;

	if (answer == NULL)
		return -1;
	json_array_foreach(json_object_get(answer, "bans"), i, ban) {
		if (l->table != NULL)
			row(l->table, ban);
		else {
			fputs(l->n > 0 ? ",\n  " : "[\n  ", stdout);
			json_dumpf(ban, stdout, JSON_ENSURE_ASCII);
		}
		l->n++;
	}
	more = json_number(answer, "more");
	json_decref(answer);
	return more;
}

static int
print_table(const struct listing *l, struct why *why)
{
	struct buf out;
	int rc = 0;

	if (l->n == 0) {
		puts("Nobody is banned.");
		return 0;
	}
	buf_init(&out, 64u << 20);
	if (!table_print(l->table, text_colour(stdout), &out))
		rc = why_set(why, "too many to show as a table; use --json");
	else if (fwrite(out.p, 1, out.n, stdout) != out.n)
		rc = why_sys(why, "standard output");
	buf_fini(&out);
	return rc;
}

static int
list(struct client *c, bool json, struct why *why)
{
	static const char *const headings[] = { "NETWORK", ">SINCE", ">STILL", "BY" };
	struct listing l = { .table = NULL };
	int64_t at = 0, next;
	int rc = 0;

	if (!json && (l.table = table_new(headings, 4)) == NULL)
		return why_sys(why, "memory");
	while ((next = page(c, at, &l, why)) > at)
		at = next;
	if (next == -1)
		rc = -1;
	else if (json) {
		fputs(l.n > 0 ? "\n]\n" : "[]\n", stdout);
		if (fflush(stdout) == EOF)
			rc = why_sys(why, "standard output");
	} else
		rc = print_table(&l, why);
	table_free(&l.table);
	return rc;
}

int
ctl_bans(int argc, char **argv)
{
	struct asking a = { .client = NULL };
	struct opts o;
	struct why why;
	int rc = opts_parse(argc, argv, &bans_use, &o);

	if (rc != -1)
		return rc;
	o.role = CONF_HOME;
	rc = asking_connect(&a, &o, &why) == 0 && list(a.client, o.json, &why) == 0 ? CTL_OK :
	    opts_failed(&bans_use, &why);
	asking_fini(&a);
	return rc;
}
