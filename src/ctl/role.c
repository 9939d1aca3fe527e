#include "ctl/role.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "priv/signers.h"

static const char *const standard[] = {
	[CONF_EDGE] = "/etc/posthouse/edge.conf",
	[CONF_HOME] = "/etc/posthouse/home.conf",
};

enum conf_role
role_of_file(const struct role *r, bool *is_standard)
{
	*is_standard = true;
	for (enum conf_role i = CONF_EDGE; i <= CONF_HOME; i++)
		if (strcmp(r->file, standard[i]) == 0)
			return i;
	*is_standard = false;
	return r->role;
}

const char *
role_control(enum conf_role role)
{
	return role == CONF_EDGE ? "/run/posthouse/edge.sock" : "/run/posthouse/home.sock";
}

const char *
role_name(enum conf_role r)
{
	return r == CONF_EDGE ? "edge" : r == CONF_HOME ? "home" : "neither";
}

static int
read_all(int fd, const char *path, struct buf *out, struct why *why)
{
	for (;;) {
		size_t room = out->max - out->n < 16384 ? out->max - out->n : 16384;
		char *to = room > 0 ? buf_room(out, room) : NULL;
		ssize_t n;

		if (to == NULL)
			return why_set(why, "%s: larger than %zu octets", path, out->max - 1);
		if ((n = read(fd, to, room)) == 0)
			return 0;
		if (n > 0)
			buf_used(out, (size_t)n);
		else if (errno != EINTR)
			return why_sys(why, "%s", path);
	}
}

int
read_file(const char *path, size_t max, struct buf *out, struct why *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	buf_init(out, max + 1);
	if (fd == -1) {
		why_sys(why, "%s", path);
		if (errno == EACCES)
			why_set(why, "%s: permission denied; run this as root, or as the user that "
			    "it belongs to", path);
		return -1;
	}
	rc = read_all(fd, path, out, why);
	close(fd);
	if (rc == -1)
		buf_wipe(out);
	return rc;
}

/* The file to read when none was named. */
static int
choose(enum conf_role want, const char **file, struct why *why)
{
	bool edge, home;

	if (want != CONF_NO_ROLE) {
		*file = standard[want];
		return 0;
	}
	edge = access(standard[CONF_EDGE], F_OK) == 0;
	home = access(standard[CONF_HOME], F_OK) == 0;
	if (edge && home)
		return why_set(why, "there are both %s and %s; say --edge, --home or -c FILE",
		    standard[CONF_EDGE], standard[CONF_HOME]);
	if (!edge && !home)
		return why_set(why, "there is neither %s nor %s; name a configuration with -c FILE",
		    standard[CONF_EDGE], standard[CONF_HOME]);
	*file = standard[edge ? CONF_EDGE : CONF_HOME];
	return 0;
}

static int
parse(struct role *r, struct span text, struct why *why)
{
	if (r->role == CONF_EDGE && (r->edge = conf_edge_parse(r->file, text, why)) != NULL) {
		r->common = &r->edge->common;
		return 0;
	}
	if (r->role == CONF_HOME && (r->home = conf_home_parse(r->file, text, why)) != NULL) {
		r->common = &r->home->common;
		return 0;
	}
	return -1;
}

int
role_load(struct role *r, const struct opts *o, enum conf_role want, struct why *why)
{
	const char *file = o->conf;
	enum conf_role said = o->role;
	struct buf text;
	int rc;

	*r = (struct role){ .role = CONF_NO_ROLE };
	if (want != CONF_NO_ROLE && said != CONF_NO_ROLE && want != said)
		return why_set(why, "this is a command for %s", role_name(want));
	if (said == CONF_NO_ROLE)
		said = want;
	if (file == NULL && choose(said, &file, why) == -1)
		return -1;
	snprintf(r->file, sizeof(r->file), "%s", file);
	if (read_file(file, CONF_FILE_MAX, &text, why) == -1)
		return errno != ENOENT || o->conf != NULL ? -1 :
		    why_set(why, "%s: No such file or directory; name one with -c FILE", file);
	r->role = conf_role(file, buf_span(&text), why);
	if (r->role == CONF_NO_ROLE)
		rc = -1;
	else if (said != CONF_NO_ROLE && r->role != said)
		rc = why_set(why, "%s is the configuration of %s, and this is for %s: name its "
		    "own with -c FILE", file, role_name(r->role), role_name(said));
	else
		rc = parse(r, buf_span(&text), why);
	buf_fini(&text);
	return rc;
}

int
role_would_start(const struct role *r, struct why *why)
{
	struct account account;
	struct buf text;
	int rc;

	/* Where its user is not made yet, there is no state either. */
	if (r->home == NULL || account_find(&account, r->common, why) == -1)
		return 0;
	if (read_file(r->file, CONF_FILE_MAX, &text, why) == -1)
		return -1;
	rc = signers_apart(&account, r->file, buf_span(&text), r->home, why);
	buf_fini(&text);
	return rc;
}

void
role_fini(struct role *r)
{
	free(r->edge);
	free(r->home);
	*r = (struct role){ .role = CONF_NO_ROLE };
}
