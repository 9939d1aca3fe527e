#ifndef PROTO_ADDRESS_H
#define PROTO_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

/*
 * Paths and mailboxes of RFC 5321 4.1.2, with RFC 6531 where it is allowed.
 *
 * An address here is what counts for routing: source routes are gone (RFC 5321
 * appendix C: ignored), quotes and escapes of the local part undone.  The
 * domain is the one after the only unquoted `@`; a `%` or `!` in the local part
 * is just a character, so `a%evil.test@ours.test` is judged as ours.test's.
 *
 * The grammar is RFC 5321's, with two allowances that change no meaning: `_` in
 * a domain, and one final dot.  Refused beyond it: an empty local part (`""@x`),
 * a domain whose last label is all digits (it looks like an address literal but
 * is none), literals of other kinds than IPv4 and IPv6, C1 controls, and UTF-8
 * that is not well formed.
 */
#define ADDRESS_LOCAL_MAX	64	/* RFC 5321 4.5.3.1.1, counted with quotes undone */
#define ADDRESS_DOMAIN_MAX	255	/* 4.5.3.1.2 */
#define ADDRESS_MAILBOX_MAX	63	/* what the ledger's rows and the router hold */
#define ADDRESS_PRINT_MAX	400	/* for address_print: every octet escaped */

struct address {
	/* Unquoted, case kept; may hold anything printable, "/" and ".." too. */
	char	local[ADDRESS_LOCAL_MAX + 1];
	/* Lower case, no final dot, A-labels; "" for <> and <postmaster>. */
	char	domain[ADDRESS_DOMAIN_MAX + 1];
	bool	null;			/* <>: the null reverse-path */
	bool	postmaster;		/* <postmaster>, no domain, any case: RFC 5321 4.5.1 */
	bool	literal;		/* "[192.0.2.1]" or "[IPv6:2001:db8::1]" */
	bool	utf8;			/* the local part needs SMTPUTF8 to travel */
};

enum address_kind {
	ADDRESS_REVERSE = 0,		/* may be <> */
	ADDRESS_FORWARD,		/* may be <postmaster> */
};

/*
 * Reads a path with its angle brackets from the front of in.  Returns the bytes
 * used, or 0 if it is no path, and then *out is zero.  utf8 says whether non-ASCII
 * is allowed.
 */
size_t	address_parse_path(struct span in, enum address_kind, bool utf8, struct address *out);

/* A bare `local@domain`, as in a configuration or at home's router; non-ASCII is allowed. */
bool	address_parse(struct span, struct address *out);

/*
 * The one spelling of a domain for comparing: lower case, IDNA A-labels
 * (libidn2, non-transitional), no final dot.  False if it is no domain name.
 * out holds ADDRESS_DOMAIN_MAX + 1.
 */
bool	address_domain(struct span, char *out);

/*
 * Whether a mailbox may have this name.  It is a folder's and the local part of an
 * address, so it is one safe path component: letters, digits, non-ASCII characters,
 * "." "_" "-" "+" "=", neither "." nor "-" first, ADDRESS_MAILBOX_MAX octets.  One "@"
 * and the name of a domain may follow: the mailbox of that address only.
 */
bool	address_mailbox_ok(struct span);

/*
 * "local@domain", quoted again where RFC 5321 asks for it; nothing for <>,
 * "postmaster" without a domain.
 */
void	address_print(const struct address *, char *out, size_t max);

#endif
