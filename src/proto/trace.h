#ifndef PROTO_TRACE_H
#define PROTO_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/netaddr.h"
#include "base/uuid.h"

/* The Received: line that an edge puts on top (RFC 5321 4.4, RFC 8314 4.3 for the tls clause). */
#define TRACE_NAME_MAX	255	/* octets of a name; more of it is cut */

struct trace {
	const char	*helo;		/* as the client said it; escaped here */
	const char	*client_name;	/* forward-confirmed name, or NULL for "unknown" */
	struct netaddr	 client;
	const char	*by;		/* our hostname */
	const char	*with;		/* RFC 3848: SMTP ESMTP ESMTPS; RFC 6531: UTF8SMTP... */
	const char	*tls;		/* "TLSv1.3 TLS_AES_256_GCM_SHA384", or NULL */
	const char	*rcpt;		/* the only recipient's path, no brackets; or NULL */
	struct uuid	 id;
	int64_t		 received_ms;
};

/* Adds folded lines with CRLF, 1,700 octets at most; false when out is full. */
bool	trace_received(const struct trace *, struct buf *out);

#endif
