#include "ctl/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int
state_make(const struct role *r, struct why *why)
{
	const char *path = r->common->state;
	char part[CONF_PATH_MAX];
	struct account a;

	if (account_find(&a, r->common, why) == -1)
		return -1;
	for (const char *p = path; (p = strchr(p + 1, '/')) != NULL;) {
		snprintf(part, sizeof(part), "%.*s", (int)(p - path), path);
		if (mkdir(part, 0755) == -1 && errno != EEXIST)
			return why_sys(why, "directory %s", part);
	}
	if (mkdir(path, 0700) == -1)
		return errno == EEXIST ? 0 : why_sys(why, "directory %s", path);
	if (a.changes && lchown(path, a.uid, a.gid) == -1)
		return why_sys(why, "directory %s", path);
	return 0;
}

int
state_enter(struct account *a, const struct role *r, const char *path, struct why *why)
{
	size_t n = strlen(r->common->state);

	if (account_find(a, r->common, why) == -1)
		return -1;
	if (strncmp(path, r->common->state, n) != 0 || path[n] != '/')
		a->changes = false;
	account_enter(a);
	return 0;
}
