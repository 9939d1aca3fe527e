#include "proto/policy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/codec.h"
#include "proto/crypto.h"
#include "proto/key_lists.h"

/* -- Reading.  Each getter takes an absent key for its zero, and fails on a wrong type. -- */

static struct span
text_of(const json_t *j)
{
	return span_of(json_string_value(j), json_string_length(j));
}

static bool
get_bool(const json_t *o, const char *key, bool *out)
{
	const json_t *j = json_object_get(o, key);

	if (j != NULL)
		*out = json_is_true(j);
	return j == NULL || json_is_boolean(j);
}

static bool
get_ms(const json_t *o, const char *key, int64_t *out)
{
	const json_t *j = json_object_get(o, key);

	if (j != NULL)
		*out = json_integer_value(j);
	return j == NULL || (json_is_integer(j) && *out >= 0);
}

/* Full 64 bits, hence in a string. */
static bool
get_digits(const json_t *o, const char *key, uint64_t *out)
{
	const json_t *j = json_object_get(o, key);
	unsigned long long v = 0;

	if (j != NULL && (!json_is_string(j) || !span_u64(text_of(j), UINT64_MAX, &v)))
		return false;
	*out = v;
	return true;
}

/* An optional array; *n entries of size in *out, each filled by get. */
static bool
get_array(const json_t *o, const char *key, size_t max, size_t size, void *out, size_t *n,
    bool (*get)(const json_t *, void *, struct why *), struct why *why)
{
	const json_t *list = json_object_get(o, key), *j;
	size_t i, len = json_array_size(list);
	void **entries = out;

	if (list == NULL || (json_is_array(list) && len == 0))
		return true;
	if (!json_is_array(list) || len > max) {
		why_set(why, "\"%s\" is not an array of at most %zu", key, max);
		return false;
	}
	if ((*entries = calloc(len, size)) == NULL) {
		why_set(why, "out of memory");
		return false;
	}
	json_array_foreach(list, i, j) {
		struct why inner = { "" };

		*n = i + 1;		/* an entry half read is freed with the others */
		if (!get(j, (char *)*entries + i * size, &inner)) {
			why_set(why, "\"%s\", entry %zu: %.300s", key, i + 1, inner.text);
			return false;
		}
	}
	return true;
}

static int
compare_digests(const void *a, const void *b)
{
	return memcmp(a, b, POLICY_DIGEST_LEN);
}

static bool
get_digests(const json_t *o, struct policy_domain *d)
{
	const json_t *j = json_object_get(o, "digests");
	struct span text = text_of(j);
	size_t max, n;

	if (j == NULL)
		return true;
	if (!json_is_string(j) || text.n > BASE64_LEN(POLICY_RECIPIENTS_MAX * POLICY_DIGEST_LEN))
		return false;
	if ((max = text.n / 4 * 3) == 0)
		return text.n == 0;
	if ((d->digests = malloc(max)) == NULL ||
	    !base64_decode(text, true, d->digests, max, &n) || n % POLICY_DIGEST_LEN != 0)
		return false;
	d->ndigests = n / POLICY_DIGEST_LEN;
	/* A search on what is not in order would refuse a known address. */
	for (size_t i = 1; i < d->ndigests; i++)
		if (compare_digests(d->digests[i - 1], d->digests[i]) > 0) {
			qsort(d->digests, d->ndigests, POLICY_DIGEST_LEN, compare_digests);
			break;
		}
	return true;
}

