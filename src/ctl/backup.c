#include "ctl/ctl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "ctl/backup_files.h"
#include "ctl/octets.h"
#include "ctl/opts.h"
#include "ctl/role.h"
#include "ctl/state.h"
#include "store/db_copy.h"

/* backup: what a home needs to go on elsewhere, from a running one or a stopped one. */
static const struct opts_use use = {
	"backup", OPT_CONF, 1, 1,
	"usage: posthouse backup [-c FILE] DIR\n"
	"\n"
	"At home, running or stopped: makes DIR and puts into it the ledger with all mail that is\n"
	"held here, the keys, the pairings and a copy of the configuration, as they are at one\n"
	"moment, with their checksums.  It holds every key of this home: keep it where nobody\n"
	"reads it, or seal it.\n"
	"\n"
	"  -c, --config FILE   home's configuration; /etc/posthouse/home.conf\n"
};

struct backup {
	struct role	 role;
	struct account	 account;
	const char	*path;		/* DIR */
	int		 dir;
	int		 large;		/* STATE/large */
	struct db_source *source;
	struct buf	 sums;
	struct db_copied copied;
	unsigned	 edges;
};

/* --- files -------------------------------------------------------------------------------- */

static int
add_sum(struct backup *b, const char *name, const unsigned char sha256[SHA256_LEN],
    struct why *why)
{
	char line[SUMS_LINE_MAX + 1];
	struct sum s;

	memcpy(s.sha256, sha256, SHA256_LEN);
	span_copy(span_str(name), s.name, sizeof(s.name));
	return buf_add(&b->sums, line, sums_line(&s, line)) ? 0 :
	    why_set(why, "more files than a backup may have");
}

/* Takes from; it is copied to DIR/name. */
static int
take(struct backup *b, int from, const char *name, struct why *why)
{
	unsigned char sha256[SHA256_LEN];
	char words[BACKUP_PATH_MAX];
	uint64_t octets;
	int to = openat(b->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), rc = -1;

	snprintf(words, sizeof(words), "%s/%s", b->path, name);
	if (to == -1)
		why_sys(why, "%s", words);
	else if (backup_copy(from, to, words, sha256, &octets, why) == 0)
		rc = add_sum(b, name, sha256, why);
	if (to != -1)
		close(to);
	if (to != -1 && rc == -1)
		unlinkat(b->dir, name, 0);
	close(from);
	return rc;
}

static int
take_text(struct backup *b, const char *name, const struct buf *text, struct why *why)
{
	int pipe_[2];

	if (text->failed || text->n > 4096 || pipe(pipe_) == -1)
		return why_sys(why, "%s", name);
	if (write(pipe_[1], text->p, text->n) != (ssize_t)text->n) {
		close(pipe_[0]);
		close(pipe_[1]);
		return why_sys(why, "%s", name);
	}
	close(pipe_[1]);
	return take(b, pipe_[0], name, why);
}

/* --- the ledger and its mail -------------------------------------------------------------- */

