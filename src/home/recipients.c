#include "home/recipients.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/codec.h"
#include "base/log.h"
#include "base/secret.h"
#include "home/home.h"

#define PIECE	(512u << 10)	/* octets of digests in a message */

/* HM_DOMAIN: u8 unknown, u8 ignore_dots, u8 tag, salt[16], u64 learned_ms, then the name. */
#define HEAD	(3 + 16 + 8)

void
recipients_fini(struct recipients *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->domains[i].digests);
	free(r->domains);
	*r = (struct recipients){ .domains = NULL };
}

/* --- the courier -------------------------------------------------------------------------- */

struct making {
	const struct router *r;
	struct policy_domain *d;
	size_t		 cap, most;
	bool		 failed;	/* too many, or memory is out */
};

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, POLICY_DIGEST_LEN);
}

static void
add(struct making *m, struct span local)
{
	char text[ADDRESS_LOCAL_MAX + 1];
	struct policy_domain *d = m->d;

	/* Longer than an address can be: nobody writes to it. */
	if (m->failed || local.n == 0 || !span_copy(local, text, sizeof(text)))
		return;
	if (d->ndigests == m->cap) {
		size_t cap = m->cap == 0 ? 64 : 2 * m->cap;
		void *p = cap / 2 > m->most ? NULL : realloc(d->digests, cap * POLICY_DIGEST_LEN);

		if ((m->failed = p == NULL))
			return;
		d->digests = p;
		m->cap = cap;
	}
	m->failed = d->ndigests >= m->most || !policy_digest(d, text, d->digests[d->ndigests]);
	d->ndigests += !m->failed;
}

/* The local part of what is named with this domain; n 0 if it is not. */
static struct span
within(const char *name, const char *domain)
{
	const char *at = strrchr(name, '@');

	return at != NULL && strcmp(at + 1, domain) == 0 ? span_of(name, (size_t)(at - name)) :
	    span_of(NULL, 0);
}

static void
add_all(struct making *m)
{
	const struct router *r = m->r;
	struct mailboxes *b = r->boxes;
	const char *domain = m->d->name;
	bool own = router_rules(r, domain)->own || mailboxes_own(b, domain);

	for (size_t i = 0; i < b->n; i++)
		if (strchr(b->names[i], '@') == NULL && !own)
			add(m, span_str(b->names[i]));
		else
			add(m, within(b->names[i], domain));
	for (size_t i = 0; i < b->naliases; i++)
		add(m, within(b->text.p + b->aliases[i].from, domain));
	for (size_t i = 0; router_roles[i] != NULL; i++)
		if (router_takes_role(r, domain, router_roles[i]))
			add(m, span_str(router_roles[i]));
}

void
recipients_of(struct policy_domain *d, const struct router *r, bool refuse, size_t most)
{
	const struct conf_home_domain *rules = router_rules(r, d->name);
	struct making m = { .r = r, .d = d, .most = most };

	d->fold_case = true;
	d->ignore_dots = !rules->dots;
	d->tag = rules->tag[0];
	if (!refuse || router_catch_all(r, d->name)[0] != '\0' || router_calls_out(r, d->name))
		return;
	add_all(&m);
	if (m.failed) {
		log_warn(NULL, "recipients.unsaid domain=%s: more than %u addresses in all; edges "
		    "take mail for any", d->name, POLICY_RECIPIENTS_MAX);
		free(d->digests);
		d->digests = NULL;
		d->ndigests = 0;
		return;
	}
	qsort(d->digests, d->ndigests, POLICY_DIGEST_LEN, compare);
	d->unknown = POLICY_REFUSE;
}

static void
send_domain(struct chan *c, const struct policy_domain *d)
{
	unsigned char head[HEAD] = { (unsigned char)d->unknown, d->ignore_dots,
		(unsigned char)d->tag };
	struct span part[2] = { span_of(head, HEAD), span_str(d->name) };
	size_t octets = d->ndigests * POLICY_DIGEST_LEN;

	memcpy(head + 3, d->salt, sizeof(d->salt));
	put_u64(head + 19, (uint64_t)d->learned_ms);
	chan_send(c, HM_DOMAIN, 0, part, 2, -1);
	for (size_t at = 0; at < octets; at += PIECE) {
		part[0] = span_of((const char *)d->digests + at,
		    octets - at < PIECE ? octets - at : PIECE);
		chan_send(c, HM_DIGESTS, 0, part, 1, -1);
	}
}

static bool
seen(const struct edges *e, size_t i, size_t k)
{
	const char *name = e->list[i]->peer.domains[k];

	for (size_t a = 0; a <= i; a++)
		for (size_t b = 0; b < (a < i ? e->list[a]->peer.ndomains : k); b++)
			if (strcmp(e->list[a]->peer.domains[b], name) == 0)
				return true;
	return false;
}

