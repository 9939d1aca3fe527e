#include "store/peers.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "store/peers_in.h"

#define PEER_FILE_MAX	(64u << 10)	/* 64 domains of 255 octets, keys, and room */

static const struct peers_events nobody = { NULL, NULL, NULL };

static const char *
folder(const struct peers *ps)
{
	return ps->role == CONF_EDGE ? "homes" : "edges";
}

int
peers_read_file(const struct sys *sys, int dir, const char *name, size_t max, struct buf *out, struct why *why)
{
	int fd = sys->openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0), rc = 0;
	ssize_t n = 1;

	buf_init(out, max);
	if (fd == -1)
		return why_sys(why, "%s", name);
	while (n > 0 && rc == 0) {
		char *room = buf_room(out, out->max - out->n < 4096 ? out->max - out->n : 4096);

		if (room == NULL || out->n == out->max)
			rc = why_set(why, "%s: larger than %zu octets: no file of ours", name, max);
		else if ((n = sys->read(fd, room, out->max - out->n < 4096 ? out->max - out->n : 4096)) == -1)
			rc = why_sys(why, "%s", name);
		else
			buf_used(out, (size_t)n);
	}
	sys->close(fd);
	if (rc == -1)
		buf_wipe(out);
	return rc;
}

static int
write_all(const struct sys *sys, int fd, struct span s)
{
	while (s.n > 0) {
		ssize_t n = sys->write(fd, s.p, s.n);

		if (n == -1)
			return -1;
		s = span_from(s, (size_t)n);
	}
	return 0;
}

int
peers_write_file(const struct sys *sys, int dir, const char *name, struct span text, struct why *why)
{
	char tmp[300];
	int fd, rc;

	/* A leading dot: no peer is called so, and a leftover of a crash is written over. */
	snprintf(tmp, sizeof(tmp), ".%s.new", name);
	if ((fd = sys->openat(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600)) == -1)
		return why_sys(why, "%s", tmp);
	rc = write_all(sys, fd, text) == -1 || sys->fsync(fd) == -1 ? why_sys(why, "%s", tmp) : 0;
	if (sys->close(fd) == -1 && rc == 0)
		rc = why_sys(why, "%s", tmp);
	if (rc == 0 && sys->renameat(dir, tmp, dir, name) == -1)
		rc = why_sys(why, "%s", name);
	if (rc == 0 && sys->fsync(dir) == -1)
		rc = why_sys(why, "%s: its folder", name);
	if (rc == -1)
		sys->unlinkat(dir, tmp, 0);
	return rc;
}

/* --- the table in memory ------------------------------------------------------------------- */

static struct peer *
find(const struct peers *ps, const char *name)
{
	for (size_t i = 0; i < ps->n; i++)
		if (strcmp(ps->list[i]->name, name) == 0)
			return ps->list[i];
	return NULL;
}

/* Puts p into the table.  1 it is new or changed, 0 it was so already, -1 there is no room. */
static int
take(struct peers *ps, const struct peer *p)
{
	struct peer *old = find(ps, p->name);

	if (old == NULL) {
		if (ps->n == PEERS_MAX || (old = calloc(1, sizeof(*old))) == NULL)
			return -1;
		ps->list[ps->n++] = old;
	} else if (memcmp(old, p, sizeof(*p)) == 0) {
		return 0;
	}
	memcpy(old, p, sizeof(*p));
	return 1;
}

static void
drop(struct peers *ps, struct peer *p)
{
	for (size_t i = 0; i < ps->n; i++)
		if (ps->list[i] == p) {
			ps->list[i] = ps->list[--ps->n];
			peer_fini(p);
			free(p);
			return;
		}
}

size_t
peers_count(const struct peers *ps)
{
	return ps->n;
}

const struct peer *
peers_at(const struct peers *ps, size_t i)
{
	return ps->list[i];
}

const struct peer *
peers_find(const struct peers *ps, const char *name)
{
	return find(ps, name);
}

void
peers_listen(struct peers *ps, const struct peers_events *events, void *arg)
{
	ps->events = events;
	ps->arg = arg;
}

static void
tell(struct peers *ps, const struct peer *p)
{
	if (ps->events->peer != NULL)
		ps->events->peer(ps->arg, p);
}

static void
tell_gone(struct peers *ps, const char *name)
{
	if (ps->events->gone != NULL)
		ps->events->gone(ps->arg, name);
}

/* --- on disk ------------------------------------------------------------------------------- */

/* At an edge a file is called after its home; at home after its edge's hostname. */
static bool
file_name_ok(const struct peers *ps, const char *name)
{
	if (ps->role == CONF_EDGE)
		return pairing_name_ok(span_str(name));
	return name[0] != '.' && name[0] != '\0' && strlen(name) < 254 &&
	    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == strlen(name);
}

