#include "home/shunned.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"

#define KEY 16			/* of a SHA-256: nobody makes two names meet */

struct one {
	unsigned char	key[KEY];
	unsigned char	is;		/* enum shun; SHUN_NOT: free */
	unsigned char	times;		/* it failed */
	uint32_t	order;		/* of noting: the lowest of a full set gives way */
	int64_t		until_ms;	/* of SHUN_LATER */
};

struct shunned {
	struct one	sets[SHUNNED_SETS][SHUNNED_WAYS];
	uint32_t	order;
};

struct shunned *
shunned_new(void)
{
	return calloc(1, sizeof(struct shunned));
}

void
shunned_free(struct shunned **s)
{
	free(*s);
	*s = NULL;
}

/* The digest of all that a listing says of it; which set it belongs into. */
static size_t
key_of(const struct listed *l, unsigned char key[KEY])
{
	unsigned char octets[LISTING_NAME + 16] = { 0 }, digest[SHA256_DIGEST_LENGTH];

	memcpy(octets, l->name, strlen(l->name));
	put_u64(octets + LISTING_NAME, (uint64_t)l->modified_ms);
	put_u64(octets + LISTING_NAME + 8, l->size);
	SHA256(octets, sizeof(octets), digest);
	memcpy(key, digest, KEY);
	return ((size_t)digest[KEY] << 8 | digest[KEY + 1]) % SHUNNED_SETS;
}

static const struct one *
find(const struct one *set, const unsigned char key[KEY])
{
	for (size_t i = 0; i < SHUNNED_WAYS; i++)
		if (set[i].is != SHUN_NOT && memcmp(set[i].key, key, KEY) == 0)
			return &set[i];
	return NULL;
}

enum shun
shunned_is(const struct shunned *s, const struct listed *l, int64_t now_ms)
{
	unsigned char key[KEY];
	const struct one *set = s->sets[key_of(l, key)], *o = find(set, key);

	if (o == NULL || (o->is == SHUN_LATER && now_ms >= o->until_ms))
		return SHUN_NOT;
	return (enum shun)o->is;
}

/* A free place, or that of the one that was noted longest ago. */
static struct one *
place(struct one *set)
{
	struct one *first = set;

	for (size_t i = 0; i < SHUNNED_WAYS; i++) {
		if (set[i].is == SHUN_NOT)
			return &set[i];
		if (set[i].order < first->order)
			first = &set[i];
	}
	first->times = 0;
	return first;
}

void
shunned_note(struct shunned *s, const struct listed *l, enum shun is, int64_t now_ms)
{
	unsigned char key[KEY];
	struct one *set = s->sets[key_of(l, key)];
	struct one *o = (struct one *)find(set, key);
	int64_t pause = SHUNNED_TRY_MS;

	if (is == SHUN_NOT) {
		if (o != NULL)
			*o = (struct one){ .is = SHUN_NOT };
		return;
	}
	if (o == NULL)
		o = place(set);
	memcpy(o->key, key, KEY);
	o->is = (unsigned char)is;
	o->order = ++s->order;
	if (is != SHUN_LATER)
		return;
	for (unsigned i = 1; i < o->times && pause < SHUNNED_TRY_MOST_MS; i++)
		pause *= 2;
	if (pause > SHUNNED_TRY_MOST_MS)
		pause = SHUNNED_TRY_MOST_MS;
	o->until_ms = now_ms + (o->times > 0 ? pause : 0);
	o->times += o->times < UINT8_MAX;
}

void
shunned_again(struct shunned *s)
{
	for (size_t i = 0; i < SHUNNED_SETS; i++)
		for (size_t k = 0; k < SHUNNED_WAYS; k++)
			if (s->sets[i][k].is == SHUN_ASIDE)
				s->sets[i][k] = (struct one){ .is = SHUN_NOT };
}
