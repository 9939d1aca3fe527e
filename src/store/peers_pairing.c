/*
 * The edge's open pairing lines: STATE/pairings, JSON, read at start and replaced at each change.
 */
#include <jansson.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>

#include "base/codec.h"
#include "base/log.h"
#include "base/secret.h"
#include "store/peers_file.h"
#include "store/peers_in.h"

#define FILE_NAME	"pairings"
#define FILE_OCTETS_MAX	(512u << 10)

static void
drop(struct peers *ps, size_t i)
{
	free(ps->row[i].domains);
	ps->row[i] = ps->row[--ps->nrows];
	ps->row[ps->nrows] = (struct pairing_row){ 0 };
}

void
peers_pairings_fini(struct peers *ps)
{
	while (ps->nrows > 0)
		drop(ps, ps->nrows - 1);
}

/* --- the file --------------------------------------------------------------------- */

static bool
read_row(const json_t *o, struct pairing_row *r)
{
	const char *name = json_string_value(json_object_get(o, "name"));
	const char *hash = json_string_value(json_object_get(o, "sha256"));
	const json_t *domains = json_object_get(o, "domains");
	size_t n = json_array_size(domains);

	*r = (struct pairing_row){ 0 };
	if (name == NULL || hash == NULL || !pairing_name_ok(span_str(name)) ||
	    n > PEER_DOMAINS_MAX ||
	    !hex_decode(span_str(hash), r->hash, sizeof(r->hash)))
		return false;
	snprintf(r->name, sizeof(r->name), "%s", name);
	r->expires_ms = json_integer_value(json_object_get(o, "expires_ms"));
	r->tries = (unsigned)json_integer_value(json_object_get(o, "tries"));
	if ((r->domains = calloc(n + 1, sizeof(r->domains[0]))) == NULL)
		return false;
	for (; r->ndomains < n; r->ndomains++) {
		const char *d = json_string_value(json_array_get(domains, r->ndomains));

		if (d == NULL || !span_copy(span_str(d), r->domains[r->ndomains],
		    sizeof(r->domains[0]))) {
			free(r->domains);
			return false;
		}
	}
	return true;
}

int
peers_pairings_load(struct peers *ps, struct why *why)
{
	struct buf text;
	json_t *list = NULL;
	size_t i;
	int rc;

	buf_init(&text, FILE_OCTETS_MAX);
	rc = file_read(ps->sys, ps->dir, FILE_NAME, &text, why);
	if (rc == 1)
		list = json_loadb(text.p, text.n, 0, NULL);
	buf_fini(&text);
	if (rc != 1)
		return rc;
	for (i = 0; i < json_array_size(list) && ps->nrows < PEERS_PENDING_MAX; i++)
		if (read_row(json_array_get(list, i), &ps->row[ps->nrows]))
			ps->nrows++;
	/* Nothing is lost that a new line would not replace. */
	if (list == NULL)
		log_warn(NULL,
		    "pairing.ignored file=" FILE_NAME " why=\"no list of lines: make new ones\"");
	json_decref(list);
	return 0;
}

static int
save(struct peers *ps, struct why *why)
{
	json_t *list = json_array();
	char *text;
	int rc = -1;

	for (size_t i = 0; i < ps->nrows; i++) {
		const struct pairing_row *r = &ps->row[i];
		json_t *domains = json_array();
		char hex[65];

		for (size_t d = 0; d < r->ndomains; d++)
			json_array_append_new(domains, json_string(r->domains[d]));
		hex_encode(r->hash, sizeof(r->hash), hex);
		json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:i, s:o}", "name", r->name,
		    "sha256", hex, "expires_ms", (json_int_t)r->expires_ms, "tries", (int)r->tries,
		    "domains", domains));
	}
	if ((text = json_dumps(list, JSON_INDENT(1))) == NULL)
		why_set(why, "pairing: out of memory");
	else
		rc = file_replace(ps->sys, ps->dir, FILE_NAME, span_str(text), why);
	free(text);
	json_decref(list);
	return rc;
}

static void
tell(struct peers *ps)
{
	if (ps->events != NULL)
		ps->events->pending(ps->arg, ps->nrows > 0);
}

