#include "ctl/ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec.h"
#include "ctl/client.h"
#include "ctl/identity.h"
#include "ctl/opts.h"
#include "ctl/pair_home.h"
#include "ctl/role.h"
#include "ctl/state.h"
#include "ctl/text.h"
#include "net/tls.h"
#include "proto/address.h"

/* pair: the edge makes a line, home reads it. */
static const struct opts_use use = {
	"pair", OPT_CONF | OPT_ROLE, 0, 1 + PEER_DOMAINS_MAX,
	"usage: posthouse pair [-c edge.conf] NAME DOMAIN...      at the edge\n"
	"       posthouse pair [-c home.conf] <LINE               at home\n"
	"\n"
	"At the edge: prints one line that lets a home pair itself under NAME and take the mail\n"
	"of these domains.  It is a secret, works once, and for 15 minutes.  A home that is in\n"
	"edge.conf with its domains needs no DOMAIN here.\n"
	"\n"
	"At home: reads that line from standard input, dials the edge, proves that home opens\n"
	"what the edge seals, and remembers the edge.\n"
	"\n"
	"  -c, --config FILE   the role's configuration\n"
	"      --edge, --home  the role's file in /etc/posthouse\n"
};

/* -1: it can be a line's.  Else the exit code. */
static int
grant_args(const struct opts *o)
{
	char domain[PEER_DOMAINS_MAX][ADDRESS_DOMAIN_MAX + 1];

	if (!pairing_name_ok(span_str(o->args[0])))
		return opts_misused(&use, "a home's name is made of a-z, 0-9 and -, 63 characters "
		    "at most, unlike", o->args[0]);
	for (size_t i = 1; i < o->nargs; i++) {
		if (!address_domain(span_str(o->args[i]), domain[i - 1]))
			return opts_misused(&use, "that is no domain:", o->args[i]);
		for (size_t k = 0; k + 1 < i; k++)
			if (strcmp(domain[k], domain[i - 1]) == 0)
				return opts_misused(&use, "name it once, it is there twice:",
				    o->args[i]);
	}
	return -1;
}

static int
own_pin(const struct role *r, struct pin *pin, struct why *why)
{
	struct buf pem;
	int rc;

	if (read_file(r->common->tunnel_key, CONF_FILE_MAX, &pem, why) == -1)
		return -1;
	rc = tls_pem_pin(buf_span(&pem), pin, why);
	buf_wipe(&pem);
	return rc;
}

static int
at_edge(const struct role *r, const struct opts *o, struct why *why)
{
	struct pairing_line line;
	struct shown words;
	char text[1024];
	struct client *c;
	json_t *domains = json_array(), *answer;
	int rc = -1;

	for (size_t i = 1; i < o->nargs; i++)
		json_array_append_new(domains, json_string(o->args[i]));
	if (own_pin(r, &line.edge, why) == -1 || (c = client_new(r, NULL, why)) == NULL) {
		json_decref(domains);
		return -1;
	}
	answer = client_ask(c,
	    json_pack("{s:s, s:s, s:o}", "do", "pair", "name", o->args[0], "domains", domains),
	    why);
	if (answer != NULL) {
		if (!span_copy(span_str(json_text(answer, "address")), line.address,
			sizeof(line.address)) ||
		    !span_copy(span_str(json_text(answer, "name")), line.name, sizeof(line.name)) ||
		    !hex_decode(span_str(json_text(answer, "token")), line.token,
			sizeof(line.token)))
			why_set(why, "edge's answer makes no line; are both of one version?");
		else {
			pairing_line_print(&line, text, sizeof(text));
			fprintf(stderr, "Give this line to home's `posthouse pair` within %lld "
			    "minutes; it works once.\n", (long long)json_number(answer, "minutes"));
			if (json_is_true(json_object_get(answer, "again")))
				fputs("A home of this name is paired already: its keys stay until "
				    "the new one is.\n", stderr);
			if (json_text(answer, "warning")[0] != '\0')
				fprintf(stderr, "Warning: %s\n",
				    shown(span_str(json_text(answer, "warning")), &words));
			rc = 0;
			if (puts(text) == EOF || fflush(stdout) == EOF)
				rc = why_sys(why, "standard output");
			explicit_bzero(text, sizeof(text));
		}
	}
	explicit_bzero(&line, sizeof(line));
	json_decref(answer);
	client_free(&c);
	return rc;
}

static int
read_line(struct pairing_line *line, struct why *why)
{
	char text[1024];
	size_t n;
	int rc;

	if (isatty(STDIN_FILENO))
		fputs("Paste the line that `posthouse pair NAME DOMAIN` printed at the edge:\n",
		    stderr);
	if (fgets(text, sizeof(text), stdin) == NULL)
		return why_set(why, "no pairing line came on standard input; make one at the edge: "
		    "posthouse pair NAME DOMAIN");
	n = strlen(text);
	rc = pairing_line_parse(span_of(text, n), line, why) ? 0 : -1;
	explicit_bzero(text, sizeof(text));
	return rc;
}

