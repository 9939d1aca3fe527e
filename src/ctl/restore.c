#include "ctl/ctl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/backup_files.h"
#include "ctl/identity.h"
#include "ctl/opts.h"
#include "ctl/restore_both.h"
#include "ctl/restore_swap.h"
#include "ctl/role.h"
#include "ctl/state.h"
#include "priv/ground.h"
#include "proto/mailbox_password.h"
#include "store/db_copy.h"
#include "store/ledger_words.h"

/* restore: a backup, back into the state of a home that is stopped or was never there. */
static const struct opts_use use = {
	"restore", OPT_CONF | OPT_ACCEPT, 0, 1,
	"usage: posthouse restore [-c FILE] [--accept] DIR\n"
	"       posthouse restore [-c FILE] --accept\n"
	"       posthouse restore [-c FILE]\n"
	"\n"
	"At home, which must be stopped: looks whether the backup in DIR is whole, and puts it\n"
	"into home's state.  What it replaces is kept in aside/ there.  A ledger that is older\n"
	"than the one that is here, or another one's, is refused.  --accept takes it all the\n"
	"same: mail that is here and not in the backup stays, and a message may come twice.\n"
	"\n"
	"Where edges say that this home's ledger is an old copy, they keep what they hold until\n"
	"--accept, without DIR, has said that it is meant.\n"
	"\n"
	"Without anything it finishes a restore that was cut off.\n"
	"\n"
	"  -c, --config FILE   home's configuration; /etc/posthouse/home.conf\n"
	"      --accept        an older or another ledger is meant\n"
};

#define TOLD_MAX	65536		/* octets about what both have */

struct restore {
	struct role	 role;
	struct account	 account;
	const char	*path;		/* DIR; NULL: none */
	int		 dir;
	int		 state, lock;	/* STATE, and whoever holds it locked */
	int		 parent;	/* the lock of home's parent: its writer may just be away */
	int		 staging;	/* STATE/restore.new */
	char		 staged[CONF_PATH_MAX];	/* its path */
	struct db	*here;		/* the ledger of before; NULL: there was none */
	struct db	*next;
	bool		 accept, carry;
	bool		 here_is_later;	/* or the very same: the ledger, and so the pairings */
	struct buf	 told;
	int		 restaged, carried;
	struct ledger_mark mark;
};

/* --- the files of a backup ---------------------------------------------------------------- */

static bool
in_folder(const char *name, const char *folder)
{
	size_t n = strlen(folder);

	return strncmp(name, folder, n) == 0 && name[n] == '/';
}

/* Whether it has a place in STATE; the others are read and their sums judged. */
static bool
placed(const char *name)
{
	return strcmp(name, BACKUP_DB) == 0 || backup_is_key(name) ||
	    in_folder(name, BACKUP_EDGES) ||
	    (in_folder(name, BACKUP_LARGE) && db_name_ok(name + sizeof(BACKUP_LARGE)));
}

