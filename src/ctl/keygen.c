#include "ctl/keygen.h"

#include <string.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/secret.h"
#include "ctl/identity.h"
#include "proto/age.h"
#include "proto/crypto.h"

int
keygen_age(const char *path, struct why *why)
{
	unsigned char key[32];
	char now[40], secret[AGE_TEXT_MAX], public[AGE_TEXT_MAX];
	struct age_identity id = { 0 };
	struct age_recipient r;
	struct buf text;
	int result = -1;

	random_bytes(key, sizeof(key));
	buf_init(&text, 1024);
	if (!age_identity_from_bytes(key, &id)) {
		why_set(why, "%s: out of memory", path);
	} else {
		memcpy(r.pub, id.pub, sizeof(r.pub));
		wall_iso(wall_ms(), now, sizeof(now));
		age_recipient_print(&r, public);
		age_identity_print(&id, secret);
		/* age-keygen tells whole seconds. */
		buf_addf(&text, "# created: %.19sZ\n# public key: %s\n%s\n", now, public, secret);
		explicit_bzero(secret, sizeof(secret));
		result = text.failed ? why_set(why, "%s: out of memory", path) :
		    make_secret(path, buf_span(&text), why);
	}
	buf_wipe(&text);
	age_identity_fini(&id);
	explicit_bzero(key, sizeof(key));
	return result;
}

int
keygen_hex(const char *path, struct why *why)
{
	unsigned char key[SECRET_LEN];
	char text[2 * SECRET_LEN + 1];
	int result;

	random_bytes(key, sizeof(key));
	hex_encode(key, sizeof(key), text);
	text[2 * SECRET_LEN] = '\n';
	result = make_secret(path, span_of(text, sizeof(text)), why);
	explicit_bzero(text, sizeof(text));
	explicit_bzero(key, sizeof(key));
	return result;
}

static X509 *
self_signed(EVP_PKEY *key)
{
	unsigned char serial[8];
	X509 *cert = X509_new();
	X509_NAME *name;
	BIGNUM *number = NULL;
	bool ok;

	random_bytes(serial, sizeof(serial));
	serial[0] = (serial[0] & 0x3f) | 0x40;	/* positive, and of full length */
	ok = cert != NULL && (number = BN_bin2bn(serial, sizeof(serial), NULL)) != NULL &&
	    BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL &&
	    X509_set_version(cert, X509_VERSION_3) == 1 &&
	    ASN1_TIME_set_string_X509(X509_getm_notBefore(cert), "19700101000000Z") == 1 &&
	    ASN1_TIME_set_string_X509(X509_getm_notAfter(cert), "99991231235959Z") == 1 &&
	    (name = X509_get_subject_name(cert)) != NULL &&
	    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const unsigned char *)"posthouse", -1, -1, 0) == 1 &&
	    X509_set_issuer_name(cert, name) == 1 && X509_set_pubkey(cert, key) == 1 &&
	    X509_sign(cert, key, EVP_sha256()) > 0;
	BN_free(number);
	if (!ok) {
		X509_free(cert);
		return NULL;
	}
	return cert;
}

static bool
pin_of(X509 *cert, struct pin *out)
{
	unsigned char *der = NULL;
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	bool ok = n > 0 && EVP_Digest(der, (size_t)n, out->b, NULL, EVP_sha256(), NULL) == 1;

	OPENSSL_free(der);
	return ok;
}

int
keygen_tunnel(const char *path, struct pin *out, struct why *why)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = key != NULL ? self_signed(key) : NULL;
	BIO *pem = BIO_new(BIO_s_secmem());
	char *p;
	long n;
	int result = -1;

	*out = (struct pin){ { 0 } };
	if (cert == NULL || pem == NULL ||
	    PEM_write_bio_PKCS8PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL) != 1 ||
	    PEM_write_bio_X509(pem, cert) != 1 || !pin_of(cert, out))
		why_set(why, "%s: OpenSSL made no key: %s", path,
		    ERR_reason_error_string(ERR_peek_last_error()));
	else if ((n = BIO_get_mem_data(pem, &p)) > 0)
		result = make_secret(path, span_of(p, (size_t)n), why);
	if (result == -1)
		*out = (struct pin){ { 0 } };
	BIO_free(pem);
	X509_free(cert);
	EVP_PKEY_free(key);
	return result;
}