/*
 * What that same edge (by its pin) took in under the earlier pairing is signed with
 * the earlier key: it stays good, as the one before.
 */
static void
keep_mac(const char *path, struct peer *p)
{
	struct peer *old = calloc(1, sizeof(*old));
	struct why why = { 0 };
	struct buf text;

	if (old == NULL || read_file(path, 256 * 1024, &text, &why) == -1) {
		free(old);
		return;			/* none: a first pairing */
	}
	if (peer_parse(buf_span(&text), old, &why)) {
		if (old->nmac > 0 && old->npins > 0 && p->nmac == 1 &&
		    pin_eq(&old->pins[0], &p->pins[0])) {
			p->mac[1] = old->mac[0];
			p->nmac = 2;
		}
		peer_fini(old);
	}
	buf_wipe(&text);
	free(old);
}

/* STATE/edges/NAME.  The directory may not be there before home has run once. */
static int
remember(const struct role *r, struct peer *p, struct why *why)
{
	char path[CONF_PATH_MAX + 16], file[sizeof(path) + sizeof(p->name) + 1];
	struct account account;
	struct buf text;
	int rc;

	snprintf(path, sizeof(path), "%s/edges", r->common->state);
	if (state_enter(&account, r, path, why) == -1)
		return -1;
	snprintf(file, sizeof(file), "%s/%s", path, p->name);
	keep_mac(file, p);
	buf_init(&text, 256 * 1024);
	if (mkdir(path, 0700) == -1 && errno != EEXIST)
		rc = why_sys(why, "%s", path);
	else if (!peer_print(p, &text))
		rc = why_set(why, "memory is out");
	else
		rc = replace_secret(file, buf_span(&text), why);
	buf_wipe(&text);
	account_leave(&account);
	return rc;
}

static int
tell_home(const struct role *r, struct why *why)
{
	bool running;
	struct client *c = client_new(r, &running, why);
	json_t *answer;

	if (c == NULL && !running) {
		fputs("Now start home: systemctl start posthouse-home\n", stderr);
		return 0;
	}
	if (c == NULL)
		return -1;
	answer = client_ask(c, json_pack("{s:s}", "do", "peers-reload"), why);
	client_free(&c);
	json_decref(answer);
	return answer != NULL ? 0 : -1;
}

static int
at_home(const struct role *r, struct why *why)
{
	struct pairing_line line;
	struct identities keys = { .n = 0 };
	struct peer peer;
	struct buf pem;
	int rc = -1;

	if (identities_load(&keys, r->home->age_key, why) == -1)
		return -1;
	if (read_file(r->common->tunnel_key, CONF_FILE_MAX, &pem, why) == -1) {
		identities_fini(&keys);
		return -1;
	}
	if (read_line(&line, why) == 0 &&
	    pair_home(r->home, &line, buf_span(&pem), &keys, &peer, why) == 0) {
		if ((rc = remember(r, &peer, why)) == 0) {
			printf("Paired with %s as %s for", peer.name, peer.home);
			for (size_t i = 0; i < peer.ndomains; i++)
				printf(" %s", peer.domains[i]);
			putchar('\n');
			rc = tell_home(r, why);
		}
		peer_fini(&peer);
	}
	explicit_bzero(&line, sizeof(line));
	identities_fini(&keys);
	buf_wipe(&pem);
	return rc;
}

int
ctl_pair(int argc, char **argv)
{
	struct opts o;
	struct role role = { .role = CONF_NO_ROLE };
	struct why why;
	int rc = opts_parse(argc, argv, &use, &o);
	enum conf_role want = CONF_NO_ROLE;

	if (rc != -1)
		return rc;
	/* Who names a home is at the edge. */
	if (o.conf == NULL && o.role == CONF_NO_ROLE)
		want = o.nargs > 0 ? CONF_EDGE : CONF_HOME;
	if (role_load(&role, &o, want, &why) == -1)
		rc = opts_failed(&use, &why);
	else if (role.role == CONF_EDGE && o.nargs == 0)
		rc = opts_misused(&use, "at an edge, name the home and its domains", NULL);
	else if (role.role == CONF_EDGE && (rc = grant_args(&o)) != -1)
		;			/* said */
	else if (role.role == CONF_HOME && o.nargs > 0)
		rc = opts_misused(&use, "at home the line comes on standard input, not as",
		    o.args[0]);
	else if ((role.role == CONF_EDGE ? at_edge(&role, &o, &why) : at_home(&role, &why)) == -1)
		rc = opts_failed(&use, &why);
	else
		rc = CTL_OK;
	role_fini(&role);
	return rc;
}
