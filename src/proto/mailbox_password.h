#ifndef PROTO_MAILBOX_PASSWORD_H
#define PROTO_MAILBOX_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/secret.h"
#include "base/span.h"
#include "base/why.h"

/*
 * Passwords of mailboxes that nobody stores: each follows from one key, the user and how
 * often his was rotated.
 *
 *	HMAC-SHA-256(key, "posthouse-password-1" | 0 | user | 0 | counter in 8 octets)
 *
 * The user is a mailbox's name (proto/address.h), ASCII letters in lower case: no two
 * mailboxes differ in case alone.  Of the MAC the first 130 bits are written in base32
 * (RFC 4648 6), in lower case: no letter that a URL, a shell or a configuration reads
 * otherwise, and none that is taken for another digit.
 */
#define MAILBOX_PASSWORD_LEN	26

/* out holds a C string.  False, and out "": no user's name, or memory is out. */
bool	mailbox_password(const struct secret *key, struct span user, uint64_t counter,
	    char out[MAILBOX_PASSWORD_LEN + 1]);
/* Whether it is that; in constant time. */
bool	mailbox_password_is(const struct secret *key, struct span user, uint64_t counter,
	    struct span said);

/*
 * The counters: a line "USER COUNTER" for each user whose password was rotated; a user
 * without one has 0.  Empty lines and those that begin with # say nothing.  Of two lines
 * for one user the greater counts: the other is older.  -1: a line that is not right, or no
 * user's name; nobody can be told in then, as a rotated password might hold again.
 */
#define MAILBOX_COUNTERS_MAX	(16u << 20)	/* 200,000 of the longest names */
int	mailbox_counter(struct span text, struct span user, uint64_t *counter, struct why *);
/* The text with that user's counter one higher, added to out, which has room for it. */
int	mailbox_counter_next(struct span text, struct span user, struct buf *out,
	    uint64_t *counter, struct why *);

/*
 * What a server asks of a helper: user and password, each with its end behind it: NUL in the
 * checkpassword protocol, LF in Maddy's.  False: not whole yet.  Both point into the input.
 * What follows them means nothing here.
 */
#define MAILBOX_LOGIN_MAX	1024	/* checkpassword: 512 octets */
struct mailbox_login {
	struct span	user, password;
};
bool	mailbox_login(struct span in, char end, struct mailbox_login *out);

#endif
