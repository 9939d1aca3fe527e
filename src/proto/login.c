#include "proto/login.h"

#include <string.h>

#include "base/secret.h"
#include "proto/crypto.h"

#define LABEL	"posthouse-login-1"

bool
login_digest(struct span user, struct span password, unsigned char out[LOGIN_DIGEST_LEN])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	char name[sizeof(((struct login *)0)->name)];
	bool ok = ctx != NULL && user.n < sizeof(name) && crypto_init();

	memset(out, 0, LOGIN_DIGEST_LEN);
	for (size_t i = 0; ok && i < user.n; i++)
		name[i] = user.p[i] >= 'A' && user.p[i] <= 'Z' ? user.p[i] | 0x20 : user.p[i];
	ok = ok && EVP_DigestInit_ex2(ctx, crypto_sha256(), NULL) == 1 &&
	    EVP_DigestUpdate(ctx, LABEL, sizeof(LABEL)) == 1 &&
	    EVP_DigestUpdate(ctx, name, user.n) == 1 && EVP_DigestUpdate(ctx, "", 1) == 1 &&
	    EVP_DigestUpdate(ctx, password.p, password.n) == 1 &&
	    EVP_DigestFinal_ex(ctx, out, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	return ok;
}

bool
login_is(const struct login *l, struct span user, struct span password)
{
	unsigned char digest[LOGIN_DIGEST_LEN];
	bool ok = false;

	if (!span_eq_nocase(user, span_str(l->name)) || !login_digest(user, password, digest))
		return false;
	for (size_t i = 0; i < l->ndigests; i++)
		ok |= secret_eq(digest, l->digests[i], sizeof(digest));
	return ok;
}
