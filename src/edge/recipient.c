#include "edge/recipient.h"

#include <string.h>

#include "edge/bans.h"

bool
recipient_serves(const struct conf_service *s, const struct home *h)
{
	for (size_t i = 0; i < s->nhomes; i++)
		if (strcmp(s->homes[i], h->name) == 0)
			return true;
	return s->nhomes == 0;
}

/* Bare <postmaster> must always find somebody (RFC 5321 4.5.1). */
static struct home *
postmaster_home(const struct recipient_rules *r)
{
	struct home *h;

	if (r->txn != NULL)
		return homes_by_name(r->homes, r->txn->name);
	if (r->postmaster[0] != '\0' && (h = homes_by_name(r->homes, r->postmaster)) != NULL &&
	    recipient_serves(r->service, h))
		return h;
	for (size_t i = 0; i < r->homes->n; i++)
		if (recipient_serves(r->service, r->homes->list[i]) &&
		    home_can_hold(r->homes->list[i]))
			return r->homes->list[i];
	return NULL;
}

/*
 * By the digests of the last policy, whether its home is there now or not.  An edge that has
 * never heard any takes what home's domains are.
 */
static bool
somebody(const struct home *h, const struct address *a, int64_t now_ms, struct smtp_reply *reply)
{
	/* RFC 5321 4.5.1, whatever the list says. */
	bool postmaster = a->postmaster || strcasecmp(a->local, "postmaster") == 0;
	const struct policy_domain *d = h->policy != NULL && !postmaster ?
	    policy_domain_find(h->policy, a->domain) : NULL;

	if (d == NULL || d->unknown == POLICY_ACCEPT || policy_domain_knows(d, a->local))
		return true;
	if (now_ms - d->learned_ms > h->policy->stale_after_ms)
		*reply = smtp_reply(450, 4, 1, 1,
		    "This list of mailboxes is too old to know; try again later");
	else
		*reply = smtp_reply(550, 5, 1, 1, "No such mailbox here");
	return false;
}

/*
 * What the listener announced, and this home does not honour; or not any more, as its policy is
 * another one by now.  A transaction with SMTPUTF8 whose addresses are ASCII all the same goes
 * on: its header decides (smtp_srv_message_ascii).  Of DSN one request alone is a promise that
 * would be ours to hold, a report of success; the others go no further than here, as to any
 * server without DSN (RFC 3461 5.2.2).  455: in the next session DSN is announced no more, and
 * nobody asks for it.
 */
static bool
honoured(const struct recipient_rules *r, const struct home *h, const struct address *a,
    struct smtp_reply *reply)
{
	bool utf8 = r->from_utf8 || a->utf8;

	if (utf8 && h->policy == NULL)
		*reply = smtp_reply(451, 4, 3, 0, "Not known yet whether this domain takes "
		    "addresses beyond ASCII; try again later");
	else if (utf8 && !home_smtputf8(h))	/* RFC 6531 3.5 */
		*reply = smtp_reply(553, 5, 6, 7, "This domain takes no mail %s an address beyond "
		    "ASCII", a->utf8 ? "for" : "from");
	else if (r->report && !home_dsn(h))
		*reply = smtp_reply(455, 4, 5, 4,
		    "No more reports of success for this domain; try again later");
	else
		return true;
	return false;
}

struct home *
recipient_home(const struct recipient_rules *r, const struct address *a, struct smtp_reply *reply)
{
	struct home *h;

	if (a->postmaster) {
		if ((h = postmaster_home(r)) == NULL) {
			*reply = smtp_reply(451, 4, 3, 0,
			    "No home is paired with this edge yet; try again later");
			return NULL;
		}
	} else {
		h = a->literal ? NULL : homes_by_domain(r->homes, a->domain);
		if (h == NULL && !a->literal && r->unread) {
			*reply = smtp_reply(451, 4, 3, 0,
			    "Not all domains of this server are known at present; try again later");
			return NULL;
		}
		if (h == NULL || !recipient_serves(r->service, h)) {
			*reply = smtp_reply(550, 5, 7, 1,
			    "Relaying denied: this server takes mail for its own domains only");
			return NULL;
		}
	}
	if (bans_home(h, r->client)) {
		*reply = smtp_reply(550, 5, 7, 1,
		    "This domain takes no mail from your network at present");
		return NULL;
	}
	if (r->txn != NULL && r->txn != h) {
		*reply = smtp_reply(452, 4, 5, 3,
		    "That recipient lives elsewhere: send it in a transaction of its own");
		return NULL;
	}
	if (!home_can_hold(h)) {
		*reply = smtp_reply(451, 4, 3, 0,
		    "The home of this domain is not paired yet; try again later");
		return NULL;
	}
	if (!somebody(h, a, r->now_ms, reply))
		return NULL;
	if (home_takes(h) > 0 && r->size > home_takes(h)) {	/* RFC 1870 6.1: for it alone */
		*reply = smtp_reply(552, 5, 3, 4, "A message for this domain may have %llu octets",
		    (unsigned long long)home_takes(h));
		return NULL;
	}
	if (!honoured(r, h, a, reply))
		return NULL;
	*reply = smtp_reply(250, 2, 1, 5, "Recipient ok");
	return h;
}
