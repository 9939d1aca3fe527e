#include "priv/sandbox.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/log.h"
#include "priv/landlock.h"
#include "priv/syscalls.h"

/* A courier has other needs by where mail goes, and by whether a filter is asked. */
static enum syscalls_courier
courier(const struct proc *p)
{
	if (p->kind != PROC_COURIER)
		return SYSCALLS_ALONE;
	return p->home->maildir[0] == '\0' ? SYSCALLS_POSTS :
	    p->home->filter.rspamd[0] != '\0' ? SYSCALLS_ASKS : SYSCALLS_ALONE;
}

#ifdef POSTHOUSE_SANITIZED
/*
 * Landlock cannot only log, and a sanitizer reads /proc and writes reports: it is
 * left out, and so is what would keep the leak check from looking at us.
 */
static int
enter(const struct proc *p, char *level, size_t max, struct why *why)
{
	if (syscalls_enter(p->kind, courier(p), why) == -1)
		return -1;
	snprintf(level, max, "seccomp logging only");
	return 0;
}
#else
#define RULES_MAX 20

/* The paths a kind of process may touch; what it got as a descriptor it has anyway. */
static size_t
paths(const struct proc *p, char large[static CONF_PATH_MAX + 8], struct landlock_rule *r)
{
	static const char *const programs[] = { "/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc",
		"/opt", "/srv", "/home", "/root", "/proc", "/sys", "/run", "/dev" };
	size_t n = 0;

	snprintf(large, CONF_PATH_MAX + 8, "%s/large", p->common->state);
	switch (p->kind) {
	/* the database, objects, peers; and what it sets aside goes from one to another */
	case PROC_WRITER:
		r[n++] = (struct landlock_rule){ p->common->state, LL_READ | LL_WRITE | LL_RENAME };
		break;
	case PROC_RECEPTION:
	case PROC_PUSH:
	case PROC_TUNNEL:	/* makes new objects, cannot read those of others */
		r[n++] = (struct landlock_rule){ large, LL_WRITE };
		break;
	case PROC_DRAIN:	/* the same, and the authorities of its stores */
		r[n++] = (struct landlock_rule){ large, LL_WRITE };
		r[n++] = (struct landlock_rule){ "/etc/ssl", LL_READ };
		r[n++] = (struct landlock_rule){ "/usr/share/ca-certificates", LL_READ };
		break;
	case PROC_BUCKET:	/* sends objects and takes their files away */
		r[n++] = (struct landlock_rule){ large, LL_READ | LL_WRITE };
		r[n++] = (struct landlock_rule){ "/etc/ssl", LL_READ };
		r[n++] = (struct landlock_rule){ "/usr/share/ca-certificates", LL_READ };
		break;
	case PROC_COURIER:	/* tmp/ to new/ is a rename between directories */
		if (p->home->maildir[0] != '\0')
			r[n++] = (struct landlock_rule){ p->home->maildir,
				LL_READ | LL_WRITE | LL_RENAME };
		break;
	case PROC_HELPER:	/* programs, their libraries and data; a scratch place */
		r[n++] = (struct landlock_rule){ "/", LL_READ | LL_EXECUTE };
		r[n++] = (struct landlock_rule){ "/tmp", LL_READ | LL_WRITE | LL_RENAME };
		break;
	case PROC_RUNNER:	/* it has the network: the state, in /var/lib, is nothing to it */
		for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
			r[n++] = (struct landlock_rule){ programs[i], LL_READ | LL_EXECUTE };
		r[n++] = (struct landlock_rule){ "/tmp", LL_READ | LL_WRITE | LL_RENAME |
			LL_EXECUTE };
		break;
	case PROC_HERALD:	/* the authorities, for https and the relay */
		r[n++] = (struct landlock_rule){ "/etc/ssl", LL_READ };
		r[n++] = (struct landlock_rule){ "/usr/share/ca-certificates", LL_READ };
		break;
	case PROC_RESOLVER:	/* resolv.conf, hosts; the root's keys */
		r[n++] = (struct landlock_rule){ "/etc", LL_READ };
		/* where resolv.conf often leads */
		r[n++] = (struct landlock_rule){ "/run/systemd/resolve", LL_READ };
		r[n++] = (struct landlock_rule){ "/usr/share/dns", LL_READ };
		break;
	case PROC_NONE:
	case PROC_KINDS:
		break;
	}
	r[n++] = (struct landlock_rule){ "/dev/null", LL_READ | LL_WRITE };
	return n;
}

static int
enter_landlock(const struct proc *p, struct why *why)
{
	struct landlock_rule rules[RULES_MAX];
	char large[CONF_PATH_MAX + 8];
	uint16_t ports[LANDLOCK_PORTS] = { 0 };
	size_t n = paths(p, large, rules);

	/* The courier's destination and filter: what it sees in the clear goes nowhere else. */
	if (p->kind == PROC_COURIER) {
		ports[0] = conf_deliver_port(p->home);
		ports[1] = conf_filter_port(p->home);
		return landlock_enter(rules, n, LL_TCP_PORTS, ports, why);
	}
	return landlock_enter(rules, n, p->kind == PROC_TUNNEL || p->kind == PROC_RESOLVER ||
	    p->kind == PROC_HERALD || p->kind == PROC_RUNNER || p->kind == PROC_DRAIN ||
	    p->kind == PROC_BUCKET ? LL_TCP_ANY : LL_TCP_NONE, ports, why);
}

static int
enter(const struct proc *p, char *level, size_t max, struct why *why)
{
	const struct rlimit none = { 0, 0 };
	int abi, filter;

	/* No core file and no debugger of the same account sees keys or plaintext. */
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
	if ((abi = enter_landlock(p, why)) == -1 ||
	    (filter = syscalls_enter(p->kind, courier(p), why)) == -1)
		return -1;
	if (abi > 0)
		snprintf(level, max, "%slandlock %d", filter == 1 ? "seccomp, " : "", abi);
	else
		snprintf(level, max, "%s", filter == 1 ? "seccomp" : "none");
	if (abi == 0)
		log_warn(NULL,
		    "sandbox.partial this kernel has no usable Landlock: files are guarded by the "
		    "account's rights alone");
	if (filter == 0)
		log_warn(NULL, "sandbox.partial this kernel has no seccomp filters");
	return 0;
}
#endif

int
sandbox_enter(const struct proc *p, char *level, size_t max, struct why *why)
{
	memset(level, 0, max);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return why_sys(why, "no_new_privs");
	return enter(p, level, max, why);
}
