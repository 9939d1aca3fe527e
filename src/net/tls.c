#include "net/tls.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

#define ALPN_WIRE_MAX 256

/* What a tunnel context knows beyond SSL_CTX; freed with it. */
struct tunnel {
	tls_pin_fn	*accept;
	void		*arg;
	unsigned char	 alpn[ALPN_WIRE_MAX];	/* each name after its length */
	unsigned	 alpn_len;
};

/*
 * TLS 1.2 for senders that have nothing newer: forward secrecy always, CBC last, as
 * refusing it makes an opportunistic sender fall back to no TLS at all.
 */
#define CIPHERS_TLS12 "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL"

/*
 * The tunnel's, by speed, as all are as strong as its keys are.  A board without instructions
 * for AES (Raspberry Pi 4) does ChaCha20 faster.
 */
#define AES_FIRST	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CHACHA_FIRST	"TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"

int
tls_why(struct why *why, const char *what)
{
	unsigned long e = ERR_peek_error();	/* the first is the cause, later ones its way up */
	const char *reason = e == 0 ? NULL : ERR_reason_error_string(e);

	if (e != 0 && reason == NULL && ERR_SYSTEM_ERROR(e))
		reason = strerror(ERR_GET_REASON(e));
	why_set(why, "%s: %s", what, reason != NULL ? reason : "failed without a reason");
	ERR_clear_error();
	return -1;
}

/* --- keys ----------------------------------------------------------------- */

/* Without it OpenSSL would ask a terminal. */
static int
no_passphrase(char *out, int max, int rwflag, void *arg)
{
	return -1;
}

static BIO *
pem_bio(struct span pem)
{
	return pem.n > INT_MAX ? NULL : BIO_new_mem_buf(pem.p, (int)pem.n);
}

static EVP_PKEY *
pem_key(struct span pem)
{
	BIO *b = pem_bio(pem);
	EVP_PKEY *key = b == NULL ? NULL : PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL);

	BIO_free(b);
	return key;
}

/* The first certificate is ours, what follows is its chain. */
static int
use_chain(SSL_CTX *ctx, struct span pem)
{
	BIO *b = pem_bio(pem);
	X509 *x;
	int n = 0;

	while (b != NULL && (x = PEM_read_bio_X509(b, NULL, no_passphrase, NULL)) != NULL) {
		int ok = n++ == 0 ? SSL_CTX_use_certificate(ctx, x) :
		    (int)SSL_CTX_add1_chain_cert(ctx, x);

		X509_free(x);
		if (ok != 1) {
			BIO_free(b);
			return -1;
		}
	}
	BIO_free(b);
	if (n == 0)
		return -1;
	ERR_clear_error();	/* the end of the file was one */
	return 0;
}

static int
use_pair(SSL_CTX *ctx, struct span chain_pem, struct span key_pem, struct why *why)
{
	EVP_PKEY *key;
	int rc = 0;

	ERR_clear_error();
	if (use_chain(ctx, chain_pem) == -1)
		return tls_why(why, "TLS certificate (PEM expected)");
	if ((key = pem_key(key_pem)) == NULL)
		return tls_why(why, "TLS private key (PEM without a passphrase expected)");
	/* Also says so where key and certificate do not belong together. */
	if (SSL_CTX_use_PrivateKey(ctx, key) != 1)
		rc = tls_why(why, "TLS private key");
	EVP_PKEY_free(key);
	return rc;
}

/*
 * What both kinds of context have in common: nothing is kept for a session that is idle or over,
 * and a client that asks for ChaCha20 first, having no AES in hardware, gets it.
 */
static void
lean(SSL_CTX *ctx)
{
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
	    SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

SSL_CTX *
tls_server_new(struct span cert_chain_pem, struct span key_pem, struct why *why)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL) {
		tls_why(why, "TLS");
		return NULL;
	}
	lean(ctx);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, CIPHERS_TLS12) != 1)
		tls_why(why, "TLS");
	else if (use_pair(ctx, cert_chain_pem, key_pem, why) == 0)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

