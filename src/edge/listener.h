#ifndef EDGE_LISTENER_H
#define EDGE_LISTENER_H

#include "edge/edge.h"

/*
 * The sockets that the parent bound: accepts a bounded number a turn of the
 * loop, and rests for a moment when descriptors run out.
 */
/* Takes fd; "tunnel" is the homes'. */
int	listener_add(struct edge *, const char *service, int fd);
void	listeners_start(struct edge *);
void	listeners_close(struct edge *);

#endif