/* A file that is gone was settled after the copy; its row must be gone as well, or it is lost. */
static int
keep_large(void *arg, int64_t row, const char *file, uint64_t size, struct why *why)
{
	struct backup *b = arg;
	char name[SUMS_NAME_MAX];
	struct stat st;
	int from, rc;

	account_enter(&b->account);
	from = openat(b->large, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	account_leave(&b->account);
	if (from == -1 && errno == ENOENT) {
		rc = db_source_has(b->source, row, why);
		return rc == 1 ? why_set(why, "%s/large/%s: is missing; see `posthouse queue`",
		    b->role.common->state, file) : rc;
	}
	if (from == -1 || fstat(from, &st) == -1 || (uint64_t)st.st_size != size) {
		why_set(why, "%s/large/%s: is not as its row says", b->role.common->state, file);
		if (from != -1)
			close(from);
		return -1;
	}
	snprintf(name, sizeof(name), BACKUP_LARGE "/%s", file);
	return take(b, from, name, why) == 0 ? 1 : -1;
}

static int
take_ledger(struct backup *b, struct why *why)
{
	char path[BACKUP_PATH_MAX], large[BACKUP_PATH_MAX];
	unsigned char sha256[SHA256_LEN];
	uint64_t octets;
	int fd, rc;

	snprintf(path, sizeof(path), "%s/" BACKUP_DB, b->path);
	snprintf(large, sizeof(large), "%s/" BACKUP_LARGE, b->role.common->state);
	account_enter(&b->account);
	b->source = db_source_open(b->role.common->state, why);
	b->large = open(large, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	account_leave(&b->account);
	if (b->source == NULL)
		return -1;
	if (b->large == -1)
		return why_sys(why, "%s", large);
	if (db_source_copy(b->source, path, why) == -1 ||
	    db_copy_large(path, keep_large, b, &b->copied, why) == -1)
		return -1;
	/* Its sum is of what lies there at the end. */
	fd = openat(b->dir, BACKUP_DB, O_RDONLY | O_CLOEXEC);
	if (fd == -1 || fsync(fd) == -1)
		rc = why_sys(why, "%s", path);
	else if ((rc = backup_copy(fd, -1, path, sha256, &octets, why)) == 0)
		rc = add_sum(b, BACKUP_DB, sha256, why);
	if (fd != -1)
		close(fd);
	return rc;
}

/* --- keys and pairings -------------------------------------------------------------------- */

static int
take_keys(struct backup *b, struct why *why)
{
	char key[SUMS_NAME_MAX];

	for (size_t i = 0; backup_key(&b->role, i, key); i++) {
		char path[BACKUP_PATH_MAX];
		struct account account;
		int from;

		backup_key_path(&b->role, key, path);
		if (state_enter(&account, &b->role, path, why) == -1)
			return -1;
		from = open(path, O_RDONLY | O_CLOEXEC);
		account_leave(&account);
		if (from == -1 && errno == ENOENT && !backup_key_needed(key))
			continue;
		if (from == -1)
			return why_sys(why, "%s", path);
		if (take(b, from, key, why) == -1)
			return -1;
	}
	return 0;
}

static int
take_edges(struct backup *b, struct why *why)
{
	char path[BACKUP_PATH_MAX], name[SUMS_NAME_MAX];
	struct dirent *e;
	int fd, rc = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/" BACKUP_EDGES, b->role.common->state);
	account_enter(&b->account);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	account_leave(&b->account);
	if (fd == -1)
		return errno == ENOENT ? 0 : why_sys(why, "%s", path);
	if ((d = fdopendir(fd)) == NULL) {
		close(fd);
		return why_sys(why, "%s", path);
	}
	while (rc == 0 && (e = readdir(d)) != NULL) {
		int from;

		if (e->d_name[0] == '.' || !sums_name_ok(span_str(e->d_name)))
			continue;
		snprintf(name, sizeof(name), BACKUP_EDGES "/%.255s", e->d_name);
		account_enter(&b->account);
		from = openat(fd, e->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		account_leave(&b->account);
		rc = from != -1 ? take(b, from, name, why) : why_sys(why, "%s", path);
		b->edges++;
	}
	closedir(d);
	return rc;
}

/* --- the whole ---------------------------------------------------------------------------- */

static int
take_about(struct backup *b, struct why *why)
{
	char now[40], *end;
	struct buf text;
	int conf = open(b->role.file, O_RDONLY | O_CLOEXEC), rc;

	if (conf == -1)
		return why_sys(why, "%s", b->role.file);
	if (take(b, conf, "home.conf", why) == -1)
		return -1;
	wall_iso(wall_ms(), now, sizeof(now));
	if ((end = strchr(now, '.')) != NULL)
		*end = '\0';
	buf_init(&text, 4096);
	buf_addf(&text, "A backup of a posthouse home, with all its keys.\n\n"
	    "host: %s\nmade: %s UTC, by posthouse %s\n"
	    "configuration: %s, here as home.conf\nledger: epoch %" PRIu64 ", counter %" PRIu64
	    "; %" PRIu64 " messages, %" PRIu64 " of them in large/\n\n"
	    "Look whether it is whole: sha256sum -c SHA256SUMS\n"
	    "Put it back: posthouse restore DIR\n", b->role.common->hostname, now,
	    POSTHOUSE_VERSION, b->role.file, b->copied.mark.epoch, b->copied.mark.counter,
	    b->copied.objects, b->copied.large);
	rc = take_text(b, BACKUP_ABOUT, &text, why);
	buf_fini(&text);
	return rc;
}

/* From here on it is a backup. */
static int
write_sums(struct backup *b, struct why *why)
{
	const char *made = ".SHA256SUMS.new";
	int fd = openat(b->dir, made, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), rc = -1;

	if (fd == -1 || octets_write(fd, buf_span(&b->sums)) == -1 || fsync(fd) == -1 ||
	    fsync(b->dir) == -1 || renameat(b->dir, made, b->dir, BACKUP_SUMS) == -1 ||
	    fsync(b->dir) == -1) {
		why_sys(why, "%s/" BACKUP_SUMS, b->path);
		unlinkat(b->dir, made, 0);
	} else {
		rc = 0;
	}
	if (fd != -1)
		close(fd);
	return rc;
}

static int
sync_folder(struct backup *b, const char *name, struct why *why)
{
	int fd = openat(b->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	rc = fd != -1 && fsync(fd) == 0 ? 0 : why_sys(why, "%s/%s", b->path, name);
	if (fd != -1)
		close(fd);
	return rc;
}

static int
fill(struct backup *b, struct why *why)
{
	if ((b->dir = open(b->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1 ||
	    mkdirat(b->dir, BACKUP_LARGE, 0700) == -1 || mkdirat(b->dir, BACKUP_EDGES, 0700) == -1)
		return why_sys(why, "%s", b->path);
	/* The keys behind the mail: a rotation meanwhile keeps the old ones, which it wants. */
	if (take_ledger(b, why) == -1 || take_keys(b, why) == -1 || take_edges(b, why) == -1 ||
	    take_about(b, why) == -1 || sync_folder(b, BACKUP_LARGE, why) == -1 ||
	    sync_folder(b, BACKUP_EDGES, why) == -1)
		return -1;
	return write_sums(b, why);
}

/* What a backup that failed has made: the files of its list, and the folders if they are empty. */
static void
undo(struct backup *b)
{
	struct span text = buf_span(&b->sums);
	struct sum s;

	while (b->dir != -1 && sums_next(&text, &s))
		unlinkat(b->dir, s.name, 0);
	if (b->dir != -1) {
		unlinkat(b->dir, BACKUP_DB, 0);
		unlinkat(b->dir, BACKUP_DB "-journal", 0);
		unlinkat(b->dir, BACKUP_LARGE, AT_REMOVEDIR);
		unlinkat(b->dir, BACKUP_EDGES, AT_REMOVEDIR);
	}
	rmdir(b->path);
}

int
ctl_backup(int argc, char **argv)
{
	struct backup b = { .dir = -1, .large = -1 };
	struct opts o;
	struct why why;
	int rc = opts_parse(argc, argv, &use, &o);

	if (rc != -1)
		return rc;
	rc = CTL_FAILED;
	b.path = o.args[0];
	buf_init(&b.sums, BACKUP_SUMS_MAX);
	if (role_load(&b.role, &o, CONF_HOME, &why) == -1 ||
	    account_find(&b.account, b.role.common, &why) == -1) {
		opts_failed(&use, &why);
	} else if (strlen(b.path) >= CONF_PATH_MAX || mkdir(b.path, 0700) == -1) {
		if (errno == EEXIST)
			why_set(&why, "%s is there already: nothing is written over; name a "
			    "directory that is not", b.path);
		else
			why_sys(&why, "%s", b.path);
		opts_failed(&use, &why);
	} else if (fill(&b, &why) == -1) {
		undo(&b);
		opts_failed(&use, &why);
	} else {
		printf("%s: the ledger (counter %" PRIu64 ") with %" PRIu64 " message%s, %u edge%s "
		    "and the keys.\nIt holds every key of this home: keep it where nobody reads "
		    "it.\n", b.path, b.copied.mark.counter, b.copied.objects,
		    b.copied.objects == 1 ? "" : "s", b.edges, b.edges == 1 ? "" : "s");
		rc = CTL_OK;
	}
	db_source_close(&b.source);
	buf_fini(&b.sums);
	if (b.dir != -1)
		close(b.dir);
	if (b.large != -1)
		close(b.large);
	role_fini(&b.role);
	return rc;
}