static void
name_of(X509 *x, char *out, size_t max)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);

	out[0] = '\0';
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && out[0] == '\0'; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);

		if (g->type == GEN_DNS)
			snprintf(out, max, "%.*s", ASN1_STRING_length(g->d.dNSName),
			    (const char *)ASN1_STRING_get0_data(g->d.dNSName));
	}
	GENERAL_NAMES_free(names);
	if (out[0] == '\0' && X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName,
	    out, (int)max) <= 0)
		snprintf(out, max, "-");
}

bool
tls_server_until(SSL_CTX *ctx, char *name, size_t max, int64_t *until_ms)
{
	X509 *leaf = SSL_CTX_get0_certificate(ctx), *x = leaf;
	STACK_OF(X509) *chain = NULL;

	name[0] = '\0';
	*until_ms = 0;
	(void)SSL_CTX_get0_chain_certs(ctx, &chain);
	for (int i = 0; x != NULL; x = sk_X509_value(chain, i++)) {	/* of none: NULL */
		int64_t ends;
		struct tm tm;

		if (x != leaf && X509_NAME_cmp(X509_get_issuer_name(x),
		    X509_get_subject_name(x)) == 0)
			continue;
		if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) != 1)
			return false;
		ends = (int64_t)timegm(&tm) * 1000;
		if (*until_ms != 0 && ends >= *until_ms)
			continue;
		name_of(x, name, max);
		*until_ms = ends != 0 ? ends : 1;
	}
	return *until_ms != 0;
}

bool
tls_server_is(SSL_CTX *ctx, const char *host)
{
	X509 *leaf = SSL_CTX_get0_certificate(ctx);

	return leaf != NULL && X509_check_host(leaf, host, 0, 0, NULL) == 1;
}

SSL_CTX *
tls_any_new(struct why *why)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (ctx == NULL) {
		tls_why(why, "TLS");
		return NULL;
	}
	lean(ctx);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	return ctx;
}

#define AUTHORITIES "/etc/ssl/certs/ca-certificates.crt"

bool
tls_verify_name(SSL_CTX *ctx, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);

	return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1 ||
	    X509_VERIFY_PARAM_set1_host(param, host, 0) == 1;
}

SSL_CTX *
tls_verify_new(const char *host, const char *file, struct why *why)
{
	SSL_CTX *ctx = tls_any_new(why);
	char what[400];

	if (ctx == NULL)
		return NULL;
	file = file[0] != '\0' ? file : AUTHORITIES;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (SSL_CTX_load_verify_locations(ctx, file, NULL) != 1 || !tls_verify_name(ctx, host)) {
		snprintf(what, sizeof(what), "TLS: the authorities in %s", file);
		tls_why(why, what);
		SSL_CTX_free(ctx);
		return NULL;
	}
	ERR_clear_error();
	return ctx;
}

/* --- the tunnel ----------------------------------------------------------- */

static int tunnel_index = -1;	/* where an SSL_CTX keeps its struct tunnel */

static void
tunnel_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
	free(ptr);
}

static bool
pin_of(X509 *x, struct pin *pin)
{
	unsigned char *der = NULL;
	EVP_PKEY *key = X509_get0_pubkey(x);	/* NULL: of a kind OpenSSL does not know */
	int n = key == NULL ? -1 : i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
	bool ok = n > 0 && EVP_Digest(der, (size_t)n, pin->b, NULL, EVP_sha256(), NULL) == 1;

	OPENSSL_free(der);
	return ok;
}

/*
 * The whole judgement of a peer, in place of chain building: dates, names and
 * issuers mean nothing here, the key is everything.  That the peer holds the key
 * is proved by its CertificateVerify, which OpenSSL checks after this.
 *
 * ALPN is known by now on both sides: the server chose at ClientHello, and the
 * client read EncryptedExtensions before the certificate.  None means that the
 * peer did not name any, as OpenSSL lets pass on its own.
 */
static int
judge(X509_STORE_CTX *store, void *arg)
{
	const struct tunnel *t = arg;
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	X509 *x = X509_STORE_CTX_get0_cert(store);
	struct pin pin;
	char alpn[ALPN_WIRE_MAX];

	if (ssl != NULL && x != NULL && pin_of(x, &pin) &&
	    *tls_alpn(ssl, alpn, sizeof(alpn)) != '\0' && t->accept(t->arg, &pin, alpn)) {
		X509_STORE_CTX_set_error(store, X509_V_OK);
		return 1;
	}
	X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
	return 0;
}

