#include "ctl/ctl.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/client.h"
#include "ctl/opts.h"
#include "ctl/role.h"
#include "ctl/text.h"
#include "priv/account.h"
#include "store/refile.h"

/* refile: what the catch-all took for somebody who has a mailbox of his own now. */
#define MAILBOXES_MAX	64
#define MESSAGES_MAX	200000	/* of one run, in some 80 MB; another run takes more */

static const struct opts_use use = {
	"refile", OPT_CONF | OPT_JSON | OPT_YES, 0, MAILBOXES_MAX,
	"usage: posthouse refile [-c FILE] [--json] [--yes] [MAILBOX...]\n"
	"\n"
	"At home: finds mail that a catch-all took for an address that is somebody's own now,\n"
	"and moves it to his mailbox; unread mail stays unread.  Without --yes it only says what\n"
	"it would do.  For Maildirs; home must be running, as it knows the mailboxes.\n"
	"\n"
	"  -c, --config FILE   home's configuration; /etc/posthouse/home.conf\n"
	"      --yes           do it\n"
	"      --json          the same as one JSON object, with each message\n"
	"      MAILBOX         where to look; else wherever a catch-all ends now\n"
};

struct move {
	char		*name;		/* of the file */
	bool		 fresh;
	const char	*from;
	char		*address;
	const char	*to;		/* the plan's, in routes */
	struct uuid	 id;
	enum refile_done done;
};

struct plan {
	struct client	*client;
	int		 folder;
	const char	*from;		/* the mailbox that is looked at */
	json_t		*routes;	/* address: mailbox, "" where it stays, null for several */
	struct move	*moves;
	size_t		 n, cap;
	bool		 more;		/* than MESSAGES_MAX */
	size_t		 several;	/* that stay, as several mailboxes would have them */
};

static const char several[] = "";

static void
plan_fini(struct plan *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->moves[i].name);
		free(p->moves[i].address);
	}
	free(p->moves);
	json_decref(p->routes);
	if (p->folder != -1)
		close(p->folder);
}

/* --- finding ------------------------------------------------------------------------------ */

static const char *
route_of(const json_t *to)
{
	return json_is_null(to) ? several : json_string_value(to);
}

/*
 * The mailbox of whoever is called so, "" if nobody is, `several` if it is an alias of such;
 * good as long as the plan.  NULL with why.  An address is asked for once: a catch-all has many
 * messages for few.
 */
static const char *
owner(struct plan *p, const char *address, struct why *why)
{
	json_t *to = json_object_get(p->routes, address), *answer;

	if (to != NULL)
		return route_of(to);
	if ((answer = client_ask(p->client, json_pack("{s:s, s:s}", "do", "route", "address",
	    address), why)) == NULL)
		return NULL;
	if (!json_is_true(json_object_get(answer, "claimed")))
		to = json_string("");
	else if (json_array_size(json_object_get(answer, "mailboxes")) > 1)
		to = json_null();
	else
		to = json_string(json_text(answer, "mailbox"));
	json_decref(answer);
	if (json_object_set_new(p->routes, address, to) == -1) {
		why_set(why, "out of memory");
		return NULL;
	}
	return route_of(to);
}

static int
found(void *arg, const char *name, bool fresh, const struct delivered *d, struct why *why)
{
	struct plan *p = arg;
	char path[ADDRESS_PRINT_MAX + 4];
	struct address a;
	const char *to;
	struct move *m;

	/* Who owns the mailbox may have written these lines himself. */
	snprintf(path, sizeof(path), "<%s>", d->recipient);
	if (address_parse_path(span_str(path), ADDRESS_FORWARD, true, &a) != strlen(path))
		return 0;
	if ((to = owner(p, d->recipient, why)) == NULL)
		return -1;
	/* To one of them only it would be gone from where somebody looks for it. */
	p->several += to == several;
	if (to[0] == '\0' || strcmp(to, p->from) == 0)
		return 0;
	if (p->n == MESSAGES_MAX) {
		p->more = true;
		return 0;
	}
	if (p->n == p->cap) {
		size_t cap = p->cap == 0 ? 64 : 2 * p->cap;
		void *more = realloc(p->moves, cap * sizeof(*p->moves));

		if (more == NULL)
			return why_set(why, "out of memory");
		p->moves = more;
		p->cap = cap;
	}
	m = &p->moves[p->n];
	*m = (struct move){ .name = strdup(name), .fresh = fresh, .from = p->from,
		.address = strdup(d->recipient), .to = to, .id = d->id };
	if (m->name == NULL || m->address == NULL) {
		free(m->name);
		free(m->address);
		return why_set(why, "out of memory");
	}
	p->n++;
	return 0;
}