static bool
get_domain(const json_t *o, void *out, struct why *why)
{
	struct policy_domain *d = out;
	const json_t *name = json_object_get(o, "name"), *salt = json_object_get(o, "salt");
	const json_t *unknown = json_object_get(o, "unknown"), *tag = json_object_get(o, "tag");

	if (!json_is_string(name) || !address_domain(text_of(name), d->name))
		return why_set(why, "\"name\" is not a domain name"), false;
	if (unknown != NULL && span_eq(text_of(unknown), SPAN_LIT("refuse")))
		d->unknown = POLICY_REFUSE;
	else if (unknown != NULL && !span_eq(text_of(unknown), SPAN_LIT("accept")))
		return why_set(why, "\"unknown\" is neither \"accept\" nor \"refuse\""), false;
	if (!get_bool(o, "fold_case", &d->fold_case) ||
	    !get_bool(o, "ignore_dots", &d->ignore_dots) ||
	    !get_ms(o, "learned_ms", &d->learned_ms))
		return why_set(why, "\"fold_case\", \"ignore_dots\" or \"learned_ms\" is "
		    "malformed"), false;
	if (tag != NULL) {
		struct span t = text_of(tag);

		if (!json_is_string(tag) || t.n > 1 ||
		    (t.n == 1 && (t.p[0] <= ' ' || t.p[0] >= 0x7f)))
			return why_set(why, "\"tag\" is not one character"), false;
		d->tag = t.n == 1 ? t.p[0] : '\0';
	}
	if (salt != NULL &&
	    (!json_is_string(salt) || !hex_decode(text_of(salt), d->salt, sizeof(d->salt))))
		return why_set(why, "\"salt\" is not 32 hex digits"), false;
	if (!get_digests(o, d))
		return why_set(why, "\"digests\" are not base64 of %d octets each, %d at most",
		    POLICY_DIGEST_LEN, POLICY_RECIPIENTS_MAX), false;
	if (d->unknown == POLICY_REFUSE && salt == NULL)
		return why_set(why, "\"refuse\" without a \"salt\""), false;
	return true;
}

/* Never to be banned: nobody's own, everybody's own, and what carries the tunnel. */
#define V4(a, b)	{ .ip = { [10] = 0xff, 0xff, a, b } }
#define V6(a, b)	{ .ip = { a, b }, .v6 = true }
static const struct {
	struct netaddr	 net;
	unsigned	 bits;
} spared[] = {
	{ V4(0, 0), 8 }, { V4(10, 0), 8 }, { V4(100, 64), 10 }, { V4(127, 0), 8 },
	{ V4(169, 254), 16 }, { V4(172, 16), 12 }, { V4(192, 168), 16 }, { V4(224, 0), 3 },
	{ V6(0, 0), 127 }, { V6(0xfc, 0), 7 }, { V6(0xfe, 0x80), 10 }, { V6(0xff, 0), 8 },
};

bool
policy_ban_ok(const struct policy_ban *b, struct why *why)
{
	unsigned least = b->net.v6 ? 32 : 8, most = b->net.v6 ? 128 : 32;
	struct netaddr cut = netaddr_network(&b->net, b->bits, b->bits);

	if (b->bits < least || b->bits > most)
		return why_set(why, "a prefix must be from /%u to /%u", least, most), false;
	if (!netaddr_same_ip(&cut, &b->net))
		return why_set(why, "bits are set behind the prefix; the network is %s/%u",
		    netaddr_ip(&cut).s, b->bits), false;
	for (size_t i = 0; i < sizeof(spared) / sizeof(spared[0]); i++) {
		const struct netaddr *s = &spared[i].net;

		if (netaddr_in(&b->net, s, spared[i].bits) || netaddr_in(s, &b->net, b->bits))
			return why_set(why, "%s/%u is not public: it is never banned",
			    netaddr_ip(s).s, spared[i].bits), false;
	}
	return true;
}

bool
policy_ban_parse(struct span s, struct policy_ban *b, struct why *why)
{
	const char *slash = s.n > 0 ? memchr(s.p, '/', s.n) : NULL;
	struct span ip = slash != NULL ? span_of(s.p, (size_t)(slash - s.p)) : s;
	unsigned long long bits;
	/* Written with colons, a prefix counts from the front of 128 bits. */
	unsigned before;

	*b = (struct policy_ban){ 0 };
	if (!netaddr_parse_ip(ip, &b->net))
		return why_set(why, "not an address or network"), false;
	before = !b->net.v6 && memchr(ip.p, ':', ip.n) != NULL ? 96 : 0;
	bits = b->net.v6 || before > 0 ? 128 : 32;
	if (slash != NULL && (!span_u64(span_from(s, ip.n + 1), bits, &bits) || bits < before))
		return why_set(why, "the prefix length is malformed"), false;
	b->bits = (unsigned)bits - before;
	return policy_ban_ok(b, why);
}

