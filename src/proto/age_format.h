#ifndef PROTO_AGE_FORMAT_H
#define PROTO_AGE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "base/span.h"
#include "proto/age.h"

/* What age_seal.c and age_open.c share: the constants and keys of the format. */
#define AGE_VERSION_LINE	"age-encryption.org/v1\n"
#define AGE_FILE_KEY		16
#define AGE_NONCE		16
#define AGE_BODY		(AGE_FILE_KEY + AGE_TAG)	/* of an X25519 stanza */
#define AGE_B64_32		43			/* characters of 32 octets, unpadded */
#define AGE_SEALED_CHUNK	(AGE_CHUNK + AGE_TAG)

/* The key under which a file key is wrapped for one recipient. */
bool	age_wrap_key(const unsigned char shared[32], const unsigned char share[32],
	    const unsigned char recipient[32], unsigned char out[32]);
bool	age_wrap(EVP_CIPHER_CTX *, const unsigned char key[32],
	    const unsigned char file_key[AGE_FILE_KEY], unsigned char out[AGE_BODY]);
bool	age_unwrap(EVP_CIPHER_CTX *, const unsigned char key[32],
	    const unsigned char body[AGE_BODY], unsigned char out[AGE_FILE_KEY]);
/* header: all octets up to and with "---". */
bool	age_header_mac(const unsigned char file_key[AGE_FILE_KEY], struct span header,
    unsigned char out[32]);

/* STREAM: a counter of chunks and a mark on the last. */
struct age_stream {
	EVP_CIPHER_CTX	*ctx;
	uint64_t	 counter;
};

bool	age_payload_key(const unsigned char file_key[AGE_FILE_KEY],
	    const unsigned char nonce[AGE_NONCE], unsigned char out[32]);
/* Takes the context's key over; ctx stays the caller's. */
bool	age_stream_with(struct age_stream *, EVP_CIPHER_CTX *, const unsigned char key[32]);
bool	age_stream_start(struct age_stream *, EVP_CIPHER_CTX *,
	    const unsigned char file_key[AGE_FILE_KEY], const unsigned char nonce[AGE_NONCE]);
/* Puts out n + AGE_TAG. */
bool	age_stream_seal(struct age_stream *, const void *, size_t n, bool last, void *out);
/*
 * One chunk, tag and all; it appears in out only once it is known to be authentic.
 * AGE_MALFORMED with why: the file is damaged or cut short, here or in what comes next.
 */
enum age_result	age_stream_open(struct age_stream *, struct span chunk, bool last, struct buf *out,
	    struct why *);

#endif
