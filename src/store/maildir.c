#include "store/maildir.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/address.h"
#include "store/maildir_dirs.h"

#define WRITE_BUF	8192

struct maildir {
	const struct sys *sys;
	struct maildir_dirs *dirs;
	char		host[50];	/* what a NAME has room for; longer ones are cut */
	char		tag[10];	/* of the folder's path */
	int		kept[MAILDIR_SYNCFS_FROM];	/* files ended and not yet synced */
	size_t		nkept;
	bool		lost;		/* one could not even be closed */
};

struct maildir_file {
	struct maildir	*m;
	char		 user[ADDRESS_MAILBOX_MAX + 1];
	char		 name[MAILDIR_NAME_MAX];
	int		 fd;
	bool		 cr;		/* a CR was seen and not written: LF may follow */
	size_t		 n;
	char		 buf[WRITE_BUF];
};

/* The host's part of a name: `/` and `:` as the Maildir format spells them, all else printable. */
static void
host_name(char *out, size_t max)
{
	char name[64] = "";
	size_t n = 0;

	if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0')
		snprintf(name, sizeof(name), "localhost");
	for (const char *p = name; *p != '\0' && n + 5 < max; p++) {
		if (*p == '/' || *p == ':')
			n += (size_t)snprintf(out + n, max - n, "\\%03o", (unsigned)*p);
		else
			out[n++] = *p > ' ' && *p < 0x7f ? *p : '_';
	}
	out[n] = '\0';
}

/*
 * What tells this folder from the one of an earlier configuration: "F" and FNV-1a of its
 * path.  Nobody but the operator chooses paths, so that 32 bits are enough.
 */
static void
folder_tag(const char *path, char *out, size_t max)
{
	uint32_t h = 2166136261u;

	for (; *path != '\0'; path++)
		h = (h ^ (unsigned char)*path) * 16777619u;
	snprintf(out, max, "F%08x", h);
}

struct maildir *
maildir_new(const struct sys *sys, const char *path, struct why *why)
{
	struct maildir *m;

	if ((m = calloc(1, sizeof(*m))) == NULL) {
		why_sys(why, "maildir %s", path);
		return NULL;
	}
	m->sys = sys;
	host_name(m->host, sizeof(m->host));
	folder_tag(path, m->tag, sizeof(m->tag));
	if ((m->dirs = maildir_dirs_new(sys, path, why)) == NULL) {
		free(m);
		return NULL;
	}
	return m;
}

void
maildir_free(struct maildir **mp)
{
	struct maildir *m = *mp;

	*mp = NULL;
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->nkept; i++)
		m->sys->close(m->kept[i]);
	maildir_dirs_free(&m->dirs);
	free(m);
}

/*
 * "1763698920.0198f3...c1P0F1d2c3b4a.host": readers that sort by name sort by time.  The
 * seconds come out of a UUIDv7, so that a second try finds the same name.
 */
static void
file_name(const struct maildir *m, struct uuid id, unsigned part, char name[MAILDIR_NAME_MAX])
{
	unsigned long long ms = 0;

	if (id.b[6] >> 4 == 7)
		for (size_t i = 0; i < 6; i++)
			ms = ms << 8 | id.b[i];
	snprintf(name, MAILDIR_NAME_MAX, "%llu.%sP%u%s.%s", ms / 1000, uuid_text(id).s, part,
	    m->tag, m->host);
}

bool
maildir_ours(const struct maildir *m, const char *name)
{
	const char *unique = strchr(name, '.'), *tag;

	if (unique == NULL || (tag = strchr(unique, 'F')) == NULL)	/* an id has none */
		return false;
	return strncmp(tag, m->tag, strlen(m->tag)) == 0 && tag[strlen(m->tag)] == '.';
}

struct maildir_file *
maildir_begin(struct maildir *m, const char *user, struct uuid id, unsigned part,
    char name[MAILDIR_NAME_MAX], struct why *why)
{
	struct maildir_file *f;
	struct maildir_dir *d;
	int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

	file_name(m, id, part, name);
	if ((d = maildir_dirs_get(m->dirs, user, true, why)) == NULL)
		return NULL;
	if ((f = malloc(sizeof(*f))) == NULL) {
		why_sys(why, "maildir %s", user);
		return NULL;
	}
	f->m = m;
	f->cr = false;
	f->n = 0;
	snprintf(f->user, sizeof(f->user), "%s", user);
	snprintf(f->name, sizeof(f->name), "%s", name);
	if ((f->fd = m->sys->openat(d->tmp, name, flags, 0660)) == -1 && errno == EEXIST &&
	    m->sys->unlinkat(d->tmp, name, 0) == 0)
		f->fd = m->sys->openat(d->tmp, name, flags, 0660);
	if (f->fd == -1) {
		why_sys(why, "maildir %s: tmp/%s", user, name);
		free(f);
		return NULL;
	}
	return f;
}

