#ifndef PROTO_BECH32_H
#define PROTO_BECH32_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

/*
 * Bech32 (BIP 173, the first checksum constant) as age uses it: 32 octets of
 * data, and none of Bitcoin's limit of 90 characters (which they keep anyway).
 * The human-readable part decides the case of the whole text.
 */
#define BECH32_DATA	32
#define BECH32_LEN(hrp)	((hrp) + 1 + 52 + 6)	/* '1', 256 bits in groups of five, checksum */

/* hrp all lower or all upper case; out holds BECH32_LEN(strlen(hrp)) + 1. */
void	bech32_encode(const char *hrp, const unsigned char data[BECH32_DATA], char *out);
/* Only this hrp, in its case. */
bool	bech32_decode(struct span, const char *hrp, unsigned char data[BECH32_DATA]);

#endif
