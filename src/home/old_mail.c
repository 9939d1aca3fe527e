#include "home/old_mail.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/codec.h"
#include "proto/batch_smtp.h"
#include "proto/object_mac.h"

#define LABEL		"posthouse-old-mail-1"
#define STEP_MAX	(4 * AGE_CHUNK)
/* What one step may become: a header, the chunk that was filling, and the longest input. */
#define SEALED_MAX	(AGE_HEADER_MAX + 8 * (AGE_CHUNK + AGE_TAG))
#define HEAD_MAX	(BATCH_LINE_MAX * 8)
#define SHA256_HEX	64

struct old_mail {
	struct age_seal	*seal;
	struct object_mac *omac;
	struct spool_put *put;
	EVP_MD_CTX	*digest;	/* of the message, for its name */
	char		 name[SHA256_HEX + 1];
	struct secret	 key;
	struct uuid	 id;
};

/* RFC 9562 5.8: version 8, its maker's own. */
static bool
id_of(const struct secret *key, const char *name, const char *from, const char *to,
    struct uuid *id)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	char text[2 * ADDRESS_PRINT_MAX + 256];
	unsigned n = 0;
	int len = snprintf(text, sizeof(text), LABEL "%c%s%c%s%c%s", 0, name, 0, from, 0, to);

	if (HMAC(EVP_sha256(), key->b, SECRET_LEN, (unsigned char *)text, (size_t)len, mac, &n) ==
	    NULL)
		return false;
	memcpy(id->b, mac, sizeof(id->b));
	id->b[6] = 0x80 | (id->b[6] & 0x0f);
	id->b[8] = 0x80 | (id->b[8] & 0x3f);
	return true;
}

static bool
path_of(struct span text, enum address_kind kind, struct address *a)
{
	char path[ADDRESS_PRINT_MAX + 4];
	bool bare = text.n == 0 || text.p[0] != '<';
	int n;

	if (text.n > ADDRESS_PRINT_MAX)
		return false;
	n = snprintf(path, sizeof(path), "%s%.*s%s", bare ? "<" : "", (int)text.n,
	    text.n > 0 ? text.p : "", bare ? ">" : "");
	return address_parse_path(span_of(path, (size_t)n), kind, true, a) == (size_t)n;
}

/* --- the transcript ----------------------------------------------------------------------- */

static int
sealed(struct old_mail *m, struct span s, struct why *why)
{
	object_mac_add(m->omac, s.p, s.n);
	return spool_put_add(m->put, s.p, s.n, why);
}

static int
transcript(struct old_mail *m, struct span s, struct why *why)
{
	struct buf out;
	int rc = 0;

	buf_init(&out, SEALED_MAX);
	while (rc == 0 && s.n > 0) {
		size_t n = s.n < STEP_MAX ? s.n : STEP_MAX;

		buf_clear(&out);
		if (!age_seal_add(m->seal, s.p, n, &out))
			rc = why_set(why, "seal: memory is out");
		else if (out.n > 0)
			rc = sealed(m, buf_span(&out), why);
		s = span_from(s, n);
	}
	buf_fini(&out);
	return rc;
}

static int
head(struct old_mail *m, const char *edge, const struct address *from, const struct address *to,
    struct why *why)
{
	struct envelope *env = envelope_new();
	struct span params = from->utf8 || to->utf8 ? SPAN_LIT("BODY=8BITMIME SMTPUTF8") :
	    SPAN_LIT("BODY=8BITMIME");
	struct buf out;
	int rc = -1;

	buf_init(&out, HEAD_MAX);
	if (env != NULL && envelope_set_from(env, from, params) &&
	    envelope_add_rcpt(env, to, span_of(NULL, 0))) {
		span_copy(span_str(edge), env->edge, sizeof(env->edge));
		env->esmtp = true;
		env->id = m->id;
		if (batch_head(env, &out))
			rc = transcript(m, buf_span(&out), why);
		else
			why_set(why, "object: memory is out");
	} else {
		why_set(why, "object: memory is out");
	}
	buf_fini(&out);
	envelope_free(&env);
	return rc;
}

int
old_mail_add(struct old_mail *m, struct span s, struct why *why)
{
	struct buf line;
	int rc;

	if (s.n == 0)
		return 0;
	buf_init(&line, 64);
	rc = batch_chunk(s.n, &line) && EVP_DigestUpdate(m->digest, s.p, s.n) == 1 ?
	    transcript(m, buf_span(&line), why) : why_set(why, "object: memory is out");
	buf_fini(&line);
	return rc == -1 ? -1 : transcript(m, s, why);
}

