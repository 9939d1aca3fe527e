#include "ctl/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/octets.h"

int
identities_load(struct identities *ids, const char *path, struct why *why)
{
	struct buf text;
	struct why line;
	int n;

	ids->n = 0;
	if (access(path, F_OK) == -1 && errno == ENOENT)
		return why_set(why, "there is no %s; make it with: posthouse keygen --home", path);
	if (read_file(path, IDENTITY_FILE_MAX, &text, why) == -1)
		return -1;
	n = age_identities_read(buf_span(&text), ids->id, IDENTITIES_USED_MAX, &line);
	buf_wipe(&text);
	if (n == -1)
		return why_set(why, "%s: %s", path, line.text);
	if (n == 0)
		return why_set(why, "%s: no identity in it; put your copy of the key back, or "
		    "move the file away and run `posthouse keygen`", path);
	ids->n = (size_t)n;
	return 0;
}

void
identities_retired_path(const struct role *r, char out[IDENTITIES_PATH_MAX])
{
	snprintf(out, IDENTITIES_PATH_MAX, "%s/age-retired.key", r->common->state);
}

int
identities_add_retired(struct identities *ids, const struct role *r, struct why *why)
{
	char path[IDENTITIES_PATH_MAX];
	struct buf text;
	struct why line;
	int n;

	identities_retired_path(r, path);
	if (access(path, F_OK) == -1 && errno == ENOENT)
		return 0;
	if (read_file(path, IDENTITY_FILE_MAX, &text, why) == -1)
		return -1;
	n = age_identities_read(buf_span(&text), ids->id + ids->n, IDENTITIES_RETIRED_MAX, &line);
	buf_wipe(&text);
	if (n == -1)
		return why_set(why, "%s: %s", path, line.text);
	ids->n += (size_t)n;
	return 0;
}

void
identities_fini(struct identities *ids)
{
	for (size_t i = 0; i < ids->n; i++)
		age_identity_fini(&ids->id[i]);
	ids->n = 0;
}

/* The directory that path is in, opened; name is what path is called there. */
static int
open_parent(const char *path, char name[NAME_MAX + 1], struct why *why)
{
	char copy[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int fd;

	if (!span_copy(span_str(slash != NULL ? slash + 1 : path), name, NAME_MAX + 1) ||
	    !span_copy(span_str(path), copy, sizeof(copy)))
		return why_set(why, "%s: too long a name", path);
	if ((fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		why_sys(why, "the directory of %s", path);
	return fd;
}

/* Not every file system knows a rename that replaces nothing; all that have links know those. */
static int
rename_new(int dir, const char *made, const char *name)
{
	if (renameat2(dir, made, dir, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	return linkat(dir, made, dir, name, 0) == 0 ? unlinkat(dir, made, 0) : -1;
}

/* fd is made's. */
static int
put_secret(int fd, int dir, const char *made, const char *name, struct span text, bool over)
{
	/* The umask may have taken more away than it should. */
	if (fchmod(fd, 0600) == -1 || octets_write(fd, text) == -1 || fsync(fd) == -1)
		return -1;
	if ((over ? renameat(dir, made, dir, name) : rename_new(dir, made, name)) == -1)
		return -1;
	return fsync(dir);
}

static int
write_secret(const char *path, struct span text, bool over, struct why *why)
{
	char name[NAME_MAX + 1], made[NAME_MAX + 8];
	int dir = open_parent(path, name, why), fd, rc = -1;

	if (dir == -1)
		return -1;
	snprintf(made, sizeof(made), ".%s.new", name);
	unlinkat(dir, made, 0);			/* what a run that was cut off left */
	fd = openat(dir, made, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd != -1 && put_secret(fd, dir, made, name, text, over) == 0)
		rc = 0;
	else if (errno == EEXIST && !over)
		why_set(why, "%s: it exists, and a key is never written over: move it away first "
		    "if it is not needed any more", path);
	else
		why_sys(why, "%s", path);
	if (rc == -1)
		unlinkat(dir, made, 0);
	if (fd != -1)
		close(fd);
	close(dir);
	return rc;
}

int
replace_secret(const char *path, struct span text, struct why *why)
{
	return write_secret(path, text, true, why);
}

int
make_secret(const char *path, struct span text, struct why *why)
{
	return write_secret(path, text, false, why);
}
