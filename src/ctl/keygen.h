#ifndef CTL_KEYGEN_H
#define CTL_KEYGEN_H

#include "base/why.h"
#include "proto/pairing.h"

/*
 * Key files, made once: 0600, never over an existing file, on the disk with
 * their name before either returns 0.  Cut off anywhere, a file is whole or not there.
 */

/* An age identity as age-keygen writes it. */
int	keygen_age(const char *path, struct why *);
/*
 * 256 random bits, as 64 hexadecimal digits and a newline: what mailboxes' passwords are derived
 * from, what a Worker signs with.
 */
int	keygen_hex(const char *path, struct why *);
/*
 * The tunnel's key: P-256, which every TLS library speaks, as PEM, and behind it
 * a self-signed certificate.  Its dates are 1970 and 9999 and nobody looks at
 * them: peers know the key by its pin, which is told in out.
 */
int	keygen_tunnel(const char *path, struct pin *out, struct why *);

#endif
