#include "ctl/doctor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/state.h"
#include "ctl/text.h"
#include "net/tls.h"
#include "priv/ground.h"
#include "priv/secrets.h"
#include "proto/pairing.h"

#define PEM_MAX		(256u << 10)	/* as priv/secrets.c */
#define AS_WHOM		"run this as root, or as the user that it belongs to"

struct look {
	const struct role *role;
	const struct findings *to;
	struct account	 account;
};

static const struct conf_hold *
hold_of(const struct role *r)
{
	return r->edge != NULL ? &r->edge->hold : &r->home->hold;
}

/* --- state and disk ------------------------------------------------------------------------ */

static void
no_state(const struct look *l, const char *path)
{
	struct why why;
	char keygen[100];
	bool missing = errno == ENOENT;

	why_sys(&why, "%s", path);
	snprintf(keygen, sizeof(keygen), "posthouse keygen --%s makes it, and its keys",
	    role_name(l->role->role));
	finding_tell(l->to, missing ? FINDING_FAIL : FINDING_WARN, "state",
	    missing ? keygen : AS_WHOM, "%s", why.text);
}

/* False: what is in it is out of sight. */
static bool
state(const struct look *l)
{
	const char *path = l->role->common->state;
	struct stat st;
	struct why why;

	if (stat(path, &st) == -1) {
		no_state(l, path);
		return false;
	}
	if (geteuid() != 0 && st.st_uid != geteuid()) {
		finding_tell(l->to, FINDING_WARN, "state", AS_WHOM, "%s belongs to user %u: what "
		    "is in it, keys and pairings, was not looked at", path, (unsigned)st.st_uid);
		return false;
	}
	if (!S_ISDIR(st.st_mode) || st.st_uid != l->account.uid)
		finding_tell(l->to, FINDING_FAIL, "state", "chown it, or mend the user key",
		    "%s is no directory of user %u, as which %s runs", path,
		    (unsigned)l->account.uid, role_name(l->role->role));
	else if (ground_whole(l->role->common, &why) == -1)
		finding_tell(l->to, FINDING_FAIL, "state", "", "%s", why.text);
	else
		finding_tell(l->to, FINDING_OK, "state", "", "%s", path);
	return S_ISDIR(st.st_mode);
}

static void
room(const struct look *l)
{
	const struct conf_common *c = l->role->common;
	uint64_t octets, reserve = hold_of(l->role)->reserve;
	struct statvfs v;

	if (statvfs(c->state, &v) == -1)
		return;
	octets = (uint64_t)v.f_bavail * v.f_frsize;
	if (octets <= reserve)
		finding_tell(l->to, FINDING_FAIL, "disk", "free room there, or lower hold.reserve",
		    "%s free below %s, and hold.reserve is %s: no mail is taken",
		    brief_size(octets).s, c->state, brief_size(reserve).s);
	else if (octets - reserve < c->alarms.disk)
		finding_tell(l->to, FINDING_WARN, "disk", "free room there before it ends",
		    "%s left above hold.reserve, and alarms.disk is %s",
		    brief_size(octets - reserve).s, brief_size(c->alarms.disk).s);
	else
		finding_tell(l->to, FINDING_OK, "disk", "", "%s free above hold.reserve",
		    brief_size(octets - reserve).s);
}

/* --- key files ------------------------------------------------------------------------------ */

/* The unit of a home starts it as its own user; that of an edge as root, who reads them all. */
static bool
roots_alone(const struct look *l, const char *path)
{
	bool no;

	account_enter(&l->account);
	no = l->role->home != NULL && faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == -1;
	account_leave(&l->account);
	return no;
}

static void
on_secret(void *arg, const struct secret_file *f, const struct why *why)
{
	const struct look *l = arg;
	size_t n = strlen(f->key);

	if (why == NULL && roots_alone(l, f->path))
		finding_tell(l->to, FINDING_WARN, f->key, "chown it to that user",
		    "%s: root alone can read it, and home's unit starts home as user %u", f->path,
		    (unsigned)l->account.uid);
	else if (why == NULL)
		finding_tell(l->to, FINDING_OK, f->key, "", "%s: %s", f->path, f->public ?
		    "as it should be" : "as it should be, and others cannot read it");
	else if (geteuid() != 0 && access(f->path, R_OK) == -1 && errno == EACCES)
		finding_tell(l->to, FINDING_WARN, f->key, AS_WHOM, "%s cannot be read by whoever "
		    "asks", f->path);
	else		/* the words begin with the key, which is said already */
		finding_tell_words(l->to, FINDING_FAIL, f->key, why->text +
		    (strncmp(why->text, f->key, n) == 0 && why->text[n] == ' ' ? n + 1 : 0), "; ",
		    "put it right, or name another in the configuration");
}

