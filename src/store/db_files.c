/*
 * Files beside the database: large/ holds an object above the threshold each,
 * named by 32 random hex digits; aside/ what we will not throw away and cannot use.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/db_in.h"

/* files of one commit above which the file system is synced once */
#define SYNCFS_FROM	16
/* names: a peer that forges cannot fill the disk with proof of it */
#define ASIDE_MAX	2000
/* longer than any session: nobody can still be writing it */
#define ORPHAN_MS	(2 * 3600 * 1000)

bool
db_name_ok(const char *name)
{
	return strlen(name) == DB_FILE_LEN && strspn(name, "0123456789abcdef") == DB_FILE_LEN;
}

bool
db_names_add(struct db_names *l, const char *name)
{
	if (l->n == l->cap) {
		size_t cap = l->cap == 0 ? 16 : 2 * l->cap;
		void *p = realloc(l->name, cap * sizeof(l->name[0]));

		if (p == NULL)
			return false;
		l->name = p;
		l->cap = cap;
	}
	memcpy(l->name[l->n++], name, DB_FILE_LEN + 1);
	return true;
}

void
db_names_clear(struct db_names *l)
{
	free(l->name);
	*l = (struct db_names){ 0 };
}

int
db_file_check(struct db *db, const char *name, uint64_t size, struct why *why)
{
	struct stat st;

	if (!db_name_ok(name))
		return why_set(why, "%s/large: a name that is none of ours", db->path);
	if (db->sys->fstatat(db->large, name, &st, AT_SYMLINK_NOFOLLOW) == -1) {
		int error = errno;

		why_sys(why, "%s/large/%s", db->path, name);
		return error == ENOENT ? -1 : 1;
	}
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
		return why_set(why, "%s/large/%s: no file of ours", db->path, name);
	if ((uint64_t)st.st_size != size)
		return why_set(why, "%s/large/%s: has %" PRIu64 " octets instead of %" PRIu64,
		    db->path,
		    name, (uint64_t)st.st_size, size);
	return 0;
}

/* Notes in db->full whether it was for want of room, as db_fail does. */
static int
file_fail(struct db *db, const char *dir, const char *name, struct why *why)
{
	int error = errno;

	db->full = error == ENOSPC || error == EDQUOT;
	errno = error;
	return why_sys(why, "%s/%s/%s: cannot be made durable", db->path, dir, name);
}

/* 1 a row has this file, 0 none. */
int
db_file_taken(struct db *db, const char *name, struct why *why)
{
	sqlite3_stmt *st = db_st(db, ST_FILE, why);
	int rc;

	if (st == NULL)
		return -1;
	db_bind_str(st, 1, name);
	rc = db_step(db, st, why);
	sqlite3_reset(st);
	return rc;
}

void
db_file_drop(struct db *db, const struct db_body *b)
{
	if (db_name_ok(b->file) && db_file_taken(db, b->file, NULL) == 0)
		(void)db->sys->unlinkat(db->large, b->file, 0);
}

/* --- to the disk ---------------------------------------------------------------- */

struct db_sync {
	const struct sys *sys;
	int		 dir;
	size_t		 n, cap;
	struct syncing {
		int	 fd;
		int	 error;
	}		*file;
};

