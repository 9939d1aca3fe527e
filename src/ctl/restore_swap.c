#include "ctl/restore_swap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/backup_files.h"

#define DIRECTORY	(O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static bool
there(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

bool
restore_pending(int state)
{
	return there(state, DB_RESTORE_OUT) || there(state, DB_RESTORE_IN);
}

/* --- away --------------------------------------------------------------------------------- */

/* A folder with what is in it, three deep at most: all that we make. */
static int
clear(int at, const char *name, int depth)
{
	int fd = openat(at, name, DIRECTORY), rc = 0;
	DIR *d = fd != -1 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (d == NULL) {
		if (fd != -1)
			close(fd);
		return errno == ENOENT ? 0 : -1;
	}
	while (rc == 0 && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (unlinkat(fd, e->d_name, 0) == -1)
			rc = (errno == EISDIR || errno == EPERM) && depth > 0 ?
			    clear(fd, e->d_name, depth - 1) : -1;
	}
	closedir(d);
	return rc == 0 && unlinkat(at, name, AT_REMOVEDIR) == -1 ? -1 : rc;
}

int
restore_clear(int state, struct why *why)
{
	return clear(state, RESTORE_NEW, 2) == 0 ? 0 :
	    why_sys(why, RESTORE_NEW " in home's state cannot be removed");
}

/* --- the three steps ---------------------------------------------------------------------- */

static int
sync_at(int at, const char *name)
{
	int fd = openat(at, name, DIRECTORY), rc;

	if (fd == -1)
		return -1;
	rc = fsync(fd);
	close(fd);
	return rc;
}

static int
move(int from, int to, const char *name)
{
	return renameat(from, name, to, name) == 0 || errno == ENOENT ? 0 : -1;
}

/* Each key that a restore has, from a folder to another. */
static int
move_keys(int has, int from, int to)
{
	int fd = openat(has, ".", DIRECTORY), rc = 0;
	DIR *d = fd != -1 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (d == NULL) {
		if (fd != -1)
			close(fd);
		return -1;
	}
	while (rc == 0 && (e = readdir(d)) != NULL)
		if (backup_is_key(e->d_name))
			rc = move(from, to, e->d_name);
	closedir(d);
	return rc;
}

/* Only what will be replaced: what a backup does not have stays as it is. */
static int
move_out(int state, int out, int was)
{
	/* The database behind its log: without it, this would be another's. */
	static const char *const all[] = { BACKUP_DB "-wal", BACKUP_DB "-shm", BACKUP_DB,
		BACKUP_LARGE, BACKUP_EDGES };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (move(state, was, all[i]) == -1)
			return -1;
	return move_keys(out, state, was) == 0 && fsync(was) == 0 && fsync(state) == 0 ? 0 : -1;
}

static int
move_in(int state, int in)
{
	static const char *const all[] = { BACKUP_DB, BACKUP_LARGE, BACKUP_EDGES };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (move(in, state, all[i]) == -1)
			return -1;
	return move_keys(in, in, state) == 0 && fsync(state) == 0 && fsync(in) == 0 ? 0 : -1;
}

/* A large object that both have must have one name, so that the store takes it for its own. */
static void
drop_second_names(int was)
{
	int fd = openat(was, BACKUP_LARGE, DIRECTORY);
	DIR *d = fd != -1 ? fdopendir(fd) : NULL;
	struct dirent *e;
	struct stat st;

	while (d != NULL && (e = readdir(d)) != NULL)
		if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
		    st.st_nlink > 1)
			unlinkat(fd, e->d_name, 0);
	if (d != NULL)
		closedir(d);
	else if (fd != -1)
		close(fd);
}

/* was/ to aside/, if anything is in it. */
static int
set_aside(int state, int in, char *aside, size_t max)
{
	if (unlinkat(in, RESTORE_WAS, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (mkdirat(state, "aside", 0700) == -1 && errno != EEXIST)
		return -1;
	snprintf(aside, max, "aside/replaced.%" PRId64, wall_ms());
	return renameat(in, RESTORE_WAS, state, aside) == 0 ? sync_at(state, "aside") : -1;
}

static int
step(int state, const char *name, int (*fn)(int state, int at, int was))
{
	int at = openat(state, name, DIRECTORY), was = -1, rc = -1, saved;

	if (at != -1 && (was = openat(at, RESTORE_WAS, DIRECTORY)) == -1 && errno == ENOENT &&
	    mkdirat(at, RESTORE_WAS, 0700) == 0)
		was = openat(at, RESTORE_WAS, DIRECTORY);
	if (was != -1)
		rc = fn(state, at, was);
	saved = errno;
	if (was != -1)
		close(was);
	if (at != -1)
		close(at);
	errno = saved;
	return rc;
}

static int
put_in(int state, int in, int was)
{
	if (move_in(state, in) == -1)
		return -1;
	drop_second_names(was);
	return 0;
}

int
restore_swap(int state, char *aside, size_t max, struct why *why)
{
	int in, rc = 0;

	aside[0] = '\0';
	if (!restore_pending(state) && (renameat(state, RESTORE_NEW, state, DB_RESTORE_OUT) == -1 ||
	    fsync(state) == -1))
		return why_sys(why, "home's state");
	if (there(state, DB_RESTORE_OUT) && (step(state, DB_RESTORE_OUT, move_out) == -1 ||
	    renameat(state, DB_RESTORE_OUT, state, DB_RESTORE_IN) == -1 || fsync(state) == -1))
		rc = -1;
	if (rc == 0 && step(state, DB_RESTORE_IN, put_in) == -1)
		rc = -1;
	if (rc == 0) {
		in = openat(state, DB_RESTORE_IN, DIRECTORY);
		if (in == -1 || set_aside(state, in, aside, max) == -1)
			rc = -1;
		if (in != -1)
			close(in);
	}
	if (rc == 0 && (clear(state, DB_RESTORE_IN, 2) == -1 || fsync(state) == -1))
		rc = -1;
	return rc == 0 ? 0 : why_sys(why, "home's state: the restore is not finished; mend that, "
	    "and run `posthouse restore`");
}