static bool
get_service(const json_t *o, void *out, struct why *why)
{
	struct policy_service *s = out;
	const json_t *name = json_object_get(o, "name");

	if (!json_is_string(name) || json_string_length(name) == 0 ||
	    !span_copy(text_of(name), s->name, sizeof(s->name)) || !get_bool(o, "up", &s->up))
		return why_set(why, "not a service"), false;
	return true;
}

static bool
get_login(const json_t *o, void *out, struct why *why)
{
	struct login *l = out;
	const json_t *name = json_object_get(o, "name"), *list = json_object_get(o, "digests"), *j;
	size_t i;

	if (!json_is_string(name) || !address_domain(text_of(name), l->name))
		return why_set(why, "\"name\" is not a domain name"), false;
	if (!json_is_array(list) || json_array_size(list) > LOGIN_DIGESTS_MAX)
		return why_set(why, "\"digests\" are not %d at most", LOGIN_DIGESTS_MAX), false;
	json_array_foreach(list, i, j)
		if (!json_is_string(j) ||
		    !hex_decode(text_of(j), l->digests[l->ndigests++], LOGIN_DIGEST_LEN))
			return why_set(why, "a digest is not 64 hex digits"), false;
	return true;
}

/* An optional array of at most two pins. */
static bool
get_pins(const json_t *list, struct pin pins[2], size_t *n)
{
	const json_t *j;
	size_t i;

	if (list == NULL)
		return true;
	if (!json_is_array(list) || json_array_size(list) > 2)
		return false;
	json_array_foreach(list, i, j)
		if (!json_is_string(j) || !pin_parse(text_of(j), &pins[(*n)++]))
			return false;
	return true;
}

static bool
get_keys(const json_t *root, struct policy *p)
{
	const json_t *keys = json_object_get(root, "keys");
	const json_t *recipients = json_object_get(keys, "recipients");
	const json_t *j;
	size_t i;

	if (keys == NULL)
		return true;
	if (!json_is_object(keys) || !get_pins(json_object_get(keys, "pins"), p->pins, &p->npins) ||
	    (recipients != NULL && !json_is_array(recipients)) ||
	    json_array_size(recipients) > AGE_RECIPIENTS_MAX)
		return false;
	json_array_foreach(recipients, i, j)
		if (!json_is_string(j) ||
		    !age_recipient_parse(text_of(j), &p->recipients[p->nrecipients++]))
			return false;
	return true;
}

static bool
get_edge(const json_t *root, struct policy *p)
{
	const json_t *edge = json_object_get(root, "edge");

	return edge == NULL || (json_is_object(edge) &&
	    get_pins(json_object_get(edge, "pins"), p->edge_pins, &p->nedge_pins));
}

static bool
policy_from(const json_t *root, struct policy *p, struct why *why)
{
	const json_t *backend = json_object_get(root, "backend");
	const json_t *version = json_object_get(root, "version");
	size_t total = 0;

	if (!json_is_integer(version))
		return why_set(why, "no \"version\""), false;
	if (json_integer_value(version) != POLICY_VERSION)
		return why_set(why, "version %lld is not known here (%d is): update the edge",
		    (long long)json_integer_value(version), POLICY_VERSION), false;
	if (!get_digits(root, "epoch", &p->epoch) || !get_digits(root, "counter", &p->counter))
		return why_set(why, "\"epoch\" or \"counter\" is not a string of digits"), false;
	if (!get_ms(root, "stale_after_ms", &p->stale_after_ms))
		return why_set(why, "\"stale_after_ms\" is malformed"), false;
	if (backend != NULL && (!json_is_object(backend) ||
	    !get_bool(backend, "smtputf8", &p->smtputf8) || !get_bool(backend, "dsn", &p->dsn) ||
	    !get_digits(backend, "size", &p->size)))
		return why_set(why, "\"backend\" is malformed"), false;
	if (!get_keys(root, p))
		return why_set(why, "\"keys\" are malformed"), false;
	if (!get_edge(root, p))
		return why_set(why, "\"edge\" is malformed"), false;
	if (!get_array(root, "domains", POLICY_DOMAINS_MAX, sizeof(*p->domains), &p->domains,
	    &p->ndomains, get_domain, why) ||
	    !get_array(root, "services", POLICY_SERVICES_MAX, sizeof(*p->services), &p->services,
	    &p->nservices, get_service, why) ||
	    !get_array(root, "logins", POLICY_LOGINS_MAX, sizeof(*p->logins), &p->logins,
	    &p->nlogins, get_login, why))
		return false;
	for (size_t i = 0; i < p->ndomains; i++)
		total += p->domains[i].ndigests;
	if (total > POLICY_RECIPIENTS_MAX)
		return why_set(why, "more than %d recipients", POLICY_RECIPIENTS_MAX), false;
	return true;
}