bool
old_mail_named(struct old_mail *m)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char text[2 * EVP_MAX_MD_SIZE + 1];
	unsigned n = 0;

	if (EVP_DigestFinal_ex(m->digest, digest, &n) != 1)
		return false;
	hex_encode(digest, n, text);
	return strcmp(text, m->name) == 0;
}

int
old_mail_commit(struct old_mail **mp, spool_kept_fn *told, void *arg, struct why *why)
{
	struct old_mail *m = *mp;
	unsigned char mac[OBJECT_MAC_LEN];
	struct buf out;
	int rc = -1;

	buf_init(&out, SEALED_MAX);
	if (!batch_end(&out)) {
		why_set(why, "object: memory is out");
	} else if (transcript(m, buf_span(&out), why) == 0) {
		buf_clear(&out);
		rc = age_seal_end(m->seal, &out) ? sealed(m, buf_span(&out), why) :
		    why_set(why, "seal: memory is out");
	}
	buf_fini(&out);
	if (rc == 0 && !object_mac_end(m->omac, &m->key, m->id, mac))
		rc = why_set(why, "object: memory is out");
	if (rc == 0)
		spool_put_commit(&m->put, mac, told, arg);
	old_mail_free(mp);
	return rc;
}

/* --- its life ----------------------------------------------------------------------------- */

static struct age_seal *
seal_new(const struct age_recipient *to, size_t n)
{
	unsigned char rnd[AGE_SEAL_RND(AGE_RECIPIENTS_MAX)];
	struct age_seal *seal;

	random_bytes(rnd, sizeof(rnd));
	seal = age_seal_new(to, n, rnd);
	explicit_bzero(rnd, sizeof(rnd));
	return seal;
}

struct old_mail *
old_mail_new(struct spool *spool, const struct home_edge *w, const struct age_recipient *keys,
    size_t nkeys, const char *name, struct span from_text, struct span to_text, bool *later,
    struct why *why)
{
	struct old_mail *m;
	struct spool_meta meta = { .origin = ORIGIN_BUCKET, .received_ms = wall_ms() };
	char from_shown[ADDRESS_PRINT_MAX], to_shown[ADDRESS_PRINT_MAX];
	struct address from, to;

	*later = false;
	if (!path_of(from_text, ADDRESS_REVERSE, &from) ||
	    !path_of(to_text, ADDRESS_FORWARD, &to)) {
		why_set(why, "its metadata from and to are no addresses");
		return NULL;
	}
	*later = true;
	if ((m = calloc(1, sizeof(*m))) == NULL) {
		why_set(why, "memory is out");
		return NULL;
	}
	address_print(&from, from_shown, sizeof(from_shown));
	address_print(&to, to_shown, sizeof(to_shown));
	span_copy(span_of(name, SHA256_HEX), m->name, sizeof(m->name));
	m->key = w->peer.mac[0];
	m->seal = seal_new(keys, nkeys);
	m->omac = object_mac_new();
	m->digest = EVP_MD_CTX_new();
	if (m->seal == NULL || m->omac == NULL || m->digest == NULL ||
	    EVP_DigestInit_ex(m->digest, EVP_sha256(), NULL) != 1 ||
	    !id_of(&m->key, m->name, from_shown, to_shown, &m->id)) {
		why_set(why, "memory is out");
		old_mail_free(&m);
		return NULL;
	}
	meta.id = m->id;
	span_copy(span_str(w->name), meta.signer, sizeof(meta.signer));
	span_copy(span_str(w->peer.home), meta.home, sizeof(meta.home));
	m->put = spool_put_new(spool, &meta);
	if (m->put == NULL || head(m, w->name, &from, &to, why) == -1)
		old_mail_free(&m);
	return m;
}

void
old_mail_free(struct old_mail **mp)
{
	struct old_mail *m = *mp;

	if (m == NULL)
		return;
	age_seal_free(&m->seal);
	object_mac_free(&m->omac);
	EVP_MD_CTX_free(m->digest);
	if (m->put != NULL)
		spool_put_drop(&m->put);
	secret_fini(&m->key);
	free(m);
	*mp = NULL;
}