static int
flush(struct maildir_file *f, struct why *why)
{
	size_t done = 0;

	while (done < f->n) {
		ssize_t n = f->m->sys->write(f->fd, f->buf + done, f->n - done);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == 0) {
			n = -1;
			errno = ENOSPC;
		}
		if (n == -1)
			return why_sys(why, "maildir %s: write", f->user);
		done += (size_t)n;
	}
	f->n = 0;
	return 0;
}

static int
add(struct maildir_file *f, const char *p, size_t n, struct why *why)
{
	while (n > 0) {
		size_t k = n < WRITE_BUF - f->n ? n : WRITE_BUF - f->n;

		memcpy(f->buf + f->n, p, k);
		f->n += k;
		p += k;
		n -= k;
		if (f->n == WRITE_BUF && flush(f, why) == -1)
			return -1;
	}
	return 0;
}

int
maildir_write(struct maildir_file *f, const void *data, size_t len, struct why *why)
{
	const char *p = data, *end = p + len;

	if (len > 0 && f->cr) {		/* a CR ended the input before */
		f->cr = false;
		if (*p != '\n' && add(f, "\r", 1, why) == -1)
			return -1;
	}
	while (p < end) {
		const char *cr = memchr(p, '\r', (size_t)(end - p));
		const char *stop = cr == NULL ? end : cr;

		if (add(f, p, (size_t)(stop - p), why) == -1)
			return -1;
		if (cr == NULL)
			break;
		p = cr + 1;
		if (p == end)
			f->cr = true;
		else if (*p != '\n' && add(f, "\r", 1, why) == -1)
			return -1;
	}
	return 0;
}

/* From here on one syncfs is cheaper than the rest of the batch one by one. */
static void
share_sync(struct maildir *m)
{
	for (size_t i = 0; i < m->nkept; i++)
		if (m->sys->close(m->kept[i]) == -1)
			m->lost = true;
	m->nkept = 0;
	maildir_dirs_need_syncfs(m->dirs);
}

/* The file is closed, or kept open for the sync.  Its descriptor is no longer f's either way. */
static int
settle(struct maildir_file *f, struct why *why)
{
	struct maildir *m = f->m;
	struct maildir_dir *d = maildir_dirs_get(m->dirs, f->user, false, why);
	int fd = f->fd;

	if (d == NULL)
		return -1;
	d->dirty_tmp = true;
	f->fd = -1;
	if (d->own_fs) {
		if (m->sys->fsync(fd) == -1) {
			why_sys(why, "maildir %s: sync", f->user);
			m->sys->close(fd);
			return -1;
		}
	} else if (!maildir_dirs_syncfs_needed(m->dirs)) {
		if (m->nkept < MAILDIR_SYNCFS_FROM - 1) {
			m->kept[m->nkept++] = fd;
			return 0;
		}
		share_sync(m);
	}
	if (m->sys->close(fd) == -1)
		return why_sys(why, "maildir %s: close", f->user);
	return 0;
}

int
maildir_end(struct maildir_file **fp, struct why *why)
{
	struct maildir_file *f = *fp;

	if (f->cr && add(f, "\r", 1, why) == -1) {
		maildir_abort(fp);
		return -1;
	}
	if (flush(f, why) == -1 || settle(f, why) == -1) {
		maildir_abort(fp);
		return -1;
	}
	explicit_bzero(f->buf, sizeof(f->buf));
	free(f);
	*fp = NULL;
	return 0;
}

void
maildir_abort(struct maildir_file **fp)
{
	struct maildir_file *f = *fp;
	struct why why;

	*fp = NULL;
	if (f == NULL)
		return;
	if (f->fd != -1)
		f->m->sys->close(f->fd);
	/* A leftover that stays is replaced by the next try. */
	maildir_unstage(f->m, f->user, f->name, &why);
	explicit_bzero(f->buf, sizeof(f->buf));
	free(f);
}

