/*
 * A database that SQLite calls damaged goes to aside/ as spool.db.<ms>, and the large
 * objects that it knew to spool.db.<ms>.large/ beside it: without their rows they would
 * be taken for what a crash left, and removed.  doc/STORE says how to get mail out of it.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/db_in.h"

static DIR *
open_dir(struct db *db, int at, const char *name)
{
	int fd = db->sys->openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);

	if (d == NULL && fd != -1)
		db->sys->close(fd);
	return d;
}

/*
 * One that a process is writing just now goes too: its put finds no file then, and
 * is answered that nothing was kept.
 */
static int
aside_large(struct db *db, const char *to, struct why *why)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	DIR *from = open_dir(db, db->large, ".");
	struct dirent *e;
	int dir = -1, rc = 0;

	if (from == NULL)
		return why_sys(why, "%s/large: cannot be listed", db->path);
	while (rc == 0 && (e = readdir(from)) != NULL) {
		if (!db_name_ok(e->d_name))
			continue;
		if (dir == -1 && (db->sys->mkdirat(db->aside, to, 0700) == -1 ||
		    (dir = db->sys->openat(db->aside, to, flags, 0)) == -1))
			rc = why_sys(why, "%s/aside/%s: cannot be made", db->path, to);
		else if (db->sys->renameat(db->large, e->d_name, dir, e->d_name) == -1)
			rc = why_sys(why, "%s/large/%s: cannot be moved to aside/", db->path,
			    e->d_name);
	}
	closedir(from);
	if (dir == -1)
		return rc;
	if (rc == 0 && (db->sys->fsync(dir) == -1 || db->sys->fsync(db->large) == -1))
		rc = why_sys(why, "%s/aside/%s: cannot be synced", db->path, to);
	db->sys->close(dir);
	return rc;
}

int
db_aside_database(struct db *db, struct why *why)
{
	/* the database last: a crash between starts over */
	static const char *const part[] = { "-wal", "-shm", "" };
	char from[32], to[80];
	int64_t now = wall_ms();
	size_t i;

	snprintf(to, sizeof(to), "spool.db.%" PRId64 ".large", now);
	if (aside_large(db, to, why) == -1)
		return -1;
	for (i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
		snprintf(from, sizeof(from), "spool.db%s", part[i]);
		snprintf(to, sizeof(to), "spool.db.%" PRId64 "%s", now, part[i]);
		if (db->sys->renameat(db->dir, from, db->aside, to) == -1 && errno != ENOENT)
			return why_sys(why, "%s/%s: damaged, and cannot be moved to aside/",
			    db->path, from);
	}
	if (db->sys->fsync(db->aside) == -1 || db->sys->fsync(db->dir) == -1)
		return why_sys(why, "%s/aside: cannot be synced", db->path);
	return 0;
}

/* spool.db.<ms>, and whether .large stands behind it. */
static bool
is_lost(const char *name, bool *large)
{
	size_t n;

	if (strncmp(name, "spool.db.", 9) != 0 || (n = strspn(name + 9, "0123456789")) == 0)
		return false;
	*large = strcmp(name + 9 + n, ".large") == 0;
	return *large || name[9 + n] == '\0';
}

static void
add_large(struct db *db, const char *name, uint64_t *files, uint64_t *octets)
{
	DIR *d = open_dir(db, db->aside, name);
	struct dirent *e;
	struct stat st;

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (db_name_ok(e->d_name) &&
		    db->sys->fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			++*files;
			*octets += (uint64_t)st.st_size;
		}
	}
	if (d != NULL)
		closedir(d);
}

void
db_lost_look(struct db *db)
{
	DIR *d = open_dir(db, db->aside, ".");
	uint64_t files = 0, octets = 0;
	unsigned databases = 0;
	struct dirent *e;
	bool large;

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (!is_lost(e->d_name, &large))
			continue;
		if (large)
			add_large(db, e->d_name, &files, &octets);
		else
			databases++;
	}
	if (d != NULL)
		closedir(d);
	if (databases == 0 && files == 0)
		return;
	snprintf(db->lost, sizeof(db->lost), "a damaged spool.db lies in aside/, with %" PRIu64
	    " large objects of %" PRIu64 " octets that nothing names any more: see \"A damaged "
	    "database\" in STORE.md, then move them out of aside/ and restart", files, octets);
	log_error(NULL, "store.lost why=\"%s\"", db->lost);
}
