#include "ctl/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/secret.h"
#include "ctl/identity.h"
#include "ctl/keygen.h"
#include "ctl/opts.h"
#include "ctl/role.h"
#include "ctl/rotate_check.h"
#include "ctl/state.h"
#include "net/tls.h"

/*
 * rotate: new keys beside the old, then the old ones away.  The files are the
 * whole state of it (doc/STORE): while STATE/tunnel-next.pem is there, or the age
 * key file has two identities (the new one first), home tells edges both.  An old
 * age identity is retired, not thrown away: home drops it when nothing needs it.
 */
static const struct opts_use use = {
	"rotate", OPT_CONF | OPT_ROLE | OPT_ROTATE | OPT_FORCE, 0, 0,
	"usage: posthouse rotate [-c FILE | --edge | --home] [--age] [--tunnel]\n"
	"       posthouse rotate [-c FILE | --edge | --home] [--age] [--tunnel] --finish"
	" [--force]\n"
	"\n"
	"At home: makes the next age key and the next tunnel key beside those in use (one of them\n"
	"with --age or --tunnel).  After a reload, home tells its edges; they take the new keys\n"
	"over while the old ones stay good.  --finish ends that: it refuses while home has mail\n"
	"to deliver or to look at that only the old age key opens, an edge is not known to seal\n"
	"to the new one, or an edge does not accept the new tunnel key.  The old age key is kept\n"
	"in STATE/age-retired.key for as long as an object needs it.\n"
	"\n"
	"At an edge: makes the next tunnel key.  The edge tells its homes, which take either;\n"
	"--finish refuses while a paired home has not said that it knows the next one.\n"
	"\n"
	"  -c, --config FILE   the role's configuration\n"
	"      --edge, --home  the role's file in /etc/posthouse\n"
	"      --finish        use the new keys alone; without --age or --tunnel, of all begun\n"
	"      --force         whether or not all know the new ones\n"
};

/* "# created", "# public key" and the identity, as age-keygen writes them. */
static bool
identity_text(const struct age_identity *id, struct buf *out)
{
	struct age_recipient recipient;
	char now[40], public[AGE_TEXT_MAX], secret[AGE_TEXT_MAX];
	bool ok;

	memcpy(recipient.pub, id->pub, sizeof(recipient.pub));
	age_recipient_print(&recipient, public);
	age_identity_print(id, secret);
	wall_iso(wall_ms(), now, sizeof(now));
	ok = buf_addf(out, "# created: %.19sZ\n# public key: %s\n", now, public) &&
	    buf_add_str(out, secret) && buf_add_str(out, "\n");
	explicit_bzero(secret, sizeof(secret));
	return ok;
}

static int
age_begin(const struct role *r, bool force, struct why *why)
{
	const char *path = r->home->age_key;
	struct identities ids;
	struct age_identity next = { 0 };
	unsigned char key[32];
	struct buf text, old;
	size_t n;
	int rc = -1;

	if (identities_load(&ids, path, why) == -1)
		return -1;
	n = ids.n;
	identities_fini(&ids);
	if (n > 1)
		return why_set(why, "%s has %zu keys already: a rotation is under way; end it with "
		    "posthouse rotate --age --finish", path, n);
	if (read_file(path, IDENTITY_FILE_MAX, &old, why) == -1)
		return -1;
	random_bytes(key, sizeof(key));
	buf_init(&text, IDENTITY_FILE_MAX + 1024);
	if (!age_identity_from_bytes(key, &next) || !identity_text(&next, &text) ||
	    !buf_add_span(&text, buf_span(&old)))
		why_set(why, "memory is out");
	else if ((rc = replace_secret(path, buf_span(&text), why)) == 0)
		printf("A new age key is in %s, before the old one.\n", path);
	explicit_bzero(key, sizeof(key));
	age_identity_fini(&next);
	buf_wipe(&text);
	buf_wipe(&old);
	return rc;
}

static bool
has(const struct identities *ids, const struct age_identity *id)
{
	for (size_t i = 0; i < ids->n; i++)
		if (memcmp(ids->id[i].pub, id->pub, sizeof(id->pub)) == 0)
			return true;
	return false;
}

