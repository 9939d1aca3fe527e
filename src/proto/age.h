#ifndef PROTO_AGE_H
#define PROTO_AGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/secret.h"
#include "base/span.h"
#include "base/why.h"

/*
 * The age v1 file format (C2SP age): X25519 recipients, HKDF-SHA-256, HMAC over
 * the header, STREAM of 64 KiB ChaCha20-Poly1305 chunks.  Both directions
 * stream in constant memory.  Byte-compatible with the `age` program.
 * Binary format only; ASCII armor is not read.
 */
#define AGE_CHUNK		65536
#define AGE_TAG			16
/* Each X25519 stanza costs a scalar multiplication before anything is authenticated. */
#define AGE_STANZAS_MAX		20
#define AGE_HEADER_MAX		16384	/* octets; 20 stanzas of other types fit */
/* Current, next (rotation) and offline recovery keys, with room. */
#define AGE_RECIPIENTS_MAX	8
/* "age1..." is 62, "AGE-SECRET-KEY-1..." 74, with NUL and slack. */
#define AGE_TEXT_MAX		80

struct age_recipient {
	unsigned char	pub[32];
};

struct age_identity {
	struct secret	key;
	unsigned char	pub[32];
};

bool	age_recipient_parse(struct span, struct age_recipient *);	/* "age1..." */
void	age_recipient_print(const struct age_recipient *, char out[AGE_TEXT_MAX]);
bool	age_identity_parse(struct span, struct age_identity *);		/* "AGE-SECRET-KEY-1..." */
void	age_identity_print(const struct age_identity *, char out[AGE_TEXT_MAX]);
/* False: memory is out. */
bool	age_identity_from_bytes(const unsigned char key[32], struct age_identity *);
void	age_identity_fini(struct age_identity *);
/*
 * A key file as age-keygen writes it: one identity a line, # comments, blank
 * lines.  Returns how many (at most max), or -1 with `line N: what` in why.
 */
int	age_identities_read(struct span file, struct age_identity *, size_t max, struct why *);

/*
 * Sealing.  rnd: 16 bytes of file key, 16 of payload nonce, 32 of ephemeral
 * secret for each recipient; fresh for every object and wiped by the caller.
 */
#define AGE_SEAL_RND(recipients)	(32 + 32 * (recipients))

struct age_seal;	/* about 64 KiB while a chunk is filling, less for small input */
/* 1 to AGE_RECIPIENTS_MAX of them.  NULL: out of memory, or a low-order recipient. */
struct age_seal *age_seal_new(const struct age_recipient *, size_t n, const unsigned char *rnd);

/*
 * Most of sealing a small message is two scalar multiplications for each recipient.
 * They ask for nothing of the message and so may be made ahead; one belongs to one
 * object, since its key wraps under a nonce of zero.
 */
struct age_ephemeral {
	unsigned char	share[32];	/* public, stands in the stanza */
	unsigned char	wrap[32];	/* secret: the key that wraps the file key */
};
/* secret: 32 fresh octets.  False: as for age_seal_new. */
bool	age_ephemeral_make(const struct age_recipient *, const unsigned char secret[32],
	    struct age_ephemeral *);
/* Of rnd only file key and nonce are read.  The ephemerals are used up: the caller wipes them. */
struct age_seal *age_seal_with(const struct age_ephemeral *, size_t n,
		    const unsigned char rnd[AGE_SEAL_RND(0)]);
/*
 * Appends sealed bytes to out, the header first.  False when out is full or
 * memory is out: the object can never be whole then.  Large input is sealed
 * straight into out's room; only a chunk that may be the last one is copied.
 */
bool	age_seal_add(struct age_seal *, const void *, size_t, struct buf *out);
bool	age_seal_end(struct age_seal *, struct buf *out);
void	age_seal_free(struct age_seal **);

/*
 * Opening.  Plaintext appears in out chunk by chunk, each authenticated before
 * it appears; only after age_open_end returned AGE_OK was the end authentic.
 */
enum age_result {
	AGE_OK = 0,
	AGE_MALFORMED,			/* no age file, or damaged: see why */
	AGE_NO_MATCH,			/* well-formed, sealed to other keys */
	AGE_NO_ROOM,			/* out is full, or memory is out */
};

struct age_open;
/* The identities are borrowed until _free.  After a failure every call tells the same again. */
struct age_open *age_open_new(const struct age_identity *, size_t n);
enum age_result age_open_add(struct age_open *, const void *, size_t, struct buf *out,
    struct why *);
enum age_result age_open_end(struct age_open *, struct buf *out, struct why *);
void	age_open_free(struct age_open **);

/*
 * What a reading knows once the header is behind it, for another of the same octets, which
 * then needs no identity: the header is nearly all that opening a small file costs.  It opens
 * that one file, so whoever keeps it keeps a secret.
 */
struct age_payload {
	struct secret	 key;		/* not set: not known yet */
	size_t		 at;		/* octets before the payload: age_open_again takes none */
};
bool	age_open_payload(const struct age_open *, struct age_payload *);
struct age_open *age_open_again(const struct age_payload *);	/* NULL: memory is out */
void	age_payload_fini(struct age_payload *);

#endif
