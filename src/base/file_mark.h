#ifndef BASE_FILE_MARK_H
#define BASE_FILE_MARK_H

#include <stdbool.h>
#include <sys/stat.h>

/* Tells one version of a file from another.  All zero: it is not there. */
struct file_mark {
	bool	there;
	dev_t	dev;
	ino_t	ino;
	off_t	size;
	struct timespec mtime;
};

struct file_mark file_mark_of(const struct stat *);	/* one that is there */
struct file_mark file_mark_at(const char *path);	/* as it is now; a link is followed */
bool	file_mark_same(const struct file_mark *, const struct file_mark *);

#endif