struct policy *
policy_parse(struct span json, struct why *why)
{
	struct policy *p;
	struct why inner = { "" };
	json_error_t error;
	json_t *root;

	if (json.n > POLICY_OCTETS_MAX) {
		why_set(why, "policy: longer than %u octets", POLICY_OCTETS_MAX);
		return NULL;
	}
	if (json.n == 0 ||
	    (root = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, &error)) == NULL) {
		why_set(why, "policy: not JSON");
		return NULL;
	}
	if ((p = calloc(1, sizeof(*p))) == NULL) {
		why_set(why, "policy: out of memory");
	} else if (!json_is_object(root)) {
		why_set(why, "policy: not a JSON object");
		policy_free(&p);
	} else if (!policy_from(root, p, &inner)) {
		why_set(why, "policy: %.480s", inner.text);
		policy_free(&p);
	}
	json_decref(root);
	return p;
}

/* -- Writing -- */

static json_t *
u64_text(uint64_t v)
{
	return json_sprintf("%" PRIu64, v);
}

static json_t *
print_domain(const struct policy_domain *d)
{
	char salt[2 * sizeof(d->salt) + 1];
	char tag[] = { d->tag, '\0' };
	size_t n = d->ndigests * POLICY_DIGEST_LEN;
	char *digests = malloc(BASE64_LEN(n) + 1);
	json_t *j;

	if (digests == NULL)
		return NULL;
	hex_encode(d->salt, sizeof(d->salt), salt);
	base64_encode(d->digests, n, true, digests);
	j = json_pack("{ss, ss, sb, sb, ss, ss, sI, ss}", "name", d->name,
	    "unknown", d->unknown == POLICY_REFUSE ? "refuse" : "accept",
	    "fold_case", (int)d->fold_case, "ignore_dots", (int)d->ignore_dots, "tag", tag,
	    "salt", salt,
	    "learned_ms", (json_int_t)d->learned_ms, "digests", digests);
	free(digests);
	return j;
}

static json_t *
print_keys(const struct policy *p)
{
	return json_pack("{so, so}", "pins", pins_json(p->pins, p->npins),
	    "recipients", recipients_json(p->recipients, p->nrecipients));
}

static json_t *
print_logins(const struct policy *p)
{
	json_t *list = json_array();
	char hex[2 * LOGIN_DIGEST_LEN + 1];
	int failed = 0;

	for (size_t i = 0; i < p->nlogins; i++) {
		json_t *digests = json_array();

		for (size_t k = 0; k < p->logins[i].ndigests; k++) {
			hex_encode(p->logins[i].digests[k], LOGIN_DIGEST_LEN, hex);
			failed |= json_array_append_new(digests, json_string(hex));
		}
		failed |= json_array_append_new(list, json_pack("{ss, so}",
		    "name", p->logins[i].name, "digests", digests));
	}
	if (failed != 0) {
		json_decref(list);
		return NULL;
	}
	return list;
}

