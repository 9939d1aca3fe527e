#include "store/refile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_DIR	(O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static const char *const places[2] = { "new", "cur" };

int
refile_open(const char *maildir, struct why *why)
{
	int fd = open(maildir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd != -1 ? fd : why_sys(why, "maildir %s", maildir);
}

/* --- looking ------------------------------------------------------------------------------ */

/* What cannot be opened or read is no message of ours: it stays where it is. */
static bool
read_start(int dir, const char *name, struct delivered *out)
{
	char start[DELIVERED_MAX];
	struct stat st;
	ssize_t n;
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd == -1)
		return false;
	n = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? pread(fd, start, sizeof(start), 0) : -1;
	close(fd);
	return n > 0 && delivered_read(span_of(start, (size_t)n), out);
}

static int
scan_place(int mailbox, bool fresh, refile_found_fn *found, void *arg, struct why *why)
{
	const char *place = places[fresh ? 0 : 1];
	int fd = openat(mailbox, place, OPEN_DIR), rc = 0;
	DIR *dir = fd != -1 ? fdopendir(fd) : NULL;
	struct delivered d;
	struct dirent *e;

	if (dir == NULL) {
		why_sys(why, "%s", place);
		if (fd != -1)
			close(fd);
		return -1;
	}
	while (rc == 0 && (errno = 0, e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.' && read_start(dirfd(dir), e->d_name, &d))
			rc = found(arg, e->d_name, fresh, &d, why);
	if (rc == 0 && errno != 0)
		rc = why_sys(why, "%s", place);
	closedir(dir);
	return rc;
}

int
refile_scan(int folder, const char *user, refile_found_fn *found, void *arg, struct why *why)
{
	int mailbox = openat(folder, user, OPEN_DIR), rc = 0;
	struct why inner = { "" };

	if (mailbox == -1)
		return errno == ENOENT ? 1 : why_sys(why, "mailbox %s", user);
	for (int i = 0; i < 2 && rc == 0; i++)
		rc = scan_place(mailbox, i == 0, found, arg, &inner);
	close(mailbox);
	return rc == 0 ? 0 : why_set(why, "mailbox %s: %.400s", user, inner.text);
}

/* --- moving ------------------------------------------------------------------------------- */

static int
open_or_make(int at, const char *name, bool make)
{
	int fd = openat(at, name, OPEN_DIR);

	if (fd != -1 || errno != ENOENT || !make)
		return fd;
	if (mkdirat(at, name, 0770) == -1 && errno != EEXIST)
		return -1;
	return openat(at, name, OPEN_DIR);
}

/*
 * As a delivery makes a mailbox: its own entry is on the disk before anything in it counts,
 * also where a run that was cut off made it.
 */
static int
open_mailbox(int folder, const char *user, bool make, int fd[2])
{
	int box = open_or_make(folder, user, make), tmp = -1, rc = -1, saved;

	if (box == -1)
		return -1;
	if ((!make || (tmp = open_or_make(box, "tmp", true)) != -1) &&
	    (fd[0] = open_or_make(box, places[0], make)) != -1 &&
	    (fd[1] = open_or_make(box, places[1], make)) != -1 &&
	    (!make || (fsync(box) == 0 && fsync(folder) == 0)))
		rc = 0;
	saved = errno;
	if (tmp != -1)
		close(tmp);
	close(box);
	errno = saved;
	return rc;
}

static void
close_all(struct refile *r)
{
	for (int i = 0; i < 2; i++) {
		if (r->from_fd[i] != -1)
			close(r->from_fd[i]);
		if (r->to_fd[i] != -1)
			close(r->to_fd[i]);
		r->from_fd[i] = r->to_fd[i] = -1;
	}
}

int
refile_begin(struct refile *r, int folder, const char *from, const char *to, struct why *why)
{
	*r = (struct refile){ .to = to, .from_fd = { -1, -1 }, .to_fd = { -1, -1 } };
	if (open_mailbox(folder, from, false, r->from_fd) == -1)
		why_sys(why, "mailbox %s", from);
	else if (open_mailbox(folder, to, true, r->to_fd) == -1)
		why_sys(why, "mailbox %s", to);
	else
		return 0;
	close_all(r);
	return -1;
}

/* The name without the other mailbox's keywords; as it is where it has no flags. */
static void
without_keywords(const char *name, char out[NAME_MAX + 1])
{
	const char *flags = strstr(name, ":2,");
	size_t n = flags != NULL ? (size_t)(flags - name) + 3 : strlen(name);

	memcpy(out, name, n);
	for (const char *p = name + n; *p != '\0'; p++)
		if (*p < 'a' || *p > 'z')
			out[n++] = *p;
	out[n] = '\0';
}

enum refile_done
refile_move(struct refile *r, const char *name, bool fresh, struct why *why)
{
	char as[NAME_MAX + 1];
	int i = fresh ? 0 : 1;

	if (strlen(name) > NAME_MAX) {
		why_set(why, "mailbox %s: too long a name", r->to);
		return REFILE_FAILED;
	}
	without_keywords(name, as);
	if (renameat2(r->from_fd[i], name, r->to_fd[i], as, RENAME_NOREPLACE) == 0)
		return REFILE_MOVED;
	if (errno == EEXIST)
		return REFILE_THERE;
	if (errno == ENOENT)
		return REFILE_GONE;
	if (errno == EXDEV)
		why_set(why, "mailbox %s is on another file system, where a message cannot be "
		    "moved in one step: move it with a mail client", r->to);
	else
		why_sys(why, "mailbox %s", r->to);
	return REFILE_FAILED;
}

int
refile_end(struct refile *r, struct why *why)
{
	int rc = 0;

	/* Where they came to goes first: until then they are where they came from. */
	for (int i = 0; i < 2; i++)
		if (fsync(r->to_fd[i]) == -1)
			rc = why_sys(why, "mailbox %s: sync", r->to);
	for (int i = 0; i < 2; i++)
		if (fsync(r->from_fd[i]) == -1)
			rc = why_sys(why, "sync of where it was moved from");
	close_all(r);
	return rc;
}