/* --- the certificate ------------------------------------------------------------------------ */

static bool
speaks_smtp(const struct conf_edge *c)
{
	for (size_t i = 0; i < c->nservices; i++)
		if (c->services[i].mode != CONF_PASS)
			return true;
	return false;
}

static void
dates(const struct look *l, SSL_CTX *ctx)
{
	const struct conf_edge *c = l->role->edge;
	char name[256], date[40];
	int64_t until, now = wall_ms();

	if (!tls_server_until(ctx, name, sizeof(name), &until)) {
		finding_tell(l->to, FINDING_WARN, "certificate", "", "%s: its end cannot be read",
		    c->tls.cert);
		return;
	}
	wall_iso(until, date, sizeof(date));
	if (until <= now)
		finding_tell(l->to, FINDING_FAIL, "certificate", "renew it; a new file is taken "
		    "when it is there", "%s, for %s, is over since %.10s", c->tls.cert, name, date);
	else if (until - now < c->common.alarms.certificate_ms)
		finding_tell(l->to, FINDING_WARN, "certificate", "renew it; a new file is taken "
		    "when it is there", "%s, for %s, ends on %.10s", c->tls.cert, name, date);
	else
		finding_tell(l->to, FINDING_OK, "certificate", "", "for %s, until %.10s", name,
		    date);
}

static void
certificate(const struct look *l)
{
	const struct conf_edge *c = l->role->edge;
	struct buf cert, key;
	SSL_CTX *ctx = NULL;
	struct why why;

	if (c->tls.cert[0] == '\0') {
		if (speaks_smtp(c))
			finding_tell(l->to, FINDING_WARN, "certificate", "get one, and name it in "
			    "tls { cert, key }", "none: what is held comes over the internet in "
			    "the clear");
		return;
	}
	/* What is wrong with the files themselves was told of each. */
	if (read_file(c->tls.cert, PEM_MAX, &cert, &why) == -1)
		return;
	if (read_file(c->tls.key, PEM_MAX, &key, &why) == 0) {
		ctx = tls_server_new(buf_span(&cert), buf_span(&key), &why);
		buf_wipe(&key);
	}
	buf_fini(&cert);
	if (ctx == NULL)
		return;
	dates(l, ctx);
	if (!tls_server_is(ctx, c->common.hostname))
		finding_tell(l->to, FINDING_WARN, "certificate", "get one for that name too: who "
		    "sends by MTA-STS refuses this one", "it is not for %s, the hostname here",
		    c->common.hostname);
	SSL_CTX_free(ctx);
}

/* --- pairings ------------------------------------------------------------------------------- */

static DIR *
open_peers(const struct look *l)
{
	char path[CONF_PATH_MAX + 16];
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%s", l->role->common->state, l->role->edge != NULL ?
	    "homes" : "edges");
	account_enter(&l->account);
	dir = opendir(path);
	account_leave(&l->account);
	return dir;
}

/* Files of peers, and those whose key is in the configuration, once each; -1: no look there. */
static int
count_peers(const struct look *l)
{
	const struct role *r = l->role;
	const struct dirent *e;
	int n = 0;
	DIR *dir = open_peers(l);

	if (dir == NULL && errno != ENOENT)
		return -1;
	while (dir != NULL && (e = readdir(dir)) != NULL)
		n += e->d_name[0] != '.';
	if (dir != NULL)
		closedir(dir);
	for (size_t i = 0; n == 0 && r->edge != NULL && i < r->edge->nhomes; i++)
		n += r->edge->homes[i].has_pin;
	return n == 0 && r->home != NULL ? (int)r->home->nedges : n;
}

