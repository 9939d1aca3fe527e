#ifndef PROTO_POLICY_H
#define PROTO_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/netaddr.h"
#include "base/span.h"
#include "base/why.h"
#include "proto/pairing.h"

/*
 * What a home tells its edges: GET /policy, JSON (doc/TUNNEL).  Unknown keys
 * are ignored; a wrong type of a known one refuses the whole document, so that
 * an edge keeps its last good one.
 */
#define POLICY_VERSION		1
#define POLICY_OCTETS_MAX	(16u << 20)	/* 100,000 digests of 64 octets and room */
#define POLICY_DOMAINS_MAX	256
#define POLICY_BANS_MAX		10000
#define POLICY_SERVICES_MAX	64
#define POLICY_RECIPIENTS_MAX	200000

enum policy_unknown {			/* an address that is not among the digests */
	POLICY_ACCEPT = 0,		/* no list, or accept-all by choice */
	POLICY_REFUSE,			/* 550 5.1.1; 450 4.1.1 when the list is stale */
};

struct policy_domain {
	char		 name[256];
	enum policy_unknown unknown;
	bool		 fold_case;	/* local parts are lowered before hashing */
	char		 tag;		/* '+' or 0: what ends the local part before hashing */
	unsigned char	 salt[16];
	int64_t		 learned_ms;	/* when the list was last good */
	unsigned char	(*digests)[16];	/* SHA-256(salt | local@domain), its first 16 bytes, sorted */
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
	struct policy_domain *domains;
	size_t		 ndomains;
	struct policy_ban *bans;
	size_t		 nbans;
	struct policy_service *services;
	size_t		 nservices;
};

/* NULL with why on anything that is not a policy. */
struct policy *policy_parse(struct span json, struct why *);
bool	policy_print(const struct policy *, struct buf *out);
void	policy_free(struct policy **);

#endif
