#ifndef NET_TLS_H
#define NET_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/why.h"
#include "proto/pairing.h"

/*
 * TLS contexts and keys.  No sockets: conn.h moves the bytes.
 *
 * A key pair comes as PEM text that the parent read (tunnel keys: a self-signed
 * certificate and its key in one file, see keygen).
 */

/*
 * STARTTLS at the edge: TLS 1.2 and 1.3, no client certificates, no
 * resumption, buffers released when idle.
 */
SSL_CTX	*tls_server_new(struct span cert_chain_pem, struct span key_pem, struct why *);

/*
 * Of what a server context shows, the certificate or the issuer that is over first, but for
 * roots, which nobody looks at there: its first DNS name, else the common name, else "-", cut to
 * max, and notAfter in ms since 1970, never 0.  False, name "" and 0, where it cannot be read.
 */
bool	tls_server_until(SSL_CTX *, char *name, size_t max, int64_t *until_ms);

/* Whether its certificate is for that host: RFC 6125, as a sender that verifies it looks at it. */
bool	tls_server_is(SSL_CTX *, const char *host);

/* A client that believes any certificate: it asks what a server says, and tells it nothing. */
SSL_CTX	*tls_any_new(struct why *);
/*
 * A client that believes a certificate of this name (or address) by one of the authorities
 * in a PEM file, which is read now: before a sandbox.  file "": this machine's.
 */
SSL_CTX	*tls_verify_new(const char *host, const char *file, struct why *);
/* Another name from the next handshake on. */
bool	tls_verify_name(SSL_CTX *, const char *host);

/*
 * The tunnel: TLS 1.3 only, both sides show a certificate, both are judged by
 * the SHA-256 of the public key alone: names, dates and issuers are ignored (a
 * Raspberry Pi may boot in 1970).  alpn: the protocols offered or accepted, in
 * order of preference, NULL-terminated; a peer that agrees on none of them is
 * refused.  accept is asked during the handshake with the peer's pin and the
 * chosen ALPN, never ""; false ends it with a TLS alert.  A client learns only
 * after its own handshake that the server refused it: conn's closed says so.
 */
typedef bool tls_pin_fn(void *arg, const struct pin *, const char *alpn);
SSL_CTX	*tls_tunnel_new(struct span pem, bool server, const char *const *alpn, tls_pin_fn *accept,
    void *arg, struct why *);

/* The pin of the certificate in a PEM file's text. */
int	tls_pem_pin(struct span pem, struct pin *, struct why *);
bool	tls_peer_pin(SSL *, struct pin *);
bool	tls_exporter(SSL *, const char *label, unsigned char out[32]);
const char *tls_alpn(SSL *, char *out, size_t max);	/* "" if none */
/* "TLSv1.3 TLS_AES_256_GCM_SHA384" for Received: and logs. */
void	tls_describe(SSL *, char *out, size_t max);
/* "WHAT: OpenSSL's error in words", its queue cleared.  Returns -1. */
int	tls_why(struct why *, const char *what);

#endif
