#ifndef EDGE_HOME_BOARD_H
#define EDGE_HOME_BOARD_H

#include "edge/edge.h"

/*
 * A home's row of the scoreboard, with its name, its tunnels and the age of its list as they
 * are now; taken when it is first asked for.  NULL: all are taken.
 */
struct board_peer *home_board(struct edge *, const struct home *);

#endif
