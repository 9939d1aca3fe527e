#include "edge/clients.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

#define BUCKETS 4096	/* a chain of five at 20,000 connections from as many networks */

struct client {
	struct client	*next;
	unsigned char	 ip[16];
	unsigned	 count;
};

struct clients {
	struct client	*bucket[BUCKETS];
	uint64_t	 key[2];
};

struct clients *
clients_new(void)
{
	struct clients *c = calloc(1, sizeof(*c));

	if (c != NULL)
		random_bytes(c->key, sizeof(c->key));
	return c;
}

void
clients_free(struct clients **cp)
{
	struct clients *c = *cp;

	if (c == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		while (c->bucket[i] != NULL) {
			struct client *gone = c->bucket[i];

			c->bucket[i] = gone->next;
			free(gone);
		}
	free(c);
	*cp = NULL;
}

/*
 * Multiply and fold with secret odd keys: enough where the table is
 * small and the key is never shown.
 */
static struct client **
bucket_of(struct clients *c, const struct netaddr *net)
{
	uint64_t hi, lo, h;

	memcpy(&hi, net->ip, 8);
	memcpy(&lo, net->ip + 8, 8);
	h = (hi ^ c->key[0]) * (c->key[1] | 1);
	h ^= h >> 29;
	h = (h ^ lo) * (c->key[0] | 1);
	h ^= h >> 32;
	return &c->bucket[h % BUCKETS];
}

bool
clients_enter(struct clients *c, const struct netaddr *a, unsigned most)
{
	struct netaddr net = netaddr_network(a, 32, 64);
	struct client **at = bucket_of(c, &net), *e;

	for (e = *at; e != NULL; e = e->next)
		if (memcmp(e->ip, net.ip, 16) == 0)
			break;
	if (e == NULL) {
		if (most == 0 || (e = calloc(1, sizeof(*e))) == NULL)
			return false;
		memcpy(e->ip, net.ip, 16);
		e->next = *at;
		*at = e;
	}
	if (e->count >= most)
		return false;
	e->count++;
	return true;
}

void
clients_leave(struct clients *c, const struct netaddr *a)
{
	struct netaddr net = netaddr_network(a, 32, 64);

	for (struct client **at = bucket_of(c, &net); *at != NULL; at = &(*at)->next) {
		struct client *e = *at;

		if (memcmp(e->ip, net.ip, 16) != 0)
			continue;
		if (--e->count == 0) {
			*at = e->next;
			free(e);
		}
		return;
	}
}
