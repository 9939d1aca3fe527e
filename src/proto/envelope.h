#ifndef PROTO_ENVELOPE_H
#define PROTO_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/netaddr.h"
#include "base/uuid.h"
#include "proto/address.h"

/*
 * One transaction: who connected, what he said, for whom.  The only struct of
 * its kind; built by the edge's reception, written into the object, read back
 * at home.  Owned by whoever called envelope_new; strings are its own.
 */
/* Above any configured limit of recipients; bounds the reader at home. */
#define ENVELOPE_RCPTS_MAX	1000
/* Octets of parameters of one MAIL or RCPT: ORCPT alone may be 500 (RFC 3461 4.2) */
#define ENVELOPE_PARAMS_MAX	1000

struct envelope_rcpt {
	struct address	 addr;
	char		*params;	/* as received, without leading space; "" if none */
};

struct envelope {
	char		 helo[256];
	/* Forward-confirmed, else "" ([UNAVAILABLE] in XCLIENT) */
	char		 client_name[256];
	struct netaddr	 client;		/* all zero, or only its port: not known */
	struct netaddr	 dest;	/* the address and port the client came to; the same */
	bool		 esmtp;
	char		 edge[256];		/* the edge's name: XFORWARD NAME */
	struct uuid	 id;			/* XFORWARD IDENT: the inner id */
	struct address	 from;
	char		*from_params;		/* as received; "" if none */
	struct envelope_rcpt *rcpts;
	size_t		 nrcpts;
	size_t		 cap;
	size_t		 octets;	/* of memory that the recipients take */
};

struct envelope *envelope_new(void);
void	envelope_free(struct envelope **);
/*
 * params: as received; spaces around them are dropped.  False when memory is
 * out, with too many recipients, or with parameters that envelope_params_ok
 * refuses; nothing is changed then.
 */
bool	envelope_set_from(struct envelope *, const struct address *, struct span params);
bool	envelope_add_rcpt(struct envelope *, const struct address *, struct span params);
/*
 * Whether params may stand behind a path on a line of the object: at most
 * ENVELOPE_PARAMS_MAX octets and no control character, so that they cannot
 * break it.  What a parameter means is another's business.
 */
bool	envelope_params_ok(struct span params);

#endif
