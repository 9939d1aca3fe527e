#include "priv/ground.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "store/db.h"

/* net.core.somaxconn's default: a burst of senders waits, not fails */
#define BACKLOG	4096

static const struct conf_common *
common_of(const struct conf_edge *edge, const struct conf_home *home)
{
	return edge != NULL ? &edge->common : &home->common;
}

/* --- directories ------------------------------------------------------------ */

/*
 * Makes a directory that is to be the account's own, with the parents it lacks.
 * One that is there is left as it is: root taking over somebody's directory is how
 * a wrong path becomes a disaster.  only_ours: then it must be the account's already.
 */
static int
own_dir(const struct account *a, const char *path, bool only_ours, struct why *why)
{
	char part[CONF_PATH_MAX];
	struct stat st;
	bool made = false;
	int fd;

	for (const char *p = path; (p = strchr(p + 1, '/')) != NULL;) {
		snprintf(part, sizeof(part), "%.*s", (int)(p - path), path);
		if (mkdir(part, 0755) == -1 && errno != EEXIST)
			return why_sys(why, "directory %s", part);
	}
	if (mkdir(path, 0700) == 0)
		made = true;
	else if (errno != EEXIST)
		return why_sys(why, "directory %s", path);
	if ((fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) == -1 ||
	    fstat(fd, &st) == -1) {
		why_sys(why, "directory %s", path);
		if (fd != -1)
			close(fd);
		return -1;
	}
	if (made && a->changes && fchown(fd, a->uid, a->gid) == -1) {
		why_sys(why, "directory %s", path);
		close(fd);
		return -1;
	}
	close(fd);
	if (!made && only_ours && st.st_uid != a->uid)
		return why_set(why,
		    "directory %s belongs to user %u, and we run as %u; chown it, or mend "
		    "the user key", path, (unsigned)st.st_uid, (unsigned)a->uid);
	return 0;
}

/*
 * The folder of mailboxes may be somebody else's, as long as we may write there.  It is made for
 * a home that begins: later, one that is missing is a disk that is not mounted, and mail that
 * went into its place would be found by nobody.
 */
static int
maildir_ok(const struct account *a, const struct conf_home *home, struct why *why)
{
	const char *path = home->maildir;
	char ledger[CONF_PATH_MAX + 16];
	int rc;

	snprintf(ledger, sizeof(ledger), "%s/spool.db", home->common.state);
	if (access(path, F_OK) == -1 && errno == ENOENT && access(ledger, F_OK) == 0)
		return why_set(why, "deliver.maildir %s is not there, and this home is no new one: "
		    "mount the disk that it lies on; or make it, for user %u to write into", path,
		    (unsigned)a->uid);
	if (own_dir(a, path, false, why) == -1)
		return -1;
	account_enter(a);
	rc = faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS);
	if (rc == -1)
		why_sys(why, "deliver.maildir %s: user %u cannot make mailboxes there", path,
		    (unsigned)a->uid);
	account_leave(a);
	return rc;
}

/* Directories inside the state, made as the account. */
static int
inner_dirs(const struct conf_common *c, const char *const *names, struct why *why)
{
	char path[CONF_PATH_MAX + 32];

	for (; *names != NULL; names++) {
		snprintf(path, sizeof(path), "%s/%s", c->state, *names);
		if (mkdir(path, 0700) == -1 && errno != EEXIST)
			return why_sys(why, "directory %s", path);
	}
	return 0;
}

