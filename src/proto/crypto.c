#include "proto/crypto.h"

#include <pthread.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>

#include "base/secret.h"

#define SHA256_BLOCK	64

static const unsigned char base_point[X25519_LEN] = { 9 };	/* RFC 7748 4.1 */

static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static EVP_CIPHER *chacha;
static EVP_MD *sha256;
static EVP_PKEY *base;

static EVP_PKEY *
point(const unsigned char at[X25519_LEN])
{
	return EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, at, X25519_LEN);
}

static void
fetch(void)
{
	base = point(base_point);
	chacha = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

bool
crypto_init(void)
{
	return pthread_once(&fetched, fetch) == 0 && chacha != NULL && sha256 != NULL &&
	    base != NULL;
}

const EVP_CIPHER *
crypto_chacha(void)
{
	return crypto_init() ? chacha : NULL;
}

const EVP_MD *
crypto_sha256(void)
{
	return crypto_init() ? sha256 : NULL;
}

/* H(pad | parts), the pad being the key's block under a mask (RFC 2104). */
static bool
half(EVP_MD_CTX *ctx, const unsigned char block[SHA256_BLOCK], unsigned char mask,
    const struct span *parts, size_t n, unsigned char out[SHA256_LEN])
{
	unsigned char pad[SHA256_BLOCK];
	bool ok;

	for (size_t i = 0; i < SHA256_BLOCK; i++)
		pad[i] = block[i] ^ mask;
	ok = EVP_DigestInit_ex2(ctx, sha256, NULL) == 1 &&
	    EVP_DigestUpdate(ctx, pad, sizeof(pad)) == 1;
	for (size_t i = 0; ok && i < n; i++)
		ok = EVP_DigestUpdate(ctx, parts[i].p, parts[i].n) == 1;
	ok = ok && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
	explicit_bzero(pad, sizeof(pad));
	return ok;
}

/*
 * By hand on the digest: EVP_MAC and EVP_KDF pass their keys through parameter
 * lists and contexts of their own, and cost several times the hashing.
 */
static bool
hmac_with(EVP_MD_CTX *ctx, struct span key, const struct span *parts, size_t n,
    unsigned char out[SHA256_LEN])
{
	unsigned char block[SHA256_BLOCK] = { 0 }, inner[SHA256_LEN];
	struct span rest = span_of(inner, sizeof(inner));
	bool ok = true;

	if (key.n > SHA256_BLOCK)
		ok = EVP_DigestInit_ex2(ctx, sha256, NULL) == 1 &&
		    EVP_DigestUpdate(ctx, key.p, key.n) == 1 &&
		    EVP_DigestFinal_ex(ctx, block, NULL) == 1;
	else if (key.n > 0)
		memcpy(block, key.p, key.n);
	ok = ok && half(ctx, block, 0x36, parts, n, inner) && half(ctx, block, 0x5c, &rest, 1, out);
	explicit_bzero(block, sizeof(block));
	explicit_bzero(inner, sizeof(inner));
	return ok;
}

bool
hmac_sha256(struct span key, const struct span *parts, size_t n, unsigned char out[SHA256_LEN])
{
	EVP_MD_CTX *ctx = crypto_init() ? EVP_MD_CTX_new() : NULL;
	bool ok = ctx != NULL && hmac_with(ctx, key, parts, n, out);

	EVP_MD_CTX_free(ctx);
	if (!ok)
		memset(out, 0, SHA256_LEN);
	return ok;
}

bool
hkdf_sha256(struct span ikm, struct span salt, struct span info, unsigned char out[SHA256_LEN])
{
	EVP_MD_CTX *ctx = crypto_init() ? EVP_MD_CTX_new() : NULL;
	unsigned char prk[SHA256_LEN];
	const struct span first[] = { info, SPAN_LIT("\x01") };
	bool ok = ctx != NULL && hmac_with(ctx, salt, &ikm, 1, prk) &&
	    hmac_with(ctx, span_of(prk, sizeof(prk)), first, 2, out);

	EVP_MD_CTX_free(ctx);
	explicit_bzero(prk, sizeof(prk));
	if (!ok)
		memset(out, 0, SHA256_LEN);
	return ok;
}

EVP_PKEY *
x25519_key(const unsigned char priv[X25519_LEN], const unsigned char *pub)
{
	EVP_PKEY_CTX *ctx;
	EVP_PKEY *key = NULL;

	if (pub == NULL)
		return EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, priv, X25519_LEN);
	if ((ctx = EVP_PKEY_CTX_new_from_name(NULL, "X25519", NULL)) != NULL) {
		OSSL_PARAM params[] = {
			OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, (void *)priv, X25519_LEN),
			OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)pub, X25519_LEN),
			OSSL_PARAM_END,
		};

		if (EVP_PKEY_fromdata_init(ctx) != 1 ||
		    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
			key = NULL;
	}
	EVP_PKEY_CTX_free(ctx);
	return key;
}

bool
x25519_public(const EVP_PKEY *key, unsigned char out[X25519_LEN])
{
	size_t n = X25519_LEN;

	return EVP_PKEY_get_raw_public_key(key, out, &n) == 1 && n == X25519_LEN;
}

static EVP_PKEY_CTX *
multiplier(EVP_PKEY *key)
{
	EVP_PKEY_CTX *ctx = key != NULL ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;

	if (ctx != NULL && EVP_PKEY_derive_init(ctx) == 1)
		return ctx;
	EVP_PKEY_CTX_free(ctx);
	return NULL;
}

static enum x25519_result
multiply(EVP_PKEY_CTX *ctx, EVP_PKEY *by, unsigned char out[X25519_LEN])
{
	static const unsigned char zero[X25519_LEN];
	enum x25519_result result = X25519_NO_MEMORY;
	size_t n = X25519_LEN;

	/* No check of the peer's point but the result: any 32 octets are a public key. */
	if (ctx != NULL && by != NULL && EVP_PKEY_derive_set_peer_ex(ctx, by, 0) == 1)
		result = EVP_PKEY_derive(ctx, out, &n) == 1 && n == X25519_LEN &&
		    !secret_eq(out, zero, X25519_LEN) ? X25519_OK : X25519_LOW_ORDER;
	if (result != X25519_OK) {
		/* A peer may not fill libcrypto's queue of errors by its points. */
		ERR_clear_error();
		memset(out, 0, X25519_LEN);
	}
	return result;
}

enum x25519_result
x25519_shared(EVP_PKEY *key, const unsigned char peer[X25519_LEN], unsigned char out[X25519_LEN])
{
	EVP_PKEY *by = point(peer);
	EVP_PKEY_CTX *ctx = multiplier(key);
	enum x25519_result result = multiply(ctx, by, out);

	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(by);
	return result;
}

/*
 * libcrypto makes the public half of a key by portable code, which takes half as long again as
 * the product with the base point that it is.  So the key is given a stand-in for it, which no
 * product looks at.
 */
enum x25519_result
x25519_once(const unsigned char priv[X25519_LEN], const unsigned char peer[X25519_LEN],
    unsigned char pub[X25519_LEN], unsigned char shared[X25519_LEN])
{
	EVP_PKEY *key = crypto_init() ? x25519_key(priv, base_point) : NULL, *by = point(peer);
	EVP_PKEY_CTX *ctx = multiplier(key);
	enum x25519_result result = multiply(ctx, by, shared);

	if (result != X25519_OK)
		memset(pub, 0, X25519_LEN);
	else if ((result = multiply(ctx, base, pub)) != X25519_OK)
		explicit_bzero(shared, X25519_LEN);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(by);
	EVP_PKEY_free(key);
	return result;
}