/* The mailboxes to look at: those that were named, or where catch-alls end. */
static json_t *
places(struct client *c, const struct opts *o, struct why *why)
{
	json_t *answer, *list;

	if (o->nargs > 0) {
		list = json_array();
		for (size_t i = 0; i < o->nargs; i++) {
			if (!address_mailbox_ok(span_str(o->args[i]))) {
				struct shown text;

				why_set(why, "%.100s is no name of a mailbox",
				    shown(span_str(o->args[i]), &text));
				json_decref(list);
				return NULL;
			}
			json_array_append_new(list, json_string(o->args[i]));
		}
		return list;
	}
	answer = client_ask(c, json_pack("{s:s, s:b}", "do", "route", "catch_alls", 1), why);
	if (answer == NULL)
		return NULL;
	list = json_incref(json_object_get(answer, "mailboxes"));
	json_decref(answer);
	if (json_array_size(list) == 0) {
		why_set(why, "there is no catch-all now; name the mailbox that was it");
		json_decref(list);
		return NULL;
	}
	return list;
}

/* So that what goes from one mailbox to another is done, and told, together. */
static int
by_way(const void *a, const void *b)
{
	const struct move *x = a, *y = b;
	int d = strcmp(x->from, y->from);

	if (d == 0)
		d = strcmp(x->to, y->to);
	if (d == 0)
		d = strcmp(x->address, y->address);
	return d != 0 ? d : strcmp(x->name, y->name);
}

static int
look(struct plan *p, const json_t *list, bool named, struct why *why)
{
	const json_t *box;
	size_t i;

	json_array_foreach(list, i, box) {
		int rc;

		p->from = json_string_value(box);
		if ((rc = refile_scan(p->folder, p->from, found, p, why)) == -1)
			return -1;
		/* A catch-all that took nothing yet is none that was misspelt. */
		if (rc == 1 && named)
			return why_set(why, "there is no mailbox %s in the folder", p->from);
	}
	if (p->n > 0)
		qsort(p->moves, p->n, sizeof(*p->moves), by_way);
	return 0;
}

/* --- moving ------------------------------------------------------------------------------- */

/* Whether the next goes between the same two mailboxes. */
static bool
same_way(const struct plan *p, size_t i)
{
	return i + 1 < p->n && strcmp(p->moves[i].from, p->moves[i + 1].from) == 0 &&
	    strcmp(p->moves[i].to, p->moves[i + 1].to) == 0;
}

/* One mailbox that fails does not keep the mail of the others: each is said. */
static int
move_all(struct plan *p)
{
	int rc = CTL_OK;

	for (size_t i = 0, next; i < p->n; i = next) {
		struct refile r;
		struct why why;
		bool failed = refile_begin(&r, p->folder, p->moves[i].from, p->moves[i].to,
		    &why) == -1;
		bool begun = !failed, last = false;

		for (next = i; !last; next++) {
			struct move *m = &p->moves[next];

			last = !same_way(p, next);
			m->done = failed ? REFILE_FAILED : refile_move(&r, m->name, m->fresh, &why);
			failed |= m->done == REFILE_FAILED;
		}
		if (failed)
			rc = opts_failed(&use, &why);
		if (begun && refile_end(&r, &why) == -1)
			rc = opts_failed(&use, &why);
	}
	return rc;
}

/* --- telling ------------------------------------------------------------------------------ */

static size_t
count(const struct plan *p, enum refile_done done)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += p->moves[i].done == done;
	return n;
}

