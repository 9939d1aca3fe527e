#include "store/said.h"

#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "conf/conf.h"
#include "proto/pairing.h"
#include "store/peers_file.h"

static const char *const folders[SPOOL_SAID_KINDS] = {
	[SPOOL_SAID_POLICY] = "policies", [SPOOL_SAID_BANS] = "bans",
	[SPOOL_SAID_FROM] = "addresses",
};

static void
path_of(char path[CONF_PATH_MAX + 16], const char *state, enum spool_said what)
{
	snprintf(path, CONF_PATH_MAX + 16, "%s/%s", state, folders[what]);
}

static int
folder(const struct sys *sys, const char *state, enum spool_said what)
{
	char path[CONF_PATH_MAX + 16];

	path_of(path, state, what);
	return sys->openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
}

int
said_put(const struct sys *sys, const char *state, const char *home, enum spool_said what,
    struct span text, struct why *why)
{
	char path[CONF_PATH_MAX + 16];
	int dir, rc;

	path_of(path, state, what);
	if (sys->mkdirat(AT_FDCWD, path, 0700) == -1 && errno != EEXIST)
		return why_sys(why, "%s: cannot be made", path);
	if ((dir = folder(sys, state, what)) == -1)
		return why_sys(why, "%s: cannot be opened", path);
	rc = file_replace(sys, dir, home, text, why);
	sys->close(dir);
	return rc;
}

int
said_open(const struct sys *sys, const char *state, const char *home, enum spool_said what)
{
	int dir = folder(sys, state, what), fd = -1;
	struct why why = { 0 };

	if (dir != -1)
		fd = sys->openat(dir, home, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd == -1 && errno != ENOENT) {
		why_sys(&why, "%s/%s/%s", state, folders[what], home);
		log_error(NULL, "said.lost home=%s: %s", home, why.text);
	}
	if (dir != -1)
		sys->close(dir);
	return fd;
}

void
said_forget(const struct sys *sys, const char *state, const char *home)
{
	for (unsigned what = 0; what < SPOOL_SAID_KINDS; what++) {
		int dir = folder(sys, state, (enum spool_said)what);
		struct why why = { 0 };

		if (dir == -1)
			continue;
		if (file_remove(sys, dir, home, &why) == -1)
			log_error(NULL, "said.kept home=%s: %s", home, why.text);
		sys->close(dir);
	}
}
