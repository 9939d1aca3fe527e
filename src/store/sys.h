#ifndef STORE_SYS_H
#define STORE_SYS_H

#include <dirent.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

/*
 * The system calls on which durability rests, in a table, so that a fault sweep
 * fails each in turn.  Same meanings and errno as the calls they are named for.
 */
struct sys {
	int	(*openat)(int dir, const char *path, int flags, mode_t mode);
	int	(*close)(int fd);
	ssize_t	(*write)(int fd, const void *, size_t);
	ssize_t	(*read)(int fd, void *, size_t);
	int	(*fsync)(int fd);
	int	(*syncfs)(int fd);
	int	(*renameat)(int from_dir, const char *from, int to_dir, const char *to);
	int	(*unlinkat)(int dir, const char *path, int flags);
	int	(*mkdirat)(int dir, const char *path, mode_t mode);
	int	(*fstatat)(int dir, const char *path, struct stat *, int flags);
};

extern const struct sys sys_real;

#endif
