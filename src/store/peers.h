#ifndef STORE_PEERS_H
#define STORE_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "conf/conf.h"
#include "proto/pairing.h"
#include "store/sys.h"

/*
 * Who is paired with us: STATE/homes/NAME at an edge, STATE/edges/NAME at home,
 * a file a peer (proto/pairing.h), 0600, replaced whole: written beside, synced,
 * renamed, the directory synced.  STATE/pairings holds the lines that wait to be
 * redeemed: home's name, the SHA-256 of the token, when it expires, tries left, the
 * domains granted.  It survives a restart.  Synchronous; the writer process owns it.
 *
 * A file that cannot be read or parsed is named in the log and left alone; its
 * peer is not known until it is mended, or paired anew.
 */
#define PEERS_MAX	CONF_HOMES_MAX
#define PEERS_PENDING_MAX 16		/* lines open at once */
#define PEER_FILE_MAX	(64u << 10)	/* several times a peer with all its domains */

struct peers;

struct peers *peers_open(const struct sys *, const char *state, enum conf_role, struct why *);
void	peers_free(struct peers **);

size_t	peers_count(const struct peers *);
const struct peer *peers_at(const struct peers *, size_t);	/* good until the next change */
const struct peer *peers_find(const struct peers *, const char *name);

/* How many files cannot be read as a peer's; where there are any, the last, and what is wrong. */
size_t	peers_unread(const struct peers *, const char **file, const char **why);
bool	peers_is_unread(const struct peers *, const char *file);

/* Told of every change after it is durable; gone: name only.  One listener: the writer. */
struct peers_events {
	void	(*peer)(void *arg, const struct peer *);
	void	(*gone)(void *arg, const char *name);
	void	(*pending)(void *arg, bool any);
	void	(*unread)(void *arg, size_t n);		/* at each look */
};
/* Tells at once what is unread. */
void	peers_listen(struct peers *, const struct peers_events *, void *arg);

/*
 * Reads the directory anew and tells what changed: after the operator's command wrote a file at
 * home.
 */
int	peers_reload(struct peers *, struct why *);
int	peers_put(struct peers *, const struct peer *, struct why *);	/* new or changed */
/* 0 also when it is not there */
int	peers_remove(struct peers *, const char *name, struct why *);

/* --- edge: pairing lines --------------------------------------------------- */

struct pairing_pending {
	char		name[PAIRING_NAME_MAX + 1];
	int64_t		expires_ms;	/* wall clock */
	unsigned	tries;		/* left */
};
/*
 * Opens a line for home `name` with its domains; an earlier one for that name
 * ends.  token receives the secret, which is kept nowhere.  -1: the name is bad,
 * too many are open, a domain is there twice, another home's or in another's open
 * line, or the disk failed.
 */
int	peers_pairing_new(struct peers *, const char *name, const char *const *domains,
    size_t ndomains,
	    int64_t now_ms, unsigned char token[PAIRING_TOKEN_LEN], struct why *);
size_t	peers_pairings(struct peers *, int64_t now_ms, struct pairing_pending *, size_t max);
/*
 * The token for that name: 0, and grant has name and domains; -1 with words for
 * the peer in why.  A wrong token costs a try, durably, before this returns.
 */
int	peers_pairing_check(struct peers *, const char *name,
    const unsigned char token[PAIRING_TOKEN_LEN],
	    int64_t now_ms, struct peer *grant, struct why *);
/* The proof is given: stores the peer with the line's name and domains, and ends the line. */
int	peers_pairing_finish(struct peers *, const struct peer *,
    const unsigned char token[PAIRING_TOKEN_LEN],
	    int64_t now_ms, struct why *);
bool	peers_pairing_open(struct peers *, int64_t now_ms);	/* whether any line is */
int	peers_pairing_end(struct peers *, const char *name, struct why *);

#endif
