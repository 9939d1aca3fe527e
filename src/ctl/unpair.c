#include "ctl/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/client.h"
#include "ctl/opts.h"
#include "ctl/role.h"
#include "ctl/state.h"
#include "ctl/text.h"
#include "proto/address.h"

/* unpair and pairings: who is paired, and the end of it. */
static const struct opts_use unpair_use = {
	"unpair", OPT_CONF | OPT_ROLE, 1, 1,
	"usage: posthouse unpair [-c FILE | --edge | --home] NAME\n"
	"\n"
	"Forgets a paired home (at the edge) or edge (at home), and a pairing line of that name\n"
	"that is still open.  Mail that the edge holds for the home is counted; it stays, sealed\n"
	"to the home's key, with an alarm in status, until a home is paired under that name\n"
	"again.  Works while the role is stopped, too.\n"
	"\n"
	"  -c, --config FILE   the role's configuration\n"
	"      --edge, --home  the role's file in /etc/posthouse\n"
};

static const struct opts_use pairings_use = {
	"pairings", OPT_CONF | OPT_ROLE | OPT_CONTROL | OPT_JSON, 0, 0,
	"usage: posthouse pairings [-c FILE | --edge | --home | --control PATH] [--json]\n"
	"\n"
	"Lists who is paired, with the domains of the grant, and pairing lines that are open.\n"
	"\n"
	"  -c, --config FILE   the role's configuration\n"
	"      --edge, --home  the role's file in /etc/posthouse\n"
	"      --control PATH  a control socket, whatever its configuration says\n"
	"      --json          one object, with pins and recipients\n"
};

/* Without a writer the file is the pairing: it reads the directory when it starts. */
static int
remove_file(const struct role *r, const char *name, struct why *why)
{
	char path[CONF_PATH_MAX + 16], domain[ADDRESS_DOMAIN_MAX + 1];
	const char *file = name, *folder = "homes";
	struct account account;
	int dir, rc = 0;

	if (r->role == CONF_HOME) {
		file = address_domain(span_str(name), domain) ? domain : NULL;
		folder = "edges";
	} else if (!pairing_name_ok(span_str(name)))
		file = NULL;
	if (file == NULL)
		return why_set(why, "%s is not a name that could be paired", name);
	snprintf(path, sizeof(path), "%s/%s", r->common->state, folder);
	if (state_enter(&account, r, path, why) == -1)
		return -1;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir == -1 || unlinkat(dir, file, 0) == -1 || fsync(dir) == -1) {
		rc = why_sys(why, "%s/%s", path, file);
		if (errno == ENOENT)
			why_set(why, "nobody called %s is paired here", name);
	}
	if (dir != -1)
		close(dir);
	account_leave(&account);
	return rc;
}

/* What goes nowhere from now on; said before it is so. */
static void
say_held(const struct role *r, struct client *c, const char *name)
{
	struct why why;
	json_t *status = client_ask(c, json_pack("{s:s}", "do", "status"), &why), *p;
	size_t i;

	json_array_foreach(json_object_get(status, "peers"), i, p)
		if (r->role == CONF_EDGE && strcmp(json_text(p, "name"), name) == 0 &&
		    json_number(p, "held") > 0)
			fprintf(stderr, "%lld object%s, %s, held for %s: they stay here, sealed, "
			    "and are handed over when a home is paired under this name again.\n",
			    (long long)json_number(p, "held"),
			    json_number(p, "held") == 1 ? "" : "s",
			    brief_size((uint64_t)json_number(p, "held_octets")).s, name);
	json_decref(status);
}

static int
unpair(const struct role *r, const char *name, struct why *why)
{
	bool running;
	struct client *c = client_new(r, &running, why);
	json_t *answer;
	int rc;

	if (c == NULL)
		return running ? -1 : remove_file(r, name, why);
	say_held(r, c, name);
	answer = client_ask(c, json_pack("{s:s, s:s}", "do", "unpair", "name", name), why);
	rc = answer != NULL ? 0 : -1;
	if (json_is_true(json_object_get(answer, "configured")))
		fprintf(stderr, "%s still names it: take home \"%s\" out of it, or it goes on with "
		    "what stands there.\n", r->file, name);
	json_decref(answer);
	client_free(&c);
	return rc;
}

int
ctl_unpair(int argc, char **argv)
{
	struct opts o;
	struct role role;
	struct why why;
	int rc = opts_parse(argc, argv, &unpair_use, &o);

	if (rc != -1)
		return rc;
	if (role_load(&role, &o, CONF_NO_ROLE, &why) == 0 && unpair(&role, o.args[0], &why) == 0)
		rc = CTL_OK;
	else
		rc = opts_failed(&unpair_use, &why);
	role_fini(&role);
	return rc;
}

static void
join(const json_t *list, struct buf *out)
{
	const json_t *s;
	size_t i;

	buf_clear(out);
	json_array_foreach(list, i, s) {
		if (i > 0)
			buf_add_str(out, " ");
		if (json_is_string(s))
			buf_add_str(out, json_string_value(s));
	}
}

static int
print(json_t *answer, bool json, struct why *why)
{
	static const char *const headings[] = { "NAME", "ADDRESS", "DOMAINS" };
	struct table *t;
	struct buf out, domains;
	const json_t *p;
	size_t i;
	int rc = 0;

	if (json)
		return text_json(answer, why);
	if ((t = table_new(headings, 3)) == NULL)
		return why_sys(why, "memory");
	buf_init(&out, 4u << 20);
	buf_init(&domains, PEER_DOMAINS_MAX * 256);
	json_array_foreach(json_object_get(answer, "peers"), i, p) {
		join(json_object_get(p, "domains"), &domains);
		table_str(t, json_text(p, "name"));
		table_str(t, json_text(p, "address"));
		table_cell(t, buf_span(&domains));
	}
	if (i == 0)
		buf_add_str(&out, "Nobody is paired.\n");
	else
		table_print(t, text_colour(stdout), &out);
	json_array_foreach(json_object_get(answer, "lines"), i, p) {
		struct shown name, until;

		buf_addf(&out, "A pairing line for %s is open until %s, with %lld tries.\n",
		    shown(span_str(json_text(p, "name")), &name),
		    shown(span_str(json_text(p, "expires")), &until),
		    (long long)json_number(p, "tries"));
	}
	if (out.failed || fwrite(out.p, 1, out.n, stdout) != out.n)
		rc = why_sys(why, "standard output");
	table_free(&t);
	buf_fini(&domains);
	buf_fini(&out);
	return rc;
}

int
ctl_pairings(int argc, char **argv)
{
	struct opts o;
	int rc = opts_parse(argc, argv, &pairings_use, &o);

	return rc != -1 ? rc : asking_show(&pairings_use, &o,
	    json_pack("{s:s}", "do", "pairings"), print);
}
