#include "proto/object_mac.h"

#include <stdlib.h>

#include "proto/crypto.h"

struct object_mac {
	EVP_MD_CTX	*ctx;			/* NULL once ended */
	unsigned char	 digest[SHA256_LEN];
	bool		 failed;
};

struct object_mac *
object_mac_new(void)
{
	struct object_mac *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	if (!crypto_init() || (m->ctx = EVP_MD_CTX_new()) == NULL ||
	    EVP_DigestInit_ex2(m->ctx, crypto_sha256(), NULL) != 1)
		object_mac_free(&m);
	return m;
}

void
object_mac_add(struct object_mac *m, const void *p, size_t n)
{
	if (EVP_DigestUpdate(m->ctx, p, n) != 1)
		m->failed = true;
}

bool
object_mac_end(struct object_mac *m, const struct secret *key, struct uuid id,
    unsigned char out[OBJECT_MAC_LEN])
{
	struct span parts[] = {
		SPAN_LIT("posthouse-object-1"),
		{ (const char *)id.b, sizeof(id.b) },
		{ (const char *)m->digest, sizeof(m->digest) },
	};

	if (m->ctx != NULL) {
		if (EVP_DigestFinal_ex(m->ctx, m->digest, NULL) != 1)
			m->failed = true;
		EVP_MD_CTX_free(m->ctx);
		m->ctx = NULL;
	}
	memset(out, 0, OBJECT_MAC_LEN);
	return !m->failed && key->set &&
	    hmac_sha256(span_of(key->b, SECRET_LEN), parts, sizeof(parts) / sizeof(parts[0]), out);
}

bool
object_mac_check(struct object_mac *m, const struct secret *keys, size_t n, struct uuid id,
    const unsigned char mac[OBJECT_MAC_LEN])
{
	unsigned char want[OBJECT_MAC_LEN];
	bool ok = false;

	for (size_t i = 0; i < n && !ok; i++)
		ok = object_mac_end(m, &keys[i], id, want) && secret_eq(want, mac, sizeof(want));
	return ok;
}

void
object_mac_free(struct object_mac **mp)
{
	struct object_mac *m = *mp;

	*mp = NULL;
	if (m != NULL)
		EVP_MD_CTX_free(m->ctx);
	free(m);
}
