#ifndef PROTO_POLICY_H
#define PROTO_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/netaddr.h"
#include "base/span.h"
#include "base/why.h"
#include "proto/address.h"
#include "proto/login.h"
#include "proto/pairing.h"

/*
 * What a home tells its edges: GET /policy, JSON (doc/TUNNEL).  Unknown keys
 * are ignored; a wrong type of a known one refuses the whole document, so that
 * an edge keeps its last good one.
 *
 *	{"version": 1,
 *	 "epoch": "17", "counter": "902",		64 bits in decimal, as strings
 *	 "stale_after_ms": 172800000,
 *	 "backend": {"smtputf8": true, "dsn": true, "size": "0"},
 *	 "keys": {"pins": ["sha256:<64 hex>"], "recipients": ["age1..."]},
 *	 "edge": {"pins": ["sha256:<64 hex>"]},
 *	 "domains": [{"name": "example.org", "unknown": "accept" | "refuse",
 *		"fold_case": true, "ignore_dots": false, "tag": "+", "salt": "<32 hex>",
 *		"learned_ms": 1795232400000, "digests": "<base64>"}],
 *	 "services": [{"name": "imaps", "up": true}],
 *	 "logins": [{"name": "worker.example.org", "digests": ["<64 hex>"]}]}
 *
 * Only version is compulsory, and within an entry name, and salt where
 * unknown is "refuse".  digests of a domain: all of them, 16 octets each, one behind
 * the other in ascending order; one string, as 200,000 of them would cost JSON
 * far more.  logins are proto/login.h's.  Bans are a list of their own
 * (proto/ban_list.h): one changes often, and there may be many.
 */
#define POLICY_VERSION		1
/* POLICY_RECIPIENTS_MAX digests are 4.3 MB. */
#define POLICY_OCTETS_MAX	(6u << 20)
#define POLICY_DOMAINS_MAX	256
#define POLICY_BANS_MAX		100000
#define POLICY_SERVICES_MAX	64
#define POLICY_LOGINS_MAX	16
#define POLICY_RECIPIENTS_MAX	200000		/* of all domains together */
#define POLICY_DIGEST_LEN	16

enum policy_unknown {			/* an address that is not among the digests */
	POLICY_ACCEPT = 0,		/* no list, or accept-all by choice */
	POLICY_REFUSE,			/* 550 5.1.1; 450 4.1.1 when the list is stale */
};

struct policy_domain {
	char		 name[256];
	enum policy_unknown unknown;
	bool		 fold_case;	/* local parts are lowered before hashing */
	bool		 ignore_dots;	/* and lose their dots */
	char		 tag;		/* '+' or 0: what ends the local part before hashing */
	unsigned char	 salt[16];
	int64_t		 learned_ms;	/* when the list was last good */
	unsigned char	(*digests)[POLICY_DIGEST_LEN];	/* sorted; see policy_digest */
	size_t		 ndigests;
};

struct policy_ban {
	struct netaddr	 net;
	unsigned	 bits;		/* prefix length of its own family */
	int64_t		 until_ms;	/* 0: until it is lifted */
};

struct policy_service {
	char		 name[64];
	bool		 up;
};

struct policy {
	uint64_t	 epoch;		/* the ledger's */
	uint64_t	 counter;
	int64_t		 stale_after_ms;
	bool		 smtputf8;	/* what the backend honours */
	bool		 dsn;
	uint64_t	 size;		/* 0: no limit of its own */
	/*
	 * The keys this home answers by, when it rotates them: the edge takes them
	 * over (an authenticated home may replace only its own).  None: unchanged.
	 */
	struct pin	 pins[2];
	size_t		 npins;
	struct age_recipient recipients[AGE_RECIPIENTS_MAX];
	size_t		 nrecipients;
	struct pin	 edge_pins[2];	/* by which it will know the edge that reads this */
	size_t		 nedge_pins;
	struct policy_domain *domains;
	size_t		 ndomains;
	struct policy_service *services;
	size_t		 nservices;
	struct login	*logins;
	size_t		 nlogins;
};

/* NULL with why on anything that is not a policy. */
struct policy *policy_parse(struct span json, struct why *);
bool	policy_print(const struct policy *, struct buf *out);
void	policy_free(struct policy **);
/*
 * Its times by our clock, which says now_ms while that of its home says said_ms: the two need
 * not agree, and a list is as old as it is.
 */
void	policy_by_our_clock(struct policy *, int64_t said_ms, int64_t now_ms);

/* By the domain as address_domain spells it; NULL if this home has none such. */
const struct policy_domain *policy_domain_find(const struct policy *, const char *name);
/*
 * SHA-256(salt | local@domain), its first 16 octets; the local part as in struct
 * address, cut at the tag, lowered (ASCII) and without dots as the domain asks.  False:
 * memory is out.
 */
bool	policy_digest(const struct policy_domain *, const char *local,
	    unsigned char out[POLICY_DIGEST_LEN]);
/* Whether the address is among the digests; what an unknown one means is `unknown`'s business. */
bool	policy_domain_knows(const struct policy_domain *, const char *local);

/*
 * "192.0.2.0/24", "2001:db8::/32" or an address; an IPv4-mapped one, or a network of
 * such, becomes IPv4.  policy_ban_ok has judged it.
 */
bool	policy_ban_parse(struct span, struct policy_ban *, struct why *);
/*
 * Refuses what would harm: wider than /8 (IPv4) or /32 (IPv6), bits behind the
 * prefix, and private, shared, loopback, link-local and multicast networks.  That
 * a ban does not harm its own home is the edge's to see to (edge/bans.h).
 */
bool	policy_ban_ok(const struct policy_ban *, struct why *);

#endif
