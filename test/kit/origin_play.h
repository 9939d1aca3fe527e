#ifndef KIT_ORIGIN_PLAY_H
#define KIT_ORIGIN_PLAY_H

/*
 * What an edge asks and hears through a real tunnel, over a spool that answers as
 * each case says.  The spool's functions here stand in for store/spool.h.
 */
#include "home/origin.h"
#include "kit/loop.h"
#include "proto/policy.h"

extern struct origin_play {
	enum kept	 kept;		/* what a commit is answered */
	int64_t		 row;
	bool		 add_fails, silent;	/* silent: never answers by itself */
	bool		 aside_fails;
	enum outcome	 watched;	/* what a watch tells; PENDING: nothing by itself */
	enum outcome	 over;		/* what the end of the wait tells */
	bool		 watch_dies;	/* the writer dies while it is watched */

	/* What was asked of it. */
	unsigned	 puts, commits, drops, asides, watches, overs, confirms, updates;
	struct spool_meta meta;
	struct buf	 octets;
	struct peer	 update;
	spool_kept_fn	*told;
	void		*told_arg;
	struct {
		ledger_outcome_fn *fn;
		void		*arg;
	} open[32];			/* watches without an answer */
	size_t		 nopen;
} play;

extern struct tunnel_proc T;
extern struct conf_home conf;
extern struct scoreboard board;
extern struct h2 *home_h2, *edge_h2;	/* NULL once closed */
extern struct origin *origin;

int	origin_setup(void **state);
int	origin_teardown(void **state);
struct peer paired(void);		/* as the edge is: two keys of the MAC, example.org */

/* A request by the edge, and what came of it. */
struct ask {
	struct h2_stream *s;
	const char	*body;
	size_t		 n, sent;
	bool		 hold;		/* the end of the body is not sent */
	unsigned	 status;
	char		 ledger[64], runs[64], etag[64], base[64];
	char		 answer[4096];
	size_t		 nanswer;
	bool		 closed;
};

void	ask(struct ask *, const char *method, const char *path, const struct h2_header *, size_t n);

/* PUT of an object whose MAC is by the key that begins so; prefer: "" for none. */
extern const char id_text[];
void	sign(const char *body, size_t, unsigned char key0, char hex[2 * OBJECT_MAC_LEN + 1]);
struct ask put(const char *body, size_t, unsigned char key, const char *prefer);
/* The same, as what somebody else handed to that edge. */
struct ask put_for(const char *signer, const char *body, size_t, unsigned char key);

#endif