static void
pairings(const struct look *l)
{
	const struct role *r = l->role;
	const char *peer = r->edge != NULL ? "home" : "edge";
	int n = count_peers(l);

	if (n == -1)
		finding_tell(l->to, FINDING_WARN, "pairing", AS_WHOM, "the pairings cannot be "
		    "read");
	else if (n > 0)
		finding_tell(l->to, FINDING_OK, "pairing", "", "with %d %s%s", n, peer,
		    n == 1 ? "" : "s");
	else if (r->edge != NULL)
		finding_tell(l->to, FINDING_FAIL, "pairing", "posthouse pair NAME DOMAIN prints "
		    "the line for a home", "no home is paired: mail has nowhere to go");
	else if (r->home->nworkers == 0)
		finding_tell(l->to, FINDING_FAIL, "pairing", "take the line of the edge's "
		    "posthouse pair to posthouse pair here", "no edge is paired, and there is no "
		    "worker: no mail comes");
}

struct sharing {			/* an edge's homes, of which each holds mail in one room */
	const struct conf_edge *edge;
	size_t		 n;
	char		 all[PAIRING_NAME_MAX + 1];	/* who may fill all of it; "": nobody */
};

static void
share(struct sharing *s, const char *home)
{
	s->n++;
	if (conf_edge_quota(s->edge, home) >= s->edge->hold.quota)
		span_copy(span_str(home), s->all, sizeof(s->all));
}

static bool
is_configured(const struct conf_edge *c, const char *home)
{
	for (size_t i = 0; i < c->nhomes; i++)
		if (strcmp(c->homes[i].name, home) == 0)
			return true;
	return false;
}

/* One home that is away for long must not have the mail of the others refused. */
static void
quotas(const struct look *l)
{
	struct sharing s = { .edge = l->role->edge };
	const struct dirent *e;
	char advice[200];
	DIR *dir = open_peers(l);

	while (dir != NULL && (e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.' && !is_configured(s.edge, e->d_name))
			share(&s, e->d_name);
	if (dir != NULL)
		closedir(dir);
	for (size_t i = 0; i < s.edge->nhomes; i++)
		share(&s, s.edge->homes[i].name);
	if (s.n < 2 || s.all[0] == '\0')
		return;
	snprintf(advice, sizeof(advice), "write home \"%s\" { quota = ... }, less than that, and "
	    "so for each", s.all);
	finding_tell(l->to, FINDING_WARN, "home.quota", advice, "while home %s is away its mail "
	    "may fill all of hold.quota, %s; then the mail of %s is refused, too", s.all,
	    brief_size(s.edge->hold.quota).s, s.n == 2 ? "the other home" : "all other homes");
}

/* --- what the configuration names ------------------------------------------------------------ */

/* Which the role's account has to reach, not root. */
static void
reached(const struct look *l, const char *check, const char *path, int mode, const char *what)
{
	struct why why = { "" };

	if (path[0] == '\0')
		return;
	account_enter(&l->account);
	if (faccessat(AT_FDCWD, path, mode, AT_EACCESS) == -1)
		why_sys(&why, "%s: user %u cannot %s", path, (unsigned)l->account.uid, what);
	account_leave(&l->account);
	finding_tell(l->to, why.text[0] != '\0' ? FINDING_FAIL : FINDING_OK, check,
	    why.text[0] != '\0' ? "mount its disk, make it, or give that user the right to it" : "",
	    "%s", why.text[0] != '\0' ? why.text : path);
}

static void
telling(const struct look *l)
{
	const struct conf_alarms *a = &l->role->common->alarms;

	if (a->command[0] == '\0' && a->mail[0] == '\0' && !conf_alarms_webhook(a))
		finding_tell(l->to, FINDING_WARN, "alarms", "give alarms {} a command, a webhook "
		    "or an address: posthouse.conf(5)", "nobody is told of them: they are in the "
		    "log and in posthouse status");
	else
		finding_tell(l->to, FINDING_OK, "alarms", "", "somebody is told of them; "
		    "posthouse alarm --test tries it");
}

void
doctor_files(const struct role *r, const struct findings *to)
{
	struct look l = { .role = r, .to = to };
	struct why why;

	if (account_find(&l.account, r->common, &why) == -1) {
		finding_tell_words(to, FINDING_FAIL, "user", why.text, "; ", "");
		return;
	}
	room(&l);
	if (state(&l)) {
		secrets_look(&l.account, r->edge, r->home, on_secret, &l);
		pairings(&l);
		if (r->home != NULL) {
			reached(&l, "deliver.maildir", r->home->maildir, W_OK | X_OK,
			    "make mailboxes there");
			reached(&l, "mailboxes.file", r->home->users_file, R_OK, "read it");
		}
	}
	if (r->edge != NULL) {
		quotas(&l);
		certificate(&l);
	}
	telling(&l);
}
