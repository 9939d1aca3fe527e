/*
 * The pairing lines that are open at an edge: STATE/pairings, JSON, one array of
 * {"name","hash","expires","tries","domains"}.  The token itself is kept nowhere.
 */
#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/codec.h"
#include "base/log.h"
#include "proto/address.h"
#include "store/peers_in.h"

#define FILE_NAME	"pairings"
#define FILE_MAX	(1u << 20)	/* 16 lines of 64 domains, and room */

static bool
hash_of(const unsigned char token[PAIRING_TOKEN_LEN], unsigned char out[PENDING_HASH])
{
	return EVP_Digest(token, PAIRING_TOKEN_LEN, out, NULL, EVP_sha256(), NULL) == 1;
}

static void
line_fini(struct pending_line *l)
{
	free(l->domains);
	*l = (struct pending_line){ .ndomains = 0 };
}

void
peers_pairings_drop(struct peers *ps)
{
	while (ps->npending > 0)
		line_fini(&ps->pending[--ps->npending]);
}

static void
tell_pending(struct peers *ps)
{
	if (ps->events->pending != NULL)
		ps->events->pending(ps->arg, ps->npending > 0);
}

static int
save(struct peers *ps, struct why *why)
{
	json_t *all = json_array();
	char *text;
	int rc;

	for (size_t i = 0; i < ps->npending; i++) {
		const struct pending_line *l = &ps->pending[i];
		char hex[2 * PENDING_HASH + 1];
		json_t *domains = json_array();

		hex_encode(l->hash, sizeof(l->hash), hex);
		for (size_t k = 0; k < l->ndomains; k++)
			json_array_append_new(domains, json_string(l->domains[k]));
		json_array_append_new(all, json_pack("{s:s,s:s,s:I,s:i,s:o}", "name", l->name, "hash", hex,
		    "expires", (json_int_t)l->expires_ms, "tries", (int)l->tries, "domains", domains));
	}
	text = json_dumps(all, JSON_INDENT(1));
	json_decref(all);
	if (text == NULL)
		return why_set(why, "pairings: memory is out");
	rc = peers_write_file(ps->sys, ps->state, FILE_NAME, span_str(text), why);
	free(text);
	return rc;
}

static bool
line_from_json(const json_t *j, struct pending_line *l)
{
	const char *name = json_string_value(json_object_get(j, "name"));
	const char *hash = json_string_value(json_object_get(j, "hash"));
	const json_t *domains = json_object_get(j, "domains");
	json_int_t tries = json_integer_value(json_object_get(j, "tries"));

	*l = (struct pending_line){ .expires_ms = json_integer_value(json_object_get(j, "expires")) };
	if (name == NULL || hash == NULL || !pairing_name_ok(span_str(name)) || tries < 1 || tries > PAIRING_TRIES ||
	    json_array_size(domains) > PEER_DOMAINS_MAX || !hex_decode(span_str(hash), l->hash, sizeof(l->hash)))
		return false;
	span_copy(span_str(name), l->name, sizeof(l->name));
	l->tries = (unsigned)tries;
	l->ndomains = json_array_size(domains);
	if ((l->domains = calloc(l->ndomains + 1, sizeof(l->domains[0]))) == NULL)
		return false;
	for (size_t k = 0; k < l->ndomains; k++) {
		const char *d = json_string_value(json_array_get(domains, k));

		if (d == NULL || !span_copy(span_str(d), l->domains[k], sizeof(l->domains[k]))) {
			line_fini(l);
			return false;
		}
	}
	return true;
}

/* A file that says nothing costs no more than pairing again: it is named and treated as empty. */
int
peers_pairings_load(struct peers *ps, struct why *why)
{
	struct buf text;
	json_t *all;
	struct stat st;

	if (ps->role != CONF_EDGE ||
	    (ps->sys->fstatat(ps->state, FILE_NAME, &st, AT_SYMLINK_NOFOLLOW) == -1 && errno == ENOENT))
		return 0;
	if (peers_read_file(ps->sys, ps->state, FILE_NAME, FILE_MAX, &text, why) == -1)
		return -1;
	all = json_loadb(text.p, text.n, 0, NULL);
	buf_fini(&text);
	if (!json_is_array(all))
		log_error(NULL, "pairings.unreadable file=%s: not ours; open lines are forgotten, pair again", FILE_NAME);
	for (size_t i = 0; i < json_array_size(all) && ps->npending < PEERS_PENDING_MAX; i++)
		if (line_from_json(json_array_get(all, i), &ps->pending[ps->npending]))
			ps->npending++;
	json_decref(all);
	return 0;
}

static void
forget(struct peers *ps, size_t i)
{
	line_fini(&ps->pending[i]);
	ps->pending[i] = ps->pending[--ps->npending];
	if (i != ps->npending)
		ps->pending[ps->npending] = (struct pending_line){ .ndomains = 0 };
}

static void
expire(struct peers *ps, int64_t now_ms)
{
	size_t before = ps->npending;
	struct why why;

	/* A line from the far future was made before the clock was set back: it ends too. */
	for (size_t i = ps->npending; i-- > 0;)
		if (ps->pending[i].expires_ms <= now_ms ||
		    ps->pending[i].expires_ms > now_ms + PAIRING_MINUTES * 60000)
			forget(ps, i);
	if (before == ps->npending)
		return;
	if (save(ps, &why) == -1)
		log_warn(NULL, "pairings.write: %s", why.text);
	tell_pending(ps);
}

static struct pending_line *
find(struct peers *ps, const char *name)
{
	for (size_t i = 0; i < ps->npending; i++)
		if (strcmp(ps->pending[i].name, name) == 0)
			return &ps->pending[i];
	return NULL;
}