/* Beside what was retired before; on the disk before the key file forgets them. */
static int
age_retire(const struct role *r, const struct identities *ids, struct why *why)
{
	char path[IDENTITIES_PATH_MAX];
	struct identities have = { .n = 0 };
	struct account account;
	struct buf text;
	size_t n;
	int rc;

	identities_retired_path(r, path);
	if (state_enter(&account, r, path, why) == -1)
		return -1;
	buf_init(&text, IDENTITY_FILE_MAX);
	rc = identities_add_retired(&have, r, why);
	n = have.n;
	for (size_t i = 0; i < have.n; i++)
		identity_text(&have.id[i], &text);
	for (size_t i = 1; i < ids->n; i++)
		if (!has(&have, &ids->id[i])) {
			identity_text(&ids->id[i], &text);
			n++;
		}
	if (rc == 0 && n > IDENTITIES_RETIRED_MAX)
		rc = why_set(why, "%s would hold %zu keys, more than %d: each goes by itself when "
		    "no mail needs it", path, n, IDENTITIES_RETIRED_MAX);
	else if (rc == 0 && text.failed)
		rc = why_set(why, "memory is out");
	else if (rc == 0)
		rc = replace_secret(path, buf_span(&text), why);
	account_leave(&account);
	buf_wipe(&text);
	identities_fini(&have);
	return rc;
}

static int
age_replace(const struct role *r, const struct age_identity *id, struct why *why)
{
	struct account account;
	struct buf text;
	int rc = -1;

	if (state_enter(&account, r, r->home->age_key, why) == -1)
		return -1;
	buf_init(&text, 4096);
	if (!identity_text(id, &text))
		why_set(why, "memory is out");
	else
		rc = replace_secret(r->home->age_key, buf_span(&text), why);
	account_leave(&account);
	buf_wipe(&text);
	return rc;
}

static int
age_finish(const struct role *r, bool force, struct why *why)
{
	const char *path = r->home->age_key;
	char retired[IDENTITIES_PATH_MAX];
	unsigned long long refused = 0;
	struct identities ids = { .n = 0 };
	struct account account;
	int rc;

	if (state_enter(&account, r, path, why) == -1)
		return -1;
	rc = identities_load(&ids, path, why);
	if (rc == 0 && ids.n == 1)
		rc = why_set(why, "%s has one key: there is no old one to drop", path);
	if (rc == 0 && !force)
		rc = rotate_check_age(r, &ids, &refused, why);
	account_leave(&account);
	if (rc == 0 && (rc = age_retire(r, &ids, why)) == 0 &&
	    (rc = age_replace(r, &ids.id[0], why)) == 0) {
		identities_retired_path(r, retired);
		printf("%s has the new key only.  The old one is in %s, for what may still be "
		    "sealed to it; it goes by itself.\n", path, retired);
		if (refused > 0)
			printf("%llu objects that policy refused need it: look at them with "
			    "posthouse queue --state parked, posthouse open ID.\n", refused);
	}
	identities_fini(&ids);
	return rc;
}

static void
next_path(const struct role *r, char out[CONF_PATH_MAX + 32])
{
	snprintf(out, CONF_PATH_MAX + 32, "%s/tunnel-next.pem", r->common->state);
}

static int
tunnel_begin(const struct role *r, bool force, struct why *why)
{
	char path[CONF_PATH_MAX + 32], text[PIN_TEXT_MAX];
	struct pin pin;

	next_path(r, path);
	if (access(path, F_OK) == 0)
		return why_set(why, "%s is there already: a rotation is under way; end it with "
		    "posthouse rotate --tunnel --finish", path);
	if (keygen_tunnel(path, &pin, why) == -1)
		return -1;
	pin_print(&pin, text);
	printf("The next tunnel key is in %s, pin %s.\n", path, text);
	return 0;
}

