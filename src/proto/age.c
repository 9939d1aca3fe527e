#include "proto/age.h"

#include "proto/bech32.h"
#include "proto/crypto.h"

/* Keys as text.  age_seal.c and age_open.c hold the rest of the header. */

#define RECIPIENT	"age"
#define IDENTITY	"AGE-SECRET-KEY-"

_Static_assert(BECH32_LEN(sizeof(IDENTITY) - 1) < AGE_TEXT_MAX, "an identity fits");

bool
age_recipient_parse(struct span s, struct age_recipient *r)
{
	return bech32_decode(s, RECIPIENT, r->pub);
}

void
age_recipient_print(const struct age_recipient *r, char out[AGE_TEXT_MAX])
{
	bech32_encode(RECIPIENT, r->pub, out);
}

bool
age_identity_from_bytes(const unsigned char key[32], struct age_identity *id)
{
	EVP_PKEY *k = x25519_key(key, NULL);
	bool ok = k != NULL && x25519_public(k, id->pub);

	EVP_PKEY_free(k);
	if (ok)
		secret_set(&id->key, key);
	else
		age_identity_fini(id);
	return ok;
}

bool
age_identity_parse(struct span s, struct age_identity *id)
{
	unsigned char key[32];
	bool ok;

	*id = (struct age_identity){ 0 };
	ok = bech32_decode(s, IDENTITY, key) && age_identity_from_bytes(key, id);
	explicit_bzero(key, sizeof(key));
	return ok;
}

void
age_identity_print(const struct age_identity *id, char out[AGE_TEXT_MAX])
{
	bech32_encode(IDENTITY, id->key.b, out);
}

void
age_identity_fini(struct age_identity *id)
{
	explicit_bzero(id, sizeof(*id));
}

/* What a line is that is no identity, in words that help; never the line itself. */
static const char *
not_identity(struct span line)
{
	if (span_starts_nocase(line, SPAN_LIT("age-encryption.org/")) ||
	    span_starts_nocase(line, SPAN_LIT("-----BEGIN AGE")))
		return "this key file is sealed with a passphrase: open it first with age -d";
	if (span_starts_nocase(line, SPAN_LIT("-----BEGIN")))
		return "this is a PEM file, not a key file as age-keygen writes it";
	if (span_starts_nocase(line, SPAN_LIT("AGE-PLUGIN-")))
		return "keys of age plugins are not supported";
	if (span_starts_nocase(line, SPAN_LIT("age1")))
		return "age1... is the public half: AGE-SECRET-KEY-1... is wanted";
	if (span_starts_nocase(line, SPAN_LIT(IDENTITY)))
		return "a damaged identity: it was cut or mistyped";
	return "not an age identity (AGE-SECRET-KEY-1...)";
}

int
age_identities_read(struct span file, struct age_identity *out, size_t max, struct why *why)
{
	size_t n = 0, number = 0;

	while (file.n > 0) {
		const char *lf = memchr(file.p, '\n', file.n);
		struct span line = span_of(file.p, lf != NULL ? (size_t)(lf - file.p) : file.n);

		file = span_from(file, line.n + 1);
		number++;
		while (line.n > 0 && strchr("\r\t ", line.p[line.n - 1]) != NULL)
			line.n--;
		if (line.n == 0 || line.p[0] == '#')
			continue;
		if (n == max) {
			why_set(why, "line %zu: more than %zu identities", number, max);
			goto fail;
		}
		if (!age_identity_parse(line, &out[n])) {
			why_set(why, "line %zu: %s", number, not_identity(line));
			goto fail;
		}
		n++;
	}
	return (int)n;
fail:
	while (n > 0)
		age_identity_fini(&out[--n]);
	return -1;
}
