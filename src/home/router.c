#include "home/router.h"

#include <string.h>

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

/* Postmaster's mailbox when nobody is called so; it is never refused, so at worst it waits. */
static void
to_postmaster(const struct router *r, struct route *out)
{
	const char *const in_turn[] = { r->roles, r->catch_all, r->first };

	for (size_t i = 0; i < sizeof(in_turn) / sizeof(in_turn[0]); i++)
		if (in_turn[i][0] != '\0') {
			to_mailbox(out, in_turn[i]);
			return;
		}
	if (r->boxes->n > 0) {
		to_mailbox(out, r->boxes->names[0]);
		return;
	}
	out->to = ROUTE_LATER;
	out->reply = smtp_reply(
	    450, 4, 3, 5, "there is no mailbox for postmaster: set mailboxes { roles = ... }");
}

void
route_address(const struct router *r, const char (*domains)[256], size_t ndomains,
    const struct address *a, struct route *out)
{
	struct span local = span_str(a->local);
	const char *plus = memchr(local.p, '+', local.n);
	const char *box;

	*out = (struct route){ .to = ROUTE_NONE };
	if (!a->postmaster && !granted(domains, ndomains, a->domain)) {
		out->to = ROUTE_FOREIGN;
		out->reply =
		    smtp_reply(550, 5, 7, 1, "%s is no domain that this edge may send mail for",
			a->domain[0] != '\0' ? a->domain : "(none)");
		return;
	}
	if (a->postmaster)
		local = SPAN_LIT("postmaster");
	box = mailboxes_find(r->boxes, local);
	if (box == NULL && plus != NULL)
		box = mailboxes_find(r->boxes, span_of(local.p, (size_t)(plus - local.p)));
	if (box != NULL)
		to_mailbox(out, box);
	else if (span_eq_nocase(local, SPAN_LIT("postmaster")))
		to_postmaster(r, out);
	else if (r->catch_all[0] != '\0')
		to_mailbox(out, r->catch_all);
	else if (r->stale) {
		out->to = ROUTE_LATER;
		out->reply = smtp_reply(
		    450, 4, 1, 1, "no such mailbox in a list that is too old to refuse by");
	} else {
		out->to = ROUTE_REFUSED;
		out->reply = smtp_reply(550, 5, 1, 1, "no such mailbox here");
	}
}
