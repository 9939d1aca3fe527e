#ifndef PROTO_LOGIN_H
#define PROTO_LOGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

/*
 * Who may hand an edge mail over that somebody else has received (AUTH, proto/smtp_server.h).
 * Home knows the password; an edge has a digest of it, by policy:
 *
 *	SHA-256("posthouse-login-1" | NUL | user | NUL | password)
 *
 * with ASCII letters of the user in lower case.  No salt and no slow hash: a password is
 * 256 random bits as `posthouse keygen` writes them (proto/key_lines.h), so that nobody
 * finds one from its digest, and a wrong one costs an edge a microsecond.
 */
#define LOGIN_DIGEST_LEN	32
#define LOGIN_DIGESTS_MAX	2	/* the password in use, and the one before */

struct login {
	char		name[256];
	unsigned char	digests[LOGIN_DIGESTS_MAX][LOGIN_DIGEST_LEN];
	size_t		ndigests;
};

/* False: memory is out. */
bool	login_digest(struct span user, struct span password, unsigned char out[LOGIN_DIGEST_LEN]);
/* Whether that is him; the password is compared in constant time. */
bool	login_is(const struct login *, struct span user, struct span password);

#endif