void
recipients_tell(struct recipients_out *out, struct chan *tunnel, const struct edges *e,
    const struct router *r, bool refuse, int64_t learned_ms)
{
	size_t left = POLICY_RECIPIENTS_MAX;

	if (!out->salted)
		random_bytes(out->salt, sizeof(out->salt));
	out->salted = true;
	out->learned_ms = learned_ms;
	chan_send(tunnel, HM_DOMAINS, 0, NULL, 0, -1);
	for (size_t i = 0; i < e->n; i++)
		for (size_t k = 0; k < e->list[i]->peer.ndomains; k++) {
			struct policy_domain d = { .learned_ms = learned_ms };

			if (seen(e, i, k))
				continue;
			memcpy(d.salt, out->salt, sizeof(d.salt));
			span_copy(span_str(e->list[i]->peer.domains[k]), d.name, sizeof(d.name));
			recipients_of(&d, r, refuse && learned_ms > 0, left);
			left -= d.ndigests;
			send_domain(tunnel, &d);
			free(d.digests);
		}
	chan_send(tunnel, HM_DOMAINS_END, 0, NULL, 0, -1);
}

/* --- the tunnel --------------------------------------------------------------------------- */

static bool
take_domain(struct recipients_in *in, struct span s)
{
	const unsigned char *p = (const void *)s.p;
	struct policy_domain *d;
	void *more;

	if (s.n <= HEAD || s.n - HEAD >= sizeof(d->name) || p[0] > POLICY_REFUSE || p[1] > 1 ||
	    in->coming.n == POLICY_DOMAINS_MAX)
		return false;
	if ((more = realloc(in->coming.domains, (in->coming.n + 1) * sizeof(*d))) == NULL)
		abort();		/* the parent starts another, and the courier tells it */
	in->coming.domains = more;
	d = &in->coming.domains[in->coming.n++];
	*d = (struct policy_domain){ .unknown = (enum policy_unknown)p[0], .fold_case = true,
		.ignore_dots = p[1] != 0, .tag = (char)p[2],
		.learned_ms = (int64_t)get_u64(p + 19) };
	memcpy(d->salt, p + 3, sizeof(d->salt));
	span_copy(span_from(s, HEAD), d->name, sizeof(d->name));
	return d->learned_ms >= 0;
}

static bool
take_digests(struct recipients_in *in, struct span s)
{
	struct policy_domain *d = in->coming.n > 0 ? &in->coming.domains[in->coming.n - 1] : NULL;
	size_t n = s.n / POLICY_DIGEST_LEN;
	void *more;

	if (d == NULL || n == 0 || s.n % POLICY_DIGEST_LEN != 0 ||
	    (in->total += n) > POLICY_RECIPIENTS_MAX)
		return false;
	if ((more = realloc(d->digests, (d->ndigests + n) * POLICY_DIGEST_LEN)) == NULL)
		abort();
	d->digests = more;
	memcpy(d->digests[d->ndigests], s.p, s.n);
	d->ndigests += n;
	return true;
}

/* What tells this list from another, so that an edge is not sent what it has. */
static void
digest(struct recipients *r)
{
	unsigned char whole[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestInit_ex2(ctx, EVP_sha256(), NULL) == 1;

	for (size_t i = 0; ok && i < r->n; i++)
		ok = EVP_DigestUpdate(ctx, r->domains[i].digests,
		    r->domains[i].ndigests * POLICY_DIGEST_LEN) == 1;
	ok = ok && EVP_DigestFinal_ex(ctx, whole, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	if (ok)
		memcpy(r->digest, whole, sizeof(r->digest));
	else
		random_bytes(r->digest, sizeof(r->digest));
}

int
recipients_take(struct recipients_in *in, struct chan_msg *m, struct recipients *now)
{
	if (m->type == HM_DOMAINS) {
		recipients_fini(&in->coming);
		*in = (struct recipients_in){ .begun = m->body.n == 0 };
	} else if (m->type == HM_DOMAIN)
		in->begun = in->begun && take_domain(in, m->body);
	else if (m->type == HM_DIGESTS)
		in->begun = in->begun && take_digests(in, m->body);
	else if (m->type != HM_DOMAINS_END || m->body.n != 0)
		in->begun = false;
	if (!in->begun)
		return -1;
	if (m->type != HM_DOMAINS_END)
		return 0;
	recipients_fini(now);
	*now = in->coming;
	*in = (struct recipients_in){ .begun = false };
	digest(now);
	return 1;
}
