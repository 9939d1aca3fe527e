#include "store/peers.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/peers_file.h"
#include "store/peers_in.h"


/* A name that is one safe path component: a home's, or an edge's hostname. */
static bool
name_ok(const char *name)
{
	size_t i, n = strlen(name);

	for (i = 0; i < n; i++)
		if (!(name[i] >= 'a' && name[i] <= 'z') && !(name[i] >= 'A' && name[i] <= 'Z') &&
		    !(name[i] >= '0' && name[i] <= '9') && name[i] != '-' &&
		    !(i > 0 && name[i] == '.'))
			return false;
	return n > 0 && n < sizeof(((struct peer *)0)->name);
}

static void
drop_peer(struct peer **p)
{
	if (*p == NULL)
		return;
	peer_fini(*p);
	free(*p);
	*p = NULL;
}

static size_t
at(const struct peers *ps, const char *name)
{
	size_t i;

	for (i = 0; i < ps->npeers; i++)
		if (strcmp(ps->peer[i]->name, name) == 0)
			break;
	return i;
}

size_t
peers_count(const struct peers *ps)
{
	return ps->npeers;
}

const struct peer *
peers_at(const struct peers *ps, size_t i)
{
	return ps->peer[i];
}

const struct peer *
peers_find(const struct peers *ps, const char *name)
{
	size_t i = at(ps, name);

	return i < ps->npeers ? ps->peer[i] : NULL;
}

size_t
peers_unread(const struct peers *ps, const char **file, const char **why)
{
	*file = ps->nunread > 0 ? ps->unread[ps->nunread - 1] : "";
	*why = ps->unread_why.text;
	return ps->nunread;
}

bool
peers_is_unread(const struct peers *ps, const char *file)
{
	for (size_t i = 0; i < ps->nunread; i++)
		if (strcmp(ps->unread[i], file) == 0)
			return true;
	return false;
}

static void
unread(struct peers *ps, const char *file, const struct why *why)
{
	log_error(NULL, "peer.ignored file=%s why=\"%s\"", log_safe(span_str(file)).s, why->text);
	if (ps->nunread == PEERS_MAX)
		return;
	snprintf(ps->unread[ps->nunread++], sizeof(ps->unread[0]), "%s", file);
	ps->unread_why = *why;
}

/* That file has been written anew, or is gone. */
static void
read_now(struct peers *ps, const char *file)
{
	for (size_t i = ps->nunread; i-- > 0;)
		if (strcmp(ps->unread[i], file) == 0) {
			ps->nunread--;
			memmove(ps->unread[i], ps->unread[i + 1],
			    (ps->nunread - i) * sizeof(ps->unread[0]));
		}
}

static void
tell_unread(struct peers *ps)
{
	if (ps->events != NULL)
		ps->events->unread(ps->arg, ps->nunread);
}

void
peers_listen(struct peers *ps, const struct peers_events *events, void *arg)
{
	ps->events = events;
	ps->arg = arg;
	tell_unread(ps);
}

/* --- the table ------------------------------------------------------------------ */

/* Takes p.  Tells only what changed: a peer's file is its whole truth, so its text is compared. */
static void
adopt(struct peers *ps, struct peer *p)
{
	size_t i = at(ps, p->name);
	bool same = false;

	if (i < ps->npeers) {
		struct buf was, is;

		buf_init(&was, PEER_FILE_MAX);
		buf_init(&is, PEER_FILE_MAX);
		same = peer_print(ps->peer[i], &was) && peer_print(p, &is) &&
		    span_eq(buf_span(&was), buf_span(&is));
		buf_wipe(&was);
		buf_wipe(&is);
		drop_peer(&ps->peer[i]);
	} else
		ps->npeers++;
	ps->peer[i] = p;
	if (!same && ps->events != NULL)
		ps->events->peer(ps->arg, p);
}

static void
forget(struct peers *ps, size_t i)
{
	char name[sizeof(ps->peer[i]->name)];

	snprintf(name, sizeof(name), "%s", ps->peer[i]->name);
	drop_peer(&ps->peer[i]);
	ps->peer[i] = ps->peer[--ps->npeers];
	ps->peer[ps->npeers] = NULL;
	if (ps->events != NULL)
		ps->events->gone(ps->arg, name);
}

/* NULL with why: the file cannot be read, or says another name than its own. */
static struct peer *
load(struct peers *ps, const char *file, struct why *why)
{
	struct peer *p = malloc(sizeof(*p));
	struct buf text;
	int rc;

	if (p == NULL) {
		why_set(why, "out of memory");
		return NULL;
	}
	buf_init(&text, PEER_FILE_MAX);
	rc = file_read(ps->sys, ps->files, file, &text, why);
	if (rc == 0)
		why_set(why, "is gone");
	if (rc == 1 && peer_parse(buf_span(&text), p, why)) {
		if (strcmp(p->name, file) == 0) {
			buf_wipe(&text);
			return p;
		}
		why_set(why, "its name inside is another");
		peer_fini(p);
	}
	buf_wipe(&text);
	free(p);
	return NULL;
}