struct db_sync *
db_sync_new(struct db *db)
{
	struct db_sync *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->sys = db->sys;
	s->dir = db->sys->openat(db->large, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (s->dir == -1) {
		free(s);
		return NULL;
	}
	return s;
}

/* Looked at before it is opened: what is no file of ours may wait for ever in open(2). */
int
db_sync_add(struct db *db, struct db_sync *s, const struct db_body *b, struct why *why)
{
	int rc = db_file_taken(db, b->file, why);

	if (rc == 1)
		return why_set(why, "%s/large/%s: is another object's", db->path, b->file);
	if (rc == -1 || db_file_check(db, b->file, b->size, why) != 0)
		return -1;
	if (s->n == s->cap) {
		size_t cap = s->cap == 0 ? 4 : 2 * s->cap;
		void *p = realloc(s->file, cap * sizeof(s->file[0]));

		if (p == NULL)
			return why_set(why, "out of memory");
		s->file = p;
		s->cap = cap;
	}
	s->file[s->n] = (struct syncing){ .fd = db->sys->openat(db->large, b->file,
	    O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0) };
	if (s->file[s->n].fd == -1)
		return file_fail(db, "large", b->file, why);
	s->n++;
	return 0;
}

void
db_sync_run(struct db_sync *s)
{
	int error = 0;
	size_t i;

	if (s->n > SYNCFS_FROM)
		error = s->sys->syncfs(s->dir) == -1 ? errno : 0;
	else {
		for (i = 0; i < s->n; i++)
			s->file[i].error = s->sys->fsync(s->file[i].fd) == -1 ? errno : 0;
		error = s->sys->fsync(s->dir) == -1 ? errno : 0;
	}
	for (i = 0; i < s->n; i++)
		if (s->file[i].error == 0)
			s->file[i].error = error;
}

int
db_sync_error(const struct db_sync *s, size_t n)
{
	return s->file[n].error;
}

void
db_sync_free(struct db_sync **sp)
{
	struct db_sync *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	for (size_t i = 0; i < s->n; i++)
		s->sys->close(s->file[i].fd);
	s->sys->close(s->dir);
	free(s->file);
	free(s);
}

/* --- away from large/ ------------------------------------------------------------ */

/* Their rows are gone: one that stays behind costs room until the sweep, and nothing else. */
void
db_files_remove(struct db *db)
{
	size_t i;

	for (i = 0; i < db->gone.n; i++)
		(void)db->sys->unlinkat(db->large, db->gone.name[i], 0);
	db_names_clear(&db->gone);
}

int
db_aside_count(struct db *db)
{
	int fd = db->sys->openat(db->aside, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0), n = 0;
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (d == NULL) {
		if (fd != -1)
			db->sys->close(fd);
		return -1;
	}
	while ((e = readdir(d)) != NULL) {
		size_t len = strlen(e->d_name);

		if (e->d_name[0] == '.' || (len > 4 && strcmp(e->d_name + len - 4, ".txt") == 0) ||
		    strstr(e->d_name, "-wal") != NULL || strstr(e->d_name, "-shm") != NULL ||
		    (len > 6 && strcmp(e->d_name + len - 6, ".large") == 0))
			continue;
		n++;
	}
	closedir(d);
	return n;
}

/* A whole small file in aside/, synced.  One that is there already is written over. */
int
db_write_aside(struct db *db, const char *as, struct span data, const char *reason, struct why *why)
{
	const struct span part[2] = { data, span_str(reason) };
	char name[160];
	int i;

	if (db_aside_count(db) >= ASIDE_MAX)
		return why_set(why,
		    "%s/aside: holds %d files already: look at them and move them away",
		    db->path, ASIDE_MAX);
	for (i = 0; i < 2; i++) {
		struct span left = part[i];
		int fd;

		if (i == 0 && data.p == NULL)
			continue;
		snprintf(name, sizeof(name), "%s%s", as, i == 0 ? "" : ".txt");
		fd = db->sys->openat(db->aside, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
		    0600);
		if (fd == -1)
			return file_fail(db, "aside", name, why);
		while (left.n > 0) {
			ssize_t n = db->sys->write(fd, left.p, left.n);

			if (n == -1 && errno == EINTR)
				continue;
			if (n == 0)		/* says nothing else of why */
				errno = ENOSPC;
			if (n <= 0)
				break;
			left = span_from(left, (size_t)n);
		}
		if (left.n > 0 || db->sys->fsync(fd) == -1) {
			int rc = file_fail(db, "aside", name, why);

			db->sys->close(fd);
			return rc;
		}
		db->sys->close(fd);
	}
	if (db->sys->fsync(db->aside) == -1)
		return file_fail(db, "aside", "", why);
	return 0;
}

int
db_file_aside(struct db *db, const char *name, const char *as, const char *reason, struct why *why)
{
	if (db_write_aside(db, as, span_of(NULL, 0), reason, why) == -1)
		return -1;
	if (db->sys->renameat(db->large, name, db->aside, as) == -1)
		return file_fail(db, "aside", as, why);
	if (db->sys->fsync(db->aside) == -1 || db->sys->fsync(db->large) == -1)
		return file_fail(db, "aside", as, why);
	return 0;
}

/* For aside/'s names and the log: a foreign file's own name, made harmless. */
static void
plain_name(const char *name, char *out, size_t max)
{
	size_t i;

	for (i = 0; name[i] != '\0' && i + 1 < max; i++) {
		char c = name[i];

		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') || (i > 0 && (c == '.' || c == '-'));

		out[i] = plain ? c : '_';
	}
	out[i] = '\0';
}

static void
sweep_one(struct db *db, const char *name, int64_t now)
{
	struct stat st;
	struct why why = { 0 };
	char as[120], plain[80];

	if (db_name_ok(name)) {
		if (db_file_taken(db, name, NULL) != 0 ||
		    db->sys->fstatat(db->large, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
			return;
		/* A put under way in a process that outlived the last writer has no row yet. */
		if (llabs(now - (int64_t)st.st_mtime * 1000) < ORPHAN_MS)
			return;
		if (db->sys->unlinkat(db->large, name, 0) == 0)
			log_info(NULL, "store.orphan file=%s size=%" PRIu64, name,
			    (uint64_t)st.st_size);
		return;
	}
	plain_name(name, plain, sizeof(plain));
	snprintf(as, sizeof(as), "large-%s.%" PRId64, plain, now);
	if (db_write_aside(db, as, span_of(NULL, 0), "a file in large/ that is not ours\n",
	    &why) == -1)
		log_error(NULL, "store.foreign file=%s why=\"%s\"", plain, why.text);
	else if (db->sys->renameat(db->large, name, db->aside, as) == -1)
		log_error(NULL, "store.foreign file=%s why=\"cannot be moved to aside/: %s\"",
		    plain,
		    strerror(errno));
	else {
		log_error(NULL, "store.foreign file=%s aside=%s why=\"large/ is ours alone\"",
		    plain, as);
		snprintf(db->alarm, sizeof(db->alarm),
		    "a foreign file was found in large/: see aside/");
	}
}

void
db_sweep(struct db *db, bool report)
{
	int fd = db->sys->openat(db->large, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	int64_t now = wall_ms();
	struct dirent *e;

	if (d == NULL) {
		if (fd != -1)
			db->sys->close(fd);
		if (report)
			log_warn(NULL, "store.sweep why=\"large/ cannot be listed\"");
		return;
	}
	while ((e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			sweep_one(db, e->d_name, now);
	closedir(d);
}
