#ifndef EDGE_PASSAGE_IN_H
#define EDGE_PASSAGE_IN_H

#include "base/clock.h"
#include "edge/passage.h"
#include "edge/road.h"
#include "net/splice.h"
#include "proto/client_hello.h"

/*
 * Shared by passage.c (which way a connection goes, its splice, its end) and
 * passage_front.c (what is read of it before).
 */
enum phase {
	P_HEADER = 0,	/* a load balancer's: its header comes */
	P_NAME,		/* several homes: the ClientHello comes */
	P_ANSWER,	/* home was asked */
	P_BANNER,	/* auto: home has reached its backend, which has not spoken */
	P_OPEN,		/* passed; net/splice.h keeps its time */
	P_LEAVING,	/* told why not, and being closed */
};

struct passage {
	struct passage	*next, **prev;
	struct edge	*edge;
	struct conn	*conn;		/* ours, until a splice or a session has it */
	struct splice	*sp;		/* from P_ANSWER on */
	struct home	*home;		/* the same */
	char		 service[CONF_NAME_MAX];
	char		 sid[12];
	struct netaddr	 client, dest;	/* the true ones */
	struct buf	 early;		/* what was read of it and not used up */
	size_t		 front;		/* octets of that which went home */
	struct client_hello hello;	/* takes memory in P_NAME only */
	struct instant	 began, until;
	enum phase	 phase;
	bool		 automatic;	/* its service was auto when home was asked */
	bool		 counted;	/* among e->passed_clients */
};

/* passage.c */
/* Chooses the way, with the name that the client asked for; NULL: not read yet. */
void	passage_go(struct passage *, const char *name);
/* words: more than the reason's name, for the log; "" nothing. */
void	passage_refuse(struct passage *, const struct conf_service *, enum board_refusal,
	    const char *words);
void	passage_not_passed(struct passage *, const struct conf_service *, enum board_refusal,
	    const char *words);

/* passage_front.c */
size_t	passage_read(void *passage, struct span);

#endif