int
peers_reload(struct peers *ps, struct why *why)
{
	int fd = ps->sys->openat(ps->files, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	bool seen[PEERS_MAX] = { false };
	struct dirent *e;
	size_t i;

	if (d == NULL) {
		why_sys(why, "the directory of peers cannot be listed");
		if (fd != -1)
			ps->sys->close(fd);
		return -1;
	}
	ps->nunread = 0;
	while ((e = readdir(d)) != NULL) {
		struct why bad = { 0 };
		struct peer *p;

		if (e->d_name[0] == '.')
			continue;
		if (!name_ok(e->d_name) || (at(ps, e->d_name) == ps->npeers &&
		    ps->npeers == PEERS_MAX)) {
			log_error(NULL, "peer.ignored file=%s why=\"%s\"",
			    log_safe(span_str(e->d_name)).s,
			    ps->npeers == PEERS_MAX ? "too many peers" : "no name of a peer");
			continue;
		}
		i = at(ps, e->d_name);
		if ((p = load(ps, e->d_name, &bad)) == NULL) {
			unread(ps, e->d_name, &bad);
			/* what was good a moment ago stays until it is mended or removed */
			if (i < ps->npeers)
				seen[i] = true;
			continue;
		}
		adopt(ps, p);
		seen[i] = true;
	}
	closedir(d);
	for (i = ps->npeers; i-- > 0;)
		if (!seen[i])
			forget(ps, i);
	tell_unread(ps);
	return 0;
}

int
peers_put(struct peers *ps, const struct peer *p, struct why *why)
{
	struct peer *copy;
	struct buf text;
	int rc;

	if (!name_ok(p->name))
		return why_set(why, "peer: no name of a peer");
	if (at(ps, p->name) == ps->npeers && ps->npeers == PEERS_MAX)
		return why_set(why, "peer: %d are known already", PEERS_MAX);
	if ((copy = malloc(sizeof(*copy))) == NULL)
		return why_set(why, "peer: out of memory");
	buf_init(&text, PEER_FILE_MAX);
	rc = peer_print(p, &text) ?
	    file_replace(ps->sys, ps->files, p->name, buf_span(&text), why) :
	    why_set(why, "peer: out of memory");
	buf_wipe(&text);
	if (rc == -1) {
		free(copy);
		return -1;
	}
	*copy = *p;
	adopt(ps, copy);
	read_now(ps, p->name);
	tell_unread(ps);
	return 0;
}

int
peers_remove(struct peers *ps, const char *name, struct why *why)
{
	size_t i;

	if (!name_ok(name))
		return why_set(why, "peer: no name of a peer");
	if (file_remove(ps->sys, ps->files, name, why) == -1)
		return -1;
	if ((i = at(ps, name)) < ps->npeers)
		forget(ps, i);
	read_now(ps, name);
	tell_unread(ps);
	return 0;
}

/* --- opening -------------------------------------------------------------------- */

struct peers *
peers_open(const struct sys *sys, const char *state, enum conf_role role, struct why *why)
{
	const char *sub = role == CONF_EDGE ? "homes" : "edges";
	struct peers *ps = calloc(1, sizeof(*ps));

	if (ps == NULL) {
		why_set(why, "peers: out of memory");
		return NULL;
	}
	*ps = (struct peers){ .sys = sys, .role = role, .dir = -1, .files = -1 };
	if ((ps->dir = sys->openat(AT_FDCWD, state, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)) == -1)
		why_sys(why, "%s: cannot be opened", state);
	else if (sys->mkdirat(ps->dir, sub, 0700) == -1 && errno != EEXIST)
		why_sys(why, "%s/%s: cannot be made", state, sub);
	else if ((ps->files = sys->openat(ps->dir, sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC,
	    0)) == -1)
		why_sys(why, "%s/%s: cannot be opened", state, sub);
	else if (peers_reload(ps, why) == 0 &&
	    (role != CONF_EDGE || peers_pairings_load(ps, why) == 0))
		return ps;
	peers_free(&ps);
	return NULL;
}

void
peers_free(struct peers **pp)
{
	struct peers *ps = *pp;

	if (ps == NULL)
		return;
	*pp = NULL;
	while (ps->npeers > 0)
		drop_peer(&ps->peer[--ps->npeers]);
	peers_pairings_fini(ps);
	if (ps->files != -1)
		ps->sys->close(ps->files);
	if (ps->dir != -1)
		ps->sys->close(ps->dir);
	free(ps);
}
