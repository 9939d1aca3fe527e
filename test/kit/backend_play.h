#ifndef KIT_BACKEND_PLAY_H
#define KIT_BACKEND_PLAY_H

/* A server at home, on the kit's loop: it does what it is told, and keeps what it hears. */
#include "kit/loop.h"
#include "net/conn.h"

#define PLAY_GUESTS	64

struct play_guest {			/* one connection to it */
	struct play_backend *of;
	struct conn	*conn;		/* NULL once closed */
	char		 heard[4096];	/* the first octets of all */
	size_t		 nheard;
	size_t		 all;		/* octets heard in all */
	bool		 eof;
};

struct play_backend {
	/* to be set between play_backend_begin and the first guest */
	const char	*greeting;	/* "" none */
	bool		 rude;		/* closes as soon as it has accepted */
	/* says again what it hears, but for the first skip octets */
	bool		 echo;
	size_t		 skip;
	/* what it does with each piece that it hears, once that is kept; NULL nothing */
	void		(*hears)(struct play_guest *, struct span);

	struct netaddr	 at;
	struct play_guest guest[PLAY_GUESTS];
	size_t		 nguests;	/* ever */
	unsigned	 open;
	int		 fd;
	uv_poll_t	 poll;
	bool		 up;
};

/* Listens on loopback; again in the same place when `at` has a port. */
void	play_backend_begin(struct play_backend *);
void	play_backend_end(struct play_backend *);	/* deaf from here on; open guests stay */
void	play_backend_hang_up(struct play_backend *);	/* every guest is reset */

#endif
