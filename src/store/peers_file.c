#include "store/peers_file.h"

#include <errno.h>
#include <stdio.h>

static int
write_all(const struct sys *sys, int fd, struct span s)
{
	while (s.n > 0) {
		ssize_t n = sys->write(fd, s.p, s.n);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		s = span_from(s, (size_t)n);
	}
	return 0;
}

int
file_replace(const struct sys *sys, int dir, const char *name, struct span text, struct why *why)
{
	char tmp[300];
	int fd;

	snprintf(tmp, sizeof(tmp), ".%s.new", name);
	fd = sys->openat(dir, tmp,
	    O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1)
		return why_sys(why, "%s: cannot be written", name);
	if (write_all(sys, fd, text) == -1 || sys->fsync(fd) == -1) {
		why_sys(why, "%s: cannot be written", name);
		sys->close(fd);
		(void)sys->unlinkat(dir, tmp, 0);
		return -1;
	}
	sys->close(fd);
	if (sys->renameat(dir, tmp, dir, name) == -1 || sys->fsync(dir) == -1)
		return why_sys(why, "%s: cannot be replaced", name);
	return 0;
}

int
file_read(const struct sys *sys, int dir, const char *name, struct buf *out, struct why *why)
{
	int fd = sys->openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, 0);
	ssize_t n = -1;
	char *room;

	if (fd == -1)
		return errno == ENOENT ? 0 : why_sys(why, "%s: cannot be opened", name);
	while ((room = buf_room(out, 4096)) != NULL) {
		n = sys->read(fd, room, 4096);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		buf_used(out, (size_t)n);
	}
	if (room == NULL)
		why_set(why, "%s: too long", name);
	else if (n == -1)
		why_sys(why, "%s: cannot be read", name);
	sys->close(fd);
	return room != NULL && n == 0 ? 1 : -1;
}

int
file_remove(const struct sys *sys, int dir, const char *name, struct why *why)
{
	if (sys->unlinkat(dir, name, 0) == -1)
		return errno == ENOENT ? 0 : why_sys(why, "%s: cannot be removed", name);
	if (sys->fsync(dir) == -1)
		return why_sys(why, "%s: cannot be removed for good", name);
	return 0;
}