int
maildir_sync_tmp(struct maildir *m, struct why *why)
{
	int rc = m->lost ? why_set(why, "maildir: a message could not be closed") : 0;

	m->lost = false;
	for (size_t i = 0; i < m->nkept; i++) {
		if (rc == 0 && m->sys->fsync(m->kept[i]) == -1)
			rc = why_sys(why, "maildir: sync of a message");
		m->sys->close(m->kept[i]);
	}
	m->nkept = 0;
	if (maildir_dirs_sync_tmp(m->dirs, rc == 0 ? why : NULL) == -1)
		rc = -1;
	return rc;
}

int
maildir_sync_new(struct maildir *m, struct why *why)
{
	return maildir_dirs_sync_new(m->dirs, why);
}

/* A name out of the ledger, which another process wrote: it must stay one path component. */
static bool
name_ok(const char *user, const char *name, struct why *why)
{
	if (name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL &&
	    strlen(name) < MAILDIR_NAME_MAX)
		return true;
	why_set(why, "maildir %s: not the name of a message", user);
	return false;
}

int
maildir_staged(struct maildir *m, const char *user, const char *name, struct why *why)
{
	struct maildir_dir *d;
	struct stat st;

	if (!name_ok(user, name, why) || (d = maildir_dirs_get(m->dirs, user, false, why)) == NULL)
		return -1;
	if (m->sys->fstatat(d->tmp, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	if (errno != ENOENT)
		return why_sys(why, "maildir %s: tmp/%s", user, name);
	/* Gone: but a tmp that was itself removed while we held it open tells nothing. */
	if (m->sys->fstatat(d->tmp, "", &st, AT_EMPTY_PATH) == -1)
		return why_sys(why, "maildir %s: tmp", user);
	if (st.st_nlink == 0) {
		maildir_dirs_forget(m->dirs, d);
		return why_set(why, "maildir %s: tmp was removed while in use", user);
	}
	return 0;
}

/* Whether it lies in cur, where a reader put `:2,` and flags behind its name: 1, 0, or -1. */
static int
seen(struct maildir *m, const struct maildir_dir *d, const char *name)
{
	int fd = m->sys->openat(d->new_, "../cur", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
	    0);
	DIR *cur = fd != -1 ? fdopendir(fd) : NULL;
	struct dirent *e;
	int rc = 0;

	if (cur == NULL) {
		if (fd != -1)
			m->sys->close(fd);
		return -1;
	}
	errno = 0;
	while (rc == 0 && (e = readdir(cur)) != NULL)
		rc = strncmp(e->d_name, name, strlen(name)) == 0;
	if (rc == 0 && errno != 0)
		rc = -1;
	closedir(cur);
	return rc;
}

int
maildir_lost(struct maildir *m, const char *user, const char *name, struct why *why)
{
	struct maildir_dir *d;
	struct stat st;
	int rc = maildir_staged(m, user, name, why);

	if (rc != 0)
		return rc == 1 ? 0 : -1;
	if ((d = maildir_dirs_get(m->dirs, user, false, why)) == NULL)
		return -1;
	if (m->sys->fstatat(d->new_, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (errno != ENOENT)
		return why_sys(why, "maildir %s: new/%s", user, name);
	if ((rc = seen(m, d, name)) == -1)
		return why_sys(why, "maildir %s: cur", user);
	return rc == 0;
}

int
maildir_publish(struct maildir *m, const char *user, const char *name, struct why *why)
{
	struct maildir_dir *d;

	if (!name_ok(user, name, why) || (d = maildir_dirs_get(m->dirs, user, false, why)) == NULL)
		return -1;
	/*
	 * Marked also where the rename fails or finds nothing: what an earlier run
	 * renamed may not be on disk yet, and its row is about to say that it is.
	 */
	d->dirty_new = true;
	if (m->sys->renameat(d->tmp, name, d->new_, name) == 0)
		return 0;
	if (errno != ENOENT)
		return why_sys(why, "maildir %s: rename of tmp/%s to new", user, name);
	switch (maildir_staged(m, user, name, why)) {
	case 0:
		return 0;
	case 1:
		return why_set(why, "maildir %s: new was removed while in use", user);
	default:
		return -1;
	}
}

int
maildir_unstage(struct maildir *m, const char *user, const char *name, struct why *why)
{
	struct maildir_dir *d;

	if (!name_ok(user, name, why) || (d = maildir_dirs_get(m->dirs, user, false, why)) == NULL)
		return -1;
	if (m->sys->unlinkat(d->tmp, name, 0) == -1 && errno != ENOENT)
		return why_sys(why, "maildir %s: removing tmp/%s", user, name);
	return 0;
}
