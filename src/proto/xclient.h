#ifndef PROTO_XCLIENT_H
#define PROTO_XCLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/netaddr.h"
#include "base/span.h"
#include "base/why.h"

/*
 * The attributes of Postfix's XCLIENT (XCLIENT_README), as the held object has them and
 * as a client says them: " NAME=value", values in xtext (RFC 3461 4), where an octet
 * outside 0x21..0x7e, `+`, `=` and a `[` in front become +HH, so that no stranger's word
 * can break the line or spell [UNAVAILABLE], which is what is not known.
 *
 * Those that add return false when out is full.
 */
#define XCLIENT_UNAVAILABLE	"[UNAVAILABLE]"

bool	xclient_add_text(struct buf *out, const char *attribute, const char *value); /* "": none */
/* IPV6: stands before such; an address of zeros is not known. */
bool	xclient_add_addr(struct buf *out, const char *attribute, const struct netaddr *);
bool	xclient_add_port(struct buf *out, const char *attribute, const struct netaddr *);
bool	xclient_known_ip(const struct netaddr *);

/*
 * A value: false where it is none of its kind.  What is not known makes of a text "" (whose
 * max is with its NUL), and leaves an address as it was; an address keeps its port.
 */
bool	xclient_get_text(struct span, char *out, size_t max);
bool	xclient_get_addr(struct span, struct netaddr *);
bool	xclient_unavailable(struct span);

/*
 * Of whom a client speaks that hands on what another has brought it: the command XCLIENT, of
 * which a session here offers these attributes.  NAME is not among them: a name is what DNS says
 * of the address, and we ask it ourselves.
 */
#define XCLIENT_OFFER	"XCLIENT ADDR PROTO HELO"
struct xclient {
	struct netaddr	addr;		/* zeros: not known */
	char		helo[256];	/* as EHLO takes it (RFC 5321 4.5.3.1.2); "": not known */
	bool		esmtp;
};

/*
 * The attributes behind the command's verb, one at least, each once and in any order; one that
 * is not said stays as *x has it.  -1 with why, and *x is as it was: one that is not offered, or
 * has no such value.  Whether somebody can have that address is the caller's to judge.
 */
int	xclient_read(struct span, struct xclient *x, struct why *);

#endif