static json_t *
print_root(const struct policy *p)
{
	json_t *domains = json_array(), *services = json_array();
	json_t *root = json_pack("{si, so, so, sI, s{sb, sb, so}, so, so}",
	    "version", POLICY_VERSION, "epoch", u64_text(p->epoch), "counter", u64_text(p->counter),
	    "stale_after_ms", (json_int_t)p->stale_after_ms,
	    "backend", "smtputf8", (int)p->smtputf8, "dsn", (int)p->dsn, "size", u64_text(p->size),
	    "domains", domains, "services", services);
	int failed = root == NULL;

	if (p->npins > 0 || p->nrecipients > 0)
		failed |= json_object_set_new(root, "keys", print_keys(p));
	if (p->nedge_pins > 0)
		failed |= json_object_set_new(root, "edge", json_pack("{so}",
		    "pins", pins_json(p->edge_pins, p->nedge_pins)));
	if (p->nlogins > 0)
		failed |= json_object_set_new(root, "logins", print_logins(p));
	for (size_t i = 0; i < p->ndomains && !failed; i++)
		failed |= json_array_append_new(domains, print_domain(&p->domains[i]));
	for (size_t i = 0; i < p->nservices && !failed; i++)
		failed |= json_array_append_new(services, json_pack("{ss, sb}",
		    "name", p->services[i].name, "up", (int)p->services[i].up));
	if (failed) {
		json_decref(root);
		return NULL;
	}
	return root;
}

static int
to_buf(const char *p, size_t n, void *out)
{
	return buf_add(out, p, n) ? 0 : -1;
}

bool
policy_print(const struct policy *p, struct buf *out)
{
	json_t *root = print_root(p);
	bool ok = root != NULL && json_dump_callback(root, to_buf, out, JSON_COMPACT) == 0;

	json_decref(root);
	if (!ok)
		out->failed = true;
	return ok;
}

void
policy_free(struct policy **pp)
{
	struct policy *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->ndomains; i++)
		free(p->domains[i].digests);
	free(p->domains);
	free(p->services);
	free(p->logins);
	free(p);
}

void
policy_by_our_clock(struct policy *p, int64_t said_ms, int64_t now_ms)
{
	for (size_t i = 0; i < p->ndomains; i++) {
		struct policy_domain *d = &p->domains[i];
		int64_t age = said_ms > d->learned_ms ? said_ms - d->learned_ms : 0;

		if (d->learned_ms > 0)		/* 0: it was never learned */
			d->learned_ms = now_ms > age ? now_ms - age : 1;
	}
}

/* -- Asking -- */

const struct policy_domain *
policy_domain_find(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->ndomains; i++)
		if (strcmp(p->domains[i].name, name) == 0)
			return &p->domains[i];
	return NULL;
}

bool
policy_digest(const struct policy_domain *d, const char *local,
    unsigned char out[POLICY_DIGEST_LEN])
{
	unsigned char whole[SHA256_LEN];
	char text[ADDRESS_LOCAL_MAX + 1 + ADDRESS_DOMAIN_MAX + 1];
	const char *tag = d->tag != '\0' ? strchr(local, d->tag) : NULL;
	/* A tag in front ends nothing: there would be no name left. */
	size_t n = tag != NULL && tag > local ? (size_t)(tag - local) : strlen(local);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t k = 0;
	bool ok;

	for (size_t i = 0; i < n && k < ADDRESS_LOCAL_MAX; i++)
		if (local[i] != '.' || !d->ignore_dots)
			text[k++] = d->fold_case && local[i] >= 'A' && local[i] <= 'Z' ?
			    local[i] | 0x20 : local[i];
	snprintf(text + k, sizeof(text) - k, "@%s", d->name);
	ok = ctx != NULL && crypto_init() && EVP_DigestInit_ex2(ctx, crypto_sha256(), NULL) == 1 &&
	    EVP_DigestUpdate(ctx, d->salt, sizeof(d->salt)) == 1 &&
	    EVP_DigestUpdate(ctx, text, strlen(text)) == 1 &&
	    EVP_DigestFinal_ex(ctx, whole, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	memset(out, 0, POLICY_DIGEST_LEN);
	if (ok)
		memcpy(out, whole, POLICY_DIGEST_LEN);
	return ok;
}

bool
policy_domain_knows(const struct policy_domain *d, const char *local)
{
	unsigned char digest[POLICY_DIGEST_LEN];

	/* Memory is out: to take a stranger's mail errs better than to refuse a friend's. */
	return !policy_digest(d, local, digest) || (d->ndigests > 0 &&
	    bsearch(digest, d->digests, d->ndigests, POLICY_DIGEST_LEN, compare_digests) != NULL);
}