static int
take_lock(struct ground *g, const struct conf_common *c, struct why *why)
{
	char path[CONF_PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/" GROUND_LOCK, c->state);
	g->lock = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (g->lock == -1)
		return why_sys(why, "%s", path);
	if (flock(g->lock, LOCK_EX | LOCK_NB) == -1) {
		if (errno == EWOULDBLOCK)
			return why_set(why,
			    "%s: another posthouse works on this state already; stop it "
			    "first, or give this one a state of its own", path);
		return why_sys(why, "%s", path);
	}
	return 0;
}

int
ground_whole(const struct conf_common *c, struct why *why)
{
	int rc, dir = open(c->state, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir == -1)		/* ground_make says what is wrong with it */
		return 0;
	rc = db_restored(&sys_real, dir, c->state, why);
	close(dir);
	return rc;
}

int
ground_dir(const struct account *a, const struct conf_edge *edge, const struct conf_home *home,
    const char *name, struct why *why)
{
	char path[CONF_PATH_MAX + 16];
	int fd;

	if (strcmp(name, "maildir") == 0)
		snprintf(path, sizeof(path), "%s", home->maildir);
	else
		snprintf(path, sizeof(path), "%s/%s", common_of(edge, home)->state, name);
	account_enter(a);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		why_sys(why, "directory %s", path);
	account_leave(a);
	return fd;
}

/* --- the control socket ----------------------------------------------------- */

/* Removes what a dead parent left; anything else in the way stays, and is named. */
static int
clear_stale(const char *path, const struct sockaddr_un *sun, struct why *why)
{
	struct stat st;
	int fd, rc;

	if (lstat(path, &st) == -1)
		return errno == ENOENT ? 0 : why_sys(why, "control socket %s", path);
	if (!S_ISSOCK(st.st_mode))
		return why_set(why,
		    "control socket %s: something else is there; move it away, or mend the "
		    "control key", path);
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) == -1)
		return why_sys(why, "control socket");
	rc = connect(fd, (const void *)sun, sizeof(*sun));
	if (rc == -1 && errno != ECONNREFUSED) {
		why_sys(why, "control socket %s", path);
		close(fd);
		return -1;
	}
	close(fd);
	if (rc == 0)
		return why_set(why,
		    "control socket %s: another posthouse answers there; stop it first", path);
	if (unlink(path) == -1)
		return why_sys(why, "control socket %s", path);
	return 0;
}

static int
bind_control(struct ground *g, const struct conf_common *c, struct why *why)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	mode_t mask;
	int rc;

	/* its length was checked with the file */
	memcpy(sun.sun_path, c->control, strlen(c->control));
	if (clear_stale(c->control, &sun, why) == -1)
		return -1;
	g->control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (g->control == -1)
		return why_sys(why, "control socket");
	mask = umask(0117);		/* 0660 from its first moment */
	rc = bind(g->control, (const void *)&sun, sizeof(sun));
	umask(mask);
	if (rc == -1 || listen(g->control, 64) == -1)
		return why_sys(why, "control socket %s", c->control);
	return 0;
}

/*
 * Its directory: made when it is missing, and only its last part.  Where the
 * account may write, root acts as the account; where only root may, as root.
 */
static int
control_dir(struct ground *g, const struct account *a, const struct conf_common *c, struct why *why)
{
	char dir[sizeof(c->control)];
	struct stat st;
	char *slash;

	memcpy(dir, c->control, sizeof(dir));
	slash = strrchr(dir, '/');
	slash[slash == dir] = '\0';
	if (mkdir(dir, 0755) == 0) {
		if (a->changes && lchown(dir, a->uid, a->gid) == -1)
			return why_sys(why, "directory %s", dir);
	} else if (errno != EEXIST) {
		return why_sys(why, "directory %s of the control socket", dir);
	}
	if (stat(dir, &st) == -1)
		return why_sys(why, "directory %s", dir);
	g->control_by_root = a->changes && st.st_uid == 0 && (st.st_mode & 0022) == 0;
	return 0;
}

static int
make_control(struct ground *g, const struct account *a, const struct conf_common *c,
    struct why *why)
{
	int rc;

	if (!g->control_by_root)
		account_enter(a);
	rc = bind_control(g, c, why);
	if (!g->control_by_root)
		account_leave(a);
	else if (rc == 0 && lchown(c->control, a->uid, a->gid) == -1)
		rc = why_sys(why, "control socket %s", c->control);
	return rc;
}

/* --- public listeners ------------------------------------------------------- */

static int
bind_one(const struct netaddr *a, struct why *why, const char *service)
{
	static const struct netaddr any6 = { .v6 = true };
	struct sockaddr_storage ss;
	socklen_t n = netaddr_to_sockaddr(a, &ss);
	int one = 1, only6 = !netaddr_same_ip(a, &any6);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1 && errno == EAFNOSUPPORT && a->v6 && !only6) {
		/* A machine without IPv6: every address it has is an IPv4 one. */
		struct netaddr any4 = { .port = a->port };

		netaddr_parse_ip(SPAN_LIT("0.0.0.0"), &any4);
		any4.port = a->port;
		log_warn(NULL, "listen.ipv4only service=%s port=%u", service, (unsigned)a->port);
		return bind_one(&any4, why, service);
	}
	if (fd == -1)
		return why_sys(why, "service %s: %s", service, netaddr_hostport(a).s);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (a->v6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof(only6));
	if (bind(fd, (const void *)&ss, n) == -1 || listen(fd, BACKLOG) == -1) {
		why_sys(why, "service %s: cannot listen on %s%s", service, netaddr_hostport(a).s,
		    errno == EADDRINUSE ? " (`ss -ltnp` shows who does)" :
		    errno == EACCES ? " (a port below 1024 needs root, or CAP_NET_BIND_SERVICE)" :
		    errno == EADDRNOTAVAIL ? " (this machine does not have that address)" : "");
		close(fd);
		return -1;
	}
	return fd;
}

