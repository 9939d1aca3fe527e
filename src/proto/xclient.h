#ifndef PROTO_XCLIENT_H
#define PROTO_XCLIENT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/netaddr.h"

/*
 * The attributes of Postfix's XCLIENT (XCLIENT_README), as the held object has them and
 * as a client says them: " NAME=value", values in xtext (RFC 3461 4), where an octet
 * outside 0x21..0x7e, `+`, `=` and a `[` in front become +HH, so that no stranger's word
 * can break the line or spell [UNAVAILABLE], which is what is not known.
 *
 * All return false when out is full.
 */
#define XCLIENT_UNAVAILABLE	"[UNAVAILABLE]"

bool	xclient_add_text(struct buf *out, const char *attribute, const char *value); /* "": none */
/* IPV6: stands before such; an address of zeros is not known. */
bool	xclient_add_addr(struct buf *out, const char *attribute, const struct netaddr *);
bool	xclient_add_port(struct buf *out, const char *attribute, const struct netaddr *);
bool	xclient_known_ip(const struct netaddr *);

#endif
