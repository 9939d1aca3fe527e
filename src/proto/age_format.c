#include "proto/age_format.h"

#include <string.h>

#include "base/codec.h"
#include "proto/crypto.h"

#define NONCE12		12	/* of ChaCha20-Poly1305 */

bool
age_wrap_key(const unsigned char shared[32], const unsigned char share[32],
    const unsigned char recipient[32], unsigned char out[32])
{
	unsigned char salt[64];

	memcpy(salt, share, 32);
	memcpy(salt + 32, recipient, 32);
	return hkdf_sha256(span_of(shared, 32), span_of(salt, sizeof(salt)),
	    SPAN_LIT("age-encryption.org/v1/X25519"), out);
}

static bool
aead_seal(EVP_CIPHER_CTX *ctx, const unsigned char nonce[NONCE12], const void *in, size_t n,
    unsigned char *out)
{
	int got = 0;

	return EVP_EncryptInit_ex2(ctx, NULL, NULL, nonce, NULL) == 1 &&
	    (n == 0 || EVP_EncryptUpdate(ctx, out, &got, in, (int)n) == 1) &&
	    EVP_EncryptFinal_ex(ctx, out + n, &got) == 1 &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AGE_TAG, out + n) == 1;
}

static bool
aead_open(EVP_CIPHER_CTX *ctx, const unsigned char nonce[NONCE12], const unsigned char *in,
    size_t n, unsigned char *out)
{
	unsigned char none[1];
	int got = 0;

	n -= AGE_TAG;
	if (EVP_DecryptInit_ex2(ctx, NULL, NULL, nonce, NULL) == 1 &&
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, AGE_TAG, (void *)(in + n)) == 1 &&
	    (n == 0 || EVP_DecryptUpdate(ctx, out, &got, in, (int)n) == 1) &&
	    EVP_DecryptFinal_ex(ctx, none, &got) == 1)
		return true;
	if (n > 0)
		explicit_bzero(out, n);
	return false;
}

bool
age_wrap(EVP_CIPHER_CTX *ctx, const unsigned char key[32],
    const unsigned char file_key[AGE_FILE_KEY], unsigned char out[AGE_BODY])
{
	static const unsigned char zero[NONCE12];	/* the key is used once */

	return EVP_EncryptInit_ex2(ctx, crypto_chacha(), key, NULL, NULL) == 1 &&
	    aead_seal(ctx, zero, file_key, AGE_FILE_KEY, out);
}

bool
age_unwrap(EVP_CIPHER_CTX *ctx, const unsigned char key[32], const unsigned char body[AGE_BODY],
    unsigned char out[AGE_FILE_KEY])
{
	static const unsigned char zero[NONCE12];

	return EVP_DecryptInit_ex2(ctx, crypto_chacha(), key, NULL, NULL) == 1 &&
	    aead_open(ctx, zero, body, AGE_BODY, out);
}

bool
age_header_mac(const unsigned char file_key[AGE_FILE_KEY], struct span header,
    unsigned char out[32])
{
	unsigned char key[32];
	bool ok;

	ok = hkdf_sha256(span_of(file_key, AGE_FILE_KEY), SPAN_LIT(""), SPAN_LIT("header"), key) &&
	    hmac_sha256(span_of(key, sizeof(key)), &header, 1, out);
	explicit_bzero(key, sizeof(key));
	return ok;
}

bool
age_payload_key(const unsigned char file_key[AGE_FILE_KEY], const unsigned char nonce[AGE_NONCE],
    unsigned char out[32])
{
	return hkdf_sha256(span_of(file_key, AGE_FILE_KEY), span_of(nonce, AGE_NONCE),
	    SPAN_LIT("payload"), out);
}

bool
age_stream_with(struct age_stream *s, EVP_CIPHER_CTX *ctx, const unsigned char key[32])
{
	*s = (struct age_stream){ .ctx = ctx };
	/* The direction is set again with each chunk's nonce; the key stays. */
	return EVP_EncryptInit_ex2(ctx, crypto_chacha(), key, NULL, NULL) == 1;
}

bool
age_stream_start(struct age_stream *s, EVP_CIPHER_CTX *ctx,
    const unsigned char file_key[AGE_FILE_KEY], const unsigned char nonce[AGE_NONCE])
{
	unsigned char key[32];
	bool ok = age_payload_key(file_key, nonce, key) && age_stream_with(s, ctx, key);

	explicit_bzero(key, sizeof(key));
	return ok;
}

/* Eleven octets of counter, of which 2^64 chunks never reach the first three, and the mark. */
static void
chunk_nonce(struct age_stream *s, bool last, unsigned char nonce[NONCE12])
{
	memset(nonce, 0, NONCE12);
	put_u64(nonce + 3, s->counter++);
	nonce[11] = last;
}

bool
age_stream_seal(struct age_stream *s, const void *in, size_t n, bool last, void *out)
{
	unsigned char nonce[NONCE12];

	chunk_nonce(s, last, nonce);
	return aead_seal(s->ctx, nonce, in, n, out);
}

enum age_result
age_stream_open(struct age_stream *s, struct span chunk, bool last, struct buf *out,
    struct why *why)
{
	unsigned char nonce[NONCE12];
	char none[1], *to = none;
	size_t n;

	if (chunk.n < AGE_TAG) {
		why_set(why, "the age file is cut short");
		return AGE_MALFORMED;
	}
	n = chunk.n - AGE_TAG;
	if (n > 0 && (to = buf_room(out, n)) == NULL) {
		why_set(why, "no room for the plaintext");
		return AGE_NO_ROOM;
	}
	chunk_nonce(s, last, nonce);
	if (!aead_open(s->ctx, nonce, (const unsigned char *)chunk.p, chunk.n,
	    (unsigned char *)to)) {
		why_set(why, "chunk %llu is not authentic: the file is damaged or cut short",
		    (unsigned long long)s->counter);
		return AGE_MALFORMED;
	}
	/*
	 * Else one plaintext would have two forms.  Asked last: what is left of a longer chunk
	 * looks like an empty one until it is opened.
	 */
	if (last && n == 0 && s->counter > 1) {
		why_set(why, "the last chunk is empty");
		return AGE_MALFORMED;
	}
	buf_used(out, n);
	return AGE_OK;
}