/*
 * A line is over when its time has come, or when the clock says that it lives longer than it can.
 */
static void
expire(struct peers *ps, int64_t now)
{
	size_t i, was = ps->nrows;
	struct why why = { 0 };

	for (i = ps->nrows; i-- > 0;)
		if (ps->row[i].tries == 0 || ps->row[i].expires_ms <= now ||
		    ps->row[i].expires_ms > now + PAIRING_MINUTES * 60 * 1000)
			drop(ps, i);
	if (ps->nrows == was)
		return;
	if (save(ps, &why) == -1)	/* read again, it is over again */
		log_warn(NULL, "pairing.save why=\"%s\"", why.text);
	tell(ps);
}

static size_t
find(const struct peers *ps, const char *name)
{
	size_t i;

	for (i = 0; i < ps->nrows; i++)
		if (strcmp(ps->row[i].name, name) == 0)
			break;
	return i;
}

/* --- lines ------------------------------------------------------------------------ */

static bool
among(const char *domain, const char (*list)[256], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcasecmp(list[i], domain) == 0)
			return true;
	return false;
}

/* -1: another home has it, or is about to. */
static int
unowned(const struct peers *ps, const char *name, const char *domain, struct why *why)
{
	for (size_t i = 0; i < ps->npeers; i++) {
		const struct peer *p = ps->peer[i];

		if (strcmp(p->name, name) != 0 && among(domain, p->domains, p->ndomains))
			return why_set(why, "%s belongs to home %s: unpair that one first, or "
			    "leave it out", log_safe(span_str(domain)).s, p->name);
	}
	for (size_t i = 0; i < ps->nrows; i++) {
		const struct pairing_row *r = &ps->row[i];

		if (strcmp(r->name, name) != 0 && among(domain, r->domains, r->ndomains))
			return why_set(why, "%s is in the pairing line that is open for home %s: "
			    "end that with `posthouse unpair %s`, or leave it out",
			    log_safe(span_str(domain)).s, r->name, r->name);
	}
	return 0;
}

int
peers_pairing_new(struct peers *ps, const char *name, const char *const *domains, size_t ndomains,
    int64_t now, unsigned char token[PAIRING_TOKEN_LEN], struct why *why)
{
	struct pairing_row r = { 0 };
	size_t i;

	memset(token, 0, PAIRING_TOKEN_LEN);
	if (ps->role != CONF_EDGE)
		return why_set(why,
		    "pairing: lines are made at an edge; read one here with `posthouse pair`");
	if (!pairing_name_ok(span_str(name)))
		return why_set(why, "pairing: a home's name has a-z, 0-9 and - only, %d at most",
		    PAIRING_NAME_MAX);
	if (ndomains == 0 || ndomains > PEER_DOMAINS_MAX)
		return why_set(why, "pairing: name 1 to %d domains that home %s receives for",
		    PEER_DOMAINS_MAX, name);
	expire(ps, now);
	for (i = 0; i < ndomains; i++)
		if (unowned(ps, name, domains[i], why) == -1)
			return -1;
	if (find(ps, name) == ps->nrows && ps->nrows == PEERS_PENDING_MAX)
		return why_set(why,
		    "pairing: %d lines are open: wait, or end one with `posthouse unpair`",
		    PEERS_PENDING_MAX);
	if ((r.domains = calloc(ndomains, sizeof(r.domains[0]))) == NULL)
		return why_set(why, "pairing: out of memory");
	for (; r.ndomains < ndomains; r.ndomains++)
		if (among(domains[r.ndomains], r.domains, r.ndomains)) {
			free(r.domains);
			return why_set(why, "%s is named twice: name it once",
			    log_safe(span_str(domains[r.ndomains])).s);
		} else if (!span_copy(span_str(domains[r.ndomains]), r.domains[r.ndomains],
		    sizeof(r.domains[0]))) {
			free(r.domains);
			return why_set(why, "pairing: a domain is longer than 255 octets");
		}
	snprintf(r.name, sizeof(r.name), "%s", name);
	random_bytes(token, PAIRING_TOKEN_LEN);
	SHA256(token, PAIRING_TOKEN_LEN, r.hash);
	r.tries = PAIRING_TRIES;
	r.expires_ms = now + PAIRING_MINUTES * 60 * 1000;
	if ((i = find(ps, name)) < ps->nrows)
		drop(ps, i);
	ps->row[ps->nrows++] = r;
	if (save(ps, why) == -1) {
		drop(ps, ps->nrows - 1);
		explicit_bzero(token, PAIRING_TOKEN_LEN);
		return -1;
	}
	tell(ps);
	return 0;
}

