#include "store/maildir_dirs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_DIR	(O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define SYNC_EACH_MAX	4	/* directories; with more, one syncfs costs less */

struct maildir_dirs {
	const struct sys *sys;
	int		root;
	dev_t		dev;
	uint64_t	clock;
	bool		syncfs_tmp, syncfs_new;	/* something dirty is no longer open by itself */
	bool		lost_tmp, lost_new;	/* and this much could not be synced when it went */
	struct maildir_dir dir[MAILDIR_DIRS_MAX];
};

struct maildir_dirs *
maildir_dirs_new(const struct sys *sys, const char *path, struct why *why)
{
	struct maildir_dirs *s;
	struct stat st;

	if ((s = calloc(1, sizeof(*s))) == NULL) {
		why_sys(why, "maildir %s", path);
		return NULL;
	}
	s->sys = sys;
	s->root = sys->openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (s->root == -1 || sys->fstatat(s->root, "", &st, AT_EMPTY_PATH) == -1) {
		why_sys(why, "maildir %s", path);
		if (s->root != -1)
			sys->close(s->root);
		free(s);
		return NULL;
	}
	s->dev = st.st_dev;
	return s;
}

static void
dir_close(struct maildir_dirs *s, struct maildir_dir *d)
{
	s->sys->close(d->tmp);
	s->sys->close(d->new_);
	*d = (struct maildir_dir){ .user = "" };
}

void
maildir_dirs_free(struct maildir_dirs **sp)
{
	struct maildir_dirs *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	for (size_t i = 0; i < MAILDIR_DIRS_MAX; i++)
		if (s->dir[i].user[0] != '\0')
			dir_close(s, &s->dir[i]);
	s->sys->close(s->root);
	free(s);
}

/* On disk with both its ends: a rename out of tmp must not come undone alone. */
static int
dir_sync_new(struct maildir_dirs *s, struct maildir_dir *d)
{
	if (s->sys->fsync(d->new_) == -1 || s->sys->fsync(d->tmp) == -1)
		return -1;
	d->dirty_new = false;
	return 0;
}

void
maildir_dirs_forget(struct maildir_dirs *s, struct maildir_dir *d)
{
	if (d->own_fs) {
		if (d->dirty_tmp && s->sys->fsync(d->tmp) == -1)
			s->lost_tmp = true;
		if (d->dirty_new && dir_sync_new(s, d) == -1)
			s->lost_new = true;
	} else {
		s->syncfs_tmp |= d->dirty_tmp;
		s->syncfs_new |= d->dirty_new;
	}
	dir_close(s, d);
}

static int
open_dir(struct maildir_dirs *s, int at, const char *name, bool make)
{
	int fd = s->sys->openat(at, name, OPEN_DIR, 0);

	if (fd != -1 || errno != ENOENT || !make)
		return fd;
	if (s->sys->mkdirat(at, name, 0770) == -1 && errno != EEXIST)
		return -1;
	return s->sys->openat(at, name, OPEN_DIR, 0);
}

/* The length of USER without the folder that it may name (maildir.h). */
static size_t
user_length(const char *user)
{
	size_t n = strlen(user), junk = sizeof(MAILDIR_JUNK) - 1;

	return n > junk && strcmp(user + n - junk, MAILDIR_JUNK) == 0 ? n - junk : n;
}

/* USER, or USER's folder. */
static int
open_user(struct maildir_dirs *s, const char *user, bool make)
{
	char name[ADDRESS_MAILBOX_MAX + 1] = "";
	size_t n = user_length(user);
	int home, junk, saved;

	memcpy(name, user, n);
	if ((home = open_dir(s, s->root, name, make)) == -1 || user[n] == '\0')
		return home;
	junk = open_dir(s, home, user + n + 1, make);
	saved = errno;
	s->sys->close(home);
	errno = saved;
	return junk;
}

/* Opens USER and what is in it; on failure errno says why and nothing stays open. */
static int
dir_open(struct maildir_dirs *s, struct maildir_dir *d, const char *user, bool make)
{
	int home, cur = -1, saved;
	struct stat st;

	d->tmp = d->new_ = -1;
	if ((home = open_user(s, user, make)) == -1)
		return -1;
	if ((!make || (cur = open_dir(s, home, "cur", true)) != -1) &&
	    (d->tmp = open_dir(s, home, "tmp", make)) != -1 &&
	    (d->new_ = open_dir(s, home, "new", make)) != -1 &&
	    s->sys->fstatat(d->tmp, "", &st, AT_EMPTY_PATH) == 0) {
		d->own_fs = st.st_dev != s->dev;
		memcpy(d->user, user, strlen(user) + 1);
		/*
		 * Made just now, or by a run that crashed since: its own entry must be on
		 * disk before anything in it counts.
		 */
		s->syncfs_tmp |= make;
	}
	saved = errno;
	if (cur != -1)
		s->sys->close(cur);
	s->sys->close(home);
	if (d->user[0] == '\0') {
		if (d->tmp != -1)
			s->sys->close(d->tmp);
		if (d->new_ != -1)
			s->sys->close(d->new_);
		errno = saved;
		return -1;
	}
	return 0;
}

