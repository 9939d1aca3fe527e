#ifndef KIT_NET_KEYS_H
#define KIT_NET_KEYS_H

#include <stddef.h>

#include "base/span.h"

/* A self-signed certificate and its key in one PEM text, as keygen makes them; long out of date. */
struct net_key {
	char	pem[4096];
	size_t	n;
};

void	net_key_make(struct net_key *, const char *type);	/* "ED25519", or a curve's name */

static inline struct span
net_key_span(const struct net_key *k)
{
	return span_of(k->pem, k->n);
}

#endif
