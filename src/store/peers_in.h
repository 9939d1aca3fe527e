#ifndef STORE_PEERS_IN_H
#define STORE_PEERS_IN_H

#include "store/peers.h"

/* Shared by peers.c (the files) and peers_pairing.c (the open lines) alone. */

struct pairing_row {
	char		name[PAIRING_NAME_MAX + 1];
	unsigned char	hash[32];		/* SHA-256 of the token */
	int64_t		expires_ms;
	unsigned	tries;
	char		(*domains)[256];
	size_t		ndomains;
};

struct peers {
	const struct sys *sys;
	enum conf_role	 role;
	int		 dir, files;		/* STATE; STATE/homes or STATE/edges */
	struct peer	*peer[PEERS_MAX];	/* each its own allocation: a peer is 17 KB */
	size_t		 npeers;
	/* Files that are no peer's as they are, and why the last of them is none. */
	char		 unread[PEERS_MAX][sizeof(((struct peer *)0)->name)];
	size_t		 nunread;
	struct why	 unread_why;
	struct pairing_row row[PEERS_PENDING_MAX];
	size_t		 nrows;
	const struct peers_events *events;
	void		*arg;
};

int	peers_pairings_load(struct peers *, struct why *);
void	peers_pairings_fini(struct peers *);

#endif
