#ifndef PROTO_SMTP_PARAMS_H
#define PROTO_SMTP_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "proto/smtp_reply.h"

/*
 * The parameters of MAIL and RCPT (RFC 5321 4.1.2): each known by name, allowed
 * only where its extension is announced, given once, its value checked.
 */
enum smtp_params_of {
	SMTP_PARAMS_MAIL = 0,
	SMTP_PARAMS_RCPT,
};

struct smtp_params {
	uint64_t	size;		/* SIZE=, 0 if it was not said */
	bool		utf8;		/* SMTPUTF8; of the transaction: in when judging RCPT */
	bool		success;	/* NOTIFY with SUCCESS; of this RCPT */
};

/* ext: enum smtp_ext.  False, and then *why says what to answer. */
bool	smtp_params_check(struct span text, enum smtp_params_of, unsigned ext, uint64_t size_max,
	    struct smtp_params *, struct smtp_reply *why);

#endif