static const struct peer *
owner_of(const struct peers *ps, const char *domain)
{
	for (size_t i = 0; i < ps->n; i++)
		for (size_t k = 0; k < ps->list[i]->ndomains; k++)
			if (strcmp(ps->list[i]->domains[k], domain) == 0)
				return ps->list[i];
	return NULL;
}

static int
fill(struct peers *ps, struct pending_line *l, const char *const *domains, size_t n, struct why *why)
{
	if (n == 0 || n > PEER_DOMAINS_MAX)
		return why_set(why, "name the home's domains: at least one, at most %d", PEER_DOMAINS_MAX);
	if ((l->domains = calloc(n, sizeof(l->domains[0]))) == NULL)
		return why_set(why, "memory is out");
	for (size_t i = 0; i < n; i++) {
		const struct peer *other;

		if (!address_domain(span_str(domains[i]), l->domains[i]))
			return why_set(why, "%s is not a domain name", log_safe(span_str(domains[i])).s);
		if ((other = owner_of(ps, l->domains[i])) != NULL && strcmp(other->name, l->name) != 0)
			return why_set(why, "%s belongs to home %s already; unpair that one first, or leave it out",
			    l->domains[i], other->name);
	}
	l->ndomains = n;
	return 0;
}

int
peers_pairing_new(struct peers *ps, const char *name, const char *const *domains, size_t ndomains, int64_t now_ms,
    unsigned char token[PAIRING_TOKEN_LEN], struct why *why)
{
	struct pending_line l = { .expires_ms = now_ms + PAIRING_MINUTES * 60000, .tries = PAIRING_TRIES };
	struct pending_line *old;

	memset(token, 0, PAIRING_TOKEN_LEN);
	expire(ps, now_ms);
	if (!pairing_name_ok(span_str(name)))
		return why_set(why, "a home's name is lower-case letters, digits and hyphens, at most %d", PAIRING_NAME_MAX);
	span_copy(span_str(name), l.name, sizeof(l.name));
	old = find(ps, name);
	if (old == NULL && ps->npending == PEERS_PENDING_MAX)
		return why_set(why, "%d pairing lines are open; wait until some have expired", PEERS_PENDING_MAX);
	random_bytes(token, PAIRING_TOKEN_LEN);
	if (fill(ps, &l, domains, ndomains, why) == -1 || !hash_of(token, l.hash)) {
		line_fini(&l);
		return -1;
	}
	if (old != NULL)
		forget(ps, (size_t)(old - ps->pending));
	ps->pending[ps->npending++] = l;
	if (save(ps, why) == -1) {
		forget(ps, ps->npending - 1);
		return -1;
	}
	tell_pending(ps);
	return 0;
}

size_t
peers_pairings(struct peers *ps, int64_t now_ms, struct pairing_pending *out, size_t max)
{
	size_t n;

	expire(ps, now_ms);
	for (n = 0; n < ps->npending && n < max; n++) {
		span_copy(span_str(ps->pending[n].name), out[n].name, sizeof(out[n].name));
		out[n].expires_ms = ps->pending[n].expires_ms;
		out[n].tries = ps->pending[n].tries;
	}
	return n;
}

bool
peers_pairing_open(struct peers *ps, int64_t now_ms)
{
	expire(ps, now_ms);
	return ps->npending > 0;
}

int
peers_pairing_check(struct peers *ps, const char *name, const unsigned char token[PAIRING_TOKEN_LEN], int64_t now_ms,
    struct peer *grant, struct why *why)
{
	unsigned char hash[PENDING_HASH];
	struct pending_line *l;

	memset(grant, 0, sizeof(*grant));
	expire(ps, now_ms);
	if ((l = find(ps, name)) == NULL)
		return why_set(why, "no pairing line is open for this name: it was used, or its %d minutes are over; "
		    "make a new one at the edge", PAIRING_MINUTES);
	/* The try is spent before the answer is known, so that a crash gives none back. */
	l->tries--;
	if (save(ps, why) == -1) {
		l->tries++;
		return -1;
	}
	if (!hash_of(token, hash) || !secret_eq(hash, l->hash, sizeof(hash))) {
		unsigned left = l->tries;

		if (left == 0) {
			forget(ps, (size_t)(l - ps->pending));
			save(ps, why);
			tell_pending(ps);
			return why_set(why, "wrong token, and that was the last try; make a new line at the edge");
		}
		return why_set(why, "wrong token; %u tries are left", left);
	}
	l->tries++;
	span_copy(span_str(name), grant->name, sizeof(grant->name));
	memcpy(grant->domains, l->domains, l->ndomains * sizeof(l->domains[0]));
	grant->ndomains = l->ndomains;
	return 0;
}

int
peers_pairing_finish(struct peers *ps, const struct peer *peer, const unsigned char token[PAIRING_TOKEN_LEN],
    int64_t now_ms, struct why *why)
{
	struct peer grant, whole = *peer;
	int rc = peers_pairing_check(ps, peer->name, token, now_ms, &grant, why);

	if (rc == 0) {
		/* The line's grant counts, not what the network process says it is. */
		memcpy(whole.domains, grant.domains, sizeof(whole.domains));
		whole.ndomains = grant.ndomains;
		rc = peers_pairing_end(ps, peer->name, why) == -1 ? -1 : peers_put(ps, &whole, why);
	}
	peer_fini(&whole);
	return rc;
}

int
peers_pairing_end(struct peers *ps, const char *name, struct why *why)
{
	struct pending_line *l = find(ps, name);
	int rc;

	if (l == NULL)
		return 0;
	forget(ps, (size_t)(l - ps->pending));
	rc = save(ps, why);
	tell_pending(ps);
	return rc;
}
