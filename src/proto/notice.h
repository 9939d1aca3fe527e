#ifndef PROTO_NOTICE_H
#define PROTO_NOTICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"
#include "base/uuid.h"
#include "base/why.h"
#include "proto/alarms.h"

/*
 * What somebody is told of a condition, in the forms that the roads take: a JSON object
 * (RFC 8259) for the webhook, variables of an environment for the command, a message (RFC
 * 5322) for a mailbox.  posthouse.conf(5), "alarms", says what they hold.  No I/O.
 *
 * The texts may quote peers and servers; they were escaped where they were taken in, and
 * are cut and made one line of ASCII here once more.
 */
#define NOTICE_MAX	8192	/* octets of any of the forms */
#define NOTICE_VARS	8	/* of the environment */

struct notice {
	enum alarm_event event;
	char		key[ALARM_KEY_MAX];
	char		detail[ALARM_TEXT_MAX];
	char		host[256];
	char		role[8];	/* "edge", "home" */
	int64_t		since_ms;	/* 0: it has no beginning */
	int64_t		at_ms;
};

bool	notice_json(const struct notice *, struct buf *);	/* false: memory is out */
int	notice_read(struct span json, struct notice *, struct why *);	/* -1 with why */

/* "POSTHOUSE_EVENT=raised" and so on, n of them, one after the other in text; NULL-terminated. */
size_t	notice_environment(const struct notice *, struct buf *text, char *env[NOTICE_VARS + 1]);

/* Lines end in CRLF, none is longer than 998 octets.  False: memory is out. */
bool	notice_mail(const struct notice *, const char *from, const char *to, struct uuid id,
    struct buf *);

#endif
