#ifndef PRIV_KINDS_H
#define PRIV_KINDS_H

#include "priv/proc.h"

/* The process map as tables: which kinds a role has, who talks to whom, who is given what. */
struct kind_link {
	enum proc_kind	a, b;
};

/* ends with PROC_NONE; the writer first */
const enum proc_kind *kinds_of(enum conf_role);
const struct kind_link *kind_links(enum conf_role);		/* ends with PROC_NONE */
/* Whether this configuration needs such a process at all. */
bool	kind_wanted(enum proc_kind, const struct conf_edge *, const struct conf_home *);
/* It starts when it is asked something, and may end by itself until it is asked again. */
bool	kind_sleeps(enum proc_kind);
bool	kind_takes_secret(enum proc_kind, const char *name);
bool	kind_takes_dir(enum proc_kind, const char *name);
/* has a descriptor a connection: gets the hard limit */
bool	kind_many_files(enum proc_kind);

#endif
