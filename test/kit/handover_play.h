#ifndef KIT_HANDOVER_PLAY_H
#define KIT_HANDOVER_PLAY_H

/*
 * What is held goes home: a true spool and its writer, the edge's own tunnel, and at
 * its other end a home that does as it is told.
 */
#include "kit/edge_rig.h"
#include "net/h2.h"

struct put {
	struct put	*next;
	struct tunnel_end *end;
	struct h2_stream *stream;
	struct object_mac *mac;
	char		 id[40];
	char		 mac_text[80];
	bool		 prefer, large, answered;
	size_t		 n;
};

struct tunnel_end {
	struct h2	*h2;
	bool		 ready;
};

extern struct handover_play {
	SSL_CTX		*ctx;
	struct tunnel_end end[2];
	struct put	*puts;		/* under way */
	unsigned	 nputs, asked, deletes, now, most, large_now, large_most;
	char		 deleted[40];
	unsigned	 hold;	/* so many PUTs are not answered before they are told to be */
	/* What to answer: by what has been taken so far; 0 resets the stream. */
	unsigned	 (*judge)(const struct put *);
	const char	*words;
	unsigned long long epoch, counter;
	const char	*runs;		/* of its ledger; NULL: it names none */
	char		 taken[4096][40];	/* ids that were answered 201, in their order */
	unsigned	 ntaken;
} H;

int	handover_play_setup(void **state);
int	handover_play_teardown(void **state);
void	dial(unsigned which);
void	hang_up(unsigned which);
unsigned take_all(const struct put *);			/* the judge at first: 201 for each */
void	put_answer(struct put *, unsigned status);	/* one that was not answered */

/* Mail that is held: how many were asked of the spool and answered, and their ids. */
extern struct held_mail {
	unsigned	 asked, told;
	bool		 hidden;	/* of the next: a verdict is open */
	char		 id[4096][40];
} held;

void	hold(size_t octets);		/* one more, asked of the spool */
void	hold_many(unsigned n, size_t octets);
int	rows(void);		/* in the spool, but hidden ones; 1,000 at most */

#endif