static int
verify(struct restore *r, const struct sum *s, struct why *why)
{
	char words[BACKUP_PATH_MAX];
	unsigned char sha256[SHA256_LEN];
	uint64_t octets;
	int from = openat(r->dir, s->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), to = -1, rc;

	snprintf(words, sizeof(words), "%s/%s, into home's state", r->path, s->name);
	if (from == -1)
		return why_sys(why, "%s", words);
	if (placed(s->name)) {
		account_enter(&r->account);
		to = openat(r->staging, s->name,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		account_leave(&r->account);
	}
	if (to == -1 && placed(s->name))
		rc = why_sys(why, "%s/%s", r->staged, s->name);
	else
		rc = backup_copy(from, to, words, sha256, &octets, why);
	if (rc == 0 && memcmp(sha256, s->sha256, SHA256_LEN) != 0)
		rc = why_set(why, "%s: is not what it was when the backup was made: it is cut, "
		    "damaged or changed; take another backup", words);
	if (to != -1)
		close(to);
	close(from);
	return rc;
}

static int
read_all(struct restore *r, struct why *why)
{
	char path[BACKUP_PATH_MAX];
	bool db = false, about = false;
	struct buf text;
	struct span left;
	struct sum s;
	int rc = 0;

	snprintf(path, sizeof(path), "%s/" BACKUP_SUMS, r->path);
	if (access(path, F_OK) == -1 && errno == ENOENT)
		return why_set(why, "%s has no " BACKUP_SUMS ": it is no backup, or one that was "
		    "cut off while it was made", r->path);
	if (read_file(path, BACKUP_SUMS_MAX, &text, why) == -1)
		return -1;
	left = buf_span(&text);
	while (rc == 0 && sums_next(&left, &s)) {
		about |= strcmp(s.name, BACKUP_ABOUT) == 0;
		db |= strcmp(s.name, BACKUP_DB) == 0;
		rc = verify(r, &s, why);
	}
	if (rc == 0 && left.n > 0)
		rc = why_set(why, "%s: a line of it is none of a backup's", path);
	else if (rc == 0 && (!about || !db))
		rc = why_set(why, "%s: is not of a home's backup, or of another version's", path);
	buf_fini(&text);
	return rc;
}

/* --- keys --------------------------------------------------------------------------------- */

/* Where the configuration has it elsewhere, that is root's: it must be there already. */
static int
key_elsewhere(struct restore *r, const char *key, struct why *why)
{
	char path[BACKUP_PATH_MAX], copy[BACKUP_PATH_MAX];
	struct buf a, b;
	bool same;

	backup_key_path(&r->role, key, path);
	snprintf(copy, sizeof(copy), "%s/%s", r->path, key);
	if (read_file(copy, IDENTITY_FILE_MAX, &b, why) == -1)
		return -1;
	if (access(path, F_OK) == -1) {
		same = false;
	} else if (read_file(path, IDENTITY_FILE_MAX, &a, why) == -1) {
		buf_wipe(&b);
		return -1;
	} else {
		same = span_eq(buf_span(&a), buf_span(&b));
		buf_wipe(&a);
	}
	buf_wipe(&b);
	if (!same)
		return why_set(why, "%s is not the key of the backup, and not in home's state: put "
		    "it there yourself (keep the other one): install -m 600 %.200s %.100s", path,
		    copy, path);
	return unlinkat(r->staging, key, 0) == 0 ? 0 : why_sys(why, "%s", key);
}

static bool
has_identity(const struct identities *ids, const struct age_identity *id)
{
	for (size_t i = 0; i < ids->n; i++)
		if (memcmp(ids->id[i].pub, id->pub, sizeof(id->pub)) == 0)
			return true;
	return false;
}

/* Identities that are here and not in the backup open what is here, and what edges hold. */
static int
keep_identities(struct restore *r, struct why *why)
{
	struct identities here = { .n = 0 }, next = { .n = 0 };
	char path[BACKUP_PATH_MAX], secret[AGE_TEXT_MAX];
	const char *key = r->role.home->age_key;
	struct role staged = r->role;
	struct conf_common common = *r->role.common;
	struct buf text;
	size_t n;
	int rc = -1;

	/* Elsewhere it is the backup's own, as was seen. */
	if (!backup_key_inside(&r->role, "age.key") || access(key, F_OK) == -1)
		return 0;
	span_copy(span_str(r->staged), common.state, sizeof(common.state));
	staged.common = &common;
	snprintf(path, sizeof(path), "%s/age.key", r->staged);
	buf_init(&text, IDENTITY_FILE_MAX);
	if (identities_load(&here, key, why) == 0 &&
	    identities_add_retired(&here, &r->role, why) == 0 &&
	    identities_load(&next, access(path, F_OK) == 0 ? path : key, why) == 0) {
		n = next.n;
		rc = identities_add_retired(&next, &staged, why);
		for (size_t i = n; rc == 0 && i < next.n; i++) {
			age_identity_print(&next.id[i], secret);
			buf_addf(&text, "%s\n", secret);
		}
		n = next.n - n;
		for (size_t i = 0; rc == 0 && i < here.n; i++)
			if (!has_identity(&next, &here.id[i])) {
				age_identity_print(&here.id[i], secret);
				buf_addf(&text, "%s\n", secret);
				n++;
			}
		explicit_bzero(secret, sizeof(secret));
		identities_retired_path(&staged, path);
		if (rc == 0 && n > IDENTITIES_RETIRED_MAX)
			rc = why_set(why, "%s would hold more than %d keys", path,
			    IDENTITIES_RETIRED_MAX);
		else if (rc == 0 && text.n > 0)
			rc = replace_secret(path, buf_span(&text), why);
	}
	buf_wipe(&text);
	identities_fini(&here);
	identities_fini(&next);
	return rc;
}

static struct both
both_of(const struct restore *r)
{
	return (struct both){ r->role.common->state, r->staged };
}

/*
 * Whose password was rotated since is not let in with the one before: of two lines the greater
 * counts.  Not those of another key, from which other passwords follow.
 */
static int
keep_counters(const struct restore *r, struct why *why)
{
	char path[BACKUP_PATH_MAX];
	const struct both both = both_of(r);
	struct buf here, next;
	bool other = false;
	int rc = both_read(&both, "password.key", IDENTITY_FILE_MAX, &here, &next, why);

	if (rc == 1) {
		other = !span_eq(buf_span(&here), buf_span(&next));
		buf_wipe(&here);
		buf_wipe(&next);
	}
	if (rc == -1 || other)
		return rc == -1 ? -1 : 0;
	rc = both_read(&both, "password-counters", MAILBOX_COUNTERS_MAX, &here, &next, why);
	if (rc != 1)
		return rc;
	rc = 0;
	if (!span_eq(buf_span(&here), buf_span(&next))) {
		snprintf(path, sizeof(path), "%s/password-counters", r->staged);
		buf_add(&next, "\n", 1);
		buf_add_span(&next, buf_span(&here));
		rc = next.failed ? why_set(why, "%s: too many users whose passwords were rotated",
		    path) : replace_secret(path, buf_span(&next), why);
	}
	buf_fini(&here);
	buf_fini(&next);
	return rc;
}

static int
keys_elsewhere(struct restore *r, struct why *why)
{
	char key[SUMS_NAME_MAX];

	for (size_t i = 0; backup_key(&r->role, i, key); i++)
		if (!backup_key_inside(&r->role, key) &&
		    faccessat(r->staging, key, F_OK, 0) == 0 &&
		    key_elsewhere(r, key, why) == -1)
			return -1;
	return 0;
}

/* --- the ledger --------------------------------------------------------------------------- */

/* Which of the two ledgers is the later state, and what is done about it. */
static int
compare(struct restore *r, struct why *why)
{
	struct ledger_mark here = db_ledger_mark(r->here), next = db_ledger_mark(r->next);
	bool older = here.epoch == next.epoch && (next.counter < here.counter ||
	    ledger_parted(&next, ledger_run(&here), here.counter));
	bool other = here.epoch != next.epoch && !db_unused(r->here);

	r->carry = older || other;
	r->here_is_later = here.epoch == next.epoch && next.counter <= here.counter;
	if (!r->carry || r->accept)
		return 0;
	if (older)
		return why_set(why, "%s %s the ledger that is here (counter %" PRIu64 ", here %"
		    PRIu64 "): what came and went since would be done again. Leave this one as it "
		    "is; or, with --accept, the other takes its place, what is here and not in it "
		    "stays, and messages may come twice", r->path, next.counter < here.counter ?
		    "is older than" : "knows nothing of the last of", next.counter, here.counter);
	return why_set(why, "%s is of another ledger than the one that is here, which has taken "
	    "mail. With --accept it takes its place, what is here and not in it stays, and "
	    "messages may come twice", r->path);
}

static int
change_ledger(struct restore *r, struct why *why)
{
	if ((r->next = db_open(&sys_real, r->staged, CONF_HOME, NULL, why)) == NULL)
		return -1;
	r->mark = db_ledger_mark(r->next);
	if (db_lost(r->next)[0] != '\0')
		return why_set(why, "%s: its ledger is damaged", r->path);
	if (r->here != NULL && compare(r, why) == -1)
		return -1;
	if (r->carry && (r->carried = db_carry(r->next, r->role.common->state, why)) == -1)
		return -1;
	if ((r->restaged = db_restage(r->next, why)) == -1)
		return -1;
	/* Accepted: edges take it for a ledger that they have not seen. */
	if ((r->accept ? db_new_epoch(r->next, why) :
	    db_set_counter(r->next, r->mark.counter, why)) == -1)
		return -1;
	return db_commit(r->next, why);
}

/* --- the state ---------------------------------------------------------------------------- */

static int
open_state(struct restore *r, struct why *why)
{
	const char *path = r->role.common->state;

	if ((r->state = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return why_sys(why, "%s", path);
	r->parent = openat(r->state, GROUND_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (r->parent == -1)
		return why_sys(why, "%s/" GROUND_LOCK, path);
	if (flock(r->parent, LOCK_EX | LOCK_NB) == -1 || flock(r->state, LOCK_EX | LOCK_NB) == -1)
		return why_set(why, "%s: home is running: stop it first", path);
	return 0;
}

/* The ledger that is here, with its lock in place of ours. */
static int
open_here(struct restore *r, struct why *why)
{
	if (faccessat(r->state, BACKUP_DB, F_OK, AT_SYMLINK_NOFOLLOW) == -1)
		return 0;
	flock(r->state, LOCK_UN);
	if ((r->here = db_open(&sys_real, r->role.common->state, CONF_HOME, NULL, why)) == NULL)
		return -1;
	r->lock = db_lock_dup(r->here);
	return r->lock != -1 ? 0 : why_sys(why, "%s", r->role.common->state);
}

static int
open_staging(struct restore *r, struct why *why)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

	if ((size_t)snprintf(r->staged, sizeof(r->staged), "%s/" RESTORE_NEW,
	    r->role.common->state) >= sizeof(r->staged))
		return why_set(why, "%s: too long a path", r->role.common->state);
	if (restore_clear(r->state, why) == -1)
		return -1;
	if (mkdirat(r->state, RESTORE_NEW, 0700) == -1 ||
	    (r->staging = openat(r->state, RESTORE_NEW, flags)) == -1 ||
	    mkdirat(r->staging, BACKUP_LARGE, 0700) == -1 ||
	    mkdirat(r->staging, BACKUP_EDGES, 0700) == -1)
		return why_sys(why, "%s", r->staged);
	return 0;
}

static int
sync_staging(struct restore *r, struct why *why)
{
	int large = openat(r->staging, BACKUP_LARGE, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	unlinkat(r->staging, "aside", AT_REMOVEDIR);	/* db_open made it, and nothing came */
	rc = large != -1 && fsync(large) == 0 && fsync(r->staging) == 0 ? 0 :
	    why_sys(why, "%s", r->staged);
	if (large != -1)
		close(large);
	return rc;
}

/* --- the three uses ----------------------------------------------------------------------- */

static void
tell_twice(const struct restore *r)
{
	if (r->restaged > 0)
		printf("%d deliveries were under way and are made anew: each may come twice.\n",
		    r->restaged);
}

/* No backup has the mailboxes, and home that has a ledger does not make their folder. */
static void
tell_mailboxes(const struct restore *r)
{
	const char *path = r->role.home->maildir;

	if (path[0] != '\0' && access(path, F_OK) == -1 && errno == ENOENT)
		printf("Home does not start yet: deliver.maildir %s is not there.  Mount the disk "
		    "that it lies on, or make it, for user %u to write into.\n", path,
		    (unsigned)r->account.uid);
}

static int
finish(struct restore *r, struct why *why)
{
	char aside[64];

	if (restore_swap(r->state, aside, sizeof(aside), why) == -1)
		return -1;
	puts("A restore that was cut off is finished.");
	if (aside[0] != '\0')
		printf("What it replaced is in %s/%s.\n", r->role.common->state, aside);
	tell_mailboxes(r);
	return 0;
}

static int
accept_here(struct restore *r, struct why *why)
{
	if (open_here(r, why) == -1)
		return -1;
	if (r->here == NULL)
		return why_set(why, "%s: there is no ledger here to accept", r->role.common->state);
	if ((r->restaged = db_restage(r->here, why)) == -1 || db_new_epoch(r->here, why) == -1 ||
	    db_commit(r->here, why) == -1)
		return -1;
	puts("The ledger that is here is accepted: edges take it for a new one, and hand over what "
	    "they hold.");
	tell_twice(r);
	return 0;
}

static int
put_back(struct restore *r, struct why *why)
{
	char aside[64];
	struct both both;
	int rc;

	if ((r->dir = open(r->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return errno == ENOTDIR ? why_set(why, "%s: a backup is a directory; is this its "
		    "archive, that is to be unpacked?", r->path) : why_sys(why, "%s", r->path);
	account_enter(&r->account);
	rc = open_here(r, why) == 0 && open_staging(r, why) == 0 ? 0 : -1;
	account_leave(&r->account);
	if (rc == -1 || read_all(r, why) == -1 || keys_elsewhere(r, why) == -1)
		return -1;
	both = both_of(r);
	account_enter(&r->account);
	rc = keep_identities(r, why) == 0 && keep_counters(r, why) == 0 &&
	    change_ledger(r, why) == 0 &&
	    both_edges(&both, r->here_is_later, r->here != NULL && !db_unused(r->here),
	    &r->told, why) == 0 &&
	    both_keys(&both, &r->told, why) == 0 ? 0 : -1;
	db_close(&r->next);
	db_close(&r->here);
	if (rc == 0 && (sync_staging(r, why) == -1 ||
	    restore_swap(r->state, aside, sizeof(aside), why) == -1))
		rc = -1;
	account_leave(&r->account);
	if (rc == -1)
		return -1;
	printf("%s is in %s: the ledger at counter %" PRIu64 ", mail, keys and pairings.\n",
	    r->path, r->role.common->state, r->mark.counter);
	if (aside[0] != '\0')
		printf("What was here is in %s/%s.\n", r->role.common->state, aside);
	if (r->told.n > 0)
		fwrite(r->told.p, 1, r->told.n, stdout);
	if (r->carry)
		printf("%d messages that were here and not in the backup stay.  What was delivered "
		    "since the backup and is waiting in it comes twice.\n", r->carried);
	tell_twice(r);
	if (!r->accept)
		puts("Where an edge has handed over mail since, it says so, and keeps what it "
		    "holds until posthouse restore --accept.");
	tell_mailboxes(r);
	return 0;
}

static int
begin(struct restore *r, struct why *why)
{
	int rc;

	if (state_make(&r->role, why) == -1 || account_find(&r->account, r->role.common, why) == -1)
		return -1;
	account_enter(&r->account);
	rc = open_state(r, why);
	if (rc == 0 && restore_pending(r->state)) {
		rc = finish(r, why);
		if (rc == 0 && (r->path != NULL || r->accept))
			rc = why_set(why, "that one was finished; look at it, and run this again "
			    "if you mean another");
		account_leave(&r->account);
		return rc;
	}
	if (rc == 0 && r->path == NULL)
		rc = r->accept ? accept_here(r, why) :
		    why_set(why, "no restore was cut off here; name a backup");
	account_leave(&r->account);
	return rc == 0 && r->path != NULL ? put_back(r, why) : rc;
}

static void
fini(struct restore *r)
{
	struct why why;

	account_enter(&r->account);
	db_close(&r->next);
	db_close(&r->here);
	if (r->staging != -1 && r->state != -1)
		restore_clear(r->state, &why);		/* after a refusal; else it is gone */
	account_leave(&r->account);
	for (size_t i = 0; i < 5; i++) {
		int fd = (int[]){ r->dir, r->staging, r->state, r->lock, r->parent }[i];

		if (fd != -1)
			close(fd);
	}
	buf_fini(&r->told);
	role_fini(&r->role);
}

int
ctl_restore(int argc, char **argv)
{
	struct restore r = { .dir = -1, .state = -1, .lock = -1, .parent = -1,
	    .staging = -1 };
	struct opts o;
	struct why why;
	int rc = opts_parse(argc, argv, &use, &o);

	if (rc != -1)
		return rc;
	r.path = o.nargs > 0 ? o.args[0] : NULL;
	r.accept = o.accept;
	buf_init(&r.told, TOLD_MAX);
	rc = CTL_OK;
	if (role_load(&r.role, &o, CONF_HOME, &why) == -1 || begin(&r, &why) == -1)
		rc = opts_failed(&use, &why);
	fini(&r);
	return rc;
}
