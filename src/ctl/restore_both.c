#include "ctl/restore_both.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/backup_files.h"
#include "ctl/identity.h"
#include "ctl/role.h"
#include "proto/pairing.h"
#include "store/peers.h"

int
both_read(const struct both *b, const char *name, size_t max, struct buf *here, struct buf *next,
    struct why *why)
{
	char path[BACKUP_PATH_MAX], staged[BACKUP_PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", b->state, name);
	snprintf(staged, sizeof(staged), "%s/%s", b->staged, name);
	if (access(path, F_OK) == -1 || access(staged, F_OK) == -1)
		return 0;
	if (read_file(path, max, here, why) == -1)
		return -1;
	if (read_file(staged, max, next, why) == 0)
		return 1;
	buf_wipe(here);
	return -1;
}

/* --- pairings ----------------------------------------------------------------------------- */

static bool
is_pairing(const struct buf *text)
{
	struct peer p = { .name = "" };
	struct why why;
	bool ok = peer_parse(buf_span(text), &p, &why);

	peer_fini(&p);
	return ok;
}

/* Both have one of that name: whether the one that is here takes the place of the backup's. */
static bool
here_stays(const struct both *b, const char *edge, bool here_is_later, struct buf *told)
{
	char name[BACKUP_PATH_MAX];
	struct buf here, next;
	struct why why;
	bool stays;

	snprintf(name, sizeof(name), BACKUP_EDGES "/%.255s", edge);
	if (both_read(b, name, PEER_FILE_MAX, &here, &next, &why) != 1)
		return false;
	stays = here_is_later && is_pairing(&here);
	if (span_eq(buf_span(&here), buf_span(&next)))
		stays = false;
	else if (stays)
		buf_addf(told, "The pairing with %s stays the one that is here.  The backup, whose "
		    "ledger is no later, has another.\n", edge);
	else
		buf_addf(told, "The pairing with %s is the backup's; here was another one.  If "
		    "that was the later one, what the edge sends is called forged, or it turns "
		    "home away: pair again.\n", edge);
	buf_wipe(&here);
	buf_wipe(&next);
	return stays;
}

static int
add_edge(const struct both *b, int from, int to, const char *edge, bool here_is_later,
    struct buf *told)
{
	if (linkat(from, edge, to, edge, 0) == 0)
		return 0;
	if (errno != EEXIST)
		return -1;
	if (!here_stays(b, edge, here_is_later, told))
		return 0;
	return unlinkat(to, edge, 0) == 0 && linkat(from, edge, to, edge, 0) == 0 ? 0 : -1;
}

static int
open_edges(const char *of)
{
	char path[BACKUP_PATH_MAX];

	snprintf(path, sizeof(path), "%s/" BACKUP_EDGES, of);
	return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Whom the operator shut out comes back with an older copy. */
static void
tell_returned(int from, int to, struct buf *told)
{
	int fd = openat(to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd != -1 ? fdopendir(fd) : NULL;
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.' && faccessat(from, e->d_name, F_OK, 0) == -1)
			buf_addf(told, "The pairing with %s is the backup's; here was none.  If "
			    "you have ended it since, do it again: posthouse unpair %s\n",
			    e->d_name, e->d_name);
	if (d != NULL)
		closedir(d);
	else if (fd != -1)
		close(fd);
}

int
both_edges(const struct both *b, bool here_is_later, bool used, struct buf *told,
    struct why *why)
{
	int from = open_edges(b->state), to = open_edges(b->staged), rc = 0;
	DIR *d = from != -1 ? fdopendir(from) : NULL;
	struct dirent *e;

	if (used && d != NULL && to != -1)
		tell_returned(from, to, told);
	while (d != NULL && to != -1 && rc == 0 && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.' &&
		    add_edge(b, from, to, e->d_name, here_is_later, told) == -1)
			rc = why_sys(why, "pairing %s", e->d_name);
	if (to == -1 || (rc == 0 && fsync(to) == -1))
		rc = why_sys(why, "%s/" BACKUP_EDGES, b->staged);
	if (d != NULL)
		closedir(d);
	else if (from != -1)
		close(from);
	if (to != -1)
		close(to);
	return rc;
}

/* --- keys --------------------------------------------------------------------------------- */

/* Of these, those of both are kept, whichever is the later one. */
static bool
kept_anyway(const char *key)
{
	return strcmp(key, "age.key") == 0 || strcmp(key, "age-retired.key") == 0 ||
	    strcmp(key, "password-counters") == 0;
}

int
both_keys(const struct both *b, struct buf *told, struct why *why)
{
	struct buf here, next;
	struct dirent *e;
	DIR *d = opendir(b->staged);

	if (d == NULL)
		return why_sys(why, "%s", b->staged);
	while ((e = readdir(d)) != NULL) {
		if (!backup_is_key(e->d_name) || kept_anyway(e->d_name) ||
		    both_read(b, e->d_name, IDENTITY_FILE_MAX, &here, &next, why) != 1)
			continue;
		if (!span_eq(buf_span(&here), buf_span(&next)))
			buf_addf(told, "%s is the backup's; here was another one.  If that was the "
			    "later one, whoever knows it does not know this.\n", e->d_name);
		buf_wipe(&here);
		buf_wipe(&next);
	}
	closedir(d);
	return 0;
}
