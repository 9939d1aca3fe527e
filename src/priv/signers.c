#include "priv/signers.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

static int
told(const char *file, struct span text, const struct conf_home *home,
    const struct conf_worker *w, const char *edge, struct why *why)
{
	return why_set(why, "%.300s:%d: worker: an edge called \"%s\" is paired with this home; "
	    "give the Worker a name of its own, or run `posthouse unpair %s`", file,
	    conf_home_worker_line(text, (size_t)(w - home->workers)), w->name, edge);
}

int
signers_apart(const struct account *a, const char *file, struct span text,
    const struct conf_home *home, struct why *why)
{
	char path[CONF_PATH_MAX + 16];
	const struct conf_worker *w = NULL;
	const struct dirent *e;
	DIR *dir;
	int rc = 0;

	snprintf(path, sizeof(path), "%s/edges", home->common.state);
	account_enter(a);
	if ((dir = opendir(path)) == NULL && errno != ENOENT && errno != EACCES)
		rc = why_sys(why, "%s", path);
	account_leave(a);
	if (dir == NULL)
		return rc;
	while (rc == 0 && (e = readdir(dir)) != NULL)
		if ((w = conf_home_worker(home, e->d_name)) != NULL)
			rc = told(file, text, home, w, e->d_name, why);
	closedir(dir);
	return rc;
}