/* Whether tmp and new, which we hold open, are still the mailbox's. */
static bool
dir_current(struct maildir_dirs *s, struct maildir_dir *d)
{
	struct stat tmp, new_;

	return s->sys->fstatat(d->tmp, "", &tmp, AT_EMPTY_PATH) == 0 && tmp.st_nlink > 0 &&
	    s->sys->fstatat(d->new_, "", &new_, AT_EMPTY_PATH) == 0 && new_.st_nlink > 0;
}

struct maildir_dir *
maildir_dirs_get(struct maildir_dirs *s, const char *user, bool make, struct why *why)
{
	struct maildir_dir *d = NULL;

	if (strlen(user) > ADDRESS_MAILBOX_MAX ||
	    !address_mailbox_ok(span_of(user, user_length(user)))) {
		why_set(why, "maildir: not the name of a mailbox");
		return NULL;
	}
	for (size_t i = 0; i < MAILDIR_DIRS_MAX; i++) {
		if (strcmp(s->dir[i].user, user) == 0) {
			d = &s->dir[i];
			break;
		}
		if (d == NULL || s->dir[i].used < d->used)
			d = &s->dir[i];
	}
	if (strcmp(d->user, user) == 0 && make && !dir_current(s, d))
		maildir_dirs_forget(s, d);
	if (strcmp(d->user, user) != 0) {
		if (d->user[0] != '\0')
			maildir_dirs_forget(s, d);
		if (dir_open(s, d, user, make) == -1) {
			why_sys(why, "maildir %s%s", user, errno == ELOOP || errno == ENOTDIR ?
			    ": it, tmp, new and cur must be directories, not links" : "");
			return NULL;
		}
	}
	d->used = ++s->clock;
	return d;
}

void
maildir_dirs_need_syncfs(struct maildir_dirs *s)
{
	s->syncfs_tmp = true;
}

bool
maildir_dirs_syncfs_needed(const struct maildir_dirs *s)
{
	return s->syncfs_tmp;
}

int
maildir_dirs_sync_tmp(struct maildir_dirs *s, struct why *why)
{
	bool ok = !s->lost_tmp;

	if (!ok)
		errno = EIO;
	for (size_t i = 0; i < MAILDIR_DIRS_MAX; i++) {
		struct maildir_dir *d = &s->dir[i];

		if (d->user[0] == '\0' || !d->dirty_tmp)
			continue;
		if (ok && (d->own_fs || !s->syncfs_tmp))
			ok = s->sys->fsync(d->tmp) == 0;
		d->dirty_tmp = false;
	}
	if (ok && s->syncfs_tmp)
		ok = s->sys->syncfs(s->root) == 0;
	s->syncfs_tmp = !ok;		/* directories that were made are still owed */
	s->lost_tmp = false;
	if (!ok && why != NULL)
		why_sys(why, "maildir: sync of tmp");
	return ok ? 0 : -1;
}

static size_t
count_dirty_new(const struct maildir_dirs *s)
{
	size_t n = 0;

	for (size_t i = 0; i < MAILDIR_DIRS_MAX; i++)
		if (s->dir[i].user[0] != '\0' && s->dir[i].dirty_new && !s->dir[i].own_fs)
			n++;
	return n;
}

int
maildir_dirs_sync_new(struct maildir_dirs *s, struct why *why)
{
	bool all = s->syncfs_new || count_dirty_new(s) > SYNC_EACH_MAX;

	if (s->lost_new) {
		s->lost_new = false;
		errno = EIO;
		return why_sys(why, "maildir: sync of new");
	}
	if (all && s->sys->syncfs(s->root) == -1)
		return why_sys(why, "maildir: sync of new");
	s->syncfs_new = false;
	for (size_t i = 0; i < MAILDIR_DIRS_MAX; i++) {
		struct maildir_dir *d = &s->dir[i];

		if (d->user[0] == '\0' || !d->dirty_new)
			continue;
		if (all && !d->own_fs)
			d->dirty_new = false;
		else if (dir_sync_new(s, d) == -1) {
			s->syncfs_new |= !d->own_fs;
			return why_sys(why, "maildir %s: sync of new", d->user);
		}
	}
	return 0;
}
