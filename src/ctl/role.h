#ifndef CTL_ROLE_H
#define CTL_ROLE_H

#include "base/buf.h"
#include "conf/conf.h"
#include "ctl/opts.h"

/*
 * Which role a command is for, and its configuration: -c FILE, --edge, --home,
 * or whichever of /etc/posthouse/{edge,home}.conf there is, if there is one only.
 */
struct role {
	enum conf_role	 role;
	char		 file[CONF_PATH_MAX];
	struct conf_edge *edge;		/* one of the two */
	struct conf_home *home;
	const struct conf_common *common;
};

/* want: CONF_NO_ROLE for either.  -1 with why. */
int	role_load(struct role *, const struct opts *, enum conf_role want, struct why *);
void	role_fini(struct role *);
/* -1: what a start would refuse beside the file, as far as whoever asks may see it. */
int	role_would_start(const struct role *, struct why *);
/*
 * After role_load failed: the role that the file should be of, as far as that is known,
 * and whether it is that role's file in /etc/posthouse.
 */
enum conf_role role_of_file(const struct role *, bool *standard);
const char *role_control(enum conf_role);	/* where its control socket is by default */
const char *role_name(enum conf_role);		/* "edge", "home" */

/* A whole file of at most max octets into out (made here; wipe or fini it). */
int	read_file(const char *path, size_t max, struct buf *out, struct why *);

#endif