size_t
peers_pairings(struct peers *ps, int64_t now, struct pairing_pending *out, size_t max)
{
	size_t i;

	expire(ps, now);
	for (i = 0; i < ps->nrows && i < max; i++) {
		snprintf(out[i].name, sizeof(out[i].name), "%s", ps->row[i].name);
		out[i].expires_ms = ps->row[i].expires_ms;
		out[i].tries = ps->row[i].tries;
	}
	return i;
}

bool
peers_pairing_open(struct peers *ps, int64_t now)
{
	expire(ps, now);
	return ps->nrows > 0;
}

static bool
right(const struct pairing_row *r, const unsigned char token[PAIRING_TOKEN_LEN])
{
	unsigned char hash[32];

	SHA256(token, PAIRING_TOKEN_LEN, hash);
	return secret_eq(hash, r->hash, sizeof(hash));
}

/* Counted first and on disk, then compared: no crash gives a guess for free. */
static struct pairing_row *
redeem(struct peers *ps, const char *name, const unsigned char token[PAIRING_TOKEN_LEN],
    int64_t now,
    struct why *why)
{
	size_t i;

	expire(ps, now);
	if ((i = find(ps, name)) == ps->nrows) {
		why_set(why,
		    "no pairing line for %s is open: it was used, has expired or never was; "
		    "make a new one at the edge", log_safe(span_str(name)).s);
		return NULL;
	}
	ps->row[i].tries--;
	if (save(ps, why) == -1)
		return NULL;
	if (right(&ps->row[i], token)) {
		ps->row[i].tries++;
		return &ps->row[i];
	}
	if (ps->row[i].tries > 0)
		why_set(why, "the token is wrong; tries left: %u", ps->row[i].tries);
	else {
		why_set(why, "the token is wrong, for the last time: make a new line at the edge");
		expire(ps, now);
	}
	return NULL;
}

static void
grant_of(const struct pairing_row *r, struct peer *p)
{
	snprintf(p->name, sizeof(p->name), "%s", r->name);
	p->ndomains = r->ndomains;
	memcpy(p->domains, r->domains, r->ndomains * sizeof(r->domains[0]));
}

int
peers_pairing_check(struct peers *ps, const char *name,
    const unsigned char token[PAIRING_TOKEN_LEN],
    int64_t now, struct peer *grant, struct why *why)
{
	const struct pairing_row *r = redeem(ps, name, token, now, why);

	memset(grant, 0, sizeof(*grant));
	if (r == NULL)
		return -1;
	grant_of(r, grant);
	return 0;
}

int
peers_pairing_finish(struct peers *ps, const struct peer *p,
    const unsigned char token[PAIRING_TOKEN_LEN],
    int64_t now, struct why *why)
{
	struct pairing_row *r = redeem(ps, p->name, token, now, why);
	struct why late = { 0 };
	struct peer *whole;
	int rc;

	if (r == NULL)
		return -1;
	if ((whole = malloc(sizeof(*whole))) == NULL)
		return why_set(why, "pairing: out of memory");
	*whole = *p;
	grant_of(r, whole);		/* its domains are the line's, whatever the asker says */
	rc = peers_put(ps, whole, why);
	peer_fini(whole);
	free(whole);
	/* Paired is paired: a line that could not be taken off the disk expires by itself. */
	if (rc == 0 && peers_pairing_end(ps, p->name, &late) == -1)
		log_warn(NULL, "pairing.save why=\"%s\"", late.text);
	return rc;
}

int
peers_pairing_end(struct peers *ps, const char *name, struct why *why)
{
	size_t i = find(ps, name);

	if (i == ps->nrows)
		return 0;
	drop(ps, i);
	if (save(ps, why) == -1)
		return -1;
	tell(ps);
	return 0;
}
