#ifndef HOME_EDGES_H
#define HOME_EDGES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/scoreboard.h"
#include "conf/conf.h"
#include "proto/key_lines.h"
#include "proto/login.h"
#include "proto/pairing.h"
#include "store/spool.h"

/*
 * The edges that this home knows: what pairing left, joined with what the
 * configuration says (which wins for address and pin).  Domains and MAC keys
 * come from pairing alone: an edge that only the configuration names can be
 * dialled, and may speak for no domain.
 *
 * A worker of the configuration (worker "NAME") is one of them without a tunnel: its
 * domains are the configuration's, its MAC keys come from its key file, to the
 * processes that verify.  Who asks "who signs as NAME, by which keys, for which
 * domains" asks edges_find for either: peer.mac, peer.nmac, peer.domains.
 */
#define EDGES_MAX BOARD_PEERS		/* each has its row in the scoreboard */

struct home_edge {
	char		name[256];
	struct peer	peer;		/* in force; no pins or no address: not dialled */
	struct peer	paired;		/* as the writer told it; name "" while unpaired */
	/* The configuration has a worker of that name.  A pairing of the same name wins. */
	bool		worker;
	struct secret	worker_mac[KEY_LINES_MAX];
	size_t		nworker_mac;
	struct login	login;		/* of the worker; no digests: nobody logs in as it */
	unsigned	row;		/* in the scoreboard */
	unsigned	streams;	/* passed now (home/passage.h) */
	/* this home's address as the edge sees it: its public one behind NAT */
	struct netaddr	sees;
	bool		sees_us;	/* it has said so */
	/* our ledger as it showed it, where the edge has seen a later one; epoch 0: it has not */
	struct ledger_mark refused;
};

struct edges {
	struct home_edge *list[EDGES_MAX];	/* stable pointers, until edges_fini */
	size_t		 n;
};

void	edges_configure(struct edges *, const struct conf_home *);	/* joins anew */
/* A pairing was made, changed, or (peer NULL) ended.  NULL when there are too many. */
struct home_edge *edges_paired(struct edges *, const struct conf_home *, const char *name,
		    const struct peer *);
/* The keys of a worker, its file's text; once before edges_configure and at each change. */
void	edges_worker_keys(struct edges *, const struct conf_home *, const char *name,
	    struct span text);
/* The same of its password at edges, of which only digests stay here. */
void	edges_worker_password(struct edges *, const char *name, struct span text);
/*
 * Whether what a worker handed to that edge is taken as the worker's: the configuration says
 * so, and the edge is granted every domain that the worker is.
 */
bool	edge_vouches(const struct conf_home *, const struct home_edge *,
	    const struct home_edge *worker);
/* Whether it is a worker, and no edge. */
static inline bool
edge_is_worker(const struct home_edge *e)
{
	return e->worker && e->paired.name[0] == '\0';
}
struct home_edge *edges_find(const struct edges *, const char *name);
void	edges_fini(struct edges *);		/* wipes */

#endif
