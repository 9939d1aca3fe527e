#ifndef PROTO_OBJECT_MAC_H
#define PROTO_OBJECT_MAC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/secret.h"
#include "base/uuid.h"

/*
 * age authenticates nobody, so an object carries
 *
 *	HMAC-SHA-256(pairing key, "posthouse-object-1" | id | SHA-256(sealed bytes))
 *
 * id: its 16 bytes.  Computed while the sealed bytes pass by.
 */
#define OBJECT_MAC_LEN 32

struct object_mac;
struct object_mac *object_mac_new(void);		/* NULL when memory is out */
void	object_mac_add(struct object_mac *, const void *, size_t);
/*
 * Ends it; may be called again with another key (two are valid while a key is
 * rotated).  False: memory is out, or the key is not set; out is zeroed then
 * and must not be used.
 */
bool	object_mac_end(struct object_mac *, const struct secret *key, struct uuid id,
	    unsigned char out[OBJECT_MAC_LEN]);
/* Ends it: whether mac is right under one of the keys.  In constant time for each. */
bool	object_mac_check(struct object_mac *, const struct secret *keys, size_t n, struct uuid id,
	    const unsigned char mac[OBJECT_MAC_LEN]);
void	object_mac_free(struct object_mac **);

#endif
