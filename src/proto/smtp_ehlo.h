#ifndef PROTO_SMTP_EHLO_H
#define PROTO_SMTP_EHLO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

/*
 * What a server offers in its reply to EHLO or LHLO (RFC 5321 4.1.1.1), read from the
 * reply's lines as reply_reader gives them: the text of struct smtp_reply may be cut.
 * A reply other than 250 offers nothing, and its first line is a greeting.
 */
enum smtp_offer {
	SMTP_OFFER_SIZE       = 1 << 0,		/* RFC 1870 */
	SMTP_OFFER_PIPELINING = 1 << 1,		/* RFC 2920 */
	SMTP_OFFER_CHUNKING   = 1 << 2,		/* RFC 3030 */
	SMTP_OFFER_8BITMIME   = 1 << 3,		/* RFC 6152 */
	SMTP_OFFER_SMTPUTF8   = 1 << 4,		/* RFC 6531 */
	SMTP_OFFER_DSN        = 1 << 5,		/* RFC 3461 */
	SMTP_OFFER_ENHANCED   = 1 << 6,		/* ENHANCEDSTATUSCODES, RFC 2034 */
	SMTP_OFFER_STARTTLS   = 1 << 7,		/* RFC 3207 */
	/*
	 * RFC 4954; "AUTH=" of old servers too.  By some mechanism: Dovecot names none while it
	 * will hear of no password, as before STARTTLS.
	 */
	SMTP_OFFER_AUTH       = 1 << 8,
	SMTP_OFFER_XCLIENT    = 1 << 9,		/* Postfix XCLIENT_README */
	SMTP_OFFER_XFORWARD   = 1 << 10,	/* Postfix XFORWARD_README */
};

struct smtp_ehlo {
	unsigned	 offers;	/* enum smtp_offer */
	uint64_t	 size;		/* SIZE's; 0: it names no limit */
};

struct smtp_ehlo smtp_ehlo_read(struct span reply);
/*
 * Any keyword, of either case, and what stands behind it; args points into reply.  Of
 * several lines with it the first that has more counts.
 */
bool	smtp_ehlo_find(struct span reply, struct span keyword, struct span *args);
/* Whether word, of either case, is one of args: an attribute of XCLIENT, a mechanism of AUTH. */
bool	smtp_ehlo_lists(struct span args, struct span word);

#endif
