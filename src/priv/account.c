#include "priv/account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int
account_find(struct account *a, const struct conf_common *c, struct why *why)
{
	const struct passwd *pw;
	const struct group *gr;

	*a = (struct account){ .uid = geteuid(), .gid = getegid() };
	if (geteuid() != 0 || c->user[0] == '\0')
		return 0;
	if ((pw = getpwnam(c->user)) == NULL)
		return why_set(why, "user \"%s\" does not exist; make it (systemd-sysusers with "
		    "posthouse.sysusers, or useradd --system %s), or write user = \"\" to stay "
		    "root",
		    c->user, c->user);
	a->uid = pw->pw_uid;
	a->gid = pw->pw_gid;
	if (c->group[0] != '\0') {
		if ((gr = getgrnam(c->group)) == NULL)
			return why_set(why,
			    "group \"%s\" does not exist; make it or mend the group key",
			    c->group);
		a->gid = gr->gr_gid;
	}
	a->changes = a->uid != 0;
	a->ngroups = ACCOUNT_GROUPS_MAX;
	if (getgrouplist(c->user, a->gid, a->groups, &a->ngroups) == -1)
		a->ngroups = ACCOUNT_GROUPS_MAX;	/* it has more: these are enough */
	return 0;
}

int
account_drop(const struct account *a)
{
	if (a->changes && (setgroups((size_t)a->ngroups, a->groups) == -1 ||
	    setresgid(a->gid, a->gid, a->gid) == -1 || setresuid(a->uid, a->uid, a->uid) == -1))
		return -1;
	/* A parent started with CAP_NET_BIND_SERVICE instead of root keeps it for itself. */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (a->changes && (geteuid() != a->uid || setuid(0) != -1)) {
		errno = EPERM;
		return -1;
	}
	return 0;
}

/* Failing half-way would leave a root that believes it is none, or none that needs root. */
static void
must(int rc)
{
	if (rc == -1)
		abort();
}

void
account_enter(const struct account *a)
{
	if (!a->changes)
		return;
	must(setegid(a->gid));
	must(seteuid(a->uid));
}

void
account_leave(const struct account *a)
{
	if (!a->changes)
		return;
	must(seteuid(0));
	must(setegid(0));
}
