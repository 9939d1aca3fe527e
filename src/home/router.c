#include "home/router.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/address.h"

const struct conf_home_domain router_no_rules = { .tag = "+", .dots = true };

/* RFC 2142; root and dmarc beside it. */
const char *const router_roles[] = {
	"postmaster", "abuse", "noc", "security", "hostmaster", "webmaster", "www", "usenet",
	"news", "uucp", "ftp", "info", "marketing", "sales", "support", "root", "dmarc", NULL
};

static void __attribute__((format(printf, 2, 3)))
say(const struct router *r, const char *fmt, ...)
{
	char line[700];
	va_list ap;

	if (r->say == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	r->say(r->arg, line);
}

static bool
granted(const char (*domains)[256], size_t n, const char *domain)
{
	for (size_t i = 0; i < n; i++)
		if (strcasecmp(domains[i], domain) == 0)
			return true;
	return false;
}

static void
to_mailbox(struct route *out, const char *name)
{
	out->to = ROUTE_MAILBOX;
	span_copy(span_str(name), out->mailbox, sizeof(out->mailbox));
}

/* --- rules of a domain -------------------------------------------------------------------- */

const struct conf_home_domain *
router_rules(const struct router *r, const char *domain)
{
	for (size_t i = 0; i < r->ndomains; i++)
		if (strcasecmp(r->domains[i].name, domain) == 0)
			return &r->domains[i];
	return &router_no_rules;
}

/* "@domain target" of a file counts as much as the configuration's. */
const char *
router_catch_all(const struct router *r, const char *domain)
{
	const struct conf_home_domain *d = router_rules(r, domain);
	char whole[ADDRESS_DOMAIN_MAX + 2];
	const char *to;

	snprintf(whole, sizeof(whole), "@%s", domain);
	if (d->catch_all[0] != '\0')
		return d->catch_all;
	if (d->refuse)
		return "";
	to = mailboxes_target(r->boxes, span_str(whole), (struct mailboxes_rule){ 0 });
	return to != NULL ? to : r->catch_all;
}

bool
router_calls_out(const struct router *r, const char *domain)
{
	return r->callout && !router_rules(r, domain)->refuse;
}

static bool
is_role(struct span local)
{
	for (size_t i = 0; router_roles[i] != NULL; i++)
		if (span_eq_nocase(local, span_str(router_roles[i])))
			return true;
	return false;
}

/* "" nobody: whoever is called so, or the catch-all. */
static const char *
roles_of(const struct router *r, const char *domain, bool postmaster)
{
	const struct conf_home_domain *d = router_rules(r, domain);

	if (d->roles[0] != '\0')
		return d->roles;
	return r->all_roles || postmaster ? r->roles : "";
}

bool
router_takes_role(const struct router *r, const char *domain, const char *role)
{
	bool postmaster = strcmp(role, "postmaster") == 0;

	return postmaster || roles_of(r, domain, postmaster)[0] != '\0';
}

/* --- finding somebody --------------------------------------------------------------------- */

enum found {
	FOUND_NOBODY = 0,
	FOUND,
	FOUND_NO_END,		/* an alias that ends in no mailbox */
};

struct finding {
	const struct router *r;
	const char	(*domains)[256];		/* granted to whom the question is about */
	size_t		 ndomains;
	const char	*box[MAILBOXES_TARGETS_MAX];	/* each once */
	size_t		 n;
	unsigned	 left;		/* targets that may still be followed */
};

static enum found	find(struct finding *, struct span local, const char *domain, int depth);

static enum found
found(struct finding *f, const char *box)
{
	size_t i = 0;

	while (i < f->n && strcmp(f->box[i], box) != 0)
		i++;
	if (i == MAILBOXES_TARGETS_MAX)
		return FOUND_NO_END;
	f->box[i] = box;
	f->n += i == f->n;
	return FOUND;
}

/* bob of a domain that others have is not our bob, whoever's alias says so. */
static bool
ours(const struct finding *f, const char *domain)
{
	const struct edges *all = f->r->edges;

	if (domain[0] == '\0' || granted(f->domains, f->ndomains, domain) ||
	    router_rules(f->r, domain) != &router_no_rules)
		return true;
	for (size_t i = 0; all != NULL && i < all->n; i++)
		if (granted((const char (*)[256])all->list[i]->peer.domains,
		    all->list[i]->peer.ndomains, domain))
			return true;
	return false;
}

static enum found
follow_one(struct finding *f, struct span to, const char *domain, int depth)
{
	const struct mailboxes_rule any = { 0 };
	const char *at = memrchr(to.p, '@', to.n), *box;
	size_t local = at != NULL ? (size_t)(at - to.p) : to.n;
	char other[ADDRESS_DOMAIN_MAX + 1];

	say(f->r, "goes to %.*s", (int)to.n, to.p);
	if (depth > CONF_ALIAS_DEPTH || f->left == 0)
		return FOUND_NO_END;
	f->left--;
	if ((box = mailboxes_find(f->r->boxes, to, any)) != NULL)
		return found(f, box);
	if (at == NULL)
		return find(f, to, domain, depth + 1);
	return address_domain(span_from(to, local + 1), other) ?
	    find(f, span_of(to.p, local), other, depth + 1) : FOUND_NOBODY;
}

/* All of them or nobody: a copy less would be missed by somebody who knows nothing of it. */
static enum found
follow(struct finding *f, const char *targets, const char *domain, int depth)
{
	struct span rest = span_str(targets), to;
	enum found all = FOUND;

	while (mailboxes_next(&rest, &to)) {
		enum found one = follow_one(f, to, domain, depth);

		if (one == FOUND_NOBODY)
			say(f->r, "%.*s is nobody here", (int)to.n, to.p);
		if (one != FOUND)
			all = FOUND_NO_END;
	}
	return all;
}

/* One spelling of the local part: with its tag, or without. */
static enum found
find_one(struct finding *f, const struct conf_home_domain *d, struct span local,
    const char *domain, int depth)
{
	const struct mailboxes_rule rule = { d->letter_case, !d->dots };
	const struct router *r = f->r;
	char whole[ADDRESS_LOCAL_MAX + 1 + ADDRESS_DOMAIN_MAX + 1];
	const char *to, *box;

	snprintf(whole, sizeof(whole), "%.*s@%s", (int)local.n, local.p, domain);
	if ((to = mailboxes_target(r->boxes, span_str(whole), rule)) != NULL)
		return follow(f, to, domain, depth);
	if ((box = mailboxes_find(r->boxes, span_str(whole), rule)) != NULL) {
		say(r, "mailbox %s takes this address", box);
		return found(f, box);
	}
	if (d->own || mailboxes_own(r->boxes, domain)) {
		say(r, "%s has mailboxes of its own: no other is looked for", domain);
		return FOUND_NOBODY;
	}
	if (!ours(f, domain)) {
		say(r, "%s is no domain of this home: none of its mailboxes is meant", domain);
		return FOUND_NOBODY;
	}
	/* An "@" in it was in quotes: "bob@other.test"@ours is not bob of other.test. */
	if (memchr(local.p, '@', local.n) == NULL &&
	    (box = mailboxes_find(r->boxes, local, rule)) != NULL) {
		say(r, "mailbox %s is called so", box);
		return found(f, box);
	}
	return FOUND_NOBODY;
}

bool
router_cut_tag(const struct conf_home_domain *d, struct span *local)
{
	const char *tag = d->tag[0] != '\0' && local->n > 0 ?
	    memrchr(local->p, d->tag[0], local->n) : NULL;

	/* Edges hash it whole, too, where nothing stands before the first (proto/policy.h). */
	if (tag == NULL || local->p[0] == d->tag[0])
		return false;
	local->n = (size_t)(tag - local->p);
	return true;
}

/* The longest name that there is: mary-ann-shop is mary-ann before she is mary. */
static enum found
find(struct finding *f, struct span local, const char *domain, int depth)
{
	const struct conf_home_domain *d = router_rules(f->r, domain);
	enum found got;

	while ((got = find_one(f, d, local, domain, depth)) == FOUND_NOBODY &&
	    router_cut_tag(d, &local))
		say(f->r, "without its tag: %.*s", (int)local.n, local.p);
	return got;
}

static struct finding
finding(const struct router *r, const char (*domains)[256], size_t n)
{
	return (struct finding){ .r = r, .domains = domains, .ndomains = n,
		.left = MAILBOXES_TARGETS_MAX };
}

static void
to_mailboxes(struct route *out, const struct finding *f)
{
	to_mailbox(out, f->box[0]);
	for (size_t i = 1; i < f->n; i++)
		span_copy(span_str(f->box[i]), out->also[out->nalso++], sizeof(out->also[0]));
}

/* --- deciding ----------------------------------------------------------------------------- */

static void
refuse(struct route *out, enum route_to to, unsigned code, unsigned subject, unsigned detail,
    const char *text)
{
	out->to = to;
	out->reply = smtp_reply(code, code / 100, subject, detail, "%s", text);
}

/*
 * What a mail server is asked for is an address: one local part in two domains may be two
 * people's.  With its tag, which may be a part of the name for all that we know: two recipients
 * may end in one mailbox over there, and are two deliveries as they are from any other server.
 * Where the whole is no name that a mailbox can have, the local part stands for it.
 */
static void
ask_server(const struct router *r, struct span local, const char *domain, struct route *out)
{
	bool letter_case = router_rules(r, domain)->letter_case;
	struct address whole;
	char name[CONF_NAME_MAX];
	int n = snprintf(name, sizeof(name), "%.*s@%s", (int)local.n, local.p, domain);

	if (n >= (int)sizeof(name) || !address_parse(span_str(name), &whole))
		span_copy(local, name, sizeof(name));
	for (char *p = name; *p != '\0' && *p != '@' && !letter_case; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p |= 0x20;
	to_mailbox(out, name);
}

/*
 * Where the configuration, or a file, sends what is nobody's: a role's mail, or all of it.  A
 * mailbox that nobody listed exists because the configuration says so.
 */
static void
to_configured(struct finding *f, const char *to, const char *domain, struct route *out)
{
	if (follow(f, to, domain, 0) == FOUND)
		to_mailboxes(out, f);
	else if (strpbrk(to, " \t,") == NULL && address_mailbox_ok(span_str(to)))
		to_mailbox(out, to);
	else
		refuse(out, ROUTE_LATER, 450, 3, 5,
		    "the catch-all or the roles here end in no mailbox");
}

/* Postmaster's mailbox when nobody is called so; it is never refused, so at worst it waits. */
static void
to_postmaster(struct finding *f, const char *domain, struct route *out)
{
	const struct router *r = f->r;
	const char *to = roles_of(r, domain, true);

	if (to[0] == '\0')
		to = router_catch_all(r, domain);
	if (to[0] != '\0') {
		say(r, "postmaster's mail goes to %s", to);
		to_configured(f, to, domain, out);
	} else if (router_calls_out(r, domain)) {
		say(r, "postmaster's mail goes to postmaster");
		ask_server(r, SPAN_LIT("postmaster"), domain, out);
	} else if (r->first[0] != '\0' || r->boxes->n > 0) {
		to_mailbox(out, r->first[0] != '\0' ? r->first : r->boxes->names[0]);
		say(r, "postmaster's mail goes to %s", out->mailbox);
	} else {
		refuse(out, ROUTE_LATER, 450, 3, 5,
		    "there is no mailbox for postmaster: set mailboxes { roles = ... }");
	}
}

void
router_to_catch_all(const struct router *r, const char *domain, struct route *out)
{
	const char *to = router_catch_all(r, domain);
	struct finding f = finding(r, NULL, 0);

	*out = (struct route){ .to = ROUTE_NONE };
	if (to[0] != '\0')
		to_configured(&f, to, domain, out);
}

static void
to_server(const struct router *r, struct span local, const char *domain, struct route *out)
{
	if (!address_mailbox_ok(local)) {
		say(r, "nobody is called so, and that can be no mailbox's name");
		refuse(out, ROUTE_REFUSED, 550, 1, 1, "no such mailbox here");
		return;
	}
	say(r, "nobody is called so: the mail server is asked, by the delivery itself");
	ask_server(r, local, domain, out);
}

/* Nobody is called so, with a tag or without. */
static void
unclaimed(struct finding *f, struct span local, const char *domain, struct route *out)
{
	const struct router *r = f->r;
	const char *catch_all = router_catch_all(r, domain);

	if (span_eq_nocase(local, SPAN_LIT("postmaster"))) {
		to_postmaster(f, domain, out);
	} else if (r->unread) {
		say(r, "nobody is called so, but the list of mailboxes was not read yet");
		refuse(out, ROUTE_LATER, 450, 1, 1, "the list of mailboxes here was not read yet");
	} else if (is_role(local) && roles_of(r, domain, false)[0] != '\0') {
		say(r, "is a role: its mail goes to %s", roles_of(r, domain, false));
		to_configured(f, roles_of(r, domain, false), domain, out);
	} else if (catch_all[0] != '\0') {
		say(r, "nobody is called so: the catch-all takes it");
		to_configured(f, catch_all, domain, out);
	} else if (router_calls_out(r, domain)) {
		to_server(r, local, domain, out);
	} else if (r->stale) {
		say(r, "nobody is called so, in a list that is too old to refuse by");
		refuse(out, ROUTE_LATER, 450, 1, 1,
		    "no such mailbox in a list that is too old to refuse by");
	} else {
		say(r, "nobody is called so, and there is no catch-all");
		refuse(out, ROUTE_REFUSED, 550, 1, 1, "no such mailbox here");
	}
}

void
route_address(const struct router *r, const char (*domains)[256], size_t ndomains,
    const struct address *a, struct route *out)
{
	struct span local = a->postmaster ? SPAN_LIT("postmaster") : span_str(a->local);
	struct finding f = finding(r, domains, ndomains);

	*out = (struct route){ .to = ROUTE_NONE };
	if (!a->postmaster && !granted(domains, ndomains, a->domain)) {
		say(r, "the domain is not granted to the edge");
		out->to = ROUTE_FOREIGN;
		out->reply =
		    smtp_reply(550, 5, 7, 1, "%s is no domain that this edge may send mail for",
			a->domain[0] != '\0' ? a->domain : "(none)");
		return;
	}
	switch (find(&f, local, a->domain, 0)) {
	case FOUND:
		to_mailboxes(out, &f);
		out->claimed = true;
		return;
	case FOUND_NO_END:
		say(r, "the alias ends in no mailbox");
		refuse(out, ROUTE_LATER, 450, 3, 5, "an alias here ends in no mailbox");
		return;
	case FOUND_NOBODY:
		unclaimed(&f, local, a->domain, out);
		return;
	}
}
