#ifndef KIT_PASSED_PLAY_H
#define KIT_PASSED_PLAY_H

/*
 * An edge passes connections through a real tunnel to a backend, and may lie about them; what
 * home tells it is read here.  The backend is the service "imaps".
 */
#include "home/health.h"
#include "kit/backend_play.h"
#include "kit/origin_play.h"
#include "proto/proxy_header.h"

#define BIG	(3u << 20)	/* what a passed connection may send here; twice that back */

extern struct play_backend B;
extern struct service *service;

int	passed_setup(void **state);
int	passed_teardown(void **state);

struct pass {				/* one passed connection, as its edge sees it */
	struct h2_stream *s;
	struct buf	 out;		/* to be said; the header first */
	size_t		 sent;
	bool		 end;		/* and then no more */
	unsigned	 status;
	char		 ledger[64];
	struct buf	 in;
	bool		 ended, closed, well;
};

/* Both ends of a connection of the client with this address. */
void	client(const char *from, struct netaddr *a, struct netaddr *to);
/* In one flight: CONNECT, the header for that client ("" none), the first octets. */
struct pass *pass(const char *authority, const char *from, const char *first, size_t n);
void	say(struct pass *, const char *text, bool end);
void	pass_free(struct pass *);	/* reset, if it is there still */

/* The guest that came after n others, and what stood in front of what it heard. */
struct play_guest *guest(size_t n);
size_t	header_of(const struct play_guest *, struct proxy_header *);
bool	heard(const struct play_guest *, const char *text);	/* last */

#endif