/* The first of ours that the client offers too. */
static int
choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
    unsigned inlen, void *arg)
{
	const struct tunnel *t = arg;
	unsigned char *chosen;

	if (SSL_select_next_proto(&chosen, outlen, t->alpn, t->alpn_len, in,
	    inlen) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static struct tunnel *
tunnel_take(SSL_CTX *ctx, const char *const *alpn)
{
	struct tunnel *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	for (; *alpn != NULL; alpn++) {
		size_t n = strlen(*alpn);

		if (n == 0 || n > 255 || t->alpn_len + 1 + n > sizeof(t->alpn)) {
			free(t);
			return NULL;
		}
		t->alpn[t->alpn_len++] = (unsigned char)n;
		memcpy(t->alpn + t->alpn_len, *alpn, n);
		t->alpn_len += (unsigned)n;
	}
	if (tunnel_index == -1)
		tunnel_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, tunnel_free);
	if (tunnel_index == -1 || SSL_CTX_set_ex_data(ctx, tunnel_index, t) != 1) {
		free(t);
		return NULL;
	}
	return t;
}

static bool
has_aes(void)
{
#if defined(__x86_64__)
	return __builtin_cpu_supports("aes");
#elif defined(__aarch64__)
	return (getauxval(AT_HWCAP) & HWCAP_AES) != 0;
#else
	return false;
#endif
}

SSL_CTX *
tls_tunnel_new(struct span pem, bool server, const char *const *alpn, tls_pin_fn *accept, void *arg,
    struct why *why)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	struct tunnel *t;

	if (ctx == NULL) {
		tls_why(why, "TLS");
		return NULL;
	}
	lean(ctx);
	/* Few, and never idle for long: taking its buffers anew for each record costs more. */
	SSL_CTX_clear_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_ciphersuites(ctx, has_aes() ? AES_FIRST : CHACHA_FIRST) != 1 ||
	    (t = tunnel_take(ctx, alpn)) == NULL) {
		tls_why(why, "TLS for the tunnel");
		goto fail;
	}
	t->accept = accept;
	t->arg = arg;
	if (use_pair(ctx, pem, pem, why) == -1)
		goto fail;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, judge, t);
	if (server)
		SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, t);
	else if (SSL_CTX_set_alpn_protos(ctx, t->alpn, t->alpn_len) != 0) {
		tls_why(why, "TLS for the tunnel");
		goto fail;
	}
	return ctx;
fail:
	SSL_CTX_free(ctx);
	return NULL;
}

/* --- what a session is ----------------------------------------------------- */

int
tls_pem_pin(struct span pem, struct pin *pin, struct why *why)
{
	BIO *b = pem_bio(pem);
	X509 *x;
	int rc = 0;

	*pin = (struct pin){ 0 };
	ERR_clear_error();
	x = b == NULL ? NULL : PEM_read_bio_X509(b, NULL, no_passphrase, NULL);
	if (x == NULL || !pin_of(x, pin))
		rc = tls_why(why, "TLS certificate (PEM expected)");
	X509_free(x);
	BIO_free(b);
	return rc;
}

bool
tls_peer_pin(SSL *ssl, struct pin *pin)
{
	X509 *x = SSL_get0_peer_certificate(ssl);

	*pin = (struct pin){ 0 };
	return x != NULL && pin_of(x, pin);
}

bool
tls_exporter(SSL *ssl, const char *label, unsigned char out[32])
{
	memset(out, 0, 32);
	return SSL_export_keying_material(ssl, out, 32, label, strlen(label), NULL, 0, 0) == 1;
}

const char *
tls_alpn(SSL *ssl, char *out, size_t max)
{
	const unsigned char *p;
	unsigned n;

	SSL_get0_alpn_selected(ssl, &p, &n);
	if (max > 0 && !span_copy(span_of(p, n), out, max))
		out[0] = '\0';		/* cut, it would name another protocol */
	return out;
}

void
tls_describe(SSL *ssl, char *out, size_t max)
{
	snprintf(out, max, "%s %s", SSL_get_version(ssl), SSL_get_cipher_name(ssl));
}