static int
bind_all(struct ground *g, const char *service, const struct netaddr *a, size_t n, struct why *why)
{
	for (size_t i = 0; i < n; i++) {
		struct ground_listener *l = &g->listeners[g->nlisteners];

		if ((l->fd = bind_one(&a[i], why, service)) == -1)
			return -1;
		snprintf(l->service, sizeof(l->service), "%s", service);
		g->nlisteners++;
		log_info(NULL, "listen service=%s address=%s", service, netaddr_hostport(&a[i]).s);
	}
	return 0;
}

static int
bind_public(struct ground *g, const struct conf_edge *c, struct why *why)
{
	for (size_t i = 0; i < c->nservices; i++)
		if (bind_all(g, c->services[i].name, c->services[i].listen, c->services[i].nlisten,
		    why) == -1)
			return -1;
	return bind_all(g, "tunnel", c->tunnel_listen, c->ntunnel_listen, why);
}

static int
bind_push(struct ground *g, const struct conf_home *c, struct why *why)
{
	const struct conf_home_service *s = conf_home_push(c);

	if (s == NULL)
		return 0;
	for (size_t i = 0; i < s->nlisten; i++)
		if (!conf_local_host(netaddr_hostport(&s->listen[i]).s))
			log_warn(NULL, "push.open address=%s: others than this machine reach it, "
			    "and tokens go in the clear there; 127.0.0.1 with an HTTPS tunnel in "
			    "front of it is what it is meant for",
			    netaddr_hostport(&s->listen[i]).s);
	return bind_all(g, s->name, s->listen, s->nlisten, why);
}

/* --- the scoreboard --------------------------------------------------------- */

static int
make_board(struct ground *g, struct why *why)
{
	void *p;

	g->board_fd = memfd_create("posthouse-board", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (g->board_fd == -1 || ftruncate(g->board_fd, sizeof(struct scoreboard)) == -1)
		return why_sys(why, "scoreboard");
	/* A process that shrank it would end its readers by SIGBUS. */
	fcntl(g->board_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	p = mmap(NULL, sizeof(struct scoreboard), PROT_READ | PROT_WRITE, MAP_SHARED, g->board_fd,
	    0);
	if (p == MAP_FAILED)
		return why_sys(why, "scoreboard");
	g->board = p;
	g->board->started_ms = wall_ms();
	return 0;
}

int
ground_make(struct ground *g, const struct account *a, const struct conf_edge *edge,
    const struct conf_home *home, struct why *why)
{
	static const char *const edge_dirs[] = { "large", "aside", "homes", NULL };
	static const char *const home_dirs[] = { "large", "aside", "edges", NULL };
	const struct conf_common *c = common_of(edge, home);
	int rc;

	*g = (struct ground){ .lock = -1, .control = -1, .board_fd = -1 };
	if (own_dir(a, c->state, true, why) == -1 || control_dir(g, a, c, why) == -1 ||
	    (home != NULL && home->maildir[0] != '\0' &&
	    maildir_ok(a, home, why) == -1))
		return -1;
	account_enter(a);
	rc = inner_dirs(c, edge != NULL ? edge_dirs : home_dirs, why) == -1 ||
	    take_lock(g, c, why) == -1 ? -1 : 0;
	account_leave(a);
	if (rc == -1 || make_control(g, a, c, why) == -1 || make_board(g, why) == -1)
		return -1;
	return edge != NULL ? bind_public(g, edge, why) : bind_push(g, home, why);
}

void
ground_close(struct ground *g, const struct account *a, const struct conf_common *c)
{
	if (g->control != -1) {
		if (!g->control_by_root)
			account_enter(a);
		unlink(c->control);
		if (!g->control_by_root)
			account_leave(a);
		close(g->control);
	}
	for (size_t i = 0; i < g->nlisteners; i++)
		close(g->listeners[i].fd);
	if (g->board != NULL)
		munmap(g->board, sizeof(*g->board));
	if (g->board_fd != -1)
		close(g->board_fd);
	if (g->lock != -1)
		close(g->lock);
}
