#ifndef EDGE_ROAD_H
#define EDGE_ROAD_H

#include "base/scoreboard.h"
#include "edge/edge.h"

/*
 * Which way a new connection goes, as things are now: home, into our own SMTP, or
 * nowhere.  This looks only; who counts and acts is edge/passage.h.
 */
enum road {
	ROAD_REFUSE = 0,
	ROAD_HOLD,		/* our own SMTP */
	ROAD_PASS,		/* to choice.home */
	ROAD_NAME,		/* several homes: read whom the client asks for, and choose again */
};

struct road_choice {
	enum road	 road;
	struct home	*home;		/* of BR_HOME_LIMIT as well */
	enum board_refusal why;	/* why it is not passed; nothing where mode = "hold" */
};

/* What a connection that is not passed gets: hold where the service is auto, else the door. */
struct road_choice road_not_passed(const struct conf_service *, enum board_refusal);
/* How many connections each home may have at once: one that is busy locks no other out. */
size_t	road_share(const struct edge *);
/* name: whom the client asks for, lower case; "" nobody; NULL not read yet. */
struct road_choice road_choose(const struct edge *, const struct conf_service *,
		    const struct netaddr *client, const char *name);
/* Whether the connection comes from a load balancer of the service's. */
bool	road_from_balancer(const struct conf_service *, const struct netaddr *peer);

#endif
