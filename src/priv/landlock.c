#include "priv/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The kernel's interface, written out: Debian 12's headers end at ABI 2, and what
 * counts is the kernel that we meet.  Source: linux/landlock.h of Linux 6.18.
 */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset	444
#define SYS_landlock_add_rule		445
#define SYS_landlock_restrict_self	446
#endif
#define VERSION		(1u << 0)
#define PATH_BENEATH	1
#define NET_PORT	2		/* ABI 4 */

#define FS_EXECUTE	(1ull << 0)
#define FS_WRITE_FILE	(1ull << 1)
#define FS_READ_FILE	(1ull << 2)
#define FS_READ_DIR	(1ull << 3)
#define FS_REMOVE_DIR	(1ull << 4)
#define FS_REMOVE_FILE	(1ull << 5)
#define FS_MAKE_CHAR	(1ull << 6)
#define FS_MAKE_DIR	(1ull << 7)
#define FS_MAKE_REG	(1ull << 8)
#define FS_MAKE_SOCK	(1ull << 9)
#define FS_MAKE_FIFO	(1ull << 10)
#define FS_MAKE_BLOCK	(1ull << 11)
#define FS_MAKE_SYM	(1ull << 12)
#define FS_REFER	(1ull << 13)	/* ABI 2: rename and link between directories */
#define FS_TRUNCATE	(1ull << 14)	/* ABI 3 */
#define FS_IOCTL_DEV	(1ull << 15)	/* ABI 5 */
#define NET_BIND_TCP	(1ull << 0)	/* ABI 4 */
#define NET_CONNECT_TCP	(1ull << 1)
#define SCOPE_ABSTRACT	(1ull << 0)	/* ABI 6: abstract unix sockets of others */
#define SCOPE_SIGNAL	(1ull << 1)

struct ruleset {			/* older kernels read only its front */
	uint64_t	fs, net, scoped;
};

struct path_rule {
	uint64_t	access;
	int32_t		fd;
} __attribute__((packed));

struct port_rule {
	uint64_t	access, port;
};

static uint64_t
fs_known(int abi)
{
	uint64_t all = (FS_MAKE_SYM << 1) - 1;

	return all | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0) |
	    (abi >= 5 ? FS_IOCTL_DEV : 0);
}

static uint64_t
fs_of(unsigned use)
{
	return (use & LL_READ ? FS_READ_FILE | FS_READ_DIR : 0) |
	    (use & LL_EXECUTE ? FS_EXECUTE : 0) |
	    (use & LL_WRITE ?
	    FS_WRITE_FILE | FS_TRUNCATE | FS_MAKE_REG | FS_MAKE_DIR | FS_REMOVE_FILE |
	    FS_REMOVE_DIR : 0) |
	    (use & LL_RENAME ? FS_REFER : 0);
}

static int
allow(int set, const struct landlock_rule *r, uint64_t known, struct why *why)
{
	struct path_rule rule = { .access = fs_of(r->use) & known };
	struct stat st;
	int rc;

	if ((rule.fd = open(r->path, O_PATH | O_CLOEXEC)) == -1)
		return 0;
	/* A rule on a file may name only what can be done to a file. */
	if (fstat(rule.fd, &st) == 0 && !S_ISDIR(st.st_mode))
		rule.access &= FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE |
		    FS_IOCTL_DEV;
	rc = (int)syscall(SYS_landlock_add_rule, set, PATH_BENEATH, &rule, 0);
	if (rc == -1)
		why_sys(why, "landlock: %s", r->path);
	close(rule.fd);
	return rc;
}

static int
allow_port(int set, uint16_t port, struct why *why)
{
	const struct port_rule to = { NET_CONNECT_TCP, port };

	if (syscall(SYS_landlock_add_rule, set, NET_PORT, &to, 0) == -1)
		return why_sys(why, "landlock: port %u", (unsigned)port);
	return 0;
}

int
landlock_enter(const struct landlock_rule *rules, size_t n, enum landlock_tcp tcp,
    const uint16_t ports[LANDLOCK_PORTS], struct why *why)
{
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION), set;
	struct ruleset all = { 0 };
	size_t size;

	if (abi <= 0)
		return 0;		/* not built in, or switched off */
	/* ABI 1 refuses every rename between directories, and Maildir lives by one. */
	for (size_t i = 0; i < n; i++)
		if (abi < 2 && (rules[i].use & LL_RENAME) != 0)
			return 0;
	all.fs = fs_known(abi);
	if (abi >= 4)
		all.net = NET_BIND_TCP | (tcp == LL_TCP_ANY ? 0 : NET_CONNECT_TCP);
	if (abi >= 6)
		all.scoped = SCOPE_ABSTRACT | SCOPE_SIGNAL;
	size = abi >= 6 ? sizeof(all) : abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
	if ((set = (int)syscall(SYS_landlock_create_ruleset, &all, size, 0)) == -1)
		return why_sys(why, "landlock");
	for (size_t i = 0; i < n; i++)
		if (allow(set, &rules[i], all.fs, why) == -1) {
			close(set);
			return -1;
		}
	for (size_t i = 0; tcp == LL_TCP_PORTS && abi >= 4 && i < LANDLOCK_PORTS; i++)
		if (ports[i] != 0 && allow_port(set, ports[i], why) == -1) {
			close(set);
			return -1;
		}
	if (syscall(SYS_landlock_restrict_self, set, 0) == -1) {
		why_sys(why, "landlock");
		close(set);
		return -1;
	}
	close(set);
	return abi;
}
