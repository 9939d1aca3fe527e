#ifndef PROTO_RSPAMD_H
#define PROTO_RSPAMD_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/why.h"
#include "proto/smtp_reply.h"

/*
 * What rspamd answers to POST /checkv2 (https://docs.rspamd.com/developers/protocol/): JSON,
 * of which counts
 *
 *	{"action": "add header", "messages": {"smtp_message": "words for the sender"},
 *	 "milter": {"add_headers": {"X-Spam": "Yes" | {"value": "Yes"} | [more of these]}}}
 *
 * It is read as it comes, in any pieces.  Beside these members it names all symbols, URLs and
 * addresses of the message: as much as the sender likes, who must not come by unjudged for
 * that, so that none of it is kept or looked at.  Unknown actions are passed over too: an
 * operator may name his own.
 */
#define RSPAMD_ANSWER_MAX	(32u << 20)	/* octets; of a message of 9 MB 700 KB were seen */
#define RSPAMD_MEMBER_MAX	(64u << 10)	/* octets of one that counts; else left out */
#define RSPAMD_HEADS_MAX	8192	/* of all added lines; what has no room is left out */

enum rspamd_action {
	RSPAMD_PASS = 0,	/* "no action", and what we do not know */
	RSPAMD_SUSPECT,		/* "add header", "rewrite subject" */
	RSPAMD_LATER,		/* "soft reject", "greylist" */
	RSPAMD_REJECT,		/* "reject", "discard", "quarantine": nothing is thrown away */
};

struct rspamd_answer {
	enum rspamd_action action;
	char		 words[SMTP_REPLY_TEXT_MAX + 1];	/* for the sender; "" none */
	/*
	 * Header lines, CRLF each, folded as RFC 5322 2.2.3 has it, printable ASCII: whatever the
	 * message made rspamd say, it ends no head and begins no line of ours.  None is of those
	 * that a message has once, or that say what its body is, or whom it was delivered to.
	 */
	struct buf	 heads;
};

enum rspamd_at {
	RSPAMD_BEFORE = 0,
	RSPAMD_NAME,			/* of a member, with what is around it */
	RSPAMD_VALUE,
	RSPAMD_AFTER,
	RSPAMD_WRONG,			/* it is no object */
};

struct rspamd_reader {			/* the caller's */
	enum rspamd_at	 at;
	struct buf	 kept;		/* the members that count, as an object */
	size_t		 member;	/* where in it the present one begins */
	unsigned	 depth;		/* of brackets in its value */
	bool		 text, escaped;	/* inside quotes; behind a backslash there */
	bool		 keeps;
};

void	rspamd_read_begin(struct rspamd_reader *);
/* False: whatever follows, it is no answer. */
bool	rspamd_read(struct rspamd_reader *, struct span);
/*
 * It has ended; the reader is empty again.  The answer is freed with buf_fini(&heads).  False
 * with why: it is none, and holds nothing.
 */
bool	rspamd_read_end(struct rspamd_reader *, struct rspamd_answer *, struct why *);
void	rspamd_read_fini(struct rspamd_reader *);

#endif
