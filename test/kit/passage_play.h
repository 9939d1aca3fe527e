#ifndef KIT_PASSAGE_PLAY_H
#define KIT_PASSAGE_PLAY_H

/*
 * Connections on their way home: true clients, the edge's own passages and tunnels,
 * and at their other end homes that do as they are told.
 */
#include "kit/edge_rig.h"
#include "net/h2.h"
#include "proto/proxy_header.h"

struct line {				/* one tunnel, as home sees it */
	const char	*home;
	SSL_CTX		*ctx;
	struct h2	*h2;		/* NULL once closed */
};

struct visit {				/* one CONNECT, or another request */
	struct line	*line;
	struct h2_stream *s;		/* NULL once closed */
	char		 method[16], authority[80];
	char		 in[70000];
	size_t		 n;
	struct proxy_header header;
	size_t		 used;		/* octets of it */
	char		 out[64];
	bool		 out_end, ended, closed, well;
};

extern struct passage_play {
	struct line	 line[3];	/* two of alice's, one of bob's */
	struct visit	*visit[64];	/* as they came; freed by the teardown */
	unsigned	 n;
	const char	*up;		/* what the policies say is up */
	unsigned	 status;	/* to answer at once; 0 not */
	const char	*banner;	/* each visit's first words; NULL none */
	/* Long polls of /policy/bans, that wait; at first nobody is banned, by the tag "1". */
	struct h2_stream *poll[4];
	unsigned	 npolls, bans_asked;
	char		 bans_has[32];	/* the tag that the last one named */
} H;

/*
 * The services and their limits are in the set-up.  No tunnel is up at first, and only
 * "alice" is paired; bob_too pairs "bob", whose handover has nothing to do.
 */
int	passage_play_setup(void **state);
int	passage_play_teardown(void **state);
void	bob_too(void);
const struct board_passed *board(const char *service);

/* What homes do. */
void	dial(unsigned which);		/* until the edge has its tunnel and the policy */
void	hang_up(unsigned which);
struct visit *visitor(unsigned n);	/* the last one, when there are n */
void	answer(struct visit *, unsigned status);
/* Answers every poll for the bans; none before a hang_up. */
void	bans_say(unsigned status, const char *base, const char *etag, const char *list);
void	visit_say(struct visit *, const char *text);	/* once the answer was 2xx */

/* What clients do; a descriptor that is not -1 is closed by the teardown. */
struct client {
	int		 fd;
	char		 text[8192];	/* what was heard, and a NUL */
	size_t		 n;
	bool		 eof, lost;
};

extern struct client A, B, C;

#define STRANGER "PROXY TCP4 8.8.8.8 9.9.9.9 1234 25\r\n"

void	call(struct client *, const char *service);
void	stranger(struct client *);	/* calls "mx"; speaks early, heard by whoever serves him */
bool	heard(struct client *, const char *what);
bool	ended(struct client *);
void	say(struct client *, const char *text);
void	say_octets(struct client *, const void *, size_t);
void	drop(struct client *);	/* goes with a reset, so that nobody waits for the other half */

#endif
