#ifndef PROTO_BAN_LIST_H
#define PROTO_BAN_LIST_H

#include "proto/policy.h"

/*
 * GET /policy/bans (doc/TUNNEL): a JSON text sequence (RFC 7464), a ban each,
 *
 *	RS {"net":"192.0.2.0/24","for_ms":600000} LF
 *	RS {"net":"192.0.2.7/32","lifted":true} LF		in changes only
 *
 * for_ms from now on: no two machines need agree on what time it is.  0: until lifted.
 * In memory until_ms is an end by the reader's or writer's own boot_ms, which never jumps.
 *
 * It comes one by one so that nobody needs the whole of it at once: whoever reads takes
 * one after the other as they come, whoever writes makes them as there is room.
 */
#define BAN_RECORD_MAX	256		/* octets; we write 96 at most */
#define BAN_CHANGES_MAX	4096		/* in one answer: some milliseconds to read and apply */

struct ban_change {
	struct policy_ban on;
	bool		 lifted;
};

bool	ban_print(const struct ban_change *, int64_t now_ms, struct buf *out);

/* The caller owns the struct, zeroed at first. */
struct ban_reader {
	char		 record[BAN_RECORD_MAX];
	size_t		 n;
	bool		 begun;		/* RS was there */
	bool		 bad;		/* for good */
};

enum ban_read {
	BAN_MORE = 0,			/* all of the input is used */
	BAN_ONE,			/* *out is one; ask again */
	BAN_BAD,			/* with why; stays */
};

/* Cuts what it has used off the front of the input. */
enum ban_read ban_next(struct ban_reader *, struct span *in, int64_t now_ms,
		    struct ban_change *out, struct why *);
/* At the end of the input: nothing was begun that did not end. */
bool	ban_whole(const struct ban_reader *);

#endif
