#ifndef EDGE_CLIENTS_H
#define EDGE_CLIENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/netaddr.h"

/*
 * How many connections each client network (/32, /64) has open, so that one
 * cannot take them all.  A chained hash table with a random key, so that nobody
 * can choose addresses that collide; entries go when their count is zero, so its
 * size is bounded by the connections there are.
 */
struct clients;

struct clients *clients_new(void);
void	clients_free(struct clients **);
/* Counts one more and says true, or says false when most are there already or memory is out. */
bool	clients_enter(struct clients *, const struct netaddr *, unsigned most);
void	clients_leave(struct clients *, const struct netaddr *);

#endif
