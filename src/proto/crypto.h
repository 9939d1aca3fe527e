#ifndef PROTO_CRYPTO_H
#define PROTO_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/evp.h>

#include "base/span.h"

/*
 * The few primitives under age, the object's MAC and pairing, over libcrypto.
 *
 * The algorithms are fetched once a process and never change after that: a
 * fetch for each of 10,000 objects a second would cost as much as the work.
 * Whoever closes a sandbox calls crypto_init first, as the first fetch reads
 * openssl.cnf.  Everything here may be called from any thread.
 */
#define SHA256_LEN	32
#define X25519_LEN	32

bool	crypto_init(void);			/* false: this libcrypto lacks what we need */
const EVP_CIPHER *crypto_chacha(void);		/* ChaCha20-Poly1305 (RFC 8439) */
const EVP_MD *crypto_sha256(void);		/* both NULL where crypto_init failed */

/* All parts one after another.  False: memory is out; out is zeroed then. */
bool	hmac_sha256(struct span key, const struct span *parts, size_t n,
	    unsigned char out[SHA256_LEN]);
/* RFC 5869 with one block of output. */
bool	hkdf_sha256(struct span ikm, struct span salt, struct span info,
	    unsigned char out[SHA256_LEN]);

/*
 * A private key made ready; pub is its public half where it is known, which
 * saves a multiplication, or NULL.  Free it with EVP_PKEY_free, which wipes.
 */
EVP_PKEY *x25519_key(const unsigned char priv[X25519_LEN], const unsigned char *pub);
bool	x25519_public(const EVP_PKEY *, unsigned char out[X25519_LEN]);

enum x25519_result {
	X25519_OK = 0,
	X25519_LOW_ORDER,	/* an all-zero result (RFC 7748 6.1): no honest peer's point */
	X25519_NO_MEMORY,
};
/* out is zeroed unless it is X25519_OK. */
enum x25519_result x25519_shared(EVP_PKEY *, const unsigned char peer[X25519_LEN],
		    unsigned char out[X25519_LEN]);
/*
 * Of a private key that is made for one peer: its public half, and what it shares with that
 * peer.  Both are zeroed unless it is X25519_OK.
 */
enum x25519_result x25519_once(const unsigned char priv[X25519_LEN],
		    const unsigned char peer[X25519_LEN], unsigned char pub[X25519_LEN],
		    unsigned char shared[X25519_LEN]);

#endif