static int
load(struct peers *ps, const char *name, struct peer *p, struct why *why)
{
	struct buf text;
	int rc = 0;

	if (!file_name_ok(ps, name))
		return why_set(why, "%s/%s: not a name of ours; left alone", folder(ps), log_safe(span_str(name)).s);
	if (peers_read_file(ps->sys, ps->dir, name, PEER_FILE_MAX, &text, why) == -1)
		return -1;
	memset(p, 0, sizeof(*p));
	if (!peer_parse(buf_span(&text), p, why))
		rc = -1;
	else if (strcmp(p->name, name) != 0)
		rc = why_set(why, "%s/%s: it speaks of %s; pair again", folder(ps), name, log_safe(span_str(p->name)).s);
	buf_wipe(&text);
	return rc;
}

/* seen receives the names found, good or not: what cannot be read now keeps its last good state. */
static int
scan(struct peers *ps, char (*seen)[256], size_t *nseen, struct why *why)
{
	int fd = ps->sys->openat(ps->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *e;

	*nseen = 0;
	if (d == NULL) {
		if (fd != -1)
			ps->sys->close(fd);
		return why_sys(why, "%s", folder(ps));
	}
	while ((e = readdir(d)) != NULL) {
		struct peer p;
		struct why bad = { "" };

		if (e->d_name[0] == '.' || *nseen == PEERS_MAX)
			continue;
		span_copy(span_str(e->d_name), seen[(*nseen)++], 256);
		if (load(ps, e->d_name, &p, &bad) == -1)
			log_error(NULL, "peer.unreadable file=%s/%s: %s", folder(ps),
			    log_safe(span_str(e->d_name)).s, bad.text);
		else if (take(ps, &p) == 1)
			tell(ps, find(ps, p.name));
		peer_fini(&p);
	}
	closedir(d);
	return 0;
}

int
peers_reload(struct peers *ps, struct why *why)
{
	char (*seen)[256] = calloc(PEERS_MAX, sizeof(*seen));
	size_t n;
	int rc;

	if (seen == NULL)
		return why_set(why, "memory is out");
	rc = scan(ps, seen, &n, why);
	for (size_t i = ps->n; rc == 0 && i-- > 0;) {
		char name[256];
		bool there = false;

		span_copy(span_str(ps->list[i]->name), name, sizeof(name));
		for (size_t k = 0; k < n; k++)
			there |= strcmp(seen[k], name) == 0;
		if (!there) {
			drop(ps, ps->list[i]);
			tell_gone(ps, name);
		}
	}
	free(seen);
	return rc;
}

int
peers_put(struct peers *ps, const struct peer *p, struct why *why)
{
	struct buf text;
	int rc;

	if (!file_name_ok(ps, p->name))
		return why_set(why, "a peer's name is letters, digits and hyphens, at most %d", PAIRING_NAME_MAX);
	if (find(ps, p->name) == NULL && ps->n == PEERS_MAX)
		return why_set(why, "%d peers are the most; unpair one first", PEERS_MAX);
	buf_init(&text, PEER_FILE_MAX);
	if (!peer_print(p, &text))
		rc = why_set(why, "%s: too large", p->name);
	else
		rc = peers_write_file(ps->sys, ps->dir, p->name, buf_span(&text), why);
	buf_wipe(&text);
	if (rc == 0 && take(ps, p) == -1)
		return why_set(why, "memory is out");
	if (rc == 0)
		tell(ps, find(ps, p->name));
	return rc;
}

int
peers_remove(struct peers *ps, const char *name, struct why *why)
{
	struct peer *p = find(ps, name);

	if (!file_name_ok(ps, name))
		return why_set(why, "no peer is called so");
	if ((ps->sys->unlinkat(ps->dir, name, 0) == -1 && errno != ENOENT) || ps->sys->fsync(ps->dir) == -1)
		return why_sys(why, "%s/%s", folder(ps), name);
	if (p != NULL) {
		drop(ps, p);
		tell_gone(ps, name);
	}
	return 0;
}

struct peers *
peers_open(const struct sys *sys, const char *state, enum conf_role role, struct why *why)
{
	struct peers *ps = calloc(1, sizeof(*ps));

	if (ps == NULL) {
		why_set(why, "memory is out");
		return NULL;
	}
	*ps = (struct peers){ .sys = sys, .role = role, .dir = -1, .events = &nobody };
	if ((ps->state = sys->openat(AT_FDCWD, state, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)) == -1 ||
	    (sys->mkdirat(ps->state, folder(ps), 0700) == -1 && errno != EEXIST) ||
	    (ps->dir = sys->openat(ps->state, folder(ps), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)) == -1) {
		why_sys(why, "%s/%s", state, folder(ps));
		peers_free(&ps);
	} else if (peers_reload(ps, why) == -1 || peers_pairings_load(ps, why) == -1) {
		peers_free(&ps);
	}
	return ps;
}

void
peers_free(struct peers **pp)
{
	struct peers *ps = *pp;

	if (ps == NULL)
		return;
	while (ps->n > 0)
		drop(ps, ps->list[0]);
	peers_pairings_drop(ps);
	if (ps->dir != -1)
		ps->sys->close(ps->dir);
	if (ps->state != -1)
		ps->sys->close(ps->state);
	free(ps);
	*pp = NULL;
}
