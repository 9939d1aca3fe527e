#include <assert.h>
#include <stdlib.h>

#include "base/codec.h"
#include "proto/age_format.h"
#include "proto/crypto.h"

struct age_seal {
	EVP_CIPHER_CTX	*ctx;
	struct age_stream stream;
	struct buf	 head;		/* header and payload nonce, until they are out */
	struct buf	 held;		/* plaintext of the chunk that may still be the last one */
	bool		 over;		/* ended, or failed: what is out can never be whole */
};

static bool
add_base64_line(struct buf *b, const unsigned char p[32])
{
	char text[BASE64_LEN(32) + 1];
	size_t n = base64_encode(p, 32, false, text);

	text[n++] = '\n';
	return buf_add(b, text, n);
}

bool
age_ephemeral_make(const struct age_recipient *to, const unsigned char secret[32],
    struct age_ephemeral *e)
{
	unsigned char shared[32];
	bool ok;

	ok = x25519_once(secret, to->pub, e->share, shared) == X25519_OK &&
	    age_wrap_key(shared, e->share, to->pub, e->wrap);
	explicit_bzero(shared, sizeof(shared));
	return ok;
}

static bool
add_stanza(struct age_seal *s, const struct age_ephemeral *e,
    const unsigned char file_key[AGE_FILE_KEY])
{
	unsigned char body[AGE_BODY];

	return age_wrap(s->ctx, e->wrap, file_key, body) &&
	    buf_add_str(&s->head, "-> X25519 ") && add_base64_line(&s->head, e->share) &&
	    add_base64_line(&s->head, body);
}

static bool
start(struct age_seal *s, const struct age_ephemeral *e, size_t n, const unsigned char *rnd)
{
	const unsigned char *file_key = rnd, *nonce = rnd + AGE_FILE_KEY;
	unsigned char mac[32];

	if (!buf_add_str(&s->head, AGE_VERSION_LINE))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!add_stanza(s, &e[i], file_key))
			return false;
	return buf_add_str(&s->head, "---") && age_header_mac(file_key, buf_span(&s->head), mac) &&
	    buf_add_str(&s->head, " ") && add_base64_line(&s->head, mac) &&
	    buf_add(&s->head, nonce, AGE_NONCE) &&
	    age_stream_start(&s->stream, s->ctx, file_key, nonce);
}

struct age_seal *
age_seal_with(const struct age_ephemeral *e, size_t n, const unsigned char rnd[AGE_SEAL_RND(0)])
{
	struct age_seal *s;

	assert(n > 0 && n <= AGE_RECIPIENTS_MAX);
	if ((s = calloc(1, sizeof(*s))) == NULL)
		return NULL;
	buf_init(&s->head, AGE_HEADER_MAX);
	buf_init(&s->held, AGE_CHUNK);
	if (!crypto_init() || (s->ctx = EVP_CIPHER_CTX_new()) == NULL ||
	    buf_room(&s->head, 128 + 128 * n) == NULL || !start(s, e, n, rnd))
		age_seal_free(&s);
	return s;
}

struct age_seal *
age_seal_new(const struct age_recipient *to, size_t n, const unsigned char *rnd)
{
	struct age_ephemeral e[AGE_RECIPIENTS_MAX];
	struct age_seal *s = NULL;
	size_t i = 0;

	assert(n > 0 && n <= AGE_RECIPIENTS_MAX);
	while (i < n && age_ephemeral_make(&to[i], rnd + AGE_SEAL_RND(i), &e[i]))
		i++;
	if (i == n)
		s = age_seal_with(e, n, rnd);
	explicit_bzero(e, sizeof(e));
	return s;
}

/* Room for all that this call will put out is taken at once, so that out grows at most once. */
static bool
make_room(struct age_seal *s, size_t n, struct buf *out)
{
	if (s->over || buf_room(out, s->head.n + n) == NULL)
		return false;
	if (s->head.n > 0) {
		buf_add_span(out, buf_span(&s->head));
		buf_fini(&s->head);
	}
	return true;
}

static bool
put_chunk(struct age_seal *s, const void *p, size_t n, bool last, struct buf *out)
{
	char *to = buf_room(out, n + AGE_TAG);

	if (to == NULL || !age_stream_seal(&s->stream, p, n, last, to))
		return false;
	buf_used(out, n + AGE_TAG);
	return true;
}

static bool
add(struct age_seal *s, const char *p, size_t n, struct buf *out)
{
	size_t chunks = s->held.n + n > 0 ? (s->held.n + n - 1) / AGE_CHUNK : 0;

	if (!make_room(s, chunks * AGE_SEALED_CHUNK, out))
		return false;
	/* A full chunk waits until more comes: only then is it known not to be the last. */
	while (s->held.n + n > AGE_CHUNK) {
		size_t take = AGE_CHUNK - s->held.n;

		if (s->held.n == 0) {
			if (!put_chunk(s, p, AGE_CHUNK, false, out))
				return false;
		} else {
			if (!buf_add(&s->held, p, take) ||
			    !put_chunk(s, s->held.p, AGE_CHUNK, false, out))
				return false;
			buf_clear(&s->held);
		}
		p += take;
		n -= take;
	}
	return buf_add(&s->held, p, n);
}

bool
age_seal_add(struct age_seal *s, const void *p, size_t n, struct buf *out)
{
	s->over = !add(s, p, n, out);
	return !s->over;
}

bool
age_seal_end(struct age_seal *s, struct buf *out)
{
	bool ok = make_room(s, s->held.n + AGE_TAG, out) &&
	    put_chunk(s, s->held.p, s->held.n, true, out);

	s->over = true;
	return ok;
}

void
age_seal_free(struct age_seal **sp)
{
	struct age_seal *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	EVP_CIPHER_CTX_free(s->ctx);
	buf_fini(&s->head);
	buf_wipe(&s->held);
	free(s);
}
