#ifndef STORE_PEERS_IN_H
#define STORE_PEERS_IN_H

#include "base/buf.h"
#include "store/peers.h"

/* Shared by peers.c and peers_pairing.c alone. */
#define PENDING_HASH 32

struct pending_line {
	char		name[PAIRING_NAME_MAX + 1];
	unsigned char	hash[PENDING_HASH];	/* SHA-256 of the token */
	int64_t		expires_ms;
	unsigned	tries;			/* left */
	char		(*domains)[256];	/* malloc'd */
	size_t		ndomains;
};

struct peers {
	const struct sys *sys;
	enum conf_role	 role;
	int		 state, dir;		/* STATE and STATE/homes or STATE/edges */
	struct peer	*list[PEERS_MAX];
	size_t		 n;
	struct pending_line pending[PEERS_PENDING_MAX];
	size_t		 npending;
	const struct peers_events *events;
	void		*arg;
};

/* Whole files below a directory; out is wiped by the caller. */
int	peers_read_file(const struct sys *, int dir, const char *name, size_t max, struct buf *out, struct why *);
int	peers_write_file(const struct sys *, int dir, const char *name, struct span text, struct why *);
int	peers_pairings_load(struct peers *, struct why *);
void	peers_pairings_drop(struct peers *);

#endif