static int
tell_json(const struct plan *p, struct why *why)
{
	static const char *const words[] = {
		[REFILE_PLANNED] = "planned",
		[REFILE_MOVED] = "moved",
		[REFILE_THERE] = "there already",
		[REFILE_GONE] = "gone",
		[REFILE_FAILED] = "failed",
	};

	printf("{\"moved\": %zu, \"messages\": [", count(p, REFILE_MOVED));
	for (size_t i = 0; i < p->n; i++) {
		const struct move *m = &p->moves[i];
		json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", uuid_text(m->id).s,
		    "address", m->address, "from", m->from, "to", m->to, "done", words[m->done]);

		fputs(i > 0 ? ",\n  " : "\n  ", stdout);
		if (o == NULL || json_dumpf(o, stdout, JSON_ENSURE_ASCII) == -1) {
			json_decref(o);
			return why_sys(why, "standard output");
		}
		json_decref(o);
	}
	printf("%s], \"several\": %zu, \"more\": %s}\n", p->n > 0 ? "\n" : "", p->several,
	    p->more ? "true" : "false");
	return 0;
}

/* A line for each address. */
static void
tell_lines(const struct plan *p)
{
	for (size_t i = 0, n = 1; i < p->n; i++, n++) {
		const struct move *m = &p->moves[i];
		struct shown address, from, to;

		if (same_way(p, i) && strcmp(m->address, p->moves[i + 1].address) == 0)
			continue;
		printf("%7zu for %s: from %s to %s\n", n, shown(span_str(m->address), &address),
		    shown(span_str(m->from), &from), shown(span_str(m->to), &to));
		n = 0;
	}
}

static int
tell(const struct plan *p, const struct opts *o, struct why *why)
{
	if (o->json)
		return tell_json(p, why);
	if (p->several > 0)
		printf("%zu left: for an alias of several mailboxes.\n", p->several);
	if (p->n == 0) {
		puts("There is nothing to move.");
		return 0;
	}
	tell_lines(p);
	if (!o->yes)
		puts("Nothing was moved; --yes does it.");
	else
		printf("%zu moved.\n", count(p, REFILE_MOVED));
	if (count(p, REFILE_THERE) > 0)
		printf("%zu left: one of that name is there already.\n", count(p, REFILE_THERE));
	if (count(p, REFILE_FAILED) > 0)
		printf("%zu failed.\n", count(p, REFILE_FAILED));
	if (count(p, REFILE_GONE) > 0)
		printf("%zu gone: moved meanwhile.\n", count(p, REFILE_GONE));
	if (p->more)
		printf("There are more than %d messages: run this again.\n", MESSAGES_MAX);
	return 0;
}

/* --- the command -------------------------------------------------------------------------- */

/* From here on nothing needs root, and what lies in the mailboxes is their users'. */
static int
become(const struct role *r, struct why *why)
{
	struct account a;

	if (account_find(&a, r->common, why) == -1)
		return -1;
	return account_drop(&a) == 0 ? 0 : why_sys(why, "becoming %s", r->common->user);
}

static int
begin(struct plan *p, struct role *r, const struct opts *o, struct why *why)
{
	if (role_load(r, o, CONF_HOME, why) == -1)
		return -1;
	if (r->home->maildir[0] == '\0')
		return why_set(why, "mail goes into a mail server here, not into Maildirs: move it "
		    "with the server's own tools");
	if ((p->client = client_new(r, NULL, why)) == NULL || become(r, why) == -1 ||
	    (p->folder = refile_open(r->home->maildir, why)) == -1)
		return -1;
	return (p->routes = json_object()) != NULL ? 0 : why_set(why, "out of memory");
}

int
ctl_refile(int argc, char **argv)
{
	struct plan p = { .folder = -1 };
	json_t *list = NULL;
	struct role role;
	struct opts o;
	struct why why;
	int rc = opts_parse(argc, argv, &use, &o);

	if (rc != -1)
		return rc;
	if (begin(&p, &role, &o, &why) == -1 || (list = places(p.client, &o, &why)) == NULL ||
	    look(&p, list, o.nargs > 0, &why) == -1) {
		rc = opts_failed(&use, &why);
	} else {
		rc = o.yes ? move_all(&p) : CTL_OK;
		if (tell(&p, &o, &why) == -1)
			rc = opts_failed(&use, &why);
	}
	plan_fini(&p);
	json_decref(list);
	client_free(&p.client);
	role_fini(&role);
	return rc;
}
