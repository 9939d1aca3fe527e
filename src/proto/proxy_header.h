#ifndef PROTO_PROXY_HEADER_H
#define PROTO_PROXY_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/netaddr.h"
#include "base/span.h"
#include "base/why.h"

/*
 * The header of HAProxy's PROXY protocol (proxy-protocol.txt), versions 1 and 2:
 * who the client is, said in front of the stream by whoever passes it on.
 *
 * What a header says is only as true as its sender.  Whether it may send one at
 * all, and whether the address can be a client's (netaddr_is_global), is for the
 * caller to judge; so are LOCAL and PROXY_UNKNOWN, after which the protocol would
 * have the sender's own address taken.
 */
#define PROXY_V1_MAX		107	/* section 2.1, CRLF counted */
#define PROXY_V2_HEAD		16
/*
 * What may stand behind the 16 octets of version 2.  Section 2 means it to fit 536
 * with them; all registered TLVs together, each at its largest, come to about 1,500.
 */
#define PROXY_V2_BLOCK_MAX	2048
#define PROXY_HEADER_MAX	(PROXY_V2_HEAD + PROXY_V2_BLOCK_MAX)

enum proxy_command {
	PROXY_LOCAL = 0,	/* version 2: the sender speaks for itself; from, to are zero */
	PROXY_PROXY,		/* for a client; always so in version 1 */
};

enum proxy_family {		/* as it stands in the header */
	PROXY_UNKNOWN = 0,	/* UNKNOWN, UNSPEC, or no stream: from and to are zero */
	PROXY_TCP4,
	PROXY_TCP6,		/* from and to may be IPv4 all the same: mapped ones are unmapped */
	PROXY_UNIX,		/* a local socket, whose path is not told: from and to are zero */
};

struct proxy_header {
	unsigned	 version;	/* 1 or 2 */
	enum proxy_command command;
	enum proxy_family family;
	struct netaddr	 from;		/* the client */
	struct netaddr	 to;		/* what it connected to */
};

enum proxy_result {
	PROXY_MORE = 0,		/* as yet the beginning of a header */
	PROXY_DONE,		/* *out and *used are set */
	PROXY_BAD,		/* no header, and none will come of it: close.  why is set. */
};

/*
 * Reads the header at the front of in, which is all that came since the stream
 * began; the caller keeps it until PROXY_DONE, PROXY_HEADER_MAX octets at most,
 * and may always give more.  The stream itself begins *used octets on.  Nothing
 * is remembered between two calls, and nothing of the peer's is in why.
 *
 * Refused as soon as it is seen, and each by section 2: any other octet than the
 * protocol has at that place; a line without CRLF, or with a CR or LF alone;
 * addresses of another family than the one named, ports above 65535, leading
 * zeros; a block shorter than its addresses or longer than our limit; a TLV that
 * does not end where the block does; a PP2_TYPE_CRC32C that is not four octets,
 * stands there twice or is wrong.
 *
 * TLVs are walked and, but for the checksum, skipped unread.  Behind LOCAL and
 * UNSPEC nothing says where they begin: the block is skipped whole, as nothing in
 * it is believed.
 */
enum proxy_result proxy_header_read(struct span in, struct proxy_header *out, size_t *used,
		    struct why *);

/*
 * Whether a stream that begins so begins with a header, for where none may be sent: a
 * hint for its sender and the log.  The first six octets tell.
 */
bool	proxy_header_begins(struct span in);

/*
 * Whether some server might take what a stream begins with for a header: one that reads
 * less strictly than proxy_header_read does.  Exim takes any blank for the space behind
 * PROXY, Postfix before 3.5 skips blanks in front of it, in a line of 256 octets at most.
 * PROXY_DONE: it might; PROXY_MORE: not yet; PROXY_BAD: none does.  Where we err we take
 * for one what is none: no client of anything begins so.
 */
#define PROXY_BLANKS_MAX	256	/* in front; more are as good as a header */
enum proxy_result proxy_header_taken(struct span in);

/*
 * Writes the header that speaks for a client; version is 1 or 2.  The family is
 * the client's, IPv4 never mapped: `::ffff:192.0.2.1` breaks reverse lookups and
 * block lists.  Both addresses of a header have one family (2.1, 2.2).  Where `to`
 * is of the other one, it is written as not known, 0.0.0.0 or ::, with its port;
 * UNKNOWN, which 2.1 offers for that, would lose the client and make backends trust
 * the connection as ours.  No TLVs: what the client said to us it says to the
 * backend too, and TCP has a checksum already.  False: out is full.
 */
bool	proxy_header_write(unsigned version, const struct netaddr *from, const struct netaddr *to,
	    struct buf *out);

#endif
