#ifndef PROTO_PAIRING_H
#define PROTO_PAIRING_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/netaddr.h"
#include "base/secret.h"
#include "base/span.h"
#include "base/why.h"
#include "proto/age.h"

/*
 * Pairing (doc/TUNNEL).  The edge prints one line, home reads it from standard
 * input:
 *
 *	posthouse-pair-1 <edge host:port> <edge pin> <home name> <token>
 *
 * token: 128 bits in hex, valid for 15 minutes and one use, five tries; the
 * edge stores its SHA-256 only.  Home dials with ALPN `posthouse-pair/1`, where
 * home is the HTTP client, and says one `PUT /pair`; both directions of that
 * one request carry lines of JSON, 4 KB at most each way:
 *
 *	home: {"name":"alice","token":"...","recipients":["age1..."]}
 *	edge: {"test":"<base64 of an age file sealed to the recipients: 32 random bytes>"}
 *	home: {"proof":"<hex of those bytes>"}
 *	edge: {"paired":true,"edge":"mx1.example.org","domains":["example.org"]}
 *	  or: {"error":"..."}
 *
 * The MAC key never travels: HKDF-SHA-256(TLS exporter "EXPORTER-posthouse-pair-1"
 * (32 bytes), salt = token, info = "posthouse-mac-1 " name).
 */
#define PAIRING_TOKEN_LEN	16
#define PAIRING_MINUTES		15
#define PAIRING_TRIES		5
#define PAIRING_OCTETS_MAX	4096
#define PAIRING_NAME_MAX	63	/* [a-z0-9-], no - in front, as it becomes a file name */
#define PAIRING_LINE_MAX	600	/* what pairing_line_print may need */
#define PIN_LEN			32	/* SHA-256 of the DER SubjectPublicKeyInfo */
#define PIN_TEXT_MAX		80	/* "sha256:" and 64 hex digits */

struct pin {
	unsigned char	b[PIN_LEN];
};

struct pairing_line {
	char		address[300];		/* host:port */
	struct pin	edge;
	char		name[PAIRING_NAME_MAX + 1];
	unsigned char	token[PAIRING_TOKEN_LEN];
};

bool	pin_parse(struct span, struct pin *);		/* "sha256:<64 hex>" */
void	pin_print(const struct pin *, char out[PIN_TEXT_MAX]);
bool	pin_eq(const struct pin *, const struct pin *);

bool	pairing_name_ok(struct span);
/* Surrounding white space is fine. */
bool	pairing_line_parse(struct span, struct pairing_line *, struct why *);
void	pairing_line_print(const struct pairing_line *, char *out, size_t max);
/* False: memory is out; *out is not set then. */
bool	pairing_mac_key(const unsigned char exporter[32],
    const unsigned char token[PAIRING_TOKEN_LEN],
	    const char *name, struct secret *out);

/*
 * What either side keeps of the other, a 0600 JSON file: at the edge
 * STATE/homes/NAME, at home STATE/edges/NAME.  During `rotate` there are two
 * pins, two keys, two recipients, all valid until the old is drained.
 *
 *	{"name": "mx1.example.org", "home": "alice", "address": "mx1.example.org:7443",
 *	 "pins": ["sha256:<64 hex>"], "our_pins": ["sha256:<64 hex>"],
 *	 "mac": ["<64 hex>"], "signed_from": 17,
 *	 "recipients": ["age1..."], "domains": ["example.org"]}
 *
 * name and pins are compulsory; unknown keys are ignored.
 */
#define PEER_DOMAINS_MAX	64
struct peer {
	char		name[256];	/* home's name at an edge; the edge's hostname at home */
	char		home[PAIRING_NAME_MAX + 1];	/* at home: what the edge calls us */
	char		address[300];		/* at home: where to dial; "" at the edge */
	struct pin	pins[2];
	size_t		npins;
	struct pin	ours[2];	/* at the edge: by which that home said it knows us */
	size_t		nours;
	struct secret	mac[2];			/* [0] signs; both verify */
	size_t		nmac;
	int64_t		signed_from;		/* at the edge: rows below may have an older MAC */
	struct age_recipient recipients[AGE_RECIPIENTS_MAX];	/* at the edge */
	size_t		nrecipients;
	char		domains[PEER_DOMAINS_MAX][256];	/* the grant */
	size_t		ndomains;
};

/* On failure *peer is zero. */
bool	peer_parse(struct span json, struct peer *, struct why *);
bool	peer_print(const struct peer *, struct buf *);	/* holds keys: buf_wipe it */
void	peer_fini(struct peer *);		/* wipes */

#endif
