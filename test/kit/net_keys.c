#include "kit/net_keys.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

void
net_key_make(struct net_key *k, const char *type)
{
	EVP_PKEY *key = strcmp(type, "ED25519") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, type) :
	    EVP_PKEY_Q_keygen(NULL, NULL, "EC", type);
	X509 *x = X509_new();
	BIO *b = BIO_new(BIO_s_mem());
	char *p;
	long n;

	assert(key != NULL && x != NULL && b != NULL);
	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -7200);
	X509_gmtime_adj(X509_getm_notAfter(x), -3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
	    (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, key);
	n = X509_sign(x, key, strcmp(type, "ED25519") == 0 ? NULL : EVP_sha256());
	assert(n > 0);
	assert(PEM_write_bio_X509(b, x) == 1);
	assert(PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) == 1);
	n = BIO_get_mem_data(b, &p);
	assert(n > 0 && (size_t)n <= sizeof(k->pem));
	memcpy(k->pem, p, (size_t)n);
	k->n = (size_t)n;
	BIO_free(b);
	X509_free(x);
	EVP_PKEY_free(key);
}