static int
tunnel_finish(const struct role *r, bool force, struct why *why)
{
	char path[CONF_PATH_MAX + 32];
	struct why inner = { "" };
	struct pin pin;
	struct buf pem;
	int rc;

	next_path(r, path);
	if (access(path, F_OK) != 0)
		return why_set(why, "there is no %s: nothing to finish", path);
	if (read_file(path, CONF_FILE_MAX, &pem, why) == -1)
		return -1;
	/* Whatever is forced, no key gives way to what is none. */
	if ((rc = tls_pem_pin(buf_span(&pem), &pin, &inner)) == -1)
		why_set(why, "%s: %.300s; move it away, and begin anew: posthouse rotate --tunnel",
		    path, inner.text);
	else if (!force)
		rc = r->role == CONF_EDGE ? rotate_check_homes(r, buf_span(&pem), why) :
		    rotate_check_tunnel(r, buf_span(&pem), why);
	/* Written anew, not renamed: the key's file may lie on another file system. */
	if (rc == 0)
		rc = replace_secret(r->common->tunnel_key, buf_span(&pem), why);
	buf_wipe(&pem);
	if (rc == 0 && unlink(path) == -1)
		rc = why_sys(why, "%s", path);
	if (rc == 0)
		printf("%s is the new tunnel key.\n", r->common->tunnel_key);
	return rc;
}

static int
as_owner(int (*act)(const struct role *, bool force, struct why *), const struct role *r,
    const char *path, bool force, struct why *why)
{
	struct account account;
	int rc;

	if (state_enter(&account, r, path, why) == -1)
		return -1;
	rc = act(r, force, why);
	account_leave(&account);
	return rc;
}

/* What --finish without further words ends: whichever rotations were begun. */
static int
under_way(const struct role *r, bool *age, bool *tunnel, struct why *why)
{
	struct identities ids = { .n = 0 };
	char next[CONF_PATH_MAX + 32];
	struct account account;
	int rc = 0;

	next_path(r, next);
	if (state_enter(&account, r, next, why) == -1)
		return -1;
	*tunnel = access(next, F_OK) == 0;
	account_leave(&account);
	if (*age && (rc = state_enter(&account, r, r->home->age_key, why)) == 0) {
		rc = identities_load(&ids, r->home->age_key, why);
		*age = ids.n > 1;
		identities_fini(&ids);
		account_leave(&account);
	}
	if (rc == 0 && !*age && !*tunnel)
		rc = why_set(why, "no rotation is under way: nothing to finish");
	return rc;
}

static int
rotate(const struct role *r, const struct opts *o, struct why *why)
{
	bool age = r->role == CONF_HOME && (o->age || !o->tunnel), tunnel = o->tunnel || !o->age;
	char next[CONF_PATH_MAX + 32];

	if (o->finish && !o->age && !o->tunnel && under_way(r, &age, &tunnel, why) == -1)
		return -1;
	next_path(r, next);
	if (age && (o->finish ? age_finish(r, o->force, why) :
	    as_owner(age_begin, r, r->home->age_key, false, why)) == -1)
		return -1;
	if (tunnel && as_owner(o->finish ? tunnel_finish : tunnel_begin, r,
	    o->finish ? r->common->tunnel_key : next, o->force, why) == -1)
		return -1;
	printf("Now: systemctl reload posthouse-%s\n", role_name(r->role));
	/* An edge says what it seals to; a Worker has no tunnel to be told by, or to say it. */
	if (!o->finish && age && r->home->nworkers > 0)
		puts("Then give it to your Workers: posthouse worker-config, npx wrangler deploy");
	if (!o->finish)
		puts(r->role == CONF_HOME ? "Later, when edges have handed over what they hold: "
		    "posthouse rotate --finish" :
		    "Later, when every home has been connected: posthouse rotate --finish");
	return 0;
}

int
ctl_rotate(int argc, char **argv)
{
	struct opts o;
	struct role role;
	struct why why;
	int rc = opts_parse(argc, argv, &use, &o);

	if (rc != -1)
		return rc;
	if (o.force && !o.finish)
		return opts_misused(&use, "--force belongs to --finish", NULL);
	if (role_load(&role, &o, CONF_NO_ROLE, &why) == -1)
		rc = opts_failed(&use, &why);
	else if (role.role == CONF_EDGE && o.age)
		rc = opts_misused(&use, "an edge has no age key; it seals to its homes'", NULL);
	else
		rc = rotate(&role, &o, &why) == 0 ? CTL_OK : opts_failed(&use, &why);
	role_fini(&role);
	return rc;
}
